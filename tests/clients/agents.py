"""The agents: how each is configured and started, and what it reports of its calls."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from tests.clients.job import Job
from tests.clients.mock_model import PREFIX, MockModel
from tests.clients.program import (
    NODE_MODULES,
    NOWHERE,
    Home,
    installed,
    npm_bin,
)

PROMPT = "Call the tool."
# Agents begin without the servers that have not answered after a few seconds, which a busy machine does not keep to.
STARTUP_S = 120
CLAUDE_CODE = {
    "DISABLE_AUTOUPDATER": "1",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "ENABLE_TOOL_SEARCH": "false",  # else the tools are not in the first request to the model
    "ANTHROPIC_API_KEY": "none",
    "ANTHROPIC_BASE_URL": NOWHERE,  # else it looks for more than a model there, and waits
    "MCP_CONNECTION_NONBLOCKING": "0",
    "MCP_CONNECT_TIMEOUT_MS": str(STARTUP_S * 1000),
    "MCP_TIMEOUT": str(STARTUP_S * 1000),
}
GEMINI_CLI = {
    "security": {"auth": {"selectedType": "gemini-api-key"}},
    "general": {"enableAutoUpdate": False},
    "privacy": {"usageStatisticsEnabled": False},
}
# Whatever it would fetch from elsewhere it waits for, though it is not there.
OPENCODE = dict.fromkeys(
    (
        "OPENCODE_DISABLE_AUTOUPDATE",
        "OPENCODE_DISABLE_MODELS_FETCH",
        "OPENCODE_DISABLE_DEFAULT_PLUGINS",
        "OPENCODE_DISABLE_LSP_DOWNLOAD",
    ),
    "1",
)

Run = Callable[[Home, Mapping[str, str], Sequence[Job]], list[str]]
"""Do the jobs as one agent: a home, where each server is, the jobs; what came of each, as the agent shows it."""


class Turn(Protocol):
    """A turn of an agent, which does what the model asks for; it returns the agent's words, given more environment."""

    def __call__(self, home: Home, urls: Mapping[str, str], model: MockModel, **more: str) -> str:
        """Take the turn."""


class Ask(Protocol):
    """The same with whatever servers the agent is configured to."""

    def __call__(self, home: Home, model: MockModel, prompt: str = PROMPT, **more: str) -> str:
        """Take the turn, which begins with a prompt or with a command of the agent."""


def claude_code(home: Home, urls: Mapping[str, str], jobs: Sequence[Job]) -> list[str]:
    """Claude Code: every server is connected, and an agent's turn calls a tool."""
    _configure_claude_code(home, urls)
    listed = run_claude_code(home, "mcp", "list")
    for name, url in urls.items():
        assert f"{name}: {url} (HTTP) - ✔ Connected" in listed, listed
    return [_done(job, claude_code_turn, home, urls) for job in jobs]


def run_claude_code(home: Home, *words: str, **more: str) -> str:
    """Run a command of Claude Code with whatever it is configured to; what it says."""
    return home.run(
        installed(NODE_MODULES / "@anthropic-ai" / "claude-code-linux-x64" / "claude"),
        *words,
        **{**CLAUDE_CODE, **more},
    )


def claude_code_turn(home: Home, urls: Mapping[str, str], model: MockModel, **more: str) -> str:
    """The output of Claude Code in one turn."""
    _configure_claude_code(home, urls)
    return ask_claude_code(home, model, **more)


def ask_claude_code(home: Home, model: MockModel, prompt: str = PROMPT, **more: str) -> str:
    """The output of Claude Code in one turn with whatever it is configured to."""
    asked = {"ANTHROPIC_BASE_URL": model.url, **more}
    return run_claude_code(home, "-p", prompt, "--allowedTools", f"mcp__{model.server}__*", **asked)


def _configure_claude_code(home: Home, urls: Mapping[str, str]) -> None:
    servers = {name: {"type": "http", "url": url} for name, url in urls.items()}
    home.write(".claude.json", json.dumps({"mcpServers": servers}))


def codex(home: Home, urls: Mapping[str, str], jobs: Sequence[Job]) -> list[str]:
    """Codex: an agent's turn calls a tool."""
    return [_done(job, codex_turn, home, urls) for job in jobs]


def codex_turn(home: Home, urls: Mapping[str, str], model: MockModel, **more: str) -> str:
    """The output of Codex in one turn."""
    waits = f"required = true\nstartup_timeout_sec = {STARTUP_S}"
    servers = [f'[mcp_servers.{name}]\nurl = "{url}"\n{waits}' for name, url in urls.items()]
    home.write(".codex/config.toml", "\n".join([*codex_settings(model.url), *servers]))
    return ask_codex(home, model, **more)


def ask_codex(home: Home, model: MockModel, prompt: str = PROMPT, **more: str) -> str:
    """The output of Codex in one turn with whatever servers it is configured to."""
    there = f'model_providers.mock.base_url="{model.url}/v1"'
    return home.run(npm_bin("codex"), "exec", "--skip-git-repo-check", "-c", there, prompt, **more)


def codex_settings(model: str) -> list[str]:
    """The lines of its configuration that have it talk to a model of ours."""
    return [
        'model = "mock"',
        'model_provider = "mock"',
        'approval_policy = "never"',
        'sandbox_mode = "danger-full-access"',
        "[model_providers.mock]",
        'name = "mock"',
        f'base_url = "{model}/v1"',
        'wire_api = "responses"',
        "[analytics]",
        "enabled = false",
    ]


