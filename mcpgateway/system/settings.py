"""From files to settings: the files that are read, their order, and the settings that result from them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Protocol

from attrs import evolve, field, frozen
from msgspec.structs import replace

from mcpgateway.config import environment
from mcpgateway.config.cluster import NODE_FILE
from mcpgateway.config.dialect import reading_of
from mcpgateway.config.document import Document
from mcpgateway.config.dotenv import parse_dotenv
from mcpgateway.config.entry import (
    COMMAND_LINE,
    Classification,
    Entry,
    Origin,
    Scope,
    read_classification,
    read_server,
)
from mcpgateway.config.environment import LISTED
from mcpgateway.config.external_values import wanted
from mcpgateway.config.file_format import FileReading, Native, is_client_file, read_native
from mcpgateway.config.load import Circumstances, EnrolledFile, Files, compose
from mcpgateway.config.model import ServerSpec
from mcpgateway.config.problems import Problem, Problems, Where, Wrong
from mcpgateway.config.read import FileFinder, parse, with_includes
from mcpgateway.config.resolve import ServerBuilder, WorkspaceSpec, World
from mcpgateway.config.settings import Settings
from mcpgateway.errors import ConfigError
from mcpgateway.hints import cli
from mcpgateway.policy.secrets.masking import is_token
from mcpgateway.records import FrozenRecord
from mcpgateway.system import approvals, files, home_files, paths, state
from mcpgateway.system.demo_servers import demo_servers
from mcpgateway.system.last_read import LastRead
from mcpgateway.system.secret_providers import ProvidedValues

# Claude Code keeps its history in the same file; real ones reach a few MiB, and 50 MB have been seen.
FILE_LIMIT = 64 * 1_048_576
EXTENSIONS = ("yaml", "yml", "json")
MISNAMED = re.compile(
    r"config(?:\.local)?\.(?:toml|jsonc|json5|ini|conf|cfg)|(?:gateway|mcpgateway|mcp|settings)\.(?:ya?ml|json|toml)"
)
"""Names in the home by which users mean the configuration."""
HARSHAL_FILE = "~/.config/harshal-mcp-proxy/config.json"
CONFIG_VARIABLES = ("MCPGATEWAY_CONFIG", "MCP_GATEWAY_CONFIG", "MCP_CONFIG_PATH")
ENV_FILE_VARIABLES = ("MCPGATEWAY_ENV_FILE", "MCP_GATEWAY_ENV_FILE")
# The time limit that immorterm-mcp-gateway gives a classified server without one of its own.
IMMORTERM_TIMEOUT_S = 120.0
LEFT_OUT = "its servers are left out until it can be read"
AS_IT_WAS = "the servers that it listed before are served until it can be read"
LEDGER, LOGIN = "ledger", "environment.json"
LEDGER_FILE = "ledger.db"  # it changes with every client's file that is enrolled or restored


class ReadEnrolled(Protocol):
    """A reader of the clients' files that are enrolled at the gateway of a home."""

    def __call__(
        self, home: str, approved: Callable[[str], str], look: Callable[[str], str], problems: Problems
    ) -> tuple[Sequence[EnrolledFile], frozenset[str]]:
        """Read the enrolled files; the second result is the names of servers that stay their clients' own.

        :param approved: returns the digest under which the user has approved a file, or "".
        :param look: called with the path of every file that is read.
        """


def none_enrolled(
    home: str, approved: Callable[[str], str], look: Callable[[str], str], problems: Problems
) -> tuple[Sequence[EnrolledFile], frozenset[str]]:
    """Return no files, where no client's file counts."""
    return (), frozenset()


