"""The bytes of a WebSocket's message that has not ended."""

from hypothesis import given
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, Message, Ping, TextMessage

from mcpgateway.protocol.websocket_frames import KEPT_LIMIT, UnfinishedMessage

SIZES = st.one_of(st.integers(0, 300), st.sampled_from([125, 126, 65_535, 65_536, 70_000, 200_000]))
EVENTS = st.one_of(
    st.builds(
        lambda size, is_last: BytesMessage(b"b" * size, message_finished=is_last), SIZES, st.booleans()
    ),
    st.builds(lambda size: Ping(b"p" * size), st.integers(0, 125)),
)
HEAD = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"


def messages(connection, data):
    """The messages that a client reads; the last one has not ended."""
    connection.receive_data(data)
    found = [b""]
    for event in connection.events():
        if isinstance(event, Message):
            found[-1] += bytes(event.data)
            if event.message_finished:
                found.append(b"")
    return found


class UnfinishedMessageTests:
    """`UnfinishedMessage`."""

    @given(st.lists(EVENTS, max_size=8), st.data())
    def test_another_parser_goes_on(self, events, data):
        """Wherever the bytes are cut, another parser that begins with the rest reads what the first one would have."""
        server = Connection(ConnectionType.SERVER)
        stream = b"".join(map(server.send, events))
        cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=6).map(sorted))
        cut = cuts[-1] if cuts else 0
        unfinished = UnfinishedMessage(follows_head=True)
        before = HEAD + stream[:cut]
        edges = [0, *(len(HEAD) + each for each in cuts)]
        for begin, end in zip(edges, [*edges[1:], len(before)], strict=True):
            unfinished.feed(before[begin:end])
        whole = messages(Connection(ConnectionType.CLIENT), stream)
        first = messages(Connection(ConnectionType.CLIENT), stream[:cut])
        assert len(unfinished.rest()) <= KEPT_LIMIT
        if unfinished.is_kept:
            second = messages(Connection(ConnectionType.CLIENT), unfinished.rest() + stream[cut:])
            assert first[:-1] + second == whole
        else:
            assert len(first[-1]) + 14 * 8 > KEPT_LIMIT
            unfinished.feed(stream[cut:])
            assert unfinished.is_kept or whole[-1]

    def test_bound(self):
        """Of a message of more than the limit little is kept, and nothing once it has ended."""
        server, unfinished = Connection(ConnectionType.SERVER), UnfinishedMessage()
        data = server.send(BytesMessage(b"x" * 10_000_000))
        for begin in range(0, len(data) - 1, 65_536):
            unfinished.feed(data[begin : min(begin + 65_536, len(data) - 1)])
            assert len(unfinished.rest()) <= KEPT_LIMIT
        assert not unfinished.is_kept
        unfinished.feed(data[-1:] + server.send(TextMessage("next"))[:3])
        assert unfinished.is_kept
        assert len(unfinished.rest()) == 3
