"""The clients: how each is configured and started, and what it reports of its calls."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mcp import Client as SdkClient
from mcp.client.stdio import StdioServerParameters

from tests.clients.job import JOBS, Job
from tests.clients.mock_model import PREFIX, MockModel
from tests.clients.program import (
    LIMIT_S,
    NODE_MODULES,
    PYPI,
    PYTHON_DRIVERS,
    TYPESCRIPT_DRIVERS,
    Home,
    installed,
    npm_bin,
)

PROMPT = "Call the tool."
# Agents begin without the servers that have not answered after a few seconds, which a busy machine does not keep to.
STARTUP_MS = "120000"

Run = Callable[[Home, Mapping[str, str], Sequence[Job]], list[str]]
"""Do the jobs as one client: a home, where each server is, the jobs; what came of each, as the client shows it."""


def claude_code(home: Home, urls: Mapping[str, str], jobs: Sequence[Job]) -> list[str]:
    """Claude Code: every server is connected, and an agent's turn calls a tool."""
    program = installed(NODE_MODULES / "@anthropic-ai" / "claude-code-linux-x64" / "claude")
    servers = {name: {"type": "http", "url": url} for name, url in urls.items()}
    home.write(".claude.json", json.dumps({"mcpServers": servers}))
    quiet = {
        "DISABLE_AUTOUPDATER": "1",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "ENABLE_TOOL_SEARCH": "false",  # else the tools are not in the first request to the model
        "MCP_CONNECTION_NONBLOCKING": "0",
        "MCP_CONNECT_TIMEOUT_MS": STARTUP_MS,
        "MCP_TIMEOUT": STARTUP_MS,
        "ANTHROPIC_API_KEY": "none",
    }
    listed = home.run(program, "mcp", "list", **quiet)
    for name, url in urls.items():
        assert f"{name}: {url} (HTTP) - ✔ Connected" in listed, listed

    def turn(model: MockModel) -> str:
        allowed = f"mcp__{model.server}__*"
        asked = {**quiet, "ANTHROPIC_BASE_URL": model.url}
        return home.run(program, "-p", PROMPT, "--allowedTools", allowed, **asked)

    return [_turn(job, turn) for job in jobs]


def codex(home: Home, urls: Mapping[str, str], jobs: Sequence[Job]) -> list[str]:
    """Codex: an agent's turn calls a tool."""
    program = npm_bin("codex")

    def turn(model: MockModel) -> str:
        lines = [
            'model = "mock"',
            'model_provider = "mock"',
            'approval_policy = "never"',
            'sandbox_mode = "danger-full-access"',
            "[model_providers.mock]",
            'name = "mock"',
            f'base_url = "{model.url}/v1"',
            'wire_api = "responses"',
            "[analytics]",
            "enabled = false",
        ]
        waits = "required = true\nstartup_timeout_sec = 120"
        lines += [f'[mcp_servers.{name}]\nurl = "{url}"\n{waits}' for name, url in urls.items()]
        home.write(".codex/config.toml", "\n".join(lines))
        return home.run(program, "exec", "--skip-git-repo-check", PROMPT)

    return [_turn(job, turn) for job in jobs]


def gemini_cli(home: Home, urls: Mapping[str, str], jobs: Sequence[Job]) -> list[str]:
    """Gemini CLI: every server is connected, and an agent's turn calls a tool."""
    program = npm_bin("gemini")
    settings = {
        "mcpServers": {name: {"type": "http", "url": url} for name, url in urls.items()},
        "security": {"auth": {"selectedType": "gemini-api-key"}},
        "general": {"enableAutoUpdate": False},
        "privacy": {"usageStatisticsEnabled": False},
    }
    home.write(".gemini/settings.json", json.dumps(settings))
    home.write(".gemini/trustedFolders.json", json.dumps({str(home.work): "TRUST_FOLDER"}))
    listed = home.run(program, "mcp", "list")
    for name, url in urls.items():
        assert f"✓ {name}: {url} (http) - Connected" in listed, listed

    def turn(model: MockModel) -> str:
        asked = {"GEMINI_API_KEY": "none", "GOOGLE_GEMINI_BASE_URL": model.url}
        return home.run(program, "-p", PROMPT, "--approval-mode", "yolo", "-m", "gemini-2.5-flash", **asked)

    return [_turn(job, turn) for job in jobs]


def opencode(home: Home, urls: Mapping[str, str], jobs: Sequence[Job]) -> list[str]:
    """opencode: every server is connected, and an agent's turn calls a tool."""
    program = installed(NODE_MODULES / "opencode-linux-x64" / "bin" / "opencode")
    quiet = {"OPENCODE_DISABLE_AUTOUPDATE": "1", "OPENCODE_DISABLE_MODELS_FETCH": "1"}

    def configure(model: str) -> None:
        limit = {"context": 100000, "output": 4000}
        provider = {
            "npm": "@ai-sdk/openai-compatible",
            "name": "mock",
            "options": {"baseURL": f"{model}/v1", "apiKey": "none"},
            "models": {"mock": {"name": "mock", "tool_call": True, "limit": limit}},
        }
        remote = {"type": "remote", "enabled": True, "timeout": int(STARTUP_MS)}
        settings = {
            "autoupdate": False,
            "share": "disabled",
            "model": "mock/mock",
            "permission": "allow",
            "provider": {"mock": provider},
            "mcp": {name: {**remote, "url": url} for name, url in urls.items()},
        }
        home.write(".config/opencode/opencode.json", json.dumps(settings))

    def turn(model: MockModel) -> str:
        configure(model.url)
        return home.run(program, "run", PROMPT, **quiet)

    configure("http://127.0.0.1:9")
    listed = home.run(program, "mcp", "list", **quiet)
    for name in urls:
        assert f"✓ {name} connected" in " ".join(listed.split()), listed
    return [_turn(job, turn) for job in jobs]


