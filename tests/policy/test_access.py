"""The verdict on a caller."""

from __future__ import annotations

from itertools import product

import pytest

from mcpgateway.policy.access import (
    AccessPolicy,
    Deny,
    Pass,
    PresentedCredential,
    Reach,
    RequestFacts,
    RouteClass,
    is_among,
    judge,
    may_read,
    networks,
    spoken_for,
)

OPEN = AccessPolicy()


def facts(**changes: object) -> RequestFacts:
    """A plain local MCP request, with changes."""
    given = {
        "route": RouteClass.MCP,
        "reach": Reach.LOOPBACK,
        "safe_method": False,
        "host": b"localhost:9100",
    }
    return RequestFacts(**{**given, **changes})  # type: ignore[arg-type]  # the changes are of the right types


class NameTests:
    """DNS rebinding and cross-site requests."""

    @pytest.mark.parametrize(
        "host",
        [b"localhost", b"localhost:9100", b"LOCALHOST:1", b"127.0.0.1:80", b"[::1]:9100", b"[::1]", b"box:9"],
    )
    def test_our_names(self, host: bytes) -> None:
        """Loopback names on any port, and configured ones, are ours."""
        assert judge(facts(host=host), AccessPolicy(hosts=frozenset((b"box",)))) == Pass("local")

    @pytest.mark.parametrize(
        "host",
        [
            b"evil.example",
            b"localhost.evil.example",
            b"127.0.0.1.nip.io",
            b"localhost.",
            b"",
            b"localhost:x",
            b"[::1",
            b"[::1]x",
            b"127.0.0.2",
            b"0.0.0.0",
            b"localhost:80:80",
            b"user@localhost",
        ],
    )
    @pytest.mark.parametrize("route", list(RouteClass))
    def test_foreign_names(self, host: bytes, route: RouteClass) -> None:
        """Any other Host is refused on every route."""
        verdict = judge(facts(host=host, route=route, credential=PresentedCredential.ADMIN), OPEN)
        assert isinstance(verdict, Deny)
        assert verdict.status == 403

    @pytest.mark.parametrize(
        ("origin", "passes"),
        [
            (b"http://localhost:9100", True),
            (b"https://localhost:9100", False),
            (b"http://localhost:9101", False),
            (b"http://127.0.0.1:9100", False),
            (b"http://evil.example", False),
            (b"null", False),
            (b"", False),
            (b"vscode-webview://abc", True),
        ],
    )
    def test_origins(self, origin: bytes, *, passes: bool) -> None:
        """An Origin is exactly the one that was asked, or listed, or refused."""
        verdict = judge(facts(origin=origin), AccessPolicy(origins=frozenset((b"vscode-webview://abc",))))
        assert isinstance(verdict, Pass) is passes

    @pytest.mark.parametrize("site", [b"cross-site", b"same-site", b"nonsense"])
    def test_cross_site_writes(self, site: bytes) -> None:
        """A browser's request from elsewhere neither changes nor reads anything here, unless its origin is listed."""
        assert isinstance(judge(facts(fetch_site=site), OPEN), Deny)
        for route in set(RouteClass) - {RouteClass.PUBLIC, RouteClass.RETURN}:
            assert isinstance(judge(facts(fetch_site=site, safe_method=True, route=route), OPEN), Deny)
        listed = AccessPolicy(origins=frozenset((b"https://mine.example",)))
        asked = facts(fetch_site=site, origin=b"https://mine.example")
        assert isinstance(judge(asked, listed), Pass)
        assert isinstance(judge(facts(fetch_site=site, origin=b"https://other.example"), listed), Deny)
        assert isinstance(judge(facts(fetch_site=b"same-origin"), OPEN), Pass)


