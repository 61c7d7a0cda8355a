"""The names of many servers' tools in one list."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.discovery.naming import (
    Names,
    did_you_mean,
    marked,
    named,
    read_id,
    server_hint,
    servers_named,
    shown,
    slips,
)
from tests.support.listed import ids, items, of_ids, owns, servers

ALPHABET = re.compile(r"[a-zA-Z0-9_-]{1,46}")
prefixes = st.one_of(st.just(""), servers, st.text(max_size=60))


class ShownTests:
    """The name of one tool."""

    @pytest.mark.parametrize(
        ("prefix", "own", "name"),
        [
            ("github", "search", "github__search"),
            ("", "search", "search"),
            ("github", "a__b", "github__a__b"),
            ("a", "_b", "a___b"),
            ("x" * 20, "y" * 24, "x" * 20 + "__" + "y" * 24),
        ],
    )
    def test_plain(self, prefix, own, name):
        """A prefix and a name that can be told from each other are put together as they are."""
        assert shown(prefix, own) == name

    @pytest.mark.parametrize(
        ("prefix", "own", "head"),
        [
            ("a__b", "c", "a__b__c"),
            ("a_", "b", "a__b"),
            ("a", "b.c d", "a__b_c_d"),
            ("a", "工具", "a"),
            ("", "a__b", "a__b"),
            ("", "gateway_search", "gateway_search"),
            ("", "...", "tool"),
            ("a", "b_decade", "a__b_decade"),
            ("x" * 60, "y" * 60, "x" * 17 + "__" + "y" * 20),
            ("x" * 30, "y" * 15, "x" * 22 + "__" + "y" * 15),
        ],
    )
    def test_marked(self, prefix, own, head):
        """A name that is ambiguous, too long, or has characters that models refuse gets six digits behind the part
        that fits.
        """
        name = shown(prefix, own)
        assert name[:-7] == head
        assert re.fullmatch(r"_[0-9a-f]{6}", name[-7:])

    @given(prefixes, owns)
    def test_bounded(self, prefix, own):
        """Every name is one that models and clients take, and the same each time."""
        for name in (shown(prefix, own), marked(prefix, own, "s", 40)):
            assert ALPHABET.fullmatch(name)
        assert shown(prefix, own) == shown(prefix, own)

    @given(st.lists(ids, min_size=2, max_size=2, unique=True))
    def test_injective(self, pairs):
        """Two tools of servers with prefixes of their own have two names, whatever they are called."""
        (one, other) = (shown(*each) for each in pairs)
        assert one != other


class NamedTests:
    """Names of many."""

    @given(st.lists(ids, max_size=12, unique=True), st.data())
    def test_every_tool_has_its_own(self, pairs, data):
        """An item has one name, in the order of the items, whatever prefixes their servers share."""
        found = of_ids(pairs)
        chosen = {each: data.draw(st.sampled_from(["", "a", "a_", each])) for each in {s for s, _ in pairs}}
        names = named(found, chosen)
        assert list(names.values()) == found
        assert all(ALPHABET.fullmatch(each) for each in names)

    @given(st.lists(ids, max_size=8, unique=True), st.lists(ids, max_size=4), st.data())
    def test_no_name_changes_its_meaning(self, pairs, more, data):
        """A name keeps its meaning, or loses it, whatever servers come before, between and after."""
        everything = list(dict.fromkeys([*pairs, *more]))
        chosen = {
            each: data.draw(st.sampled_from(["", "a", each])) for each in sorted({s for s, _ in everything})
        }
        before = named(of_ids(pairs), chosen)
        after = named(of_ids(data.draw(st.permutations(everything))), chosen)
        for name, item in before.items():
            assert name not in after or (after[name].server, after[name].own) == (item.server, item.own)

    def test_same_prefix(self):
        """Equal tool names of servers with one prefix get digits, all of them; other names do not."""
        found = [*items("a", "read", "x"), *items("b", "read", "y")]
        names = named(found, {"a": "", "b": ""})
        assert list(names) == [marked("", "read", "a"), "x", marked("", "read", "b"), "y"]

    def test_reserved(self):
        """A name that is needed for something else gets its digits."""
        (name,) = named(items("a", "search"), {"a": ""}, reserved=("search",))
        assert name == marked("", "search", "a")

    def test_twice(self):
        """An item that is there twice is there once."""
        assert list(named([*items("a", "x"), *items("a", "x")], {})) == [marked("a", "x", "a", 40)]


class NamesTests:
    """Finding what is meant."""

    def test_every_spelling(self):
        """A tool is found by its name, by the four spellings of its id, and by its name with digits."""
        found = items("git-hub", "search__all", "other")
        names = Names(named(found, {"git-hub": "gh"}), {"git-hub": "gh"})
        for text in (
            "gh__search__all",
            *(f"git-hub{separator}search__all" for separator in ("__", "::", ":", "/")),
            *(f"gh{separator}search__all" for separator in ("__", "::", ":", "/")),
            marked("gh", "search__all", "git-hub"),
            marked("gh", "search__all", "git-hub", 12),
        ):
            assert names.find(text) is found[0]
        assert names.name_of(found[0]) == "gh__search__all"
        assert names.of("git-hub", "other") is found[1]

    @pytest.mark.parametrize("text", ["", "a", "a__", "__x", "a__y", "b__x", "a_123456", "a" * 3000, "::"])
    def test_unknown(self, text):
        """An unknown name is not found."""
        assert Names(named(items("a", "x"), {})).find(text) is None

    def test_ambiguous(self):
        """An id that means tools of two servers means none of them."""
        found = [*items("a", "b/c"), *items("a/b", "c"), *items("c", "d")]
        names = Names(named(found, {}))
        assert names.find("a/b/c") is None
        assert names.find("a::b/c") is found[0]

    def test_shared_prefix(self):
        """A prefix that several servers have stands for none of them."""
        found = [*items("a", "x"), *items("b", "y")]
        names = Names(named(found, {"a": "p", "b": "p"}), {"a": "p", "b": "p"})
        assert names.of("p", "x") is None
        assert names.find("p__x") is found[0]

    @given(st.lists(ids, max_size=8, unique=True))
    def test_listed(self, pairs):
        """Every listed name is found, and so is the name with digits that it has next to others."""
        names = Names(named(of_ids(pairs), {}))
        for name, item in names.items.items():
            assert names.find(name) is item
            assert names.find(marked(item.server, item.own)) is item

    def test_near(self):
        """The names that may have been meant are those that are listed."""
        assert Names(named(items("a", "search"), {})).near("sarch") == ["a__search"]


class ReadIdTests:
    """Ids as people and models write them."""

    @given(servers, owns, st.sampled_from(["__", "::", ":", "/"]))
    def test_inverts(self, server, own, separator):
        """The server and the tool that an id was made of are among what it may mean."""
        assert (server, own) in read_id(f"{server}{separator}{own}")

    @pytest.mark.parametrize("separator", ["__", "::", ":", "/"])
    def test_likeliest_first(self, separator):
        """An id is read at its first separator first."""
        assert read_id(f"git-hub{separator}search")[0] == ("git-hub", "search")
        assert read_id(f"a{separator}b{separator}c")[0] == ("a", f"b{separator}c")

    def test_nothing(self):
        """A text without a separator between two names is no id."""
        assert read_id("search") == read_id("") == read_id("__x") == read_id("x/") == []
        assert read_id("x/" * 2000) == []


class ServersNamedTests:
    """Which servers a name says it is of, whether their lists are known or not."""

    @given(st.lists(ids, min_size=1, max_size=8, unique=True), st.data())
    def test_its_own_is_among_them(self, pairs, data):
        """The server of any name with its prefix is found; a bare name may have none."""
        chosen = {each: data.draw(st.sampled_from(["", "a", "a_b", each])) for each, _ in pairs}
        for name, item in named(of_ids(pairs), chosen).items():
            found = servers_named(name, chosen)
            assert item.server in found or (not chosen[item.server] and not found - {item.server})

    @given(ids, st.sampled_from(["__", "::", ":", "/"]))
    def test_an_id(self, pair, separator):
        """An id names its server by its name, whatever its prefix is."""
        server, own = pair
        assert server in servers_named(f"{server}{separator}{own}", {server: "p", "other": "q"})

    @pytest.mark.parametrize(
        ("text", "found"),
        [
            ("git__log", {"git"}),
            ("hub__log", {"github"}),
            ("log", set()),
            ("nobody__log", set()),
            ("hub__log_12ab34", {"github", "bare"}),
        ],
    )
    def test_nobody_else(self, text, found):
        """No other server is; a server without a prefix only by a name with digits, since its others have no head."""
        assert servers_named(text, {"git": "git", "github": "hub", "bare": ""}) == found


class DidYouMeanTests:
    """The suggestions for an unknown name."""

    KNOWN = ("github__search_repositories", "github__create_issue", "files__read_file", "files__write_file")

    @pytest.mark.parametrize(
        ("wrong", "right"),
        [
            ("github__search_repos", "github__search_repositories"),
            ("searchRepositories", "github__search_repositories"),
            ("readfile", "files__read_file"),
            ("files.write", "files__write_file"),
            ("GitHub__Create_Isue", "github__create_issue"),
        ],
    )
    def test_nearest(self, wrong, right):
        """Slips of case, separators, letters and prefixes do not hide what was meant."""
        assert did_you_mean(wrong, self.KNOWN)[0] == right

    @pytest.mark.parametrize(
        "wrong", ["tyme", "tim", "tmie", "itme", "timee", "Tyme", "fecth", "ftch", "gti", "fe_tsh"]
    )
    def test_short(self, wrong):
        """A slip in a short word, and two in one of five letters, still find the name."""
        right = {"t": "time", "i": "time", "f": "fetch", "g": "git"}[wrong[0].lower()]
        assert did_you_mean(wrong, ("time", "fetch", "git", "sqlite", "filesystem"), 1) == [right]

    def test_short_strangers(self):
        """Short words that are others are not what was meant."""
        for wrong in ("ab", "gt", "docs", "mail", "tome2you"):
            assert did_you_mean(wrong, ("time", "fetch", "git", "a")) == []

    @given(st.text("abc", max_size=8), st.text("abc", max_size=8))
    def test_slips(self, one, other):
        """Slips are as many in both directions, none between a word and itself, and no more than it has letters."""
        assert slips(one, other) == slips(other, one) <= max(len(one), len(other))
        assert (slips(one, other) == 0) == (one == other)

    def test_strange(self):
        """A word that has nothing in common with any name has no suggestion."""
        assert did_you_mean("zzz", self.KNOWN) == did_you_mean("", self.KNOWN) == []

    def test_most(self):
        """No more are named than are asked for."""
        assert len(did_you_mean("files__file", self.KNOWN, 1)) == 1


class ServerHintTests:
    """The hint of an error for an unknown server."""

    @pytest.mark.parametrize(
        ("wrong", "known", "hint"),
        [
            ("githb", ["github", "fetch"], "did you mean github?"),
            ("zzz", ["github", "fetch"], "there are: github, fetch"),
            ("zzz", [], "no server is configured"),
            (
                "zzz",
                [f"a{each}" for each in range(25)],
                f"there are: {', '.join(f'a{n}' for n in range(20))} and 5 others",
            ),
        ],
    )
    def test_hint(self, wrong: str, known: list[str], hint: str) -> None:
        """A similar name comes first; else those that there are, twenty of them at most."""
        assert server_hint(wrong, known) == hint