def gemini_cli(home: Home, urls: Mapping[str, str], jobs: Sequence[Job]) -> list[str]:
    """Gemini CLI: every server is connected, and an agent's turn calls a tool."""
    _configure_gemini_cli(home, urls)
    listed = home.run(npm_bin("gemini"), "mcp", "list")
    for name, url in urls.items():
        assert f"✓ {name}: {url} (http) - Connected" in listed, listed
    return [_done(job, gemini_cli_turn, home, urls) for job in jobs]


def gemini_cli_turn(home: Home, urls: Mapping[str, str], model: MockModel, **more: str) -> str:
    """The output of Gemini CLI in one turn."""
    _configure_gemini_cli(home, urls)
    return ask_gemini_cli(home, model, **more)


def ask_gemini_cli(home: Home, model: MockModel, prompt: str = PROMPT, **more: str) -> str:
    """The output of Gemini CLI in one turn with whatever it is configured to."""
    asked = {"GEMINI_API_KEY": "none", "GOOGLE_GEMINI_BASE_URL": model.url, **more}
    flags = ("--approval-mode", "yolo", "-m", "gemini-2.5-flash")
    return home.run(npm_bin("gemini"), "-p", prompt, *flags, **asked)


def _configure_gemini_cli(home: Home, urls: Mapping[str, str]) -> None:
    servers = {name: {"type": "http", "url": url} for name, url in urls.items()}
    home.write(".gemini/settings.json", json.dumps({"mcpServers": servers, **GEMINI_CLI}))
    home.write(".gemini/trustedFolders.json", json.dumps({str(home.work): "TRUST_FOLDER"}))


def opencode(home: Home, urls: Mapping[str, str], jobs: Sequence[Job]) -> list[str]:
    """opencode: every server is connected, and an agent's turn calls a tool."""
    _configure_opencode(home, urls, NOWHERE)
    listed = run_opencode(home, "mcp", "list")
    for name in urls:
        assert f"✓ {name} connected" in " ".join(listed.split()), listed
    return [_done(job, opencode_turn, home, urls) for job in jobs]


def opencode_turn(home: Home, urls: Mapping[str, str], model: MockModel, **more: str) -> str:
    """The output of opencode in one turn."""
    _configure_opencode(home, urls, model.url)
    return run_opencode(home, "run", PROMPT, **more)


def ask_opencode(home: Home, model: MockModel, prompt: str = PROMPT, **more: str) -> str:
    """The output of opencode in one turn with whatever servers it is configured to."""
    settings = json.dumps(opencode_settings(model.url))
    words = ("--command", *prompt[1:].split()) if prompt.startswith("/") else (prompt,)
    return run_opencode(home, "run", *words, OPENCODE_CONFIG_CONTENT=settings, **more)


def run_opencode(home: Home, *words: str, **more: str) -> str:
    """Run a command of opencode with whatever it is configured to; what it says."""
    program = installed(NODE_MODULES / "opencode-linux-x64" / "bin" / "opencode")
    return home.run(program, *words, **{**OPENCODE, **more})


def _configure_opencode(home: Home, urls: Mapping[str, str], model: str) -> None:
    remote = {"type": "remote", "enabled": True, "timeout": STARTUP_S * 1000}
    servers = {name: {**remote, "url": url} for name, url in urls.items()}
    home.write(".config/opencode/opencode.json", json.dumps({**opencode_settings(model), "mcp": servers}))


def opencode_settings(model: str) -> dict[str, Any]:
    """The part of its configuration that has it talk to a model of ours."""
    limit = {"context": 100000, "output": 4000}
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "name": "mock",
        "options": {"baseURL": f"{model}/v1", "apiKey": "none"},
        "models": {"mock": {"name": "mock", "tool_call": True, "limit": limit}},
    }
    return {
        "autoupdate": False,
        "share": "disabled",
        "model": "mock/mock",
        "permission": "allow",
        "provider": {"mock": provider},
    }


def ask_copilot(home: Home, model: MockModel, prompt: str = PROMPT, **more: str) -> str:
    """The output of Copilot in one turn with whatever it is configured to."""
    there = {
        "COPILOT_OFFLINE": "true",
        "COPILOT_PROVIDER_BASE_URL": f"{model.url}/v1",
        "COPILOT_MODEL": "mock",
    }
    program = installed(NODE_MODULES / "@github" / "copilot-linux-x64" / "copilot")
    return home.run(program, "-p", prompt, "--allow-all-tools", **{**there, **more})


AGENTS: Mapping[str, Run] = {
    "claude-code": claude_code,
    "codex": codex,
    "gemini-cli": gemini_cli,
    "opencode": opencode,
}
"""Clients that take seconds for each call, and get one."""

TURNS: Mapping[str, Turn] = {
    "claude-code": claude_code_turn,
    "codex": codex_turn,
    "gemini-cli": gemini_cli_turn,
    "opencode": opencode_turn,
}
"""One turn of each agent."""


def _done(job: Job, turn: Turn, home: Home, urls: Mapping[str, str]) -> str:
    """The result that an agent told the model of its call; the model's last words have to be the agent's."""
    with MockModel(job.server, job.tool, [job.arguments]) as model:
        said = turn(home, urls, model)
    assert model.results, (
        f"no call of {job.server} {job.tool}; offered: {sorted(model.offered)}; said:\n{said}"
    )
    assert PREFIX in said, said
    return model.results[-1]
