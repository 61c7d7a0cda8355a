"""Differences of two configurations."""

import pytest
from attrs import evolve

from mcpgateway.config.diff import Change, ChangedServer, at_start, compare, settings_changed
from mcpgateway.config.gateway_settings import GatewaySettings, Limits
from mcpgateway.config.model import Lazy, Profile, ServerSpec, Share
from mcpgateway.config.settings import Settings
from mcpgateway.config.surface import Level, ViewSettings
from mcpgateway.protocol.versions import Era


def spec(name, **more):
    """A server; each call makes an object of its own."""
    return ServerSpec(name, ("run", "x"), {"A": "b"}, "/", **more)


def of(*servers, **more):
    """A configuration."""
    return Settings(GatewaySettings(), servers, **more)


def changed_of(before, after):
    """Return the change of one server."""
    (changed,) = compare(of(before), of(after)).changed
    return changed


class CompareTests:
    """Which servers are the same."""

    def test_nothing(self):
        """Two equal sets make no change, and the servers stay the objects that they are."""
        before = (spec("a"), spec("b"))
        change = compare(of(*before), of(spec("b"), spec("a")))
        assert not change.has_servers
        assert change.settings.servers[0] is before[1]
        assert change.settings.servers[1] is before[0]

    def test_added_and_removed(self):
        """Servers are known by their names."""
        before, after = (spec("a"), spec("b")), (spec("b"), spec("c"))
        change = compare(of(*before), of(*after))
        assert change == Change(of(before[1], after[1]), added=(after[1],), removed=(before[0],))
        assert change.settings.servers[0] is before[1]
        assert (change.former, change.latter) == ((before[0],), (after[1],))

    @pytest.mark.parametrize(
        ("fields", "restarts", "regroups"),
        [
            ({"command": ("other",)}, True, False),
            ({"env": {"A": "c"}}, True, False),
            ({"cwd": "/tmp"}, True, False),
            ({"share": Share.SESSION}, True, True),
            ({"interactive": True}, True, True),
            ({"protocol": Era.MODERN}, True, True),
            ({"enabled": False}, True, True),
            ({"credential": "other", "env": {"A": "c"}}, True, False),
            ({"timeout_s": 3.0}, False, False),
            ({"lazy": Lazy(idle_s=3.0)}, False, False),
            ({"source": "elsewhere", "title": "T"}, False, False),
            ({"prefix": ""}, False, False),
            ({"expose_tools": False}, False, False),
            ({"pinned": ("x",)}, False, False),
            ({"tools_off": ("x",)}, False, False),
            ({"shield": Level.OFF, "shield_tools": {"x": Level.LEAN}}, False, False),
        ],
    )
    def test_changed(self, fields, restarts, regroups):
        """A setting of the start of a child makes another child; one that counts later does not."""
        before = spec("a")
        after = evolve(before, **fields)
        changed = changed_of(before, after)
        assert (changed.restarts, changed.regroups) == (restarts, regroups)
        assert changed.is_slight is not restarts

    @pytest.mark.parametrize(
        ("fields", "is_quiet"),
        [
            ({"timeout_s": 3.0}, True),
            ({"lazy": Lazy(idle_s=3.0), "source": "elsewhere"}, True),
            ({"shield": Level.OFF, "shield_tools": {"x": Level.LEAN}}, True),
            ({"timeout_s": 3.0, "title": "T"}, False),
            ({"prefix": ""}, False),
            ({"command": ("other",)}, False),
        ],
    )
    def test_quiet(self, fields, is_quiet):
        """A change is quiet where no list, no limit and no route depends on it, and no server comes or goes."""
        before = spec("a")
        change = compare(of(before, spec("b")), of(evolve(before, **fields), spec("b")))
        assert (change.is_quiet, change.changed[0].is_quiet) == (is_quiet, is_quiet)
        assert not compare(of(before), of(evolve(before, **fields), spec("b"))).is_quiet

    def test_other_credentials(self):
        """Clients with a scope by credential are assigned anew where the entry has other values."""
        before = evolve(spec("a"), share=Share.CREDENTIAL, credential="one")
        assert changed_of(before, evolve(before, credential="other")).regroups

    def test_of_a_workspace(self):
        """A slight change comes to a server as it is run for a workspace, which stays the workspace's."""
        before = spec("a")
        own = evolve(before, workspace="/w", env={"A": "w"})
        changed = ChangedServer(before, evolve(before, timeout_s=3.0, prefix="p"), is_slight=True)
        assert changed.of(own) == evolve(own, timeout_s=3.0, prefix="p")
        assert changed.of(before) is changed.after

    def test_not_slight(self):
        """A server that may hold values of a workspace is worked out anew for each, though no child is replaced."""
        before = spec("a")
        changed = changed_of(before, evolve(before, inject={"x": "${workspace}"}))
        assert not changed.restarts
        assert not changed.is_slight


class SettingsTests:
    """The gateway's own settings."""

    def test_names(self):
        """Changed settings are named, and among them those that count at a start only."""
        views = ViewSettings(tool_budget=1)
        after = evolve(
            GatewaySettings(), http_port=1, listen=("tcp:1",), limits=Limits(spawns=1), views=views
        )
        assert set(settings_changed(GatewaySettings(), after)) == {"http_port", "listen", "limits", "views"}
        assert set(at_start(GatewaySettings(), after)) == {"http_port", "listen"}

    def test_parts(self):
        """A change names the gateway's settings and the other parts that differ, and no part that does not."""
        before = of(spec("a"))
        views = evolve(before.gateway, views=ViewSettings(tool_budget=1))
        change = compare(before, of(spec("a"), profiles={"p": Profile("p")}))
        assert change.parts == {"profiles"}
        assert not change.has_servers
        change = compare(before, evolve(before, gateway=views, is_disabled=True))
        assert change.parts == {"views", "is_disabled"}
        assert change.concerns("limits", "views")
        assert not change.concerns("limits", "profiles")
