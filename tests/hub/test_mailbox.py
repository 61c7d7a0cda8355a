"""Messages that a session hears while its client listens, and that it keeps while it does not."""

from __future__ import annotations

from collections.abc import Hashable

from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.hub.mailbox import BYTES_LIMIT, MESSAGES_LIMIT, Mailbox

FIRST_KEY = 10**6


class Ears:
    """A client's stream that takes so many messages, then breaks.

    :ivar heard: what it was told.
    """

    def __init__(self, takes: int = 10**6) -> None:
        self.heard: list[bytes] = []
        self._takes = takes

    def say(self, message: bytes) -> bool:
        """Hear it."""
        if len(self.heard) >= self._takes:
            return False
        self.heard.append(message)
        return True

    def close(self) -> None:
        """Hear no more."""
        self._takes = 0


def waiting(mailbox: Mailbox) -> list[bytes]:
    """The messages that a client hears when it begins to listen."""
    ears = Ears()
    mailbox.attach(ears)
    mailbox.detach(ears)
    return ears.heard


class WaitingTests:
    """While nobody listens."""

    def test_in_order(self) -> None:
        """Messages are kept in their order, and told once."""
        mailbox = Mailbox()
        for message in (b"a", b"b", b"a"):
            mailbox.put(message)
        assert len(mailbox) == 3
        assert waiting(mailbox) == [b"a", b"b", b"a"]
        assert len(mailbox) == 0
        assert waiting(mailbox) == []

    def test_the_same_key_is_the_same_message(self) -> None:
        """Of messages with one key only the latest is told, where it came; other keys are other messages."""
        mailbox = Mailbox()
        for message, key in ((b"a1", "a"), (b"b1", ("b", 1)), (b"x", None), (b"a2", "a"), (b"b2", ("b", 2))):
            mailbox.put(message, key)
        assert waiting(mailbox) == [b"b1", b"x", b"a2", b"b2"]
        assert mailbox.lost == 0

    def test_taken_back(self) -> None:
        """A waiting message can be taken back by its key, once, and makes room."""
        mailbox = Mailbox()
        mailbox.put(b"a", "a")
        mailbox.put(b"b", "b")
        assert mailbox.withdraw("a")
        assert not mailbox.withdraw("a")
        assert not mailbox.withdraw("c")
        assert waiting(mailbox) == [b"b"]
        assert not mailbox.withdraw("b")

    def test_an_empty_message_waits_like_any_other(self) -> None:
        """A message waits under its key, whatever its text."""
        mailbox = Mailbox()
        mailbox.put(b"", "a")
        assert mailbox.withdraw("a")

    def test_too_many(self) -> None:
        """Beyond the limit the oldest give way, and are counted."""
        mailbox = Mailbox()
        messages = [b"%d" % number for number in range(MESSAGES_LIMIT + 10)]
        for message in messages:
            mailbox.put(message)
        assert len(mailbox) == MESSAGES_LIMIT
        assert mailbox.lost == 10
        assert waiting(mailbox) == messages[10:]

    def test_too_large(self) -> None:
        """Together they are no larger than the limit; one alone is kept however large it is."""
        mailbox = Mailbox()
        half = b"x" * (BYTES_LIMIT // 2)
        for _ in range(3):
            mailbox.put(half)
        assert (len(mailbox), mailbox.lost) == (2, 1)
        mailbox.put(b"y" * 2 * BYTES_LIMIT)
        assert (len(mailbox), mailbox.lost) == (1, 3)
        mailbox.put(b"z")
        assert waiting(mailbox) == [b"z"]

    def test_noise_gives_way_to_news(self) -> None:
        """However many messages without a key come, before or after, what has a key waits in its place."""
        mailbox = Mailbox()
        mailbox.put(b"a", "a")
        for number in range(MESSAGES_LIMIT - 1):
            mailbox.put(b"%d" % number)
        mailbox.put(b"b", "b")
        for number in range(MESSAGES_LIMIT - 1, 2 * MESSAGES_LIMIT):
            mailbox.put(b"%d" % number)
        assert len(mailbox) == MESSAGES_LIMIT
        heard = waiting(mailbox)
        numbers = [int(each) for each in heard if each.isdigit()]
        assert numbers == list(range(MESSAGES_LIMIT + 2, 2 * MESSAGES_LIMIT))
        assert [heard[0], *(each for each in heard[1:] if not each.isdigit())] == [b"a", b"b"]

    def test_noise_is_bounded_by_news(self) -> None:
        """Where all that waits has a key, a message without one is not kept; one with a key makes room for itself."""
        mailbox = Mailbox()
        for number in range(MESSAGES_LIMIT):
            mailbox.put(b"%d" % number, number)
        mailbox.put(b"noise")
        assert (len(mailbox), mailbox.lost) == (MESSAGES_LIMIT, 1)
        mailbox.put(b"news", "news")
        assert waiting(mailbox) == [*(b"%d" % number for number in range(1, MESSAGES_LIMIT)), b"news"]

    def test_who_is_told_of_a_loss(self) -> None:
        """A sender that asks for it hears of a message that gives way, not of one that is taken back,
        replaced or heard.
        """
        mailbox, told = Mailbox(), []
        for key in ("withdrawn", "replaced", "heard"):
            mailbox.put(b"x", key, lambda: told.append("wrong"))
        mailbox.withdraw("withdrawn")
        mailbox.put(b"y", "replaced")
        assert len(waiting(mailbox)) == 2
        mailbox.put(b"x", "lost", lambda: told.append(len(mailbox)))
        assert "lost" in mailbox
        for number in range(MESSAGES_LIMIT):
            mailbox.put(b"x", number)
        assert told == [MESSAGES_LIMIT], "told when there is room again"
        assert "lost" not in mailbox

    @given(
        st.lists(
            st.tuples(
                st.integers(0, BYTES_LIMIT), st.none() | st.integers(FIRST_KEY, FIRST_KEY + 3), st.booleans()
            ),
            max_size=30,
        )
    )
    def test_bounds(self, deeds: list[tuple[int, Hashable, bool]]) -> None:
        """The waiting messages are within the bounds after any history; the oldest without a key goes first."""
        mailbox = Mailbox()
        kept: dict[Hashable, int] = {}
        for nth, (size, key, is_put) in enumerate(deeds):
            if is_put:
                mailbox.put(bytes(size), key)
                kept.pop(key, None)
                kept[nth if key is None else key] = size
                while sum(kept.values()) > BYTES_LIMIT and len(kept) > 1:
                    unnamed = [each for each in kept if isinstance(each, int) and each < FIRST_KEY]
                    del kept[next(iter(unnamed or kept))]
            elif key is not None:
                assert mailbox.withdraw(key) is (kept.pop(key, None) is not None)
            assert len(mailbox) == len(kept) <= MESSAGES_LIMIT
        assert [len(message) for message in waiting(mailbox)] == list(kept.values())


class ListeningTests:
    """While somebody does."""

    def test_told_at_once(self) -> None:
        """A client that listens is told everything as it comes, the same key or not; nothing is kept."""
        mailbox, ears = Mailbox(), Ears()
        assert mailbox.attach(ears) is None
        for message in (b"a", b"b"):
            mailbox.put(message, "key")
        assert ears.heard == [b"a", b"b"]
        assert len(mailbox) == 0
        assert not mailbox.withdraw("key")

    def test_what_waited_comes_first(self) -> None:
        """A client that begins to listen hears the messages that have waited, then those that come."""
        mailbox, ears = Mailbox(), Ears()
        mailbox.put(b"a")
        mailbox.attach(ears)
        mailbox.put(b"b")
        assert ears.heard == [b"a", b"b"]

    def test_replaced(self) -> None:
        """A mailbox has one stream at a time: the new one takes over, and the one it replaces is given back."""
        mailbox, former, ears = Mailbox(), Ears(), Ears()
        mailbox.attach(former)
        assert mailbox.attach(ears) is former
        assert mailbox.stream is ears
        mailbox.put(b"a")
        assert (former.heard, ears.heard) == ([], [b"a"])
        mailbox.detach(former)
        mailbox.put(b"b")
        assert ears.heard == [b"a", b"b"]
        mailbox.detach(ears)
        assert mailbox.stream is None
        mailbox.put(b"c")
        assert len(mailbox) == 1

    def test_a_stream_that_breaks(self) -> None:
        """Messages that a broken stream did not take wait for the next, in their order, with those that come
        meanwhile.
        """
        mailbox, ears = Mailbox(), Ears(takes=2)
        for message in (b"a", b"b", b"c"):
            mailbox.put(message)
        mailbox.attach(ears)
        mailbox.put(b"d")
        assert ears.heard == [b"a", b"b"]
        assert waiting(mailbox) == [b"c", b"d"]

    @given(st.lists(st.sampled_from(["put", "attach", "detach", "break"]), max_size=40), st.integers(0, 5))
    def test_each_message_once(self, deeds: list[str], takes: int) -> None:
        """However often a client comes and goes, it hears each message exactly once and in order."""
        mailbox, heard, ears = Mailbox(), [], Ears()
        for nth, deed in enumerate(deeds):
            if deed == "put":
                mailbox.put(b"%d" % nth)
            elif deed == "attach":
                former = mailbox.attach(new := Ears(takes))
                assert former is None or former is ears
                heard.append(new)
                ears = new
            elif deed == "detach":
                mailbox.detach(ears)
            else:
                ears.close()
        mailbox.attach(last := Ears())
        told = [message for each in [*heard, last] for message in each.heard]
        assert told == [b"%d" % nth for nth, deed in enumerate(deeds) if deed == "put"]