def inspector(home: Home, urls: Mapping[str, str], jobs: Sequence[Job]) -> list[str]:
    """The MCP Inspector on the command line."""
    program = npm_bin("mcp-inspector")

    def do(job: Job) -> str:
        asked = (program, "--cli", urls[job.server], "--transport", "http", "--method")
        tools = json.loads(home.run(*asked, "tools/list"))["tools"]
        assert job.tool in [tool["name"] for tool in tools]
        arguments = [
            part for key, value in job.arguments.items() for part in ("--tool-arg", f"{key}={_typed(value)}")
        ]
        return home.run(*asked, "tools/call", "--tool-name", job.tool, *arguments)

    return [do(job) for job in jobs]


def mcp_remote(home: Home, urls: Mapping[str, str], jobs: Sequence[Job]) -> list[str]:
    """mcp-remote, the bridge of clients that speak stdio only."""
    program = npm_bin("mcp-remote")

    async def do(job: Job) -> str:
        argv = [urls[job.server], "--allow-http", "--silent"]
        bridge = StdioServerParameters(command=program, args=argv, env=home.environ({}), cwd=home.work)
        async with asyncio.timeout(LIMIT_S), SdkClient(bridge, mode="legacy") as client:
            assert job.tool in [tool.name for tool in (await client.list_tools()).tools]
            result = await client.call_tool(job.tool, dict(job.arguments))
            return result.model_dump_json()

    return [asyncio.run(do(job)) for job in jobs]


def python_sdk_1(home: Home, urls: Mapping[str, str], jobs: Sequence[Job]) -> list[str]:
    """The Python SDK 1.30.0."""
    python = installed(PYPI / "mcp-1.30.0" / "bin" / "python")
    return home.run(python, str(PYTHON_DRIVERS / "sdk_1.py"), _asked(urls, jobs)).splitlines()


def python_sdk_2(home: Home, urls: Mapping[str, str], jobs: Sequence[Job]) -> list[str]:
    """The Python SDK 2.3.0 in the way of the session era."""
    python = installed(PYPI / "mcp-2.3.0" / "bin" / "python")
    return home.run(python, str(PYTHON_DRIVERS / "sdk_2.py"), _asked(urls, jobs)).splitlines()


def typescript_sdk_1(home: Home, urls: Mapping[str, str], jobs: Sequence[Job]) -> list[str]:
    """The TypeScript SDK 1.32.2."""
    installed(NODE_MODULES / "@modelcontextprotocol" / "sdk")
    return home.run("node", str(TYPESCRIPT_DRIVERS / "sdk_1.mjs"), _asked(urls, jobs)).splitlines()


def typescript_sdk_2(home: Home, urls: Mapping[str, str], jobs: Sequence[Job]) -> list[str]:
    """The TypeScript client 2.4.0, which asks for the stateless era first."""
    installed(NODE_MODULES / "@modelcontextprotocol" / "client")
    return home.run("node", str(TYPESCRIPT_DRIVERS / "sdk_2.mjs"), _asked(urls, jobs)).splitlines()


AGENTS: Mapping[str, Run] = {
    "claude-code": claude_code,
    "codex": codex,
    "gemini-cli": gemini_cli,
    "opencode": opencode,
    "inspector": inspector,
}
"""Clients that take seconds for each call, and get one."""

LIBRARIES: Mapping[str, Run] = {
    "mcp-remote": mcp_remote,
    "python-sdk-1": python_sdk_1,
    "python-sdk-2": python_sdk_2,
    "typescript-sdk-1": typescript_sdk_1,
    "typescript-sdk-2": typescript_sdk_2,
}
"""Clients that call a tool of every server."""

CLIENTS = {**AGENTS, **LIBRARIES}


def servers_of(client: str, round_: int) -> list[str]:
    """Which servers this client calls; an agent's differs from round to round, and from other agents'."""
    if client in LIBRARIES:
        return list(JOBS)
    at = list(AGENTS).index(client) + round_
    return [list(JOBS)[at % len(JOBS)]]


def _turn(job: Job, turn: Callable[[MockModel], str]) -> str:
    """What an agent told the model of its call; the model's last words have to be the agent's."""
    with MockModel(job.server, job.tool, job.arguments) as model:
        said = turn(model)
    assert model.results, (
        f"no call of {job.server} {job.tool}; offered: {sorted(model.offered)}; said:\n{said}"
    )
    assert PREFIX in said, said
    return model.results[-1]


def _asked(urls: Mapping[str, str], jobs: Sequence[Job]) -> str:
    return json.dumps(
        [{"url": urls[job.server], "tool": job.tool, "arguments": job.arguments} for job in jobs]
    )


def _typed(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
