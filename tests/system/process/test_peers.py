"""The processes at the other ends of connections, by the kernel's answers. No socket is opened here."""

from __future__ import annotations

import errno
import ipaddress
import socket
import struct
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mcpgateway.system.process import peers
from mcpgateway.system.process.peers import (
    ANSWERS_READ,
    ConnectionEnds,
    MalformedNetlink,
    NetlinkMessage,
    Peer,
    PeerLookup,
    PeersUnknown,
    credentials,
    judged,
    listed,
    messages,
    question,
)

NOWHERE = "/nowhere/at/all"
HEADING = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
LOCAL, REMOTE = ("127.0.0.1", 9100), ("127.0.0.1", 40000)
SOUGHT = ConnectionEnds.of(REMOTE, LOCAL)
SIX = ConnectionEnds.of(("::1", 40000), ("::1", 9100))
PEER = Peer(1000, 4711)

ports = st.integers(0, 0xFFFF)
numbers = st.integers(0, 0xFFFFFFFF)
found_peers = st.builds(Peer, numbers, numbers)


@st.composite
def connections(draw: Any) -> ConnectionEnds:
    """The ends of a connection, of either kind."""
    width = draw(st.sampled_from((4, 16)))
    host = st.binary(min_size=width, max_size=width).filter(lambda each: not each.startswith(peers.MAPPED))
    return ConnectionEnds(draw(host), draw(ports), draw(host), draw(ports))


def message(kind: int, body: bytes, sequence: int = 1) -> bytes:
    """Return a message as the kernel sends it."""
    return struct.pack("=IHHII", 16 + len(body), kind, 0, sequence, 0) + body


def diagnosis(ends: ConnectionEnds, peer: Peer, *, state: int = 1, mapped: bool = False) -> bytes:
    """Return the kernel's answer on a socket, with an attribute after it as newer kernels have."""
    own, other = ends.own, ends.other
    if mapped:
        own, other = peers.MAPPED + own, peers.MAPPED + other
    family = socket.AF_INET if len(own) == 4 else socket.AF_INET6
    head = struct.pack("=BBBB", family, state, 0, 0) + struct.pack("!HH", ends.own_port, ends.other_port)
    addresses = own.ljust(16, b"\0") + other.ljust(16, b"\0")
    rest = struct.pack("=IIIIIIII", 0, 7, 8, 0, 0, 0, peer.uid, peer.inode)
    return head + addresses + rest + struct.pack("=HHI", 8, 8, 0)


def error(code: int, sequence: int = 1) -> bytes:
    """A refusal; the question is repeated after the number."""
    return message(2, struct.pack("=i", code) + bytes(72), sequence)


ABSENT = error(-errno.ENOENT)
FOUND = message(20, diagnosis(SOUGHT, PEER))


class ScriptedKernel:
    """A kernel that gives the answers of a script, one datagram after the other, and counts how often it is opened."""

    def __init__(self, *answers: bytes | OSError, refuses: OSError | None = None) -> None:
        self.answers = list(answers)
        self.refuses = refuses
        self.questions: list[bytes] = []
        self.opened = 0
        self.closed = 0

    def open(self) -> ScriptedKernel:
        self.opened += 1
        if self.refuses is not None:
            raise self.refuses
        return self

    def send(self, data: bytes) -> int:
        self.questions.append(data)
        return len(data)

    def recv(self, size: int) -> bytes:
        if not self.answers:
            raise BlockingIOError(errno.EAGAIN, "nothing there")
        answer = self.answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer[:size]

    def close(self) -> None:
        self.closed += 1


class Tables:
    """The kernel's tables of connections, in a directory of our own."""

    def __init__(self, directory: Path) -> None:
        self.proc = str(directory)
        self.net = directory / "net"
        self.net.mkdir()

    def write(self, name: str, *rows: tuple[ConnectionEnds, Peer]) -> None:
        lines = [
            f"{at:4}: {spelled(ends.own)}:{ends.own_port:04X} {spelled(ends.other)}:{ends.other_port:04X} 01"
            f" 00000000:00000000 00:00000000 00000000 {peer.uid:5} 0 {peer.inode} 1 00000000 20 4 30 10 -1\n"
            for at, (ends, peer) in enumerate(rows)
        ]
        (self.net / name).write_text(HEADING + "".join(lines))


