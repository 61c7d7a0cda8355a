"""The recorded answers of a server, their owners, and their form on disk."""

from __future__ import annotations

import json
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from mcpgateway.config.model import ServerSpec, Share
from mcpgateway.config.reach_settings import Container, Remote, Rest, RestTool
from mcpgateway.errors import GatewayError
from mcpgateway.policy import recorded_answers
from mcpgateway.policy.recorded_answers import (
    FORMAT,
    HELLO,
    LISTS,
    PAGES_LIMIT,
    ROOM,
    VARIANTS_LIMIT,
    AnswerKey,
    Catalog,
    Chain,
    NewerListFormat,
    RecordableRequest,
    RecordedAnswer,
    for_now,
    legacy_handshake,
    may_be_kept,
    modern_handshake,
    place_of,
    question_of,
)
from mcpgateway.protocol import jsonrpc
from mcpgateway.protocol.jsonrpc import Message, MessageKind
from mcpgateway.protocol.versions import Era
from tests.support.modern_client import meta

SERVER = ServerSpec("s", ("run",), {"TOKEN": "one"}, "/", share=Share.GLOBAL)
REMOTE = Remote("https://u:pw@h.example:8443/mcp?key=hush&mode=a", headers={"Authorization": "Bearer hush"})
TOOLS = "tools/list"


def page(*tools: Any, **more: Any) -> Raw:
    """A page of a list of tools."""
    return jsonrpc.raw({"tools": tools, **more})


def asked(method: str = TOOLS, **params: Any) -> Message:
    """A request."""
    said = {name: jsonrpc.raw(value) for name, value in params.items()}
    inner = jsonrpc.read_object(said["_meta"], "_meta") if "_meta" in said else None
    return Message(MessageKind.REQUEST, {}, method, b"1", said or None, inner)


class PlaceTests:
    """The place of a server: its launch or its URL, and its owner."""

    @pytest.mark.parametrize(
        "change",
        [
            {"command": ("run", "else")},
            {"cwd": "/else"},
            {"env": {"OTHER": "one"}},
            {"credential": "two"},
            {"reach": REMOTE},
            {"share": Share.WORKSPACE, "workspace": "/w"},
            {"share": Share.SESSION, "workspace": "/w"},
        ],
    )
    def test_what_makes_another(self, change: dict[str, Any]) -> None:
        """A difference on which an answer may depend makes another place."""
        assert place_of(SERVER) != place_of(evolve(SERVER, **change))

    @pytest.mark.parametrize("change", [{"env": {"TOKEN": "two"}}, {"timeout_s": 5.0}, {"name": "other"}])
    def test_what_does_not(self, change: dict[str, Any]) -> None:
        """Values of the environment do not, nor what the server does not notice."""
        assert place_of(SERVER) == place_of(evolve(SERVER, **change))

    @pytest.mark.parametrize(
        ("reach", "is_same"),
        [
            (evolve(REMOTE, url="https://u:other@h.example:8443/mcp?key=new&mode=b"), True),
            (evolve(REMOTE, headers={"Authorization": "Bearer new"}), True),
            (evolve(REMOTE, headers={"X-Else": "Bearer hush"}), False),
            (evolve(REMOTE, url="https://h.example:8443/mcp?key=hush"), False),
            (evolve(REMOTE, url="https://h.example/mcp?key=hush&mode=a"), False),
            (evolve(REMOTE, url="https://else.example:8443/mcp?key=hush&mode=a"), False),
            (Container("image", options=("-e", "TOKEN=x")), False),
        ],
    )
    def test_reach(self, reach: Any, is_same: bool) -> None:  # noqa: FBT001 - a table
        """Secrets in URLs and headers are in no key; which server it is, is."""
        same = place_of(evolve(SERVER, reach=REMOTE)) == place_of(evolve(SERVER, reach=reach))
        assert same is is_same

    def test_tools_of_a_service(self) -> None:
        """A service whose tools stand in its entry is another when they do."""
        one, other = (Rest("http://h", tools=(RestTool(name, "GET", "/"),)) for name in ("a", "b"))
        assert place_of(evolve(SERVER, reach=one)) != place_of(evolve(SERVER, reach=other))


