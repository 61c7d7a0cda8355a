"""The keys of the gateway itself, and of all that is not about servers."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from mcpgateway.config import values
from mcpgateway.config.document import Place
from mcpgateway.config.kinds import (
    FILLED,
    LEVELS,
    POLICY,
    PORT_LIMIT,
    Choice,
    Duration,
    Either,
    Flag,
    ListOf,
    Strings,
    Text,
    Texts,
    WholeNumber,
)
from mcpgateway.config.model import BRIDGES
from mcpgateway.config.problems import Problems
from mcpgateway.config.section import Key, Section, same
from mcpgateway.config.surface import Expose, FilterMode, Order

GIB = 2**30
LOG_LEVELS = ("debug", "info", "warn", "error", "critical")


@frozen(eq=False, repr=False)
class Address:
    """An IP address, or ``localhost``."""

    words: str = "an IP address such as 127.0.0.1 or ::1"

    def read(self, place: Place, problems: Problems) -> str:
        """Read an address in its shortest spelling."""
        from ipaddress import ip_address

        if place.value == "localhost":
            return "127.0.0.1"
        try:
            return str(ip_address(values.text(place)))
        except ValueError:
            raise place.wrong(self.words) from None

    def json(self) -> dict[str, Any]:
        """Return the JSON Schema of addresses."""
        return {"type": "string", "pattern": "^(localhost|[0-9.]+|[0-9a-fA-F:.]*:[0-9a-fA-F:.%a-z0-9]*)$"}


@frozen(eq=False, repr=False)
class PublicUrl:
    """Where others reach the gateway: an http or https URL without a user, a query and a fragment."""

    words: str = "a URL such as https://gateway.example, or an empty text"

    def read(self, place: Place, problems: Problems) -> str:
        """Read it, without a slash at its end."""
        from urllib.parse import urlsplit

        said = values.text(place).strip()
        if not said:
            return ""
        try:
            parts = urlsplit(said)
            has_port = parts.port is None or parts.port > 0
        except ValueError:
            raise place.wrong(self.words) from None
        plain = said.isascii() and said.isprintable() and not set(said) & set(" \\@?#\"'<>")
        if not (plain and parts.scheme in ("http", "https") and parts.hostname and has_port):
            raise place.wrong(self.words)
        return said.rstrip("/")

    def json(self) -> dict[str, Any]:
        """Return the JSON Schema of such URLs."""
        return {"type": "string", "pattern": "^(https?://[^\\s@?#]+)?$"}


LIMITS = Section(
    "Limits of the gateway",
    [
        Key("body_bytes", WholeNumber(1024, GIB), "Body of an MCP request.", 4_194_304),
        Key("rest_body_bytes", WholeNumber(1024, GIB), "Body of any other request.", 1_048_576),
        Key(
            "list_bytes",
            WholeNumber(1024, GIB // 4),
            "One list of a server's, all its pages together, that is kept on record and searched; of a longer one as"
            " many pages are known as fit.",
            67_108_864,
        ),
        Key("spawns", WholeNumber(1, 1000), "Servers that start at the same time.", 5),
        Key("servers", WholeNumber(1, 100_000), "Servers in all.", 100),
        Key("sessions", WholeNumber(1, 10_000_000), "Sessions in all.", 10_000),
        Key("drain", Duration(), "How long running calls may take to end when the gateway stops.", "30s"),
        same("drain_ms", Duration("ms"), "drain"),
        Key(
            "handshake",
            Duration(least_s=1),
            "How long a server may take to start and answer ``initialize``.",
            "30s",
        ),
        Key(
            "stuck",
            Duration(),
            "How long a server's process that has calls to answer may show no sign of life - no output, no CPU time, no"
            " answer to pings - before new calls get another process; 0: for ever.",
            "60s",
        ),
        Key(
            "idle_exit",
            Duration(),
            "A gateway that a client's ``mcpgateway connect`` has started by itself ends after so long without use;"
            " 0: never. One with sessions, or with clients whose files use it, is in use.",
            "300s",
        ),
        Key(
            "reap",
            Duration(least_s=1),
            "How often is looked for sessions whose owners have gone, or that were silent for too long.",
            "60s",
        ),
        Key(
            "session_idle",
            Duration(least_s=1),
            "How long a session may be silent before what it holds is given back, such as a process of its own, where"
            " it is not known which program has begun it. Its id stays good. One whose program is known has a day, and"
            " ends with the program.",
            "30m",
        ),
        Key("concurrent", WholeNumber(1, 100_000), "Management requests that run at once.", 100),
        Key("backlog", WholeNumber(0, 100_000), "Management requests that wait.", 200),
        Key("wait", Duration(), "How long a management request waits.", "30s"),
        same("wait_ms", Duration("ms"), "wait"),
        Key("log_streams", WholeNumber(0, 10_000), "Streams of log lines, and of events, at once.", 20),
    ],
)

CIRCUIT = Section(
    "The circuit breaker",
    [
        Key(
            "restarts",
            WholeNumber(0, 1000),
            "So many restarts within the window, or failed starts in a row, and a server is given up; 0: never.",
            5,
        ),
        Key("window", Duration(least_s=1), "The window in which restarts are counted.", "5m"),
        Key(
            "open", Duration(least_s=1), "How long until it is tried once more; doubles up to an hour.", "5m"
        ),
        Key("auto_reset", Flag(), "``false``: it stays given up until it is reset by hand.", default=True),
    ],
)

TOOL_FILTER = Section(
    "The filter of tools",
    [
        Key(
            "mode",
            Choice({each.value: each for each in FilterMode}),
            "Which servers' tools views offer. ``allowlist``: only those of ``include_servers``. ``blocklist``: all "
            "but those of ``exclude_servers``.",
            "",
        ),
        Key("include_servers", Texts(), "Servers whose tools are offered.", []),
        Key("exclude_servers", Texts(), "Servers whose tools are not offered, in either mode.", []),
        Key(
            "tool_budget",
            WholeNumber(0, 1_000_000),
            "How many tools are listed in all; 0: all of them. The others can be called all the same.",
            0,
        ),
        Key(
            "per_server_budget",
            WholeNumber(0, 1_000_000),
            "How many tools of one server are listed; 0: all.",
            0,
        ),
        Key(
            "consolidate_excess",
            Flag(),
            "Whether what is over a server's budget is listed as one tool, ``<server>__more_tools``.",
            default=False,
        ),
        Key(
            "budget_order",
            Choice({**{each.value: each for each in Order}, "config": Order.BACKEND}),
            "Which tools come first. ``usage``: the pinned ones, then those called most. ``backend`` (``config``): the "
            "order of the servers and of their own lists. ``name``: the alphabet.",
            "usage",
        ),
        Key("pinned", Texts(), "Tools that come before all others, as ``<server>__<tool>``.", []),
    ],
)

SHIELD = Section(
    "The shield against large answers",
    [
        Key(
            "level",
            LEVELS,
            "How much of an answer is shown on views. ``off``: all of it. ``bounded``: what is within the limits. "
            "``lean`` (``full``): as little as tells what there is. What is left out can be asked for.",
            "bounded",
        ),
        Key("array_items", WholeNumber(1, GIB), "Items of a list that are shown.", 50),
        Key("string_chars", WholeNumber(1, GIB), "Characters of a text that are shown.", 8192),
        Key(
            "field_bytes",
            WholeNumber(1, GIB),
            "Mean size of a field that is shown of each object in a list.",
            256,
        ),
        Key("total_bytes", WholeNumber(1024, GIB), "Bytes of a whole answer.", 65_536),
        Key("keep", WholeNumber(0, 1_000_000), "Whole answers that are kept.", 100),
        Key(
            "keep_bytes", WholeNumber(0, 1024 * GIB), "Bytes of all whole answers that are kept.", 67_108_864
        ),
        Key(
            "mask_secrets",
            Flag(),
            "Whether what looks like a token or a password is masked.",
            default=False,
        ),
    ],
)

TRACE = Section(
    "Following calls",
    [
        Key(
            "record_lines",
            WholeNumber(0, 100_000),
            "The latest lines that are kept in memory of what is said to each server and by it; 0: none.",
            400,
        ),
        Key(
            "activity",
            Flag(),
            "Whether a line is written to ``logs/activity.jsonl`` in the home for every call and every change.",
            default=True,
        ),
        Key(
            "begin",
            Flag(),
            "Whether a trace is begun for calls whose client says nothing of one.",
            default=False,
        ),
        Key(
            "otlp",
            Text(),
            "Where spans of calls are sent, by OTLP over HTTP, such as ``http://localhost:4318``; empty:"
            " ``OTEL_EXPORTER_OTLP_ENDPOINT`` says it, or nothing is sent.",
            "",
        ),
        Key(
            "otlp_headers",
            Strings(),
            "The headers that they are sent with; empty: ``OTEL_EXPORTER_OTLP_HEADERS`` says it.",
            {},
        ),
    ],
)

GATEWAY = Section(
    "The gateway",
    [
        Key("http_port", WholeNumber(0, PORT_LIMIT), "TCP port; ``--port`` outranks it.", 9100),
        Key("bind_address", Address(), "IP address; with the default, ::1 is listened on too.", "127.0.0.1"),
        Key("listen", Texts(), "Further Twisted endpoint strings.", []),
        Key(
            "allow_remote",
            Flag(),
            "Whether addresses that other machines can reach may be listened on. Remote clients need the token.",
            default=False,
        ),
        Key(
            "remote_commands",
            Flag(),
            "Whether who has the admin token may say from another machine what is run on this one: servers that are "
            "programs or containers, and their variables.",
            default=False,
        ),
        Key(
            "trust_other_users",
            Flag(),
            "Whether other users of this machine (root excepted) are let in on loopback without a token. Elsewhere "
            "than on Linux they cannot be told apart and are let in.",
            default=False,
        ),
        Key(
            "bridge",
            BRIDGES,
            "Whether clients of one era of MCP reach servers that speak only the other. ``auto``: they do, but are "
            "offered only what the server itself speaks. ``always``: they are offered both. ``off``: they are refused.",
            "auto",
        ),
        Key(
            "auth_mcp_transport",
            Choice.of("", "loopback-only", "bearer-required"),
            "``bearer-required``: the token is needed on loopback too. ``loopback-only``: remote clients are refused.",
            "",
        ),
        Key(
            "allowed_hosts",
            Texts(),
            "``Host`` names that are ours, besides localhost, 127.0.0.1 and ::1.",
            [],
        ),
        Key(
            "allowed_origins",
            Texts(),
            "Origins whose pages may call the gateway, exactly as browsers send them.",
            [],
        ),
        Key(
            "public_url",
            PublicUrl(),
            "Where browsers of other machines reach the gateway, such as ``https://gateway.example``: there they come"
            " back to from signing in at remote servers. Its host and origin are ours, too. Without it they come back"
            " to 127.0.0.1.",
            "",
        ),
        Key(
            "ping_interval",
            Duration(),
            "How often running servers are asked for a sign of life; 0: never.",
            "30s",
        ),
        same("ping_interval_ms", Duration("ms"), "ping_interval"),
        Key(
            "log_level",
            Choice({**{each: each for each in LOG_LEVELS}, "warning": "warn"}),
            "What is logged: this and whatever is graver. ``--log-level`` and ``$MCPGATEWAY_LOG_LEVEL`` outrank it.",
            "info",
        ),
        Key("circuit", CIRCUIT, "When a server that keeps failing is given up."),
        Key("limits", LIMITS, "The bounds of the gateway itself."),
        same("drain", Duration(), "limits.drain"),
        same("drain_ms", Duration("ms"), "limits.drain"),
        Key(
            "env_policy",
            POLICY,
            "Which variables of the login all servers of the file are given, as ``env_policy`` of a server.",
            "allow-list",
        ),
        Key(
            "env_file",
            FILLED,
            "The file of values that is read instead of ``.env`` in the home; ``--env-file`` outranks it.",
        ),
        Key("transports", Texts(), "Read for the sake of older files; all transports are served."),
        Key(
            "expose",
            Choice({each.value: each for each in Expose}),
            "What ``/mcp`` lists. ``full``: every tool. ``search``: tools that find, describe and call all others. "
            "``hybrid``: these, and a few that are pinned or called most. ``meta``: the tools of Klipide's gateway.",
            "hybrid",
        ),
        Key(
            "compress_schemas",
            Flag(),
            "Whether views list each tool with the first sentence of its description only, and without examples.",
            default=False,
        ),
        Key("tool_filter", TOOL_FILTER, "Which tools are listed."),
        Key("shield", SHIELD, "How large answers are shortened."),
        Key(
            "tls_cert_path",
            Text(),
            "File of the certificate of the main port and of those of ``listen`` on TCP, and of the authorities in"
            " between. From other machines they speak https only then.",
            "",
        ),
        Key("tls_key_path", Text(), "File of the key of that certificate; only its owner may read it.", ""),
        Key("trace", TRACE, "How calls are followed: the flight recorder, the activity log, traces."),
    ],
)

SECRETS = Section(
    "Secrets",
    [
        Key(
            "allow_cmd",
            Flag(),
            "Whether ``${cmd:program argument}`` in a value of this configuration runs the program and stands for what"
            " it prints.",
            default=False,
        ),
    ],
)

MANHOLE = Section(
    "The manhole",
    [
        Key(
            "socket",
            Either({bool: Flag(), str: FILLED}, "true or false, or a path"),
            "Whether a Python prompt inside of the gateway is had at a Unix socket that only you can open:"
            " ``manhole.sock`` in the home, or at this path.",
            default=False,
        ),
        Key(
            "ssh_port",
            WholeNumber(0, PORT_LIMIT),
            "The port on 127.0.0.1 at which it is had over SSH; 0: none.",
            0,
        ),
        Key("authorized_keys", FILLED, "The file with the public keys that are let in there."),
    ],
)

CLIENTS = Section(
    "Clients' own files",
    [
        Key(
            "adopt",
            Choice.of("ask", "always", "never"),
            "Whether they are enrolled. ``ask``: when somebody at a terminal agrees. ``always``: whenever the"
            " gateway starts. ``never``: not at all, not even what is added to a file that is enrolled already.",
            "ask",
        ),
        Key(
            "watch",
            Flag(),
            "Whether a server that a client adds to a file that uses the gateway is enrolled, too.",
            default=True,
        ),
        Key("opt_out", Texts(), "Servers that stay their clients' own.", []),
    ],
)

COMPAT = Section(
    "Compatibility",
    [
        Key(
            "ports",
            ListOf(WholeNumber(1, PORT_LIMIT)),
            "Further TCP ports that the gateway listens on, as those of older gateways: 8765, 3199, 8989, 3100. All is"
            " served at each of them.",
            [],
        ),
        Key("errors", Choice.of("mcp", "harshal"), "How failures are reported.", "mcp", is_served=False),
        Key(
            "open_loopback_admin",
            Flag(),
            "Whether programs on this machine may change things over loopback without a token, as they could with older"
            " gateways; what shows that it comes from a browser never may.",
            default=False,
        ),
    ],
)
