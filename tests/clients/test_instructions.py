"""Real agents read the text that is installed for them, and obey its commands."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from attrs import frozen

from tests.clients.agents import (
    GEMINI_CLI,
    STARTUP_S,
    Ask,
    ask_claude_code,
    ask_codex,
    ask_copilot,
    ask_gemini_cli,
    ask_opencode,
    codex_settings,
    run_claude_code,
)
from tests.clients.program import Home
from tests.clients.scripted_model import ScriptedModel, Step
from tests.support.real_servers import fixture
from tests.support.user import User

pytestmark = pytest.mark.functional

ALL = "mcpgateway"  # the one entry for all servers
NEEDED = "runs the MCP servers of this machine once"
WORDS = "echo the text"
BODY = f"Find the tools for this: {WORDS}"
SKILL = "Find the tools for this: (the words after the command)"
FIND = Step(ALL, "gateway_search", {"query": WORDS})


@frozen
class Agent:
    """An agent, and what it makes of a command.

    :ivar file: its file with servers, in its home.
    :ivar text: what stands there, given the URL of the gateway.
    :ivar prompt: how a user gives the command.
    :ivar body: what the model reads then.
    :ivar steps: what the model asks for before it searches.
    """

    ask: Ask
    file: str
    text: str
    prompt: str = f"/gateway-find {WORDS}"
    body: str = BODY
    steps: tuple[Step, ...] = ()


def entries(key: str, **more: object) -> str:
    """A file in JSON with the entry for all servers."""
    return json.dumps({**more, "mcpServers": {ALL: {"type": "http", key: "URL/mcp"}}})


REQUIRED = f"required = true\nstartup_timeout_sec = {STARTUP_S}\n"
OPENCODE = {"type": "remote", "url": "URL/mcp", "enabled": True, "timeout": STARTUP_S * 1000}
COPILOT = {"type": "http", "url": "URL/mcp", "tools": ["*"]}
AGENTS: Mapping[str, Agent] = {
    "claude-code": Agent(ask_claude_code, ".claude.json", entries("url")),
    "codex": Agent(
        ask_codex,
        ".codex/config.toml",
        "\n".join(
            [*codex_settings("http://127.0.0.1:9"), f'[mcp_servers.{ALL}]\nurl = "URL/mcp"\n{REQUIRED}']
        ),
        f"$gateway-find {WORDS}",
        SKILL,
    ),
    "gemini": Agent(ask_gemini_cli, ".gemini/settings.json", entries("httpUrl", **GEMINI_CLI)),
    "opencode": Agent(ask_opencode, ".config/opencode/opencode.json", json.dumps({"mcp": {ALL: OPENCODE}})),
    # It offers a skill to the model, which loads it.
    "copilot": Agent(
        ask_copilot,
        ".copilot/mcp-config.json",
        json.dumps({"mcpServers": {ALL: COPILOT}}),
        body=SKILL,
        steps=(Step("", "skill", {"skill": "gateway-find"}),),
    ),
}


@pytest.fixture
def user(tmp_path: Path) -> Iterator[User]:
    """A user whose gateway serves one server, and who works on a repository."""
    with User(tmp_path) as user:
        (user.work / ".git").mkdir()
        user.write(".gemini/trustedFolders.json", json.dumps({str(user.work): "TRUST_FOLDER"}))
        user.mcpgateway("start")
        user.mcpgateway("servers", "add", "it", "--", *fixture())
        yield user


def turn(user: User, agent: Agent, prompt: str, server: str = ALL, **more: str) -> ScriptedModel:
    """Let an agent take a turn that begins with a prompt or a command; the model does what the command says."""
    steps = (*agent.steps, FIND)
    script = lambda results, _: steps[len(results)] if len(results) < len(steps) else None  # noqa: E731
    with (
        Home(user.home) as home,
        ScriptedModel(server, FIND.tool, [], decide=script, last=(ALL, FIND.tool)) as model,
    ):
        said = agent.ask(home, model, prompt, **more)
    assert len(model.results) == len(steps), f"offered: {sorted(model.offered)}; said:\n{said}"
    return model


def read(model: ScriptedModel) -> str:
    """All that the model has read."""
    return "\n".join(model.read)


class InstructedTests:
    """Agents whose clients have the texts."""

    @pytest.mark.parametrize("is_project", [False, True], ids=["user", "project"])
    @pytest.mark.parametrize("name", AGENTS)
    def test_a_command(self, name: str, is_project: bool, user: User) -> None:  # noqa: FBT001
        """The model reads the text once and the command with the user's words, and the tool that it names is there."""
        agent = AGENTS[name]
        user.write(agent.file, agent.text.replace("URL", user.url))
        before = {
            each for each in user.home.rglob("*") if each.name in ("AGENTS.md", "CLAUDE.md", "GEMINI.md")
        }
        scope = ["--project"] if is_project else []
        user.mcpgateway("instructions", "install", "--client", name, *scope, "--servers")
        model = turn(user, agent, agent.prompt)
        assert "it__echo" in model.results[-1]
        assert agent.body in read(model)
        assert max(each.count(NEEDED) for each in model.read) == 1
        assert read(turn(user, agent, agent.prompt.replace("gateway-find", "use-it"))).count(
            "Use the MCP server it"
        )
        user.mcpgateway("instructions", "uninstall")
        after = {
            each for each in user.home.rglob("*") if each.name in ("AGENTS.md", "CLAUDE.md", "GEMINI.md")
        }
        assert after == before

    def test_an_agents_file(self, user: User) -> None:
        """Claude Code reads the text in an AGENTS.md, and all that its user has written there and elsewhere."""
        agent = AGENTS["claude-code"]
        user.write(agent.file, agent.text.replace("URL", user.url))
        user.write(".claude/CLAUDE.md", "# For all projects\n")
        (user.work / "AGENTS.md").write_text("# For this project\n")
        user.mcpgateway("instructions", "install", "--client", "claude-code", "--project")
        model = turn(user, agent, agent.prompt)
        assert "# For all projects" in read(model)
        assert "# For this project" in read(model)
        assert max(each.count(NEEDED) for each in model.read) == 1

    def test_the_plugin(self, user: User) -> None:
        """Claude Code installs the plugin, which has the commands and the entry for all servers."""
        user.mcpgateway("instructions", "install", "--client", "claude-plugin")
        at = str(user.gateway_home / "claude-plugin")
        with Home(user.home) as home:
            assert "Validation passed" in run_claude_code(home, "plugin", "validate", at)
            run_claude_code(home, "plugin", "marketplace", "add", at)
            run_claude_code(home, "plugin", "install", "mcpgateway@mcpgateway")
            listed = run_claude_code(home, "mcp", "list")
            assert f"plugin:{ALL}:{ALL}: {user.url}/mcp (HTTP) - ✔ Connected" in listed, listed
        find, name = f"/mcpgateway:find {WORDS}", f"plugin_{ALL}_{ALL}"
        model = turn(
            user, AGENTS["claude-code"], find, name, CLAUDE_CODE_SESSIONEND_HOOKS_TIMEOUT_MS="120000"
        )
        assert "it__echo" in model.results[-1]
        assert BODY in read(model)
        done = user.told("debug", "activity")["items"]
        call = next(each for each in done if each.get("tool") == "search")
        assert call["project"] == str(user.work), "the entry says in which directory it is"
        assert call["pid"] > 0
        assert "sessions.kill_some" in {each.get("operation") for each in done}, "the hook has told its end"