def spelled(address: bytes) -> str:
    """An address as the tables spell it: words of four bytes, as this machine's own numbers."""
    return b"".join(struct.pack("!I", each) for (each,) in struct.iter_unpack("=I", address)).hex().upper()


@pytest.fixture
def tables(tmp_path: Path) -> Tables:
    """Empty tables."""
    return Tables(tmp_path)


class AddressTests:
    """The spellings of an address."""

    @given(st.binary(min_size=4, max_size=4), ports)
    def test_mapped_addresses(self, packed: bytes, port: int) -> None:
        """An address of IPv4 is the same in every spelling, so the same socket is asked for."""
        plain = str(ipaddress.IPv4Address(packed))
        hexadecimal = f"::FFFF:{packed[:2].hex()}:{packed[2:].hex()}"
        for spelling in (plain, f"::ffff:{plain}", hexadecimal):
            assert ConnectionEnds.of((spelling, port), LOCAL) == ConnectionEnds(
                packed, port, b"\x7f\0\0\1", 9100
            )

    @given(st.binary(min_size=16, max_size=16).filter(lambda each: not each.startswith(peers.MAPPED)), ports)
    def test_ipv6(self, packed: bytes, port: int) -> None:
        """An address of IPv6 keeps its sixteen bytes."""
        host = str(ipaddress.IPv6Address(packed))
        assert ConnectionEnds.of((host, port), ("::1", 1)) == ConnectionEnds(
            packed, port, bytes(15) + b"\1", 1
        )

    @given(st.text() | st.from_regex(r"[0-9a-f:.%]+"), st.integers())
    @example("127.0.0.1\0", 1)
    @example("\ud800", 1)
    @example("fe80::1%lo", 1)
    @example("::1", 1)
    @example("127.0.0.1", 65536)
    @example("127.0.0.1", -1)
    def test_anything_else(self, host: str, port: int) -> None:
        """An address that is no end of a TCP connection is reported as unknown, by no other error."""
        try:
            ends = ConnectionEnds.of((host, port), LOCAL)
        except PeersUnknown:
            return
        assert len(ends.own) == 4
        assert 0 <= ends.own_port <= 65535

    def test_two_kinds(self) -> None:
        """A connection has not one end of IPv4 and one of IPv6."""
        with pytest.raises(PeersUnknown, match="no TCP connection"):
            ConnectionEnds.of(("::1", 1), LOCAL)


class QuestionTests:
    """The question to the kernel."""

    def test_bytes(self) -> None:
        """The question is one message of 72 bytes: the header's numbers are ours, ports are the network's."""
        asked = question(SOUGHT, 7)
        assert struct.unpack_from("=IHHII", asked) == (72, 20, 1, 7, 0)
        assert struct.unpack_from("=BBBBI", asked, 16) == (socket.AF_INET, 6, 0, 0, 0xFFFFFFFF)
        assert asked[24:28] == b"\x9c\x40\x23\x8c"
        assert asked[28:44] == b"\x7f\0\0\1" + bytes(12)
        assert asked[44:60] == b"\x7f\0\0\1" + bytes(12)
        assert struct.unpack_from("=III", asked, 60) == (1, 0xFFFFFFFF, 0xFFFFFFFF)

    @given(connections(), numbers)
    def test_any_connection(self, ends: ConnectionEnds, sequence: int) -> None:
        """Every connection can be asked for, and no part of the question runs into another."""
        asked = question(ends, sequence)
        width = len(ends.own)
        assert len(asked) == struct.unpack_from("=I", asked)[0] == 72
        assert asked[16] == (socket.AF_INET if width == 4 else socket.AF_INET6)
        assert asked[28 : 28 + width] == ends.own
        assert asked[44 : 44 + width] == ends.other
        assert struct.unpack_from("!HH", asked, 24) == (ends.own_port, ends.other_port)


