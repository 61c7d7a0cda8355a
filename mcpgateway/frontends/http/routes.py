"""The table of the control plane's routes; no other route exists.

From it come the access class of each route (`class_of`), its operation (`mcpgateway.frontends.rest.site`), the OpenAPI
description and the reference page.

# Note [As it is judged]
The guard judges a path as it was sent, while Klein decodes a path before it finds the route.  An encoded slash would be
part of a name for the guard, and lead to another route in Klein.  So a path leads to a route only if it does so in both
spellings, and `mcpgateway.frontends.rest.site` refuses a route whose access class is not the one that was judged.
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
    """A parameter of a query.

    :ivar type: its type in JSON Schema.
    """

    name: str
    what: str
    type: str = "string"


@frozen
class Header:
    """A header of a route, besides the common ones."""

    name: str
    what: str


@frozen
class Route:
    """A route of the control plane.

    :ivar path: with placeholders such as ``{name}``, a part of a path, and ``{id:path}``, a part that may have slashes.
    :ivar access: its access class.
    :ivar operation: its operation, as ``group.method``.
    :ivar summary: one sentence for the reference.
    :ivar gives: the names of the schemas of its successful answers, by status.
    :ivar takes: the name of the schema of its body; empty for none.
    :ivar heeds: the request headers that it uses.
    :ivar is_tagged: True if its answers have an ``ETag``, which identifies the state of an entry.
    :ivar media: the media type of its successful answers; event streams are not queued.
    :ivar is_followed: True if ``follow=true`` makes a stream of events of its answer.
    :ivar is_light: True if `mcpgateway.frontends.http.health` serves it, without Klein.
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
    is_followed: bool = False
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
        """Its HTTP methods."""
        return ("GET", "HEAD") if self.method == "GET" else (self.method,)

    @property
    def places(self) -> tuple[str, ...]:
        """The names of the placeholders in its path."""
        return tuple(name for name, _ in PLACE.findall(self.path))

    def leads(self, path: bytes) -> bool:
        """Return whether a path belongs to this route."""
        return self._pattern.fullmatch(path) is not None


READ, END, MUTATE, ADMIN = RouteClass.READ, RouteClass.END_SESSION, RouteClass.MUTATE, RouteClass.ADMIN
LOOK, USE, WATCH = RouteClass.LOOK, RouteClass.USE, RouteClass.WATCH
OK = "Anything"
SHAPE = (Query("shape", "immorterm, harshal: in the shape of immorterm-mcp-gateway or harshal-mcp-proxy"),)
WAIT = (Query("wait", "how long to wait until it runs or has failed, such as 10s; 60s at most"),)
IF_MATCH = Header("If-Match", "the ETag of the definition to change, or *")
IF_NONE_MATCH = Header("If-None-Match", "* if there must be none yet")

CALL_FILTERS = (
    Query("id", "only this call, this trace, or this session"),
    Query("server", "only requests to this server"),
    Query("tool", "only calls of this tool"),
    Query("outcome", "ok, error, cancelled, refused, or timeout, which is an error as well"),
    Query("principal", "only lines of this principal"),
    Query("client", "only requests of clients with this name"),
    Query("project", "only requests of clients in this directory"),
    Query("failed", "true: only what has failed, or was refused", "boolean"),
    Query("slower_than", "only requests that took as many milliseconds, or more", "integer"),
    Query("text", "only what has all of these words in its names, its directory or its error"),
)

