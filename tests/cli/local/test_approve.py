"""``config approve``."""

from __future__ import annotations

import hashlib
import json
import os
import pty
from pathlib import Path
from typing import Any

import pytest

from mcpgateway.cli.main import run
from mcpgateway.system import approvals

SERVERS = {
    "db": {
        "command": "/opt/db",
        "args": ["--url", "x y", "\x1b[2K"],
        "env": {"DB_TOKEN": "s3cret", "NODE_OPTIONS": "-r x"},
    },
    "off": {"command": "never", "disabled": True},
    "web": {"url": "https://h.example/mcp"},
}


class House:
    """A user's home and a repository."""

    def __init__(self, directory: Path) -> None:
        self.home = str(directory / "home")
        self.root = directory / "shop"
        self.root.mkdir()
        self.file = self.root / ".mcp.json"
        self.file.write_text(json.dumps({"mcpServers": SERVERS}))

    @property
    def digest(self) -> str:
        """Return the digest of the file as it is."""
        return hashlib.sha256(self.file.read_bytes()).hexdigest()

    def run(self, *words: str) -> int:
        """Run the command in this home; its exit code."""
        return run(["config", "approve", "--home", self.home, *words])

    def approved(self) -> dict[str, str]:
        """The approved files."""
        return approvals.read(self.home)


@pytest.fixture
def house(tmp_path: Path) -> House:
    """A machine."""
    return House(tmp_path.resolve())


class ApproveTests:
    """Approving."""

    def test_what_would_run(self, house: House, capsys: Any) -> None:
        """The commands to approve are shown whole, without control characters, and with variables by name alone."""
        assert house.run(str(house.root), "--yes") == 0
        out = capsys.readouterr().out
        assert "db: /opt/db --url 'x y' '\\x1b[2K'\n" in out
        assert "with DB_TOKEN, NODE_OPTIONS set\n" in out
        assert "beware: NODE_OPTIONS can make it run other code" in out
        assert house.digest in out
        assert not any(each in out for each in ("s3cret", "never", "h.example", "\x1b"))
        assert house.approved() == {str(house.file): house.digest}

    def test_what_is_next(self, house: House, capsys: Any) -> None:
        """Without a gateway, the command that starts one is named."""
        assert house.run(str(house.root), "--yes") == 0
        assert (
            "No gateway runs: mcpgateway start serves them to the clients that work in"
            in capsys.readouterr().out
        )

    def test_nobody_to_ask(self, house: House, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without a terminal nothing is approved unasked, but what would run is shown."""
        with open(os.devnull) as nothing:
            monkeypatch.setattr("sys.stdin", nothing)
            assert house.run(str(house.root)) == 1
        said = capsys.readouterr()
        assert "/opt/db" in said.out
        assert "--yes" in said.err
        assert house.approved() == {}

    @pytest.mark.parametrize(("answer", "agrees"), [("y", True), ("yes", True), ("n", False), ("", False)])
    def test_asked(
        self, house: House, capsys: Any, monkeypatch: pytest.MonkeyPatch, answer: str, *, agrees: bool
    ) -> None:
        """The user is asked on a terminal, and only a yes approves."""
        master, slave = pty.openpty()
        os.write(master, f"{answer}\n".encode())
        with open(slave) as terminal:
            monkeypatch.setattr("sys.stdin", terminal)
            assert house.run(str(house.file)) == (0 if agrees else 1)
        os.close(master)
        assert bool(house.approved()) is agrees

    def test_another_digest(self, house: House, capsys: Any) -> None:
        """A file that is not the one that was meant is not approved."""
        meant = house.digest
        house.file.write_text(json.dumps({"mcpServers": {"db": {"command": "/opt/evil"}}}))
        assert house.run(str(house.root), "--yes", "--digest", meant) == 1
        assert house.digest in capsys.readouterr().err
        assert house.approved() == {}
        assert house.run(str(house.root), "--yes", "--digest", house.digest.upper()) == 0

    @pytest.mark.parametrize("text", [None, "{}", "no", '{"mcpServers": {"web": {"url": "https://h/"}}}'])
    def test_nothing_to_approve(self, house: House, capsys: Any, text: str | None) -> None:
        """Where nothing would run there is nothing to approve."""
        house.file.unlink() if text is None else house.file.write_text(text)
        assert house.run(str(house.root), "--yes") == 1
        assert str(house.file) in capsys.readouterr().err
        assert house.approved() == {}

    def test_another_file(self, house: House, capsys: Any) -> None:
        """Only the file that the gateway looks for can be approved."""
        (house.root / "other.json").write_text(house.file.read_text())
        assert house.run(str(house.root / "other.json"), "--yes") == 1
        assert "expected a repository, or its .mcp.json" in capsys.readouterr().err


class RevokeTests:
    """Revoking."""

    @pytest.mark.parametrize("is_there", [True, False])
    def test_revoked(self, house: House, capsys: Any, *, is_there: bool) -> None:
        """A file is no longer approved, even where its repository has gone; a second time is a mistake."""
        assert house.run(str(house.root), "--yes") == 0
        if not is_there:
            house.file.unlink()
            house.root.rmdir()
        assert house.run("--revoke", str(house.root)) == 0
        assert house.approved() == {}
        assert house.run("--revoke", str(house.root)) == 1
        assert "is not approved" in capsys.readouterr().err

    def test_refused(self, house: House) -> None:
        """A refusal is the end of an approval, and kept for the file as it is until it is withdrawn."""
        assert house.run(str(house.root), "--yes") == 0
        assert house.run("--refuse", str(house.root)) == 0
        assert house.approved() == {}
        assert approvals.read_all(house.home)["refusals"] == {str(house.file): house.digest}
        assert house.run("--revoke", str(house.root)) == 0
        assert approvals.read_all(house.home)["refusals"] == {}

    def test_no_other_options(self, house: House, capsys: Any) -> None:
        """The options of ``approve`` are refused for ``revoke``."""
        assert house.run("--revoke", "--yes", str(house.root)) == 64
        assert "--revoke goes with neither" in capsys.readouterr().err
