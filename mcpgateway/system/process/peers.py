"""The user at the other end of a connection on this machine.

Note [What the kernel is asked]: one request on a netlink socket of the family NETLINK_SOCK_DIAG names one connection
and is answered with one message; the kernel answers before `send` returns, so the gateway never waits. See sock_diag(7)
for the records.

- A connection of IPv4 is found as such even where one of its sockets is of IPv6; the answer then shows the mapped
  addresses (``::ffff:127.0.0.1``).
- The request names the loopback device: without it, a socket that its owner has bound to that device is not found.
- Where no connection exists, but a process listens at the port, the answer describes the listener.
- ENOENT means both "no such socket" and "the kernel has no module for this". So it counts only after some socket has
  been found; until then ``/proc/net/tcp`` decides.
- A socket that its process has closed exists for a while, with the user 0 and the inode 0. Its user means nothing.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Callable, Iterator
from enum import Enum, auto
from typing import NoReturn, Protocol

from msgspec import Struct

from mcpgateway.records import FrozenRecord

NETLINK_SOCK_DIAG = 4
SOCK_DIAG_BY_FAMILY = 20
NLM_F_REQUEST = 1
NLMSG_ERROR = 2
TCP_LISTEN = 10
ALL_STATES = 0xFFFFFFFF
NO_COOKIE = 0xFFFFFFFF
LOOPBACK_DEVICE = 1  # Linux gives it this number in every network namespace

# netlink's own numbers are in the machine's byte order; ports and addresses are in that of the network.
HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
QUESTION = struct.Struct("=BBBxI")  # family, protocol, extensions, states
PORTS = struct.Struct("!HH")
DEVICE_AND_COOKIE = struct.Struct("=III")
ERROR = struct.Struct("=i")
OWNER = struct.Struct("=II")  # uid, inode
WORDS = struct.Struct("=I")
UCRED = struct.Struct("=iII")  # pid, uid, gid

ANSWER_BYTES = 8192  # an answer has about 130
ANSWERS_READ = 8  # late answers to earlier requests are skipped; there should be none
DIAGNOSIS_BYTES = 72  # inet_diag_msg
OWNER_AT = 64

MAPPED = bytes(10) + b"\xff\xff"  # RFC 4291, 2.5.5.2
NO_UID = 0xFFFFFFFF

PASSING = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class PeersUnknown(Exception):
    """The system does not tell which user has the other end, or the address is no TCP address.

    An exception and not a value: a caller that forgets this case takes it neither for a closed peer nor for a user.
    """


class Peer(Struct, frozen=True):
    """The socket at the other end.

    :ivar uid: the user who made it; meaningless where ``inode`` is 0.
    :ivar inode: its number among this machine's sockets; 0 where no process holds it any more.
    """

    uid: int
    inode: int


def peer_of(local: tuple[str, int], remote: tuple[str, int]) -> Peer | None:
    """Return the owner of the other end of a loopback TCP connection; None where the socket does not exist any more.

    :param local: host and port of the gateway's own accepted socket.
    :param remote: host and port of its peer.
    :raise PeersUnknown: the system does not tell.
    """
    return _peers.peer_of(local, remote)


class NetlinkSocket(Protocol):
    """The methods of a socket that are needed for requests to the kernel."""

    def send(self, data: bytes, /) -> int:
        """Send a request."""

    def recv(self, size: int, /) -> bytes:
        """Return one answer; never waits."""

    def close(self) -> None:
        """Close the socket."""


def open_netlink() -> NetlinkSocket:
    """Return a socket for requests to the kernel about sockets; it never blocks, and children do not inherit it."""
    if not hasattr(socket, "AF_NETLINK"):
        raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))
    made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG)
    try:
        made.setblocking(False)
        made.connect((0, 0))  # from now on only the kernel can send to it
    except BaseException:
        made.close()
        raise
    return made


class NetlinkTrust(Enum):
    """The reliability of netlink on this machine, as far as it is known."""

    UNPROVEN = auto()
    PROVEN = auto()
    USELESS = auto()


class PeerLookup:
    """Asks the kernel by netlink, or reads its tables where netlink does not work; for one thread.

    :param open_netlink: opens the netlink socket.
    :param proc: the directory of the kernel's tables.
    """

    def __init__(self, open_netlink: Callable[[], NetlinkSocket] = open_netlink, proc: str = "/proc") -> None:
        self._open = open_netlink
        self._proc = proc
        self._netlink: NetlinkSocket | None = None
        self._trust = NetlinkTrust.UNPROVEN
        self._sequence = 0

    def peer_of(self, local: tuple[str, int], remote: tuple[str, int]) -> Peer | None:
        """Return the owner of a connection's other end, as the function `peer_of` does."""
        sought = ConnectionEnds.of(remote, local)
        if self._trust is NetlinkTrust.USELESS:
            return listed(sought, self._proc)
        try:
            found = self._asked(sought)
        except OSError as why:
            self.close()
            if self._trust is NetlinkTrust.UNPROVEN and why.errno not in PASSING:
                self._trust = NetlinkTrust.USELESS
            return listed(sought, self._proc)
        if found is not None:
            self._trust = NetlinkTrust.PROVEN
        elif self._trust is NetlinkTrust.UNPROVEN:
            return self._second_opinion(sought)
        return found

    def close(self) -> None:
        """Close the netlink socket; the next request opens another."""
        if self._netlink is not None:
            self._netlink.close()
            self._netlink = None

    def _asked(self, sought: ConnectionEnds) -> Peer | None:
        if self._netlink is None:
            self._netlink = self._open()
        self._sequence = (self._sequence + 1) & 0xFFFFFFFF
        self._netlink.send(question(sought, self._sequence))
        for _ in range(ANSWERS_READ):
            for message in messages(self._netlink.recv(ANSWER_BYTES)):
                if message.sequence == self._sequence:
                    return judged(message, sought)
        raise MalformedNetlink("only answers to other questions")

    def _second_opinion(self, sought: ConnectionEnds) -> Peer | None:
        found = listed(sought, self._proc)
        if found is not None:  # netlink has denied what is there
            self._trust = NetlinkTrust.USELESS
            self.close()
        return found


