"""The state that a program hands over to the one that is executed in its place, in a sealed file in memory.

# Note [Who reads it]
The former program asks the new one, before it begins, which format it reads (`mcpgateway.app.restart`), and hands over
nothing where that is another one.  `FORMAT` counts up with every change of a record that is handed over, of the lines
that the guardian reads, and of the packets of templates.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, MutableMapping
from contextlib import suppress

import msgspec
from msgspec import Struct
from twisted.logger import Logger

from mcpgateway.inherited import ConnectionState, InheritedChild, InheritedTemplate
from mcpgateway.system.process.fall_back import is_armed

FORMAT = 14
VARIABLE = "MCPGATEWAY_HANDOVER"
IS_POSSIBLE = hasattr(os, "memfd_create") and hasattr(fcntl, "F_ADD_SEALS")
LIMIT = 256 * 2**20  # bytes; lines under way are of 32 MiB at most
FIRST = 10  # lower descriptors have other meanings


class NodeHandover(Struct, frozen=True):
    """The node of a cluster that a gateway is.

    :ivar state: what other nodes know it by (`mcpgateway.cluster.node_state.NodeState`).
    :ivar sockets: its port for other nodes, and the connections to it.
    :ivar connections: the connections to it with requests under way.
    """

    state: bytes
    sockets: tuple[int, ...]
    connections: tuple[ConnectionState, ...]


class Handover(Struct, frozen=True):
    """The state of a gateway.

    :ivar instance: the value of the variable that marks its children.
    :ivar starts: the number of children that it has started, which is a part of their markers.
    :ivar guardian: the guardian's process id, and the gateway's end of its stdin; None where none was needed.
    :ivar connections: the connections with requests under way.
    :ivar sockets: the connections to servers that go on.
    :ivar templates: the templates of Python servers.
    :ivar events: the latest events (`mcpgateway.observe.event_feed.EventHistory`).
    :ivar node: None for a gateway that is alone.
    :ivar hub: the state of children and sessions (`mcpgateway.hub.children.records.HubState`).
    """

    instance: str
    starts: int
    guardian: tuple[int, int] | None
    children: tuple[InheritedChild, ...]
    hub: bytes
    connections: tuple[ConnectionState, ...] = ()
    templates: tuple[InheritedTemplate, ...] = ()
    sockets: tuple[int, ...] = ()
    events: bytes = b""
    node: NodeHandover | None = None
    format: int = FORMAT

    def descriptors(self) -> Iterator[int]:
        """Return the descriptors that it names."""
        if self.guardian is not None:
            yield self.guardian[1]
        for child in (*self.children, *(each.child for each in self.templates)):
            yield from child.open_pipes().values()
        for template in self.templates:
            yield template.control
        yield from self.sockets
        connections = self.connections
        if self.node is not None:
            yield from self.node.sockets
            connections += self.node.connections
        for connection in connections:
            yield connection.descriptor

    @property
    def pids(self) -> set[int]:
        """The process ids that it names."""
        guardian = () if self.guardian is None else self.guardian[:1]
        children = (*self.children, *(each.child for each in self.templates))
        return {*guardian, *(child.pid for child in children)}

    def write(self) -> int:
        """Return the descriptor of a file with this record, which nothing can change; the program inherits it.

        :raise OSError: there is no memory.
        """
        file = os.memfd_create("mcpgateway-handover", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            with os.fdopen(file, "wb", closefd=False) as writer:
                writer.write(msgspec.msgpack.encode(self))
            seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL
            fcntl.fcntl(file, fcntl.F_ADD_SEALS, seals)
            return kept_open(file)
        finally:
            os.close(file)


def kept_open(descriptor: int) -> int:
    """Return a copy of a descriptor for the next program, which other programs do not inherit so far."""
    return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, FIRST)


def left_open(descriptor: int) -> int:
    """Return a descriptor for the next program in place of one that this program closes no more.

    There may be hundreds, and no room for a copy of each.
    """
    return descriptor if descriptor >= FIRST else kept_open(descriptor)


def received(environ: MutableMapping[str, str]) -> Handover | None:
    """Return the state that the former program has handed over, and remove the variable that names it.

    :raise OSError: it cannot be read, and the former program can go on.
    :raise msgspec.MsgspecError: the same of its content.
    """
    word = environ.pop(VARIABLE, "")
    if not (word.isascii() and word.isdigit() and int(word) >= FIRST):
        return None
    try:
        with open(int(word), "rb") as file:
            file.seek(0)
            # Python makes room for all that it is asked for.
            size = min(LIMIT, os.fstat(file.fileno()).st_size)
            handover = msgspec.msgpack.decode(file.read(size), type=Handover)
    except (OSError, msgspec.MsgspecError) as why:
        if is_armed():  # the former program can read it
            raise
        Logger().error(
            "the state of the former program cannot be read, and its servers are started again: {why}",
            event="handover.unreadable",
            why=str(why),
        )
        return None
    for descriptor in handover.descriptors():
        with suppress(OSError):
            os.set_inheritable(descriptor, False)
    return handover