@frozen
class LoadOptions:
    """The options of the command line for the configuration.

    :ivar config: the named configuration file, or None.
    :ivar sources: the named clients' files; None means Claude Code's own, if it exists.
    :ivar home: the gateway's own directory.
    :ivar demo: the demonstration servers are added.
    :ivar port: the named port, or None.
    :ivar env_file: the file of values that replaces the home's ``.env``, or None.
    :ivar remembered: the last readable content of clients' files.
    :ivar enrolled: reads the clients' files that are enrolled.
    """

    config: str | None = None
    sources: tuple[str, ...] | None = None
    home: str = ""
    demo: bool = False
    port: int | None = None
    env_file: str | None = None
    remembered: LastRead = field(factory=LastRead, eq=False, repr=False)
    enrolled: ReadEnrolled = field(default=none_enrolled, eq=False, repr=False)


class ExaminedSettings(FrozenRecord, frozen=True):
    """The result of reading a configuration.

    :ivar settings: the settings; None where there is an error among the problems.
    :ivar problems: all of them, errors and warnings, of all files.
    :ivar files: every file and directory that was read or looked for, and that changes the outcome.
    :ivar wanted: the values that come from outside of all files, such as ``keyring:service/name``.
    :ivar readings: the dialect of each of the gateway's own files.
    """

    settings: Settings | None
    problems: tuple[Problem, ...]
    files: tuple[str, ...]
    wanted: tuple[str, ...] = ()
    readings: tuple[FileReading, ...] = ()


def load(options: LoadOptions, environ: Mapping[str, str]) -> Settings:
    """Read the settings from all files. The function blocks: for start-up and reloads.

    The environment of a shell is kept for starts without one.

    :raise ConfigError: a file cannot be used; the text is one line for the user.
    """
    settings = start(options, environ).settings
    assert settings is not None
    return settings


def start(
    options: LoadOptions, environ: Mapping[str, str], brought: ProvidedValues | None = None
) -> ExaminedSettings:
    """Read the settings as `load` does, and return the files as well; ``settings`` is never None.

    :param brought: fetches and keeps the values from outside of all files.
    :raise ConfigError: a file cannot be used; the text is one line for the user.
    """
    found = look(options, environ, brought)
    assert found.settings is not None
    failed = keep_login(paths.gateway_home(environ, options.home or None), environ)
    return replace(found, settings=evolve(found.settings, warnings=(*found.settings.warnings, *failed)))


def look(
    options: LoadOptions, environ: Mapping[str, str], brought: ProvidedValues | None = None
) -> ExaminedSettings:
    """Read the settings as `start` does, and write nothing; ``settings`` is never None.

    :raise ConfigError: a file cannot be used; the text is one line for the user.
    """
    brought = brought or brought_of(options, environ)
    found = examine_to_run(options, environ, brought)
    if found.settings is None:
        lists = "" if brought.failures else f"; {cli('config check')} lists them"
        raise _refusal([each for each in found.problems if each.is_error], lists)
    return found


def examine_to_run(
    options: LoadOptions, environ: Mapping[str, str], brought: ProvidedValues
) -> ExaminedSettings:
    """Examine all files, and fetch the values from outside of them; the function blocks for as long as that takes."""
    found = examine(options, environ)
    if found.settings is None or not found.wanted:
        return found
    brought.fetch(found.wanted)
    return examine(options, environ, brought)


def brought_of(options: LoadOptions, environ: Mapping[str, str]) -> ProvidedValues:
    """Return an object that fetches the values from outside of all files, with none fetched yet."""
    home = paths.gateway_home(environ, options.home or None)
    return ProvidedValues(lambda: _login(home, environ, Problems()))


def gather(options: LoadOptions, environ: Mapping[str, str]) -> Files:
    """Read the files only, in the order of their precedence."""
    return _Examination(options, environ)._files()  # noqa: SLF001 - of the same module


def config_file_named(options: LoadOptions, environ: Mapping[str, str]) -> str:
    """Return the configuration file that the command line or a variable names; "" where none does."""
    named = options.config or next((environ[key] for key in CONFIG_VARIABLES if environ.get(key)), "")
    return paths.absolute(named, environ) if named else ""