class CallerTests:
    """The credentials that each class of route needs."""

    @pytest.mark.parametrize(
        ("route", "reach", "credential", "status"),
        [
            (RouteClass.MCP, Reach.LOOPBACK, PresentedCredential.NONE, 0),
            (RouteClass.READ, Reach.LOOPBACK, PresentedCredential.NONE, 0),
            (RouteClass.END_SESSION, Reach.LOOPBACK, PresentedCredential.NONE, 0),
            (RouteClass.MUTATE, Reach.LOOPBACK, PresentedCredential.NONE, 401),
            (RouteClass.MUTATE, Reach.LOOPBACK, PresentedCredential.BEARER, 0),
            (RouteClass.MUTATE, Reach.SOCKET, PresentedCredential.NONE, 0),
            (RouteClass.ADMIN, Reach.LOOPBACK, PresentedCredential.BEARER, 401),
            (RouteClass.ADMIN, Reach.LOOPBACK, PresentedCredential.ADMIN, 0),
            (RouteClass.ADMIN, Reach.SOCKET, PresentedCredential.NONE, 0),
            (RouteClass.NOTHING, Reach.LOOPBACK, PresentedCredential.NONE, 0),
            (RouteClass.MCP, Reach.LOOPBACK, PresentedCredential.WRONG, 401),
            (RouteClass.MCP, Reach.REMOTE, PresentedCredential.BEARER, 403),
        ],
    )
    def test_classes(
        self, route: RouteClass, reach: Reach, credential: PresentedCredential, status: int
    ) -> None:
        """A class of routes has its rule."""
        verdict = judge(facts(route=route, reach=reach, credential=credential), OPEN)
        assert (verdict.status if isinstance(verdict, Deny) else 0) == status

    @pytest.mark.parametrize("route", [each for each in RouteClass if each is not RouteClass.PUBLIC])
    def test_remote(self, route: RouteClass) -> None:
        """A remote peer needs both the permission and a token, whatever it asks for."""
        allowed = AccessPolicy(allow_remote=True)
        for policy, credential in product(
            (OPEN, allowed), (PresentedCredential.NONE, PresentedCredential.WRONG)
        ):
            verdict = judge(facts(route=route, reach=Reach.REMOTE, credential=credential), policy)
            assert isinstance(verdict, Deny)
        admin = judge(facts(route=route, reach=Reach.REMOTE, credential=PresentedCredential.ADMIN), allowed)
        assert admin == Pass("remote")

    def test_whose_results(self) -> None:
        """The token reads what is kept for clients of this machine that have none; nobody else reads another's."""
        everybody = ("local", "token", "remote")
        read = {(reader, owner) for reader, owner in product(everybody, repeat=2) if may_read(reader, owner)}
        assert read == {(each, each) for each in everybody} | {("token", "local")}

    def test_bearer_required(self) -> None:
        """A local MCP call needs the token under bearer-required, too."""
        strict = AccessPolicy(bearer_required=True)
        assert isinstance(judge(facts(), strict), Deny)
        assert judge(facts(credential=PresentedCredential.BEARER), strict) == Pass("token")
        assert judge(facts(reach=Reach.SOCKET), strict) == Pass("local")

    def test_loopback_only(self) -> None:
        """A remote caller's token does not help under loopback-only."""
        policy = AccessPolicy(allow_remote=True, loopback_only=True)
        assert isinstance(
            judge(facts(reach=Reach.REMOTE, credential=PresentedCredential.ADMIN), policy), Deny
        )


class OpenTests:
    """The setting that lets programs on this machine change things without a token."""

    OPENED = AccessPolicy(open_loopback=True)

    @pytest.mark.parametrize("route", [RouteClass.MUTATE, RouteClass.ADMIN])
    def test_programs(self, route: RouteClass) -> None:
        """A program on loopback may; without the setting it may not."""
        assert judge(facts(route=route), self.OPENED) == Pass("local")
        assert isinstance(judge(facts(route=route), OPEN), Deny)

    @pytest.mark.parametrize(
        "changes",
        [
            {"origin": b"http://localhost:9100"},
            {"origin": b"null"},
            {"origin": b"https://evil.example"},
            {"fetch_site": b"same-origin"},
            {"fetch_site": b"none"},
            {"fetch_site": b"cross-site"},
            {"host": b"evil.example"},
            {"reach": Reach.OTHER_USER},
            {"reach": Reach.REMOTE},
            {"credential": PresentedCredential.WRONG},
        ],
    )
    @pytest.mark.parametrize("route", [RouteClass.MUTATE, RouteClass.ADMIN])
    def test_nobody_else(self, route: RouteClass, changes: dict[str, object]) -> None:
        """A request of a browser, of another user, from another machine or with a wrong token is refused."""
        policy = AccessPolicy(open_loopback=True, allow_remote=True)
        assert isinstance(judge(facts(route=route, **changes), policy), Deny)

    def test_bearer_required(self) -> None:
        """Where the token is needed even for reading, it is for this."""
        policy = AccessPolicy(open_loopback=True, bearer_required=True)
        assert isinstance(judge(facts(route=RouteClass.MUTATE), policy), Deny)

    def test_the_token_of_a_user(self) -> None:
        """A caller with the user's token is its principal, and no administrator."""
        found = judge(facts(route=RouteClass.MUTATE, credential=PresentedCredential.BEARER), self.OPENED)
        assert isinstance(found, Pass)
        assert (found.principal, found.is_admin) == ("token", False)


class AdministratorTests:
    """The requests of administrators, on any route."""

    @pytest.mark.parametrize("route", [RouteClass.MCP, RouteClass.READ, RouteClass.MUTATE])
    @pytest.mark.parametrize("reach", [Reach.SOCKET, Reach.LOOPBACK])
    @pytest.mark.parametrize(
        "credential", [PresentedCredential.NONE, PresentedCredential.BEARER, PresentedCredential.ADMIN]
    )
    def test_token_or_socket(self, route: RouteClass, reach: Reach, credential: PresentedCredential) -> None:
        """The admin token makes one, and so does the socket; the other token does not."""
        verdict = judge(facts(route=route, reach=reach, credential=credential), OPEN)
        if isinstance(verdict, Pass):
            assert verdict.is_admin is (credential is PresentedCredential.ADMIN or reach is Reach.SOCKET)