ROUTES: tuple[Route, ...] = (
    Route("GET", "/health", WATCH, "health.numbers", "Numbers of the gateway, and every server.", {200: "Health"},
          query=SHAPE, is_light=True),
    Route("GET", "/healthz", WATCH, "health.alive", "Whether the gateway answers.", {200: "Alive"}, is_light=True),
    Route("GET", "/readyz", RouteClass.PUBLIC, "health.ready",
          "Whether a balancer may send clients to the gateway: 200, or 503 while it is drained or stops.",
          {200: "Alive"}, is_light=True),
    Route("GET", "/metrics", WATCH, "health.metrics", "All numbers, in the text format of Prometheus.", {200: OK},
          media=Media.METRICS, is_light=True),
    Route("GET", "/api/v1/health", WATCH, "health.numbers", "The same as ``/health``.", {200: "Health"},
          query=SHAPE, is_light=True),
    Route("GET", "/api/v1/version", WATCH, "instance.version", "The release of the gateway.", {200: "Version"}),
    Route("GET", "/api/v1/preflight", WATCH, "instance.preflight",
          "Whether servers could be called now, as an exit code; starts no server.", {200: "Readiness"},
          query=(Query("need", "the names of servers, with commas"),)),
    Route("POST", "/api/v1/wait", MUTATE, "instance.wait", "Start servers, and wait until they can be called.",
          {200: "Readiness"}, takes="Wait"),
    Route("GET", "/api/v1/debug/dump", MUTATE, "instance.dump",
          "The state of the gateway, bounded and without secrets.", {200: "Dump"}),
    Route("POST", "/api/v1/shutdown", ADMIN, "instance.shutdown",
          "Stop the gateway; calls under way may finish first.", {202: "Ending"}),
    Route("POST", "/api/v1/restart", ADMIN, "instance.restart",
          "Restart the gateway within its process: sessions stay, and clients notice nothing.", {202: "Restarting"}),
    Route("GET", "/oauth/callback", RouteClass.RETURN, "authorization.let_in",
          "The return of a browser from the authorization server of a remote server.", {200: OK},
          query=(Query("state", "of the sign-in"), Query("code", "of the grant"), Query("error", "of a refusal")),
          media=Media.PAGE),
    Route("POST", "/oauth/callback", RouteClass.RETURN, "authorization.agree",
          "Confirm the principal that a sign-in is for.", {200: OK}, media=Media.PAGE),
    Route("GET", "/oauth/client.json", RouteClass.PUBLIC, "authorization.document",
          "The gateway's client ID metadata document, for authorization servers.", {200: OK}),
    Route("GET", "/api/v1/openapi.json", WATCH, "describing.openapi", "This API, as OpenAPI 3.1.", {200: OK}),
    # The cluster
    Route("GET", "/api/v1/cluster", READ, "cluster.shown",
          "The nodes of the cluster; none for a gateway that is alone.", {200: "Cluster"}),
    Route("POST", "/api/v1/cluster/drain", ADMIN, "cluster.drain",
          "Let other nodes take a node's clients over, or take that back.", {202: "Drained"}, takes="Drain"),
    # Numbers
    Route("GET", "/api/health/stats", WATCH, "figures.stats",
          "Numbers of the gateway, its servers, their tools and the last hour, in the shape of immorterm-mcp-gateway.",
          {200: "Stats"}),
    Route("GET", "/api/v1/metrics", WATCH, "figures.metrics",
          "Restarts and uptimes of servers, and the token costs of their tools.", {200: "Metrics"}),
    Route("GET", "/api/v1/series", WATCH, "figures.series",
          "Each of the latest minutes: requests, calls of tools, failures, memory, processes and sessions.",
          {200: "Series"}, query=(
              Query("minutes", "how many; 60 without it, 1440 at most", "integer"),
              Query("server", "only the requests to this server"))),
    Route("GET", "/api/v1/savings", WATCH, "figures.savings", "The savings of sharing: processes, memory, tokens.",
          {200: "Savings"}),
    # Clients' own files; the gateway runs the servers of a file once it is enrolled
    Route("GET", "/clients", READ, "clients.listed", "The clients' files that use the gateway.", {200: "Clients"}),
    Route("GET", "/clients/detect", READ, "clients.detect", "The clients that this machine has.", {200: "Detected"}),
    Route("GET", "/clients/projects", READ, "clients.in_projects",
          "The clients' files of the projects in which clients work, and of those that are enrolled.",
          {200: "ProjectFiles"}),
    Route("POST", "/clients/register", ADMIN, "clients.register", "Enrol a client's files.",
          {200: "Registered"}, takes="Register"),
    Route("POST", "/clients/plan", ADMIN, "clients.plan",
          "The change that enrolling a client's file would make, as a diff without secrets.",
          {200: "FilesChanged"}, takes="EnrolFile"),
    Route("POST", "/clients/apply", ADMIN, "clients.apply", "Enrol a client's file, by URL or by command.",
          {200: "FilesChanged"}, takes="EnrolFile"),
    Route("POST", "/clients/undo", ADMIN, "clients.undo", "Restore a client's file, which uses the gateway no more.",
          {200: "FilesChanged"}, takes="RestoreFile"),
    Route("POST", "/clients/undo/plan", ADMIN, "clients.restoration",
          "The change that restoring a client's file would make, as a diff without secrets.",
          {200: "FilesChanged"}, takes="RestoreFile"),
    Route("GET", "/clients/ledger", READ, "clients.history",
          "What the gateway has changed in clients' files, the latest change first.", {200: "FileHistory"},
          query=(Query("path", "only changes of this file"),)),
    Route("GET", "/clients/ledger/{version}", ADMIN, "clients.change",
          "One change of a client's file, as a diff without secrets.", {200: "FileChange"}),
    Route("POST", "/projects/register", ADMIN, "clients.register_project", "Enrol a project's file.",
          {200: "RegisteredProject"}, takes="RegisterProject"),
    Route("GET", "/api/gateway/config", READ, "clients.config", "The gateway's settings for clients' files.",
          {200: "GatewayConfig"}),
    Route("POST", "/api/gateway/disable", MUTATE, "clients.disable",
          "Disable the gateway: clients' files are restored, and requests to servers refused.", {200: "Switched"}),
    Route("POST", "/api/gateway/enable", MUTATE, "clients.enable", "Enable the gateway again.", {200: "Switched"}),
    # Sessions
    Route("DELETE", "/sessions/by-pid/{pid}", END, "sessions.end_by_pid",
          "End every session of a client process.", {200: "EndedOfProcess"}),
    Route("DELETE", "/sessions/{id}", END, "sessions.end", "End a session; an unknown id ends nothing.",
          {200: "Ended"}),
    Route("GET", "/api/v1/sessions", READ, "sessions.listed",
          "The sessions in use, with their clients and calls; and the latest clients that need none.",
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
    Route("POST", "/api/sessions/{id}/kill", MUTATE, "sessions.kill_named", "End a session.", {200: "EndedNamed"}),
    Route("POST", "/api/sessions/kill-all", MUTATE, "sessions.kill_all", "End all sessions.", {200: "EndedSome"}),
    # The routes of immorterm-mcp-gateway
    Route("POST", "/api/servers/install", ADMIN, "older.install",
          "Try a server, and write it into the configuration when it works.", {200: "Installed"}, takes="Install"),
    Route("POST", "/api/servers/{name}/reconnect", MUTATE, "older.reconnect",
          "Restart a server.", {200: "Reconnected"}),
    Route("POST", "/api/servers/{name}/disable", MUTATE, "older.disable",
          "Restore a server's entries in clients' files, or disable the server.", {200: "ServerSwitched"}),
    Route("POST", "/api/servers/{name}/enable", MUTATE, "older.enable",
          "Enrol the entries of a server again, or enable the server.", {200: "ServerSwitched"}),
    # The routes of mcp-session-manager; a daemon is a server whose entry has a port
    Route("GET", "/ping", WATCH, "daemons.ping", "Whether the gateway answers.", {200: "Pong"}),
    Route("GET", "/status", READ, "daemons.status", "The state of each daemon.", {200: "Daemons"}),
    Route("POST", "/start", MUTATE, "daemons.start", "Start a daemon.", {200: "Daemon"}, takes="NamedDaemon"),
    Route("POST", "/stop", MUTATE, "daemons.stop", "Stop a daemon.", {200: "Daemon"}, takes="NamedDaemon"),
    Route("POST", "/ensure", MUTATE, "daemons.ensure", "Start a daemon unless it runs.", {200: "Ensured"},
          takes="NamedDaemon"),
    Route("POST", "/start-all", MUTATE, "daemons.start_all", "Start all daemons.", {200: "Daemons"}),
    Route("POST", "/stop-all", MUTATE, "daemons.stop_all", "Stop all daemons.", {200: "Daemons"}),
    # The servers' own APIs; requests have the credentials of the server's entry
    *(
        Route(method, f"/api/v1/servers/{{name}}/rest/{below}", MUTATE, "relay.pass_on",
              f"A request to the server's own REST API, {where} the rest_url of its entry.", {200: OK},
              media=Media.ANY)
        for below, where in (("", "at"), ("{path:path}", "below"))
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE")
    ),
    # Servers; a caller that defines commands has the rights of the gateway's user
    Route("GET", "/api/v1/servers", READ, "servers.listed", "Every server, and its tools as far as they are known.",
          {200: "Servers"}, query=(Query("tools", "false: without them, for frequent requests", "boolean"),)),
    Route("POST", "/api/v1/servers", ADMIN, "servers.add", "Add a server, and start it.",
          {202: "Accepted", 201: "Added"}, takes="AddServer", query=WAIT, is_tagged=True),
    Route("POST", "/api/v1/servers/start", MUTATE, "servers.start_all", "Start every server that clients share.",
          {202: "Operated"}),
    Route("POST", "/api/v1/servers/stop", MUTATE, "servers.stop_all", "Stop every server.", {200: "Operated"}),
    Route("GET", "/api/v1/servers/{name}", READ, "servers.shown",
          "One server, its tools, and its definition without values of variables and headers.", {200: "Server"},
          is_tagged=True),
    Route("PUT", "/api/v1/servers/{name}", ADMIN, "servers.put",
          "Define a server: add it, replace it (with If-Match), or leave it as it is.",
          {200: "Updated", 202: "Accepted", 201: "Added"}, takes="PutServer", query=WAIT,
          heeds=(IF_MATCH, IF_NONE_MATCH), is_tagged=True),
    Route("PATCH", "/api/v1/servers/{name}", MUTATE, "servers.patch",
          "Enable, disable or rename a server, or change keys; command and environment need the admin token.",
          {200: "Updated"}, takes="PatchServer", query=WAIT, heeds=(IF_MATCH,), is_tagged=True),
    Route("DELETE", "/api/v1/servers/{name}", MUTATE, "servers.remove",
          "Remove a server from the configuration; its entry is kept.", {200: "Removed"}, heeds=(IF_MATCH,)),
    Route("GET", "/api/v1/servers/{name}/login", LOOK, "logins.look", "Whether its caller has signed in at a server, "
          "and the address of the sign-in.", {200: "Login"}, query=(
              Query("wait", "how long to wait for the sign-in, such as 10s; 60s at most"),)),
    Route("POST", "/api/v1/servers/{name}/login", USE, "logins.login",
          "Return the address or the device code of a sign-in at a server, or take the return address of a browser.",
          {200: "Login"}, takes="AskLogin"),
    Route("DELETE", "/api/v1/servers/{name}/login", USE, "logins.logout",
          "Revoke and delete the caller's grant at a server.", {200: "LoggedOut"}, query=(
              Query("forget", "true: delete the gateway's registration there, too", "boolean"),)),
    Route("POST", "/api/v1/servers/{name}/start", MUTATE, "servers.start", "Start a server.",
          {202: "Operated", 200: "Operated"}, query=WAIT),
    Route("POST", "/api/v1/servers/{name}/stop", MUTATE, "servers.stop",
          "Stop a server; its next request starts it again.", {200: "Operated"}),
    Route("POST", "/api/v1/servers/{name}/restart", MUTATE, "servers.restart",
          "Restart a server, or start it.", {200: "Operated"}, query=(
              *WAIT, Query("reset", "true: close its circuit breaker before", "boolean"))),
    Route("POST", "/api/v1/servers/{name}/reset-circuit", MUTATE, "servers.reset_circuit",
          "Close the circuit breaker of a server.", {200: "Operated"}, query=(
              Query("passed", "true: a test of it has passed, so that its last fault is forgotten, too", "boolean"),)),
    Route("POST", "/api/v1/servers/{name}/check-upgrade", ADMIN, "versions.check",
          "Compare a newer version of its package, started beside it.", {200: "Lock"}, takes="ServerVersion"),
    Route("POST", "/api/v1/servers/{name}/upgrade", ADMIN, "versions.upgrade",
          "Give its new sessions a version that was compared.", {200: "Lock"}, takes="ServerVersion"),
    Route("POST", "/api/v1/servers/{name}/rollback", ADMIN, "versions.rollback",
          "Give its new sessions the version before its upgrade.", {200: "Lock"}),
    Route("POST", "/api/v1/servers/{name}/approve", ADMIN, "versions.approve",
          "Offer tools again that are held back because they have changed.", {200: "Lock"}, takes="ApproveTools"),
    Route("POST", "/api/v1/servers/validate", ADMIN, "servers.validate",
          "Try a server that is not configured yet, or a change of one that is; nothing is written.",
          {200: "Validated"}, takes="ValidateServer"),
    Route("GET", "/api/v1/catalog", READ, "catalog.search",
          "Servers that can be installed by name: the recipes, and with a query those of the registry that match.",
          {200: "Catalog"}, query=(
              Query("q", "words, a tag or a name"), Query("limit", "how many of the registry at most", "integer"),
          )),
    Route("POST", "/api/v1/catalog/{name:path}/install", ADMIN, "catalog.install",
          "Install a server by its name; it is tried first, and secrets go into the gateway's own file of values.",
          {200: "CatalogInstalled"}, takes="CatalogInstall"),
    # The configuration
    Route("GET", "/api/v1/config/schema", WATCH, "configuration.schema",
          "The JSON Schema of a configuration file.", {200: OK}),
    Route("GET", "/api/v1/config", READ, "configuration.shown",
          "The configuration: files, problems, and the values that count with their sources, without secrets.",
          {200: "Configuration"}, query=(Query("server", "only the values of this server"),), is_tagged=True),
    Route("PATCH", "/api/v1/config/gateway", ADMIN, "configuration.patch",
          "Change settings of the gateway, by their dotted keys below ``gateway``.", {200: "ConfigChanged"},
          takes="PatchConfig", heeds=(IF_MATCH,), is_tagged=True),
    # Tools; a caller has the rights of the tools
    Route("GET", "/api/v1/tools", LOOK, "tools.listed", "All tools, those of a server, or the best matches.",
          {200: "Tools"}, query=(
              Query("server", "only of this server"),
              Query("q", "the question"),
              Query("limit", "how many at most, with q", "integer"),
              Query("offered", "false: also those that tools_off takes out of the offer", "boolean"),
              Query("asked", "false: all known tools, without schemas and without asking servers", "boolean"),
          )),
    Route("PATCH", "/api/v1/tools", MUTATE, "tools.switch_many",
          "Offer tools or take them out of their servers' offers, and list them before others or not (``pinned``).",
          {200: "ToolsSwitched"}, takes="SwitchTools"),
    Route("PATCH", "/api/v1/tools/{id:path}", MUTATE, "tools.switch",
          "Offer a tool or take it out of its server's offer, and list it before others or not (``pinned``).",
          {200: "ToolsSwitched"}, takes="SwitchTool"),
    Route("POST", "/api/v1/tools/{id:path}/call", USE, "tools.call_by_id", "Call a tool by its id.",
          {200: "ToolResult"}, takes="Call"),
    Route("GET", "/api/v1/tools/{id:path}", LOOK, "tools.describe", "The complete description of a tool.",
          {200: "Tool"}, query=(
              Query("asked", "false: only a tool that is known, without asking servers", "boolean"),)),
    Route("POST", "/api/v1/servers/{name}/call", USE, "tools.call", "Call a tool of a server by its own name.",
          {200: "ToolResult"}, takes="CallOfServer"),
    Route("GET", "/api/v1/results/{ref}", LOOK, "tools.result", "A part of the original of a shortened result.",
          {200: OK}, query=(
              Query("offset", "where the part begins", "integer"),
              Query("limit", "how long it is", "integer"),
              Query("fields", "only these, with commas"),
              Query("search", "only what holds this"),
              Query("path", "only this part"),
              Query("grep", "only lines that hold this"),
              Query("context", "lines around them", "integer"),
              Query("head", "only so many first lines", "integer"),
              Query("tail", "only so many last lines", "integer"),
              Query("shape", "only its structure", "boolean"),
              Query("aggregate", "only numbers of it"),
          )),
    # Views
    Route("GET", "/api/v1/views", READ, "views.listed",
          "The endpoints for several servers: their servers, and the size of their lists beside that of all tools.",
          {200: "Views"}, query=(
              Query("view", "only this view, such as mcp or mcp/p/office, with the names of its listed tools"),
              Query("most", "the number of tools that a client takes; with view, the others are beyond", "integer"),
              Query("client", "the client whose number that is: cursor, vscode or windsurf"),
          )),
    Route("GET", "/api/v1/profiles", READ, "views.profiles", "The profiles, without the values of their variables.",
          {200: "Profiles"}),
    Route("PUT", "/api/v1/profiles/{profile}", ADMIN, "views.put",
          "Create a profile, or give it these servers and tools.", {200: "Profile", 201: "Profile"},
          takes="PutProfile", heeds=(IF_MATCH, IF_NONE_MATCH), is_tagged=True),
    Route("DELETE", "/api/v1/profiles/{profile}", ADMIN, "views.delete",
          "Delete a profile that defines no servers.", {200: "ProfileDeleted"}, heeds=(IF_MATCH,)),
    # Jobs
    Route("GET", "/api/v1/jobs", LOOK, "jobs.listed",
          "The caller's calls in the background, the newest first.", {200: "Jobs"},
          query=(Query("limit", "how many at most; 50 without it", "integer"),)),
    Route("DELETE", "/api/v1/jobs/{id}", USE, "jobs.cancel", "Cancel a call in the background.", {200: "Job"}),
    # The dashboard
    Route("POST", "/api/v1/ui/codes", ADMIN, "dashboards.make_code",
          "Create a one-time code that signs a dashboard in.", {201: "DashboardCode"}, takes="NewDashboardCode"),
    Route("POST", "/api/v1/ui/sessions", RouteClass.PUBLIC, "dashboards.sign_in",
          "Exchange a code or a token of the gateway for a dashboard's session; only this answer contains its token.",
          {201: "SignedIn"}, takes="DashboardSecret"),
    Route("GET", "/api/v1/ui/sign-ins", RouteClass.PUBLIC, "dashboards.sign_ins",
          "The authorization server at which users of the dashboard may sign in, with the address; or none.",
          {200: "DashboardSignIns"}, query=(
              Query("again", "true: it asks for the password, too", "boolean"),
          )),
    Route("GET", "/api/v1/ui/sessions", ADMIN, "dashboards.listed", "The dashboards that are signed in.",
          {200: "DashboardSessions"}),
    Route("DELETE", "/api/v1/ui/sessions/{id}", READ, "dashboards.sign_out",
          "Sign a dashboard out; its own session, or any as an administrator.", {200: "SignedOut"}),
    # Tokens
    Route("GET", "/api/v1/tokens", ADMIN, "tokens.listed", "The tokens of agents, without the secrets.",
          {200: "Tokens"}),
    Route("POST", "/api/v1/tokens", ADMIN, "tokens.create",
          "Create a token for an agent; only this answer contains it.", {201: "MadeToken"}, takes="NewToken"),
    Route("POST", "/api/v1/tokens/rotate", ADMIN, "tokens.rotate",
          "Replace the gateway's own tokens; the former become invalid.", {200: "Rotated"}, takes="Rotate"),
    Route("PUT", "/api/v1/tokens/required", ADMIN, "tokens.require",
          "Require a token of clients on this machine, too, or not.", {200: "Required"}, takes="Required"),
    Route("DELETE", "/api/v1/tokens/{id}", ADMIN, "tokens.revoke", "Revoke a token, by its id or its name.",
          {200: "RevokedToken"}),
    Route("GET", "/api/v1/discover", READ, "tools.discovered",
          "The progress of reading the servers' lists.", {200: "Discovery"}),
    Route("POST", "/api/v1/discover", MUTATE, "tools.discover", "Read the lists of servers.",
          {202: "Discovery"}, takes="Discover"),
    # Logs and events
    Route("GET", "/api/v1/servers/{name}/logs", READ, "logs.of_server",
          "The log of a server: its last lines, then new ones. ``Last-Event-ID`` continues after a line.",
          {200: OK}, query=(
              Query("tail", "the number of last lines; 1000 at most", "integer"),
              Query("follow", "false: only the present lines", "boolean"),
          ), media=Media.EVENTS),
    Route("GET", "/api/v1/log", READ, "logs.own",
          "The gateway's own log: its last lines, then new ones. ``Last-Event-ID`` continues after a line.",
          {200: OK}, query=(
              Query("tail", "the number of last lines; 1000 at most", "integer"),
              Query("follow", "false: only the present lines", "boolean"),
          ), media=Media.EVENTS),
    Route("GET", "/api/v1/events", READ, "logs.events",
          "The events of the gateway, from now on, or after ``Last-Event-ID``.", {200: OK}, query=(
              Query("kind", "only these, such as server,session.ended"),
              Query("server", "only events of this server"),
              Query("after", "the id of the last event, for clients without Last-Event-ID"),
              Query("follow", "false: only past events", "boolean"),
          ), media=Media.EVENTS),
    # How it came about
    Route("GET", "/api/v1/overview", READ, "tracing.overview",
          "Whether all is well, what needs the user and which command helps; with the numbers of ``/health``.",
          {200: "Overview"}),
    Route("GET", "/api/v1/doctor", READ, "doctor.findings",
          "The findings of ``mcpgateway doctor`` on this machine, each with its remedy and its repair.",
          {200: "Examination"}),
    Route("POST", "/api/v1/doctor/{id}/fix", ADMIN, "doctor.fix",
          "Carry out the repair of a finding, as ``doctor --fix`` does, and look again.", {200: "Examination"}),
    Route("GET", "/api/v1/approvals", READ, "approvals.listed",
          "The repositories' files that define servers, those that wait for the user's approval first, and their "
          "commands without secrets.", {200: "Approvals"}),
    Route("POST", "/api/v1/approvals", ADMIN, "approvals.answer",
          "Approve of a repository's file as it is, refuse it, or withdraw the answer.", {200: "RepositoryFile"},
          takes="AnswerApproval"),
    Route("GET", "/api/v1/servers/{name}/why", READ, "tracing.why",
          "The diagnosis of a server: its faults, their remedies, its start and its events.", {200: "Why"}),
    Route("GET", "/api/v1/servers/{name}/record", ADMIN, "tracing.record",
          "The flight recorder of a server: its latest lines in both directions, without secrets.",
          {200: "Record"}, query=(
              Query("limit", "only so many of the latest lines", "integer"),
              Query("exact", "true: with the secrets", "boolean"),
          )),
    Route("POST", "/api/v1/servers/{name}/replay", ADMIN, "tracing.replay",
          "Send recorded requests to a server again, one after the other in a session of its own.",
          {200: "Replayed"}, takes="Replay"),
    Route("GET", "/api/v1/usage", READ, "tracing.usage",
          "The calls of tools in the latest minutes, as the activity log has them: in all, over time, and of each "
          "client, server, tool, project or principal.", {200: "Usage"}, query=(
              Query("by", "client, server, tool, project, or token, which is each principal (for administrators)"),
              Query("minutes", "how many; 60 without it, 30 days at most", "integer"),
              *CALL_FILTERS,
          )),
    Route("GET", "/api/v1/activity", ADMIN, "tracing.activity",
          "The activity log: the latest requests with callers and outcomes, and changes of the gateway.",
          {200: "Activity"}, query=(
              Query("follow", "true: a stream of events, the latest records and then new ones; ``Last-Event-ID`` "
                    "continues after a record", "boolean"),
              Query("limit", "how many at most; 1000 of the latest", "integer"),
              Query("minutes", "only what ended in the latest minutes, as ``GET /api/v1/usage`` counts them",
                    "integer"),
              Query("kind", "call (of a tool), request (any other request to a server) or management"),
              *CALL_FILTERS,
              Query("since", "only what ended at this time or later, in ISO 8601"),
              Query("until", "only what ended at this time or earlier"),
              Query("before", "the ``at`` and the ``id`` of a record, with a slash between them: only earlier ones"),
          ), is_followed=True),
    Route("GET", "/api/v1/activity/{id}", ADMIN, "tracing.call",
          "One record of the activity log; of a call with its phases, the questions that it has caused, and its "
          "messages, as far as the flight recorder still has them.", {200: "OneCall"}),
)  # fmt: skip

API, VERSIONED = b"/api/", b"/api/v1/"
"""The prefix of programs' routes, without the version and with it."""


def leading_to(path: bytes) -> Iterator[Route]:
    """Yield the routes of a path, of any method; those of its versioned path if it has none."""
    found = False
    plain = _decoded(path)
    for route in ROUTES:
        if route.leads(path) and route.leads(plain):  # see Note [As it is judged]
            found = True
            yield route
    if not found and path.startswith(API) and not path.startswith(VERSIONED):
        # An admitted caller gets the versioned path.
        yield from leading_to(VERSIONED + path.removeprefix(API))


def _decoded(path: bytes) -> bytes:
    # No route has a path whose decoded bytes are not UTF-8.
    plain = unquote_to_bytes(path) if b"%" in path else path
    try:
        plain.decode()
    except UnicodeDecodeError:
        return b""
    return plain


def class_of(method: bytes, path: bytes) -> RouteClass:
    """Return the access class of a request to the control plane; ``NOTHING`` if it has no route."""
    name = method.decode("ascii", "replace")
    return next((each.access for each in leading_to(path) if name in each.methods), RouteClass.NOTHING)


def methods_of(path: bytes) -> tuple[str, ...]:
    """Return the HTTP methods of a path; empty if it has no route."""
    return tuple(sorted({method for each in leading_to(path) for method in each.methods}))