def config_file(options: LoadOptions, environ: Mapping[str, str]) -> str:
    """Return the named configuration file, or that of the home; where it does not exist, the one that would be made.

    Beside a file that cannot take settings - a list, or a client's own file that is named - the overlay is returned.
    """
    path = named = config_file_named(options, environ)
    if not named:
        stem = os.path.join(paths.gateway_home(environ, options.home or None), "config")
        path = _with_extension(stem)
    return path if _takes_settings(path, is_named=bool(named)) else _with_extension(f"{_stem(path)}.local")


def _takes_settings(path: str, *, is_named: bool) -> bool:
    try:
        document = parse(files.read_text(path, FILE_LIMIT), path, strict=False, takes_list=True)
    except (FileNotFoundError, ConfigError):
        return True
    return isinstance(document.value, dict) and not (is_named and is_client_file(document))


def _with_extension(stem: str) -> str:
    return next((f"{stem}.{each}" for each in EXTENSIONS if os.path.exists(f"{stem}.{each}")), f"{stem}.yaml")


def unread_files(home: str) -> list[str]:
    """Return the files in a home that look like its configuration, by their names, and are not read."""
    try:
        names = sorted(os.listdir(home))
    except OSError:
        return []
    taken = [each for each in (f"config.{extension}" for extension in EXTENSIONS) if each in names]
    unread = [each for each in names if MISNAMED.fullmatch(each)]
    return [os.path.join(home, each) for each in (*taken[1:], *unread)]


def _stem(path: str) -> str:
    return os.path.splitext(path)[0]


def values_file(options: LoadOptions, environ: Mapping[str, str]) -> str:
    """Return the path of the file that holds the gateway's own values, usually ``.env`` in the home."""
    return _Examination(options, environ).values_file()


def server_of(
    name: str, definition: Mapping[str, Any], options: LoadOptions, environ: Mapping[str, str]
) -> ServerSpec:
    """Return the server that an entry would define in the configuration file, despite other problems there.

    :raise ConfigError: the entry cannot be used.
    """
    return _Examination(options, environ).server_of(name, definition)


def examine(
    options: LoadOptions, environ: Mapping[str, str], brought: ProvidedValues | None = None
) -> ExaminedSettings:
    """Read the settings and find all problems in the files; the function writes and runs nothing.

    :param brought: the values that have been fetched; without it, those from outside of the files are missing.
    """
    return _Examination(options, environ, brought).examined()


def read_workspace(path: str, settings: Settings) -> WorkspaceSpec:
    """Return the values of a directory for its servers: its ``.env`` and the profiles that are assigned to it.

    :param path: a real path.
    :raise ConfigError: its ``.env`` cannot be used; the text shows nothing of it.
    """
    file = os.path.join(path, ".env")
    try:
        variables = parse_dotenv(files.read_text(file, FILE_LIMIT), file)
    except FileNotFoundError:
        variables = {}
    own = next((each for each in settings.workspaces if each.path == path), None)
    named = [each.strip() for each in variables.get("MCP_PROFILE", "").split(",") if each.strip()]
    return WorkspaceSpec(path, variables, tuple(named) or (own.profiles if own else ()))


def _refusal(errors: list[Problem], lists: str) -> ConfigError:
    more = len(errors) - 1
    if not more:
        return Wrong(errors[0])
    return ConfigError(f"{errors[0]}; and {more} more{lists}")


