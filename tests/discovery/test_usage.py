"""The book of calls and spared tokens."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.discovery.usage import (
    COUNT_LIMIT,
    DAYS_LIMIT,
    FILE_LIMIT,
    NAME_LIMIT,
    OTHERS,
    SERVERS_LIMIT,
    TOOLS_LIMIT,
    Book,
    NewerUsageFormat,
    Saving,
    read,
)

names = st.text(max_size=6)
days = st.dates().map(lambda day: day.isoformat())
entries = st.one_of(
    st.tuples(st.just("called"), names, names),
    st.tuples(st.just("saved"), st.sampled_from(Saving), names, st.integers(-1, 99), days),
)


def filled(events):
    """A book in which all this is written."""
    book = Book()
    for method, *arguments in events:
        getattr(book, method)(*arguments)
    return book


class BookTests:
    """Counting."""

    def test_calls(self):
        """Calls are counted by server and tool, and given by the ids of tools."""
        book = filled([("called", "a", "x"), ("called", "a", "x"), ("called", "b", "y")])
        assert book.counts() == {"a__x": 2, "b__y": 1}

    def test_savings(self):
        """Tokens are counted by day and server, and in all; none are no entry."""
        book = Book()
        book.saved(Saving.DEFERRAL, "a", 5, "2026-01-01")
        book.saved(Saving.DEFERRAL, "a", 5, "2026-01-01")
        book.saved(Saving.SHIELDING, "b", 7, "2026-01-02")
        book.saved(Saving.SHIELDING, "b", 0, "2026-01-03")
        assert book.days == {
            "2026-01-01": {"a": {Saving.DEFERRAL: 10}},
            "2026-01-02": {"b": {Saving.SHIELDING: 7}},
        }
        assert book.totals == {Saving.DEFERRAL: 10, Saving.SHIELDING: 7}

    def test_many_tools(self):
        """When there are too many tools, those that were called least are forgotten."""
        book = filled(("called", "s", f"t{n}") for n in range(TOOLS_LIMIT))
        book.called("s", "t7")
        book.called("z", "new")
        assert book.tools == TOOLS_LIMIT // 2 + 1
        assert (book.calls["s"]["t7"], book.calls["z"]["new"]) == (2, 1)

    def test_long_names(self):
        """Tools whose names are absurd are not counted, and tokens of such servers are the others'."""
        book = filled([("called", "s", "x" * (NAME_LIMIT + 1)), ("called", "x" * (NAME_LIMIT + 1), "t")])
        book.saved(Saving.DEFERRAL, "x" * (NAME_LIMIT + 1), 1, "2026-01-01")
        assert book.calls == {}
        assert list(book.days["2026-01-01"]) == [OTHERS]

    def test_many_days(self):
        """The latest days are kept, and all tokens in the totals."""
        book = Book()
        for day in range(1, 41):
            book.saved(Saving.COMPRESSION, "s", 1, f"2026-{day // 28 + 1:02}-{day % 28 + 1:02}")
        assert len(book.days) == DAYS_LIMIT
        assert min(book.days) == "2026-01-11"
        assert book.totals == {Saving.COMPRESSION: 40}

    def test_many_servers(self):
        """Servers beyond the limit of a day are counted together."""
        book = Book()
        for number in range(SERVERS_LIMIT + 5):
            book.saved(Saving.DEFERRAL, f"s{number}", 1, "2026-01-01")
        assert len(book.days["2026-01-01"]) == SERVERS_LIMIT + 1
        assert book.days["2026-01-01"][OTHERS] == {Saving.DEFERRAL: 5}


class FileTests:
    """Written and read."""

    @given(st.lists(entries, max_size=12))
    def test_there_and_back(self, events):
        """A written book is read again."""
        book = filled(events)
        again = read(book.written().decode())
        assert (again.calls, again.days, again.totals) == (book.calls, book.days, book.totals)

    def test_size(self):
        """A full book with the longest names is one that is read again."""
        book = filled(("called", "s", f"{n:04}" + "\x01" * (NAME_LIMIT - 4)) for n in range(TOOLS_LIMIT))
        assert len(book.written()) < FILE_LIMIT

    @pytest.mark.parametrize("text", ["", "{", "[]", "3", "{}", '{"format":"1"}', "[" * 100_000])
    def test_no_book(self, text):
        """A text that is no book is refused."""
        with pytest.raises(ValueError):  # noqa: PT011 - JSON's own error is one
            read(text)

    def test_newer(self):
        """A book of a newer gateway is known as such."""
        with pytest.raises(NewerUsageFormat):
            read('{"format":2}')

    def test_damaged(self):
        """A malformed entry of the book is left out."""
        found = {
            "format": 1,
            "calls": {"a": {"x": 1, "y": "2", "z": -1, "w": True, "v": COUNT_LIMIT * 2}, "b": 3, "c": {}},
            "days": {"2026-01-01": {"a": {"deferral": 2, "strange": 3}}, "2026-01-02": []},
            "totals": [],
        }
        book = read(json.dumps(found))
        assert book.calls == {"a": {"x": 1}}
        assert book.days["2026-01-01"] == {"a": {Saving.DEFERRAL: 2}}
        assert book.totals == {}

    @given(
        st.recursive(
            st.none() | st.integers() | st.text(max_size=3),
            lambda inner: (
                st.lists(inner, max_size=2)
                | st.dictionaries(st.sampled_from(["calls", "days", "totals", "a", "deferral"]), inner)
            ),
        )
    )
    def test_anything(self, found):
        """A file of any content is a book, at worst one without the rest."""
        read(json.dumps({"format": 1, "calls": found, "days": found, "totals": found}))
