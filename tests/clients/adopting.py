"""Clients with programs in files of their own: what each file holds, and how one sees where a server is reached."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from attrs import frozen

from tests.clients.agents import (
    GEMINI_CLI,
    NOWHERE,
    STARTUP_S,
    Ask,
    ask_claude_code,
    ask_codex,
    ask_gemini_cli,
    ask_opencode,
    codex_settings,
    run_claude_code,
    run_opencode,
)
from tests.clients.mock_model import PREFIX, MockModel
from tests.clients.program import Home, npm_bin
from tests.support.real_servers import fixture

INSPECTED = "inspector.json"  # the file that the Inspector is told to read

# The server tells who started it before it becomes what it is.
TELLING = 'echo "$$ $PPID" >> "$0"; exec "$@"'
ANSWERED = re.compile(r"pid\W+(\d+)")


@frozen
class Program:
    """A server that tells by whom it is started.

    :ivar starts: the file where it does: a line of two process ids for each start.
    :ivar flags: those of ``tests/servers/fixture.py``.
    """

    name: str
    starts: Path
    flags: tuple[str, ...] = ()

    @property
    def argv(self) -> list[str]:
        """Return the words that start the program."""
        return ["sh", "-c", TELLING, str(self.starts), *fixture(*self.flags)]

    @property
    def parents(self) -> dict[int, int]:
        """Which process of it was started by which."""
        text = self.starts.read_text() if self.starts.exists() else ""
        written = [line.split() for line in text.split("\n")[:-1]]  # the last may be half of a line
        return {int(child): int(parent) for child, parent in written}


Call = Callable[[Home, str, str], str]
"""Call a tool of a server, both by their names; what the tool said."""


@frozen
class Client:
    """A client that reads servers from a file of its own.

    :ivar names: what follows ``mcpgateway clients apply`` to name it, given a home.
    :ivar file: where it reads them in its home.
    :ivar text: what stands there, given the programs.
    :ivar listed: see that a server is listed by the client, and connected if it looks; what it says.
    :ivar call: of a tool.
    """

    names: Callable[[Home], tuple[str, ...]]
    file: str
    text: Callable[[Sequence[Program]], str]
    listed: Callable[[Home, str], str]
    call: Call


def answering(said: str) -> int:
    """The process that answered a call of the tool ``pid``."""
    found = ANSWERED.search(said)
    assert found, said
    return int(found[1])


def calling(ask: Ask) -> Call:
    """Have an agent call a tool, since the model wants it to."""

    def call(home: Home, server: str, tool: str) -> str:
        with MockModel(server, tool, [{}]) as model:
            said = ask(home, model)
        assert model.results, f"no call of {server} {tool}; offered: {sorted(model.offered)}; said:\n{said}"
        assert PREFIX in said, said
        return model.results[0]

    return call


def known(dialect: str) -> Callable[[Home], tuple[str, ...]]:
    """A client that is named by its dialect."""
    return lambda home: ("--client", dialect)


def entries(programs: Sequence[Program], **more: object) -> dict[str, Mapping[str, object]]:
    """The entries of programs as most clients write them."""
    return {
        each.name: {"command": each.argv[0], "args": each.argv[1:], "env": {"TOKEN": "k-1"}, **more}
        for each in programs
    }


def _claude_code(programs: Sequence[Program]) -> str:
    servers = {name: {"type": "stdio", **each} for name, each in entries(programs).items()}
    return json.dumps({"numStartups": 7, "mcpServers": servers, "tipsHistory": {"ä": 1}}, indent=2)


def claude_code_listed(home: Home, name: str) -> str:
    """Claude Code connects each server that it lists."""
    listed = run_claude_code(home, "mcp", "list")
    assert re.search(rf"^{name}: .* - ✔ Connected$", listed, re.MULTILINE), listed
    return listed


def _codex(programs: Sequence[Program]) -> str:
    lines = ["# my own settings", *codex_settings(NOWHERE), ""]
    for each in programs:
        lines += [
            f"[mcp_servers.{each.name}]  # {each.name}",
            f"command = {json.dumps(each.argv[0])}",
            f"args = {json.dumps(each.argv[1:])}",
            f"required = true\nstartup_timeout_sec = {STARTUP_S}",
            f'[mcp_servers.{each.name}.env]\nTOKEN = "k-1"',
        ]
    return "\n".join([*lines, "", "# the end", ""])


def _codex_listed(home: Home, name: str) -> str:
    listed = home.run(npm_bin("codex"), "mcp", "list")
    assert re.search(rf"^{name} .* enabled", listed, re.MULTILINE), listed
    return listed


def _gemini(programs: Sequence[Program]) -> str:
    text = json.dumps({**GEMINI_CLI, "mcpServers": entries(programs, trust=True)}, indent=2)
    return text.replace('"mcpServers"', '// what I use\n  "mcpServers"', 1)


def _gemini_listed(home: Home, name: str) -> str:
    home.write(".gemini/trustedFolders.json", json.dumps({str(home.work): "TRUST_FOLDER"}))
    listed = home.run(npm_bin("gemini"), "mcp", "list")
    assert re.search(rf"✓ {name}: .* - Connected", listed), listed
    return listed


def _opencode(programs: Sequence[Program]) -> str:
    servers = {
        each.name: {
            "type": "local",
            "command": each.argv,
            "environment": {"TOKEN": "k-1"},
            "timeout": STARTUP_S * 1000,
            "enabled": True,
        }
        for each in programs
    }
    text = json.dumps({"$schema": "https://opencode.ai/config.json", "mcp": servers}, indent="\t")
    return text.replace('"mcp"', "// what I use\n\t" + '"mcp"', 1)


def _opencode_listed(home: Home, name: str) -> str:
    listed = " ".join(run_opencode(home, "mcp", "list").split())
    assert f"✓ {name} connected" in listed, listed
    return listed


def _inspector(programs: Sequence[Program]) -> str:
    return json.dumps({"mcpServers": entries(programs)}, indent=4) + "\n"


def _inspect(home: Home, server: str, *words: str) -> str:
    answer = home.directory / "answer.json"  # on its stdout there is more than the answer
    there = ("--config", str(home.directory / INSPECTED), "--server", server)
    home.run(npm_bin("mcp-inspector"), "--cli", *there, "--output", str(answer), "--method", *words)
    return answer.read_text()


def _inspector_listed(home: Home, name: str) -> str:
    tools = _inspect(home, name, "tools/list")
    assert '"pid"' in tools, tools
    return (home.directory / INSPECTED).read_text()


def _inspector_calls(home: Home, server: str, tool: str) -> str:
    return _inspect(home, server, "tools/call", "--tool-name", tool)


CLIENTS: Mapping[str, Client] = {
    "claude-code": Client(
        known("claude-code"), ".claude.json", _claude_code, claude_code_listed, calling(ask_claude_code)
    ),
    "codex": Client(known("codex"), ".codex/config.toml", _codex, _codex_listed, calling(ask_codex)),
    "gemini": Client(
        known("gemini"), ".gemini/settings.json", _gemini, _gemini_listed, calling(ask_gemini_cli)
    ),
    "opencode": Client(
        known("opencode"),
        ".config/opencode/opencode.json",
        _opencode,
        _opencode_listed,
        calling(ask_opencode),
    ),
    "inspector": Client(
        lambda home: ("--file", str(home.directory / INSPECTED)),
        INSPECTED,
        _inspector,
        _inspector_listed,
        _inspector_calls,
    ),
}
