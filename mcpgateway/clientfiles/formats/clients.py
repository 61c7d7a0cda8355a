"""The known clients: the places of their files, and the forms in which they write their servers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mcpgateway.clientfiles.formats import variables
from mcpgateway.clientfiles.formats.client_format import EACH, NAME, URL, ClientDialect, EntryFormat
from mcpgateway.clientfiles.formats.locations import ANY, DARWIN, LINUX, WINDOWS
from mcpgateway.clientfiles.formats.program import ProgramKeys

MCP_SERVERS = ("mcpServers",)
# Claude Code runs it with /bin/sh once for each connection, and its parent there is Claude Code itself.  Its own
# directory is not that of the project.
WHO_CALLS = (
    'printf \'{"X-Client-Pid":"%s","X-Client-Cwd":"%s"}\' "$PPID" '
    "\"$({ readlink /proc/$PPID/cwd || lsof -a -p $PPID -d cwd -Fn | sed -n 's/^n//p'; }"
    " | sed 's/[\"\\\\]/\\\\&/g')\""
)


def _cwd(written: str) -> dict[str, Any]:
    return {"headers": {"X-Client-Cwd": written}}


# A URL without a type is ignored by Claude Code; every other client that reads the same file accepts the type, too.
CLAUDE = EntryFormat(
    url=(("type", "http"), ("url", URL)),
    words=ProgramKeys(variables=variables.CLAUDE),
    helper={"headersHelper": WHO_CALLS},
)
TYPED = EntryFormat(url=(("type", "http"), ("url", URL)), words=ProgramKeys(variables=variables.CUSTOM))
VSCODE = EntryFormat(
    url=(("type", "http"), ("url", URL)), words=ProgramKeys(type="stdio", variables=variables.VSCODE)
)
PLAIN = EntryFormat()
CURSOR = EntryFormat(words=ProgramKeys(variables=variables.CURSOR))
WINDSURF = EntryFormat(url=(("serverUrl", URL),), words=ProgramKeys(variables=variables.WINDSURF))
ANTIGRAVITY = EntryFormat(url=(("serverUrl", URL),), words=ProgramKeys(variables=variables.UNKNOWN))
PROGRAMS_ONLY = EntryFormat(url=())
UNKNOWN = EntryFormat(url=(), words=ProgramKeys(variables=variables.UNKNOWN))
CLINE = EntryFormat(url=(("type", "streamableHttp"), ("url", URL)), nests="transport")
ROO = EntryFormat(url=(("type", "streamable-http"), ("url", URL)), words=ProgramKeys(variables=variables.ROO))
CONTINUE = EntryFormat(
    url=(("type", "streamable-http"), ("url", URL)),
    words=ProgramKeys(variables=variables.CONTINUE),
    fresh={"name": NAME},
    headers=("requestOptions", "headers"),
)
CODEX = EntryFormat(helper={"env_http_headers": {"X-Client-Cwd": "PWD"}}, headers=("http_headers",))
GEMINI = EntryFormat(
    url=(("httpUrl", URL),), words=ProgramKeys(variables=variables.GEMINI), helper=_cwd("$PWD")
)
OPENCODE = EntryFormat(
    url=(("type", "remote"), ("url", URL)),
    words=ProgramKeys(args="", env="environment", type="local", variables=variables.OPENCODE),
    fresh={"enabled": True},
    helper=_cwd("{env:PWD}"),
)
GOOSE = EntryFormat(
    url=(("type", "streamable_http"), ("uri", URL)),
    words=ProgramKeys(command="cmd", env="envs", type="stdio"),
    fresh={"name": NAME, "enabled": True, "timeout": 300},
)
COPILOT = EntryFormat(
    url=(("type", "http"), ("url", URL)),
    words=ProgramKeys(type="local", variables=variables.BRACED),
    fresh={"tools": ["*"]},
    helper=_cwd("${PWD}"),
)
PI = EntryFormat(words=ProgramKeys(variables=variables.BRACED), helper=_cwd("${PWD}"))
KIRO = EntryFormat(words=ProgramKeys(variables=variables.BRACED))
MCPORTER = EntryFormat(
    url=(("baseUrl", URL),), words=ProgramKeys(variables=variables.DEFAULTED), helper=_cwd("${PWD}")
)


def _code(path: str) -> tuple[str, ...]:
    """Return the paths of a file in the user's directory of VS Code and its derivatives."""
    return tuple(f"{{apps}}/{each}/User/{path}" for each in ("Code", "Code - Insiders", "VSCodium"))


