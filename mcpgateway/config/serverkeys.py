"""The keys of a server."""

from __future__ import annotations

from mcpgateway.config.fields import (
    FILLED,
    POLICY,
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
    VariableMap,
    WholeNumber,
)
from mcpgateway.config.model import GrantOf, ServerSettings, Transport
from mcpgateway.config.section import Counts, Key, Section, keys_of, same

TRANSPORTS = {
    "http": Transport.STREAMABLE_HTTP,
    "streamable-http": Transport.STREAMABLE_HTTP,
    "streamable_http": Transport.STREAMABLE_HTTP,
    "streamableHttp": Transport.STREAMABLE_HTTP,
    "sse": Transport.SSE,
    "websocket": Transport.WEBSOCKET,
    "ws": Transport.WEBSOCKET,
}

REST_TOOL = Section(
    "A request as a tool",
    [
        Key("name", FILLED, "The name of the tool."),
        Key(
            "method",
            Choice.of("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"),
            "The method of the request.",
            "GET",
        ),
        Key("path", FILLED, "The path below ``rest_url``, with ``{parameters}``."),
        Key("description", Text(), "What the tool does."),
        Key("schema", Tree(), "The JSON Schema of its arguments; without one, the parameters of the path."),
        same("inputSchema", Tree(), "schema"),
        same("input_schema", Tree(), "schema"),
        Key(
            "places",
            MapOf(Choice.of("path", "query", "header", "body")),
            "Where each argument goes; by itself ``path`` if the path names it, ``query`` for GET, HEAD and DELETE, "
            "else ``body``.",
        ),
    ],
)

OPERATIONS = Section(
    "Which operations are offered",
    [
        Key("tags", Texts(), "Those with one of these tags."),
        Key("paths", Texts(), "Those whose path is like one of these, such as ``/repos/*``."),
        Key("methods", Texts(), "Those of these methods, such as ``GET``."),
        Key("names", Texts(), "Those whose ``operationId`` is like one of these, such as ``repos/*``."),
    ],
)

OAUTH = Section(
    "OAuth 2.1",
    [
        Key(
            "client_id",
            Text(),
            "Who the gateway is to the authorization server; without it, it registers itself.",
        ),
        same("clientId", Text(), "client_id"),
        Key("client_secret", Text(is_secret=True), "The secret of a confidential client."),
        same("clientSecret", Text(is_secret=True), "client_secret"),
        Key("scopes", Texts(), "What is asked for."),
        same("scope", Texts(), "scopes"),
        Key("authorization_server", Text(is_secret=True), "URL of the server; without it, it is found out."),
        same("authorizationServer", Text(is_secret=True), "authorization_server"),
        Key(
            "grant",
            Choice({each.value: each for each in GrantOf}),
            "Who signs in: each ``user``, that is everybody with a token, key or address of their own, or the gateway"
            " once for all (``gateway``).",
            "user",
        ),
    ],
    is_secret=True,
)

AUTH = Section(
    "A bearer token",
    [
        Key("type", Choice.of("bearer"), "How the token is sent.", "bearer"),
        Key("token", Text(is_secret=True), "The token; better a variable such as ``${TOKEN}``."),
    ],
    is_secret=True,
)

PROGRAM = Either(
    {str: FILLED, list: ArgumentList(least=1)}, "a program, or a list of a program and its arguments"
)

DOCKER = Section(
    "A container",
    [
        Key("image", FILLED, "The image."),
        Key("engine", Choice.of("docker", "podman"), "What runs it; without it, the first of them there is."),
        Key("options", ArgumentList(), "Further options of ``docker run``."),
        Key("command", PROGRAM, "What runs inside, instead of the image's own program."),
        Key("args", ArgumentList(), "Arguments of what runs inside."),
    ],
)