class _Examination:
    """One reading of all files, with the paths and problems that it has found."""

    def __init__(
        self, options: LoadOptions, environ: Mapping[str, str], brought: ProvidedValues | None = None
    ) -> None:
        self.environ = environ
        self.options = options
        self.home = paths.gateway_home(environ, options.home or None)
        self.brought = brought
        self.problems = Problems()
        self.files: dict[str, None] = {}

    def examined(self) -> ExaminedSettings:
        """Read all files."""
        found = self._files()
        native = read_native(found.native, self.problems)
        asked = wanted(native, found.native, self.problems)
        if self.brought is not None:
            self.brought.tell(asked, self.problems)
        world = self._world(native)
        setting = Circumstances(world, self.options.port, os.path.realpath)
        settings = compose(found, setting, self.problems, native)
        for each in native.workspaces.values():
            self._look(os.path.join(os.path.realpath(paths.absolute(each.path, self.environ)), ".env"))
        ordered = self.problems.in_order(self.files)
        if settings:
            warnings = tuple(str(each) for each in ordered if not each.is_error)
            settings = evolve(settings, warnings=tuple(dict.fromkeys(warnings)))
        return ExaminedSettings(
            settings,
            ordered,
            tuple(self.files),
            tuple(dict.fromkeys(each.name for each in asked)),
            native.readings,
        )

    def server_of(self, name: str, definition: Mapping[str, Any]) -> ServerSpec:
        """Build the server of an entry that is in no file yet."""
        native = read_native(self._files().native, self.problems)
        world = self._world(native)
        file = config_file(self.options, self.environ)
        policy = next((each.env_policy for each in native.readings if each.file == file), LISTED)
        place = parse(json.dumps({name: definition}), COMMAND_LINE).root().at(name)
        problems = Problems()
        origin = Origin(Scope.NATIVE, place.document.file, os.getcwd(), env_policy=policy)
        entry = read_server(name, place, origin, problems)
        building = ServerBuilder(name, entry, world) if entry else None
        server = building.server() if building else None
        for each in (*problems.errors, *(building.problems.errors if building else ())):
            raise Wrong(each)
        assert server is not None
        return server

    def _look(self, path: str) -> str:
        self.files[path] = None
        return path

    def _files(self) -> Files:
        options, environ = self.options, self.environ
        path = config_file_named(options, environ)
        sources = options.sources
        if path:
            documents = self._needed(path)
            if documents and is_client_file(documents[0]):
                what = "is a client's own file; its servers are read as with --source"
                self.problems.warn(Where(path), what)
                sources, documents = (*(sources or ()), path), []
            documents += self._beside(path)
        else:
            stem = os.path.join(self.home, "config")
            found = self._first_of(stem)
            documents = [*(self._needed(found) if found else ()), *self._beside(found or f"{stem}.yaml")]
            for each in unread_files(self.home):
                self.problems.warn(
                    Where(each), "is not read", f"the configuration is {found or f'{stem}.yaml'}"
                )
            documents = [*self._of_harshal(documents), *documents]
        documents += self._of_node()
        native, included = self._with_includes(documents)
        adopted, opted_out = self._adopted()
        theirs = [*self._sources(sources, {os.path.realpath(each.path) for each in adopted}), *included]
        ends = state.pause_end_in(self._look(state.pause_file(self.home)))
        of_projects = partial(approvals.approved_entries, self.home, self._look)
        of_node = os.path.join(self.home, NODE_FILE)
        return Files(native, theirs, self._demo(), adopted, opted_out, ends, of_projects, of_node)

    def _of_node(self) -> list[Document]:
        path = os.path.join(self.home, NODE_FILE)
        return self._needed(path) if os.path.exists(path) else []

    def _of_harshal(self, ours: list[Document]) -> list[Document]:
        """Return the default file of harshal-mcp-proxy, for users without a configuration of the gateway."""
        if any(not reading_of(each).is_open for each in ours):
            return []
        path = self._look(paths.absolute(HARSHAL_FILE, self.environ))
        try:
            text = files.read_text(path, FILE_LIMIT)
            return [parse(text, path, strict=False)]
        except FileNotFoundError:
            return []
        except ConfigError as why:
            self.problems.warn(Where(path), f"is left out: {why}")
            return []

    def _adopted(self) -> tuple[Sequence[EnrolledFile], frozenset[str]]:
        self._look(os.path.join(self.home, LEDGER, LEDGER_FILE))
        return self.options.enrolled(self.home, self._approved, self._look, self.problems)

    def _approved(self, path: str) -> str:
        self._look(approvals.file_of(self.home))
        with suppress(ConfigError):  # the backend reports it
            return approvals.read(self.home).get(approvals.target(path), "")
        return ""

    def _with_includes(self, documents: list[Document]) -> tuple[list[Document], list[Document]]:
        finder = FileFinder(self._find, self._document)
        found = [each for one in documents for each in with_includes(one, finder, self.problems)]
        theirs = [each for each in found if each not in documents and is_client_file(each)]
        return [each for each in found if each not in theirs], theirs

    def _find(self, pattern: str, directory: str) -> list[str]:
        path = os.path.normpath(self._beneath(pattern, directory))
        if not any(each in path for each in "*?["):
            return [self._look(path)] if os.path.exists(self._look(path)) else []
        import glob

        self._look(os.path.dirname(path))
        return [each for each in sorted(glob.glob(path)) if os.path.isfile(each)]

    def _beneath(self, path: str, directory: str) -> str:
        return paths.absolute(path, self.environ) if path[:1] in ("~", "/") else os.path.join(directory, path)

    def _beside(self, path: str) -> list[Document]:
        stem = _stem(path)
        try:
            names = sorted(os.listdir(self._look(f"{stem}.d")))
        except (FileNotFoundError, NotADirectoryError):
            names = []
        except OSError as why:
            self.problems.error(Where(f"{stem}.d"), f"cannot be read: {why.strerror}")
            names = []
        dropped = [os.path.join(f"{stem}.d", name) for name in names if not name.startswith(".")]
        found = [each for each in dropped if os.path.splitext(each)[1][1:] in EXTENSIONS]
        documents = [document for each in found for document in self._needed(each)]
        local = self._first_of(f"{stem}.local")
        return documents + (self._needed(local) if local else [])

    def _first_of(self, stem: str) -> str | None:
        tried = [self._look(f"{stem}.{each}") for each in EXTENSIONS]
        return next((each for each in tried if os.path.exists(each)), None)

    def _sources(self, named: tuple[str, ...] | None, led: Collection[str]) -> list[Document]:
        if named is not None:
            each_once = dict.fromkeys(paths.absolute(each, self.environ) for each in named)
            wanted = [each for each in each_once if os.path.realpath(each) not in led]
            return [document for each in wanted for document in self._source(each)]
        path = paths.claude_file(self.environ)
        is_there = os.path.lexists(self._look(path)) and os.path.realpath(path) not in led
        return self._source(path) if is_there else []

    def _source(self, path: str) -> list[Document]:
        """Read a client's own file, whose faults are no reason to refuse other files."""
        remembered = self.options.remembered
        try:
            found = self._document(path, is_ours=False)
        except ConfigError as why:
            former = remembered.of(path)
            self.problems.catch(why, path, AS_IT_WAS if former else LEFT_OUT, is_error=False)
            return [former] if former else []
        if found is None:
            remembered.forget(path)
            self.problems.warn(Where(path), "there is no such file", LEFT_OUT)
            return []
        remembered.keep(found)
        return [found]

    def _needed(self, path: str) -> list[Document]:
        try:
            found = self._document(path)
        except ConfigError as why:
            self.problems.catch(why, path)
            return []
        if found is None:
            self.problems.error(Where(path), "there is no such file")
            return []
        return [found]

    def _document(self, path: str, *, is_ours: bool = True) -> Document | None:
        try:
            text = files.read_text(self._look(path), FILE_LIMIT)
        except FileNotFoundError:
            return None
        if not is_ours:
            return parse(text, path, strict=False)
        return parse(text, path, flaws=self.problems, takes_list=True)

    def _optional(self, path: str) -> Document | None:
        try:
            return self._document(path)
        except ConfigError as why:
            self.problems.catch(why, path, "it is ignored", is_error=False)
            return None

    def _world(self, native: Native) -> World:
        return World(
            login=_login(self.home, self.environ, self.problems),
            variables=self._variables(native),
            home=paths.user_home(self.environ),
            classified=self._classified(),
            outside=self.brought.values if self.brought else {},
            is_token=is_token,
            own={"HOSTNAME": os.uname().nodename, **self.environ},
        )

    def values_file(self) -> str:
        """Return the path of the gateway's own file of values."""
        return self._values_file(read_native(self._files().native, self.problems))

    def _values_file(self, native: Native) -> str:
        if named := self._named_values_file:
            return paths.absolute(named, self.environ)
        if place := native.env_file:
            return self._beneath(place.value, os.path.dirname(place.document.file))
        return os.path.join(self.home, ".env")

    @property
    def _named_values_file(self) -> str:
        return self.options.env_file or next(filter(None, map(self.environ.get, ENV_FILE_VARIABLES)), "")

    def _variables(self, native: Native) -> dict[str, str]:
        path = self._values_file(native)
        place = None if self._named_values_file else native.env_file
        try:
            return parse_dotenv(files.read_text(self._look(path), FILE_LIMIT), path)
        except FileNotFoundError:
            if self._named_values_file or place:
                self.problems.error(place.where if place else Where(path), "there is no such file of values")
        except ConfigError as why:
            self.problems.catch(why, path)
        return {}

    def _classified(self) -> dict[str, Classification]:
        found: dict[str, Classification] = {}
        theirs = (paths.immorterm_classification(self.environ), IMMORTERM_TIMEOUT_S)
        for path, timeout_s in (theirs, (os.path.join(self.home, "classification.json"), None)):
            document = self._optional(path)
            if document and isinstance(document.value, dict):
                found |= read_classification(document, self.problems, timeout_s)
            elif document:
                self.problems.catch(document.root().wrong("a mapping"), hint="it is ignored", is_error=False)
        return found

    def _demo(self) -> tuple[Entry, ...]:
        return demo_servers(paths.user_home(self.environ)) if self.options.demo else ()


