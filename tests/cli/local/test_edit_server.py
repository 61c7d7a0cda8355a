"""``servers edit``: the keys of a server in the user's editor."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from mcpgateway.cli.local.broken import with_line
from mcpgateway.cli.main import run
from mcpgateway.config.problems import Problem, Where

CONFIG = "servers:\n  own:  # mine\n    command: run  # here\n    env: {TOKEN: s3cret-value}\n"
NOTES = {"command": "npx", "args": ["notes", "--token", "s3cret"], "env": {"KEY": "s3cret"}}


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The configuration of a user with Claude Code's file."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("MCPGATEWAY_HOME", "MCPGATEWAY_CONFIG", "MCP_GATEWAY_CONFIG", "MCP_CONFIG_PATH", "VISUAL"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / ".claude.json").write_text(json.dumps({"mcpServers": {"notes": NOTES}}))
    path = tmp_path / ".mcp-gateway" / "config.yaml"
    path.parent.mkdir(mode=0o700)
    path.write_text(CONFIG)
    return path


def edited(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    name: str,
    script: str,
) -> tuple[int, str, str]:
    """Edit a server by a script of sed; return the exit code, what was printed, and the draft as it was opened."""
    seen = tmp_path / "seen"
    editor = tmp_path / "editor"
    editor.write_text(f'#!/bin/sh\ncp "$1" {seen}\nexec sed -i -e "{script}" "$1"\n')
    editor.chmod(0o755)
    monkeypatch.setenv("EDITOR", str(editor))
    code = run(["servers", "edit", name])
    out = capsys.readouterr()
    return code, out.out + out.err, seen.read_text() if seen.exists() else ""


class EditTests:
    def test_own(
        self,
        config: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        tmp_path: Path,
    ) -> None:
        """The draft has the entry and all further keys as comments; the file keeps its own comments."""
        code, out, draft = edited(monkeypatch, capsys, tmp_path, "own", "1a timeout: 30s")
        assert code == 0, out
        assert "command: run" in draft
        assert '# share: "auto"' in draft
        assert "# timeout: 0\n#     How long one call may take" in draft
        assert config.read_text() == CONFIG + "    timeout: 30s\n".replace("30s", '"30s"')
        assert "own is changed in" in out

    def test_overlay(
        self,
        config: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        tmp_path: Path,
    ) -> None:
        """Keys over a client's entry begin empty, its secrets are not in the draft, and its file stays."""
        before = (tmp_path / ".claude.json").read_text()
        code, out, draft = edited(monkeypatch, capsys, tmp_path, "notes", "1a share: session")
        assert code == 0, out
        assert (
            "What you write here lies over the entry of ~/.claude.json, user scope, which stays as" in draft
        )
        assert "The keys over it, of which there are none yet:" in draft
        assert "s3cret" not in draft
        assert config.read_text() == CONFIG + "  notes:\n    share: session\n"
        code, out, draft = edited(monkeypatch, capsys, tmp_path, "notes", "/^share/d")
        assert (code, config.read_text()) == (0, CONFIG)
        assert "share: session\n" in draft
        assert (tmp_path / ".claude.json").read_text() == before

    @pytest.mark.parametrize(
        ("name", "script", "says"),
        [
            ("own", "1a share: all", "line 2: share: found 'all'"),
            ("own", "/^command/d", "expected an entry with a command"),
            ("own", "1a [", "line "),
            ("notes", "1a command: [mcpgateway, connect, notes]", "line 2: command: "),
            ("notes", "1a timeout: x", "line 2: timeout: found 'x'"),
            ("nots", "1a timeout: x", "Unknown server: nots\n  did you mean notes?"),
            ("notes", "1a shaer: session", "line 2: shaer: is not a known key; did you mean 'share'?"),
            (
                "own",
                "1a lazy: {prewram: true}",
                "line 2: lazy.prewram: is not a known key; did you mean 'prewarm'?",
            ),
            ("notes", "1a time out s3cretvalue: 3", "line 2: has a key that is not known"),
        ],
    )
    def test_refused(
        self,
        config: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        tmp_path: Path,
        name: str,
        script: str,
        says: str,
    ) -> None:
        """A draft with an error is not taken, and the error has its line."""
        code, out, _ = edited(monkeypatch, capsys, tmp_path, name, script)
        assert code == 1
        assert says in out
        assert config.read_text() == CONFIG

    def test_former_mistake(
        self,
        config: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        tmp_path: Path,
    ) -> None:
        """A key that was not known before the edit keeps no other edit out."""
        config.write_text(CONFIG + "    shaer: session\n")
        code, out, _ = edited(monkeypatch, capsys, tmp_path, "own", "1a timeout: 30s")
        assert (code, "shaer: is not a known key and is ignored" in out) == (0, True)
        assert "timeout" in config.read_text()

    def test_unchanged(
        self,
        config: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        tmp_path: Path,
    ) -> None:
        """A draft without a change writes nothing."""
        code, out, draft = edited(monkeypatch, capsys, tmp_path, "notes", "s/x/x/")
        assert (code, out) == (
            0,
            "notes is unchanged: the draft has no change, so nothing is written.\n",
        )
        assert "# A draft that is left unchanged saves nothing." in draft
        assert config.read_text() == CONFIG


def test_line_of_an_error() -> None:
    """An error of a draft has the line with its value, and one of another line none."""
    place = Where("the draft.yaml", 2, "timeout")
    error = Problem(place, "'abc'", "a duration")
    assert with_line(error, "share: global\ntimeout: abc\n").split("\n")[1:] == ["timeout: abc", "         ^"]
    assert with_line(replace(error, where=replace(place, line=9)), "timeout: abc\n") == str(
        replace(error, where=replace(place, line=9))
    )
