"""Finding entries by what somebody types."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from mcpgateway.discovery.records import ListKind, read_items
from mcpgateway.discovery.search import MOST, SearchIndex
from mcpgateway.discovery.thesaurus import Thesaurus


def items(server, *tools):
    """Tools as a server lists them."""
    return read_items(server, ListKind.TOOL, [Raw(json.dumps({"tools": tools}).encode())])


def tool(name, description="", title="", **parameters):
    """A tool whose parameters are named, each with what is said of it."""
    properties = {each: {"type": "string", "description": note} for each, note in parameters.items()}
    schema = {"type": "object", "properties": properties}
    return {"name": name, "description": description, "title": title, "inputSchema": schema}


def fill(index, server, entries):
    """Index the entries of a server."""
    for _ in index.replacing(server, entries):
        pass


def index_of(**servers):
    """An index of servers' tools."""
    index = SearchIndex()
    for server, tools in servers.items():
        fill(index, server, items(server, *tools))
    return index


def found(index, query, **options):
    """The names of what is found, best first."""
    return [hit.item.own for hit in index.search(query, **options)]


OFFICE = index_of(
    files=[
        tool("read_file", "Reads a text from the disk. It may be cut.", path="where it is"),
        tool("write_file", "Writes a text to the disk.", path="where it goes", content="what it says"),
        tool("moveDirectory", "Puts a folder elsewhere."),
    ],
    tracker=[
        tool("create_issue", "Opens a ticket in a GitHub repository.", assignee="who has to mend it"),
        tool("list_issues", "Tells which tickets there are.", title="Everything that is open"),
        tool("close_issue", "Ends a ticket."),
    ],
    weather=[tool("forecast", "Says whether it rains.", latitude="", longitude="")],
)


class FindingTests:
    """The hits of a search, and their order."""

    @pytest.mark.parametrize(
        ("query", "name"),
        [
            ("read file", "read_file"),
            ("move directory", "moveDirectory"),
            ("movedirectory", "moveDirectory"),
            ("everything open", "list_issues"),
            ("rain", "forecast"),
            ("weather", "forecast"),
            ("longitude", "forecast"),
            ("has to mend", "create_issue"),
            ("cut", "read_file"),
        ],
    )
    def test_each_column_is_searched(self, query, name):
        """Names, titles, descriptions, servers, parameters, and what is said of those, however they are inflected."""
        assert found(OFFICE, query)[0] == name

    def test_a_slip_is_forgiven(self):
        """A word that is not known stands for the known ones that it may be a slip of."""
        assert found(OFFICE, "longitdue") == ["forecast"]
        assert found(OFFICE, "forecsat") == ["forecast"]

    def test_a_word_may_be_a_beginning(self):
        """The first letters of a word find it."""
        assert found(OFFICE, "longi") == ["forecast"]
        assert found(OFFICE, "lo") == []

    def test_an_everyday_word_finds_what_it_stands_for(self):
        """A synonym finds the tools of a server that uses the other word."""
        assert found(OFFICE, "repo")[0] == "create_issue"
        assert found(OFFICE, "photo") == []

    def test_products_are_found_in_either_spelling(self):
        """Words with capitals in their midst are found whole and in parts."""
        assert found(OFFICE, "github") == found(OFFICE, "GitHub") == ["create_issue"]

    def test_who_answers_to_more_words_is_first(self):
        """An entry that fits the whole query comes before those that fit a part of it."""
        assert found(OFFICE, "close a ticket")[0] == "close_issue"

    def test_what_means_something_to_the_index_is_text(self):
        """Quotes, operators and column filters in a query are plain text."""
        for query in (
            '"file',
            "file*",
            "file AND",
            "NOT file",
            "NEAR(file, 2)",
            "name:file",
            "(file",
            "-file",
            "^file",
        ):
            assert "read_file" in found(OFFICE, query), query

    def test_texts_without_words_find_nothing(self):
        """A question of signs is not a question for everything."""
        assert found(OFFICE, "?!") == []

    def test_nothing_asked_is_everything_in_order(self):
        """An empty query lists what there is, by server and name, with a score of nothing."""
        hits = OFFICE.search(" ")
        assert [(hit.item.server, hit.item.own) for hit in hits] == sorted(
            (hit.item.server, hit.item.own) for hit in hits
        )
        assert len(hits) == len(OFFICE) == 7
        assert {hit.score for hit in hits} == {0}

    def test_one_server_alone(self):
        """A server's name limits the answer to its entries; one that is not known has none."""
        assert found(OFFICE, "text ticket", server="files") == ["read_file", "write_file"]
        assert found(OFFICE, "", server="weather") == ["forecast"]
        assert found(OFFICE, "", server="nobody") == found(OFFICE, "file", server="nobody") == []

    def test_a_server_alone_is_searched_to_its_end(self):
        """The limit counts the entries of the server, not those that others have before them."""
        many = [tool(f"file_{number}", "file file") for number in range(60)]
        index = index_of(first=many, second=[tool("other", "It is about a file and a lot more than that.")])
        assert found(index, "file", server="second", limit=1) == ["other"]

    def test_the_limit_has_limits(self):
        """The number of hits is one at least, and a page at most."""
        index = index_of(many=[tool(f"file_{number}") for number in range(MOST + 10)])
        assert len(index.search("file", 1000)) == len(index.search("", 1000)) == MOST
        assert len(index.search("file", 0)) == len(index.search("", -1)) == 1

    def test_a_hit_has_a_score_in_the_smallest_catalog(self):
        """A word that all entries have still counts."""
        assert index_of(one=[tool("file")]).search("file")[0].score > 0

    def test_a_word_of_similar_meaning_finds_less_than_the_word_itself(self):
        """A thesaurus finds entries whose words mean the same; an entry with the word itself precedes them."""
        index = SearchIndex(Thesaurus(b"film movie\n"))
        fill(index, "one", items("one", tool("play_movie"), tool("play_film"), tool("play_song")))
        assert found(index, "film") == ["play_film", "play_movie"]
        assert [hit.share for hit in index.search("film")] == [1.0, 0.0]

    def test_a_named_server_precedes_others(self):
        """Of two equal entries, that of the server that the query names comes first."""
        index = index_of(
            alpha=[tool("add_card", "To the board.")], trello=[tool("add_card", "To the board.")]
        )
        hits = index.search("trello card board")
        assert [hit.item.server for hit in hits] == ["trello", "alpha"]
        assert hits[0].score > 1.5 * hits[1].score

    def test_prompts_and_resources_are_found_too(self):
        """Anything that is listed can be indexed."""
        page = Raw(b'{"resources": [{"uri": "file:///notes/today.md", "name": "Notes"}]}')
        index = SearchIndex()
        fill(index, "notes", read_items("notes", ListKind.RESOURCE, [page]))
        assert found(index, "today") == ["file:///notes/today.md"]

    def test_strange_schemas_are_no_obstacle(self):
        """A value that is no schema has no parameters; nested ones are found."""
        odd = [
            {"name": f"odd_{number}", "inputSchema": schema}
            for number, schema in enumerate(
                [
                    None,
                    3,
                    [],
                    {"properties": 5},
                    {"properties": {"x": 1}},
                    {"items": {"properties": {"deep": {}}}},
                ]
            )
        ]
        assert found(index_of(odd=odd), "deep") == ["odd_5"]


