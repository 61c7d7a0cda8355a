"""The texts say what the program does, and no more than the client's endpoint lists."""

from __future__ import annotations

import re
import tomllib

import click
import pytest

from mcpgateway.cli.main import program
from mcpgateway.clientfiles.instructions import block
from mcpgateway.clientfiles.instructions.agents import clients
from mcpgateway.clientfiles.instructions.texts import KINDS, commands, instructions, server_command, setup
from mcpgateway.config.surface import Expose
from mcpgateway.discovery.tokens import estimate
from mcpgateway.owntools.family import OwnToolParts, make_builtin

PORT = 9123
TOKENS = 250
TEXTS = {
    "setup": setup(),
    **{f"block {kind}": instructions(PORT, [kind]) for kind in KINDS},
    **{f"{each.name} {kind}": each.text for kind in KINDS for each in commands(kind)},
    "server": server_command("clock", "http://localhost:9123/clock/mcp").text,
}
by_name = pytest.mark.parametrize("name", TEXTS)
by_kind = pytest.mark.parametrize("kind", KINDS)


def commands_in(text: str) -> set[str]:
    """The commands that a text names."""
    return {" ".join(each.split()) for each in re.findall(r"`mcpgateway ([^`]+)`", text)}


def listed(kind: str) -> set[str]:
    """The gateway's own tools that an endpoint of a kind lists."""
    if kind not in {each.value for each in Expose}:
        return set()
    own = make_builtin(OwnToolParts(None, None, None, None, None))  # type: ignore[arg-type]
    return {each.name for each in own.tools(kind)}


class TextTests:
    """The texts for agents."""

    @by_name
    def test_every_command_is_there(self, name: str) -> None:
        """Each command that a text names can be given, with its options."""
        for line in commands_in(TEXTS[name]):
            command: click.Command | None = program
            context = program.make_context("mcpgateway", [], resilient_parsing=True)
            for word in line.split():
                if not isinstance(command, click.Group) or not re.fullmatch(r"[a-z-]+", word):
                    break
                command = command.get_command(context, word)
                assert command is not None, line

    def test_the_kinds_are_those_of_the_configuration(self) -> None:
        """Each value of ``gateway.expose`` has its texts."""
        assert {each.value for each in Expose} < set(KINDS)

    @by_kind
    def test_only_tools_that_are_listed(self, kind: str) -> None:
        """No text names a tool of the gateway that the client's endpoint does not list."""
        texts = [instructions(PORT, [kind]), *(each.text for each in commands(kind))]
        named = {each for text in texts for each in re.findall(r"`(gateway_[a-z_]+|list_tools|call)`", text)}
        assert named <= listed(kind)
        assert bool(named) == (kind != "servers")

    @by_kind
    def test_every_command(self, kind: str) -> None:
        """All five jobs have a command; where no result is cut, none shows the rest of one."""
        jobs = {"find", "call", "page", "doctor", "add"} - ({"page"} if kind == "servers" else set())
        assert {each.name for each in commands(kind)} == {f"gateway-{each}" for each in jobs}

    @by_kind
    def test_few_tokens(self, kind: str) -> None:
        """The block, which every session pays for, takes 250 tokens at most, marks included."""
        made = block.put(None, instructions(PORT, [kind]), clients()["continue"].project.front)
        assert estimate(made) <= TOKENS
        assert f"localhost:{PORT}/" in made.decode()
        assert "{" not in made.decode()

    @pytest.mark.parametrize("kind", ["search", "servers"])
    def test_what_the_lists_of_commands_cost(self, kind: str) -> None:
        """The descriptions of skills, of which a model reads a list in each session, take 100 tokens together."""
        assert estimate("".join(f"- {each.name}: {each.description}\n" for each in commands(kind))) <= 100

    def test_for_clients_with_different_endpoints(self) -> None:
        """A file that several clients read has the lines for each of them, once."""
        text = instructions(PORT, ["servers", "hybrid", "search"])
        assert text.count("`gateway_search`") == 1
        assert "tools search WORDS" in text


class FormTests:
    """The files of commands, as each client reads them."""

    @pytest.mark.parametrize("name", [name for name, each in clients().items() if each.user.commands])
    def test_a_server(self, name: str) -> None:
        """The file of a server has its name and its URL, and the mark in the first line below any front matter."""
        command = server_command(
            "clock", "http://x/clock/mcp", "Ask ${server_name} at ${server_url}: $ARGUMENTS, $5"
        )
        text = clients()[name].form.text(command, is_of_server=True)
        assert "Ask clock at http://x/clock/mcp: " in text
        assert ", $5" in text
        lines = text.split("\n")
        at = lines.index("---", 1) + 1 if lines[0] == "---" else 0
        assert "made by mcpgateway" in lines[at]
        assert at == 0 or name in ("codex", "copilot")  # a skill without front matter is none

    @pytest.mark.parametrize("name", [name for name, each in clients().items() if each.user.commands])
    def test_a_mark(self, name: str) -> None:
        """A command of the gateway's says so, in the first line below any front matter."""
        lines = clients()[name].form.text(next(commands("hybrid"))).split("\n")
        assert "made by mcpgateway" in lines[lines.index("---", 1) + 1 if lines[0] == "---" else 0]

    def test_gemini_with_control_characters(self) -> None:
        """A template may hold characters that TOML has no place for."""
        made = clients()["gemini"].form.text(server_command("clock", "", 'a\x7f"\\\u00e9\U0001f600'))
        assert tomllib.loads(made)["prompt"] == 'a\x7f"\\\u00e9\U0001f600'

    def test_gemini(self) -> None:
        """The command of Gemini is TOML with its own placeholder."""
        found = tomllib.loads(clients()["gemini"].form.text(next(commands("hybrid"))))
        assert "{{args}}" in found["prompt"]
        assert found["description"]
