"""The ways to reach a server that is no program with JSON-RPC on its stdin and stdout, and their settings."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from attrs import field, frozen

from mcpgateway.config.fields import (
    FILLED,
    PORT_LIMIT,
    Anything,
    ArgumentList,
    Choice,
    Either,
    Flag,
    MapOf,
    Strings,
    Text,
    Texts,
    Tree,
    WholeNumber,
)
from mcpgateway.config.section import (
    Counts,
    Expansion,
    Key,
    Section,
    keyed,
    keys_of,
    same,
    setting,
    settings_in,
)

PROGRAM = Either(
    {str: FILLED, list: ArgumentList(least=1)}, "a program, or a list of a program and its arguments"
)


class Transport(Enum):
    """The transport to a server at a URL."""

    STREAMABLE_HTTP = "streamable-http"
    SSE = "sse"
    WEBSOCKET = "websocket"


TRANSPORTS = {
    "http": Transport.STREAMABLE_HTTP,
    "streamable-http": Transport.STREAMABLE_HTTP,
    "streamable_http": Transport.STREAMABLE_HTTP,
    "streamableHttp": Transport.STREAMABLE_HTTP,
    "sse": Transport.SSE,
    "websocket": Transport.WEBSOCKET,
    "ws": Transport.WEBSOCKET,
}


class GrantOf(Enum):
    """The owner of the account at a remote server: each principal, or the gateway for all."""

    USER = "user"
    GATEWAY = "gateway"


@frozen
class OAuth:
    """The gateway as an OAuth 2.1 client of a remote server; the settings that are empty are discovered.

    :ivar client_secret: None for a public client.
    """

    client_id: str = setting(
        "client_id",
        Text(),
        "Who the gateway is to the authorization server; without it, it registers itself.",
        also=(same("clientId", Text(), "client_id"),),
        value="",
        expansion=Expansion.TEXT,
    )
    client_secret: str | None = setting(
        "client_secret",
        Text(is_secret=True),
        "The secret of a confidential client.",
        also=(same("clientSecret", Text(is_secret=True), "client_secret"),),
        value=None,
        is_secret=True,
        expansion=Expansion.TEXT,
    )
    scopes: tuple[str, ...] = setting(
        "scopes",
        Texts(),
        "What is asked for.",
        also=(same("scope", Texts(), "scopes"),),
        value=(),
        read=lambda values: tuple(word for each in next(iter(values.values())) for word in each.split()),
        expansion=Expansion.TEXT,
    )
    authorization_server: str = setting(
        "authorization_server",
        Text(is_secret=True),
        "URL of the server; without it, it is found out.",
        also=(same("authorizationServer", Text(is_secret=True), "authorization_server"),),
        value="",
        expansion=Expansion.URL,
    )
    grant: GrantOf = setting(
        "grant",
        Choice({each.value: each for each in GrantOf}),
        "Who signs in: each ``user``, that is everybody with a token, key or address of their own, or the gateway"
        " once for all (``gateway``).",
        "user",
    )


OAUTH = Section("OAuth 2.1", keys_of(OAuth), is_secret=True)
AUTH = Section(
    "A bearer token",
    [
        Key("type", Choice.of("bearer"), "How the token is sent.", "bearer"),
        Key("token", Text(is_secret=True), "The token; better a variable such as ``${TOKEN}``."),
    ],
    is_secret=True,
)


def _oauth(values: Mapping[str, Any]) -> OAuth | None:
    found = values["oauth"]
    if found is False:
        return None
    return OAuth(**settings_in(OAuth, found if isinstance(found, dict) else {}))


HEADERS = Key(
    "headers", Strings(), "Headers that are sent with every request.", {}, counts=Counts.NEW_PROCESS
)
BEARER = Key("auth", AUTH, "A token that is sent with every request.", counts=Counts.NEW_PROCESS)
PROXY = Key(
    "proxy",
    Text(is_secret=True),
    'The HTTP proxy for all requests to it and to what it names, ``http://HOST:PORT``; ``""`` is none. Else'
    " HTTPS_PROXY, HTTP_PROXY and NO_PROXY count.",
    counts=Counts.NEW_PROCESS,
)
REST_URL = Key(
    "rest_url",
    Text(is_secret=True, least=1),
    "The base of a service without MCP; beside a command or a url, where the server's own health is asked.",
    is_ours=True,
)
URL_KEYS = ("url", "httpUrl", "serverUrl", "baseUrl")


@frozen
class Remote:
    """A server that runs somewhere else and is reached by URL.

    :ivar url: http, https, ws or wss, expanded; its query may hold a secret.
    :ivar headers: expanded, with the bearer token.
    :ivar oauth: the OAuth settings; None: no token is asked for.
    :ivar is_guess: the transport was guessed from the URL, since the configuration does not name it.
    :ivar proxy: the URL of the proxy; empty for none, None for that of the environment.
    """

    url: str = setting(
        "url",
        Text(is_secret=True, least=1),
        "Where a server runs that is not started here: http, https, ws or wss. A path that ends in ``/sse`` "
        "means the older HTTP+SSE transport.",
        also=[same(each, Text(is_secret=True, least=1), "url") for each in URL_KEYS[1:]],
        value="",
        is_secret=True,
        counts=Counts.NEW_PROCESS,
    )
    transport: Transport = Transport.STREAMABLE_HTTP
    headers: Mapping[str, str] = keyed(HEADERS, BEARER, value={}, is_secret=True, expansion=Expansion.HEADERS)
    oauth: OAuth | None = setting(
        "oauth",
        Either({bool: Flag(), dict: OAUTH}),
        "Whether the gateway asks for a token (OAuth 2.1).",
        default=False,
        read=_oauth,
        counts=Counts.NEW_PROCESS,
        expansion=Expansion.PART,
    )
    ca_file: str = setting(
        "ca_file",
        FILLED,
        "Certificates that are trusted instead of the system's.",
        value="",
        counts=Counts.NEW_PROCESS,
        expansion=Expansion.PATH,
    )
    insecure: bool = setting(
        "insecure",
        Flag(),
        "``true``: the server's certificate is not looked at.",
        default=False,
        also=(
            Key(
                "tls_verify",
                Flag(),
                "``false`` is the same as ``insecure: true``.",
                default=True,
                counts=Counts.NEW_PROCESS,
            ),
        ),
        read=lambda values: values.get("insecure", False) or not values.get("tls_verify", True),
        counts=Counts.NEW_PROCESS,
    )
    is_guess: bool = False
    proxy: str | None = keyed(PROXY, value=None, is_secret=True, expansion=Expansion.PROXY)


@frozen
class Daemon:
    """A program that serves MCP at a port of its own: started, locked, adopted if it already runs.

    :ivar url: its address on this machine.
    """

    port: int = setting(
        "port",
        WholeNumber(1, PORT_LIMIT),
        "The port at which the program serves MCP itself; a program that already runs there is used.",
        value=0,
        counts=Counts.NEW_PROCESS,
    )
    url: str = ""
    transport: Transport = Transport.STREAMABLE_HTTP


@frozen
class Container:
    """A server that runs in a container; the command of its spec runs inside of it.

    :ivar engine: the engine; empty for the first that is installed.
    :ivar options: the options of ``docker run``, as written; ``-e NAME`` takes the value from the spec's ``env``.
    """

    image: str = setting("image", FILLED, "The image.", value="", expansion=Expansion.IMAGE)
    engine: str = setting(
        "engine",
        Choice.of("docker", "podman"),
        "What runs it; without it, the first of them there is.",
        value="",
    )
    options: tuple[str, ...] = setting(
        "options",
        ArgumentList(),
        "Further options of ``docker run``.",
        value=(),
        is_secret=True,
        expansion=Expansion.TEXT,
    )


DOCKER = Section(
    "A container",
    [
        *keys_of(Container),
        Key("command", PROGRAM, "What runs inside, instead of the image's own program."),
        Key("args", ArgumentList(), "Arguments of what runs inside."),
    ],
)


@frozen
class RestTool:
    """One request of a service without MCP, as a tool.

    :ivar path: below the service's base, with ``{parameters}``.
    :ivar schema: the JSON Schema of its arguments.
    :ivar places: the place of each argument: ``path`` (or ``path-label``, ``path-matrix``, each ``-exploded`` or not),
        ``query`` (or ``query-list``, ``query-space``, ``query-pipe``, ``query-deep``, ``query-json``), ``header``,
        ``cookie``, ``body`` (a property of it; ``body-list``, ``body-deep``, ``body-json``, ``body-base64``) or
        ``whole-body`` (``whole-body-base64``), followed by ``:`` and the name it has there if that is another.
    :ivar media: the media type of its body; empty for JSON.
    :ivar parts: the media types of the body's properties, where the description has them.
    :ivar output: the JSON Schema of its structured content; None: unknown.
    :ivar base: the URL in front of its path, where that is another than the service's.
    :ivar wants: the credentials that the service wants for it, in words; empty where the description has none.
    :ivar security: the same as names of security schemes, those of one way at a time; None where the
        description has none.
    """

    name: str = setting("name", FILLED, "The name of the tool.", value="")
    method: str = setting(
        "method",
        Choice.of("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"),
        "The method of the request.",
        "GET",
    )
    path: str = setting("path", FILLED, "The path below ``rest_url``, with ``{parameters}``.", value="")
    description: str = setting("description", Text(), "What the tool does.", value="")
    schema: Mapping[str, Any] = setting(
        "schema",
        Tree(),
        "The JSON Schema of its arguments; without one, the parameters of the path.",
        also=(same("inputSchema", Tree(), "schema"), same("input_schema", Tree(), "schema")),
        value={},
    )
    places: Mapping[str, str] = setting(
        "places",
        MapOf(Choice.of("path", "query", "header", "body")),
        "Where each argument goes; by itself ``path`` if the path names it, ``query`` for GET, HEAD and DELETE, "
        "else ``body``.",
        value={},
    )
    media: str = ""
    parts: Mapping[str, str] = field(factory=dict)
    output: Mapping[str, Any] | None = None
    base: str = ""
    wants: str = ""
    security: tuple[tuple[str, ...], ...] | None = None


REST_TOOL = Section("A request as a tool", keys_of(RestTool))


@frozen
class Operations:
    """The operations of a description that are offered: those that match every member that is not empty.

    A pattern that begins with ``!`` excludes; ``*`` and ``?`` stand for any text and any character, as in names of
    files.
    """

    tags: tuple[str, ...] = setting("tags", Texts(), "Those with one of these tags.", value=())
    paths: tuple[str, ...] = setting(
        "paths", Texts(), "Those whose path is like one of these, such as ``/repos/*``.", value=()
    )
    methods: tuple[str, ...] = setting(
        "methods", Texts(), "Those of these methods, such as ``GET``.", value=()
    )
    names: tuple[str, ...] = setting(
        "names", Texts(), "Those whose ``operationId`` is like one of these, such as ``repos/*``.", value=()
    )


OPERATIONS = Section("Which operations are offered", keys_of(Operations))
ALL_OPERATIONS = Operations()


@frozen
class Rest:
    """A service without MCP whose requests are offered as tools.

    :ivar base: the URL in front of every tool's path.
    :ivar openapi: the file or URL of its description; empty: `tools` has all.
    :ivar credentials: the credentials, by the names of the description's security schemes.
    :ivar proxy: the URL of the proxy, as for a `Remote`.
    """

    base: str = keyed(REST_URL, value="", expansion=Expansion.URL)
    headers: Mapping[str, str] = keyed(HEADERS, BEARER, value={}, is_secret=True, expansion=Expansion.HEADERS)
    tools: tuple[RestTool, ...] = setting(
        "tools",
        Anything(),
        "The requests of the service that are offered as tools.",
        value=(),
        counts=Counts.NEW_PROCESS,
    )
    openapi: str = setting(
        "openapi",
        Text(is_secret=True, least=1),
        "File or URL of the service's OpenAPI description.",
        value="",
        is_ours=True,
        counts=Counts.NEW_PROCESS,
        expansion=Expansion.PATH,
    )
    operations: Operations = setting(
        "operations",
        OPERATIONS,
        "Which operations of the description are offered as tools: those that every list here has a place for; what"
        " begins with ``!`` is left out. Without it, all.",
        value=ALL_OPERATIONS,
        read=lambda values: Operations(**values["operations"]),
        is_ours=True,
        counts=Counts.NEW_PROCESS,
    )
    credentials: Mapping[str, str] = setting(
        "credentials",
        Strings(),
        "Credentials by the names of the security schemes that the description has, which says where each goes: a"
        " key, a token, or for ``basic`` USER:PASSWORD.",
        {},
        is_secret=True,
        is_ours=True,
        counts=Counts.NEW_PROCESS,
        expansion=Expansion.HEADERS,
    )
    proxy: str | None = keyed(PROXY, value=None, is_secret=True, expansion=Expansion.PROXY)


Reach = Remote | Daemon | Container | Rest
"""The way to reach a server that is not simply a program spoken with on its stdin and stdout."""


def transport(reach: Reach | None) -> str:
    """Return the name of a server's transport: ``stdio``, ``docker``, ``rest``, or that of a remote server."""
    match reach:
        case Remote() | Daemon():
            return reach.transport.value
        case Container():
            return "docker"
        case Rest():
            return "rest"
        case None:
            return "stdio"
