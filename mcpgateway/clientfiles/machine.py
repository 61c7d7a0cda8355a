"""The ledger, the configuration and the gateway of this machine, as commands for clients' files see them."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress

from attrs import define, evolve, field

from mcpgateway.clientfiles.enrolled_text import also_former
from mcpgateway.clientfiles.enrolment_records import FileRecord
from mcpgateway.clientfiles.formats.client_format import LocalGateway
from mcpgateway.clientfiles.formats.clients import DIALECTS
from mcpgateway.clientfiles.formats.loopback import port_of
from mcpgateway.clientfiles.ledger import Ledger, LedgerRecords
from mcpgateway.clientfiles.reader import enrolled_files
from mcpgateway.config.document import Document, Place
from mcpgateway.config.entry import Entry
from mcpgateway.config.file_format import Native, is_client_file, read_native
from mcpgateway.config.gateway_settings import ClientSettings, GatewaySettings
from mcpgateway.config.load import DISABLED, overlays_of, place_of
from mcpgateway.config.names import slug
from mcpgateway.config.ours import home_of
from mcpgateway.config.problems import Problems
from mcpgateway.config.read import parse
from mcpgateway.config.settings import Settings
from mcpgateway.errors import ConfigError
from mcpgateway.hints import cli
from mcpgateway.system import files, paths, state
from mcpgateway.system.gateway_health import GatewayHealth, ask, home_at, running_gateway
from mcpgateway.system.process.procfs import directory_of, environment_of
from mcpgateway.system.settings import (
    CONFIG_VARIABLES,
    ENV_FILE_VARIABLES,
    FILE_LIMIT,
    ExaminedSettings,
    LoadOptions,
    brought_of,
    config_file_named,
    examine,
    examine_to_run,
    gather,
)
from mcpgateway.system.state import GatewayState

HTTP, FAIL_OPEN, SINGLE = "http", "fail-open", "single"
PROGRAM = "mcpgateway"
CUSTOM = "custom"
FAILING = frozenset(("error", "unreachable", "stopped", "idle"))
"""The states of a server that does not run, where its last error says why."""
NAMES_FILES = {"--config": "config", "-c": "config", "--source": "source", "--env-file": "env-file"}
NAMED_BY_VARIABLE = {"config": CONFIG_VARIABLES, "env-file": ENV_FILE_VARIABLES}
NAMES_PORT, DEMO = ("--port", "-p"), "--demo"


def as_it_runs(options: LoadOptions, home: str) -> LoadOptions:
    """Return the options with the files and the port of the running gateway, where no other files were named."""
    running = running_gateway(home)
    words = running.command if running is not None else ()
    files: dict[str, list[str]] = {}
    for at, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name in NAMES_FILES:
            path = _from(running, value if equals else "".join(words[at + 1 : at + 2]))
            if path:
                files.setdefault(NAMES_FILES[name], []).append(path)
    if options.config or running is None:
        return options
    environ = environ_of(home)
    for name, variables in NAMED_BY_VARIABLE.items():
        path = next((environ[each] for each in variables if environ.get(each)), "")
        if name not in files and (path := _from(running, path)):
            files[name] = [path]
    sources = tuple(files["source"]) if "source" in files and options.sources is None else options.sources
    env_file = options.env_file or next(iter(files.get("env-file", ())), None)
    named = any(word.partition("=")[0] in NAMES_PORT for word in words)
    return evolve(
        options,
        config=next(iter(files.get("config", ())), None),
        sources=sources,
        env_file=env_file,
        port=running.port if named and options.port is None else options.port,
        demo=options.demo or DEMO in words,
    )


def environ_of(home: str) -> Mapping[str, str]:
    """Return the environment of the running gateway of a home where that is readable, else this program's own."""
    running = running_gateway(home)
    if running is not None:
        theirs = environment_of(running.pid)
        pairs = ((os.fsdecode(name), os.fsdecode(value)) for name, value in theirs.items())
        return dict(pairs) or os.environ
    return os.environ


def _from(running: GatewayState | None, path: str) -> str:
    # A relative path is relative to the working directory of the gateway, where that can be read.
    if running is None or not path or path.startswith(("/", "~")):
        return path
    directory = directory_of(running.pid)
    found = os.path.join(directory, path)
    return found if directory and os.path.exists(found) else ""