def _login(home: str, environ: Mapping[str, str], problems: Problems) -> dict[str, str]:
    own = environment.for_children(environ)
    if environment.is_from_shell(environ):
        return own
    path = os.path.join(home, LOGIN)
    try:
        return _recorded_environment(path) or own
    except ConfigError as why:
        problems.catch(why, path, "it is ignored", is_error=False)
        return own


def _recorded_environment(path: str) -> dict[str, str]:
    try:
        document = parse(home_files.read_text(path, FILE_LIMIT), path)
    except FileNotFoundError:
        return {}
    return environment.for_children(
        {key: each for key, each in document.value.items() if isinstance(each, str)}
    )


def keep_login(home: str, environ: Mapping[str, str]) -> list[str]:
    """Keep the environment of a shell for starts without one; return the reasons of a failure."""
    own = environment.for_children(environ)
    if not environment.is_from_shell(environ):
        return []
    with suppress(ConfigError):
        if _recorded_environment(os.path.join(home, LOGIN)) == own:
            return []
    try:
        _keep_environment(home, own)
    except ConfigError as why:
        return [f"{why}; the login environment is not kept"]
    return []


def keep_path(home: str, environ: Mapping[str, str]) -> None:
    """Keep the PATH of a shell for the next start of the gateway; an environment that is not a shell's has none.

    :raise ConfigError: the file cannot be read or written.
    """
    if environment.is_from_shell(environ) and (path := environ.get("PATH")):
        _keep_environment(home, {**_recorded_environment(os.path.join(home, LOGIN)), "PATH": path})


def kept_path(home: str) -> str:
    """Return the PATH of the latest shell that has started or restarted the gateway; empty where it is not known."""
    with suppress(ConfigError):
        return _recorded_environment(os.path.join(home, LOGIN)).get("PATH", "")
    return ""


def _keep_environment(home: str, own: Mapping[str, str]) -> None:
    files.make_home(home)
    # Bytes that are no UTF-8 arrive as surrogates, which JSON carries as escapes.
    text = json.dumps(dict(sorted(own.items())), indent=1)
    home_files.keep(os.path.join(home, LOGIN), text.encode("ascii"))