class AnswerTests:
    """The reading of one answer."""

    @given(connections(), found_peers)
    def test_found(self, ends: ConnectionEnds, peer: Peer) -> None:
        """The owner is read from the answer, whatever follows it."""
        (heard,) = messages(message(20, diagnosis(ends, peer)))
        assert judged(heard, ends) == peer

    def test_mapped(self) -> None:
        """A socket of IPv6 that speaks IPv4 shows mapped addresses."""
        assert judged(NetlinkMessage(20, 1, diagnosis(SOUGHT, PEER, mapped=True)), SOUGHT) == PEER

    def test_closed(self) -> None:
        """A socket that its process has closed is reported as it is, without an inode."""
        assert judged(NetlinkMessage(20, 1, diagnosis(SOUGHT, Peer(0, 0), state=4)), SOUGHT) == Peer(0, 0)

    def test_listener(self) -> None:
        """A process that listens at the port that the peer had is not the peer."""
        listener = ConnectionEnds(bytes(4), 40000, bytes(4), 0)
        assert judged(NetlinkMessage(20, 1, diagnosis(listener, PEER, state=10)), SOUGHT) is None

    @pytest.mark.parametrize(
        "other",
        [
            SIX,
            ConnectionEnds(SOUGHT.other, SOUGHT.own_port, b"\x7f\0\0\2", SOUGHT.other_port),
            ConnectionEnds(b"\x7f\0\0\2", SOUGHT.own_port, SOUGHT.other, SOUGHT.other_port),
            ConnectionEnds(SOUGHT.own, SOUGHT.other_port, SOUGHT.other, SOUGHT.own_port),
        ],
    )
    def test_another_socket(self, other: ConnectionEnds) -> None:
        """The owner of another socket is never taken for the peer."""
        with pytest.raises(MalformedNetlink, match="another socket"):
            judged(NetlinkMessage(20, 1, diagnosis(other, PEER)), SOUGHT)

    def test_unknown_family(self) -> None:
        """An answer about something that is neither IPv4 nor IPv6 is none."""
        body = b"\x01" + diagnosis(SOUGHT, PEER)[1:]
        with pytest.raises(MalformedNetlink, match="another socket"):
            judged(NetlinkMessage(20, 1, body), SOUGHT)

    def test_absent(self) -> None:
        """ENOENT says that there is no such socket."""
        (heard,) = messages(ABSENT)
        assert judged(heard, SOUGHT) is None

    def test_refusal(self) -> None:
        """Any other error is a refusal, and keeps its number."""
        with pytest.raises(OSError, match="refuses") as why:
            judged(NetlinkMessage(2, 1, struct.pack("=i", -errno.EPERM)), SOUGHT)
        assert why.value.errno == errno.EPERM

    @pytest.mark.parametrize("code", [0, 1, 2**31 - 1])
    def test_no_error(self, code: int) -> None:
        """An error that is none answers nothing."""
        with pytest.raises(MalformedNetlink):
            judged(NetlinkMessage(2, 1, struct.pack("=i", code)), SOUGHT)

    @pytest.mark.parametrize("kind", [1, 3, 4, 18])
    def test_other_messages(self, kind: int) -> None:
        """Messages of other types answer nothing."""
        with pytest.raises(MalformedNetlink):
            judged(NetlinkMessage(kind, 1, diagnosis(SOUGHT, PEER)), SOUGHT)

    @pytest.mark.parametrize("size", [0, 4, 71])
    def test_cut(self, size: int) -> None:
        """An answer that ends too early answers nothing."""
        with pytest.raises(MalformedNetlink):
            judged(NetlinkMessage(20, 1, diagnosis(SOUGHT, PEER)[:size]), SOUGHT)
        with pytest.raises(MalformedNetlink):
            judged(NetlinkMessage(2, 1, bytes(min(size, 3))), SOUGHT)

    @pytest.mark.parametrize("length", [0, 15, 97, 0xFFFFFFFF])
    def test_lengths_are_not_believed(self, length: int) -> None:
        """A length that the datagram does not have is not followed."""
        whole = message(20, diagnosis(SOUGHT, PEER))
        assert len(whole) == 96
        with pytest.raises(MalformedNetlink):
            list(messages(struct.pack("=I", length) + whole[4:]))

    def test_padding(self) -> None:
        """Messages begin at multiples of four, and the padding of the last may be missing."""
        first, second = message(3, b"abc"), message(4, b"d")
        assert [each.body for each in messages(first + b"\0" + second)] == [b"abc", b"d"]

    @given(st.binary(max_size=300))
    def test_garbage(self, datagram: bytes) -> None:
        """Garbage is either some messages or no answer, and never ends in another way."""
        try:
            assert len(list(messages(datagram))) <= len(datagram) // 16
        except MalformedNetlink:
            pass

    @given(st.data())
    def test_damage(self, data: Any) -> None:
        """An answer damaged anywhere never ends in anything but an answer or its refusal."""
        whole = bytearray(data.draw(st.sampled_from((FOUND, ABSENT))))
        for at in data.draw(st.lists(st.integers(0, len(whole) - 1), max_size=4)):
            whole[at] = data.draw(st.integers(0, 255))
        cut = bytes(whole[: data.draw(st.integers(0, len(whole)))])
        try:
            for heard in messages(cut):
                judged(heard, SOUGHT)
        except OSError:
            pass


