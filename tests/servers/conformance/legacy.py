"""The era with a handshake: the revisions up to 2025-11-25."""

from __future__ import annotations

from calls import LEVELS, Call, Calls, Pushed
from offered import CAPABILITIES
from shop import Later, Shop, finished
from wire import INVALID_PARAMS, RESOURCE_NOT_FOUND, Failed, Pipe, Refused, unknown

REVISIONS = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")


class Legacy:
    """A client, from its handshake on."""

    def __init__(self, pipe: Pipe) -> None:
        self.pipe = pipe
        self.calls = Calls(pipe)
        self.asks = Pushed(pipe)
        self.shop = Shop(self.told, RESOURCE_NOT_FOUND)
        self.level = LEVELS[0]
        self.subscribed: set[str] = set()
        self.methods = {
            "initialize": self.initialize,
            "ping": lambda _: {},
            "logging/setLevel": self.set_level,
            "completion/complete": self.shop.complete,
            "resources/subscribe": self.subscribe,
            "resources/unsubscribe": self.unsubscribe,
        }

    def requested(self, number: object, method: str, params: dict) -> None:
        """Answer a request, at once or from a thread."""
        if method in self.shop.works:
            call = Call(self.pipe, params, self.asks, self.asks.client, self.level)
            self.calls.start(number, call, lambda call: self.worked(method, call))
            return
        if method in self.shop.lists:
            result = self.shop.lists[method]()
        elif method in self.methods:
            result = self.methods[method](params)
        else:
            raise unknown(method)
        self.pipe.say(id=number, result=result)

    def worked(self, method: str, call: Call) -> dict:
        """The result of a call; there are no tasks, so what would be one is done at once."""
        work = self.shop.works[method]
        if method == "tools/call":
            return finished(lambda call: at_once(work(call), call), call)
        try:
            return work(call)
        except Failed as why:
            raise Refused(-32603, str(why)) from why

    def told(self, method: str, params: dict) -> None:
        """Tell the client of a change, if it wants to know."""
        if params.get("uri", "") in self.subscribed | {""}:
            self.pipe.notify(method, params)

    def initialize(self, params: dict) -> dict:
        """Remember what the client can do, and say who we are."""
        self.asks.client = params.get("capabilities", {})
        asked = params.get("protocolVersion")
        return {
            "protocolVersion": asked if asked in REVISIONS else REVISIONS[0],
            "capabilities": CAPABILITIES,
            "serverInfo": {"name": "conformance", "version": "1"},
        }

    def set_level(self, params: dict) -> dict:
        """Log nothing below this level from now on."""
        if params.get("level") not in LEVELS:
            raise Refused(INVALID_PARAMS, f"Unknown level: {params.get('level')}")
        self.level = params["level"]
        return {}

    def subscribe(self, params: dict) -> dict:
        """Tell of changes of this resource from now on."""
        self.subscribed.add(params.get("uri", ""))
        return {}

    def unsubscribe(self, params: dict) -> dict:
        """Tell of changes of this resource no more."""
        self.subscribed.discard(params.get("uri", ""))
        return {}


def at_once(result: list | Later, call: Call) -> list:
    """The content that a tool answers with."""
    return result.work(call) if isinstance(result, Later) else result
