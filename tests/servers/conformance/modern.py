"""The era without a handshake: the revision 2026-07-28."""

from __future__ import annotations

import threading

from calls import Call, Calls, InputRequired, Rounds
from offered import CAPABILITIES, WATCHED
from shop import Later, Shop, finished
from tasks import EXTENSION, Tasks, knows_tasks, must_know_tasks
from wire import INVALID_PARAMS, UNSUPPORTED_VERSION, Failed, Pipe, Refused, key, unknown

REVISION = "2026-07-28"
PREFIX = "io.modelcontextprotocol/"
VERSION = PREFIX + "protocolVersion"
OFFERS = PREFIX + "clientCapabilities"
LEVEL = PREFIX + "logLevel"
SUBSCRIPTION = PREFIX + "subscriptionId"

ME = {PREFIX + "serverInfo": {"name": "conformance", "version": "1"}}
SHARED = {"ttlMs": 1000, "cacheScope": "public"}
CACHED = dict.fromkeys(
    ("server/discover", "tools/list", "prompts/list", "resources/list", "resources/templates/list"), SHARED
)
NOT_FOR_LONG = {"ttlMs": 0, "cacheScope": "private"}

FLAGS = {  # what a listener has to ask for to be told of this
    "notifications/tools/list_changed": "toolsListChanged",
    "notifications/prompts/list_changed": "promptsListChanged",
    "notifications/resources/list_changed": "resourcesListChanged",
}
NAMED = {  # what it has to name, and by which parameter it is known
    "notifications/resources/updated": ("resourceSubscriptions", "uri"),
    "notifications/tasks": ("taskIds", "taskId"),
}


class Listens:
    """The open requests to be told of changes."""

    def __init__(self, pipe: Pipe) -> None:
        self.pipe = pipe
        self.changing = threading.Lock()
        self.open: dict[str, tuple[object, dict]] = {}

    def begin(self, number: object, params: dict) -> None:
        """Acknowledge what will be told, and tell it from then on."""
        asked = params.get("notifications")
        if not isinstance(asked, dict):
            raise Refused(INVALID_PARAMS, "notifications must be an object")
        flags = {name: True for name in FLAGS.values() if asked.get(name) is True}
        named = {name: asked[name] for name, _ in NAMED.values() if asked.get(name)}
        with self.changing:
            self.open[key(number)] = (number, flags | named)
            self._tell(number, "notifications/subscriptions/acknowledged", {"notifications": flags | named})

    def cancel(self, number: object) -> None:
        """Tell nothing more."""
        with self.changing:
            self.open.pop(key(number), None)

    def told(self, method: str, params: dict) -> None:
        """Tell everybody who asked for it."""
        with self.changing:
            for number, wanted in self.open.values():
                if is_wanted(wanted, method, params):
                    self._tell(number, method, params)

    def _tell(self, number: object, method: str, params: dict) -> None:
        self.pipe.notify(method, {**params, "_meta": {SUBSCRIPTION: number}})


class Modern:
    """Any number of clients, each of which says with every request who it is."""

    def __init__(self, pipe: Pipe) -> None:
        self.pipe = pipe
        self.calls = Calls(pipe)
        self.listens = Listens(pipe)
        self.shop = Shop(self.listens.told, INVALID_PARAMS)
        self.tasks = Tasks(self.listens.told)

    def requested(self, number: object, method: str, params: dict) -> None:
        """Answer a request, at once or from a thread."""
        if method == "initialize":
            raise unsupported(params.get("protocolVersion"))
        meta = envelope(params)
        if method in self.shop.works:
            offers = meta[OFFERS]
            call = Call(self.pipe, params, Rounds(params, offers), offers, meta.get(LEVEL))
            self.calls.start(number, call, lambda call: self.worked(method, call))
        elif method == "subscriptions/listen":
            self.listens.begin(number, params)
        else:
            result = self.at_once(method, params, meta[OFFERS])
            self.pipe.say(id=number, result=complete(result, CACHED.get(method, {})))

    def at_once(self, method: str, params: dict, offers: dict) -> dict:
        """The result of a request that needs no thread."""
        if method in self.shop.lists:
            return self.shop.lists[method]()
        if method == "server/discover":
            return {"supportedVersions": [REVISION], "capabilities": capabilities()}
        if method == "completion/complete":
            return self.shop.complete(params)
        if method in self.tasks.methods:
            must_know_tasks(offers)
            return self.tasks.methods[method](params)
        raise unknown(method)

    def worked(self, method: str, call: Call) -> dict:
        """The result of a call."""
        try:
            if method == "tools/call":
                return self.called(call)
            result = self.shop.works[method](call)
        except InputRequired as why:
            return why.result | {"_meta": ME}
        fresh = NOT_FOR_LONG if call.params.get("uri") == WATCHED or call.asks.answers else SHARED
        return complete(result, fresh if method == "resources/read" else {})

    def called(self, call: Call) -> dict:
        """The result of a tool, or the task that it has become."""
        try:
            done = self.shop.call(call)
        except Failed as why:
            failure = str(why)
            return complete(finished(lambda _: fail(failure), call), {})
        if not isinstance(done, Later):
            return complete({"content": done, "isError": False}, {})
        if done.required:
            must_know_tasks(call.offers)
        if knows_tasks(call.offers):
            return self.tasks.start(call, done.work) | {"_meta": ME}
        return complete(finished(done.work, call), {})


def fail(why: str) -> list:
    """Fail for that reason."""
    raise Failed(why)


def complete(result: dict, caching: dict) -> dict:
    """A result as this era marks it."""
    return {"resultType": "complete", **result, **caching, "_meta": ME}


def capabilities() -> dict:
    """The capabilities of the server."""
    return {**CAPABILITIES, "extensions": {EXTENSION: {}}}


def is_wanted(wanted: dict, method: str, params: dict) -> bool:
    """Return whether a listener has asked for such a notification."""
    if method in FLAGS:
        return FLAGS[method] in wanted
    name, parameter = NAMED[method]
    return params.get(parameter) in wanted.get(name, ())


def is_enveloped(params: dict) -> bool:
    """Return whether a request names its revision."""
    meta = params.get("_meta")
    return isinstance(meta, dict) and VERSION in meta


def envelope(params: dict) -> dict:
    """The client's words about itself in a request."""
    meta = params.get("_meta")
    if not isinstance(meta, dict) or not isinstance(meta.get(VERSION), str):
        raise Refused(INVALID_PARAMS, f"_meta must have {VERSION}")
    if meta[VERSION] != REVISION:
        raise unsupported(meta[VERSION])
    if not isinstance(meta.get(OFFERS), dict):
        raise Refused(INVALID_PARAMS, f"_meta must have {OFFERS}")
    return meta


def unsupported(asked: object) -> Refused:
    """Return the refusal of a revision that we do not speak."""
    data = {"supported": [REVISION], "requested": asked}
    return Refused(UNSUPPORTED_VERSION, f"Unsupported protocol version: {asked}", data)