class MechanismTests:
    """Which way is taken."""

    def test_netlink(self) -> None:
        """A socket is opened at the first question and kept; every question has a number of its own."""
        kernel = ScriptedKernel(FOUND, message(20, diagnosis(SIX, PEER), 2), error(-errno.ENOENT, 3))
        table = PeerLookup(kernel.open, NOWHERE)
        assert kernel.opened == 0
        assert table.peer_of(LOCAL, REMOTE) == PEER
        assert table.peer_of(("::1", 9100), ("::1", 40000)) == PEER
        assert table.peer_of(LOCAL, REMOTE) is None
        assert (kernel.opened, kernel.closed) == (1, 0)
        assert kernel.questions == [question(SOUGHT, 1), question(SIX, 2), question(SOUGHT, 3)]

    def test_sequence_starts_over(self) -> None:
        """The numbers of questions do not outgrow their place."""
        kernel = ScriptedKernel(error(-errno.ENOENT, 0xFFFFFFFF), message(20, diagnosis(SOUGHT, PEER), 0))
        table = PeerLookup(kernel.open, NOWHERE)
        table._sequence = 0xFFFFFFFE
        with pytest.raises(PeersUnknown):
            table.peer_of(LOCAL, REMOTE)
        assert table.peer_of(LOCAL, REMOTE) == PEER

    def test_late_answers(self) -> None:
        """Answers to other questions are passed over, in one datagram or in several."""
        stale = message(20, diagnosis(SOUGHT, Peer(0, 1)), 77)
        assert PeerLookup(ScriptedKernel(stale, stale + FOUND).open, NOWHERE).peer_of(LOCAL, REMOTE) == PEER

    def test_answers_without_end(self) -> None:
        """A flood of other answers is not read for ever."""
        kernel = ScriptedKernel(FOUND, *[message(20, b"", 77), b""] * ANSWERS_READ)
        table = PeerLookup(kernel.open, NOWHERE)
        assert table.peer_of(LOCAL, REMOTE) == PEER
        with pytest.raises(PeersUnknown):
            table.peer_of(LOCAL, REMOTE)
        assert len(kernel.answers) == ANSWERS_READ
        assert kernel.closed == 1

    def test_no_netlink(self, tables: Tables) -> None:
        """Where netlink cannot be had, the tables are read, and it is not tried again."""
        kernel = ScriptedKernel(refuses=PermissionError(errno.EPERM, "sandbox"))
        tables.write("tcp", (SOUGHT, PEER))
        tables.write("tcp6")
        table = PeerLookup(kernel.open, tables.proc)
        assert table.peer_of(LOCAL, REMOTE) == PEER
        assert table.peer_of(REMOTE, LOCAL) is None
        assert kernel.opened == 1

    def test_silence(self, tables: Tables) -> None:
        """A netlink that does not answer at once is not waited for."""
        kernel = ScriptedKernel()
        tables.write("tcp", (SOUGHT, PEER))
        table = PeerLookup(kernel.open, tables.proc)
        assert [table.peer_of(LOCAL, REMOTE) for _ in range(2)] == [PEER, PEER]
        assert (kernel.opened, kernel.closed) == (1, 1)

    def test_short_of_files(self, tables: Tables) -> None:
        """A machine that is short of files now may have one for netlink later."""
        kernel = ScriptedKernel(FOUND, refuses=OSError(errno.EMFILE, "too many"))
        tables.write("tcp", (SOUGHT, Peer(5, 6)))
        table = PeerLookup(kernel.open, tables.proc)
        assert table.peer_of(LOCAL, REMOTE) == Peer(5, 6)
        kernel.refuses = None
        kernel.answers = [message(20, diagnosis(SOUGHT, PEER), 1)]
        assert table.peer_of(LOCAL, REMOTE) == PEER

    def test_one_failure_of_many(self, tables: Tables) -> None:
        """A socket that has failed is opened again, so that no late answer is left in it."""
        kernel = ScriptedKernel(
            FOUND, OSError(errno.ENOBUFS, "lost"), message(20, diagnosis(SOUGHT, PEER), 3)
        )
        tables.write("tcp", (SOUGHT, Peer(5, 6)))
        table = PeerLookup(kernel.open, tables.proc)
        assert [table.peer_of(LOCAL, REMOTE) for _ in range(3)] == [PEER, Peer(5, 6), PEER]
        assert (kernel.opened, kernel.closed) == (2, 1)

    def test_denial_is_doubted(self, tables: Tables) -> None:
        """A denial of netlink is believed only if the tables agree, until it has shown a socket."""
        kernel = ScriptedKernel(ABSENT, error(-errno.ENOENT, 2), error(-errno.ENOENT, 3))
        tables.write("tcp", (SIX, PEER))
        table = PeerLookup(kernel.open, tables.proc)
        assert table.peer_of(LOCAL, REMOTE) is None
        tables.write("tcp", (SOUGHT, PEER))
        assert table.peer_of(LOCAL, REMOTE) == PEER
        assert table.peer_of(LOCAL, REMOTE) == PEER
        assert (kernel.opened, kernel.closed, len(kernel.questions)) == (1, 1, 2)

    def test_nothing_works(self) -> None:
        """Where neither netlink nor the tables exist it is said, whatever is asked."""
        kernel = ScriptedKernel(refuses=OSError(errno.EAFNOSUPPORT, "no netlink"))
        table = PeerLookup(kernel.open, NOWHERE)
        for _ in range(2):
            with pytest.raises(PeersUnknown, match="does not show"):
                table.peer_of(LOCAL, REMOTE)
        assert kernel.opened == 1

    def test_close(self) -> None:
        """Closing lets the socket go; the next question opens another."""
        kernel = ScriptedKernel(FOUND, message(20, diagnosis(SOUGHT, PEER), 2))
        table = PeerLookup(kernel.open, NOWHERE)
        table.close()
        table.peer_of(LOCAL, REMOTE)
        table.close()
        table.close()
        assert kernel.closed == 1
        assert table.peer_of(LOCAL, REMOTE) == PEER
        assert kernel.opened == 2

    @given(st.lists(st.binary(max_size=200), max_size=12))
    def test_garbage(self, answers: list[bytes]) -> None:
        """The outcome is a peer, none, or unknown, for any bytes on the netlink socket."""
        table = PeerLookup(ScriptedKernel(*answers).open, NOWHERE)
        for _ in range(3):
            try:
                assert isinstance(table.peer_of(LOCAL, REMOTE), Peer | None)
            except PeersUnknown:
                pass


