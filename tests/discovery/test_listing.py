"""Which tools a view lists, and how."""

import json

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.config.model import ServerSpec
from mcpgateway.config.surface import Expose, FilterMode, Order, ViewSettings
from mcpgateway.discovery.listing import (
    HYBRID_TOKENS,
    HYBRID_TOOLS,
    Exposure,
    More,
    UnlistedReason,
    definition,
    listing,
)
from mcpgateway.discovery.records import ListKind
from mcpgateway.discovery.tokens import estimate
from mcpgateway.errors import InvalidParams
from mcpgateway.protocol import jsonrpc
from tests.support.listed import ids, items, of_ids

TOOLS = [*items("a", "one", "two", "three"), *items("b", "four", "five")]
A = tuple(f"a__{each}" for each in ("one", "two", "three"))
B = tuple(f"b__{each}" for each in ("four", "five"))


def spec(name, **more):
    """A server."""
    return ServerSpec(name, (), {}, "", **more)


def shows(expose=Expose.FULL, usage=None, specs=(), tools=TOOLS, beside=0, **settings):
    """Return the entries that a view lists with these settings."""
    exposure = Exposure.of(ViewSettings(**settings), specs or [spec("a"), spec("b")], expose, beside=beside)
    return listing(tools, exposure, usage or {})


def why(found):
    """Return the reason why each tool is cut."""
    return {each.name: each.why for each in found.cut}


class FilterTests:
    """Which servers' tools are offered."""

    @pytest.mark.parametrize(
        ("settings", "offered"),
        [
            ({}, "ab"),
            ({"include": ("a",), "exclude": ("b",)}, "ab"),
            ({"mode": FilterMode.ALLOW, "include": ("a",)}, "a"),
            ({"mode": FilterMode.ALLOW}, ""),
            ({"mode": FilterMode.ALLOW, "include": ("a", "b"), "exclude": ("a",)}, "b"),
            ({"mode": FilterMode.BLOCK, "exclude": ("a",)}, "b"),
            ({"mode": FilterMode.BLOCK, "include": ("a",)}, "ab"),
        ],
    )
    def test_modes(self, settings, offered):
        """An allowlist offers what it names, a blocklist all but what it names, and without a mode all are offered."""
        found = shows(**settings)
        expected = [*(A if "a" in offered else ()), *(B if "b" in offered else ())]
        assert list(found.tools) == list(found.names.items) == expected

    def test_expose_tools(self):
        """The tools of a server that does not offer them are not listed, and not found either."""
        found = shows(specs=[spec("a", expose_tools=False), spec("b")])
        assert list(found.tools) == [*B]
        assert found.find("a__one") is None
        assert found.cut == ()

    def test_title(self):
        """A filter names servers by their written titles, too."""
        servers = [spec("a", title="The A"), spec("b")]
        found = shows(specs=servers, mode=FilterMode.BLOCK, exclude=("The A",))
        assert list(found.tools) == [*B]


class ModeTests:
    """The entries of a view in each mode."""

    @pytest.mark.parametrize("expose", [Expose.SEARCH, Expose.META])
    def test_nothing(self, expose):
        """A view of the gateway's own tools lists no others, and has them all."""
        found = shows(expose)
        assert found.tools == {}
        assert found.find("a__one") is TOOLS[0]

    def test_as_the_settings_say(self):
        """The settings decide without a view of its own."""
        assert Exposure.of(ViewSettings(), ()).expose is Expose.HYBRID

    def test_prefixes(self):
        """Names begin with the prefix of their server."""
        found = shows(specs=[spec("a", prefix=""), spec("b", prefix="bee")])
        assert list(found.tools) == ["one", "two", "three", "bee__four", "bee__five"]