_ALL = (
    ClientDialect(
        "claude-code",
        "Claude Code",
        {MCP_SERVERS: CLAUDE, ("projects", EACH, "mcpServers"): CLAUDE},
        user={ANY: ("{claude}/.claude.json",)},
        project=(".mcp.json",),
        is_strict=True,
        has_lock=True,
    ),
    ClientDialect(
        "claude-desktop",
        "Claude Desktop",
        {MCP_SERVERS: PROGRAMS_ONLY},
        user={ANY: ("{apps}/Claude/claude_desktop_config.json",)},
    ),
    ClientDialect(
        "cursor",
        "Cursor",
        {MCP_SERVERS: CURSOR},
        user={ANY: ("{home}/.cursor/mcp.json",)},
        project=(".cursor/mcp.json",),
    ),
    ClientDialect(
        "vscode",
        "VS Code",
        {("servers",): VSCODE},
        user={ANY: _code("mcp.json")},
        project=(".vscode/mcp.json",),
    ),
    ClientDialect(
        "windsurf",
        "Windsurf",
        {MCP_SERVERS: WINDSURF},
        user={ANY: ("{home}/.codeium/windsurf/mcp_config.json",)},
    ),
    ClientDialect(
        "antigravity",
        "Antigravity",
        {MCP_SERVERS: ANTIGRAVITY},
        user={ANY: ("{home}/.gemini/config/mcp_config.json",)},
    ),
    ClientDialect(
        "cline",
        "Cline",
        {MCP_SERVERS: CLINE},
        user={ANY: _code("globalStorage/saoudrizwan.claude-dev/settings/cline_mcp_settings.json")},
    ),
    ClientDialect(
        "cline-cli",
        "Cline CLI",
        {MCP_SERVERS: CLINE},
        user={ANY: ("{home}/.cline/data/settings/cline_mcp_settings.json",)},
    ),
    ClientDialect(
        "continue",
        "Continue",
        {MCP_SERVERS: CONTINUE},
        user={ANY: ("{home}/.continue/config.yaml", "{home}/.continue/mcpServers/*.yaml")},
        project=(".continue/mcpServers/*.yaml",),
        empty="mcpServers: []\n",
    ),
    ClientDialect(
        "zed",
        "Zed",
        {("context_servers",): PLAIN},
        user={
            LINUX: ("{config}/zed/settings.json",),
            DARWIN: ("{home}/.config/zed/settings.json", "{apps}/Zed/settings.json"),
            WINDOWS: ("{apps}/Zed/settings.json",),
        },
        project=(".zed/settings.json",),
    ),
    ClientDialect(
        "codex",
        "Codex CLI",
        {("mcp_servers",): CODEX},
        user={ANY: ("{codex}/config.toml",)},
        project=(".codex/config.toml",),
    ),
    ClientDialect(
        "gemini",
        "Gemini CLI",
        {MCP_SERVERS: GEMINI},
        user={ANY: ("{home}/.gemini/settings.json",)},
        project=(".gemini/settings.json",),
    ),
    ClientDialect(
        "qwen",
        "Qwen Code",
        {MCP_SERVERS: GEMINI},
        user={ANY: ("{home}/.qwen/settings.json",)},
        project=(".qwen/settings.json",),
    ),
    ClientDialect(
        "opencode",
        "opencode",
        {("mcp",): OPENCODE},
        user={ANY: ("{config}/opencode/opencode.json", "{config}/opencode/opencode.jsonc")},
        project=("opencode.json", "opencode.jsonc"),
    ),
    ClientDialect(
        "kilo",
        "Kilo Code",
        {("mcp",): OPENCODE},
        user={ANY: ("{config}/kilo/kilo.json", "{config}/kilo/kilo.jsonc")},
    ),
    ClientDialect(
        "pi",
        "pi",
        {MCP_SERVERS: PI},
        user={ANY: ("{home}/.pi/agent/mcp.json", "{config}/mcp/mcp.json", "{home}/.agents/mcp.json")},
        project=(".pi/mcp.json",),
    ),
    ClientDialect(
        "goose",
        "Goose",
        {("extensions",): GOOSE},
        user={
            ANY: ("{config}/goose/config.yaml",),
            WINDOWS: ("{apps}/Block/goose/config/config.yaml",),
        },
    ),
    ClientDialect(
        "roo",
        "Roo Code",
        {MCP_SERVERS: ROO},
        user={ANY: _code("globalStorage/rooveterinaryinc.roo-cline/settings/mcp_settings.json")},
        project=(".roo/mcp.json",),
    ),
    ClientDialect(
        "kiro",
        "Kiro",
        {MCP_SERVERS: KIRO},
        user={ANY: ("{home}/.kiro/settings/mcp.json",)},
        project=(".kiro/settings/mcp.json",),
    ),
    ClientDialect(
        "amazon-q",
        "Amazon Q CLI",
        {MCP_SERVERS: UNKNOWN},
        user={ANY: ("{home}/.aws/amazonq/mcp.json", "{home}/.aws/amazonq/cli-agents/*.json")},
        project=(".amazonq/mcp.json",),
    ),
    ClientDialect(
        "junie",
        "Junie",
        {MCP_SERVERS: UNKNOWN},
        user={ANY: ("{home}/.junie/mcp/mcp.json",)},
        project=(".junie/mcp/mcp.json",),
    ),
    ClientDialect(
        "copilot",
        "GitHub Copilot CLI",
        {MCP_SERVERS: COPILOT},
        user={ANY: ("{copilot}/mcp-config.json",)},
        project=(".github/mcp.json",),
    ),
    ClientDialect(
        "mcporter",
        "mcporter",
        {MCP_SERVERS: MCPORTER},
        user={ANY: ("{home}/.mcporter/mcporter.json",)},
        project=("config/mcporter.json",),
    ),
    # Any other file: the key of its servers decides which client's form counts.
    ClientDialect(
        "custom",
        "Another client",
        {
            MCP_SERVERS: TYPED,
            ("servers",): VSCODE,
            ("context_servers",): PLAIN,
            ("mcp_servers",): CODEX,
            ("mcp",): OPENCODE,
            ("extensions",): GOOSE,
        },
    ),
)

DIALECTS: Mapping[str, ClientDialect] = {each.name: each for each in _ALL}
