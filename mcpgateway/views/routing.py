"""Routing of requests on a view, of both eras.

    request                       goes to
    lists                         no server, where all are known
    tools/call, prompts/get       the server of the name, under its own name
    completion/complete           the server of the prompt or the template
    the gateway's own tools       no server
    others of sessions            `mcpgateway.views.session_routing`
    others of modern clients      `mcpgateway.views.modern_routing`

Only the name is replaced; the rest of the message stays as its client wrote it.  The call keeps its client's sink, so
the answer, and all messages before it, need no second hop.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable
from typing import Any, Protocol

from msgspec.structs import replace
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpgateway.discovery.listing import More
from mcpgateway.discovery.records import Item, ListKind
from mcpgateway.discovery.resources import owner_named
from mcpgateway.errors import GatewayError, InvalidParams, UnknownMethod
from mcpgateway.hub.filters import reason
from mcpgateway.interfaces import Request
from mcpgateway.owntools.missing_servers import hint as not_all
from mcpgateway.protocol import jsonrpc, peek
from mcpgateway.views.lists import LIST_S, PASSING, ListFetcher
from mcpgateway.views.view import KINDS, View

Handler = Callable[[Request, View], None]
"""Answers a request on a view, or sends it to a server.

:raise GatewayError: the request is refused.
"""


class ViewClients(Protocol):
    """The clients of one era, their views, and their ways to servers."""

    clock: IReactorTime

    def catch_up(self) -> Deferred[None]:
        """Have edits of the configuration read; fires when they are in force."""

    def view_of(self, request: Request) -> View:
        """Return the view of a request that has just come.

        :raise GatewayError: the view no longer exists, or the gateway is stopping.
        """

    def look(self, client: Any) -> View:
        """Return the view of a client, for a request that has waited.

        :raise UnknownServer: the view no longer exists.
        """

    def rebuild(self, client: Any) -> View:
        """Return the view of a client by a configuration that has changed within the same turn.

        :raise UnknownServer: the view no longer exists.
        """

    def hold(self, request: Request) -> None:
        """Hold a call that waits."""

    def release(self, request: Request) -> bool:
        """Hold a call no longer; return False if no client waits for it any more."""

    def forward(self, request: Request, view: View, item: Item) -> None:
        """Send a call of a tool or a prompt to its server, under its own name.

        :raise GatewayError: the call is refused, and not sent.
        """

    def to_server(self, request: Request, view: View, server: str) -> None:
        """Send a request to a server of the view, as it is.

        :raise GatewayError: the request is refused, and not sent.
        """


class Routing(ABC):
    """Routes requests on views; a subclass has the requests that only the clients of one era send.

    :ivar methods: the handler of each method.
    """

    log = Logger()

    def __init__(self, clients: ViewClients, lists: ListFetcher[Any]) -> None:
        self._clients = clients
        self._lists = lists
        self.methods: dict[str, Handler] = {
            **dict.fromkeys(KINDS, self._list),
            "tools/call": self._call,
            "prompts/get": self._prompt,
            "completion/complete": self._complete,
        }

    @abstractmethod
    def give(self, request: Request, view: View, kind: ListKind) -> None:
        """Answer a request for a list from the lists that are known."""

    @abstractmethod
    def run(self, request: Request, view: View, tool: Any) -> None:
        """Run one of the gateway's own tools.

        :raise GatewayError: the call is refused.
        """

    def submit(self, request: Request) -> None:
        """Answer a request, or send it to a server.

        :raise GatewayError: the request is refused.
        """
        handler = self.methods.get(request.method)
        if handler is None:
            raise UnknownMethod(f"Method not found: {request.method}")
        handler(request, self._clients.view_of(request))

    # Lists

    def _list(self, request: Request, view: View) -> None:
        if "cursor" in (request.message.params or {}):
            raise InvalidParams("Invalid params: there is no such cursor; every list is one page")
        kind = KINDS[request.method]
        if not view.shows(kind):
            self.give(request, view, kind)
            return
        caught_up = self._clients.catch_up()
        if caught_up.called:
            self._list_now(request, kind)
        else:
            self.after(caught_up, request, lambda _: self._list_now(request, kind))

    def _list_now(self, request: Request, kind: ListKind) -> None:
        clients, lists, client = self._clients, self._lists, client_of(request)
        known = clients.look(client)
        unknown = [(each, kind) for each in lists.to_ask(known, kind, client)]
        soon = [each for each in unknown if lists.may_answer_soon(each[0], client)]

        def give(view: View) -> None:
            self.give(request, view, kind)
            lists.begin([each for each in unknown if each not in soon], client)

        if soon:
            self.after(lists.wait(soon, client, LIST_S), request, lambda _: give(clients.look(client)))
        else:
            give(known)

    # Tools and prompts

    def _call(self, request: Request, view: View) -> None:
        found = view.find(text_of(request, "name"))
        if found is not None:
            self._to(request, view, found)
        else:
            self._by_name(request, view, ListKind.TOOL, View.find, self._to)

    def _to(self, request: Request, view: View, found: Any) -> None:
        if isinstance(found, More):
            params = request.message.params or {}
            found, params["arguments"] = found.choose(peek.members(params, "arguments"))
            if request.caller is not None:
                request.caller = replace(request.caller, headers=None)  # they repeat other arguments
        if isinstance(found, Item):
            self._clients.forward(request, view, found)
        else:
            self.run(request, view, found)

    def _prompt(self, request: Request, view: View) -> None:
        self._by_name(request, view, ListKind.PROMPT, View.prompt, self._clients.forward)

    def _by_name(
        self,
        request: Request,
        view: View,
        kind: ListKind,
        find: Callable[[View, str], Any],
        then: Callable[[Request, View, Any], None],
    ) -> None:
        name = text_of(request, "name")

        def go_on(view: View) -> None:
            found = find(view, name)
            if found is None:
                raise self._unknown(request, view, kind, name)
            then(request, view, found)

        def is_found(view: View) -> bool:
            return find(view, name) is not None

        self.seek(request, view, (kind,), lambda view: view.named(name), is_found, go_on)

    def _unknown(self, request: Request, view: View, kind: ListKind, name: str) -> InvalidParams:
        if kind is ListKind.TOOL:
            view.check_off(name)
        near, missing = view.near(name, kind), self._lists.missing(view, kind, client_of(request))
        known = "tools/list and gateway_search name" if kind is ListKind.TOOL else f"{kind.method} names"
        advice = f"did you mean {', '.join(near)}?" if near else f"{known} those there are"
        hint = "; ".join(filter(None, (advice, not_all(missing))))
        what = "tool" if kind is ListKind.TOOL else "prompt"
        return InvalidParams(f"Unknown {what}: {name}", hint, {"missing": missing} if missing else None)

    # Completion of arguments

    def _complete(self, request: Request, view: View) -> None:
        params = request.message.params or {}
        ref = peek.members(params, "ref")
        name, uri = peek.text(ref, "name"), peek.text(ref, "uri", jsonrpc.URI_LIMIT)
        if name is None and uri is None:
            raise InvalidParams("Invalid params: ref must name a prompt or a resource")

        def find(view: View) -> tuple[str, str] | None:
            # The server of the prompt or resource, and its own name or URI there.
            if name is not None:
                item = view.prompt(name)
                return (item.server, item.own) if item is not None else None
            return view.template(uri or "") or view.resource(uri or "")

        def complete(view: View) -> None:
            found = find(view)
            if found is None:
                raise InvalidParams(f"Invalid params: there is no prompt or resource template {name or uri}")
            server, own = found
            params["ref"] = jsonrpc.raw(ref | {"uri" if name is None else "name": jsonrpc.raw(own)})
            self._clients.to_server(request, view, server)

        def named_servers(view: View) -> Collection[str]:
            return view.named(name) if name is not None else owner_named(uri)

        kinds = (ListKind.PROMPT,) if name is not None else (ListKind.TEMPLATE, ListKind.RESOURCE)
        self.seek(request, view, kinds, named_servers, lambda view: find(view) is not None, complete)

    # Waiting

    def after(self, done: Deferred[Any], request: Request, then: Callable[[Any], None]) -> None:
        """Go on with a call when ``done`` fires, with its result, unless the call is cancelled before."""
        self._clients.hold(request)

        def go_on(found: Any) -> Any:
            if not self._clients.release(request):
                return None
            return found if isinstance(found, Failure) else then(found)

        done.addBoth(go_on).addErrback(self._broken, request)

    def _broken(self, why: Failure, request: Request) -> None:
        if not why.check(GatewayError):
            self.log.failure("a request to a view broke", why, event="view.broken")
        request.sink.failed(request, reason(why))

    def answer(self, found: Deferred[dict[str, Any]], request: Request) -> None:
        """Answer a call with a result of the gateway's, unless the call is cancelled before."""
        self.after(
            found,
            request,
            lambda result: request.sink.answered(request, jsonrpc.result(jsonrpc.NULL, result)),
        )

    def seek(
        self,
        request: Request,
        view: View,
        kinds: Iterable[ListKind],
        named_servers: Callable[[View], Collection[str]],
        is_found: Callable[[View], bool],
        then: Callable[[View], None],
    ) -> None:
        """Go on with a call for a name: at once where it is known, else once the lists that may have it are.

        The name may be new, or of a server whose lists are not known yet.

        :param named_servers: returns the servers that the name says it belongs to; empty where it does not say.
        """
        if is_found(view):
            then(view)
            return
        client = client_of(request)
        search = Deferred.fromCoroutine(self._seek(client, tuple(kinds), named_servers, is_found))
        self.after(search, request, lambda _: then(self._clients.look(client)))

    async def _seek(
        self,
        client: Any,
        kinds: tuple[ListKind, ...],
        named_servers: Callable[[View], Collection[str]],
        is_found: Callable[[View], bool],
    ) -> None:
        clients, lists = self._clients, self._lists
        await clients.catch_up()
        view = clients.look(client)
        if is_found(view):
            return
        named = named_servers(view)
        unknown = [(each, kind) for kind in kinds for each in lists.to_ask(view, kind, client, named)]
        if not named:
            await lists.wait(unknown, client)
            return
        # Only the named server can have it, and is called as at its own endpoint.
        why = await lists.fetch(unknown, client)
        if why is None or is_found(clients.look(client)):
            return
        if isinstance(why, PASSING):
            # The child may have been ended by an edit, which is not in force everywhere before this turn is over.
            await deferLater(clients.clock, 0)
            now = clients.rebuild(client).servers
            if any(each.name in now and now[each.name] is not each for each, _ in unknown):
                await self._seek(client, kinds, named_servers, is_found)
                return
        raise why


async def settle(
    clients: ViewClients, lists: ListFetcher[Any], kind: ListKind, client: Any
) -> dict[str, str]:
    """Wait for the lists of all servers of a client's view; return the reasons of those that are missing."""
    unknown = [(each, kind) for each in lists.to_ask(clients.look(client), kind, client)]
    if unknown:
        await lists.wait(unknown, client)
    return lists.missing(clients.look(client), kind, client)


def client_of(request: Request) -> Any:
    """Return the client of a call: its caller in the modern era, else its session."""
    return request.session if request.caller is None else request.caller


def text_of(request: Request, name: str, limit: int = jsonrpc.METHOD_LIMIT) -> str:
    """Return a parameter that has to be a string.

    :raise InvalidParams: it is none.
    """
    found = peek.text(request.message.params, name, limit)
    if found is None:
        raise InvalidParams(f'Invalid params: "{name}" must be a string')
    return found
