"""A program that puts sessions on record until it is killed, and says of each deed that it is done.

python -m tests.functional.writer_of_journal PATH
"""

from __future__ import annotations

import os
import sys
from itertools import count

from mcpgateway.interfaces import SessionRecord
from mcpgateway.system.journal import Journal


def main(path: str) -> None:
    """Write for ever; every third session is ended."""
    journal = Journal(path, lambda: 0.0)
    for number in count():
        serial = number.to_bytes(16, "big")
        journal.keep(SessionRecord(serial, "memory", "local", "2025-11-25", b"x" * (number % 2000)), number)
        journal.subscribe(serial, f"a:{number}")
        if number % 3 == 0:
            journal.end(serial, number)
        os.write(1, b"%d\n" % number)


if __name__ == "__main__":
    main(sys.argv[1])