class ChangingTests:
    """Changes of the index."""

    def test_a_server_is_replaced_as_a_whole(self):
        """The former entries of a replaced server are not found any more, those of other servers are."""
        index = index_of(one=[tool("former")], two=[tool("other")])
        fill(index, "one", items("one", tool("present")))
        assert found(index, "former") == []
        assert found(index, "present") == ["present"]
        assert found(index, "other") == ["other"]
        assert len(index) == 2

    def test_what_is_removed_is_gone(self):
        """Removing a server leaves the others; removing what is not there changes nothing."""
        index = index_of(one=[tool("former")], two=[tool("other")])
        index.remove("one")
        index.remove("one")
        assert found(index, "") == ["other"]
        assert found(index, "formr") == []


texts = st.one_of(
    st.text(max_size=40),
    st.lists(
        st.sampled_from('read file Repo issue GitHub delete * " ( 读 NOT \x00'.split(" ")), max_size=6
    ).map(" ".join),
)
tools = st.lists(
    st.builds(tool, st.text("abAB_-", min_size=1, max_size=8), texts, texts, path=texts), max_size=5
)
changes = st.lists(st.tuples(st.sampled_from("xyz"), st.none() | tools), max_size=6)


class PropertyTests:
    """Properties of any index and any query."""

    @settings(deadline=None)
    @given(changes, texts, st.integers(), st.sampled_from(["", "x", "nobody"]))
    def test_an_index_is_what_it_holds(self, history, query, limit, server):
        """After any changes, an index answers any query as a fresh one with the same entries, and twice the same."""
        index, left = SearchIndex(), {}
        for name, listed in history:
            if listed is None:
                index.remove(name)
                left.pop(name, None)
            else:
                fill(index, name, items(name, *listed))
                left[name] = items(name, *listed)
        fresh = SearchIndex()
        for name in sorted(left):
            fill(fresh, name, left[name])
        answer = index.search(query, limit, server)
        assert answer == fresh.search(query, limit, server) == index.search(query, limit, server)
        assert len(index) == len(fresh) == sum(map(len, left.values()))
        assert [hit.score for hit in answer] == sorted((hit.score for hit in answer), reverse=True)
