"""Files as clients and their users write them, and the entries of each."""

from pathlib import Path
from urllib.parse import quote

from mcpgateway.clientfiles.formats import syntax
from mcpgateway.clientfiles.formats.client_format import EntryKind, LocalGateway
from mcpgateway.clientfiles.formats.clients import DIALECTS

FILES = Path(__file__).parents[1] / "clientfiles" / "formats" / "files"
BASE = LocalGateway(9100)
# The programs of each file, by title.
PROGRAMS = {
    "claude-code/.claude.json": ["github", "notes é", "db"],
    "claude-code/.mcp.json": ["web"],
    "claude-desktop/claude_desktop_config.json": ["filesystem", "memory"],
    "cursor/mcp.json": ["pg", "fetch"],
    "vscode/mcp.json": ["playwright", "plain"],
    "windsurf/mcp_config.json": ["mem"],
    "antigravity/mcp_config.json": ["a", "c"],
    "cline/cline_mcp_settings.json": ["ctx", "old"],
    "cline-cli/cline_mcp_settings.json": ["nested", "flat"],
    "continue/config.yaml": ["Browser", "inline"],
    "zed/settings.json": ["older", "newer"],
    "codex/config.toml": ["context7", "with space", "dotted"],
    "gemini/settings.json": ["gh"],
    "qwen/settings.json": ["hub"],
    "opencode/opencode.jsonc": ["everything", "bare"],
    "kilo/kilo.json": ["one"],
    "pi/mcp.json": ["chrome"],
    "goose/config.yaml": ["fetch", "memory"],
    "roo/mcp_settings.json": ["r"],
    "kiro/mcp.json": ["docs"],
    "amazon-q/mcp.json": ["q"],
    "junie/mcp.json": ["j"],
    "copilot/mcp-config.json": ["play"],
    "mcporter/mcporter.json": ["m"],
    "custom/agents.json": ["m", "s"],
    "custom/agent.toml": ["a"],
}
NAMES = sorted(PROGRAMS)


def text_of(name):
    """The text of a sample."""
    return syntax.decoded((FILES / name).read_bytes(), name)


def dialect_of(name):
    """The client whose file a sample is."""
    return DIALECTS[name.partition("/")[0]]


def listed_in(name, text):
    """Return the entries in a text, read as a sample's client does."""
    dialect = dialect_of(name)
    return dialect.listed(syntax.read(text, name, dialect), BASE)


def programs_in(name, text):
    """Return the entries that could be enrolled."""
    return [each for each in listed_in(name, text) if each.kind is EntryKind.PROGRAM]


def url_of(each):
    """Return the URL at which the gateway serves an entry of a sample."""
    return f"http://localhost:9100/{quote('-'.join(each.title.split()), safe='')}/mcp"


def ours_for(name, each, *, by_command=False):
    """Return the replacement of an entry: a URL if the client accepts one."""
    dialect = dialect_of(name)
    if by_command or name.partition("/")[0] in ("claude-desktop", "junie", "amazon-q"):
        original = (each.program.command, *each.program.args)
        served = "-".join(each.title.split())
        return dialect.by_command(each, ["/usr/bin/mcpgateway", "connect", served, "--", *original])
    return dialect.by_url(each, url_of(each))


def wishes_for(name, text, *, by_command=False):
    """Return all changes of a sample."""
    return [(each.key_path, ours_for(name, each, by_command=by_command)) for each in programs_in(name, text)]
