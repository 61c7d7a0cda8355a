"""A sign-in by a device code, with an authorization server and a clock in memory."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

from mcpgateway.backends.http.client import Web
from mcpgateway.backends.oauth.flow import Accounts
from mcpgateway.config.reach_settings import OAuth, Remote
from mcpgateway.interfaces import OwnAddress
from mcpgateway.policy.oauth.device import GRANT_TYPE, Poll
from tests.support.scripted_http import MemoryNet, Request

URL, ISSUER = "http://127.0.0.1:3000/mcp", "http://127.0.0.1:3000"
TOKEN = {"access_token": "t", "token_type": "Bearer", "expires_in": 300}


class Grants:
    """Records in memory."""

    def __init__(self) -> None:
        self.kept: dict[str, Any] = {}

    def read(self, key: str) -> dict[str, Any]:
        """Return a record."""
        return dict(self.kept.get(key, {}))

    def write(self, key: str, page: dict[str, Any]) -> None:
        """Keep a record."""
        self.kept[key] = dict(page)

    def erase(self, key: str) -> None:
        """Forget a record."""
        self.kept.pop(key, None)

    def every(self) -> list[dict[str, Any]]:
        """Return all records."""
        return list(self.kept.values())


class World:
    """The gateway's account at a server, whose authorization server answers polls with what the test has set.

    :ivar answers: the errors of the next polls; after them, and for an empty one, a token.
    :ivar registered: the bodies of registrations.
    :ivar times: the times of polls.
    """

    def __init__(self, *answers: str, **settings: Any) -> None:
        self.net = MemoryNet()
        self.answers, self.times = list(answers), list[float]()
        self.registered: list[dict[str, Any]] = []
        self.known = {"c1", "c2", "static"}
        self.events: list[str] = []
        server = self.net.serve(3000, "127.0.0.1")
        server.answers["GET"] = self._document
        server.answers["POST"] = self._post
        server.answers["a response"] = self._post
        self.web = Web(self.net)
        self.accounts = Accounts(
            self.net, lambda: self.web, Grants(), lambda: OwnAddress("http://127.0.0.1:9100/cb")
        )
        self.accounts.heard = self
        self.account = self.accounts.of("s", Remote(URL, oauth=OAuth(**settings)))

    def wanted(self, server: str, owner: str) -> None:
        """Note that a sign-in is wanted."""
        self.events.append("wanted")

    def granted(self, server: str, owner: str) -> None:
        """Note that somebody has signed in."""
        self.events.append("granted")

    def ended(self, server: str, owner: str) -> None:
        """Note that a sign-in has ended without a grant."""
        self.events.append("ended")

    def _document(self, request: Request) -> None:
        documents = {
            "/.well-known/oauth-protected-resource/mcp": {
                "resource": URL,
                "authorization_servers": [ISSUER],
            },
            "/.well-known/oauth-authorization-server": {
                "issuer": ISSUER,
                "authorization_endpoint": f"{ISSUER}/authorize",
                "token_endpoint": f"{ISSUER}/token",
                "registration_endpoint": f"{ISSUER}/register",
                "device_authorization_endpoint": f"{ISSUER}/device_authorization",
                "code_challenge_methods_supported": ["S256"],
            },
        }
        found = documents.get(request.target)
        request.reply(404 if found is None else 200, b"" if found is None else found)

    def _post(self, request: Request) -> None:
        if request.target == "/register":
            self.registered.append(request.json)
            request.reply(201, {"client_id": f"c{len(self.registered)}"})
            return
        form = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
        if form["client_id"] not in self.known:
            request.reply(401, {"error": "invalid_client"})
        elif request.target == "/device_authorization":
            code = {"device_code": "d", "user_code": "AB-CD", "verification_uri": f"{ISSUER}/device"}
            request.reply(200, {**code, "expires_in": 60, "interval": 5})
        else:
            assert (form["grant_type"], form["device_code"], form["resource"]) == (GRANT_TYPE, "d", URL)
            self.times.append(self.net.seconds())
            error = self.answers.pop(0) if self.answers else ""
            request.reply(400 if error else 200, {"error": error} if error else TOKEN)

    def begin(self) -> Any:
        """Get a code; the sign-in, or the failure."""
        found: list[Any] = []
        self.accounts.begin_device(self.account).addBoth(found.append)
        return found[0]

    def wait(self, seconds: int) -> None:
        """Let time pass."""
        self.net.pump([1.0] * seconds)


class DeviceTests:
    """From a code to its end."""

    def test_granted(self) -> None:
        """The polls keep the interval; after the user's consent the token is kept, and the listener told."""
        world = World("authorization_pending", "authorization_pending")
        found = world.begin()
        assert (found.code.user_code, found.standing) == ("AB-CD", Poll.PENDING)
        assert world.accounts.by_device(world.account) is found
        world.wait(20)
        assert world.times == [5.0, 10.0, 15.0]
        assert world.events == ["granted"]
        assert world.accounts.is_signed_in(world.account)
        assert world.accounts.by_device(world.account) is None
        assert GRANT_TYPE in world.registered[0]["grant_types"]

    def test_slower(self) -> None:
        """A server that asks for fewer requests gets them 5 s further apart from then on."""
        world = World("slow_down", "authorization_pending")
        world.begin()
        world.wait(40)
        assert world.times == [5.0, 15.0, 25.0]

    def test_declined(self) -> None:
        """A user who declines ends the polls, and the state stays until the next sign-in."""
        world = World("access_denied")
        found = world.begin()
        world.wait(30)
        assert (found.standing, len(world.times), world.events) == (Poll.DECLINED, 1, ["ended"])
        assert world.accounts.by_device(world.account) is found
        world.accounts.drop_device(world.account)
        assert world.accounts.by_device(world.account) is None

    def test_expired(self) -> None:
        """A code is asked for until its end and no longer, whatever the server says."""
        world = World(*["authorization_pending"] * 99)
        found = world.begin()
        world.wait(200)
        assert (found.standing, world.times[-1], world.events) == (Poll.EXPIRED, 55.0, ["ended"])

    def test_failed(self) -> None:
        """Another error ends it, with its reason."""
        world = World("unauthorized_client")
        found = world.begin()
        world.wait(6)
        assert (found.standing, found.reason) == (Poll.FAILED, "unauthorized_client")

    def test_anew(self) -> None:
        """The next sign-in of an account ends the former, whose code is asked for no more."""
        world = World(*["authorization_pending"] * 99)
        former = world.begin()
        world.wait(3)
        assert world.begin() is not former
        world.wait(4)
        assert world.times == []
        world.wait(1)
        assert world.times == [8.0]

    def test_a_lost_registration(self) -> None:
        """A client that the server has forgotten is registered anew."""
        world = World()
        world.begin()
        world.known.discard("c1")
        assert world.begin().client.id == "c2"
        assert len(world.registered) == 2

    def test_a_client_of_the_entry(self) -> None:
        """The client that an entry names is used, and none is registered."""
        world = World(client_id="static")
        assert world.begin().client.id == "static"
        assert world.registered == []