class TableTests:
    """The kernel's tables."""

    @given(connections(), found_peers, st.lists(st.tuples(connections(), found_peers), max_size=5))
    def test_found(self, ends: ConnectionEnds, peer: Peer, others: list[tuple[ConnectionEnds, Peer]]) -> None:
        """A connection is found among others, whichever kind it is."""
        rows = [row for row in others if row[0] != ends]
        with tempfile.TemporaryDirectory() as directory:
            tables = Tables(Path(directory))
            for name, width in (("tcp", 4), ("tcp6", 16)):
                tables.write(name, *[row for row in [*rows, (ends, peer)] if len(row[0].own) == width])
            assert listed(ends, tables.proc) == peer

    def test_mapped(self, tables: Tables) -> None:
        """A socket of IPv6 that speaks IPv4 stands in the table of IPv6."""
        mapped = ConnectionEnds(peers.MAPPED + SOUGHT.own, 40000, peers.MAPPED + SOUGHT.other, 9100)
        tables.write("tcp", (SIX, Peer(1, 1)))
        tables.write("tcp6", (mapped, PEER))
        assert listed(SOUGHT, tables.proc) == PEER

    def test_absent(self, tables: Tables) -> None:
        """Tables that show others, but not this one, say that there is no such socket."""
        tables.write("tcp6", (SOUGHT, PEER))
        assert listed(SIX, tables.proc) is None

    def test_no_ipv6(self, tables: Tables) -> None:
        """A machine without IPv6 can tell of its other connections, and of none of IPv6."""
        tables.write("tcp", (SIX, PEER))
        assert listed(SOUGHT, tables.proc) is None
        with pytest.raises(PeersUnknown):
            listed(SIX, tables.proc)

    def test_nothing_shown(self, tables: Tables) -> None:
        """Tables in which not even our own listener stands are those of a sandbox and prove nothing."""
        tables.write("tcp")
        tables.write("tcp6")
        with pytest.raises(PeersUnknown, match="shows no connections"):
            listed(SOUGHT, tables.proc)

    def test_not_readable(self, tables: Tables) -> None:
        """A table that cannot be read tells nothing."""
        (tables.net / "tcp").mkdir()
        with pytest.raises(PeersUnknown) as why:
            listed(SOUGHT, tables.proc)
        assert isinstance(why.value.__cause__, IsADirectoryError)

    @pytest.mark.parametrize("end", ["", "01 x x x x zero 0 0", "01 x x x x 0 0 none"])
    def test_not_understood(self, tables: Tables, end: str) -> None:
        """A row of another shape tells nothing."""
        row = f"0: {spelled(SOUGHT.own)}:9C40 {spelled(SOUGHT.other)}:238C {end}\n"
        (tables.net / "tcp").write_text(HEADING + row)
        with pytest.raises(PeersUnknown):
            listed(SOUGHT, tables.proc)