SERVER = Section(
    "A server",
    [
        Key(
            "command",
            PROGRAM,
            "The program, or a list of the program and its arguments.",
            counts=Counts.NEW_PROCESS,
        ),
        Key("args", ArgumentList(), "Arguments of the program.", counts=Counts.NEW_PROCESS),
        Key(
            "env",
            VariableMap(),
            "Variables, as a mapping or as a list of ``K=V``.",
            {},
            counts=Counts.NEW_PROCESS,
        ),
        same("environment", VariableMap(), "env"),
        Key(
            "env_policy",
            POLICY,
            "Which variables of the login it is given beyond ``env``: ``minimal``, ``allow-list``, ``full``, or a list"
            " of these words and of names, such as ``[allow-list, SSH_AUTH_SOCK, -TZ]``.",
            "allow-list",
            is_ours=True,
            counts=Counts.NEW_PROCESS,
        ),
        Key("cwd", Text(), "The directory it runs in.", counts=Counts.NEW_PROCESS),
        Key(
            "url",
            Text(is_secret=True, least=1),
            "Where a server runs that is not started here: http, https, ws or wss. A path that ends in ``/sse`` "
            "means the older HTTP+SSE transport.",
            counts=Counts.NEW_PROCESS,
        ),
        *(same(each, Text(is_secret=True, least=1), "url") for each in ("httpUrl", "serverUrl", "baseUrl")),
        Key("headers", Strings(), "Headers that are sent with every request.", {}, counts=Counts.NEW_PROCESS),
        Key("auth", AUTH, "A token that is sent with every request.", counts=Counts.NEW_PROCESS),
        Key(
            "oauth",
            Either({bool: Flag(), dict: OAUTH}),
            "Whether the gateway asks for a token (OAuth 2.1).",
            default=False,
            counts=Counts.NEW_PROCESS,
        ),
        Key(
            "proxy",
            Text(is_secret=True),
            'The HTTP proxy for all requests to it and to what it names, ``http://HOST:PORT``; ``""`` is none. Else'
            " HTTPS_PROXY, HTTP_PROXY and NO_PROXY count.",
            counts=Counts.NEW_PROCESS,
        ),
        Key(
            "ca_file",
            FILLED,
            "Certificates that are trusted instead of the system's.",
            counts=Counts.NEW_PROCESS,
        ),
        Key(
            "insecure",
            Flag(),
            "``true``: the server's certificate is not looked at.",
            default=False,
            counts=Counts.NEW_PROCESS,
        ),
        Key(
            "tls_verify",
            Flag(),
            "``false`` is the same as ``insecure: true``.",
            default=True,
            counts=Counts.NEW_PROCESS,
        ),
        Key(
            "type",
            Choice.of("stdio", "local", "remote", "docker", "rest", *TRANSPORTS),
            "The kind of server, where its other keys do not say it.",
            counts=Counts.NEW_PROCESS,
        ),
        Key(
            "transport",
            Choice.of("stdio", "docker", *TRANSPORTS),
            "How it is spoken with.",
            counts=Counts.NEW_PROCESS,
        ),
        Key(
            "port",
            WholeNumber(1, PORT_LIMIT),
            "The port at which the program serves MCP itself; a program that already runs there is used.",
            counts=Counts.NEW_PROCESS,
        ),
        Key("path", FILLED, "The path at that port.", "/mcp", counts=Counts.NEW_PROCESS),
        Key(
            "docker",
            Either({str: FILLED, dict: DOCKER}),
            "The image of a container, or all about it.",
            counts=Counts.NEW_PROCESS,
        ),
        Key(
            "rest_url",
            Text(is_secret=True, least=1),
            "The base of a service without MCP; beside a command or a url, where the server's own health is asked.",
            is_ours=True,
        ),
        Key("health_endpoint", FILLED, "The path below ``rest_url`` that answers while the server is well."),
        Key(
            "openapi",
            Text(is_secret=True, least=1),
            "File or URL of the service's OpenAPI description.",
            is_ours=True,
            counts=Counts.NEW_PROCESS,
        ),
        Key(
            "operations",
            OPERATIONS,
            "Which operations of the description are offered as tools: those that every list here has a place for; what"
            " begins with ``!`` is left out. Without it, all.",
            is_ours=True,
            counts=Counts.NEW_PROCESS,
        ),
        Key(
            "credentials",
            Strings(),
            "Credentials by the names of the security schemes that the description has, which says where each goes: a"
            " key, a token, or for ``basic`` USER:PASSWORD.",
            {},
            is_ours=True,
            counts=Counts.NEW_PROCESS,
        ),
        Key(
            "tools",
            Anything(),
            "The requests of the service that are offered as tools.",
            counts=Counts.NEW_PROCESS,
        ),
        *keys_of(ServerSettings),
        Key("name", Text(), "Its name, where servers are a list.", counts=Counts.NEVER),
        Key("description", Text(), "A note.", counts=Counts.NEVER, is_harmless=True),
        Key("tags", Texts(), "Notes.", counts=Counts.NEVER, is_harmless=True),
        Key("capabilities", Anything(), "Notes.", counts=Counts.NEVER, is_harmless=True),
        *(
            Key(each, Anything(), "A setting of other clients; it is passed over.", counts=Counts.NEVER)
            for each in "headersHelper autoApprove alwaysAllow alwaysLoad disabledTools trust lifecycle directTools"
            " includeTools excludeTools gallery version dev".split()
        ),
    ],
)

# Any of these makes an entry one of ours: no client writes them.
OURS = frozenset(key.name for key in SERVER.keys.values() if key.is_ours)
