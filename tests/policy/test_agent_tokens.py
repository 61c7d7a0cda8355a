"""The file of agents' tokens."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.errors import ConfigError
from mcpgateway.policy.agent_tokens import AgentToken, check_name, digest_of, read, written

NAMES = st.text(st.characters(categories=("L", "N")), min_size=1, max_size=20)
TOKENS = st.builds(
    AgentToken,
    id=NAMES,
    name=NAMES,
    digest=st.binary(max_size=40).map(lambda each: digest_of(each).hex()),
    created=st.floats(0, 2**40),
    expires=st.floats(0, 2**40),
    servers=st.lists(NAMES, max_size=3).map(tuple),
    tools=st.lists(NAMES, max_size=3).map(tuple),
    read_only=st.booleans(),
    tier=st.sampled_from(["", "read", "write"]),
)
BOOK = written([AgentToken("a1", "one", digest_of(b"x").hex(), 1.0, 2.0, ("s",), ("t",), read_only=True)])
OF_A_TIER = written([AgentToken("a1", "one", digest_of(b"x").hex(), 1.0, tier="write")])


class BookTests:
    """The file is read as it was written, and in no other form."""

    @given(st.lists(TOKENS, max_size=5, unique_by=lambda each: each.id))
    def test_round_trip(self, tokens: list[AgentToken]) -> None:
        """Tokens come back as they were kept."""
        assert read(written(tokens), "/t") == tuple(tokens)

    @given(st.integers(0, len(BOOK) - 3))
    def test_cut_off(self, length: int) -> None:
        """Half a file admits no agent: it is an error, which does not show the content."""
        with pytest.raises(ConfigError) as why:
            read(BOOK[:length], "/t")
        assert str(why.value).startswith("/t: ")

    def test_a_tier(self) -> None:
        """A tier is in the file of a token that has one, and an unknown one is an error."""
        assert b"tier" not in BOOK  # a gateway that knows no tiers reads it
        assert read(OF_A_TIER, "/t")[0].scope.highest_tier == "write"
        with pytest.raises(ConfigError):
            read(OF_A_TIER.replace(b'"tier": "write"', b'"tier": "most"'), "/t")

    @pytest.mark.parametrize(
        ("what", "by"),
        [
            (b'"format": 1', b'"format": 2'),
            (b'"read_only": true', b'"read_only": "no"'),
            (b'"tools": [', b'"tools": [1, '),
            (b'"t"', b'""'),
            (b'"digest": "', b'"digest": "zz'),
            (b'"id": "a1"', b'"id": ""'),
            (b'"name": "one"', b'"name": ""'),
            (b'"expires": 2.0', b'"expires": -1'),
            (b'"servers"', b'"server"'),
        ],
    )
    def test_wrong(self, what: bytes, by: bytes) -> None:
        """A file of any other form is an error, above all one with a limit that is not understood."""
        assert what in BOOK
        with pytest.raises(ConfigError):
            read(BOOK.replace(what, by), "/t")

    def test_nothing_else(self) -> None:
        """Bytes that are no file of tokens are an error."""
        for each in (b"", b"[]", b"null", b"\xff", b"[" * 100_000):
            with pytest.raises(ConfigError):
                read(each, "/t")

    def test_names(self) -> None:
        """A name can be shown."""
        assert not check_name("build server")
        for each in ("", " a", "a\n", "\x1b[31m", "x" * 65):
            assert check_name(each)
