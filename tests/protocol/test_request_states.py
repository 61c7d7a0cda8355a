"""Request states: their content, and their seal, which only the gateway opens and makes."""

from __future__ import annotations

import random
import string
from base64 import urlsafe_b64decode, urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from mcpgateway.protocol import jsonrpc
from mcpgateway.protocol.jsonrpc import Envelope
from mcpgateway.protocol.request_states import (
    CARRIES,
    HANDLE_BYTES,
    LENGTH,
    Carried,
    RequestStates,
    _bound,
    _sign,
    digest_of,
    node_of,
)

KEY = b"a key of the tests"
STATES = RequestStates(KEY, b"node")
ALPHABET = string.ascii_letters + string.digits + "-_"
SIGNED = 26  # octets that the signature is made of
CALL = ("local", "memory", "tools/call", digest_of({}))
EXPIRES = 1_700_000_000
NOW = EXPIRES - 1

handles = st.binary(min_size=HANDLE_BYTES, max_size=HANDLE_BYTES)
moments = st.integers(0, 2**40 - 1)
names = st.text(st.characters(), max_size=40)  # surrogates too
calls = st.tuples(names, names, names, st.binary(max_size=40))
params = st.dictionaries(
    st.sampled_from(["_meta", "inputResponses", "requestState", "name", "arguments"]) | st.text(max_size=5),
    (st.none() | st.text(max_size=5) | st.lists(st.integers(), max_size=2)).map(jsonrpc.raw),
    max_size=6,
)


def seal(handle: bytes = bytes(HANDLE_BYTES), states: RequestStates = STATES) -> str:
    """A state of an ordinary call."""
    return states.seal(handle, EXPIRES, *CALL)


class RoundTripTests:
    """A sealed state can be opened."""

    @given(handles, moments, moments, calls)
    def test_until_it_expires(
        self, handle: bytes, expires: int, now: int, call: tuple[str, str, str, bytes]
    ) -> None:
        """A state gives its handle back until it expires, and never again."""
        state = STATES.seal(handle, expires, *call)
        assert STATES.open(state, now, *call) == (handle if now < expires else None)

    @given(handles, moments, calls)
    def test_form(self, handle: bytes, expires: int, call: tuple[str, str, str, bytes]) -> None:
        """Every state is as long as every other, whatever it is of, and needs no escapes in JSON."""
        state = STATES.seal(handle, expires, *call)
        assert len(state) == LENGTH
        assert set(state) <= set(ALPHABET)

    def test_another_gateway_of_the_same_key(self) -> None:
        """Gateways that share a key open each other's states, which name the gateway they are from."""
        state = seal(bytes(range(HANDLE_BYTES)), RequestStates(KEY, b"edon"))
        assert STATES.open(state, NOW, *CALL) == bytes(range(HANDLE_BYTES))
        assert b"edon" in urlsafe_b64decode(state)


