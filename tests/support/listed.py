"""Entries of servers' lists for tests, made and drawn at random."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from mcpgateway.discovery.records import Item, ListKind, read_items
from mcpgateway.protocol import jsonrpc

servers = st.from_regex(r"[a-z][a-z0-9_-]{0,20}[a-z0-9_]", fullmatch=True)
# What people call tools, and what they should not.
owns = st.one_of(
    st.from_regex(r"[a-z]{1,6}(_{1,2}[a-z]{1,6}){0,4}", fullmatch=True),
    st.text(min_size=1, max_size=70),
    st.text(alphabet="a_:/.-", min_size=1, max_size=12),
)
ids = st.tuples(servers, owns)


def items(server: str, *entries: dict[str, Any] | str, kind: ListKind = ListKind.TOOL) -> tuple[Item, ...]:
    """Return the list of a server; a text alone is the name of an entry."""
    listed = [{kind.key: each} if isinstance(each, str) else each for each in entries]
    return read_items(server, kind, [jsonrpc.raw({kind.member: listed})])


def of_ids(pairs: list[tuple[str, str]]) -> list[Item]:
    """Tools by their servers and names."""
    return [each for server, own in pairs for each in items(server, own)]
