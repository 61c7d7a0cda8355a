"""A view of scripted servers in memory, and clients of the modern era that use it."""

from __future__ import annotations

from typing import Any

from attrs import evolve

from mcpgateway.config.model import ServerSpec, Share
from mcpgateway.owntools.missing_servers import KEY
from mcpgateway.protocol.versions import Era
from mcpgateway.views.lists import LIST_S, SOON_S
from mcpgateway.views.modern import ModernViewRequests
from tests.support import modern_client
from tests.support.gateway_in_memory import DISCOVERED, HELLO, Client, MemoryChild, MemoryGateway
from tests.support.modern_client import done, meta, post, refuse, request

FULL = "/mcp/full"
LISTS = {
    "tools/list": "tools",
    "prompts/list": "prompts",
    "resources/list": "resources",
    "resources/templates/list": "resourceTemplates",
}
GREETINGS = {"initialize": Era.LEGACY, "server/discover": Era.MODERN}
ANSWERED = {**LISTS, **GREETINGS}
EVERYTHING: dict[str, Any] = {
    "tools": {"listChanged": True},
    "prompts": {"listChanged": True},
    "resources": {"listChanged": True, "subscribe": True},
    "logging": {},
}
OFFERS = {"elicitation": {"form": {}, "url": {}}, "sampling": {}, "roots": {}}
CAN_BE_ASKED = meta(**{modern_client.PREFIX + "clientCapabilities": OFFERS})


def tool(name: str, **more: Any) -> dict[str, Any]:
    """A tool as a server lists it."""
    return {"name": name, "inputSchema": {"type": "object"}, **more}


def modern(name: str, **more: Any) -> ServerSpec:
    """A server of the modern era only, which everybody shares unless it is said otherwise."""
    return ServerSpec(
        name,
        ("run", name),
        {},
        "/",
        share=more.pop("share", Share.GLOBAL),
        protocol=Era.MODERN,
        title=name,
        **more,
    )


def legacy(name: str, **more: Any) -> ServerSpec:
    """A server of the legacy era only, which asks nothing unless it is said otherwise."""
    more = {"interactive": False, **more}
    return ServerSpec(name, ("run", name), {}, "/", protocol=Era.LEGACY, title=name, **more)