class RefusalTests:
    """States that are not ours, or of another call."""

    @given(calls, calls)
    def test_another_call(self, one: tuple[str, str, str, bytes], other: tuple[str, str, str, bytes]) -> None:
        """A state is good for one principal, server, method and parameters."""
        state = STATES.seal(bytes(HANDLE_BYTES), EXPIRES, *one)
        assert (STATES.open(state, NOW, *other) is None) is (one != other)

    @given(calls, st.integers(0, 3))
    def test_one_part_of_another_call(self, call: tuple[str, str, str, bytes], place: int) -> None:
        """A single different part is enough for a refusal, wherever the others end."""
        state = STATES.seal(bytes(HANDLE_BYTES), EXPIRES, *call)
        other = list(call)
        other[place] = call[place] + (b"x" if place == 3 else "x")
        assert STATES.open(state, NOW, *other) is None
        shifted = ("a", "bc", "d", b"")
        assert STATES.open(STATES.seal(bytes(16), EXPIRES, *shifted), NOW, "ab", "c", "d", b"") is None

    @given(handles, st.integers(0, LENGTH - 1), st.characters(max_codepoint=300))
    def test_a_changed_character(self, handle: bytes, place: int, letter: str) -> None:
        """Whichever character is changed, the state is refused."""
        state = seal(handle)
        changed = state[:place] + letter + state[place + 1 :]
        assert (STATES.open(changed, NOW, *CALL) is None) is (changed != state)

    @given(handles, st.integers(0, 8 * 48 - 1))
    def test_a_changed_bit(self, handle: bytes, place: int) -> None:
        """Nor does any bit of it count for nothing."""
        octets = bytearray(urlsafe_b64decode(seal(handle)))
        octets[place // 8] ^= 1 << place % 8
        assert STATES.open(urlsafe_b64encode(octets).decode(), NOW, *CALL) is None

    @given(st.integers(0, LENGTH), st.text(max_size=4))
    def test_another_length(self, length: int, more: str) -> None:
        """Half a state, or one with something behind it, is none."""
        changed = seal()[:length] + more
        assert (STATES.open(changed, NOW, *CALL) is None) is (changed != seal())

    @given(names | st.text(string.printable, min_size=LENGTH, max_size=LENGTH))
    def test_nonsense(self, state: str) -> None:
        """A text of any form that is no state is refused, and nothing breaks."""
        assert STATES.open(state, NOW, *CALL) is None

    @pytest.mark.parametrize("state", ["", "=" * LENGTH, "A" * (LENGTH - 1) + "=", "A===" * (LENGTH // 4)])
    def test_padding(self, state: str) -> None:
        """Base64 that stops early is refused."""
        assert STATES.open(state, NOW, *CALL) is None

    @given(st.binary(min_size=1, max_size=64))
    def test_another_key(self, key: bytes) -> None:
        """A state sealed with another key is refused."""
        assert (STATES.open(seal(states=RequestStates(key, b"node")), NOW, *CALL) is None) is (key != KEY)

    @pytest.mark.parametrize("value", [0, CARRIES, CARRIES + 1])
    def test_another_format(self, value: int) -> None:
        """A format that this program does not know is refused, however well it is signed."""
        octets = bytearray(urlsafe_b64decode(seal()))
        octets[0] = value
        octets[SIGNED:] = _sign(KEY, bytes(octets[:SIGNED]), _bound(*CALL))
        assert STATES.open(urlsafe_b64encode(octets).decode(), NOW, *CALL) is None


class CarryingTests:
    """States that carry a server's own."""

    @given(handles, moments, st.binary(min_size=1, max_size=200), calls, calls)
    def test_for_the_same_call(
        self,
        nonce: bytes,
        issued: int,
        own: bytes,
        one: tuple[str, str, str, bytes],
        other: tuple[str, str, str, bytes],
    ) -> None:
        """A carried state comes back byte for byte, for the same call only."""
        carried = Carried(nonce, issued, Raw(own))
        state = STATES.wrap(carried, *one)
        assert set(state) <= set(ALPHABET + "=")
        assert STATES.unwrap(state, *one) == carried
        assert (STATES.unwrap(state, *other) is None) is (one != other)
        assert STATES.open(state, 0, *one) is None
        assert node_of(state) == STATES.node

    @given(st.binary(min_size=1, max_size=30), st.data())
    def test_a_changed_bit(self, own: bytes, data: st.DataObject) -> None:
        """A state with any changed bit is refused, and so is a part of it, and nonsense."""
        state = STATES.wrap(Carried(bytes(HANDLE_BYTES), 7, Raw(own)), *CALL)
        octets = bytearray(urlsafe_b64decode(state))
        place = data.draw(st.integers(0, 8 * len(octets) - 1))
        octets[place // 8] ^= 1 << place % 8
        assert STATES.unwrap(urlsafe_b64encode(octets).decode(), *CALL) is None
        assert STATES.unwrap(state[: data.draw(st.integers(0, len(state) - 1))], *CALL) is None
        assert STATES.unwrap(data.draw(names), *CALL) is None

    def test_neither_is_the_other(self) -> None:
        """A state that names a call carries nothing; both name their node, and other texts name none."""
        assert node_of(seal()) == STATES.node
        assert {node_of(text) for text in ("", "a", "ä" * LENGTH, "A" * LENGTH)} == {b""}
        assert STATES.unwrap(seal(), *CALL) is None


class SecrecyTests:
    """The secrets of a state."""

    def test_nothing_of_the_call(self) -> None:
        """Two calls that wait under one handle differ in their signatures only."""
        one = urlsafe_b64decode(STATES.seal(bytes(16), EXPIRES, "ann", "memory", "tools/call", b"one"))
        two = urlsafe_b64decode(STATES.seal(bytes(16), EXPIRES, "bob", "files", "prompts/get", b"two"))
        assert one[:SIGNED] == two[:SIGNED]
        assert one[SIGNED:] != two[SIGNED:]

    def test_nothing_is_shown(self) -> None:
        """The key does not appear where an object is printed."""
        assert "a key" not in repr(STATES)


class DigestTests:
    """The digest of a call."""

    @given(params, st.randoms(use_true_random=False), params)
    def test_same_call(self, asked: Envelope, dice: random.Random, answers: Envelope) -> None:
        """A call stays the same with its parameters in another order, and with the values that change each round."""
        again = list(asked.items())
        dice.shuffle(again)
        lasting = {
            name: value for name, value in again if name not in {"_meta", "inputResponses", "requestState"}
        }
        varying = {
            name: answers[name] for name in ("_meta", "inputResponses", "requestState") if name in answers
        }
        assert digest_of(lasting | varying) == digest_of(dict(again)) == digest_of(asked)

    @given(params, params)
    def test_another_call(self, one: Envelope, other: Envelope) -> None:
        """Any other parameter, or any other value, makes another call of it."""
        one, other = (
            {name: value for name, value in each.items() if name[:1] not in {"_", "i", "r"}}
            for each in (one, other)
        )
        assert (digest_of(one) == digest_of(other)) is (one == other)

    def test_within_a_value(self) -> None:
        """A value is the same only byte for byte, and no name passes for a part of one."""
        found = [
            b"{}",
            b'{"a":1}',
            b'{"a":1.0}',
            b'{"a":"1"}',
            b'{"a":{"_meta":1}}',
            b'{"a":{}}',
            b'{"a\\":1,\\"b":1}',
            b'{"a":1,"b":1}',
        ]
        assert len({digest_of(jsonrpc.decode(each)) for each in found}) == len(found)
        assert len(digest_of({})) == 32
