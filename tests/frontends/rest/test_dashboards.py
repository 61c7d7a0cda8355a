"""Dashboards sign in by one-time codes and tokens, and have the rights of the secret that they gave."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mcpgateway.manage.dashboards import (
    CODE_S,
    CONFIRMED_S,
    IDLE_S,
    LONGEST_S,
    SESSIONS_LIMIT,
    WRITTEN_S,
    DashboardFile,
)
from mcpgateway.manage.dashboards import Dashboards as Book
from mcpgateway.policy.login_throttle import ATTEMPTS
from tests.support.gateway_in_memory import Answer, MemoryGateway

ADMIN = {"Authorization": "Bearer admin-token"}
USER = {"Authorization": "Bearer bearer-token"}
CODES, SESSIONS = "/api/v1/ui/codes", "/api/v1/ui/sessions"


@pytest.fixture
def gateway(tmp_path: Path) -> MemoryGateway:
    """A gateway with a home."""
    made = MemoryGateway()
    made.home = str(tmp_path)
    return made


def ask(gateway: MemoryGateway, method: str, path: str, token: str = "", **body: Any) -> Answer:
    """The answer to a request with a token."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return gateway.client("x", **headers).ask(body or b"", method, path)


def code(gateway: MemoryGateway, rights: str = "admin") -> str:
    """A new code."""
    made: str = ask(gateway, "POST", CODES, "admin-token", rights=rights).json["code"]
    return made


def signed_in(gateway: MemoryGateway, secret: str) -> dict[str, Any]:
    """A new session of a dashboard."""
    found = ask(gateway, "POST", SESSIONS, secret=secret)
    assert found.status == 201, found.json
    made: dict[str, Any] = found.json
    return made


class SignInTests:
    """Codes and tokens become sessions."""

    def test_a_code(self, gateway: MemoryGateway) -> None:
        """A code is valid once; its session has its rights, and only a digest of it is stored."""
        secret = code(gateway)
        made = signed_in(gateway, secret)
        assert made["rights"] == "admin"
        assert ask(gateway, "POST", SESSIONS, secret=secret).status == 403
        assert ask(gateway, "GET", "/api/v1/tokens", made["token"]).status == 200
        file = Path(gateway.home, "dashboards.json")
        assert file.stat().st_mode & 0o777 == 0o600
        assert made["token"] not in file.read_text()
        listed = ask(gateway, "GET", SESSIONS, "admin-token")
        assert [each["id"] for each in listed.json["items"]] == [made["id"]]
        assert made["token"] not in json.dumps(listed.json)

    def test_a_code_of_a_minute_ago(self, gateway: MemoryGateway) -> None:
        """A code is valid for a minute."""
        late, early = code(gateway), code(gateway)
        gateway.clock.advance(CODE_S - 1)
        signed_in(gateway, early)
        gateway.clock.advance(1)
        assert ask(gateway, "POST", SESSIONS, secret=late).status == 403

    @pytest.mark.parametrize(
        ("rights", "statuses"),
        [("look", (200, 401, 401)), ("operate", (200, 200, 401)), ("admin", (200, 200, 200))],
    )
    def test_rights(self, gateway: MemoryGateway, rights: str, statuses: tuple[int, ...]) -> None:
        """A dashboard reads, operates servers, or manages the gateway, as its code says."""
        token = signed_in(gateway, code(gateway, rights))["token"]
        asked = [
            ("GET", "/api/v1/servers"),
            ("POST", "/api/v1/servers/shared/stop"),
            ("GET", "/api/v1/activity"),
        ]
        found = [ask(gateway, method, path, token).status for method, path in asked]
        assert [200 if each == 404 else each for each in found] == list(statuses)

    @pytest.mark.parametrize(("secret", "rights"), [("admin-token", "admin"), ("bearer-token", "operate")])
    def test_a_token_of_the_gateway(self, gateway: MemoryGateway, secret: str, rights: str) -> None:
        """A token of the gateway is exchanged for a session with its rights."""
        assert signed_in(gateway, secret)["rights"] == rights

    def test_no_other_secret(self, gateway: MemoryGateway) -> None:
        """An agent's token, a session's own token and a guess sign nobody in; many guesses are refused unseen."""
        agent = ask(gateway, "POST", "/api/v1/tokens", "admin-token", name="a").json["token"]
        own = signed_in(gateway, code(gateway))["token"]
        for secret in (agent, own, "mcpgc_guess", "x"):
            assert ask(gateway, "POST", SESSIONS, secret=secret).status == 403
        for body in ({}, {"secret": 1}, {"secret": ""}, {"secret": "x" * 1000}):
            assert ask(gateway, "POST", SESSIONS, **body).status == 400
        good = code(gateway)
        for _ in range(ATTEMPTS):
            ask(gateway, "POST", SESSIONS, secret="guess")
        assert ask(gateway, "POST", SESSIONS, secret=good).status == 429

    def test_only_administrators_make_codes(self, gateway: MemoryGateway) -> None:
        """A code is made by an administrator."""
        assert ask(gateway, "POST", CODES, "bearer-token").status == 401
        assert ask(gateway, "POST", CODES).status == 401
        assert ask(gateway, "POST", CODES, "admin-token", rights="all").status == 400


