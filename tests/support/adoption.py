"""Enrolling a client's file and restoring it, with the least code above the ledger."""

from __future__ import annotations

import os

from attrs import evolve

from mcpgateway.clientfiles.enrolment_records import EnrolledEntry, FileRecord, unwound
from mcpgateway.clientfiles.formats.client_format import LocalGateway
from mcpgateway.clientfiles.formats.clients import DIALECTS
from mcpgateway.clientfiles.formats.rewrite import give_back, replace
from mcpgateway.clientfiles.ledger import EditResult, Ledger
from tests.support.faulty_disk import FaultyDisk

BASE = LocalGateway(9100, frozenset(("localhost",)))
# A comment, odd spacing and another line end, so that only an exact restoration results in the same bytes.
ORIGINAL = (
    '{\n  "numStartups": 3,\r\n  "mcpServers": {\n'
    '    "git": {"command": "uvx",   "args": ["mcp-server-git"], "env": {"TOKEN": "hush-token"}},\n'
    '    "time": {\n\t"command": "uvx", "args": ["mcp-server-time"]},\n'
    '    "files": {"command": "npx"}\n  },\n  "projects": {}\n}'
)


class Adopter:
    """Enrols one file of Claude Code."""

    def __init__(self, ledger: Ledger, path: str) -> None:
        self.ledger = ledger
        self.path = path

    def apply(self, *names: str):
        """Enrol the entries of these servers."""

        def edit(text: str, former: FileRecord | None) -> EditResult:
            replacements = [
                (("mcpServers", name), {"type": "http", "url": f"http://localhost:9100/{name}/mcp"})
                for name in names
                if f"localhost:9100/{name}/mcp" not in text
            ]
            made, replaced = replace(text, self.path, replacements)
            entries = dict(former.entries) if former else {}
            entries |= {each.key_path: EnrolledEntry(each.title, each) for each in replaced}
            return EditResult(made, FileRecord(self.path, "claude-code", entries=entries))

        return self.ledger.change(self.path, edit)

    def suspend(self):
        """Restore the file until it is enrolled again."""
        return self._given_back(lambda former: evolve(former, suspended="stopped"))

    def undo(self):
        """Restore the file for good."""
        return self._given_back(lambda former: None)

    def _given_back(self, latter):
        def edit(text: str, former: FileRecord | None) -> EditResult:
            if former is None:
                return EditResult(text, None)
            exact = unwound(former, text)
            if exact is None:
                replaced = [each.replaced for each in former.entries.values()]
                exact = give_back(text, self.path, DIALECTS[former.dialect], BASE, replaced).text
            return EditResult(exact, latter(former))

        return self.ledger.change(self.path, edit)


class Scene:
    """A home and a client's file in it."""

    def __init__(self, folder, kind="file"):
        self.home = str(folder / "home")
        self.path = str(folder / "claude.json")
        self.folder = folder
        folder.mkdir()
        os.mkdir(self.home)
        with open(self.path, "w", newline="") as file:
            file.write(ORIGINAL)
        if kind == "linked":
            os.link(self.path, folder / "other.json")

    @classmethod
    def found(cls, folder):
        """Return the scene of an existing directory."""
        scene = cls.__new__(cls)
        scene.folder, scene.home, scene.path = folder, str(folder / "home"), str(folder / "claude.json")
        return scene

    def adopter(self, disk=None):
        """Return an adopter of the file, on this disk or on a faster one."""
        os.utime(self.path, (0, 0))  # without other processes at work on it
        disk = FaultyDisk() if disk is None else disk
        return Adopter(Ledger(self.home, disk), self.path)

    def prepared(self, name):
        """Return the same scene, prepared for a transaction."""
        for each in TRANSACTIONS[name][0]:
            each(self.adopter())
        return self

    def recover(self):
        """Recover from an interrupted transaction."""
        return Ledger(self.home, FaultyDisk()).recover()

    @property
    def text(self):
        """The bytes of the file."""
        with open(self.path, newline="") as file:
            return file.read()

    @property
    def said(self):
        """The ledger's records of the file, without their history."""
        return Ledger(self.home).read().files.get(self.path)

    @property
    def strays(self):
        """The files beside it that were added."""
        return sorted(set(os.listdir(self.folder)) - {"home", "claude.json", "other.json"})


# The preparation of each transaction, and the transaction.
TRANSACTIONS = {
    "apply": ((), lambda adopter: adopter.apply("git", "time")),
    "adopt more": ((lambda adopter: adopter.apply("git"),), lambda adopter: adopter.apply("time", "files")),
    "suspend": ((lambda adopter: adopter.apply("git", "time"),), Adopter.suspend),
    "resume": (
        (lambda adopter: adopter.apply("git", "time"), Adopter.suspend),
        lambda adopter: adopter.apply("git", "time"),
    ),
    "undo": (
        (lambda adopter: adopter.apply("git"), lambda adopter: adopter.apply("time")),
        Adopter.undo,
    ),
}
