"""Real clients whose own files are led to the gateway: before, meanwhile and afterwards, whoever else writes them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from tests.clients.adopting import CLIENTS, Program, answering, claude_code_listed
from tests.clients.agents import run_claude_code
from tests.clients.program import Home
from tests.support.gateway import eventually
from tests.support.user import User

pytestmark = pytest.mark.functional

CLAUDE_CODE = CLIENTS["claude-code"]
CLAUDE_FILE = ".claude.json"
ADDS = 10  # of one server, while the gateway writes the file without a pause
EDITS = 20


@frozen
class Desk:
    """Where somebody works: a client's home, and the same home as the gateway sees it."""

    home: Home
    user: User

    def program(self, name: str) -> Program:
        """A server of that name."""
        return Program(name, self.home.directory / f"starts-of-{name}")

    def read(self, file: str = CLAUDE_FILE) -> bytes:
        """The bytes of a client's file."""
        return (self.home.directory / file).read_bytes()

    def servers(self) -> dict[str, Any]:
        """The servers that Claude Code has for its user."""
        found: dict[str, Any] = json.loads(self.read()).get("mcpServers", {})
        return found

    def claude(self, *words: str) -> str:
        """Run a command of Claude Code."""
        return run_claude_code(self.home, *words)

    def add(self, program: Program, scope: str = "user") -> None:
        """Tell Claude Code of a server, as its users do."""
        self.claude("mcp", "add", "--scope", scope, program.name, "--", *program.argv)

    def apply(self, *words: str) -> None:
        """Lead clients to the gateway."""
        self.user.mcpgateway("clients", "apply", "--yes", *words)

    def undo(self, *words: str) -> None:
        """Give clients' files back."""
        self.user.mcpgateway("clients", "undo", *words)

    def start(self) -> None:
        """Start the gateway; without a terminal to ask at, nothing leads to it that did not before."""
        self.user.mcpgateway("start")

    def starter(self, program: Program, client: str = "claude-code") -> int:
        """Which process has started the server that a client's call reaches."""
        pid = answering(CLIENTS[client].call(self.home, program.name, "pid"))
        return program.parents[pid]

    def is_led_here(self, name: str) -> bool:
        """Return whether Claude Code reaches a server of its user through the gateway."""
        return bool(self.servers()[name].get("url") == f"{self.user.url}/{name}/mcp")


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A home in which nothing has been done yet."""
    with Home(tmp_path / "h") as home, User(home.directory) as user:
        yield Desk(home, user)


@pytest.fixture
def one(desk: Desk) -> Program:
    """A server that the user of Claude Code has, and a gateway that runs."""
    program = desk.program("one")
    desk.add(program)
    claude_code_listed(desk.home, "one")  # from now on its file holds all that it writes by itself
    desk.start()
    return program


class EveryClientTests:
    """A client reads its file before, while and after it leads to the gateway."""

    @pytest.mark.parametrize("name", CLIENTS)
    def test_before_during_and_after(self, name: str, desk: Desk) -> None:
        """A client lists and calls a server each time, and only while it is led here the gateway starts that."""
        client, program = CLIENTS[name], desk.program("one")
        desk.home.write(client.file, client.text([program]))
        names = client.names(desk.home)
        client.listed(desk.home, "one")
        desk.starter(program, name)
        original, alone = desk.read(client.file), len(program.parents)

        desk.start()
        desk.apply(*names)
        assert f"{desk.user.url}/one/mcp" in desk.read(client.file).decode()
        client.listed(desk.home, "one")
        gateway = desk.user.gateway_pid
        assert desk.starter(program, name) == gateway
        assert set(list(program.parents.values())[alone:]) == {gateway}, "the client has started none"
        assert desk.user.backend("one")["requests"]

        desk.user.mcpgateway("stop")
        self.is_as_before(desk, name, original)
        client.listed(desk.home, "one")
        assert desk.starter(program, name) != gateway

        desk.start()
        assert f"{desk.user.url}/one/mcp" in desk.read(client.file).decode()
        assert desk.starter(program, name) == desk.user.gateway_pid
        desk.undo(*names)
        self.is_as_before(desk, name, original)
        assert desk.starter(program, name) != desk.user.gateway_pid

    def is_as_before(self, desk: Desk, name: str, original: bytes) -> None:
        """See that a file is what it was: Claude Code counts its starts there, all others leave theirs alone."""
        now = desk.read(CLIENTS[name].file)
        if name == "claude-code":
            assert desk.servers() == json.loads(original)["mcpServers"]
        else:
            assert now == original


class ClaudeCodeTests:
    """Claude Code, which writes its own file all the time."""

    def test_every_scope(self, desk: Desk) -> None:
        """Servers of the user, of the user in a project, and of the project's own file are led here, and back."""
        scopes = {"user": desk.program("one"), "local": desk.program("two"), "project": desk.program("three")}
        desk.home.write(".claude/settings.json", '{"enableAllProjectMcpServers": true}')
        for scope, program in scopes.items():
            desk.add(program, scope)
        listed = desk.claude("mcp", "list")
        assert listed.count("✔ Connected") == len(scopes), listed
        project, before = desk.read("work/.mcp.json"), json.loads(desk.read())

        desk.start()
        desk.apply("--client", "claude-code")
        desk.apply("--project", str(desk.home.work))
        listed = desk.claude("mcp", "list")
        for program in scopes.values():
            assert f"{program.name}: {desk.user.url}/{program.name}/mcp (HTTP) - ✔ Connected" in listed, (
                listed
            )
            assert desk.starter(program) == desk.user.gateway_pid

        desk.undo()
        assert desk.read("work/.mcp.json") == project
        after = json.loads(desk.read())
        assert after["mcpServers"] == before["mcpServers"]
        work = str(desk.home.work.resolve())
        assert after["projects"][work]["mcpServers"] == before["projects"][work]["mcpServers"]
        listed = desk.claude("mcp", "list")
        assert listed.count("✔ Connected") == len(scopes), listed

    def test_byte_for_byte(self, desk: Desk, one: Program) -> None:
        """When Claude Code has not written meanwhile, its file is what it was to the byte, whatever gives it back."""
        original = desk.read()
        desk.apply("--client", "claude-code")
        assert desk.is_led_here(one.name)
        desk.undo()
        assert desk.read() == original
        desk.apply("--client", "claude-code")
        desk.user.mcpgateway("stop")
        assert desk.read() == original
        desk.start()
        assert desk.is_led_here(one.name)
        desk.user.mcpgateway("disable")
        assert desk.read() == original
        desk.user.mcpgateway("enable")
        assert desk.is_led_here(one.name)
        desk.user.mcpgateway("stop")
        assert desk.read() == original

    def test_servers_that_come_and_go(self, desk: Desk, one: Program) -> None:
        """A server that is added meanwhile is led here by itself, and a removed one stays removed, also afterwards."""
        two, three = desk.program("two"), desk.program("three")
        desk.add(two)
        before = desk.servers()
        desk.apply("--client", "claude-code")
        desk.add(three)
        added = desk.servers()["three"]
        eventually(lambda: desk.is_led_here("three"), "the new server is led here")
        claude_code_listed(desk.home, "three")
        assert desk.starter(three) == desk.user.gateway_pid
        desk.claude("mcp", "remove", "--scope", "user", "two")
        assert set(desk.servers()) == {"one", "three"}
        assert "two:" not in desk.claude("mcp", "list")
        desk.undo()
        assert desk.servers()["one"] == before["one"]
        assert set(desk.servers()) == {"one", "three"}
        if "command" in added:  # it was read before it was led here
            assert desk.servers()["three"] == added
        claude_code_listed(desk.home, "three")
        assert desk.starter(three) != desk.user.gateway_pid

    def test_the_gateway_comes_back(self, desk: Desk, one: Program) -> None:
        """A gateway that is killed comes back by itself, and is restarted: the file stays, the server works
        each time.
        """
        desk.apply("--client", "claude-code")
        led = desk.servers()
        desk.user.kill_gateway()
        eventually(lambda: "✔ Connected" in desk.claude("mcp", "list"), "the gateway has come back")
        assert desk.servers() == led
        assert desk.starter(one) == desk.user.gateway_pid
        desk.user.mcpgateway("restart")
        assert desk.servers() == led
        assert desk.starter(one) == desk.user.gateway_pid
        desk.user.mcpgateway("stop")
        assert "url" not in desk.servers()["one"]
        claude_code_listed(desk.home, "one")

    def test_no_edit_is_lost(self, desk: Desk, one: Program) -> None:
        """While its file is led here and back all the time, twenty servers are added, and each is there in the end."""
        programs = [desk.program(f"n{number}") for number in range(EDITS)]
        with ThreadPoolExecutor(1) as pool:
            adding = pool.submit(self.edit, desk, programs)
            rounds = self.back_and_forth(desk, adding)
            adding.result()
        desk.undo()
        found = desk.servers()
        assert rounds
        assert set(found) == {"one", *(each.name for each in programs)}
        for each in (one, *programs):
            assert [found[each.name]["command"], *found[each.name]["args"]] == each.argv
        backups = desk.home.directory / ".claude" / "backups"
        assert not list(backups.glob("*.corrupted.*")), "Claude Code has never seen half a file"
        ours = json.loads(desk.read())
        assert ours["machineID"]

    def edit(self, desk: Desk, programs: Sequence[Program]) -> None:
        """Add servers, and list them, one after the other."""
        for each in programs:
            self.add(desk, each)
            desk.claude("mcp", "list")

    def add(self, desk: Desk, program: Program) -> None:
        """Add a server; again where Claude Code says that it could not save the file, which others kept locked."""
        for _ in range(ADDS):
            try:
                desk.add(program)
            except AssertionError as why:
                if "add the server again" not in str(why):
                    raise
            else:
                return
        raise AssertionError(f"{program.name} could not be saved {ADDS} times in a row")

    def back_and_forth(self, desk: Desk, until: Future[None]) -> int:
        """Lead a file here and back until something is done; how many times."""
        rounds = 0
        while not until.done():
            desk.apply("--client", "claude-code")
            desk.undo("--client", "claude-code")
            rounds += 1
        return rounds
