"""The scope of a server."""

from __future__ import annotations

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.config.model import ServerSpec, Share
from mcpgateway.config.reach_settings import Container, Daemon, Remote, Rest, Transport
from mcpgateway.policy.sharing import (
    STATEFUL,
    launch_digest,
    may_move,
    needs_place,
    scope_of,
    scope_value,
    variant_of,
)


def server(name: str, *command: str, share: Share = Share.AUTO) -> ServerSpec:
    """A server of that name and command."""
    return ServerSpec(name, command or ("true",), {}, "/", share=share, title=name)


class ScopeTests:
    """The scope `auto`, and the settings that override it."""

    @pytest.mark.parametrize(
        ("name", "command"),
        [
            ("sequential-thinking", ("x",)),
            ("serena", ("x",)),
            ("thinker", ("npx", "-y", "@modelcontextprotocol/server-sequential-thinking")),
            ("thinker", ("npx", "-y", "@modelcontextprotocol/server-sequential-thinking@2026.8.31")),
            ("web", ("npx", "@playwright/mcp@latest")),
            ("web", ("npx", "chrome-devtools-mcp@1.2")),
            ("web", ("uvx", "serena-mcp-server")),
            ("web", ("node", "/opt/lib/mcp-server-puppeteer")),
        ],
    )
    def test_known_stateful(self, name: str, command: tuple[str, ...]) -> None:
        """Servers known to keep state per client get a child per session, by name or package."""
        assert scope_of(server(name, *command)) is Share.SESSION

    @pytest.mark.parametrize(
        "command",
        [("npx", "@modelcontextprotocol/server-memory"), ("git", "clone"), ("x", "@playwright/test")],
    )
    def test_all_others(self, command: tuple[str, ...]) -> None:
        """Every other server is shared."""
        assert scope_of(server("s", *command)) is Share.GLOBAL

    def test_said_is_said(self) -> None:
        """The entry's setting outranks the known traits."""
        assert scope_of(server("serena", share=Share.GLOBAL)) is Share.GLOBAL
        assert scope_of(server("memory", share=Share.SESSION)) is Share.SESSION

    @pytest.mark.parametrize("name", STATEFUL)
    def test_by_title(self, name: str) -> None:
        """A server is known by its name as it was written too, whatever its URL calls it."""
        assert scope_of(evolve(server("other"), title=name)) is Share.SESSION
        assert scope_of(evolve(server(name), title="")) is Share.SESSION

    @pytest.mark.parametrize("share", list(Share))
    def test_that_asks(self, share: Share) -> None:
        """A server with questions for its client has a child per session, whatever else its entry says."""
        asking = evolve(server("memory", share=share), interactive=True)
        assert scope_of(asking) is Share.SESSION
        silent = evolve(server("memory", share=share), interactive=False)
        assert scope_of(silent) is (Share.GLOBAL if share is Share.AUTO else share)


class MoveTests:
    """Findings on a server that may change its scope."""

    @pytest.mark.parametrize(
        ("name", "share", "interactive", "moves"),
        [
            ("memory", Share.AUTO, None, True),
            ("memory", Share.AUTO, False, False),
            ("memory", Share.AUTO, True, False),
            ("memory", Share.GLOBAL, None, False),
            ("memory", Share.SESSION, None, False),
            ("serena", Share.AUTO, None, False),
        ],
    )
    def test_table(self, name: str, share: Share, *, interactive: bool | None, moves: bool) -> None:
        """The scope may change only where the entry leaves it open, and nothing is known of the server."""
        assert may_move(evolve(server(name, share=share), interactive=interactive)) is moves

    @given(
        st.sampled_from(list(Share)),
        st.sampled_from([None, True, False]),
        st.sampled_from(["memory", "serena"]),
    )
    def test_what_may_move_is_shared(self, share: Share, interactive: bool | None, name: str) -> None:  # noqa: FBT001
        """A server that may move begins shared, so that there is something to move from."""
        spec = evolve(server(name, share=share), interactive=interactive)
        assert not may_move(spec) or scope_of(spec) is Share.GLOBAL


def placed(workspace: str, credential: str) -> ServerSpec:
    """A server as it is run for a workspace."""
    return ServerSpec("s", ("x",), {}, "/", workspace=workspace, credential=credential)


words = st.text("a/", max_size=2)
SCOPES = [each for each in Share if each is not Share.AUTO]


