"""Configurations for tests: drawn at random, written as text, and one that says everything."""

from __future__ import annotations

from attrs import asdict
from hypothesis import strategies as st

from mcpgateway.config.gateway_settings import Circuit, GatewaySettings, Limits
from mcpgateway.config.load import Circumstances, Files, compose
from mcpgateway.config.model import (
    UNLIMITED,
    WRITES,
    Bridge,
    Concurrency,
    Lazy,
    ServerSpec,
    Share,
)
from mcpgateway.config.problems import Problems
from mcpgateway.config.reach_settings import Container, Daemon, OAuth, Remote, Rest, RestTool, Transport
from mcpgateway.config.read import parse
from mcpgateway.config.resolve import World
from mcpgateway.config.surface import (
    Expose,
    FilterMode,
    Level,
    Order,
    SearchFormat,
    ShieldLimits,
    ViewSettings,
)
from mcpgateway.errors import ConfigError
from mcpgateway.protocol.versions import Era

HOME = "/home/me"
LOGIN = {"HOME": HOME, "PATH": "/bin", "LANG": "C.UTF-8"}
WORLD = World(login=LOGIN, variables={}, home=HOME)

FULL = """\
include: []
env_policy: allow-list
gateway:
  listen: ["unix:/run/x"]
  http_port: 9100
  bind_address: 127.0.0.1
  allow_remote: false
  remote_commands: false
  trust_other_users: false
  expose: hybrid
  ping_interval: 30s
  bridge: auto
  auth_mcp_transport: loopback-only
  allowed_hosts: [gateway.test]
  allowed_origins: ["http://gateway.test"]
  compress_schemas: false
  tls_cert_path: ""
  tool_filter:
    {mode: allowlist, include_servers: [github], exclude_servers: [], tool_budget: 10, per_server_budget: 5,
    consolidate_excess: false, budget_order: usage, pinned: [github__search]}
  shield: {level: bounded, array_items: 50, keep: 100, keep_bytes: 1000, mask_secrets: false}
  circuit: {restarts: 3, window: 1m, open: 2m, auto_reset: true}
  limits: {body_bytes: 2048, spawns: 2, servers: 90, drain: 5s, handshake: 10s, reap: 60s}
settings:
  security:
    auth: {enabled: false, trusted_ips: [127.0.0.1], api_keys: [hunter2-key], project_tokens: {hunter2-token: shop}}
clients: {adopt: ask, watch: true, opt_out: [mine]}
servers:
  github:
    command: npx
    args: [-y, "@modelcontextprotocol/server-github", 3]
    env: {GITHUB_TOKEN: hunter2-env, LEVEL: 3}
    cwd: /srv/work
    share: credential
    protocol: legacy
    bridge: always
    timeout: 2m
    interactive: auto
    enabled: true
    replicas: 2
    concurrency: none
    inject_args: {owner: me}
    lazy: {enabled: true, idleTimeoutMs: 1000, connectTimeoutMs: 5000, maxRamMb: 100, maxUptimeMs: 0, prewarm: false}
    rest_url: http://localhost:7000
    health_endpoint: /health
    prefix: gh
    expose_tools: true
    tools_off: [clear, "delete_*"]
    pinned: [search]
    shield: {level: lean, tools: {search: off}}
  listed:
    command: [uvx, some-server]
    env: [A=hunter2-list, B=c]
    disabled: true
  remote:
    url: https://mcp.test/mcp?key=hunter2-query
    type: http
    headers: {X-Key: hunter2-header}
    auth: {type: bearer, token: hunter2-bearer}
    oauth: {client_id: us, client_secret: hunter2-secret, scopes: [read, write]}
    ca_file: /etc/ca.pem
    proxy: http://us:hunter2-proxy@proxy.test:3128
    insecure: false
  memory:
    command: [memory-mcp, --port, "3100"]
    port: 3100
    transport: streamable-http
    path: /mcp
  boxed:
    docker: {image: "registry.test/x:1", engine: docker, options: [--network, none], command: serve, args: [a]}
    env: {SECRET: hunter2-box}
  run:
    command: docker run --rm -i -e KEY=hunter2-e image a b
  service:
    rest_url: http://localhost:8000
    tools:
      - {name: list, path: /things, description: All of them}
      - {name: get, method: GET, path: "/things/{id}", schema: {type: object, properties: {id: {type: string}}}}
  described:
    rest_url: http://localhost:8001
    openapi: openapi.json
profiles:
  base:
    capabilities: [docs]
    env: {REGION: hunter2-region}
    servers: {docs: {command: docs-server, args: ["${REGION}"]}}
workspaces:
  shop: {path: /home/me/shop, profiles: [base]}
compat: {ports: [], errors: mcp}
"""

