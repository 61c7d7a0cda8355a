"""Homes of users with a ledger of an earlier release, as that release left them.

Below ``tests/clientfiles/files/journals`` lie the two copies of each journal, the clients' files as they were then, and
as they were before the first of them was enrolled.  The release is the one of the first ledger (``first-…``) or the
last one that wrote a journal (``last-…``); some files are enrolled, one was restored and forgotten, in one another
program has written since, and one server was opted out.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from tests.support.clients import House

JOURNALS = Path(__file__).parents[1] / "clientfiles" / "files" / "journals"
NAMES = tuple(sorted(each.name for each in JOURNALS.iterdir()))
COPIES = ("journal.jsonl", "shadow.jsonl")
ROOT = b"@ROOT@"  # stands for the user's home
SUM_CHARACTERS = 16


def installed(name: str, root: Path) -> House:
    """The home of a user, with the ledger and the clients' files of that name."""
    house = House(root)
    root.mkdir(exist_ok=True)
    house.configure("gateway: {http_port: 9200}\n")
    ledger = house.home / "ledger"
    (ledger / "kept").mkdir(mode=0o700, parents=True)
    ledger.chmod(0o700)
    for copy in COPIES:
        lines = (JOURNALS / name / copy).read_bytes().replace(ROOT, str(root).encode()).splitlines()
        (ledger / copy).write_bytes(b"".join(map(signed, lines)))
        (ledger / copy).chmod(0o600)
    shutil.copytree(JOURNALS / name / "files", root, dirs_exist_ok=True)
    return house


def signed(line: bytes) -> bytes:
    """A line with the sum of what it says now."""
    rest = line[line.index(b'"v":') :]
    digest = hashlib.sha256(rest).hexdigest()[:SUM_CHARACTERS]
    return b'{"sum":"%s",%s\n' % (digest.encode(), rest)


def before(name: str) -> dict[str, bytes]:
    """The clients' files before they were enrolled, by their places in the user's home."""
    top = JOURNALS / name / "before"
    return {str(each.relative_to(top)): each.read_bytes() for each in top.rglob("*") if each.is_file()}


def standing(house: House, files: dict[str, bytes]) -> dict[str, bytes]:
    """Return the present content of the same files."""
    return {each: (house.root / each).read_bytes() for each in files}
