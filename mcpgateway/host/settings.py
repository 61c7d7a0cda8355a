"""From files to settings: which files are read, in which order, and what they make together."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from attrs import evolve, frozen

from mcpgateway.config import environment
from mcpgateway.config.assemble import WorkspaceSpec, World, assemble
from mcpgateway.config.classification import Classification, read_classification
from mcpgateway.config.client import Found, read_client
from mcpgateway.config.document import Document
from mcpgateway.config.dotenv import parse_dotenv
from mcpgateway.config.entry import Entry, Origin, Scope
from mcpgateway.config.model import GatewaySettings, Settings, Share
from mcpgateway.config.native import Native, check_reach, is_client_file, read_native, read_servers
from mcpgateway.config.problems import Problem, Problems, Where
from mcpgateway.config.read import parse
from mcpgateway.errors import ConfigError
from mcpgateway.host import files, paths

# Claude Code keeps its history in the same file; real ones reach a few MiB.
FILE_LIMIT = 20 * 1_048_576
EXTENSIONS = ("yaml", "yml", "json")
CONFIG_VARIABLES = ("MCPGATEWAY_CONFIG", "MCP_GATEWAY_CONFIG", "MCP_CONFIG_PATH")
# What immorterm-mcp-gateway gives a classified server that names no time of its own.
IMMORTERM_TIMEOUT_S = 120.0
DEFAULT_PORTS = {"http": 80, "https": 443}
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")


@frozen
class LoadOptions:
    """What the command line says about the configuration.

    :ivar config: the file that was named, or None.
    :ivar sources: the clients' files that were named; None means Claude Code's own, if it is there.
    :ivar home: the gateway's own directory.
    :ivar demo: whether the demonstration servers are added.
    :ivar port: the port that was named, or None.
    """

    config: str | None = None
    sources: tuple[str, ...] | None = None
    home: str = ""
    demo: bool = False
    port: int | None = None


@frozen
class Examined:
    """What reading a configuration came to.

    :ivar settings: None where there is an error among the problems.
    :ivar problems: all of them, errors and warnings, of all files.
    :ivar files: every file and directory that was read or looked for, and that changes the outcome.
    """

    settings: Settings | None
    problems: tuple[Problem, ...]
    files: tuple[str, ...]


def examine(options: LoadOptions, environ: Mapping[str, str]) -> Examined:
    """Read everything that decides what is served, and find all that is wrong with it; it writes nothing."""
    problems = Problems()
    try:
        settings = load(options, environ)
    except ConfigError as why:
        problems.catch(why)
        return Examined(None, tuple(problems), ())
    for warning in settings.warnings:
        problems.warn(Where(""), warning)
    return Examined(settings, tuple(problems), ())


def read_workspace(path: str, settings: Settings) -> WorkspaceSpec:
    """Return what a server is built with for a directory: its ``.env`` and the profiles that are given to it.

    :raise ConfigError: its ``.env`` cannot be used; the text shows nothing of it.
    """
    file = os.path.join(path, ".env")
    try:
        variables = parse_dotenv(files.read_text(file, FILE_LIMIT), file)
    except FileNotFoundError:
        variables = {}
    own = next((each for each in settings.workspaces if each.path == path), None)
    named = variables.get("MCP_PROFILE", "")
    profiles = tuple(each.strip() for each in named.split(",") if each.strip())
    return WorkspaceSpec(path, variables, profiles or (own.profiles if own else ()))


def load(options: LoadOptions, environ: Mapping[str, str]) -> Settings:
    """Read everything that decides what is served. It reads files and blocks: for start-up and reloads.

    :raise ConfigError: something cannot be used; the text is one line for the user.
    """
    warnings: list[str] = []
    options = evolve(options, home=paths.gateway_home(environ, options.home or None))
    documents, sources = _gather(options, environ, warnings)
    native = read_native(documents, warnings)
    gateway = native.gateway if options.port is None else evolve(native.gateway, http_port=options.port)
    check_reach(gateway)
    found = _entries(native, sources, gateway, warnings)
    world = _world(options.home, environ, warnings)
    entries = (*found.entries, *(_demo(world.home) if options.demo else ()))
    servers = assemble(entries, world, gateway.limits.servers, warnings)
    return Settings(gateway, servers, len(found.remotes), tuple(dict.fromkeys(warnings)))


def _gather(
    options: LoadOptions, environ: Mapping[str, str], warnings: list[str]
) -> tuple[list[Document], list[Document]]:
    named = options.config or next((environ[key] for key in CONFIG_VARIABLES if environ.get(key)), None)
    documents: list[Document] = []
    sources = options.sources
    if named:
        path = paths.absolute(named, environ)
        document = _document(path)
        if is_client_file(document):
            warnings.append(f"{path}: is a client's own file; its servers are read as with --source")
            sources = (*(sources or ()), path)
        else:
            documents = [document, *_beside(path)]
    else:
        found = _first_of(os.path.join(options.home, "config"))
        documents = [_document(found)] if found else []
        documents += _beside(found or os.path.join(options.home, "config.yaml"))
    return documents, _sources(sources, environ)


def _beside(path: str) -> list[Document]:
    stem = os.path.splitext(path)[0]
    try:
        names = sorted(os.listdir(f"{stem}.d"))
    except (FileNotFoundError, NotADirectoryError):
        names = []
    except OSError as why:
        raise ConfigError(f"{stem}.d: cannot be read: {why.strerror}") from why
    dropped = [os.path.join(f"{stem}.d", name) for name in names if not name.startswith(".")]
    found = [each for each in dropped if os.path.splitext(each)[1][1:] in EXTENSIONS]
    local = _first_of(f"{stem}.local")
    return [_document(each) for each in (*found, *((local,) if local else ()))]


def _first_of(stem: str) -> str | None:
    return next((f"{stem}.{each}" for each in EXTENSIONS if os.path.exists(f"{stem}.{each}")), None)


def _sources(named: tuple[str, ...] | None, environ: Mapping[str, str]) -> list[Document]:
    if named is not None:
        found = dict.fromkeys(paths.absolute(each, environ) for each in named)
        return [_document(each, strict=False) for each in found]
    usual = _optional(paths.claude_file(environ), strict=False)
    return [usual] if usual else []


def _document(path: str, *, strict: bool = True) -> Document:
    document = _optional(path, strict=strict)
    if document is None:
        raise ConfigError(f"{path}: there is no such file")
    return document


def _optional(path: str, *, strict: bool = True) -> Document | None:
    try:
        text = files.read_text(path, FILE_LIMIT)
    except FileNotFoundError:
        return None
    return parse(text, path, strict=strict)


def _entries(native: Native, sources: list[Document], gateway: GatewaySettings, warnings: list[str]) -> Found:
    found = [read_servers(native, warnings)]
    found += [read_client(document, rank, warnings) for rank, document in enumerate(sources)]
    entries = tuple(entry for each in found for entry in each.entries)
    remotes = (url for each in found for url in each.remotes)
    return Found(entries, tuple(url for url in remotes if not _is_ours(url, gateway)))


def _is_ours(url: str, gateway: GatewaySettings) -> bool:
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        port = parts.port or DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        return False
    return port == gateway.http_port and parts.hostname in (*LOOPBACK_NAMES, gateway.bind_address)


def _world(home: str, environ: Mapping[str, str], warnings: list[str]) -> World:
    try:
        text = files.read_text(os.path.join(home, ".env"), FILE_LIMIT)
    except FileNotFoundError:
        text = ""
    return World(
        login=_login(home, environ, warnings),
        variables=parse_dotenv(text, os.path.join(home, ".env")),
        home=paths.user_home(environ),
        classified=_classified(home, environ, warnings),
    )


def _login(home: str, environ: Mapping[str, str], warnings: list[str]) -> dict[str, str]:
    path = os.path.join(home, "environment.json")
    own = environment.for_children(environ)
    kept = _kept_environment(path, warnings)
    if not environment.is_from_shell(environ):
        return kept or own
    if kept != own:
        try:
            _keep_environment(home, path, own)
        except (ConfigError, OSError) as why:
            warnings.append(f"{why}; the login environment is not kept")
    return own


def _kept_environment(path: str, warnings: list[str]) -> dict[str, str]:
    try:
        document = _optional(path)
    except ConfigError as why:
        warnings.append(f"{why}; it is ignored")
        return {}
    if document is None:
        return {}
    return environment.for_children(
        {key: each for key, each in document.value.items() if isinstance(each, str)}
    )


def _keep_environment(home: str, path: str, login: Mapping[str, str]) -> None:
    import json

    files.make_home(home)
    # Bytes that are no UTF-8 arrive as surrogates, which JSON carries as escapes.
    files.write_atomic(path, json.dumps(dict(sorted(login.items())), indent=1).encode("ascii"))


def _classified(home: str, environ: Mapping[str, str], warnings: list[str]) -> dict[str, Classification]:
    found: dict[str, Classification] = {}
    theirs = (paths.immorterm_classification(environ), IMMORTERM_TIMEOUT_S)
    for path, timeout_s in (theirs, (os.path.join(home, "classification.json"), None)):
        try:
            document = _optional(path)
        except ConfigError as why:
            warnings.append(f"{why}; it is ignored")
            continue
        if document:
            found |= read_classification(document, warnings, timeout_s)
    return found


def _demo(home: str) -> tuple[Entry, ...]:
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    installed = os.path.basename(root) in ("site-packages", "dist-packages")
    # Isolated, Python finds an installed package but not a checkout, which is then named to it.
    env = {} if installed else {"PYTHONPATH": root}
    flag = "-I" if installed else "-P"
    origin = Origin(Scope.DEMO, "demonstration", home)
    return tuple(
        Entry(
            title=title,
            argv=(sys.executable, flag, "-m", f"mcpgateway.demo.{title}"),
            env=env,
            origin=origin,
            share=share,
        )
        for title, share in (("clock", Share.GLOBAL), ("notebook", Share.SESSION))
    )