class ConnectionEnds(Struct, frozen=True):
    """A connection as one of its sockets sees it; the addresses have 4 bytes each, or 16 each."""

    own: bytes
    own_port: int
    other: bytes
    other_port: int

    @classmethod
    def of(cls, own: tuple[str, int], other: tuple[str, int]) -> ConnectionEnds:
        """Return the ends of a connection from addresses in any of their spellings."""
        made = cls(_packed(own[0]), own[1], _packed(other[0]), other[1])
        if len(made.own) != len(made.other) or not (0 <= own[1] <= 0xFFFF and 0 <= other[1] <= 0xFFFF):
            raise PeersUnknown(f"no TCP connection has the ends {own!r} and {other!r}")
        return made


def _packed(host: str) -> bytes:
    try:
        packed = socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host)
    except (OSError, ValueError) as why:
        raise PeersUnknown(f"{host!r} is no IP address") from why
    return packed[12:] if packed.startswith(MAPPED) else packed


class MalformedNetlink(OSError):
    """A message on the netlink socket is no valid answer."""


class NetlinkMessage(FrozenRecord, frozen=True):
    """One message of netlink."""

    kind: int
    sequence: int
    body: bytes


def question(sought: ConnectionEnds, sequence: int) -> bytes:
    """Return the request for the one socket that has these ends."""
    family = socket.AF_INET if len(sought.own) == 4 else socket.AF_INET6
    body = b"".join(
        (
            QUESTION.pack(family, socket.IPPROTO_TCP, 0, ALL_STATES),
            PORTS.pack(sought.own_port, sought.other_port),
            sought.own.ljust(16, b"\0"),
            sought.other.ljust(16, b"\0"),
            DEVICE_AND_COOKIE.pack(LOOPBACK_DEVICE, NO_COOKIE, NO_COOKIE),
        )
    )
    return HEADER.pack(HEADER.size + len(body), SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, sequence, 0) + body


def messages(datagram: bytes) -> Iterator[NetlinkMessage]:
    """Iterate over the messages of one datagram.

    :raise MalformedNetlink: a length is wrong, or the datagram was cut.
    """
    at = 0
    while at < len(datagram):
        if len(datagram) - at < HEADER.size:
            raise MalformedNetlink("a header was cut")
        length, kind, _flags, sequence, _port = HEADER.unpack_from(datagram, at)
        if not HEADER.size <= length <= len(datagram) - at:
            raise MalformedNetlink(f"a message of {length} bytes in a datagram of {len(datagram)}")
        yield NetlinkMessage(kind, sequence, datagram[at + HEADER.size : at + length])
        at += (length + 3) & ~3  # messages begin at multiples of four


