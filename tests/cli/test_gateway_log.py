"""The gateway's own log, read from its file."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from mcpgateway.cli.console import Trouble
from mcpgateway.cli.gateway_log import BLOCK, added, latest
from mcpgateway.cli.main import run
from tests.support.gateway import BIN
from tests.support.terminal import Terminal

OLD, NEW = "2020-01-01T00:00:00+0000 [a] old", "2999-01-01T00:00:00+0000 [b] new"


@pytest.mark.parametrize(("number", "lines"), [(0, []), (1, ["c"]), (2, ["b", "c"]), (9, ["a", "b", "c"])])
def test_latest(tmp_path: Path, number: int, lines: list[str]) -> None:
    """The latest lines are those at the end of the file, or all that there are."""
    (tmp_path / "log").write_text("a\nb\nc\n")
    assert latest(str(tmp_path / "log"), number).lines == lines


def test_long_lines(tmp_path: Path) -> None:
    """Lines that are longer than what is read at once are whole."""
    long = ["x" * BLOCK, "y" * (2 * BLOCK), "z"]
    (tmp_path / "log").write_text("\n".join(long) + "\n")
    assert latest(str(tmp_path / "log"), 2).lines == long[1:]


def test_none(tmp_path: Path) -> None:
    """Where there is no log, the error says how one comes to be."""
    with pytest.raises(Trouble) as why:
        latest(str(tmp_path / "log"), 1)
    assert why.value.hint.startswith("mcpgateway start makes it")


def test_added(tmp_path: Path) -> None:
    """Lines that are added come once each, also those of a file that replaces the log or begins anew."""
    path = tmp_path / "log"
    path.write_text("a\nb\n")
    lines = added(str(path), latest(str(path), 1).end - 2)
    assert next(lines) == "b"
    with path.open("a") as file:
        file.write("c\n")
    assert next(lines) == "c"
    (tmp_path / "other").write_text("one\ntwo\n")
    (tmp_path / "other").rename(path)
    assert [next(lines), next(lines)] == ["one", "two"]
    path.write_text("x\n")
    assert next(lines) == "x"


def test_as_a_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The log of the gateway is shown without a gateway, from a time on, and for programs as objects."""
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "gateway.log").write_text(f"{OLD}\n{NEW}\n  of it\n")
    words = ["--home", str(tmp_path), "logs"]
    assert run(words) == 0
    assert capsys.readouterr().out == f"{OLD}\n{NEW}\n  of it\n"
    assert run([*words, "--gateway", "--since", "1h"]) == 0
    assert capsys.readouterr().out == f"{NEW}\n  of it\n"
    assert run([*words, "-n", "2", "--json"]) == 0
    first, _ = map(json.loads, capsys.readouterr().out.splitlines())
    assert first == {"time": "2999-01-01T00:00:00+00:00", "source": "gateway", "text": "[b] new"}


def test_on_a_terminal(tmp_path: Path) -> None:
    """A person sees the level of a line, and not the module that wrote it."""
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "gateway.log").write_text(
        "2999-01-01T00:00:00+0000 [mcpgateway.a.B#warn] [x#info] odd\n"
    )
    terminal = Terminal([str(BIN / "mcpgateway"), "--home", str(tmp_path), "logs"], dict(os.environ))
    assert terminal.ended() == 0
    assert "2999-01-01T00:00:00+0000 warn: [x#info] odd" in terminal.text


@pytest.mark.parametrize("words", ["talker --gateway", "--since never"])
def test_refused(words: str) -> None:
    """Options that do not go together are refused."""
    assert run(["logs", *words.split()]) == 64