class SessionTests:
    """The life of a session."""

    def test_an_administrator_confirms(self, gateway: MemoryGateway) -> None:
        """A quarter of an hour after its code an administrator's session changes what a user may, and reads all."""
        token = signed_in(gateway, code(gateway))["token"]
        gateway.clock.advance(CONFIRMED_S + 1)
        assert ask(gateway, "GET", "/api/v1/tokens", token).status == 200
        assert ask(gateway, "POST", "/api/v1/tokens", token, name="b").status == 401
        assert ask(gateway, "POST", "/api/v1/servers/shared/stop", token).status == 200
        again = signed_in(gateway, code(gateway))["token"]
        assert ask(gateway, "POST", "/api/v1/tokens", again, name="b").status == 201

    def test_it_ends(self, gateway: MemoryGateway) -> None:
        """A session ends when it was not used for half a day, or after a month."""
        token = signed_in(gateway, "bearer-token")["token"]
        stop = "/api/v1/servers/shared/stop"
        gateway.clock.advance(IDLE_S - 1)
        assert ask(gateway, "POST", stop, token).status == 200
        gateway.clock.advance(IDLE_S - 1)
        assert ask(gateway, "POST", stop, token).status == 200
        gateway.clock.advance(IDLE_S + 1)
        assert ask(gateway, "POST", stop, token).status == 401
        other = signed_in(gateway, "bearer-token")["token"]
        for _ in range(int(LONGEST_S / IDLE_S * 2)):
            gateway.clock.advance(IDLE_S / 2)
            last = ask(gateway, "POST", stop, other).status
        assert last == 401

    def test_it_is_kept(self, gateway: MemoryGateway) -> None:
        """A session outlives a restart of the gateway, with the time of its last use."""
        made = signed_in(gateway, code(gateway))
        gateway.clock.advance(WRITTEN_S + 1)
        ask(gateway, "GET", "/api/v1/tokens", made["token"])
        after = Book(DashboardFile(gateway.home), gateway.clock.seconds)
        after.load()
        found = after.find(made["token"].encode())
        assert found is not None
        assert found.used == gateway.clock.seconds()

    @pytest.mark.parametrize("content", [b"", b"{", b'{"format":1}', b'{"format":2,"sessions":[]}', b"[]"])
    def test_a_broken_file(self, gateway: MemoryGateway, content: bytes) -> None:
        """A file that cannot be read signs all dashboards out, and nothing else breaks."""
        Path(gateway.home, "dashboards.json").write_bytes(content)
        assert ask(gateway, "GET", SESSIONS, "admin-token").json == {"items": []}
        signed_in(gateway, code(gateway))

    def test_sign_out(self, gateway: MemoryGateway) -> None:
        """A dashboard signs itself out, and an administrator any; no other does."""
        first, second = (signed_in(gateway, "bearer-token") for _ in range(2))
        assert ask(gateway, "DELETE", f"{SESSIONS}/{first['id']}", second["token"]).status == 403
        assert ask(gateway, "DELETE", f"{SESSIONS}/{first['id']}").status == 403
        assert ask(gateway, "DELETE", f"{SESSIONS}/{first['id']}", first["token"]).status == 200
        assert ask(gateway, "POST", "/api/v1/servers/shared/stop", first["token"]).status == 401
        assert ask(gateway, "DELETE", f"{SESSIONS}/{second['id']}", "admin-token").status == 200
        assert ask(gateway, "DELETE", f"{SESSIONS}/{second['id']}", "admin-token").status == 404

    def test_there_are_not_too_many(self, gateway: MemoryGateway) -> None:
        """Of many sessions those that were not used for the longest time end."""
        first = signed_in(gateway, "bearer-token")
        for _ in range(SESSIONS_LIMIT):
            gateway.clock.advance(1)
            signed_in(gateway, "bearer-token")
        items = ask(gateway, "GET", SESSIONS, "admin-token").json["items"]
        assert len(items) == SESSIONS_LIMIT
        assert first["id"] not in {each["id"] for each in items}
