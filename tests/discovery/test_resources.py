"""The server of a resource."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.discovery.records import ListKind
from mcpgateway.discovery.resources import Owned, Pattern, ResourceOwners, Roof, Routes, prefixed, unprefixed
from tests.support.listed import items

uris = st.from_regex(r"[a-z]{1,5}:(//)?[a-z/?#{}%:]{0,10}", fullmatch=True) | st.text(max_size=8)
names = st.text(min_size=1, max_size=8)


def resources(server, *listed):
    """Resources of a server."""
    return items(server, *listed, kind=ListKind.RESOURCE)


def templates(server, *listed):
    """Templates of a server."""
    return items(server, *listed, kind=ListKind.TEMPLATE)


class PrefixTests:
    """URIs with the name of their server."""

    @given(names, uris)
    def test_inverse(self, server, uri):
        """The server and its URI are read again from a prefixed URI, whatever they are."""
        assert unprefixed(prefixed(server, uri)) == Owned(server, uri)

    @pytest.mark.parametrize(
        "uri",
        ["", "a://b", "mcpgateway:", "mcpgateway:/x", "mcpgateway://a/b", "mcpgateway:a", "mcpgateway:%61/x"],
    )
    def test_others(self, uri):
        """A URI without a prefix names no server."""
        assert unprefixed(uri) is None


class RoofTests:
    """The URIs of listed resources."""

    def test_kept(self):
        """A URI is kept as it is; where two servers have it, the later one's says whose it is."""
        found = [*resources("a", "x://1", "x://2"), *resources("b", "x://2", "x://3")]
        roof = Roof.over(found)
        assert list(roof.items) == ["x://1", "x://2", "mcpgateway:b/x://2", "x://3"]
        assert list(roof.items.values()) == found
        assert roof.shown("a", "x://2") == "x://2"
        assert roof.shown("b", "x://2") == "mcpgateway:b/x://2"
        assert roof.shown("b", "x://unlisted") == "x://unlisted"

    def test_pretended(self):
        """A server that lists a URI as if it were another's has it as its own."""
        found = [*resources("a", "x://1"), *resources("evil", "mcpgateway:b/x://1"), *resources("b", "x://1")]
        routes = Routes.over(found)
        assert routes.owners("mcpgateway:b/x://1") == (Owned("b", "x://1"),)
        assert routes.owners("mcpgateway:evil/mcpgateway:b/x://1") == (Owned("evil", "mcpgateway:b/x://1"),)

    @given(st.lists(st.tuples(names, uris.filter(bool)), max_size=8, unique=True))
    def test_found_again(self, pairs):
        """Every listed URI leads to the server that lists it, and to the URI that it knows."""
        found = [each for server, uri in pairs for each in resources(server, uri)]
        routes = Routes.over(found)
        assert set(routes.resources.items.values()) == set(found)
        for uri, item in routes.resources.items.items():
            assert routes.owners(uri) == (Owned(item.server, item.own),)
            assert routes.resources.shown(item.server, item.own) == uri


class HoldersTests:
    """The owners of the URIs that were listed."""

    @pytest.fixture
    def holders(self):
        """The holders after the server a has listed a resource."""
        found = ResourceOwners()
        found.keep(ListKind.RESOURCE, "x://1", "a")
        found.keep(ListKind.TEMPLATE, "x://{y}", "a")
        found.keep(ListKind.RESOURCE, "x://1", "0a")
        return found

    def test_kept(self, holders):
        """A server in front that lists the same URI has its own with its name."""
        both = [
            each for name in ("0a", "a") for each in (*resources(name, "x://1"), *templates(name, "x://{y}"))
        ]
        routes = Routes.over(both, holders, {"0a", "a"})
        assert list(routes.resources.items) == ["mcpgateway:0a/x://1", "x://1"]
        assert list(routes.templates.items) == ["mcpgateway:0a/x://{y}", "x://{y}"]
        assert routes.owners("x://1", {"0a", "a"}) == (Owned("a", "x://1"),)

    def test_not_listed(self, holders):
        """A resource stays its server's while the server does not list it."""
        routes = Routes.over(resources("0a", "x://1"), holders, {"0a", "a"})
        assert list(routes.resources.items) == ["mcpgateway:0a/x://1"]
        assert routes.owners("x://1", {"0a", "a"}) == (Owned("a", "x://1"),)

    def test_gone(self, holders):
        """A resource may become another server's once its server is gone."""
        assert list(Roof.over(resources("0a", "x://1"), holders, {"0a"}).items) == ["x://1"]
        holders.retain({"0a"})
        assert list(Roof.over(resources("0a", "x://1"), holders, {"0a", "a"}).items) == ["x://1"]

    def test_bounded(self, holders, monkeypatch):
        """The oldest is forgotten where there are too many."""
        monkeypatch.setattr("mcpgateway.discovery.resources.HOLDERS_LIMIT", 2)
        holders.keep(ListKind.RESOURCE, "x://2", "a")
        assert holders.of(ListKind.RESOURCE, "x://1", {"a"}) is None
        assert holders.of(ListKind.RESOURCE, "x://2", {"a"}) == "a"


