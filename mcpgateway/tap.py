"""The `twistd` and `twist` side of the gateway: its options and its service maker."""

from __future__ import annotations

import linecache
import os
import sys
from collections.abc import Callable, Mapping
from time import time_ns
from typing import TYPE_CHECKING

from attrs import evolve
from msgspec.structs import replace
from twisted.application.service import IService
from twisted.python import usage

from mcpgateway.config.gateway_settings import LOG_LEVELS, Adopt
from mcpgateway.config.reach_settings import Daemon, Reach, Remote, Rest
from mcpgateway.config.settings import Settings
from mcpgateway.errors import ConfigError, Misplaced
from mcpgateway.shim.locations import variable
from mcpgateway.system.process.memory import permanent_generation

if TYPE_CHECKING:
    from mcpgateway.config.load import Files
    from mcpgateway.config.problems import Problem
    from mcpgateway.system.secret_providers import ProvidedValues
    from mcpgateway.system.settings import ExaminedSettings

TLS_ENDPOINTS = ("ssl:", "tls:")
LEVEL_VARIABLE = "MCPGATEWAY_LOG_LEVEL"
LEVELS = {"": "", **{each: each for each in LOG_LEVELS}, "warning": "warn"}
SURE = "MCPGATEWAY_I_UNDERSTAND_NO_AUTH"
TLS_SCHEMES = ("https:", "wss:")


class Options(usage.Options):
    """Command-line options; reading them reads the configuration too, so that a mistake ends the program here."""

    synopsis = "mcpgateway [options]"
    longdesc = "Serves the stdio MCP servers of your configuration to many clients over Streamable HTTP."

    optParameters = [
        ["port", "p", None, "TCP port on loopback (default: 9100, or what the configuration says)."],
        ["config", "c", None, "Configuration file, YAML or JSON."],
        [
            "env-file",
            None,
            None,
            "File of values instead of .env in the home (default: $MCPGATEWAY_ENV_FILE).",
        ],
        [
            "log-level",
            None,
            None,
            "debug, info, warn, error or critical (default: $MCPGATEWAY_LOG_LEVEL, or the configuration's).",
        ],
        ["home", None, None, "Directory for the gateway's own files (default: ~/.mcp-gateway)."],
    ]
    optFlags = [
        ["demo", None, "Serve the two demo servers too."],
        ["welcome", None, "Print where the servers are, and of the log only warnings and errors."],
        ["adopt", None, "Enrol the files of this machine's clients, as clients apply does."],
        ["no-auth", None, "Programs of this user on this machine need no token, whatever they change."],
        ["no-adopt", None, "Change no client's file, whatever the configuration says."],
        [
            "managed",
            None,
            "A service manager starts it again: clients' files use the gateway while it is away.",
        ],
    ]

    settings: Settings
    home: str
    log_level: str
    files: tuple[str, ...]
    warnings: tuple[Problem, ...]
    config_file: str
    busy_files: tuple[str, ...]
    read_at: float
    brought: ProvidedValues
    examine: Callable[[], ExaminedSettings]
    gather: Callable[[], Files]
    values_file: Callable[[], str]

    def __init__(self) -> None:
        super().__init__()
        self["listen"] = []
        self["source"] = []

    def opt_listen(self, endpoint: str) -> None:
        """A further Twisted endpoint to listen on: tcp:…, unix:…, ssl:…; may be repeated."""
        self["listen"].append(endpoint)

    def opt_source(self, path: str) -> None:
        """A client's configuration to read servers from (default: ~/.claude.json); may be repeated."""
        self["source"].append(path)

    def postOptions(self) -> None:
        """Read the configuration, and leave OpenSSL out of the process unless something needs it."""
        from mcpgateway.clientfiles.reader import enrolled_files
        from mcpgateway.system import paths
        from mcpgateway.system.process.fall_back import arm
        from mcpgateway.system.settings import (
            LoadOptions,
            brought_of,
            config_file,
            examine,
            gather,
            start,
            values_file,
        )

        arm(os.environ)  # first, so that no setting has a variable that is not for it
        self.home = paths.gateway_home(os.environ, self["home"])
        sources = tuple(self["source"]) or None
        options = LoadOptions(
            self["config"],
            sources,
            self.home,
            bool(self["demo"]),
            self.port,
            self["env-file"],
            enrolled=enrolled_files,
        )
        self.log_level = self._log_level()
        more = tuple(self["listen"])
        self.read_at = time_ns() / 1e9
        try:
            self.brought = brought_of(options, os.environ)
            examined = self._said_here(start(options, os.environ, self.brought), more)
            _check_opening(examined.settings, os.environ, is_open=bool(self["no-auth"]))
        except ConfigError as why:
            raise SystemExit(_told(why)) from None
        assert examined.settings is not None
        self.settings, self.files = examined.settings, examined.files
        self.warnings = tuple(each for each in examined.problems if not each.is_error)
        self.examine = lambda: self._said_here(examine(options, os.environ, self.brought), more)
        self.gather = lambda: gather(options, os.environ)
        self.values_file = lambda: values_file(options, os.environ)
        self.config_file = config_file(options, os.environ)
        named = (paths.absolute(each, os.environ) for each in sources or ())
        self.busy_files = (paths.claude_file(os.environ), *named)
        if not needs_openssl(self.settings):
            leave_out_openssl()

    def _said_here(self, examined: ExaminedSettings, more: tuple[str, ...]) -> ExaminedSettings:

        settings = examined.settings
        if settings is None or not (more or self["no-auth"]):
            return examined
        gateway = evolve(settings.gateway, listen=settings.gateway.listen + more)
        if self["no-auth"]:
            gateway = evolve(gateway, open_loopback_admin=True)
        return replace(examined, settings=evolve(settings, gateway=gateway))

    @property
    def port(self) -> int | None:
        """The port that was named, or None."""
        text = self["port"]
        if text is None:
            return None
        if not (text.isascii() and text.isdigit() and int(text) < 65536):
            raise SystemExit(f"mcpgateway: --port: found {text!r}; expected a number from 0 to 65535")
        return int(text)

    def _log_level(self) -> str:
        usual = "warn" if self["welcome"] else ""
        text = self["log-level"] or os.environ.get(LEVEL_VARIABLE) or usual
        level = LEVELS.get(text.strip().lower())
        if level is None:
            where = "--log-level" if self["log-level"] else LEVEL_VARIABLE
            expected = f"{', '.join(LOG_LEVELS[:-1])} or {LOG_LEVELS[-1]}"
            raise SystemExit(f"mcpgateway: {where}: found {text!r}; expected {expected}")
        return level