names = st.from_regex(r"[a-z][a-z0-9_-]{0,10}[a-z0-9]", fullmatch=True)
# No variable begins in them, and no line ends.
plain = st.text(
    st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs"), exclude_characters="{}"), max_size=12
)
filled = plain.filter(lambda each: each.strip() and each[0] not in "~/." and "/" not in each)
words = st.lists(plain, max_size=3).map(tuple)
tokens = st.from_regex(r"[A-Za-z][A-Za-z0-9-]{0,8}", fullmatch=True)
variables = st.dictionaries(st.from_regex(r"X_[A-Z0-9_]{1,8}", fullmatch=True), plain, max_size=3)
seconds = st.integers(1, 86_400).map(float)
headers = st.dictionaries(
    tokens.map(lambda each: f"X-{each}"),
    plain.map(str.strip).filter(lambda each: each not in ("", "Bearer")),
    max_size=2,
)
directories = st.from_regex(r"/[a-z]{1,8}(/[a-z]{1,8})?", fullmatch=True)


@st.composite
def remotes(draw):
    """Servers at URLs."""
    transport = draw(st.sampled_from(Transport))
    scheme = draw(st.sampled_from(["ws", "wss"] if transport is Transport.WEBSOCKET else ["http", "https"]))
    oauth = draw(
        st.none()
        | st.builds(OAuth, filled, st.none() | filled, st.lists(names, max_size=2).map(tuple), st.just(""))
    )
    return Remote(
        f"{scheme}://{draw(names)}.test{draw(directories)}?q={draw(names)}",
        transport,
        draw(headers),
        oauth,
        draw(st.just("") | directories),
        draw(st.booleans()),
    )


@st.composite
def daemons(draw):
    """Programs at ports."""
    port, transport = (
        draw(st.integers(1, 65535)),
        draw(st.sampled_from([Transport.STREAMABLE_HTTP, Transport.SSE])),
    )
    return Daemon(port, f"http://127.0.0.1:{port}{draw(directories)}", transport)