class OwnersTests:
    """The servers that are asked for a URI."""

    routes = Routes.over(
        [
            *resources("plain", "file:///etc/hosts", "odd"),
            *templates("wide", "file:///{+path}"),
            *templates("narrow", "file:///etc/{name}"),
            *templates("twin", "file:///etc/{other}"),
            *templates("weather", "weather://{city}/now{?units}"),
        ]
    )

    def test_listed(self):
        """A listed URI is asked of the servers that list it, and of no other."""
        assert self.routes.owners("file:///etc/hosts") == (Owned("plain", "file:///etc/hosts"),)

    def test_prefixed(self):
        """A URI that says whose it is goes there, as the URI that is meant; also to a server that lists nothing."""
        assert self.routes.owners("mcpgateway:wide/file:///x") == (Owned("wide", "file:///x"),)
        assert self.routes.owners("mcpgateway:silent/file:///x") == ()
        assert self.routes.owners("mcpgateway:silent/file:///x", ["silent"]) == (
            Owned("silent", "file:///x"),
        )

    def test_templates(self):
        """The template with the most fixed characters goes first, then the order, then whoever has the scheme."""
        assert [each.server for each in self.routes.owners("file:///etc/passwd")] == [
            "narrow",
            "twin",
            "wide",
            "plain",
        ]
        assert [each.server for each in self.routes.owners("file:///etc/a/b")] == [
            "wide",
            "plain",
            "narrow",
            "twin",
        ]
        assert self.routes.owners("weather://rome/now?units=c") == (
            Owned("weather", "weather://rome/now?units=c"),
        )

    def test_scheme(self):
        """A URI that fits nothing goes to the servers that list something of its scheme, in any case of letters."""
        assert self.routes.owners("WEATHER://rome/later") == (Owned("weather", "WEATHER://rome/later"),)

    @pytest.mark.parametrize("uri", ["", "nobody://x", "no scheme", "weather" + "x" * 9000])
    def test_nobody(self, uri):
        """A URI without any likeness to a listed one has no server."""
        assert self.routes.owners(uri) == ()

    def test_templates_named(self):
        """Completions name a template as it is listed."""
        both = Routes.over([*templates("a", "x://{y}"), *templates("b", "x://{y}")])
        assert both.template_owners("x://{y}") == (Owned("a", "x://{y}"),)
        assert both.template_owners("mcpgateway:b/x://{y}") == (Owned("b", "x://{y}"),)
        assert both.template_owners("mcpgateway:c/x://{y}") == both.template_owners("z://{y}") == ()


class PatternTests:
    """Which URIs fit a template."""

    @pytest.mark.parametrize(
        ("template", "fits", "others"),
        [
            ("x://{a}", ["x://1", "x://a@b c"], ["x://", "x://a/b", "y://a", "x://a?b"]),
            ("x://{a}/{b}", ["x://1/2"], ["x://1", "x://1/2/3", "x:///2"]),
            ("x://{+a}", ["x://1/2?3#4"], ["x://"]),
            ("x://{a*}", ["x://1/2"], ["x://"]),
            ("x://a{/b}", ["x://a", "x://a/b", "x://a/b/c"], ["x://ab", "x://a?b"]),
            ("x://a{?b,c}", ["x://a", "x://a?b=1&c=2"], ["x://a/b", "x://a#b", "x://a&b=1"]),
            ("x://a?z{&b}", ["x://a?z", "x://a?z&b=1"], ["x://a?zb"]),
            ("x://a{#b}", ["x://a", "x://a#b/c?"], ["x://ab"]),
            ("x://a{.b}", ["x://a", "x://a.json"], ["x://a/b"]),
            ("x://a{;b}", ["x://a", "x://a;b=1"], ["x://a/b"]),
            ("x://a", ["x://a"], ["x://", "x://ab"]),
            ("{+a}-{+b}-{+c}", ["1-2-3", "1--3-4"], ["1-2", "--"]),
            ("x://{a}{b}", ["x://12"], ["x://1", "x://"]),
            ("x://{a", [], ["x://{a", "x://1"]),
            ("", [], ["", "x"]),
            ("{a}" * 65, [], ["x" * 65]),
        ],
    )
    def test_fits(self, template, fits, others):
        """Expressions stand for what they may expand to, and for what clients write without escaping it."""
        pattern = Pattern.of(template)
        assert [each for each in (*fits, *others) if pattern.fits(each)] == fits

    @given(
        st.lists(st.sampled_from(["a", "/", "b?", "{x}", "{+y}"]), min_size=1, max_size=6),
        st.text("ab/?", min_size=1, max_size=5),
    )
    def test_expanded(self, parts, value):
        """An expansion of a template fits the template."""
        plain = value.replace("/", "").replace("?", "") or "z"
        uri = "".join({"{x}": plain, "{+y}": value}.get(each, each) for each in parts)
        assert Pattern.of("".join(parts)).fits(uri)

    @given(st.text(max_size=30), st.text(max_size=30))
    def test_anything(self, template, uri):
        """A template of any text is no error, and one without expressions stands for itself."""
        found = Pattern.of(template).fits(uri)
        if "{" not in template and "}" not in template and template:
            assert found == (template == uri)

    def test_effort(self):
        """A template that could take for ever by backtracking is compared at once."""
        assert not Pattern.of("{+a}x" * 31).fits("x" * 4000 + "y")
