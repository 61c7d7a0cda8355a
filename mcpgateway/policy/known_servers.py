"""Known servers, by their sources: those that keep state for each client, that write, and that keep nothing.

A server is known by the package, image or program that its entry starts, wherever that is installed, or by its name in
``serverInfo``, which is known after its first start.  The entry's own settings take precedence.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from enum import Enum
from functools import lru_cache

from msgspec import Struct

from mcpgateway.config.model import ServerSpec
from mcpgateway.config.reach_settings import Container


class Trait(Enum):
    """The known properties of a server.

    ``STATE``: it keeps something for the calling client, such as a directory, a page or a transaction.
    ``WRITES``: it reads, changes and writes back a file or a repository, and two calls at once lose one of the changes.
    ``STATELESS``: a client finds nothing in it that another has left, beyond the contents of files.
    """

    STATE = "state"
    WRITES = "writes"
    STATELESS = "stateless"


class KnownServer(Struct, frozen=True):
    """One server, or several alike.

    :ivar names: the names of packages, images and programs, without version; in lower case, with ``-`` for ``_``.
    :ivar traits: its known properties.
    :ivar infos: their names in ``serverInfo``.
    :ivar reason: the reason in its sources, for people.
    :ivar heeds: the capabilities of a client that make a difference to it; None where that is not known.
    """

    names: tuple[str, ...]
    traits: frozenset[Trait]
    reason: str = ""
    infos: tuple[str, ...] = ()
    heeds: frozenset[str] | None = None


def _those(
    names: str,
    *traits: Trait,
    reason: str = "",
    infos: tuple[str, ...] = (),
    heeds: tuple[str, ...] | None = None,
) -> KnownServer:
    known = None if heeds is None else frozenset(heeds)
    return KnownServer(tuple(names.split()), frozenset(traits), reason, infos, known)


BROWSER = "its browser has one page in front at a time"
THOUGHT = "it has one train of thought"
FILES = "it rewrites files that it has read"

TABLE = (
    _those(
        "@playwright/mcp @executeautomation/playwright-mcp-server playwright-mcp playwright-mcp-server mcp/playwright"
        " mcr.microsoft.com/playwright/mcp patchright-mcp patchright-mcp-lite camoufox-mcp camoufox-mcp-server"
        " @angiejones/mcp-selenium mcp-selenium selenium-mcp selenium-mcp-server mcp/selenium @browsermcp/mcp"
        " @browserbasehq/mcp @browserbasehq/mcp-server-browserbase @browserbasehq/mcp-stagehand browser-use"
        " browser-use-mcp browser-use-mcp-server mcp-browser-use chrome-devtools-mcp"
        " @modelcontextprotocol/server-puppeteer puppeteer-mcp-server mcp-server-puppeteer mcp/puppeteer",
        Trait.STATE,
        reason=BROWSER,
        infos=("Playwright", "chrome_devtools", "example-servers/puppeteer", "Browser MCP"),
    ),
    _those(
        "@modelcontextprotocol/server-sequential-thinking mcp-server-sequential-thinking sequentialthinking"
        " mcp/sequentialthinking mcp-sequentialthinking-tools think-mcp mcp-think-tool",
        Trait.STATE,
        reason=THOUGHT,
        infos=("sequential-thinking-server", "mcp-sequentialthinking-tools"),
    ),
    _those(
        "serena-agent serena serena-mcp-server ghcr.io/oraios/serena",
        Trait.STATE,
        reason="it has one active project",
        infos=("Serena",),
    ),
    _those(
        "@cyanheads/git-mcp-server git-mcp-server",
        Trait.STATE,
        Trait.WRITES,
        reason="it has one working directory",
        infos=("@cyanheads/git-mcp-server", "git-mcp-server"),
    ),
    _those(
        "mcp-server-motherduck",
        Trait.STATE,
        reason="it has one connection, with its temporary tables and its transaction",
        infos=("mcp-server-motherduck",),
    ),
    _those(
        "@wonderwhy-er/desktop-commander mcp/desktop-commander",
        Trait.STATE,
        Trait.WRITES,
        reason="it shows all shells and all recent calls to whoever asks",
        infos=("desktop-commander",),
    ),
    _those(
        "mcp-server-sqlite mcp/sqlite",
        Trait.STATE,
        reason="it keeps one memo of what its client has found",
        infos=("sqlite",),
    ),
    _those("xcodebuildmcp", Trait.STATE, reason="it has defaults for each session", infos=("xcodebuildmcp",)),
    _those(
        "mongodb-mcp-server mongodb/mongodb-mcp-server",
        Trait.STATE,
        reason="it has one connection, which its client chooses",
        infos=("MongoDB MCP Server", "mongodb-mcp-server"),
    ),
    _those(
        "jupyter-mcp-server datalayer/jupyter-mcp-server mcp-python-interpreter",
        Trait.STATE,
        reason="it has one notebook in use",
        infos=("Jupyter MCP Server",),
    ),
    _those(
        "firebase-tools", Trait.STATE, reason="it has one project directory and account", infos=("firebase",)
    ),
    _those(
        "mcp-server-kubernetes @strowk/mcp-k8s flux159/mcp-server-kubernetes",
        Trait.STATE,
        reason="it has one context of its cluster",
        infos=("kubernetes",),
    ),
    _those(
        "@mobilenext/mobile-mcp appium-mcp",
        Trait.STATE,
        reason="it drives one device",
        infos=("mobile-mcp",),
    ),
    _those(
        "terminal-controller wcgw iterm-mcp mcp-gdb lldb-mcp mcp-server-ssh ssh-mcp",
        Trait.STATE,
        reason="it has one shell",
    ),
    _those("code-index-mcp", Trait.STATE, reason="it knows one project at a time", infos=("CodeIndexer",)),
    _those(
        "office-powerpoint-mcp-server",
        Trait.STATE,
        Trait.WRITES,
        reason="it has one presentation open",
        infos=("ppt-mcp-server",),
    ),
    _those(
        "@modelcontextprotocol/server-memory mcp-server-memory mcp/memory @itseasy21/mcp-knowledge-graph"
        " mcp-knowledge-graph",
        Trait.WRITES,
        Trait.STATELESS,
        reason=FILES,
        infos=("memory-server", "knowledge-graph-server", "mcp-knowledge-graph"),
    ),
    _those(
        "@kazuph/mcp-taskmanager mcp-shrimp-task-manager task-master-ai backlog.md @pinkpixel/taskflow-mcp todo-mcp"
        " notes-mcp @allpepper/memory-bank-mcp @aakarsh-sasi/memory-bank-mcp",
        Trait.WRITES,
        Trait.STATELESS,
        reason=FILES,
        infos=("task-manager-server", "Shrimp Task Manager", "memory-bank-mcp-server"),
    ),
    _those(
        "@modelcontextprotocol/server-filesystem mcp-server-filesystem mcp/filesystem",
        Trait.WRITES,
        Trait.STATELESS,
        reason=FILES,
        infos=("secure-filesystem-server",),
        heeds=("roots",),
    ),
    _those(
        "mcp-obsidian obsidian-mcp"
        " @bitbonsai/mcpvault excel-mcp-server @negokaz/excel-mcp-server office-word-mcp-server",
        Trait.WRITES,
        Trait.STATELESS,
        reason=FILES,
        infos=("excel-mcp", "excel-mcp-server"),
    ),
    _those(
        "mcp-server-git mcp/git",
        Trait.WRITES,
        Trait.STATELESS,
        reason="two of its calls fight for the index of a repository",
        infos=("mcp-git",),
    ),
    _those(
        "mcp-memory-libsql basic-memory mcp-memory-service mcp-sqlite",
        Trait.WRITES,
        Trait.STATELESS,
        reason="it has one database for all clients",
        infos=("mcp-memory-libsql", "Basic Memory"),
    ),
    _those(
        "@upstash/context7-mcp mcp/context7",
        Trait.STATELESS,
        infos=("Context7",),
        heeds=("elicitation",),
    ),
    _those(
        "mcp-server-time mcp/time tavily-mcp mcp/tavily",
        Trait.STATELESS,
        infos=("mcp-time", "tavily-mcp"),
        heeds=(),
    ),
    _those(
        "mcp-server-fetch mcp/fetch exa-mcp-server mcp/exa @brave/brave-search-mcp-server mcp/brave-search"
        " @modelcontextprotocol/server-brave-search firecrawl-mcp mcp/firecrawl duckduckgo-mcp-server mcp/duckduckgo"
        " wikipedia-mcp arxiv-mcp-server markitdown-mcp mcp-server-calculator awslabs.aws-documentation-mcp-server"
        " @antv/mcp-server-chart mcp/deepwiki",
        Trait.STATELESS,
        infos=("mcp-fetch", "exa-search-server", "ddg-search"),
    ),
)

NAMES = {name: each for each in TABLE for name in each.names}
INFOS = {info.lower(): each for each in TABLE for info in each.infos}
NOTHING = KnownServer((), frozenset())

_MODULE = re.compile(r"(?:^|/)(?:node_modules|site-packages|dist-packages)/((?:@[^/]+/)?[^/]+)")
_SCRIPT = re.compile(r"\.(?:m?js|cjs|ts|py|exe|cmd)$")
# Paths below the directory that has a program's name.
_INSIDE = frozenset("dist build src bin lib out index main cli server __main__".split())
_ENGINES = frozenset(("docker", "podman", "nerdctl"))
_RUNNERS = frozenset(
    "npx npm bunx bun pnpm pnpx yarn node nodejs deno tsx uvx uv pipx python python3 py env cmd cmd.exe sudo".split()
)
_STEPS = frozenset("run exec x tool dlx start /c".split())
_PACKAGE_OPTIONS = frozenset(("--from", "--package", "--spec", "-m"))
_OTHER_OPTIONS = frozenset(
    "--directory --project --python --with --env-file --index-url --cwd -C -r --import".split()
)
CACHED = 4096  # results; they are needed for every request, of all entries
_IMAGE_PARTS = 3  # host, owner, image


def known_by_start(server: ServerSpec) -> KnownServer:
    """Return the known properties of a server by its command."""
    return known_by_names(names_of(server))


@lru_cache(maxsize=CACHED)
def known_by_names(names: tuple[str, ...]) -> KnownServer:
    """Return the known properties of a server by the names of its packages, images and programs."""
    return next((NAMES[name] for name in names if name in NAMES), NOTHING)


def names_of(server: ServerSpec) -> tuple[str, ...]:
    """Return the packages, images and programs of a command."""
    return names_in_start(server.command, image_of(server))


def image_of(server: ServerSpec) -> str:
    """Return the image that a server is run from; empty without a container."""
    return server.reach.image if isinstance(server.reach, Container) else ""


@lru_cache(maxsize=CACHED)
def names_in_start(command: tuple[str, ...], image: str) -> tuple[str, ...]:
    """Return the packages, images and programs of a command, or the names of an image."""
    words = (image,) if image else started_by(command)
    return tuple(dict.fromkeys(name for word in words for name in names_in(word)))


def known_by_info(name: str) -> KnownServer:
    """Return the known properties of a server by its ``serverInfo.name``."""
    return INFOS.get(name.lower(), NOTHING)


def started_by(command: Sequence[str]) -> Iterator[str]:
    """Return the words of a command that may name the server: its program, or arguments of a package runner.

    The arguments of the program itself are left out: they may be directories of any name.
    """
    words = iter(command)
    for word in words:
        program = _SCRIPT.sub("", word.replace("\\", "/").rsplit("/", 1)[-1].lower())
        if program in _ENGINES:
            # Which of the words behind its options is the image is known to the engine alone.
            yield from (each for each in words if not each.startswith(("-", "/", ".")))
            return
        if word in _PACKAGE_OPTIONS:
            yield next(words, "")
        elif word in _OTHER_OPTIONS:
            next(words, "")
        elif not (
            word.startswith("-") or program in _RUNNERS or word in _STEPS or "=" in word.partition("==")[0]
        ):
            yield word
            return


def is_container(command: Sequence[str]) -> bool:
    """True if a command starts a container, whose processes are not children of the command's process."""
    words = [each.replace("\\", "/").rsplit("/", 1)[-1].lower() for each in command[:2]]
    return any(_SCRIPT.sub("", each) in _ENGINES for each in words)


def names_in(word: str) -> Iterator[str]:
    """Return the packages, images and programs that a word of a command may name, the likeliest first."""
    plain = word.replace("\\", "/").partition("[")[0].lower()
    inside = [each for each in _MODULE.findall(plain) if each != ".bin"]
    if inside:
        yield _normal(inside[-1])
        return
    if "://" in plain:
        plain = plain.rsplit("/", 1)[-1].removesuffix(".git")  # uvx --from git+https://…/serena
    if not plain.startswith((".", "/", "~")) and plain.count("/") < _IMAGE_PARTS:
        yield _normal(plain)
    if plain.startswith("@"):
        return
    parts = [_SCRIPT.sub("", _normal(each)) for each in plain.split("/") if each]
    # The last part that says more than where programs lie: /opt/sequentialthinking/dist/index.js.
    named = [each for each in parts if each not in _INSIDE]
    if named:
        yield named[-1]


def _normal(word: str) -> str:
    # "@scope/name@1.2", "name==1.2", "image:tag" and "image@sha256:…" are what is before; modules have _ for -.
    for mark in ("==", ">=", "~="):
        word = word.partition(mark)[0]
    head, at, _ = word.rpartition("@")
    word = head if at and head else word
    return word.partition(":")[0].replace("_", "-")