class ToldTests:
    """The client's part of the handshake."""

    def test_the_order_of_capabilities(self) -> None:
        """Capabilities that are the same are the same, however they are written."""
        one = legacy_handshake({"protocolVersion": "v", "capabilities": Raw(b'{"a":{}, "b":{"c":1}}')})
        assert one == legacy_handshake({"protocolVersion": "v", "capabilities": {"b": {"c": 1}, "a": {}}})
        assert one != legacy_handshake({"protocolVersion": "v", "capabilities": {"a": {}}})

    def test_what_cannot_be_read(self) -> None:
        """A client that says nonsense of itself is as good as one that says nothing."""
        assert legacy_handshake(
            {"capabilities": 5, "clientInfo": [], "protocolVersion": 7}
        ) == legacy_handshake({})

    def test_the_modern_era(self) -> None:
        """The client's part of a request counts; its progress token does not."""

        def told(**more: Any) -> str:
            return modern_handshake({key: jsonrpc.raw(value) for key, value in meta(**more).items()})

        assert told() == told(progressToken=5)
        assert told() != told(**{"io.modelcontextprotocol/clientCapabilities": {"roots": {}}})


class QuestionTests:
    """Which requests are answered from a record."""

    @pytest.mark.parametrize("method", [*LISTS])
    def test_lists(self, method: str) -> None:
        """The lists are recorded, in either era, page by page."""
        for era in Era:
            assert question_of(era, asked(method)) == RecordableRequest(method)
            assert question_of(era, asked(method, cursor="c")) == RecordableRequest(method, "c")

    def test_discovery(self) -> None:
        """Discovery is a request of the modern era only."""
        assert question_of(Era.MODERN, asked("server/discover")) == RecordableRequest("server/discover")
        assert question_of(Era.LEGACY, asked("server/discover")) is None
        assert question_of(Era.MODERN, asked("server/discover", cursor="c")) is None

    @pytest.mark.parametrize(
        "message",
        [
            asked("tools/call"),
            asked("resources/read"),
            asked(filter=1),
            asked(cursor=5),
            asked(cursor=None),
            asked(_meta={"x": 1}),
        ],
    )
    def test_the_others(self, message: Message) -> None:
        """A request with further parameters is not recorded."""
        assert [question_of(era, message) for era in Era] == [None, None]

    def test_who_asks(self) -> None:
        """The client's part of a modern request is known; a legacy server does not get it."""
        message = asked(_meta=meta(progressToken=1))
        assert question_of(Era.MODERN, message) == RecordableRequest(TOOLS)
        assert question_of(Era.LEGACY, message) is None


class ResultTests:
    """Which results are kept, and what is given of them."""

    @pytest.mark.parametrize(
        ("result", "is_kept"),
        [
            (b'{"tools":[]}', True),
            (b'{"tools":[],"resultType":"complete"}', True),
            (b'{"tools":[],"resultType":"input_required"}', False),
            (b'{"tools":{}}', False),
            (b"[]", False),
            (b'{"prompts":[]}', False),
        ],
    )
    def test_what_is_kept(self, result: bytes, is_kept: bool) -> None:  # noqa: FBT001 - a table
        """A whole list is."""
        assert may_be_kept(RecordableRequest(TOOLS), Raw(result)) is is_kept

    @pytest.mark.parametrize(
        ("said", "given"),
        [
            (b'{"a": 1.0,"ttlMs":5000}', b'{"a":1.0,"ttlMs":0}'),
            (b'{"a": 1.0}', b'{"a": 1.0}'),
            (b'{"a":{"ttlMs":1} }', b'{"a":{"ttlMs":1} }'),
        ],
    )
    def test_for_how_long(self, said: bytes, given: bytes) -> None:
        """A client is not told to cache an answer that may be out of date."""
        assert bytes(for_now(Raw(said))) == given


