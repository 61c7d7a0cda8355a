"""The settings of views and of the shield."""

import pytest

from mcpgateway.config.file_format import read_native, read_servers
from mcpgateway.config.gateway_settings import GatewaySettings
from mcpgateway.config.problems import Problems
from mcpgateway.config.read import parse
from mcpgateway.config.resolve import ServerBuilder
from mcpgateway.config.surface import (
    PRESETS,
    Expose,
    FilterMode,
    Level,
    Order,
    ShieldLimits,
    ViewSettings,
    group_of,
    ways,
)
from tests.support.configurations import WORLD


def read(*texts):
    """The settings in some files, their servers by name, and what is wrong with them."""
    problems = Problems()
    documents = [parse(text, f"/g/{index}.yaml") for index, text in enumerate(texts)]
    native = read_native(documents, problems)
    entries = read_servers(native, problems)
    servers = {each.title: ServerBuilder(each.title, each, WORLD).server() for each in entries}
    return native.gateway, servers, [str(each) for each in problems]


def server(line):
    """A server with one more line."""
    _, servers, problems = read(f"servers:\n  x:\n    command: y\n    {line}\n")
    assert problems == []
    return servers["x"]


class ViewTests:
    """The entries that views list."""

    def test_nothing_said(self):
        """Without a word, ``/mcp`` lists a few tools, whole and of all servers."""
        gateway, servers, _ = read("servers: {x: {command: y}}")
        assert gateway.views == ViewSettings() == GatewaySettings().views
        assert gateway.views.expose is Expose.HYBRID
        found = servers["x"]
        assert (found.prefix, found.expose_tools, found.pinned, found.view) == (None, True, (), "")

    def test_all(self):
        """Every key is read, and has an effect."""
        gateway, _, problems = read(
            "gateway:\n  expose: full\n  compress_schemas: true\n  tool_filter:\n    mode: allowlist\n"
            "    include_servers: [a, b]\n    exclude_servers: c\n    tool_budget: 40\n    per_server_budget: 10\n"
            "    consolidate_excess: true\n    budget_order: name\n    pinned: [a__x]\n"
        )
        assert problems == []
        assert gateway.views == ViewSettings(
            Expose.FULL, True, FilterMode.ALLOW, ("a", "b"), ("c",), 40, 10, True, Order.NAME, ("a__x",)
        )

    def test_nothing_is_over(self):
        """A tool for what is over a budget that is not there is a warning with its place, and what to do."""
        lonely = "gateway:\n  tool_filter:\n    consolidate_excess: true\n"
        gateway, _, problems = read(lonely)
        assert gateway.views.consolidate_excess
        (said,) = problems
        assert said.startswith("/g/0.yaml, line 3: gateway.tool_filter.consolidate_excess: has no effect")
        assert "set gateway.tool_filter.per_server_budget, or leave this out" in said
        budget = "gateway: {tool_filter: {per_server_budget: 3}}"
        assert read(lonely, budget)[2] == read(budget, lonely)[2] == []
        assert read(lonely, "gateway: {tool_filter: {consolidate_excess: false}}")[2] == []
        assert read("gateway: {tool_filter: {consolidate_excess: false}}")[2] == []

    @pytest.mark.parametrize(
        ("word", "order"),
        [
            ("usage", Order.USAGE),
            ("backend", Order.BACKEND),
            ("config", Order.BACKEND),
            ("name", Order.NAME),
        ],
    )
    def test_orders(self, word, order):
        """All words for orders are read."""
        gateway, _, problems = read(f"gateway: {{tool_filter: {{budget_order: {word}}}}}")
        assert (gateway.views.budget_order, problems) == (order, [])

    @pytest.mark.parametrize("word", [each.value for each in Expose])
    def test_exposes(self, word):
        """All words for what ``/mcp`` lists are read."""
        assert read(f"gateway: {{expose: {word}}}")[0].views.expose.value == word

    @pytest.mark.parametrize("word", ['""', "allowlist", "blocklist"])
    def test_modes(self, word):
        """All words for the filter are read."""
        gateway, _, problems = read(f"gateway: {{tool_filter: {{mode: {word}}}}}")
        assert (gateway.views.mode.value, problems) == (word.strip('"'), [])

    def test_overlay(self):
        """A later file replaces single settings."""
        gateway, _, _ = read(
            "gateway: {expose: full, tool_filter: {tool_budget: 3, pinned: [a]}, shield: {keep: 1}}",
            "gateway: {tool_filter: {tool_budget: 4}, shield: {level: lean}}",
        )
        assert gateway.views == ViewSettings(Expose.FULL, tool_budget=4, pinned=("a",))
        assert gateway.shield == ShieldLimits(Level.LEAN, keep=1)

    @pytest.mark.parametrize(
        "line",
        [
            "expose: all",
            "compress_schemas: sometimes",
            "tool_filter: {mode: some}",
            "tool_filter: {tool_budget: -1}",
            "tool_filter: {budget_order: size}",
            "tool_filter: {pinned: {a: b}}",
        ],
    )
    def test_wrong(self, line):
        """A problem of the section is named with its place."""
        (problem,) = read(f"gateway:\n  {line}\n")[2]
        assert problem.startswith(f"/g/0.yaml, line 2: gateway.{line.partition(':')[0]}")

    @pytest.mark.parametrize(
        ("line", "prefix"), [("prefix: gh", "gh"), ('prefix: ""', ""), ("prefix:", None)]
    )
    def test_prefix(self, line, prefix):
        """A server has a prefix of its own, or none, or its name."""
        assert server(line).prefix == prefix

    def test_of_servers(self):
        """The view settings of a server are read."""
        assert server("expose_tools: false").expose_tools is False
        assert server("pinned: [a, b]").pinned == ("a", "b")
        assert server("pinned: a").pinned == ("a",)