class Stage:
    """A gateway, what its servers list, and who they are.

    :ivar offers: what each server lists, by its name and by the method of the list, or a function that knows it by the
        client capabilities that its child is told of; every other list is empty.
    :ivar hellos: what servers declare, by their names; where one is not named, everything.
    :ivar extra: what else stands in the results of lists, by the server's name.
    """

    def __init__(self, *servers: ServerSpec, gateway: MemoryGateway | None = None, **offers: Any) -> None:
        self.offers: dict[str, dict[str, Any]] = {
            name: each if isinstance(each, dict) else {"tools/list": each} for name, each in offers.items()
        }
        self.extra: dict[str, dict[str, Any]] = {}
        self.gateway = gateway or MemoryGateway()
        self.gateway.launcher.hello = None
        self.hellos: dict[str, dict[str, Any]] = {}
        self._answered: set[tuple[int, Any]] = set()
        self.serve(*servers)

    def serve(self, *servers: ServerSpec) -> None:
        """Serve these from now on."""
        eras = {each.name: (each.protocol,) if each.protocol else tuple(Era) for each in servers}
        self.gateway.launcher.eras = eras
        self.gateway.serve(*(evolve(each, source="a test") for each in servers))

    @property
    def registry(self) -> ModernViewRequests:
        """The parts that serve the view."""
        found = self.gateway.hub.modern_dispatcher._views
        assert found is not None
        return found

    def client(self, path: str = FULL, **headers: str) -> Client:
        """A connection to the view."""
        return Client(self.gateway.factory.buildProtocol(None), path, dict(headers))

    def child(self, name: str) -> MemoryChild:
        """The latest child of a server."""
        return self.children(name)[-1]

    def children(self, name: str) -> list[MemoryChild]:
        """All children of a server that there were."""
        found = self.gateway.launcher.children
        return [each for each in found if each.launched is not None and each.launched.server == name]

    def greet(self) -> None:
        """Answer the handshakes of all servers, and no other request."""
        for child in self.gateway.launcher.children:
            for asked in [each for each in child.received if each.get("method") in GREETINGS]:
                if (id(child), asked["id"]) not in self._answered:
                    self._answered.add((id(child), asked["id"]))
                    self._greet(child, _name(child), asked)

    def answer(self, *but: str) -> None:
        """Answer the lists of all servers except those, until no further list is requested."""
        while sum(self._answer(each) for each in self.gateway.launcher.children if _name(each) not in but):
            pass

    def _answer(self, child: MemoryChild) -> bool:
        name, was_asked = _name(child), False
        for asked in [each for each in child.received if each.get("method") in ANSWERED]:
            if (id(child), asked["id"]) in self._answered or child.is_stopping:
                continue
            self._answered.add((id(child), asked["id"]))
            was_asked = True
            if asked["method"] in GREETINGS:
                self._greet(child, name, asked)
                continue
            found = self.offers.get(name, {}).get(asked["method"], [])
            if callable(found):
                found = found(_told(child, asked))
            done(child, asked, **{LISTS[asked["method"]]: found}, **self.extra.get(name, {}))
        return was_asked

    def _greet(self, child: MemoryChild, name: str, asked: dict[str, Any]) -> None:
        era = GREETINGS[asked["method"]]
        if era not in self.gateway.launcher.eras[name]:
            refuse(child, asked, -32601 if era is Era.MODERN else -32022)
            return
        hello = DISCOVERED if era is Era.MODERN else HELLO
        child.answer(asked, hello | {"capabilities": self.hellos.get(name, EVERYTHING)})

    def ask(self, method: str, client: Client | None = None, **params: Any) -> Any:
        """Return the view's answer to a client; servers answer for their lists meanwhile."""
        client = client or self.client()
        self.send(client, method, **params)
        answer = modern_client.reply(client)
        assert answer is not None, "not answered yet"
        return answer

    def send(
        self,
        client: Client,
        method: str,
        identifier: Any = 1,
        envelope: dict[str, Any] | None = None,
        **params: Any,
    ) -> None:
        """Send a request; servers answer for their lists."""
        post(client, request(identifier, method, envelope, **params))
        self.answer()

    def call(self, client: Client, name: str, identifier: Any = 1, **more: Any) -> dict[str, Any]:
        """Call a tool of the view; what its server has got of that."""
        self.send(client, "tools/call", identifier, more.pop("envelope", None), name=name, **more)
        return self.child(self.owner(name)).asked("tools/call")[-1]

    def owner(self, name: str) -> str:
        """The server of a tool, by its name in the view."""
        return name.partition("__")[0]

    def begin(self, *but: str) -> None:
        """Request the lists of the servers that the last list lacked; all except those answer."""
        self.gateway.clock.advance(SOON_S)
        self.answer(*but)

    def listed(self, method: str = "tools/list", client: Client | None = None) -> Any:
        """The result of a list, once all servers have answered that do."""
        client = client or self.client()
        self.send(client, method)
        self.begin()
        self.gateway.clock.advance(LIST_S)
        if KEY in modern_client.reply(client)["result"].get("_meta", {}):
            self.send(client, method)
            self.gateway.clock.advance(LIST_S)
        return modern_client.reply(client)["result"]

    def names(self, method: str = "tools/list", key: str = "name") -> list[str]:
        """The names that the view lists, without the gateway's own."""
        listed = self.listed(method)[LISTS[method]]
        return [each[key] for each in listed if not each[key].startswith("gateway_")]

    def wait(self, seconds: float) -> None:
        """Advance the clock."""
        self.gateway.clock.advance(seconds)


def _told(child: MemoryChild, asked: dict[str, Any]) -> dict[str, Any]:
    """The client capabilities that a child was told of, when it was asked this or when it was started."""
    said = asked.get("params", {}).get("_meta", {}).get(modern_client.PREFIX + "clientCapabilities")
    found: dict[str, Any] = child.asked("initialize")[0]["params"]["capabilities"] if said is None else said
    return found


def _name(child: MemoryChild) -> str:
    return child.launched.server if child.launched is not None else ""
