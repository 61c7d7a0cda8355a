"""What the checks look at, each part read once, when the first check asks for it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property
from urllib.parse import unquote

from attrs import define, evolve, field

from mcpgateway.cli.doctor.processes import UserProcess, user_processes
from mcpgateway.clientfiles.files import Detected, FileChoice, Seen, chosen, detect, see
from mcpgateway.clientfiles.formats.client_format import Base
from mcpgateway.clientfiles.ledger import Records
from mcpgateway.clientfiles.machine import Machine, as_it_runs
from mcpgateway.clientfiles.reader import enrolled_files
from mcpgateway.errors import ConfigError, GatewayError
from mcpgateway.policy.recorded_answers import FILE_LIMIT, Catalog, NewerListFormat
from mcpgateway.policy.recorded_answers import read as read_catalog
from mcpgateway.system import paths, state
from mcpgateway.system.files import read_text
from mcpgateway.system.gateway_health import HealthReply, ask_port, ask_socket
from mcpgateway.system.process.socket_owners import PortHolder, port_holders
from mcpgateway.system.settings import Examined, LoadOptions, examine


@define(eq=False, slots=False)
class DoctorContext:
    """One machine, seen from one gateway's home.

    :ivar home: the gateway's own directory, absolute.
    :ivar now: seconds since the epoch.
    :ivar clients: the names of the clients to look at; empty for all.
    :ivar proc: where the processes are shown.
    """

    home: str
    environ: Mapping[str, str] = field(repr=False)
    now: float
    clients: tuple[str, ...] = ()
    proc: str = "/proc"

    def in_home(self, *names: str) -> str:
        """A path below the gateway's own directory."""
        return os.path.join(self.home, *names)

    @cached_property
    def user_home(self) -> str:
        """The user's home directory."""
        return paths.user_home(self.environ)

    @cached_property
    def examined(self) -> Examined:
        """The configuration, and what is wrong with it."""
        return examine(
            as_it_runs(LoadOptions(home=self.home, enrolled=enrolled_files), self.home), self.environ
        )

    @cached_property
    def machine(self) -> Machine:
        """The same as programs see it that change clients' files."""
        return Machine(self.home, self.environ)

    @cached_property
    def port(self) -> int:
        """The port clients are led to: the one a gateway of this home has or had, else the configured one."""
        told = self.socket.body.get("port")
        if isinstance(told, int) and told > 0:
            return told
        # Where it has crashed, the clients' entries lead to the port that it had.
        with suppress(ConfigError):
            left = state.read(self.home)
            if left is not None and left.port:
                return left.port
        return self.machine.port

    @cached_property
    def socket(self) -> HealthReply:
        """What the gateway of this home says at its Unix socket."""
        from mcpgateway.shim.locations import socket_path

        return ask_socket(socket_path(self.environ, self.home))

    @cached_property
    def health(self) -> HealthReply:
        """What is said at the port."""
        return ask_port(self.port)

    @cached_property
    def pid(self) -> int:
        """The process of the gateway of this home; 0 where none answers."""
        told = self.socket.body.get("pid")
        return told if isinstance(told, int) else 0

    @cached_property
    def records(self) -> Records | None:
        """What the ledger says; None where it cannot be read."""
        try:
            return self.machine.records
        except (ConfigError, OSError):
            return None

    @cached_property
    def base(self) -> Base:
        """What makes a URL the gateway's."""
        return evolve(self.machine.base, port=self.port)

    @cached_property
    def seen(self) -> tuple[Seen, ...]:
        """The clients' files, and what they list."""
        sites = chosen(FileChoice(self.clients), self.environ, self.records or Records(), with_projects=True)
        return tuple(see(each, self.base) for each in sites)

    @cached_property
    def detected(self) -> tuple[Detected, ...]:
        """The clients of this machine."""
        return tuple(
            each for each in detect(self.environ) if not self.clients or each.dialect.name in self.clients
        )

    @cached_property
    def served(self) -> frozenset[str] | None:
        """The names of the servers there are; None where that cannot be told."""
        told = self.socket.body.get("backends")
        if isinstance(told, list):
            return frozenset(str(each.get("name")) for each in told if isinstance(each, dict))
        settings = self.examined.settings
        return None if settings is None else frozenset(each.name for each in settings.servers)

    @cached_property
    def catalogs(self) -> dict[str, Catalog]:
        """What servers have said of themselves, as far as it can be read."""
        found: dict[str, Catalog] = {}
        directory = self.in_home("catalogs")
        names = sorted(os.listdir(directory)) if os.path.isdir(directory) else []
        for each in names:
            if each.endswith(".json"):
                with suppress(ConfigError, GatewayError, OSError, NewerListFormat):
                    text = read_text(os.path.join(directory, each), FILE_LIMIT)
                    found[unquote(each.removesuffix(".json"))] = read_catalog(text.encode())
        return found

    @cached_property
    def programs(self) -> tuple[UserProcess, ...]:
        """The processes of this user."""
        return tuple(user_processes(self.proc))

    def holders(self, port: int) -> tuple[PortHolder, ...]:
        """Who listens at a port."""
        return tuple(port_holders(port, self.proc))
