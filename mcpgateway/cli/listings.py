"""The lists that commands print with ``--json``: ``{"items": [...]}``, with the members of each item.

The reference is written anew by ``python -c 'from mcpgateway.cli.listings import *; print(reference(), end="")' >
docs/reference/lists.inc``.
"""

from __future__ import annotations

from typing import NamedTuple


class ListSchema(NamedTuple):
    """The JSON of a command that lists.

    :ivar item: the thing that an item is.
    :ivar members: the members that every item has.
    :ivar optional: the members that some items have.
    :ivar more: the members beside ``items``.
    """

    item: str
    members: tuple[str, ...]
    optional: tuple[str, ...] = ()
    more: tuple[str, ...] = ()


SERVER = (
    *(
        "name",
        "title",
        "status",
        "transport",
        "enabled",
        "share",
        "tool_count",
        "tool_tokens",
        "calls_1h",
        "errors_1h",
        "p95_ms",
        "reason",
        "version",
        "newer_version",
        "endpoint",
        "restart_count",
    ),
    *(
        "uptime_seconds",
        "next_try_s",
        "sessions",
        "calls",
        "requests",
        "tool_calls",
        "call_errors",
        "pids",
        "memory_mb",
    ),
    *("runs", "source", "is_own", "project", "env_keys", "header_keys", "group", "group_title"),
)
TOOL = ("name", "description", "server", "tool", "input_schema")
RECORD = ("at", "id", "principal", "kind")
REQUEST = ("server", "method", "ms", "outcome", "request", "number")
TIMES = ("child", "sent_bytes", "answer_bytes", "reached", "sent", "passed", "start", "shield", "asked")
OF_SOME = ("tool", "session", "code", "error", "trace", "parent", "client", "project", "pid", *TIMES)
CHANGE = ("operation", "status")
ACTIVITY = ListSchema("a line of the activity log", RECORD, (*REQUEST, *OF_SOME, *CHANGE))
LISTS = {
    "servers list": ListSchema(
        "a server", SERVER, ("pid", "last_error", "need", "state", "tools", "login_url")
    ),
    "servers search": ListSchema(
        "a recipe, or a server of the registry",
        (
            *("name", "source", "title", "description", "version", "runs", "installable", "reason"),
            *("deprecated", "homepage", "needs"),
        ),
        more=("registry", "problem"),
    ),
    "tools list": ListSchema(
        "a tool", TOOL, ("annotations", "tier", "tokens", "calls", "errors", "offered", "pinned")
    ),
    "tools search": ListSchema("a tool, the best match first", (*TOOL, "score")),
    "logs --calls": ListSchema("a call of a tool", (*RECORD, *REQUEST), OF_SOME),
    "debug activity": ACTIVITY,
    "debug trace": ACTIVITY,
    "sessions list": ListSchema(
        "a session",
        (
            *("id", "server", "servers", "client", "principal", "pid", "workspace", "revision", "began_at"),
            *("last_activity_at", "idle_seconds", "calls", "streams", "children"),
        ),
        more=("count", "without"),
    ),
    "clients list": ListSchema(
        "a file that uses the gateway, or will again",
        (
            *("path", "client", "title", "mode", "project", "servers", "entries", "suspended", "watched"),
            *("state", "why", "left"),
        ),
        more=("opted_out", "problems", "paused_until"),
    ),
    "clients detect": ListSchema(
        "a client on this machine", ("tool", "title", "config_path", "files", "expected"), more=("immorterm",)
    ),
    "instructions list": ListSchema("a file with texts for agents", ("path", "clients", "state", "error")),
    "token list": ListSchema(
        "a token of an agent",
        (
            *("id", "name", "servers", "tools", "read_only", "created", "expires", "expired"),
            *("calls", "last_used_at", "last_from", "tier"),
        ),
        more=("required",),
    ),
    "credential list": ListSchema("a server with its credentials", ("name", "env_vars", "headers")),
}
"""The schema of each list, by the words of its command."""

HEAD = """\
.. list-table::
   :header-rows: 1
   :widths: 18 22 40 20

   * - Command
     - An item
     - Members of each item, and of some
     - Beside ``items``
"""


def reference() -> str:
    """Return the table of lists as reStructuredText."""
    return HEAD + "".join(_row(words, each) for words, each in LISTS.items())


def _row(words: str, schema: ListSchema) -> str:
    members = _names(schema.members) + (f"; of some {_names(schema.optional)}" if schema.optional else "")
    cells = (f"``{words}``", schema.item, members, _names(schema.more))
    return "".join(f"   {mark} - {cell}".rstrip() + "\n" for mark, cell in zip("*   ", cells, strict=True))


def _names(members: tuple[str, ...]) -> str:
    return ", ".join(f"``{each}``" for each in members)
