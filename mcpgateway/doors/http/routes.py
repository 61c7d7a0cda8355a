"""The one table of the control plane's routes; what does not stand here does not exist.

From it come who may ask (`class_of`), what answers (`mcpgateway.doors.http.rest.site`), the OpenAPI description and the
reference page.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from enum import Enum

from attrs import field, frozen

from mcpgateway.rules.access import RouteClass

PLACE = re.compile(r"\{(\w+)(:path)?\}")


class Media(Enum):
    """What an answer consists of."""

    JSON = "application/json"
    EVENTS = "text/event-stream"
    PAGE = "text/html"
    METRICS = "text/plain"
    ANY = "*/*"


@frozen
class Query:
    """One parameter of a query.

    :ivar type: as JSON Schema calls it.
    """

    name: str
    what: str
    type: str = "string"


@frozen
class Route:
    """One route.

    :ivar path: with places such as ``{name}``, a part of a path, and ``{id:path}``, one that may hold slashes.
    :ivar access: what it lets its caller do.
    :ivar operation: ``group.method``: what answers.
    :ivar summary: one sentence for the reference.
    :ivar gives: the names of the schemas of its good answers, by status.
    :ivar takes: the name of the schema of its body; empty where it has none.
    :ivar media: what its good answers consist of; those that are events take no turn.
    :ivar is_light: served without Klein, by `mcpgateway.doors.http.health`.
    """

    method: str
    path: str
    access: RouteClass
    operation: str
    summary: str
    gives: Mapping[int, str]
    takes: str = ""
    query: tuple[Query, ...] = ()
    media: Media = Media.JSON
    is_light: bool = False
    _pattern: re.Pattern[bytes] = field(init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        parts = PLACE.split(self.path)
        made = re.escape(parts[0])
        for more, text in zip(parts[2::3], parts[3::3], strict=True):
            made += (".+" if more else "[^/]+") + re.escape(text)
        object.__setattr__(self, "_pattern", re.compile(made.encode(), re.DOTALL))

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods it answers to."""
        return ("GET", "HEAD") if self.method == "GET" else (self.method,)

    @property
    def places(self) -> tuple[str, ...]:
        """The names of what stands in its path."""
        return tuple(name for name, _ in PLACE.findall(self.path))

    def leads(self, path: bytes) -> bool:
        """Whether a path is one of its own."""
        return self._pattern.fullmatch(path) is not None


READ, END, MUTATE, ADMIN = RouteClass.READ, RouteClass.END_SESSION, RouteClass.MUTATE, RouteClass.ADMIN
OK = "Anything"