class BudgetTests:
    """The budgets of a view."""

    def test_per_server(self):
        """A server's tools are listed up to its budget, and all others can be called."""
        found = shows(per_server_budget=2, budget_order=Order.BACKEND)
        assert list(found.tools) == ["a__one", "a__two", *B]
        assert why(found) == {"a__three": UnlistedReason.SERVER_BUDGET}
        assert found.find("a__three") is TOOLS[2]

    def test_consolidated(self):
        """Tools over a server's budget become one tool behind the others."""
        found = shows(per_server_budget=1, budget_order=Order.BACKEND, consolidate_excess=True)
        assert list(found.tools) == ["a__one", "a__more_tools", "b__four", "b__more_tools"]
        assert found.tools["a__more_tools"] == More("a", tuple(TOOLS[1:3]))
        assert set(why(found).values()) == {UnlistedReason.CONSOLIDATED}

    def test_in_all(self):
        """The budget of the view counts all that is listed, the gateway's own tools too, which do not fall to it."""
        found = shows(tool_budget=4, budget_order=Order.BACKEND)
        assert list(found.tools) == [*A, "b__four"]
        assert why(found) == {"b__five": UnlistedReason.TOOL_BUDGET}
        assert list(shows(tool_budget=4, beside=3, budget_order=Order.BACKEND).tools) == ["a__one"]
        assert list(shows(tool_budget=4, beside=6).tools) == []

    def test_fallen_consolidation(self):
        """Where the tool falls that calls others, they have fallen with it."""
        found = shows(tool_budget=1, per_server_budget=1, budget_order=Order.BACKEND, consolidate_excess=True)
        assert list(found.tools) == ["a__one"]
        assert set(why(found)) == {*A[1:], *B}
        assert set(why(found).values()) == {UnlistedReason.TOOL_BUDGET}

    def test_usage(self):
        """The pinned tools come first, then those that were called most, and they are listed in the servers' order."""
        usage = {"a__three": 5, "b__five": 9, "a__two": 1}
        found = shows(tool_budget=3, usage=usage, pinned=("b::four",))
        assert list(found.tools) == ["a__three", *B]
        assert list(shows(tool_budget=2, usage=usage).tools) == ["a__three", "b__five"]

    def test_pinned_by_server(self):
        """A server names tools of its own that come first."""
        found = shows(tool_budget=1, specs=[spec("a"), spec("b", pinned=("five", "strange"))])
        assert list(found.tools) == ["b__five"]

    def test_by_name(self):
        """The alphabet decides in the order of names, for the list too."""
        found = shows(tool_budget=3, budget_order=Order.NAME, per_server_budget=2, consolidate_excess=True)
        assert list(found.tools) == ["a__more_tools", "a__one", "a__three"]

    def test_more_before_unused(self):
        """Where use decides, the tool that calls others goes before all that are not pinned."""
        found = shows(
            tool_budget=2,
            per_server_budget=1,
            consolidate_excess=True,
            pinned=("a__one",),
            usage={"b__four": 3},
        )
        assert list(found.tools) == ["a__one", "a__more_tools"]

    @pytest.mark.parametrize("expose", list(Expose))
    def test_not_listed(self, expose):
        """The tool that calls others is called by its name wherever it is not listed."""
        settings = {"per_server_budget": 1, "consolidate_excess": True, "budget_order": Order.BACKEND}
        found = shows(expose, tool_budget=1, **settings)
        assert "b__more_tools" not in found.tools
        assert found.find("b__more_tools") == shows(**settings).tools["b__more_tools"]
        assert shows(expose).find("b__more_tools") is None

    def test_name_taken(self):
        """A server's own tool called more_tools keeps its name."""
        tools = items("a", "more_tools", "x", "y")
        found = shows(tools=tools, per_server_budget=1, budget_order=Order.BACKEND, consolidate_excess=True)
        assert found.tools["a__more_tools"] is tools[0]
        (other,) = set(found.tools) - {"a__more_tools"}
        assert other.startswith("a__more_tools_of_the_gateway_")

    def test_shared_prefix(self):
        """Servers that share a prefix each have a tool for their others."""
        found = shows(
            specs=[spec("a", prefix=""), spec("b", prefix="")],
            per_server_budget=1,
            consolidate_excess=True,
            budget_order=Order.BACKEND,
        )
        assert list(found.tools) == ["one", "a__more_tools", "four", "b__more_tools"]

    @given(
        st.lists(ids, max_size=12, unique=True),
        st.dictionaries(st.sampled_from([each.id for each in TOOLS]), st.integers(0, 9)),
        st.builds(
            ViewSettings,
            expose=st.sampled_from(Expose),
            tool_budget=st.integers(0, 6),
            per_server_budget=st.integers(0, 3),
            consolidate_excess=st.booleans(),
            budget_order=st.sampled_from(Order),
            pinned=st.lists(st.sampled_from([*A, *B]), max_size=3).map(tuple),
        ),
    )
    def test_nothing_is_lost(self, pairs, usage, settings):
        """Every tool is listed, cut with a reason, or of a view that lists none, and can be found, with any budgets."""
        tools = [*TOOLS, *of_ids(pairs)]
        exposure = Exposure.of(settings, ())
        found = listing(tools, exposure, usage)
        assert found == evolve(listing(tools, exposure, usage), names=found.names)
        assert list(found.names.items.values()) == list({(e.server, e.own): e for e in tools}.values()) or (
            len({(e.server, e.own) for e in tools}) < len(tools)
        )
        if settings.tool_budget:
            assert len(found.tools) <= settings.tool_budget
        for name, item in found.names.items.items():
            assert found.names.find(name) is item
            if settings.expose is Expose.FULL:
                assert (name in found.tools) + (name in why(found)) == 1