class OptionSocket:
    """A socket that has only the one option."""

    def __init__(self, value: bytes | OSError) -> None:
        self.value = value

    def getsockopt(self, level: int, option: int, size: int) -> bytes:
        assert (level, size) == (socket.SOL_SOCKET, 12)
        if isinstance(self.value, OSError):
            raise self.value
        return self.value


def told(value: bytes | OSError, option: int | None = 17) -> tuple[int, int] | None:
    """Return the credentials in the option."""
    sock: Any = OptionSocket(value)
    return credentials(sock, option=option)


class CredentialsTests:
    """The process that has connected a Unix socket."""

    def test_told(self) -> None:
        """The process and its user are returned; a process that we do not see is 0."""
        assert told(struct.pack("=iII", 12, 1000, 100)) == (12, 1000)
        assert told(struct.pack("=iII", 0, 65534, 65534)) == (0, 65534)

    @pytest.mark.parametrize(
        "value",
        [struct.pack("=iII", 0, 0xFFFFFFFF, 0xFFFFFFFF), b"", bytes(11), OSError(errno.ENOPROTOOPT, "no")],
    )
    def test_not_told(self, value: bytes | OSError) -> None:
        """A socket of another kind, or one that nobody has connected, tells nothing."""
        assert told(value) is None

    def test_not_offered(self) -> None:
        """A machine without the option returns nothing."""
        assert told(struct.pack("=iII", 12, 1000, 100), option=None) is None
