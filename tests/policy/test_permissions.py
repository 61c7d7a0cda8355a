"""The limits of tokens."""

from __future__ import annotations

import fnmatch
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.policy.permissions import (
    DESTRUCTIVE,
    NOTHING,
    PATTERN_LIMIT,
    PATTERNS_LIMIT,
    READ,
    TIERS,
    WRITE,
    TokenScope,
    fault_of,
    matches,
)

LETTERS = "ab_*."


class PatternTests:
    """The names that a pattern fits."""

    @given(st.text(LETTERS, max_size=12), st.text(LETTERS.replace("*", ""), max_size=12))
    def test_star(self, pattern: str, name: str) -> None:
        """A star stands for any characters, and nothing else stands for anything but itself."""
        expected = re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), name) is not None
        assert matches(pattern, name) is expected

    @given(st.text("ab*", max_size=10), st.text("ab", max_size=10))
    def test_like_file_names(self, pattern: str, name: str) -> None:
        """A pattern fits the names that a shell's pattern does."""
        assert matches(pattern, name) is fnmatch.fnmatchcase(name, pattern)

    def test_in_linear_time(self) -> None:
        """A pattern with many stars is matched in linear time."""
        assert not matches("*a" * 90 + "*b", "a" * 20_000)

    @pytest.mark.parametrize("bad", ["", " a", "a\n", "x" * (PATTERN_LIMIT + 1)])
    def test_faults(self, bad: str) -> None:
        """A malformed pattern is refused before it is stored."""
        assert fault_of([bad])
        assert fault_of(["x"] * (PATTERNS_LIMIT + 1))
        assert not fault_of(["x*", "server__tool"])


class ScopeTests:
    """The servers and tools that a token admits."""

    def test_whole(self) -> None:
        """A scope without a limit admits all, and an empty one admits nothing."""
        assert TokenScope().is_whole
        assert TokenScope().admits_tool("any", "thing", DESTRUCTIVE)
        assert TokenScope().admits_method("custom/method")
        assert not NOTHING.is_whole
        assert not NOTHING.admits_server("any")
        assert not NOTHING.admits_method("ping")
        assert not NOTHING.admits_tool("any", "thing", READ)

    def test_servers(self) -> None:
        """Other servers are not found."""
        scope = TokenScope(("git*", "notes"))
        assert scope.admits_server("github")
        assert scope.admits_server("notes")
        assert not scope.admits_server("shell")
        assert not scope.admits_tool("shell", "ls", READ)

    @pytest.mark.parametrize(
        ("pattern", "server", "tool", "admits"),
        [
            ("read_*", "files", "read_file", True),
            ("read_*", "files", "write_file", False),
            ("files__*", "files", "write_file", True),
            ("files__*", "other", "files__write", False),
            ("other__files__*", "other", "files__write", True),
            ("files__read", "files", "read", True),
        ],
    )
    def test_tools(self, pattern: str, server: str, tool: str, *, admits: bool) -> None:
        """A pattern with two underscores is of a server's tools, and no server can bring a tool that is another's."""
        assert TokenScope(tools=(pattern,)).admits_tool(server, tool, DESTRUCTIVE) is admits

    def test_read_only(self) -> None:
        """A read-only token admits tools that declare themselves read-only, and requests that are known to be."""
        scope = TokenScope(read_only=True)
        assert scope.admits_tool("a", "look", READ)
        assert not scope.admits_tool("a", "delete", WRITE)
        assert scope.admits_method("resources/read")
        assert not scope.admits_method("admin/wipe")

    @pytest.mark.parametrize(
        ("scope", "admitted"),
        [
            (TokenScope(tier=READ), [READ]),
            (TokenScope(tier=WRITE), [READ, WRITE]),
            (TokenScope(tier=WRITE, read_only=True), [READ]),
            (TokenScope(), [*TIERS]),
        ],
    )
    def test_tiers(self, scope: TokenScope, admitted: list[str]) -> None:
        """A tier admits the tools of its own and of lower tiers."""
        assert [tier for tier in TIERS if scope.admits_tool("a", "tool", tier)] == admitted
        assert scope.is_whole is (len(admitted) == len(TIERS))
