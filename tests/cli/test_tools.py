"""The arguments and results of tools, as the command line reads and shows them."""

from __future__ import annotations

import base64
import json
import sys
from typing import Any, ClassVar

import pytest

from mcpgateway import escaping
from mcpgateway.cli.commands.servers import discover, tools
from mcpgateway.cli.console import Trouble, emit
from mcpgateway.cli.main import run

SCHEMA = {
    "properties": {
        "text": {"type": "string"},
        "number": {"type": "integer"},
        "flag": {"type": ["boolean", "null"]},
        "list": {"anyOf": [{"type": "array"}, {"type": "null"}]},
        "either": {"type": ["string", "integer"]},
        "free": {},
    }
}


class ArgumentTests:
    """Arguments."""

    @pytest.mark.parametrize(
        ("pair", "value"),
        [
            ("text=5", "5"),
            ("text=a=b", "a=b"),
            ("text=", ""),
            ("number=5", 5),
            ("flag=true", True),
            ("list=[1, 2]", [1, 2]),
            ("either=5", 5),
            ("either=five", "five"),
            ("free=5", "5"),
            ("unknown=5", "5"),
        ],
    )
    def test_pairs(self, pair: str, value: Any) -> None:
        """A value is text, unless the tool takes something else there."""
        assert tools._pairs((pair,), SCHEMA) == {pair.partition("=")[0]: value}

    @pytest.mark.parametrize("pair", ["number=five", "text", "=5", "list=1,2"])
    def test_bad_pairs(self, pair: str) -> None:
        """An argument that cannot be meant is an error."""
        with pytest.raises(Trouble):
            tools._pairs((pair,), SCHEMA)

    def test_a_strange_schema(self) -> None:
        """A schema that says nothing, or nonsense, leaves text."""
        for schema in (None, {}, {"properties": []}, {"properties": {"a": True}}):
            assert tools._pairs(("a=1",), schema) == {"a": "1"}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("One. Two.", "One."),
        ("Takes a.b and c", "Takes a.b and c"),
        ("word " * 40, f"{'word ' * 32}…"),
        ("x" * 200, f"{'x' * 160} …"),
        ("", ""),
    ],
)
def test_brief(text: str, shown: str) -> None:
    """A list has the first sentence of a description, and no more than two lines of it."""
    assert tools.brief(text) == shown


class ResultTests:
    """Results."""

    @pytest.mark.parametrize(
        ("block", "shown"),
        [
            ({"type": "text", "text": "a\nb"}, "a\nb"),
            (
                {"type": "image", "mimeType": "image/png", "data": base64.b64encode(b"x" * 100).decode()},
                "[image: image/png, 100 bytes]",
            ),
            (
                {"type": "audio", "mimeType": "audio/wav", "data": base64.b64encode(b"x" * 50_000).decode()},
                "[audio: audio/wav, 49 kB]",
            ),
            ({"type": "resource_link", "name": "n", "uri": "file:///n"}, "[resource: n file:///n]"),
            ({"type": "resource", "resource": {"uri": "u", "text": "t"}}, "t"),
            (
                {"type": "resource", "resource": {"uri": "u", "mimeType": "m", "blob": "eHh4"}},
                "[resource: u, m, 3 bytes]",
            ),
            ({"type": "other", "a": "ü"}, '{"type": "other", "a": "ü"}'),
        ],
    )
    def test_blocks(self, block: dict[str, Any], shown: str) -> None:
        """Texts of a result are printed as they are; other blocks with their kind and size."""
        assert tools._shown(block) == shown

    def test_structured_content(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Where there is no text, there may be a value."""
        tools._tell_result({"content": [], "structuredContent": {"a": 1}})
        assert capsys.readouterr().out == '{\n  "a": 1\n}\n'


class DiscoverTests:
    """The outcome for each server."""

    def test_a_table(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Each server has a line: how many tools, how long, and what was wrong."""
        discover._tell(
            [
                {"name": "a", "state": "done", "tools": 3, "entries": 0, "took_s": 0.26, "note": "too long"},
                {
                    "name": "b",
                    "state": "failed",
                    "tools": 0,
                    "entries": 0,
                    "took_s": 1.0,
                    "error": "it is away",
                },
            ]
        )
        assert capsys.readouterr().out.splitlines() == [
            "SERVER  TOOLS  TIME",
            "a       3      260 ms  too long",
            "b       -      1 s     it is away",
            "3 tools of 1 server; 1 could not be asked",
        ]

    def test_nothing(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Without servers there is nothing to ask."""
        discover._tell([])
        assert "no servers" in capsys.readouterr().out

    def test_away(self, capsys: pytest.CaptureFixture[str]) -> None:
        """A gateway that was named by its URL and does not answer is an error: no other is asked in its place."""
        assert run(["--url", "http://127.0.0.1:1", "tools", "refresh"]) == 2
        assert run(["--url", "http://127.0.0.1:1", "tools", "list"]) == 2
        assert "no gateway answers" in capsys.readouterr().err


class TerminalTests:
    """Texts of servers, on a terminal and in a pipe."""

    def test_whole_descriptions(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A description is folded to the width of the terminal, and not cut."""
        monkeypatch.setenv("COLUMNS", "60")
        monkeypatch.setattr("sys.stdout.isatty", lambda: True)
        words = [f"word{number}" for number in range(40)]
        tools.shown_by(tools.TOOLS, is_full=True).tell(
            [{"name": "clock__now", "description": " ".join(words)}]
        )
        shown = capsys.readouterr().out
        assert [each for each in shown.split() if each.startswith("word")] == words
        assert max(map(len, shown.splitlines())) <= 60

    NASTY = "a\tb\r\n\x1b]0;title\x07\x1b[31mred\x1b[0m\u202e"
    RESULT: ClassVar[dict[str, Any]] = {"content": [{"type": "text", "text": NASTY}]}

    def test_a_terminal_obeys_nothing(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Control characters are shown, in results and in descriptions."""
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        monkeypatch.setenv("NO_COLOR", "1")
        tools._tell_result(self.RESULT)
        assert capsys.readouterr().out == "a\tb\n\\x1b]0;title\\x07\\x1b[31mred\\x1b[0m\\u202e\n"
        schema = {"properties": {self.NASTY: {"type": "string", "description": self.NASTY}}}
        tool = {"id": self.NASTY, "title": self.NASTY, "description": self.NASTY, "inputSchema": schema}
        tools._tell_tool(tool)
        tools.TOOLS.tell([{"name": self.NASTY, "description": self.NASTY}])
        out = capsys.readouterr().out
        assert "\x1b]" not in out
        assert "\x07" not in out
        assert "\u202e" not in out

    def test_a_pipe_obeys_nothing_either(self, capsys: pytest.CaptureFixture[str]) -> None:
        """A text in a pipe is as harmless as on a terminal, as a pager may read it; JSON has every byte."""
        tools._tell_result(self.RESULT)
        out = capsys.readouterr().out
        assert out == escaping.lines(self.NASTY) + "\n"
        assert out != self.NASTY + "\n"
        emit(self.RESULT)
        assert json.loads(capsys.readouterr().out) == self.RESULT
