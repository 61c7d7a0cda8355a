"""The entries of servers' lists."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from mcpgateway.discovery.records import Item, ListKind, read_items
from mcpgateway.policy.recorded_answers import LISTS, NEWS
from mcpgateway.protocol import jsonrpc
from tests.support.listed import items

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["tools", "name", "uri", "annotations"]) | st.text(max_size=5), inner
        )
    ),
    max_leaves=12,
)


class KindTests:
    """The four lists."""

    def test_as_elsewhere(self):
        """The methods, members and notifications of the lists are those of snapshots."""
        assert {each.method: each.member for each in ListKind} == LISTS
        assert {each.method: each.news for each in ListKind} == NEWS


class ReadTests:
    """Pages of a list."""

    def test_pages(self):
        """The pages are read in their order, and the first of two entries with one name counts."""
        pages = [Raw(b'{"tools":[{"name":"a","title":"1"},{"name":"b"}],"nextCursor":"x"}')]
        pages.append(Raw(b'{"tools":[{"name":"a","title":"2"},{"name":"c"}]}'))
        found = read_items("s", ListKind.TOOL, pages)
        assert [(each.server, each.kind, each.own, each.title) for each in found] == [
            ("s", ListKind.TOOL, "a", "1"),
            ("s", ListKind.TOOL, "b", ""),
            ("s", ListKind.TOOL, "c", ""),
        ]

    @pytest.mark.parametrize(
        "page",
        [
            b"[]",
            b"null",
            b"{}",
            b'{"tools":{}}',
            b'{"tools":null}',
            b'{"tools":[1,null,"x",[],{}]}',
            b'{"tools":[{"name":""},{"name":3},{"name":null},{"title":"x"}]}',
            b'{"tools":[{"name":"\\ud800"}]}',
            b'{"tools":[{"name":"' + b"x" * 1025 + b'"}]}',
            b'{"tools":[' + b"[" * 5000 + b"]" * 5000 + b"]}",
        ],
    )
    def test_strange(self, page):
        """A malformed entry is left out, and spoils no other."""
        assert read_items("s", ListKind.TOOL, [Raw(page)]) == ()
        fine = Raw(b'{"tools":[{"name":"a"}]}')
        assert [each.own for each in read_items("s", ListKind.TOOL, [Raw(page), fine])] == ["a"]

    @given(anything)
    def test_anything(self, page):
        """No page is an error."""
        for kind in ListKind:
            found = read_items("s", kind, [jsonrpc.raw(page), jsonrpc.raw({kind.member: page})])
            assert len({each.own for each in found}) == len(found)

    @pytest.mark.parametrize(
        ("kind", "entry", "own"),
        [
            (ListKind.PROMPT, {"name": "p"}, "p"),
            (ListKind.RESOURCE, {"name": "r", "uri": "a://b"}, "a://b"),
            (ListKind.TEMPLATE, {"name": "t", "uriTemplate": "a://{b}"}, "a://{b}"),
        ],
    )
    def test_kinds(self, kind, entry, own):
        """A kind is known by the member that tells its entries apart."""
        (item,) = items("s", entry, kind=kind)
        assert (item.own, item.id) == (own, f"s__{own}")

    def test_half_a_character(self):
        """Half a surrogate pair, as JavaScript writes it, spoils no entry and stays what it was."""
        (item,) = read_items("s", ListKind.TOOL, [Raw(b'{"tools":[{"name":"a","description":"x\\ud83d"}]}')])
        assert item.description == "x?"
        assert bytes(item.raw["description"]) == b'"x\\ud83d"'


class ItemTests:
    """The record of one entry."""

    def test_members(self):
        """The used members are read, and every member stays as it was written."""
        written = b'{"name":"a","description":"d","inputSchema": {"x" : 1},"outputSchema":{},"new" :1.0}'
        (item,) = read_items("s", ListKind.TOOL, [Raw(b'{"tools":[%s]}' % written)])
        assert item.description == "d"
        assert bytes(item.input_schema) == b'{"x" : 1}'
        assert bytes(item.output_schema) == b"{}"
        assert bytes(item.raw["new"]) == b"1.0"

    def test_nothing_said(self):
        """An absent member is empty, and hints are the defaults of the protocol."""
        (item,) = items("s", "a")
        assert (item.title, item.description, item.input_schema, item.output_schema) == ("", "", None, None)
        assert (item.is_read_only, item.is_idempotent, item.is_destructive, item.is_open_world) == (
            False,
            False,
            True,
            True,
        )

    def test_hints(self):
        """Hints are read, and what only reads destroys nothing; a title may be among them."""
        hints = {"readOnlyHint": True, "idempotentHint": True, "openWorldHint": False, "title": "T"}
        (item,) = items("s", {"name": "a", "annotations": hints})
        assert (item.is_read_only, item.is_idempotent, item.is_destructive, item.is_open_world) == (
            True,
            True,
            False,
            False,
        )
        assert item.title == "T"

    @pytest.mark.parametrize("said", [None, 3, [], {"readOnlyHint": "true", "title": 3}])
    def test_strange_hints(self, said):
        """Hints that are none say nothing."""
        (item,) = items("s", {"name": "a", "annotations": said, "title": 3, "description": {}})
        assert not item.is_read_only
        assert (item.title, item.description) == ("", "")

    def test_no_dictionary(self):
        """A record is small, as there may be thousands."""
        assert not hasattr(items("s", "a")[0], "__dict__")
        assert isinstance(hash(items("s", "a")[0]), int)
        assert items("s", "a") == items("s", "a")
        assert "raw" not in repr(Item("s", ListKind.TOOL, "a", {}))