def judged(message: NetlinkMessage, sought: ConnectionEnds) -> Peer | None:
    """Return the peer in an answer; None where the connection does not exist.

    :raise OSError: the kernel refuses, or the message is no answer.
    """
    body = message.body
    if message.kind == NLMSG_ERROR:
        _hear_refusal(body)
        return None
    if message.kind != SOCK_DIAG_BY_FAMILY or len(body) < DIAGNOSIS_BYTES:
        raise MalformedNetlink(f"a message of the type {message.kind} with {len(body)} bytes")
    if body[1] == TCP_LISTEN:
        return None
    width = {int(socket.AF_INET): 4, int(socket.AF_INET6): 16}.get(body[0], 0)
    shown = _unmapped(body[8 : 8 + width]), _unmapped(body[24 : 24 + width])
    ports = PORTS.unpack_from(body, 4)
    if shown != (sought.own, sought.other) or ports != (sought.own_port, sought.other_port):
        raise MalformedNetlink("the answer is about another socket")
    uid, inode = OWNER.unpack_from(body, OWNER_AT)
    return Peer(uid, inode)


def _unmapped(address: bytes) -> bytes:
    return address[12:] if address.startswith(MAPPED) else address


def _hear_refusal(body: bytes) -> None:
    # Returns normally for an error that only means that no such socket exists.
    if len(body) < ERROR.size:
        raise MalformedNetlink("an error was cut")
    (code,) = ERROR.unpack_from(body)
    if code >= 0:  # 0 confirms what needs no confirmation, and no error is positive
        raise MalformedNetlink(f"an error of the number {code}")
    if code != -errno.ENOENT:
        raise OSError(-code, "netlink refuses")


def listed(sought: ConnectionEnds, proc: str = "/proc") -> Peer | None:
    """Look the user up in the kernel's tables, in one pass over all connections of the machine.

    :raise PeersUnknown: the tables are missing, empty or malformed.
    """
    rows = 0
    for name, row_has in _needles(sought):
        try:
            with open(f"{proc}/net/{name}", "rb") as table:
                for number, row in enumerate(table):
                    rows += number > 0  # the first line is a heading
                    if row_has in row:
                        return _row(row)
        except FileNotFoundError as why:
            if name != "tcp6" or len(sought.own) != 4:  # a machine may have no IPv6
                _unknown(why)
        except (OSError, ValueError, IndexError) as why:
            _unknown(why)
    if not rows:  # not even the listener that accepted the connection
        raise PeersUnknown(f"{proc}/net shows no connections")
    return None


def _needles(sought: ConnectionEnds) -> Iterator[tuple[str, bytes]]:
    if len(sought.own) == 4:
        yield "tcp", _written(sought.own, sought.own_port, sought.other, sought.other_port)
    own, other = (each if len(each) == 16 else MAPPED + each for each in (sought.own, sought.other))
    yield "tcp6", _written(own, sought.own_port, other, sought.other_port)


def _written(own: bytes, own_port: int, other: bytes, other_port: int) -> bytes:
    return f" {_words(own)}:{own_port:04X} {_words(other)}:{other_port:04X} ".encode()


def _words(address: bytes) -> str:
    # The tables print each four bytes of an address as a number of this machine, so 127.0.0.1 may be 0100007F.
    return "".join(f"{word:08X}" for (word,) in WORDS.iter_unpack(address))


def _row(row: bytes) -> Peer:
    fields = row.split()
    return Peer(int(fields[7]), int(fields[9]))


def _unknown(why: Exception) -> NoReturn:
    raise PeersUnknown("this machine does not show its connections") from why


def credentials(
    sock: socket.socket, *, option: int | None = getattr(socket, "SO_PEERCRED", None)
) -> tuple[int, int] | None:
    """Return the process and the user that connected a Unix socket, as of then; None where the system does not tell.

    The process is 0 when it lives in a pid namespace that this process does not see.

    :param option: the socket option with the credentials; None on machines that have none.
    """
    if option is None:
        return None
    try:
        pid, uid, _gid = UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, option, UCRED.size))
    except (OSError, struct.error):
        return None
    return None if uid == NO_UID else (pid, uid)


_peers = PeerLookup()
