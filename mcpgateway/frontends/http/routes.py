"""The one table of the control plane's routes; what does not stand here does not exist.

From it come who may ask (`class_of`), what answers (`mcpgateway.frontends.rest.site`), the OpenAPI description and the
reference page.

# Note [As it is judged]
A path is judged as it was sent, and what answers is found by Klein, which decodes it first.  A slash that was encoded
would be a part of a name to the one and lead to another route with the other.  So a path leads to a route only where it
does so in both spellings, and `mcpgateway.frontends.rest.site` lets no route answer that another class was judged for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from enum import Enum
from urllib.parse import unquote_to_bytes

from attrs import field, frozen

from mcpgateway.policy.access import RouteClass

PLACE = re.compile(r"\{(\w+)(:path)?\}")


class Media(Enum):
    """The media type of an answer."""

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
class Header:
    """One header of a route, besides the common ones."""

    name: str
    what: str


@frozen
class Route:
    """One route of the control plane.

    :ivar path: with places such as ``{name}``, a part of a path, and ``{id:path}``, one that may hold slashes.
    :ivar access: what it lets its caller do.
    :ivar operation: ``group.method``: what answers.
    :ivar summary: one sentence for the reference.
    :ivar gives: the names of the schemas of its good answers, by status.
    :ivar takes: the name of the schema of its body; empty where it has none.
    :ivar heeds: the headers that matter to it.
    :ivar is_tagged: its good answers have an ``ETag``, which says what an entry of the configuration is now.
    :ivar media: what its good answers consist of; those that are events take no turn.
    :ivar is_light: served without Klein, by `mcpgateway.frontends.http.health`.
    """

    method: str
    path: str
    access: RouteClass
    operation: str
    summary: str
    gives: Mapping[int, str]
    takes: str = ""
    query: tuple[Query, ...] = ()
    heeds: tuple[Header, ...] = ()
    is_tagged: bool = False
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
        """Return whether a path belongs to this route."""
        return self._pattern.fullmatch(path) is not None


READ, END, MUTATE, ADMIN = RouteClass.READ, RouteClass.END_SESSION, RouteClass.MUTATE, RouteClass.ADMIN
LOOK, USE, WATCH = RouteClass.LOOK, RouteClass.USE, RouteClass.WATCH
OK = "Anything"
SHAPE = (Query("shape", "immorterm, harshal: in the shape of immorterm-mcp-gateway or harshal-mcp-proxy"),)
WAIT = (Query("wait", "how long to wait until it runs or has failed, such as 10s; 60s at most"),)
IF_MATCH = Header("If-Match", "the ETag of what is to be changed, or *")
IF_NONE_MATCH = Header("If-None-Match", "* where there must not be one yet")

ROUTES: tuple[Route, ...] = (
    Route("GET", "/health", WATCH, "health.numbers", "Numbers of the gateway, and every server.", {200: "Health"},
          query=SHAPE, is_light=True),
    Route("GET", "/healthz", WATCH, "health.alive", "Whether the gateway answers.", {200: "Alive"}, is_light=True),
    Route("GET", "/metrics", WATCH, "health.metrics", "All numbers, in the text format of Prometheus.", {200: OK},
          media=Media.METRICS, is_light=True),
    Route("GET", "/api/v1/health", WATCH, "health.numbers", "The same.", {200: "Health"},
          query=SHAPE, is_light=True),
    Route("GET", "/api/v1/version", WATCH, "instance.version", "Which release this is.", {200: "Version"}),
    Route("GET", "/api/v1/preflight", WATCH, "instance.preflight",
          "Whether servers could be called now, as a number to branch on; nothing is started.", {200: "Readiness"},
          query=(Query("need", "the names of servers, with commas"),)),
    Route("POST", "/api/v1/wait", MUTATE, "instance.wait", "Start servers, and wait until they can be called.",
          {200: "Readiness"}, takes="Wait"),
    Route("GET", "/api/v1/debug/dump", MUTATE, "instance.dump",
          "All that the gateway is doing, bounded and without secrets.", {200: "Dump"}),
    Route("POST", "/api/v1/shutdown", ADMIN, "instance.shutdown",
          "Have the gateway end; calls under way may end first.", {202: "Ending"}),
    Route("GET", "/oauth/callback", RouteClass.RETURN, "authorization.let_in",
          "Where a browser comes back to from the authorization server of a remote server.", {200: OK},
          query=(Query("state", "of the question"), Query("code", "the answer"), Query("error", "the refusal")),
          media=Media.PAGE),
    Route("POST", "/oauth/callback", RouteClass.RETURN, "authorization.agree",
          "A user agrees to for whom the account is used that was signed in with.", {200: OK}, media=Media.PAGE),
    Route("GET", "/oauth/client.json", RouteClass.PUBLIC, "authorization.document",
          "Who the gateway is to authorization servers that fetch that (client ID metadata document).", {200: OK}),
    Route("GET", "/api/v1/openapi.json", WATCH, "describing.openapi", "This API, as OpenAPI 3.1.", {200: OK}),
    # Numbers
    Route("GET", "/api/health/stats", WATCH, "figures.stats",
          "Numbers of the gateway, its servers, their tools and the last hour, in the shape of immorterm-mcp-gateway.",
          {200: "Stats"}),
    Route("GET", "/api/v1/metrics", WATCH, "figures.metrics",
          "The lives of servers, and what their tools cost a model that is told of them.", {200: "Metrics"}),
    Route("GET", "/api/v1/savings", WATCH, "figures.savings", "What sharing saves: processes, memory, tokens.",
          {200: "Savings"}),
    # Clients' own files; the servers in a file that is enrolled are run by the gateway from then on
    Route("GET", "/clients", READ, "clients.listed", "The clients' files that use the gateway.", {200: "Clients"}),
    Route("GET", "/clients/detect", READ, "clients.detect", "The clients that this machine has.", {200: "Detected"}),
    Route("POST", "/clients/register", ADMIN, "clients.register", "Lead a client's files here.",
          {200: "Registered"}, takes="Register"),
    Route("POST", "/projects/register", ADMIN, "clients.register_project", "Lead a project's file here.",
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
    Route("GET", "/api/v1/sessions", READ, "sessions.listed", "The sessions in use: whose they are, what they do.",
          {200: "Sessions"}, query=(
              Query("server", "only those of this server"),
              Query("pid", "only those of this process", "integer"),
              Query("limit", "how many at most", "integer"),
          )),
    Route("DELETE", "/api/v1/sessions/{id}", MUTATE, "sessions.kill",
          "End a session, by its handle in the list or its own id.", {200: "EndedSome"}),
    Route("DELETE", "/api/v1/sessions", MUTATE, "sessions.kill_some", "End the sessions of a process, or all.",
          {200: "EndedSome"}, query=(
              Query("pid", "those of this process", "integer"), Query("all", "all of them", "boolean"),
          )),
    Route("POST", "/api/sessions/{id}/kill", MUTATE, "sessions.kill_named",
          "End a session.", {200: "EndedNamed"}),
    Route("POST", "/api/sessions/kill-all", MUTATE, "sessions.kill_all", "End all sessions.", {200: "EndedSome"}),
    # As immorterm-mcp-gateway has them
    Route("POST", "/api/servers/install", ADMIN, "older.install",
          "Try a server, and write it into the configuration when it works.", {200: "Installed"}, takes="Install"),
    Route("POST", "/api/servers/{name}/reconnect", MUTATE, "older.reconnect",
          "Replace what runs of a server by new children.", {200: "Reconnected"}),
    Route("POST", "/api/servers/{name}/disable", MUTATE, "older.disable",
          "Give clients their own entries of a server back, or switch it off.", {200: "ServerSwitched"}),
    Route("POST", "/api/servers/{name}/enable", MUTATE, "older.enable",
          "Enrol clients again for it, or switch it on.", {200: "ServerSwitched"}),
    # As mcp-session-manager has them; a daemon is a server whose entry has a port
    Route("GET", "/ping", WATCH, "daemons.ping", "Whether anybody is there.", {200: "Pong"}),
    Route("GET", "/status", READ, "daemons.status", "How each daemon is.", {200: "Daemons"}),
    Route("POST", "/start", MUTATE, "daemons.start", "Start a daemon.", {200: "Daemon"}, takes="NamedDaemon"),
    Route("POST", "/stop", MUTATE, "daemons.stop", "Stop a daemon.", {200: "Daemon"}, takes="NamedDaemon"),
    Route("POST", "/ensure", MUTATE, "daemons.ensure", "Have a daemon run; where it serves.", {200: "Ensured"},
          takes="NamedDaemon"),
    Route("POST", "/start-all", MUTATE, "daemons.start_all", "Start all daemons.", {200: "Daemons"}),
    Route("POST", "/stop-all", MUTATE, "daemons.stop_all", "Stop all daemons.", {200: "Daemons"}),
    # The servers' own APIs; what is asked there is asked with what the entry of the server says
    *(
        Route(method, f"/api/v1/servers/{{name}}/rest/{below}", MUTATE, "relay.pass_on",
              f"A request to the server's own REST API, {where} the rest_url of its entry.", {200: OK},
              media=Media.ANY)
        for below, where in (("", "at"), ("{path:path}", "below"))
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE")
    ),
    # Servers; who says what is run can do whatever the gateway's user can
    Route("GET", "/api/v1/servers", READ, "servers.listed", "Every server, and its tools as far as they are known.",
          {200: "Servers"}, query=(Query("tools", "false: without them, for those who ask often", "boolean"),)),
    Route("POST", "/api/v1/servers", ADMIN, "servers.add", "Add a server, and have it started.",
          {202: "Accepted", 201: "Added"}, takes="AddServer", query=WAIT, is_tagged=True),
    Route("POST", "/api/v1/servers/start", MUTATE, "servers.start_all", "Start every server that clients share.",
          {202: "Operated"}),
    Route("POST", "/api/v1/servers/stop", MUTATE, "servers.stop_all", "Stop every server.", {200: "Operated"}),
    Route("GET", "/api/v1/servers/{name}", READ, "servers.shown",
          "One server, its tools, and its definition without values of variables and headers.", {200: "Server"},
          is_tagged=True),
    Route("PUT", "/api/v1/servers/{name}", ADMIN, "servers.put",
          "Let a server be defined so: added, replaced (with If-Match), or left as it is.",
          {200: "Updated", 202: "Accepted", 201: "Added"}, takes="PutServer", query=WAIT,
          heeds=(IF_MATCH, IF_NONE_MATCH), is_tagged=True),
    Route("PATCH", "/api/v1/servers/{name}", MUTATE, "servers.patch",
          "Switch a server on or off, rename it, change single keys; what it runs and is given with the admin token.",
          {200: "Updated"}, takes="PatchServer", query=WAIT, heeds=(IF_MATCH,), is_tagged=True),
    Route("DELETE", "/api/v1/servers/{name}", MUTATE, "servers.remove",
          "Take a server out of the configuration; what it was is kept.", {200: "Removed"}, heeds=(IF_MATCH,)),
    Route("GET", "/api/v1/servers/{name}/login", LOOK, "logins.look", "Whether its caller has signed in at a server, "
          "and where that is done.", {200: "Login"}, query=(
              Query("wait", "how long to wait until the caller has, such as 10s; 60s at most"),
          )),
    Route("POST", "/api/v1/servers/{name}/login", USE, "logins.login",
          "Find out where its caller signs in at a server; or bring what a browser was sent back with.",
          {200: "Login"}, takes="AskLogin"),
    Route("DELETE", "/api/v1/servers/{name}/login", USE, "logins.logout",
          "Give back what its caller was granted at a server.", {200: "LoggedOut"}, query=(
              Query("forget", "true: and what the gateway is registered as there", "boolean"),
          )),
    Route("POST", "/api/v1/servers/{name}/start", MUTATE, "servers.start", "Start a server.",
          {202: "Operated", 200: "Operated"}, query=WAIT),
    Route("POST", "/api/v1/servers/{name}/stop", MUTATE, "servers.stop",
          "Stop a server; the next who needs it starts it again.", {200: "Operated"}),
    Route("POST", "/api/v1/servers/{name}/restart", MUTATE, "servers.restart",
          "Replace what runs of a server, or start it.", {200: "Operated"}, query=WAIT),
    Route("POST", "/api/v1/servers/{name}/reset-circuit", MUTATE, "servers.reset_circuit",
          "Forget what a server has done wrong.", {200: "Operated"}),
    # Tools; who calls a tool can do whatever the tool does
    Route("GET", "/api/v1/tools", LOOK, "tools.listed", "All tools, those of a server, or those that fit best.",
          {200: "Tools"}, query=(
              Query("server", "only of this server"),
              Query("q", "what is looked for"),
              Query("limit", "how many at most, with q", "integer"),
          )),
    Route("POST", "/api/v1/tools/{id:path}/call", USE, "tools.call_by_id", "Call a tool by its id.",
          {200: "ToolResult"}, takes="Call"),
    Route("GET", "/api/v1/tools/{id:path}", LOOK, "tools.describe", "All there is to know of a tool.",
          {200: "Tool"}),
    Route("POST", "/api/v1/servers/{name}/call", USE, "tools.call", "Call a tool of a server by its own name.",
          {200: "ToolResult"}, takes="CallOfServer"),
    Route("GET", "/api/v1/results/{ref}", LOOK, "tools.result", "A part of a result that was too long to be shown.",
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
    # Tokens
    Route("GET", "/api/v1/tokens", ADMIN, "tokens.listed", "The tokens of agents, without themselves.",
          {200: "Tokens"}),
    Route("POST", "/api/v1/tokens", ADMIN, "tokens.create",
          "Make a token for an agent; the answer is the only one that has it.", {201: "MadeToken"}, takes="NewToken"),
    Route("POST", "/api/v1/tokens/rotate", ADMIN, "tokens.rotate",
          "Replace the gateway's own tokens; those that were are good no more.", {200: "Rotated"}, takes="Rotate"),
    Route("PUT", "/api/v1/tokens/required", ADMIN, "tokens.require",
          "Whether clients on this machine need a token, too.", {200: "Required"}, takes="Required"),
    Route("DELETE", "/api/v1/tokens/{id}", ADMIN, "tokens.revoke", "Take a token back, by its id or its name.",
          {200: "RevokedToken"}),
    Route("GET", "/api/v1/discover", READ, "tools.discovered",
          "How far having servers asked for their lists is.", {200: "Discovery"}),
    Route("POST", "/api/v1/discover", MUTATE, "tools.discover", "Have servers asked for their lists.",
          {202: "Discovery"}, takes="Discover"),
    # Logs and events
    Route("GET", "/api/v1/servers/{name}/logs", READ, "logs.of_server",
          "The log of a server: its last lines, then what is added to it. ``Last-Event-ID`` goes on from there.",
          {200: OK}, query=(
              Query("tail", "so many of the last lines; 1000 at most", "integer"),
              Query("follow", "false: only the lines that there are", "boolean"),
          ), media=Media.EVENTS),
    Route("GET", "/api/v1/events", READ, "logs.events",
          "What happens in the gateway, from now on; with ``Last-Event-ID`` from there.", {200: OK}, query=(
              Query("kind", "only these, such as server,session.ended"),
              Query("server", "only what is about this server"),
              Query("after", "what was seen last, for those who cannot send Last-Event-ID"),
              Query("follow", "false: only what has happened", "boolean"),
          ), media=Media.EVENTS),
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
              Query("kind", "call (of a tool), request (anything else that a server is asked) or management"),
          )),
)  # fmt: skip

API, VERSIONED = b"/api/", b"/api/v1/"
"""What stands in front of the routes of programs, and what may be left out of that."""


def leading_to(path: bytes) -> Iterator[Route]:
    """Return the routes of a path, of any method; those of its versioned path if it has none."""
    found = False
    plain = _decoded(path)
    for route in ROUTES:
        if route.leads(path) and route.leads(plain):  # see Note [As it is judged]
            found = True
            yield route
    if not found and path.startswith(API) and not path.startswith(VERSIONED):
        # It is told where that is, if it may go there.
        yield from leading_to(VERSIONED + path.removeprefix(API))


def _decoded(path: bytes) -> bytes:
    # Nothing leads anywhere that is no text when decoded.
    plain = unquote_to_bytes(path) if b"%" in path else path
    try:
        plain.decode()
    except UnicodeDecodeError:
        return b""
    return plain


def class_of(method: bytes, path: bytes) -> RouteClass:
    """The class of a request to the control plane; ``NOTHING`` where no route is declared."""
    name = method.decode("ascii", "replace")
    return next((each.access for each in leading_to(path) if name in each.methods), RouteClass.NOTHING)


def methods_of(path: bytes) -> tuple[str, ...]:
    """The methods that a path answers to; empty where there is nothing."""
    return tuple(sorted({method for each in leading_to(path) for method in each.methods}))