class HybridTests:
    """A few tools beside those of the gateway."""

    def test_used_and_pinned(self):
        """Called and pinned tools are listed in the order of the servers; no others are."""
        found = shows(Expose.HYBRID, usage={"b__five": 1, "a__two": 3}, pinned=("a__three",))
        assert list(found.tools) == ["a__two", "a__three", "b__five"]
        assert found.cut == ()

    def test_count(self):
        """A hybrid view lists at most twenty tools, those that were called most."""
        tools = items("a", *(f"t{n:02}" for n in range(30)))
        found = shows(Expose.HYBRID, tools=tools, usage={each.id: n + 1 for n, each in enumerate(tools)})
        assert list(found.tools) == [f"a__t{n}" for n in range(30 - HYBRID_TOOLS, 30)]

    def test_tokens(self):
        """The list costs no more than 2 000 tokens; a tool that is too large does not keep smaller ones out."""
        tools = items(
            "a",
            {"name": "large", "description": "x" * 9000},
            {"name": "half", "description": "x" * 5000},
            {"name": "other_half", "description": "x" * 5000},
            "small",
        )
        found = shows(Expose.HYBRID, tools=tools, pinned=("a__large",), usage={each.id: 1 for each in tools})
        assert list(found.tools) == ["a__half", "a__small"]
        assert why(found) == {"a__large": UnlistedReason.TOOL_BUDGET}
        costs = (estimate(definition(name, each, Exposure())) for name, each in found.tools.items())
        assert sum(costs) <= HYBRID_TOKENS

    def test_budget(self):
        """The budget of the view holds for it, too."""
        usage = {"b__five": 1, "a__two": 3}
        assert list(shows(Expose.HYBRID, usage=usage, tool_budget=7, beside=6).tools) == ["a__two"]


class DefinitionTests:
    """The definition of one entry."""

    def test_names_and_server(self):
        """A tool has its name on the view, its server in its description, and all else as its server wrote it."""
        entry = (
            b'{"tools":[{"_meta":{"big": 12345678901234567890},"name":"x","title":"T","inputSchema": {"a" :1.0},'
            b'"annotations":{"readOnlyHint":true},"description":"Says \\u00e4. Much more.","icons":[ ],"new":null}]}'
        )
        (item,) = items("a", json.loads(entry)["tools"][0])
        item = evolve(item, raw=jsonrpc.decode(entry[entry.index(b"[") + 1 : -2]))
        assert definition("n", item, Exposure()) == (
            b'{"_meta":{"big": 12345678901234567890},"name":"n","title":"T","inputSchema":{"a" :1.0},'
            b'"annotations":{"readOnlyHint":true},"description":"[a] Says \xc3\xa4. Much more.","icons":[ ],"new":null}'
        )

    def test_compressed(self):
        """Where lists are to be short, a description is a sentence and a schema has no examples."""
        entry = {"name": "x", "description": "One. Two.", "inputSchema": {"examples": [1], "type": "object"}}
        (item,) = items("a", entry)
        said = json.loads(definition("x", item, Exposure(settings=ViewSettings(compress_schemas=True))))
        assert said == {"name": "x", "description": "[a] One.", "inputSchema": {"type": "object"}}

    def test_bare(self):
        """A tool of which nothing is said has its server at least, and a prompt is treated alike."""
        for kind in (ListKind.TOOL, ListKind.PROMPT):
            (item,) = items("a", "x", kind=kind)
            said = json.loads(definition("x", item, Exposure(settings=ViewSettings(compress_schemas=True))))
            assert said == {"name": "x", "description": "[a]"}

    def test_more(self):
        """A tool that calls others names at most ten of them, and has all as the values of its argument."""
        more = More("a", items("a", *(f"t{n}" for n in range(12))))
        said = json.loads(definition("a__more_tools", more, Exposure()))
        names = ", ".join(f"t{n}" for n in range(10))
        assert said["description"] == f"[a] Access additional tools: {names} … and 2 more"
        assert said["inputSchema"]["properties"]["tool_name"]["enum"] == [f"t{n}" for n in range(12)]
        assert said["inputSchema"]["required"] == ["tool_name"]
        few = json.loads(definition("m", More("a", items("a", "x", "y")), Exposure()))
        assert few["description"] == "[a] Access additional tools: x, y"


class MoreTests:
    """The tool that calls others."""

    more = More("a", items("a", "x", "y"))

    def test_choose(self):
        """The tool of that name is called with the arguments beside it, or with none."""
        raw = jsonrpc.raw({"tool_name": "y", "arguments": {"b": 1}})
        item, arguments = self.more.choose(jsonrpc.read_object(raw, ""))
        assert (item.own, bytes(arguments)) == ("y", b'{"b":1}')
        item, arguments = self.more.choose({"tool_name": jsonrpc.raw("x")})
        assert (item.own, bytes(arguments)) == ("x", b"{}")

    @pytest.mark.parametrize("name", ["z", "", "x" * 129, 3, None, "a__x"])
    def test_wrong(self, name):
        """Any other name is refused, with those that there are."""
        with pytest.raises(InvalidParams) as refused:
            self.more.choose({"tool_name": jsonrpc.raw(name)} if name is not None else {})
        assert refused.value.hint == "tool_name is one of: x, y"

    def test_names_that_it_cannot_say(self):
        """A tool with a long name, or two underscores in it, is not among them, and said to be cut."""
        tools = items("a", "x", "y__z", "l" * 129, "w")
        found = shows(tools=tools, per_server_budget=1, consolidate_excess=True, budget_order=Order.BACKEND)
        more = found.tools["a__more_tools"]
        assert [each.own for each in more.items] == ["w"]
        assert [each.why for each in found.cut] == [
            UnlistedReason.SERVER_BUDGET,
            UnlistedReason.SERVER_BUDGET,
            UnlistedReason.CONSOLIDATED,
        ]