def _check_opening(settings: Settings | None, environ: Mapping[str, str], *, is_open: bool) -> None:
    """Check that opening the gateway to this machine's programs and to other machines at once is intended.

    :raise ConfigError: the environment does not confirm it.
    """
    if is_open and settings is not None and settings.gateway.allow_remote and variable(environ, SURE) != "1":
        raise ConfigError(
            "--no-auth beside gateway.allow_remote: every program of yours on this machine could change what other"
            f" machines are served (these need their token as before); {SURE}=1 in the environment agrees to that"
        )


def needs_openssl(settings: Settings) -> bool:
    """True if TLS is spoken: by an endpoint of the gateway, or with a server."""
    urls = [url for server in settings.servers for url in _urls(server.reach)]
    return (
        bool(settings.gateway.tls_cert_path)
        or any(each.startswith(TLS_ENDPOINTS) for each in settings.gateway.listen)
        or any(each.lower().startswith(TLS_SCHEMES) for each in urls)
    )


def _urls(reach: Reach | None) -> tuple[str, ...]:
    match reach:
        case Remote() | Daemon():
            return (reach.url,)
        case Rest():
            return reach.base, reach.openapi
        case _:
            return ()


def leave_out_openssl() -> None:
    """Keep the reactor from importing OpenSSL: 15 MB that a gateway on loopback does not need.

    The function works only before the reactor is imported; it is harmless afterwards. `mcpgateway.backends.http.tls`
    allows the import again.
    """
    if "OpenSSL" not in sys.modules and "twisted.internet.reactor" not in sys.modules:
        sys.modules["OpenSSL"] = None  # type: ignore[assignment]  # the documented way to block an import


def _adopts(options: Options) -> Adopt | None:
    if options["no-adopt"]:
        return Adopt.NEVER
    return Adopt.ALWAYS if options["adopt"] else None


def makeService(options: Options) -> IService:
    """Return the gateway as a service, with its addresses bound.

    :raise SystemExit: the gateway cannot be started; the text is one line.
    """
    linecache.clearcache()  # attrs keeps the source of all that it generates there: 0.5 MB
    with permanent_generation():
        from twisted.internet import reactor

        from mcpgateway.app.build import make_gateway
        from mcpgateway.app.daemon import SettingsOrigin
        from mcpgateway.app.log import LogPipeline
        from mcpgateway.app.steady_timers import keep_steady
        from mcpgateway.system import service_manager
        from mcpgateway.system.reexec import ReexecCommand

    linecache.clearcache()
    keep_steady(reactor)
    observation = LogPipeline(pinned=options.log_level)
    observation.lead()
    command = ReexecCommand.of_this_process(os.environ)
    origin = SettingsOrigin(
        options.examine,
        options.files,
        options.read_at,
        options.busy_files,
        options.config_file,
        options.gather,
        _adopts(options),
        tuple(sys.argv),
        options.brought,
        bool(options["managed"]) or service_manager.is_managed(os.environ),
        options.port,
        options.values_file,
        options.warnings,
    )
    try:
        gateway = make_gateway(options.settings, options.home, reactor, origin, command, observation)
    except ConfigError as why:
        raise SystemExit(_told(why)) from None
    if options["welcome"]:
        from mcpgateway.app.welcome import greet

        # After the gateway has set its signal handlers; the runner makes a log of `sys.stdout`.
        reactor.callWhenRunning(reactor.callLater, 0, greet, gateway, sys.__stdout__)
    return gateway


def _told(why: ConfigError) -> str:
    # One line, which the starter of the gateway looks for in its log; see `mcpgateway.shim.startup.SAYS`.
    hint = why.advice if isinstance(why, Misplaced) else why.hint
    return f"mcpgateway: {why}; {hint}" if hint else f"mcpgateway: {why}"