class ChainTests:
    """Pages that pass by."""

    def test_in_any_order(self) -> None:
        """A list is whole once each page has been seen, whoever asked for it."""
        pages = [page(1, nextCursor="a"), page(2, nextCursor="b"), page(3)]
        chain = Chain()
        assert chain.add(None, pages[0]) is None
        assert chain.add("b", pages[2]) is None
        assert chain.add(None, pages[0]) is None
        assert chain.add("a", pages[1]) == tuple(pages)

    def test_pages_of_another_list(self) -> None:
        """Another first page begins another list."""
        chain = Chain()
        chain.add(None, page(1, nextCursor="a"))
        chain.add(None, page(2, nextCursor="b"))
        assert chain.add("a", page(3)) is None
        assert chain.add("b", page(4)) == (page(2, nextCursor="b"), page(4))

    def test_in_a_circle(self) -> None:
        """A list that leads back to itself has no end."""
        chain = Chain()
        chain.add(None, page(1, nextCursor="a"))
        assert chain.add("a", page(2, nextCursor="a")) is None

    def test_how_much(self) -> None:
        """The size of a chain is known beforehand, with one more page, or with another one in its place."""
        chain, first, other = Chain(), page(1, nextCursor="a"), page(22, nextCursor="a")
        size = len(bytes(first))
        assert chain.with_one(None, first) == (size, 1)
        chain.add(None, first)
        assert chain.with_one(None, first) == (size, 1)
        assert chain.with_one("b", other) == (size + len(bytes(other)), 2)
        chain.add("b", other)
        assert chain.with_one("b", first) == (2 * size, 2)
        assert chain.with_one(None, other) == (len(bytes(other)), 1)
        chain.clear()
        assert chain.with_one("c", first) == (size, 1)

    def test_many_pages(self) -> None:
        """A page is read once, however many there are."""
        chain = Chain()
        pages = [page("x" * 1000, nextCursor=str(number)) for number in range(PAGES_LIMIT - 1)] + [page()]
        for cursor, each in zip([None, *map(str, range(PAGES_LIMIT - 1))], pages, strict=True):
            whole = chain.add(cursor, each)
        assert whole == tuple(pages)


TEXT = st.text(max_size=30)
PAGES = st.lists(
    st.dictionaries(TEXT, TEXT | st.integers() | st.lists(TEXT), max_size=4).map(jsonrpc.raw), min_size=1
)
CATALOGS = st.dictionaries(
    st.builds(AnswerKey, TEXT, st.sampled_from(Era), TEXT),
    st.dictionaries(st.sampled_from([*LISTS, HELLO]), st.tuples(PAGES, st.integers(0, 2**40))),
    max_size=4,
)


class FileTests:
    """The form on disk."""

    @given(CATALOGS)
    def test_there_and_back(self, content: dict[AnswerKey, dict[str, tuple[list[Raw], int]]]) -> None:
        """A catalog is read as it was written, each page byte for byte."""
        made = Catalog(
            {
                key: {method: RecordedAnswer(tuple(pages), at) for method, (pages, at) in answers.items()}
                for key, answers in content.items()
            }
        )
        found = recorded_answers.read(made.written())
        assert {
            key: {method: (list(answer.pages), answer.at) for method, answer in answers.items()}
            for key, answers in found.variants.items()
        } == content
        assert found.size == made.size

    def test_lone_surrogates(self) -> None:
        """A lone surrogate, which only JavaScript writes, is kept."""
        said = Raw(b'{"tools":["\\ud83d"]}')
        made = Catalog({AnswerKey("p", Era.LEGACY, "t"): {TOOLS: RecordedAnswer((said,), 1)}})
        (answers,) = recorded_answers.read(made.written()).variants.values()
        assert answers[TOOLS].pages == (said,)

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"nonsense",
            b"[]",
            b"{}",
            b'{"format":0}',
            b'{"format":1}',
            b'{"format":1,"variants":[[]]}',
            b'{"format":1,"variants":[{"place":"p","era":"other","told":"t","answers":{}}]}',
            b'{"format":1,"variants":[{"place":5,"era":"legacy","told":"t","answers":{}}]}',
            b'{"format":1,"variants":[{"place":"p","era":"legacy","told":"t","answers":{"hello":{"at":1,"pages":[]}}}]}',
            b'{"format":1,"variants":[{"place":"p","era":"legacy","told":"t","answers":{"hello":{"at":1,"pages":[5]}}}]}',
            b'{"format":1,"variants":[{"place":"p","era":"legacy","told":"t","answers":{"hello":{"pages":[{}]}}}]}',
        ],
    )
    def test_what_is_none(self, data: bytes) -> None:
        """A file that is no catalog is refused."""
        with pytest.raises(GatewayError):
            recorded_answers.read(data)

    @given(st.binary(max_size=300))
    def test_any_bytes(self, data: bytes) -> None:
        """No bytes at all do worse."""
        with pytest.raises(GatewayError):
            recorded_answers.read(data)

    @given(st.data())
    def test_any_damage(self, data: st.DataObject) -> None:
        """A file that has lost a part is refused, or read as a catalog."""
        answers = {TOOLS: RecordedAnswer((page({"name": "t"}),), 1), HELLO: RecordedAnswer((page(),), 1)}
        whole = Catalog({AnswerKey("p", Era.LEGACY, "t"): answers}).written()
        at, length = data.draw(st.integers(0, len(whole))), data.draw(st.integers(0, 20))
        try:
            recorded_answers.read(whole[:at] + whole[at + length :])
        except (GatewayError, NewerListFormat):
            pass

    def test_a_newer_format(self) -> None:
        """A file of a newer gateway is told from a damaged one."""
        with pytest.raises(NewerListFormat):
            recorded_answers.read(json.dumps({"format": FORMAT + 1, "whatever": 1}).encode())


