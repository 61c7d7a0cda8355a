"""The machine under examination; each part is read once, when the first check needs it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from urllib.parse import unquote

from attrs import define, evolve, field, frozen

from mcpgateway.clientfiles.files import DetectedClient, FileChoice, FileContents, chosen, detect, see
from mcpgateway.clientfiles.formats.client_format import LocalGateway
from mcpgateway.clientfiles.ledger import LedgerRecords
from mcpgateway.clientfiles.machine import Machine, as_it_runs
from mcpgateway.clientfiles.reader import enrolled_files
from mcpgateway.errors import ConfigError, GatewayError
from mcpgateway.interfaces import INSTANCE_MARKER
from mcpgateway.policy.recorded_answers import FILE_LIMIT, Catalog, NewerListFormat
from mcpgateway.policy.recorded_answers import read as read_catalog
from mcpgateway.system import paths, state
from mcpgateway.system.files import read_text
from mcpgateway.system.gateway_health import OVERVIEW, HealthReply, ask_port, ask_socket
from mcpgateway.system.paths import HOME_VARIABLE
from mcpgateway.system.process import procfs
from mcpgateway.system.process.socket_owners import PortHolder, port_holders
from mcpgateway.system.settings import ExaminedSettings, LoadOptions, examine


@frozen
class UserProcess:
    """A process of this user.

    :ivar argv: its command line; it may contain secrets, so it is never shown.
    :ivar is_of_gateway: True if a gateway has started it.
    :ivar home: the gateway's home in its environment; empty for none.
    """

    pid: int
    parent: int
    argv: tuple[str, ...] = field(repr=False)
    is_of_gateway: bool = False
    home: str = ""


def user_processes(proc: str = procfs.PROC) -> Iterator[UserProcess]:
    """Yield every process of this user except this one."""
    for pid in procfs.pids(proc):
        if pid == os.getpid() or not procfs.is_own(pid, proc):
            continue
        parent = procfs.parent(pid, proc)
        if parent:  # 0 if it has ended
            environ = procfs.environment_of(pid, proc)
            home = environ.get(HOME_VARIABLE.encode(), b"").decode(errors="replace")
            argv = tuple(procfs.command_of(pid, proc))
            yield UserProcess(pid, parent, argv, INSTANCE_MARKER.encode() in environ, home)


@define(eq=False, repr=False, slots=False)
class DoctorContext:
    """A machine, from the view of one gateway's home.

    :ivar home: the gateway's own directory, absolute.
    :ivar now: epoch seconds.
    :ivar clients: the names of the clients to examine; empty for all.
    :ivar proc: mount point of procfs.
    """

    home: str
    environ: Mapping[str, str] = field(repr=False)
    now: float
    clients: tuple[str, ...] = ()
    proc: str = "/proc"

    def in_home(self, *names: str) -> str:
        """Return a path below the gateway's own directory."""
        return os.path.join(self.home, *names)

    @cached_property
    def user_home(self) -> str:
        """The user's home directory."""
        return paths.user_home(self.environ)

    @cached_property
    def examined(self) -> ExaminedSettings:
        """The configuration, and its problems."""
        return examine(
            as_it_runs(LoadOptions(home=self.home, enrolled=enrolled_files), self.home), self.environ
        )

    @cached_property
    def machine(self) -> Machine:
        """The machine in the form that the programs for clients' files use."""
        return Machine(self.home, self.environ)

    @cached_property
    def port(self) -> int:
        """The port that clients' files name: of the gateway that runs or ran, else the configured one."""
        reported = self.socket.body.get("port")
        if isinstance(reported, int) and reported > 0:
            return reported
        # After a crash, the clients' entries have the port of the crashed gateway.
        with suppress(ConfigError):
            left = state.read(self.home)
            if left is not None and left.port:
                return left.port
        return self.machine.port

    @cached_property
    def socket(self) -> HealthReply:
        """The health of the gateway of this home, asked over its Unix socket."""
        from mcpgateway.shim.locations import socket_path

        path = socket_path(self.environ, self.home)
        found = ask_socket(path, OVERVIEW)
        # An earlier release has no overview.
        return ask_socket(path) if found.status and "needs" not in found.body else found

    @cached_property
    def needs(self) -> Mapping[str, Mapping[str, str]]:
        """The servers that need the user, as the gateway's overview tells of them, by their names."""
        found = self.socket.body.get("needs", ())
        return {each["name"]: each for each in found if each["kind"] == "server"}

    @cached_property
    def health(self) -> HealthReply:
        """The health of a gateway that answers at the port."""
        return ask_port(self.port)

    @cached_property
    def pid(self) -> int:
        """The process of the gateway of this home; 0 if none answers."""
        reported = self.socket.body.get("pid")
        return reported if isinstance(reported, int) else 0

    @cached_property
    def records(self) -> LedgerRecords | None:
        """The records of the ledger; None if it cannot be read."""
        try:
            return self.machine.records
        except (ConfigError, OSError):
            return None

    @cached_property
    def is_plain_node(self) -> bool:
        """True for a node of a cluster at which no client's file is enrolled: its clients are elsewhere."""
        settings = self.examined.settings
        is_node = (
            settings.gateway.cluster.is_on if settings is not None else bool(self.socket.body.get("cluster"))
        )
        records = self.records
        return (
            is_node and records is not None and not (records.files or records.problems or records.unsettled)
        )

    @cached_property
    def base(self) -> LocalGateway:
        """The addresses by which a URL is recognised as the gateway's."""
        return evolve(self.machine.base, port=self.port)

    @cached_property
    def seen(self) -> tuple[FileContents, ...]:
        """The clients' files, with their entries."""
        sites = chosen(
            FileChoice(self.clients), self.environ, self.records or LedgerRecords(), with_projects=True
        )
        return tuple(see(each, self.base) for each in sites)

    @cached_property
    def detected(self) -> tuple[DetectedClient, ...]:
        """The clients of this machine."""
        return tuple(
            each for each in detect(self.environ) if not self.clients or each.dialect.name in self.clients
        )

    @cached_property
    def served(self) -> frozenset[str] | None:
        """The names of the servers; None if they are unknown."""
        reported = self.socket.body.get("backends")
        if isinstance(reported, list):
            return frozenset(str(each.get("name")) for each in reported if isinstance(each, dict))
        settings = self.examined.settings
        return None if settings is None else frozenset(each.name for each in settings.servers)

    @cached_property
    def catalogs(self) -> dict[str, Catalog]:
        """The recorded lists of servers; unreadable ones are left out."""
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
        """Return the processes that listen at a port."""
        return tuple(port_holders(port, self.proc))
