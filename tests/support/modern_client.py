"""The messages of modern clients and servers, for tests in memory (MCP 2026-07-28)."""

from __future__ import annotations

from typing import Any

from mcpgateway.config.model import Bridge, ServerSpec, Share
from mcpgateway.interfaces import ISessionStore
from mcpgateway.protocol.versions import Era
from mcpgateway.system.journal import Journal
from tests.support.gateway_in_memory import Client, MemoryChild, MemoryGateway

PREFIX = "io.modelcontextprotocol/"
REVISION = "2026-07-28"
SUBSCRIPTION = PREFIX + "subscriptionId"
TASKS = PREFIX + "tasks"
LISTEN, ACKNOWLEDGED = "subscriptions/listen", "notifications/subscriptions/acknowledged"
CANCELLED, PROGRESS, LOG = "notifications/cancelled", "notifications/progress", "notifications/message"
UPDATED, TOOLS_CHANGED = "notifications/resources/updated", "notifications/tools/list_changed"
OTHER = {"Authorization": "Bearer bearer-token"}
"""The headers that make a client another principal."""


def dual_gateway(store: ISessionStore | None = None, *, bridge: Bridge = Bridge.AUTO) -> MemoryGateway:
    """A gateway whose servers speak both eras; of "m" and "mine", which is stateful, it says only the modern one."""
    more = (
        ServerSpec("m", ("run",), {}, "/", share=Share.GLOBAL, protocol=Era.MODERN, title="m"),
        ServerSpec("mine", ("run",), {}, "/", share=Share.SESSION, protocol=Era.MODERN, title="mine"),
    )
    made = MemoryGateway(more=more, store=store or Journal(":memory:", lambda: 0.0), bridge=bridge)
    made.launcher.eras = dict.fromkeys(("shared", "own", "m", "mine"), tuple(Era))
    return made


def meta(**more: Any) -> dict[str, Any]:
    """The envelope of a request."""
    return {
        PREFIX + "protocolVersion": REVISION,
        PREFIX + "clientCapabilities": {},
        PREFIX + "clientInfo": {"name": "c", "version": "1"},
        **more,
    }


def request(
    identifier: Any, method: str, envelope: dict[str, Any] | None = None, **params: Any
) -> dict[str, Any]:
    """A request of the modern era."""
    said = meta() if envelope is None else envelope
    return {"jsonrpc": "2.0", "id": identifier, "method": method, "params": {**params, "_meta": said}}


def headers_of(body: dict[str, Any]) -> dict[str, str]:
    """The headers that repeat parts of a request."""
    params = body.get("params", {})
    headers = {"MCP-Protocol-Version": REVISION, "Mcp-Method": str(body["method"])}
    name = params.get("name", params.get("uri", params.get("taskId")))
    return headers | ({"Mcp-Name": name} if isinstance(name, str) else {})


def post(client: Client, body: dict[str, Any], **headers: str) -> None:
    """Send a request with the headers that repeat parts of it; an empty header is left out."""
    client.send(body, **(headers_of(body) | {key.replace("_", "-"): value for key, value in headers.items()}))


def call(
    gateway: MemoryGateway,
    client: Client,
    identifier: Any = 1,
    name: str = "t",
    envelope: dict[str, Any] | None = None,
    **params: Any,
) -> dict[str, Any]:
    """Send a tools/call, let the child list its tools if it is asked; what the child has got of the call."""
    post(client, request(identifier, "tools/call", envelope, name=name, **params))
    list_tools(gateway.child)
    return gateway.child.asked("tools/call")[-1]


def list_tools(child: MemoryChild, tools: list[Any] | None = None) -> None:
    """Answer a child's latest request if it is for its tools."""
    if child.received[-1].get("method") == "tools/list":
        done(child, child.received[-1], tools=tools or [])


def done(child: MemoryChild, asked: dict[str, Any], **result: Any) -> None:
    """Answer a request in a child's place."""
    child.answer(asked, {"resultType": "complete", **result})


def refuse(child: MemoryChild, asked: dict[str, Any], code: int = -32602, message: str = "no") -> None:
    """Answer a request with an error in a child's place."""
    child.say({"jsonrpc": "2.0", "id": asked["id"], "error": {"code": code, "message": message}})


def listen(client: Client, identifier: Any = "l", **notifications: Any) -> None:
    """Send a subscriptions/listen."""
    post(client, request(identifier, LISTEN, notifications=notifications))


def acknowledge(child: MemoryChild, honoured: dict[str, Any] | None = None) -> dict[str, Any]:
    """Acknowledge a child's latest listen; return the requested filter."""
    asked = child.asked(LISTEN)[-1]
    wanted: dict[str, Any] = asked["params"]["notifications"]
    news(child, ACKNOWLEDGED, asked, notifications=wanted if honoured is None else honoured)
    return wanted


def news(child: MemoryChild, method: str, asked: dict[str, Any] | None = None, **params: Any) -> None:
    """Send a notification on a listen of a child, by default the latest."""
    asked = child.asked(LISTEN)[-1] if asked is None else asked
    child.say(note(method, **params, _meta={SUBSCRIPTION: asked["id"]}))


def note(method: str, **params: Any) -> dict[str, Any]:
    """A notification."""
    return {"jsonrpc": "2.0", "method": method, "params": params}


def hang_up(client: Client) -> None:
    """Disconnect a client."""
    client.channel.connectionLost(None)  # type: ignore[arg-type]  # the reason is not used


def events(client: Client) -> list[Any]:
    """Return the messages on a stream so far."""
    return client.heard.events if client.heard is not None and client.heard.body[:1] != b"{" else []


def methods(client: Client) -> list[Any]:
    """The methods of what has come on a stream so far."""
    return [each.get("method") for each in events(client)]


def reply(client: Client) -> Any:
    """The answer to a client's request, in whichever form it came; None while there is none."""
    if client.heard is None:
        return None
    said = [client.heard.json] if client.heard.body[:1] == b"{" else events(client)
    answers = [each for each in said if "result" in each or "error" in each]
    return answers[-1] if answers else None


def refusal(client: Client) -> tuple[int, int, Any]:
    """The status, the code and the id of the error that a client got."""
    assert client.heard is not None, "not answered yet"
    said = client.heard.json
    return client.heard.status, said["error"]["code"], said["id"]


def is_empty(gateway: MemoryGateway) -> bool:
    """Return whether no request is under way, and no departed client is remembered."""
    return not gateway.door.streams.waiting and all(
        not slot.load and not slot.listening for slot in gateway.dispatcher.pool
    )
