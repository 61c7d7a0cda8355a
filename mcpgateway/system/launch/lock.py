"""The versions of servers' packages and the digests of their tools, on disk: ``<home>/lock.json``.

# Note [What is locked]
The entry of a server in the file says which version of a package its new processes run, in place of the newest one that
a package runner would take, and which definitions of tools count as known.  Without the file both are learned anew from
the next processes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping

import msgspec
from msgspec import Struct
from twisted.logger import Logger

from mcpgateway.discovery.tool_changes import ToolChange
from mcpgateway.errors import ConfigError
from mcpgateway.policy.runners import Age, Package
from mcpgateway.system import home_files

FORMAT = 1
FILE = "lock.json"
BYTES_LIMIT = 32 * 2**20
SERVERS_LIMIT = 500  # those seen longest ago are dropped
TOOLS_LIMIT = 5000  # of one version; those that were not listed for longest are dropped
DIGESTS_LIMIT = 8  # of one tool: servers list it otherwise to another workspace, user or kind of client

Tools = dict[str, list[str]]
"""The digests of each tool that count as known, the latest first."""


class SeenVersion(Struct, omit_defaults=True):
    """A version of a package.

    :ivar version: empty for a server that is no package.
    :ivar integrity: the digest of its files, as the installer has recorded it; empty where unknown.
    :ivar tools: its known tools; None before its first list.
    :ivar seen_at: the time when it was first seen, in seconds since the epoch.
    """

    version: str = ""
    integrity: str = ""
    tools: Tools | None = None
    seen_at: float = 0.0

    def learn(self, digests: Mapping[str, str]) -> None:
        """Count definitions of tools as known, beside those that are."""
        tools = self.tools or {}
        news = {name: [digest, *tools.get(name, ())][:DIGESTS_LIMIT] for name, digest in digests.items()}
        kept = {name: each for name, each in tools.items() if name not in news} | news
        self.tools = dict(list(kept.items())[-TOOLS_LIMIT:])


class NewerVersion(SeenVersion, omit_defaults=True):
    """A version that is newer than the one in use.

    :ivar changes: the differences of its tools from those in use.
    :ivar fault: the reason why it could not be compared; empty where it was, or will be.
    """

    changes: tuple[ToolChange, ...] = ()
    fault: str = ""

    @property
    def is_judged(self) -> bool:
        """True if it has been started and compared, or could not be."""
        return self.tools is not None or bool(self.fault)


class HeldTool(Struct):
    """A tool that is held back until its change is approved.

    :ivar since: the time when the change was first seen, in seconds since the epoch.
    """

    digest: str
    since: float
    change: ToolChange


class LockedServer(Struct, omit_defaults=True):
    """The entry of one server.

    :ivar runner: the kind of the package runner; empty for a server that is no package.
    :ivar requested: the version, range or tag in the server's configuration; empty for none.
    :ivar former: the version before an upgrade, for the way back; None for none.
    :ivar newer: the newest version that was found; None where the one in use is the newest known.
    :ivar held: the tools that are held back, by name.
    :ivar republished: the integrity of the same version as it is now, where that is another one.
    """

    package: str = ""
    runner: str = ""
    requested: str = ""
    current: SeenVersion = msgspec.field(default_factory=SeenVersion)
    former: SeenVersion | None = None
    newer: NewerVersion | None = None
    held: dict[str, HeldTool] = msgspec.field(default_factory=dict)
    republished: str = ""

    def is_of(self, package: str, requested: str) -> bool:
        """True if it is the entry of this package, as it is requested."""
        return (self.package, self.requested) == (package, requested)

    def knows(self, tool: str, digest: str) -> bool:
        """True if this definition of a tool is known, of the version in use or of the one before it."""
        versions = (self.current, self.former)
        return any(digest in (each.tools or {}).get(tool, ()) for each in versions if each is not None)

    def approve(self, tools: Iterable[str]) -> None:
        """Count the present definitions of tools that are held back as known."""
        self.current.learn({each: self.held.pop(each).digest for each in tools})


class _Content(Struct):
    format: int
    servers: dict[str, LockedServer]


class VersionLock:
    """The locked versions of all servers, in memory and on disk.

    :ivar unwritten: the reason why the file does not have the latest change; None where it has.
    :param seconds: a clock, in seconds since the epoch.
    """

    log = Logger()

    def __init__(self, home: str, seconds: Callable[[], float]) -> None:
        self._path = os.path.join(home, FILE)
        self.seconds = seconds
        self.unwritten: ConfigError | None = None
        self._is_foreign = False  # written by a newer gateway, and not replaced
        self._servers: dict[str, LockedServer] | None = None

    @property
    def servers(self) -> Mapping[str, LockedServer]:
        """The entries, by the names of servers."""
        if self._servers is None:
            self._servers = self._read()
        return self._servers

    def pin(self, name: str, package: Package) -> str:
        """Return the version of its package that a server's new processes run; empty where its entry decides."""
        found = self.servers.get(name)
        if self.unwritten:  # the disk may have room again
            self._write(dict(self.servers))
        if found is None or package.age is Age.PINNED:
            return ""
        return found.current.version if found.is_of(package.name, package.version) else ""

    def put(self, name: str, server: LockedServer) -> None:
        """Write the entry of a server."""
        servers = dict(self.servers)
        servers[name] = server
        while len(servers) > SERVERS_LIMIT:
            del servers[min(servers, key=lambda each: servers[each].current.seen_at)]
        self._servers = servers
        self._write(servers)

    def _read(self) -> dict[str, LockedServer]:
        try:
            text = home_files.read_text(self._path, BYTES_LIMIT)
            head = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
            written = msgspec.json.decode(head.get("format", msgspec.Raw(b"0")), type=int)
            if written <= FORMAT:
                return msgspec.json.decode(text, type=_Content).servers
            self._is_foreign = True
            why = f"it is of a newer gateway (format {written}), and is left alone"
        except FileNotFoundError:
            return {}
        except (ConfigError, msgspec.MsgspecError) as error:
            why = f"it cannot be read, and is begun anew: {error}"
        self.log.warn(
            "{path} with the versions of servers: {why}", event="lock.unread", path=self._path, why=why
        )
        return {}

    def _write(self, servers: dict[str, LockedServer]) -> None:
        if self._is_foreign:
            return
        try:
            content = msgspec.json.encode(_Content(FORMAT, servers))
            home_files.keep(self._path, msgspec.json.format(content, indent=1), lasting=False)
            self.unwritten = None
        except ConfigError as why:
            self.unwritten = why
            self.log.warn(
                "the versions of servers cannot be kept: {why}",
                event="lock.unwritten",
                path=self._path,
                why=str(why),
            )