ROUTES: tuple[Route, ...] = (
    Route("GET", "/health", READ, "health.numbers", "Numbers of the gateway, and every server.", {200: "Health"},
          query=(Query("shape", "immorterm: in the shape of immorterm-mcp-gateway"),), is_light=True),
    Route("GET", "/healthz", READ, "health.alive", "Whether the gateway answers.", {200: "Alive"}, is_light=True),
    Route("GET", "/oauth/callback", READ, "authorization.let_in",
          "Where a browser comes back to from the authorization server of a remote server.", {200: OK},
          query=(Query("state", "of the question"), Query("code", "the answer"), Query("error", "the refusal")),
          media=Media.PAGE),
    Route("GET", "/api/v1/openapi.json", READ, "describing.openapi", "This API, as OpenAPI 3.1.", {200: OK}),
    # Clients' own files
    Route("GET", "/clients", READ, "clients.listed", "The clients' files that lead here.", {200: "Clients"}),
    Route("GET", "/clients/detect", READ, "clients.detect", "The clients that this machine has.", {200: "Detected"}),
    Route("POST", "/clients/register", MUTATE, "clients.register", "Lead a client's files here.",
          {200: "Registered"}, takes="Register"),
    Route("POST", "/projects/register", MUTATE, "clients.register_project", "Lead a project's file here.",
          {200: "RegisteredProject"}, takes="RegisterProject"),
    Route("GET", "/api/gateway/config", READ, "clients.config", "What the gateway does with clients' files.",
          {200: "GatewayConfig"}),
    Route("POST", "/api/gateway/disable", MUTATE, "clients.disable",
          "The soft switch: clients get their own entries back, and servers are refused.", {200: "Switched"}),
    Route("POST", "/api/gateway/enable", MUTATE, "clients.enable", "Switch it on again.", {200: "Switched"}),
    # Sessions
    Route("DELETE", "/sessions/by-pid/{pid}", END, "sessions.end_by_pid",
          "End every session of a client process.", {200: "EndedOfProcess"}),
    Route("DELETE", "/sessions/{id}", END, "sessions.end", "End a session; an unknown id ends nothing.",
          {200: "Ended"}),
    # Tools; who calls a tool can do whatever the tool does
    Route("GET", "/api/v1/tools", READ, "tools.listed", "All tools, those of a server, or those that fit best.",
          {200: "Tools"}, query=(
              Query("server", "only of this server"),
              Query("q", "what is looked for"),
              Query("limit", "how many at most, with q", "integer"),
          )),
    Route("POST", "/api/v1/tools/{id:path}/call", MUTATE, "tools.call_by_id", "Call a tool by its id.",
          {200: "ToolResult"}, takes="Call"),
    Route("GET", "/api/v1/tools/{id:path}", READ, "tools.describe", "All there is to know of a tool.",
          {200: "Tool"}),
    Route("POST", "/api/v1/servers/{name}/call", MUTATE, "tools.call", "Call a tool of a server by its own name.",
          {200: "ToolResult"}, takes="CallOfServer"),
    Route("GET", "/api/v1/results/{ref}", READ, "tools.result", "A part of a result that was too long to be shown.",
          {200: OK}, query=(
              Query("offset", "where the part begins", "integer"),
              Query("limit", "how long it is", "integer"),
              Query("fields", "only these, with commas"),
              Query("search", "only what holds this"),
              Query("path", "only what is there"),
              Query("grep", "only lines that hold this"),
              Query("context", "lines around them", "integer"),
              Query("head", "only so many first lines", "integer"),
              Query("tail", "only so many last lines", "integer"),
              Query("shape", "only what it is made of", "boolean"),
              Query("aggregate", "only numbers of it"),
          )),
    Route("GET", "/api/v1/discover", READ, "tools.discovered",
          "How far having servers asked for their lists is.", {200: "Discovery"}),
    Route("POST", "/api/v1/discover", MUTATE, "tools.discover", "Have servers asked for their lists.",
          {202: "Discovery"}, takes="Discover"),
    # How it came about
    Route("GET", "/api/v1/servers/{name}/why", READ, "tracing.why",
          "Why a server is as it is: how it is started, what has happened, and what helps.", {200: "Why"}),
    Route("GET", "/api/v1/servers/{name}/record", ADMIN, "tracing.record",
          "The flight recorder of a server: the latest lines that were said to it and by it, without secrets.",
          {200: "Record"}, query=(Query("limit", "only so many of the latest lines", "integer"),)),
    Route("GET", "/api/v1/activity", ADMIN, "tracing.activity",
          "The activity log: who has called what lately and how it ended, and what was changed in the gateway.",
          {200: "Activity"}, query=(
              Query("limit", "how many at most; 1000 of the latest", "integer"),
              Query("id", "only this call, what belongs to this trace, or what this session has done"),
              Query("server", "only what was asked of this server"),
              Query("tool", "only calls of this tool"),
              Query("outcome", "ok, error or cancelled"),
              Query("principal", "only what this principal has done"),
              Query("kind", "call or management"),
          )),
)  # fmt: skip

API, VERSIONED = b"/api/", b"/api/v1/"
"""What stands in front of the routes of programs, and what may be left out of that."""


def leading_to(path: bytes) -> Iterator[Route]:
    """The routes of a path, whatever their methods; those of its version where none is its own."""
    found = False
    for route in ROUTES:
        if route.leads(path):
            found = True
            yield route
    if not found and path.startswith(API) and not path.startswith(VERSIONED):
        # It is told where that is, if it may go there.
        yield from leading_to(VERSIONED + path.removeprefix(API))


def class_of(method: bytes, path: bytes) -> RouteClass:
    """The class of a request to the control plane; ``NOTHING`` where no route is declared."""
    name = method.decode("ascii", "replace")
    return next((each.access for each in leading_to(path) if name in each.methods), RouteClass.NOTHING)


def methods_of(path: bytes) -> tuple[str, ...]:
    """The methods that a path answers to; empty where there is nothing."""
    return tuple(sorted({method for each in leading_to(path) for method in each.methods}))