class ShieldTests:
    """The part of an answer that is shown."""

    def test_all(self):
        """Every key is read, and has an effect."""
        gateway, _, problems = read(
            "gateway:\n  shield: {level: lean, array_items: 1, string_chars: 2, field_bytes: 3, total_bytes: 4096,\n"
            "    keep: 5, keep_bytes: 6, mask_secrets: true}\n"
        )
        assert problems == []
        assert gateway.shield == ShieldLimits(Level.LEAN, 1, 2, 3, 4096, 5, 6, True)

    @pytest.mark.parametrize(
        ("word", "level"),
        [
            ("off", Level.OFF),
            ('"off"', Level.OFF),
            ("false", Level.OFF),
            ("bounded", Level.BOUNDED),
            ("lean", Level.LEAN),
            ("full", Level.LEAN),
        ],
    )
    def test_levels(self, word, level):
        """All words for levels are read, wherever a level may stand."""
        gateway, _, problems = read(f"gateway: {{shield: {{level: {word}}}}}")
        assert (gateway.shield.level, problems) == (level, [])
        assert server(f"shield: {word}").shield is level
        found = server(f"shield: {{level: {word}, tools: {{a: {word}}}}}")
        assert (found.shield, found.shield_tools) == (level, {"a": level})

    def test_nothing_said(self):
        """A server that says nothing is treated as the gateway says, and so are the tools it does not name."""
        assert (server("shield:").shield, server("shield: {}").shield_tools) == (None, {})
        found = server("shield: {tools: {a: off}}")
        assert (found.shield, found.shield_tools) == (None, {"a": Level.OFF})

    @pytest.mark.parametrize(
        ("line", "place"),
        [
            ("shield: more", "servers.x.shield"),
            ("shield: true", "servers.x.shield"),
            ("shield: 3", "servers.x.shield"),
            ("shield: {level: more}", "servers.x.shield.level"),
            ("shield: {tools: {a: more}}", "servers.x.shield.tools.a"),
            ("shield: {tools: [a]}", "servers.x.shield.tools"),
            ("expose_tools: 3", "servers.x.expose_tools"),
            ("prefix: [a]", "servers.x.prefix"),
        ],
    )
    def test_wrong(self, line, place):
        """A problem of the shield is named with its place."""
        (problem,) = read(f"servers:\n  x:\n    command: y\n    {line}\n")[2]
        assert problem.startswith(f"/g/0.yaml, line 4: {place}: ")


class GroupTests:
    """The groups of servers."""

    def test_rules(self):
        """The first rule that matches the whole name of a server says its group; presets come after the rules."""
        gateway, _, problems = read(
            "gateway:\n  presets: [sap]\n  groups:\n"
            "    - {match: 'db-(?P<stage>test|live)(-(?P<part>.+))?', key: '{stage} {part}', title: Databases}\n"
            "    - {match: 'vsp-X.*', key: mine}\n"
        )
        assert problems == []
        names = (
            "db-live",
            "db-test-1",
            "my-db-live",
            "vsp-X99-100",
            "vsp-D10-100",
            "sap-gui-D10-100",
            "vsp-D10",
        )
        sap = ("D10 client 100", "SAP systems")
        assert [group_of(gateway.groups.rules, each) for each in names] == [
            ("live", "Databases"),
            ("test 1", "Databases"),
            ("", ""),
            ("mine", ""),
            sap,
            sap,
            ("D10", "SAP systems"),
        ]

    @pytest.mark.parametrize(
        ("rule", "says"),
        [
            ("{match: '(', key: x}", "unterminated subpattern"),
            ("{match: '(a+)+', key: x}", "too many ways"),
            ("{match: 'a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?', key: x}", "too many ways"),
            ("{match: '(a|a)*', key: x}", "too many ways"),
            ("{match: '(?=(a*)*)b', key: x}", "too many ways"),
            ("{match: '.*.*.*.*', key: x}", "too many ways"),
            ("{match: '" + "a" * 201 + "', key: x}", "at most 200 characters"),
            ("{match: '(?P<a>.)', key: '{b}'}", "the parts are {a}"),
            ("{match: a, key: '{0}'}", "none, since match has no named part"),
            ("{match: '(?P<a>.)', key: '{a.b}'}", "the parts are {a}"),
            ("{match: '(?P<a>.)', key: '{a:>99999999999}'}", "the parts are {a}"),
            ("{match: '(?P<a>.)', key: '{a'}", "the parts are {a}"),
            ("{match: a}", "gateway.groups[0].key"),
            ("{key: a}", "gateway.groups[0].match"),
            ("a", "a mapping"),
        ],
    )
    def test_slips(self, rule, says):
        """A rule that cannot be read, and one that would hold up the gateway, is a problem with its place."""
        gateway, _, problems = read(f"gateway:\n  groups:\n    - {rule}\n")
        assert gateway.groups.rules == ()
        (said,) = problems
        assert said.startswith("/g/0.yaml, line 3: gateway.groups[0]")
        assert says in said

    @pytest.mark.parametrize(
        ("pattern", "many"),
        [("abc", 1), ("a*", 65), ("a?b+", 128), ("(ab|c|de)", 3), ("(a?){3}", 8), ("(?P<x>a)(?(x)b?|c)", 2)],
    )
    def test_ways(self, pattern, many):
        """The bound of an expression is the number of its choices."""
        assert ways(pattern) == many

    def test_presets(self):
        """The expressions of the presets are such as users may write."""
        assert max(ways(rule.match.pattern) for rules in PRESETS.values() for rule in rules) == 2