class CatalogTests:
    """The catalog of one server."""

    def key(self, number: int = 0, place: str = "p", era: Era = Era.LEGACY) -> AnswerKey:
        """Return the key of an answer."""
        return AnswerKey(place, era, str(number))

    def test_the_oldest_make_room(self) -> None:
        """The number of remembered kinds of clients is bounded; the one in latest use stays."""
        made = Catalog()
        for number in range(VARIANTS_LIMIT + 5):
            made.put(self.key(number), HELLO, RecordedAnswer((page(),), number))
        assert [key.handshake for key in made.variants] == [
            str(number) for number in range(5, VARIANTS_LIMIT + 5)
        ]

    def test_a_file_is_no_longer_than_that(self) -> None:
        """The long lists of few kinds of clients are kept; the latest of any length."""
        made = Catalog()
        for number in range(VARIANTS_LIMIT):
            made.put(self.key(number), TOOLS, RecordedAnswer((page("x" * (ROOM // 5)),), number))
        assert len(made.variants) == 4
        assert self.key(VARIANTS_LIMIT - 1) in made.variants
        made.put(self.key(), TOOLS, RecordedAnswer((page("x" * ROOM),), 99))
        assert list(made.variants) == [self.key()]

    def test_outdated(self) -> None:
        """A list that has changed is given to nobody who was told it there; it stays on record, and others' counts."""
        made = Catalog()
        keys = [self.key(1), self.key(2), self.key(1, "else"), self.key(1, era=Era.MODERN)]
        for key in keys:
            for method in (TOOLS, HELLO):
                made.put(key, method, RecordedAnswer((page(),), 1))
        assert made.outdate("p", Era.LEGACY, (TOOLS, "prompts/list"))
        assert not made.outdate("p", Era.LEGACY, (TOOLS,))
        again = recorded_answers.read(made.written())
        for catalog in (made, again):
            assert [catalog.find(key, TOOLS) is None for key in keys] == [True, True, False, False]
            assert [catalog.variants[key][TOOLS].is_stale for key in keys] == [True, True, False, False]
            assert catalog.places() == {"p", "else"}
        made.put(keys[0], TOOLS, RecordedAnswer((page(),), 2))
        assert made.find(keys[0], TOOLS) is not None

    def test_digests(self) -> None:
        """A list is the same however it is cut into pages; in another order it is another."""

        def digest(*pages: Raw) -> bytes:
            return RecordedAnswer(pages).digest(TOOLS)

        assert digest(page(1, 2)) == digest(page(1, nextCursor="x"), page(2))
        assert digest(page(1, 2)) != digest(page(2, 1))
        assert digest(page(12)) != digest(page(1, 2))

    def test_pages(self) -> None:
        """A page is found by the cursor that the one before it names."""
        answer = RecordedAnswer((page(1, nextCursor="a"), page(2, nextCursor="b"), page(3)))
        assert [answer.page(cursor) for cursor in (None, "a", "b", "c")] == [*answer.pages, None]