class ScopeValueTests:
    """The common value of the sessions that share a child."""

    @given(st.sampled_from(SCOPES), words, words, words, words)
    def test_apart(self, scope: Share, one: str, its: str, two: str, others: str) -> None:
        """Two that have the same have the same of what their scope is about."""
        first, second = placed(one, its), placed(two, others)
        is_same = scope_value(scope, first) == scope_value(scope, second)
        if scope is Share.GLOBAL:
            assert is_same
        elif scope is Share.CREDENTIAL:
            assert is_same is (its == others)
        elif one or two:
            assert is_same is ((one, its) == (two, others))
        else:
            assert is_same  # what the entry says, for whoever works nowhere

    @pytest.mark.parametrize("takes_values", [True, False])
    @pytest.mark.parametrize("scope", SCOPES)
    def test_who_has_to_be_looked_for(self, scope: Share, *, takes_values: bool) -> None:
        """The workspace of a client is needed where the scope or the server's values depend on it."""
        wanted = {Share.GLOBAL: False, Share.WORKSPACE: True, Share.ISOLATED: True}.get(scope, takes_values)
        assert needs_place(scope, takes_values=takes_values) is wanted


# Of so few letters that the same words come up again, cut at other places.
commands = st.lists(st.text("a '", max_size=2), min_size=1, max_size=2).map(tuple)
variables = st.dictionaries(st.text("AB", max_size=1), st.text(max_size=4), max_size=2)


class DigestTests:
    """The digest of a server's launch."""

    @given(commands, commands, variables, variables, st.sampled_from("/x"), st.sampled_from("/x"))
    def test_tells_launches_apart(
        self,
        one: tuple[str, ...],
        two: tuple[str, ...],
        env: dict[str, str],
        more: dict[str, str],
        here: str,
        there: str,
    ) -> None:
        """The digest of a launch changes with the command, the directory and the names of variables, and with nothing
        else.
        """
        first = ServerSpec("a", one, env, here)
        second = ServerSpec("b", two, more, there, share=Share.GLOBAL, timeout_s=7.0, title="c", source="d")
        is_same = (one, sorted(env), here) == (two, sorted(more), there)
        assert (launch_digest(first) == launch_digest(second)) is is_same

    def test_workspaces(self) -> None:
        """A finding in one workspace does not hold in another, where the values may be others."""
        found = {launch_digest(evolve(placed(each, "c"), share=Share.WORKSPACE)) for each in ("", "/a", "/b")}
        assert len(found) == 3
        everybody = {
            launch_digest(evolve(placed(each, "c"), share=Share.GLOBAL)) for each in ("", "/a", "/b")
        }
        assert len(everybody) == 1

    def test_addresses(self) -> None:
        """Servers that are no programs are told apart by where they are, and not by what may be secret of it."""
        reaches = [
            None,
            Remote("https://a/x"),
            Remote("https://b/x"),
            Remote("https://a/y"),
            Daemon(80, "http://a/x"),
            Container("a"),
            Rest("http://c"),
        ]
        digests = [launch_digest(ServerSpec("s", (), {}, "/", reach=each)) for each in reaches]
        assert len(set(digests)) == len(reaches)
        for secret in ("https://a/x?token=1", "https://user:word@a/x"):
            assert launch_digest(ServerSpec("s", (), {}, "/", reach=Remote(secret))) == digests[1]

    def test_no_secret(self) -> None:
        """Values of the environment have no part in it, so nobody can guess them by it."""
        told = [
            launch_digest(ServerSpec("a", ("x",), {"TOKEN": token, "TERM": "1"}, "/"))
            for token in ("one", "two")
        ]
        assert told[0] == told[1]
        assert len(told[0]) == 64

    def test_variants(self) -> None:
        """Values tell apart what runs in workspaces; without one they may change, and it is the same server."""
        plain = evolve(server("a"), credential="x")
        assert variant_of(plain) == variant_of(evolve(plain, credential="y"))
        placed = evolve(plain, workspace="/w")
        assert len({variant_of(each) for each in (plain, placed, evolve(placed, credential="y"))}) == 3

    def test_places(self) -> None:
        """Servers elsewhere are told apart by where they are; the query of a URL may be a secret and is left out."""
        places = (
            None,
            Remote("http://a/mcp"),
            Remote("http://b/mcp"),
            Remote("http://a/mcp", Transport.SSE),
            Daemon(3000, "http://localhost:3000/mcp"),
            Container("image"),
            Rest("http://a/mcp"),
        )
        digests = {launch_digest(ServerSpec("a", (), {}, "/", reach=each)) for each in places}
        assert len(digests) == len(places)
        keyed = Remote("http://a/mcp?key=secret", headers={"Authorization": "secret"})
        assert launch_digest(ServerSpec("a", (), {}, "/", reach=keyed)) in digests