containers = st.builds(Container, filled, st.sampled_from(["docker", "podman"]), words)
rest_tools = st.builds(
    lambda name, method, path, description: RestTool(
        name,
        method,
        path,
        description,
        {"type": "object", "properties": {"a": {"type": "string"}}},
        {"a": "query" if method in ("GET", "HEAD", "DELETE") else "body"},
    ),
    *(names, st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"]), directories, plain),
)
rests = st.builds(
    Rest,
    directories.map(lambda each: f"http://rest.test{each}"),
    headers,
    st.lists(rest_tools, max_size=2, unique_by=lambda each: each.name).map(tuple),
    st.just("") | directories,
)
lazies = st.builds(
    Lazy,
    st.booleans(),
    seconds,
    seconds,
    st.integers(0, 1000).map(lambda each: each * 2**20),
    seconds,
    st.booleans(),
)


@st.composite
def servers(draw, name):
    """Servers of all kinds, as they are where no workspace is known."""
    reach = draw(st.none() | remotes() | daemons() | containers | rests)
    command = () if isinstance(reach, Remote | Rest) else (draw(filled), *draw(words))
    env = draw(variables)
    if isinstance(reach, Container):
        given = tuple(word for each in sorted(env) for word in ("-e", each))
        reach = Container(reach.image, reach.engine, (*reach.options, *given))
    return ServerSpec(
        name=name,
        command=command,
        env={**LOGIN, **env},
        cwd=draw(directories),
        share=draw(st.sampled_from(Share)),
        timeout_s=draw(st.just(0.0) | seconds),
        interactive=draw(st.sampled_from([None, True, False])),
        protocol=draw(st.sampled_from([None, *Era])),
        bridge=draw(st.sampled_from([None, *Bridge])),
        reach=reach,
        enabled=draw(st.booleans()),
        lazy=draw(lazies),
        replicas=draw(st.integers(1, 64)),
        concurrency=draw(st.sampled_from([None, UNLIMITED, WRITES, Concurrency(3)])),
        inject=draw(st.dictionaries(names, filled, max_size=2)),
        prefix=draw(st.sampled_from([None, "", name, "p"])),
        expose_tools=draw(st.booleans()),
        tools_off=draw(st.lists(names, max_size=2).map(tuple)),
        pinned=draw(st.lists(names, max_size=2).map(tuple)),
        shield=draw(st.sampled_from([None, *Level])),
        shield_tools=draw(st.dictionaries(names, st.sampled_from(Level), max_size=2)),
    )


views = st.builds(
    ViewSettings,
    st.sampled_from(Expose),
    st.booleans(),
    st.sampled_from(FilterMode),
    *(st.lists(names, max_size=2).map(tuple),) * 2,
    *(st.integers(0, 9),) * 2,
    st.booleans(),
    st.sampled_from(Order),
    st.lists(names, max_size=2).map(tuple),
    st.sampled_from(SearchFormat),
)
shields = st.builds(
    ShieldLimits,
    st.sampled_from(Level),
    *(st.integers(1, 9),) * 3,
    st.integers(1024, 9000),
    *(st.integers(0, 9),) * 2,
    st.booleans(),
)
gateways = st.builds(
    GatewaySettings,
    http_port=st.integers(0, 65535),
    bind_address=st.sampled_from(["127.0.0.1", "::1", "127.0.0.9"]),
    listen=st.lists(filled, max_size=2).map(tuple),
    **dict.fromkeys(("allow_remote", "remote_commands", "trust_other_users"), st.booleans()),
    auth_mcp_transport=st.sampled_from(["", "loopback-only", "bearer-required"]),
    allowed_hosts=st.lists(names, max_size=2).map(tuple),
    allowed_origins=st.lists(names, max_size=2).map(tuple),
    bridge=st.sampled_from(Bridge),
    limits=st.builds(
        Limits,
        **dict.fromkeys(("body_bytes", "rest_body_bytes"), st.integers(1024, 9000)),
        spawns=st.integers(1, 9),
        **dict.fromkeys(("drain_s", "handshake_s", "stuck_s"), seconds),
        reap_s=st.integers(50, 99),
    ),
    circuit=st.builds(Circuit, st.integers(0, 9), seconds, seconds, st.booleans()),
    ping_s=seconds,
    views=views,
    shield=shields,
)


@st.composite
def configurations(draw):
    """The settings of a gateway, and servers of all kinds."""
    titles = draw(st.lists(names, max_size=2, unique=True))
    return draw(gateways), tuple(draw(servers(each)) for each in titles)


def written(gateway, specs):
    """Return settings as a file has them."""
    limits, circuit = gateway.limits, gateway.circuit
    return {
        "gateway": {
            "http_port": gateway.http_port,
            "bind_address": gateway.bind_address,
            "listen": list(gateway.listen),
            "allow_remote": gateway.allow_remote,
            "remote_commands": gateway.remote_commands,
            "trust_other_users": gateway.trust_other_users,
            "auth_mcp_transport": gateway.auth_mcp_transport,
            "allowed_hosts": list(gateway.allowed_hosts),
            "allowed_origins": list(gateway.allowed_origins),
            "bridge": gateway.bridge.value,
            "ping_interval": f"{gateway.ping_s:g}s",
            "log_level": gateway.log_level,
            "expose": gateway.views.expose.value,
            "compress_schemas": gateway.views.compress_schemas,
            "search_format": gateway.views.search_format.value,
            "semantic_search": gateway.views.semantic_search.value,
            "tool_filter": {
                "mode": gateway.views.mode.value,
                "include_servers": list(gateway.views.include),
                "exclude_servers": list(gateway.views.exclude),
                "tool_budget": gateway.views.tool_budget,
                "per_server_budget": gateway.views.per_server_budget,
                "consolidate_excess": gateway.views.consolidate_excess,
                "budget_order": gateway.views.budget_order.value,
                "pinned": list(gateway.views.pinned),
            },
            "shield": {**asdict(gateway.shield), "level": gateway.shield.level.value},
            "circuit": {
                "restarts": circuit.restarts,
                "window": circuit.window_s,
                "open": f"{circuit.open_s * 1000:.0f}ms",
                "auto_reset": circuit.auto_reset,
            },
            "limits": {
                "body_bytes": limits.body_bytes,
                "rest_body_bytes": limits.rest_body_bytes,
                "spawns": limits.spawns,
                "servers": limits.servers,
                "sessions": limits.sessions,
                "drain": limits.drain_s,
                "handshake": limits.handshake_s,
                "idle_exit": limits.idle_exit_s,
                "stuck": limits.stuck_s,
                "reap": limits.reap_s,
                "session_idle": limits.session_idle_s,
            },
        },
        "servers": {each.name: _entry(each) for each in specs},
    }


def read(text, file, world=WORLD):
    """Read a file of ours as the gateway does; return the settings, if any, and all that is wrong."""
    problems = Problems()
    try:
        document = parse(text, file, flaws=problems, takes_list=True)
    except ConfigError as why:
        problems.catch(why, file)
        return None, problems
    return compose(Files((document,)), Circumstances(world), problems), problems


def _concurrency(said):
    if said is None:
        return "auto"
    return int(str(said)) if str(said).isdigit() else str(said)


def _entry(server):
    lazy = server.lazy
    found = {
        "env": {name: value for name, value in server.env.items() if name not in LOGIN},
        "cwd": server.cwd,
        "share": server.share.value,
        "timeout": server.timeout_s,
        "interactive": "auto" if server.interactive is None else server.interactive,
        "protocol": server.protocol.value if server.protocol else "auto",
        "enabled": server.enabled,
        "replicas": server.replicas,
        "concurrency": _concurrency(server.concurrency),
        "inject_args": dict(server.inject),
        "lazy": {
            "enabled": lazy.enabled,
            "idleTimeoutMs": lazy.idle_s * 1000,
            "connectTimeoutMs": lazy.connect_s * 1000,
            "maxRamMb": lazy.ram_bytes // 2**20,
            "maxUptimeMs": f"{lazy.uptime_s:g}s",
            "prewarm": lazy.prewarm,
        },
        "expose_tools": server.expose_tools,
        "tools_off": list(server.tools_off),
        "pinned": list(server.pinned),
        **({"bridge": server.bridge.value} if server.bridge else {}),
        **({} if server.prefix is None else {"prefix": server.prefix}),
        "shield": {
            **({"level": server.shield.value} if server.shield else {}),
            "tools": {name: level.value for name, level in server.shield_tools.items()},
        },
    }
    return found | _reach(server)


def _reach(server):
    match server.reach:
        case None:
            return {"command": server.command[0], "args": list(server.command[1:])}
        case Daemon() as reach:
            path = reach.url.removeprefix(f"http://127.0.0.1:{reach.port}")
            return {
                "command": list(server.command),
                "port": reach.port,
                "path": path,
                "transport": reach.transport.value,
            }
        case Container() as reach:
            given = 2 * sum(name not in LOGIN for name in server.env)
            options = list(reach.options[: len(reach.options) - given])
            return {
                "docker": {"image": reach.image, "engine": reach.engine, "options": options},
                "command": server.command[0],
                "args": list(server.command[1:]),
            }
        case Rest() as reach:
            tools = [
                {
                    "name": each.name,
                    "method": each.method,
                    "path": each.path,
                    "description": each.description,
                    "schema": each.schema,
                }
                for each in reach.tools
            ]
            described = {"openapi": reach.openapi} if reach.openapi else {}
            return {"rest_url": reach.base, "headers": reach.headers, "tools": tools, **described}
        case Remote() as reach:
            oauth = reach.oauth and {
                "client_id": reach.oauth.client_id,
                "client_secret": reach.oauth.client_secret,
                "scopes": list(reach.oauth.scopes),
            }
            return {
                "url": reach.url,
                "transport": reach.transport.value,
                "headers": reach.headers,
                "oauth": oauth,
                "insecure": reach.insecure,
                **({"ca_file": reach.ca_file} if reach.ca_file else {}),
            }