class SiteTests:
    """Requests that a browser says are from another site."""

    @pytest.mark.parametrize("route", list(RouteClass))
    def test_reads(self, route: RouteClass) -> None:
        """A page of another site reads nothing, except where a browser is redirected to, and public routes."""
        found = judge(
            facts(
                route=route, fetch_site=b"cross-site", safe_method=True, credential=PresentedCredential.ADMIN
            ),
            OPEN,
        )
        assert isinstance(found, Deny) is (route not in (RouteClass.PUBLIC, RouteClass.RETURN))


class PublicTests:
    """The routes for everybody."""

    @pytest.mark.parametrize("credential", list(PresentedCredential))
    def test_whatever_is_shown(self, credential: PresentedCredential) -> None:
        """A public route needs no token, and ignores a wrong one; only remote clients have to be admitted at all."""
        asked = facts(route=RouteClass.PUBLIC, reach=Reach.REMOTE, safe_method=True, credential=credential)
        assert isinstance(judge(asked, AccessPolicy(allow_remote=True)), Pass)
        assert isinstance(judge(asked, OPEN), Deny)


class AddressTests:
    """Addresses that are trusted."""

    @pytest.mark.parametrize(
        ("address", "is_there"),
        [
            ("10.0.0.7", True),
            ("::ffff:10.0.0.7", True),
            ("10.0.1.7", False),
            ("2001:db8::1", True),
            ("2001:db9::1", False),
            ("", False),
            ("10.0.0.7, 10.0.0.8", False),
            ("localhost", False),
        ],
    )
    def test_networks(self, address: str, *, is_there: bool) -> None:
        """An address is of a network or it is not, however it is written."""
        assert is_among(address, networks(("10.0.0.0/24", "2001:db8::/32"))) is is_there

    def test_nobody(self) -> None:
        """An address is trusted only where the settings name it."""
        assert not is_among("10.0.0.7", networks(()))

    def test_spoken_for(self) -> None:
        """The nearest of the addresses that proxies name counts, up to the length that can be kept."""
        assert spoken_for({b"x-forwarded-for": b"6.6.6.6, 7.7.7.7"}) == "7.7.7.7"
        assert spoken_for({b"forwarded": b"for=1.1.1.1"}) == "for=1.1.1.1"
        assert len(spoken_for({b"x-forwarded-for": b"x" * 1000})) == 64
        assert spoken_for({}) == ""


class DashboardTests:
    """Dashboards that only look, and those of administrators that have not confirmed for a while."""

    @pytest.mark.parametrize(
        ("route", "allowed"),
        [
            (RouteClass.READ, True),
            (RouteClass.WATCH, True),
            (RouteClass.LOOK, True),
            (RouteClass.MCP, True),
            (RouteClass.USE, False),
            (RouteClass.MUTATE, False),
            (RouteClass.ADMIN, False),
        ],
    )
    def test_looking(self, route: RouteClass, allowed: bool) -> None:  # noqa: FBT001 - FBT001 - a parameter
        """A dashboard that looks reads, and changes nothing."""
        asked = facts(route=route, credential=PresentedCredential.LOOK, safe_method=True)
        assert isinstance(judge(asked, OPEN), Pass) is allowed

    @pytest.mark.parametrize("policy", [AccessPolicy(bearer_required=True), AccessPolicy(allow_remote=True)])
    def test_looking_calls_no_tool(self, policy: AccessPolicy) -> None:
        """Where clients need a token, that of a dashboard that looks is none for servers."""
        reach = Reach.REMOTE if policy.allow_remote else Reach.LOOPBACK
        asked = facts(route=RouteClass.MCP, reach=reach, credential=PresentedCredential.LOOK)
        assert isinstance(judge(asked, policy), Deny)
        asked = facts(
            route=RouteClass.READ, reach=reach, credential=PresentedCredential.LOOK, safe_method=True
        )
        assert isinstance(judge(asked, policy), Pass)

    @pytest.mark.parametrize(
        ("route", "safe", "verdict"),
        [
            (RouteClass.ADMIN, True, (True, True)),
            (RouteClass.ADMIN, False, (False, False)),
            (RouteClass.MUTATE, False, (True, False)),
            (RouteClass.READ, True, (True, True)),
        ],
    )
    def test_unconfirmed(self, route: RouteClass, safe: bool, verdict: tuple[bool, bool]) -> None:  # noqa: FBT001 - FBT001 - a parameter
        """An administrator's dashboard that was not confirmed reads as one, and changes as a user does."""
        asked = facts(route=route, credential=PresentedCredential.UNCONFIRMED, safe_method=safe)
        found = judge(asked, OPEN)
        assert (isinstance(found, Pass), getattr(found, "is_admin", False)) == verdict
