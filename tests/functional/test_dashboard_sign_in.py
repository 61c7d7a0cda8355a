"""Users of the dashboard sign in at an authorization server: with real keys, over real sockets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.functional.test_access import NOTEBOOK, ask, bearer
from tests.support.gateway import Gateway, eventually, server
from tests.support.issuer import LiveIssuer

SIGN_INS, SESSIONS = "/api/v1/ui/sign-ins", "/api/v1/ui/sessions"
SECRET = "secret-of-the-client-71"


@pytest.fixture
def issuer() -> Iterator[LiveIssuer]:
    """An authorization server."""
    with LiveIssuer() as live:
        yield live


def configure(gateway: Gateway, oauth: dict[str, Any]) -> None:
    """Write the configuration of a gateway."""
    whole = json.loads(gateway.configured({"notes": server(NOTEBOOK)}))
    whole["settings"] = {"security": {"oauth": oauth}}
    gateway.config.write_text(json.dumps(whole))


@pytest.fixture
def gateway(tmp_path: Path, issuer: LiveIssuer) -> Iterator[Gateway]:
    """A gateway whose dashboard has a sign-in at the authorization server."""
    made = Gateway(tmp_path)
    made.home.mkdir(parents=True, exist_ok=True)
    (made.home / ".env").write_text(f"OF_CLIENT={SECRET}\n")
    client = {"client_id": "dashboard", "client_secret": "${OF_CLIENT}"}
    configure(
        made,
        {"issuer": issuer.url, "audience": ["https://mcp.example"], "scopes": ["mcp"], "dashboard": client},
    )
    with made:
        yield made


def asked(gateway: Gateway, method: str, path: str, body: Any = None, token: str = "") -> tuple[int, Any]:
    """The status and content of an answer."""
    host = f"localhost:{gateway.port}"
    status, _, found = ask(
        ("127.0.0.1", gateway.port), method, path, body, Host=host, **(bearer(token) if token else {})
    )
    return status, found


def begun(gateway: Gateway) -> dict[str, Any]:
    """A new sign-in."""
    status, found = asked(gateway, "GET", SIGN_INS)
    assert status == 200, found
    made: dict[str, Any] = found["items"][0]
    return made


def answer_of(issuer: LiveIssuer, sign_in: dict[str, Any]) -> dict[str, str]:
    """The query with which the authorization server sends the browser back."""
    back = urlsplit(issuer.allowed(dict(parse_qsl(urlsplit(sign_in["url"]).query))))
    assert back.path == "/ui/signed-in"
    return dict(parse_qsl(back.query))


def signed_in(gateway: Gateway, issuer: LiveIssuer) -> tuple[int, Any]:
    """What becomes of a sign-in."""
    return asked(gateway, "POST", SESSIONS, {"answer": answer_of(issuer, begun(gateway))})


class RightsTests:
    """The token of the user decides the rights."""

    @pytest.mark.parametrize(
        ("granting", "rights", "statuses"),
        [
            ({"scope": "openid mcpgateway:admin mcpgateway:look"}, "admin", (200, 200)),
            ({"scope": "mcpgateway:operate"}, "operate", (200, 401)),
            ({"scp": ["mcpgateway:look"], "scope": None}, "look", (401, 401)),
            ({"scope": "openid", "roles": ["mcpgateway:admin"]}, "admin", (200, 200)),
            ({"scope": "", "permissions": ["mcpgateway:operate"]}, "operate", (200, 401)),
        ],
    )
    def test_rights(
        self,
        gateway: Gateway,
        issuer: LiveIssuer,
        granting: dict[str, Any],
        rights: str,
        statuses: tuple[int, int],
    ) -> None:
        """A scope, a role or a permission is a right; the widest one counts."""
        issuer.granting = granting
        status, made = signed_in(gateway, issuer)
        assert (status, made["rights"], made["issuer"]) == (201, rights, issuer.url)
        found = [
            asked(gateway, "POST", "/api/v1/servers/notes/stop", token=made["token"])[0],
            asked(gateway, "GET", "/api/v1/tokens", token=made["token"])[0],
        ]
        assert tuple(found) == statuses
        assert issuer.forms[-1]["resource"] == "https://mcp.example"

    def test_none(self, gateway: Gateway, issuer: LiveIssuer) -> None:
        """A user without any of them is refused, and so is a token for another service."""
        status, found = signed_in(gateway, issuer)
        assert status == 403
        assert "mcpgateway:admin" in found["hint"]
        issuer.granting = {"scope": "mcpgateway:admin", "aud": "https://other.example"}
        status, found = signed_in(gateway, issuer)
        assert status == 403
        assert "audience" in found["hint"]


class AnswerTests:
    """Only the answer of the authorization server, to this sign-in, once."""

    def test_others(self, gateway: Gateway, issuer: LiveIssuer) -> None:
        """No code of another sign-in, no state of another hand, no second use, and no other authorization server."""
        issuer.granting = {"scope": "mcpgateway:admin"}
        first, second = begun(gateway), begun(gateway)
        good, other = answer_of(issuer, first), answer_of(issuer, second)
        forged = first["state"].rpartition(".")[0] + "." + "A" * 43
        longer = first["state"].replace(".", ".9", 1)
        for answer in (
            {**good, "code": other["code"]},
            {**good, "state": forged},
            {**good, "state": longer},
            {"code": good["code"]},
            {**good, "iss": "https://evil.example"},
            {},
        ):
            status, found = asked(gateway, "POST", SESSIONS, {"answer": answer})
            assert (status, found["error"] != "") == (403, True), answer
        for malformed in ("x", {"state": 1}, {"state": "x" * 9000}):
            assert asked(gateway, "POST", SESSIONS, {"answer": malformed})[0] == 400
        once = answer_of(issuer, begun(gateway))
        assert asked(gateway, "POST", SESSIONS, {"answer": once})[0] == 201
        assert asked(gateway, "POST", SESSIONS, {"answer": once})[0] == 403
        for _ in range(10):
            asked(gateway, "POST", SESSIONS, {"answer": {}})
        assert asked(gateway, "POST", SESSIONS, {"answer": answer_of(issuer, begun(gateway))})[0] == 429
        for secret in (SECRET, once["code"]):
            assert secret not in gateway.log

    def test_refused(self, gateway: Gateway, issuer: LiveIssuer) -> None:
        """A user who refuses is told so."""
        issuer.refusal = "access_denied"
        status, found = signed_in(gateway, issuer)
        assert status == 403
        assert "access_denied" in found["error"]

    def test_away(self, gateway: Gateway, issuer: LiveIssuer) -> None:
        """While the authorization server is away the list says so, and codes sign in as ever."""
        issuer.is_away = True
        status, found = asked(gateway, "GET", SIGN_INS)
        assert status == 200
        assert found["items"][0]["fault"]
        assert "url" not in found["items"][0]


class SettingsTests:
    """The settings decide."""

    def test_without_a_client(self, gateway: Gateway, issuer: LiveIssuer) -> None:
        """Sessions end when the gateway trusts the authorization server no more; then there is no sign-in."""
        issuer.granting = {"scope": "mcpgateway:admin"}
        _, made = signed_in(gateway, issuer)
        _, listed = asked(gateway, "GET", SESSIONS, token=made["token"])
        assert [(each["issuer"], bool(each["principal"])) for each in listed["items"]] == [(issuer.url, True)]
        configure(gateway, {"issuer": issuer.url, "audience": ["https://mcp.example"]})
        eventually(lambda: asked(gateway, "GET", SIGN_INS)[1] == {"items": []}, "there is no sign-in")
        assert asked(gateway, "GET", SESSIONS, token=made["token"])[0] == 401
        assert asked(gateway, "POST", SESSIONS, {"answer": {"state": "x", "code": "y"}})[0] == 403
