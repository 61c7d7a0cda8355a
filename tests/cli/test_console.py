"""The output of commands: one line each, with any text of strangers, on a terminal and in a pipe."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from mcpgateway.cli import console
from mcpgateway.cli.console import (
    COLOUR_MARKS,
    READY,
    STATE_COLOURS,
    Trouble,
    coloured,
    emit,
    paragraph,
    say,
    show,
    styled,
    table,
)

EVIL = "x\n11-22 11:59:59 forged\x1b]52;c;eA==\x07\r\x9b2J\u2028y\u202ez\x7f"
SHOWN = r"x\n11-22 11:59:59 forged\x1b]52;c;eA==\x07\r\x9b2J\u2028y\u202ez\x7f"
PRINTED: dict[str, Callable[[], None]] = {
    "say": lambda: say("it is ", EVIL),
    "say in colour": lambda: say(EVIL, fg="red", bold=True),
    "say a part in colour": lambda: say("it is ", styled(EVIL, fg="red"), " here"),
    "table": lambda: table(("A", "B"), [(EVIL, styled(EVIL, fg="green"))]),
    "paragraph": lambda: paragraph(styled("one: ", dim=True), EVIL),
    "show": lambda: show(EVIL),
}


@pytest.fixture(params=[False, True], ids=["pipe", "terminal"])
def terminal(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """A terminal that reads the output."""
    monkeypatch.setattr(console, "is_terminal", lambda: request.param)
    monkeypatch.setenv("COLUMNS", "400")
    return bool(request.param)


class SayTests:
    """Texts of strangers in the output."""

    @pytest.mark.usefixtures("terminal")
    @pytest.mark.parametrize("name", PRINTED)
    def test_escaped(self, name: str, capsys: pytest.CaptureFixture[str]) -> None:
        """A text of a stranger commands no terminal, and begins no line that could be taken for one of ours."""
        PRINTED[name]()
        printed = capsys.readouterr().out
        assert "\x1b]" not in printed
        assert not any(c in printed for c in "\r\x07\x9b\u2028\u202e\x7f")
        if name not in ("show", "paragraph"):
            assert SHOWN.replace(r"\n", " | " if name == "table" else r"\n") in printed
        if name != "show":
            assert not any(line.startswith("11-22") for line in printed.splitlines())

    def test_trouble(self, capsys: pytest.CaptureFixture[str]) -> None:
        """The lines of what is wrong, and those of its hint, are indented."""
        Trouble(EVIL, EVIL).tell(as_json=False)
        lines = capsys.readouterr().err.splitlines()
        assert lines[0] == "mcpgateway: x"
        assert lines[1].startswith("  11-22 11:59:59 forged\\x1b]52")
        assert lines[2] == "  x"
        assert lines[3].startswith("  11-22 11:59:59 forged\\x1b]52")
        assert len(lines) == 4

    def test_json(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Output for programs is exact, with unprintable characters as escapes."""
        emit({EVIL: [EVIL, "日本語"]})
        printed = capsys.readouterr().out
        assert json.loads(printed) == {EVIL: [EVIL, "日本語"]}
        assert all(c.isprintable() or c == "\n" for c in printed)
        assert r"\u009b2J\u2028y\u202ez\u007f" in printed
        assert "日本語" in printed


class StateTests:
    """The states of servers."""

    @pytest.mark.parametrize(
        ("state", "mark"), [("running", "●"), ("idle", "○"), ("degraded", "!"), ("error", "✗")]
    )
    def test_without_colours(
        self, state: str, mark: str, *, terminal: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A mark stands for the colour on a terminal without colours, not in a pipe, nor where only letters show."""
        monkeypatch.delenv("NO_COLOR", raising=False)
        monkeypatch.setenv("TERM", "xterm")
        word = READY if terminal and state == "idle" else state
        assert coloured(state) == styled(word, fg=STATE_COLOURS[state])
        monkeypatch.setenv("NO_COLOR", "1")
        assert coloured(state).text == (f"{mark} {word}" if terminal else state)
        monkeypatch.setenv("TERM", "dumb")
        assert coloured(state).text == word

    def test_every_colour(self) -> None:
        """Every colour of a state has a mark of its own."""
        assert set(STATE_COLOURS.values()) <= COLOUR_MARKS.keys()
        assert len(set(COLOUR_MARKS.values())) == len(COLOUR_MARKS)