@define(eq=False, repr=False)
class Machine:
    """The machine: its ledger, configuration and gateway, each read when it is first needed.

    :ivar home: the gateway's own directory.
    """

    home: str
    environ: Mapping[str, str] = field(repr=False)
    ledger: Ledger = field(init=False, repr=False)
    _settings: Settings | None = field(default=None, init=False, repr=False)
    _own: Native | None = field(default=None, init=False, repr=False)
    _records: LedgerRecords | None = field(default=None, init=False, repr=False)
    _answer: GatewayHealth | None = field(default=None, init=False, repr=False)
    _owners: dict[tuple[str, ...], str] = field(factory=dict, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self.ledger = Ledger(self.home)

    @property
    def records(self) -> LedgerRecords:
        """The content of the ledger, as it was first read.

        :raise ConfigError: the ledger cannot be read.
        """
        if self._records is None:
            self._records = self.ledger.read()
        return self._records

    def record_of(self, path: str) -> FileRecord | None:
        """Return the ledger's record of a client's file; None where it has none.

        :raise ConfigError: the ledger cannot be read.
        """
        return self.records.files.get(os.path.realpath(path))

    @property
    def is_paused(self) -> bool:
        """True while files are restored because the whole gateway is disabled."""
        return any(each.suspended == DISABLED for each in self.records.files.values())

    def look_again(self) -> None:
        """Discard the ledger's content and the settings, which are read again when they are next needed."""
        self._records = self._settings = None
        self._owners.clear()

    @property
    def settings(self) -> Settings:
        """The settings of the gateway.

        :raise ConfigError: the configuration cannot be used.
        """
        if self._settings is None:
            self._settings = _usable(examine(self._options, self.environ))
        return self._settings

    def moved(self, path: str) -> Mapping[tuple[str, ...], str]:
        """Return the names of the servers that entries of an enrolled file have become, by their key paths.

        :raise ConfigError: the configuration cannot be used.
        """
        return {
            key_path: name
            for each in self.settings.adopted
            if each.path == path
            for key_path, name in each.moved
        }

    def reason_for_name(self, title: str, name: str) -> str:
        """Return why a server is called otherwise than its entry in a client's file; empty where it is not.

        :raise ConfigError: the configuration cannot be used.
        """
        if name == title:
            return ""
        bare = slug(title)
        if name == bare:
            return "a name has letters, digits, _ and - only"
        other = self.settings.blueprints.get(bare)
        words = f" of {other.entry.origin.words}" if other is not None and other.entry.origin.words else ""
        return f"the name {bare} is that of another server{words}"

    def settings_to_run(self) -> Settings:
        """Return the settings with values from secret providers, which only a command needs that starts servers.

        :raise ConfigError: the configuration cannot be used.
        """
        brought = brought_of(self._options, self.environ)
        return _usable(examine_to_run(self._options, self.environ, brought))

    def place_of(self, entry: Entry) -> Place | None:
        """Return the place of a server's entry in the files that are read; None where it is in none of them."""
        return place_of(gather(self._options, self.environ), entry)

    def own_files(self) -> tuple[Document, ...]:
        """Return the gateway's own configuration files.

        :raise ConfigError: one cannot be read.
        """
        return tuple(gather(self._options, self.environ).native)

    def overlays(self, name: str) -> tuple[Place, ...]:
        """Return the places of the overlays over a server, the one that outranks the others last."""
        return overlays_of(gather(self._options, self.environ), name)

    @property
    def gateway(self) -> GatewaySettings:
        """The gateway's own settings; available also where the rest of the configuration is wrong."""
        return self._native.gateway

    @property
    def clients(self) -> ClientSettings:
        """The settings for clients' files; available also where the rest of the configuration is wrong."""
        return self._native.clients

    @property
    def _native(self) -> Native:
        if self._own is None:
            try:
                self._own = read_native(gather(self._options, self.environ).native, Problems())
            except ConfigError:
                self._own = Native()
        return self._own

    @property
    def _options(self) -> LoadOptions:
        return as_it_runs(LoadOptions(home=self.home, enrolled=enrolled_files), self.home)

    @property
    def sources(self) -> tuple[str, ...]:
        """The clients' own files that were named as sources, with ``--source``, or as the configuration."""
        options = self._options
        config = config_file_named(options, self.environ)
        with suppress(ConfigError, OSError):
            document = parse(files.read_text(config, FILE_LIMIT), config, strict=False, takes_list=True)
            if is_client_file(document):
                return (*(options.sources or ()), config)
        return options.sources or ()

    @property
    def port(self) -> int:
        """The port of the gateway; where none runs, that of the last one, or else the configuration's."""
        running = running_gateway(self.home)
        if running is not None:
            return running.port
        recorded = state.recorded_port(self.home)
        return self.gateway.http_port if recorded is None else recorded

    @property
    def base(self) -> LocalGateway:
        """The gateway's addresses, with its former ports in enrolled entries."""
        base = LocalGateway(self.port, frozenset((self.gateway.bind_address,)), elsewhere=self._other_home)
        with suppress(ConfigError):  # a ledger that cannot be read is reported where it is needed
            for each in self.records.files.values():
                base = also_former(base, DIALECTS.get(each.dialect, DIALECTS[CUSTOM]), each.entries)
        return base

    def _other_home(self, target: tuple[str, ...]) -> str:
        """Return the home of another gateway that runs, to which a URL or command leads; "" where none does."""
        if target not in self._owners:
            usual = paths.gateway_home({"HOME": paths.user_home(self.environ)})
            if len(target) == 1 and "://" in target[0]:
                home = self._home_at(port_of(target[0]) or 0)
            else:
                home = paths.absolute(home_of(target) or usual, self.environ)
            is_other = home and os.path.realpath(home) != os.path.realpath(self.home)
            self._owners[target] = home if is_other and running_gateway(home) is not None else ""
        return self._owners[target]

    def _home_at(self, port: int) -> str:
        """Return the home of the gateway at a port; "" where that is this one, or none."""
        running = running_gateway(self.home)
        return "" if running is not None and running.port == port else home_at(port)

    @property
    def failing(self) -> frozenset[str]:
        """The names of the servers that do not run because of a fault; empty where no gateway answers."""
        health = self.answer.health if self.answer is not None else {}
        listed = [each for each in health.get("backends") or () if isinstance(each, Mapping)]
        return frozenset(
            str(each.get("name"))
            for each in listed
            if each.get("status") in FAILING and (each.get("last_error") or each.get("lastError"))
        )

    @property
    def answer(self) -> GatewayHealth | None:
        """The health of the gateway; None where it does not answer."""
        if self._answer is None:
            self._answer = ask(self.home, self.port, self.environ)
        return self._answer

    @property
    def serves_all_at_once(self) -> bool:
        """True if the gateway has one endpoint for all servers together; an older one that still runs may have none."""
        return self.answer is None or self.answer.serves_all_at_once

    def url(self, name: str) -> str:
        """Return the URL of a server; for "", that of all servers together."""
        return f"http://localhost:{self.port}/{name}/mcp" if name else f"http://localhost:{self.port}/mcp"

    def command(self, name: str, original: Sequence[str], project: str = "") -> list[str]:
        """Return the command that connects a client, with the original that it runs where no gateway answers.

        :param name: the server's name; "" for all servers together, which have no original.
        :param project: the directory of the project that the entry is for, or "".
        """
        own = os.path.join(os.path.dirname(sys.executable), PROGRAM)
        # Clients with windows do not have the PATH of a shell.
        program = own if os.access(own, os.X_OK) else PROGRAM
        # They do not have a variable that names the home either.
        usual = paths.gateway_home({"HOME": paths.user_home(self.environ)})
        home = [] if self.home == usual else ["--home", self.home]
        more = ["--project", project] if project else []
        return [program, *home, *(["connect", name, *more, "--", *original] if name else ["stdio", *more])]


def _usable(found: ExaminedSettings) -> Settings:
    if found.settings is None:
        first = next(each for each in found.problems if each.is_error)
        raise ConfigError(f"{first}; {cli('config check')} lists all that is wrong")
    return found.settings
