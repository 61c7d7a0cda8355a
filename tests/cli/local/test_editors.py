"""The user's editor, and the commands for users without one."""

from __future__ import annotations

from pathlib import Path

import pytest

from mcpgateway.cli.local.editors import editor, without_editor


def test_editor(tmp_path: Path) -> None:
    """A named editor counts before one that most machines have, and VISUAL before EDITOR."""
    vi = tmp_path / "vi"
    vi.write_text("#!/bin/sh\n")
    vi.chmod(0o755)
    path = {"PATH": str(tmp_path)}
    assert editor(path) == ["vi"]
    assert editor({**path, "EDITOR": "code --wait"}) == ["code", "--wait"]
    assert editor({**path, "EDITOR": "ed", "VISUAL": "emacs"}) == ["emacs"]
    assert editor({"PATH": str(tmp_path / "empty")}) == []


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("", "mcpgateway servers set 'a b' KEY=VALUE"),
        ("command", "mcpgateway servers set 'a b' command=VALUE"),
        ("args", """mcpgateway servers set 'a b' 'args=["WORD", "WORD"]'"""),
        ("env", "mcpgateway servers set-env 'a b' VARIABLE"),
    ],
)
def test_without_an_editor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, key: str, meant: str) -> None:
    """A user without an editor gets the command that changes the key."""
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("VISUAL", "EDITOR"):
        monkeypatch.delenv(name, raising=False)
    run = "mcpgateway servers edit 'a b'"
    assert without_editor(run, key) == meant
    assert without_editor("mcpgateway why x", key) == "mcpgateway why x"
    monkeypatch.setenv("EDITOR", "ed")
    assert without_editor(run, key) == run
