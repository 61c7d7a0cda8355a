"""Run one of the commands that need no gateway: the first word names it."""

from __future__ import annotations

import sys


def main(argv: list[str]) -> int:
    """Run a command; return its exit code."""
    match argv[:1]:
        case ["clients"]:
            from mcpgateway.cli.local import clients

            return clients.main(argv[1:])
        case ["doctor"]:
            from mcpgateway.cli.local import doctor

            return doctor.main(argv[1:])
        case _:
            from mcpgateway.system import printing

            printing.put(f"mcpgateway: unknown command: {' '.join(argv[:1])}", to=sys.stderr)
            return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
