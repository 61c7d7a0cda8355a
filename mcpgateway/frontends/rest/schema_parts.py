"""Parts of the control plane's JSON Schemas: types, members that several have, and the functions that build them."""

from __future__ import annotations

from typing import Any

from mcpgateway.policy.permissions import TIERS

TEXT: dict[str, Any] = {"type": "string"}
MILLISECONDS: dict[str, Any] = {"type": "number"}
SPAN = {"at": MILLISECONDS, "ms": MILLISECONDS}
SAID: dict[str, Any] = {"type": "string", "minLength": 1}
FLAG: dict[str, Any] = {"type": "boolean"}
WHOLE: dict[str, Any] = {"type": "integer"}
NUMBER: dict[str, Any] = {"type": "number"}
OR_NULL: dict[str, Any] = {"type": ["number", "null"]}
OBJECT: dict[str, Any] = {"type": "object"}


def listing(of: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a list."""
    return {"type": "array", "items": of}


def made_of(needed: dict[str, Any], **may: Any) -> dict[str, Any]:
    """Return the schema of an object with required, optional and further members."""
    return {"type": "object", "properties": {**needed, **may}, "required": list(needed)}


def ref(name: str) -> dict[str, str]:
    """Return a reference to the schema of that name."""
    return {"$ref": f"#/components/schemas/{name}"}


BY_SERVER: dict[str, Any] = {"type": "object", "additionalProperties": listing(TEXT)}
LIMIT_MS = {"type": "integer", "minimum": 1, "description": "Milliseconds that it may take."}
ARGUMENTS = {"type": ["object", "null"], "description": "The arguments of the tool."}
NODES = {**listing(TEXT), "description": "Names of nodes of the cluster."}
COUNTS_ON = {"counts_on": NODES, "unknown": NODES}
CODE = {"enum": [0, 10, 11, 12], "description": "0 ready, 10 needs start, 11 needs its user, 12 failed."}
DAEMON = made_of({"name": TEXT, "running": FLAG}, pid=WHOLE, port=WHOLE, uptime=WHOLE, lastError=TEXT)
ENDED = {"ok": FLAG, "killed": WHOLE}

CLIENT = made_of({"tool": TEXT, "configPath": TEXT, "registeredAt": WHOLE, "serverCount": WHOLE})
FILE_CHANGE: dict[str, Any] = {
    "version": {"type": "integer", "minimum": 1},
    "at": TEXT,
    "path": TEXT,
    "client": TEXT,
    "project": TEXT,
    "act": {"type": "string", "description": "What was done, such as enrolled or restored."},
    "mode": TEXT,
    "servers": {"type": "array", "items": TEXT},
    "kept": {"type": "boolean", "description": "The version before the change is kept."},
}
TIER: dict[str, Any] = {"enum": list(TIERS)}
TOKEN_MEMBERS: dict[str, Any] = {
    "id": TEXT,
    "name": TEXT,
    "servers": listing(TEXT),
    "tools": listing(TEXT),
    "read_only": FLAG,
    "tier": TIER,
    "created": NUMBER,
    "expires": {"type": ["number", "null"], "description": "Seconds since the epoch."},
    "expired": FLAG,
}
AGENT_TOKEN = made_of(
    {
        **TOKEN_MEMBERS,
        "calls": {**WHOLE, "description": "Its calls that the activity log has."},
        "last_used_at": {
            "type": ["string", "null"],
            "description": "The time of its latest request that is known.",
        },
        "last_from": {
            "type": ["string", "null"],
            "description": "The address that this request came from; null if it was before the gateway started.",
        },
    }
)
NAMES = {"type": "array", "items": TEXT}
MAY_BE_WHOLE = {"type": ["integer", "null"]}
VALUES = {
    "description": "A list of NAME=value, or an object of texts.",
    "anyOf": [
        {"type": "array", "items": {"type": "string", "pattern": "^[!-<>-~]+="}},
        {"type": "object", "additionalProperties": TEXT},
    ],
}
DEFINITION = {"type": "object", "minProperties": 1, "description": "A server as a configuration file has it."}
RIGHTS = {"enum": ["look", "operate", "admin"]}
DASHBOARD = {"id": TEXT, "rights": RIGHTS, "created_at": TEXT, "last_used_at": TEXT, "expires_at": TEXT}
SIGNED_IN_AT = {"issuer": TEXT, "principal": TEXT, "browser": TEXT, "address": TEXT}
KEEP_SECRETS = {
    "keep_secrets": {
        "type": "boolean",
        "description": "true: the values of secret variables and headers are written into the gateway's own .env, and"
        " the entry refers to them.",
    }
}
PATCH = {
    "set": {
        "type": "object",
        "description": "Values by dotted keys, such as timeout, lazy.idleTimeoutMs, args or env.NAME. Behind env. and"
        " headers. all the rest is one name.",
    },
    "unset": {"type": "array", "items": TEXT, "description": "Dotted keys that are to go."},
    "disabled": FLAG,
    "enabled": FLAG,
    "add_env": VALUES,
    **KEEP_SECRETS,
    "remove_env": NAMES,
    "add_headers": VALUES,
    "remove_headers": NAMES,
    "new_name": {"type": "string", "minLength": 1},
}
SAID_REMEDY = dict.fromkeys(("cause", "says", "do", "run"), TEXT)
SERVER = made_of(
    {
        "name": TEXT,
        "status": TEXT,
        "transport": TEXT,
        "enabled": FLAG,
        "share": TEXT,
        "restart_count": WHOLE,
        "tool_count": MAY_BE_WHOLE,
        "pids": {"type": "array", "items": WHOLE},
        "env_keys": NAMES,
        "header_keys": NAMES,
    },
    title=TEXT,
    pid=WHOLE,
    last_error=TEXT,
    state={"type": "string", "description": "The status; failed or not ready where a fault needs the user."},
    need=made_of({**SAID_REMEDY, "action": TEXT, "key": TEXT}),
    uptime_seconds=WHOLE,
    next_try_s=MAY_BE_WHOLE,
    sessions=WHOLE,
    calls=WHOLE,
    requests=WHOLE,
    tool_calls=WHOLE,
    call_errors={"type": "integer", "description": "The calls of tools that failed."},
    calls_1h={
        "type": "integer",
        "description": "The calls of its tools in the last hour, since the gateway started.",
    },
    errors_1h={"type": "integer", "description": "Those of them that failed."},
    p95_ms={"type": ["number", "null"], "description": "95 % of its latest calls took no longer."},
    reason={"type": "string", "description": "What needs its user; empty for nothing."},
    source_line={**MAY_BE_WHOLE, "description": "The line of its entry in the source; only for one server."},
    tool_tokens={
        **MAY_BE_WHOLE,
        "description": "The size of its tools' definitions; null: it was not asked yet.",
    },
    endpoint={"type": "string", "description": "Its path at the gateway."},
    source=TEXT,
    is_own=FLAG,
    runs=TEXT,
    memory_mb={
        "type": ["number", "null"],
        "description": "The resident memory of its processes and of those that these started; null: not known.",
    },
    project=TEXT,
    group=TEXT,
    group_title=TEXT,
    instances={"enum": ["each", "one"], "description": "Of a server that not every node of a cluster runs."},
    on={**NAMES, "description": "The labels of the nodes that may run it."},
    nodes={**NAMES, "description": "The nodes that run it, or with ``on`` alone may do so."},
    tools=listing(made_of({"name": TEXT, "description": TEXT, "server": TEXT, "input_schema": {}})),
    config={"type": ["object", "null"]},
)

CALL_COUNTS = {
    "calls": WHOLE,
    "failed": WHOLE,
    "refused": WHOLE,
    "sessions": WHOLE,
    "total_ms": NUMBER,
    "p50_ms": {"type": ["number", "null"]},
    "p95_ms": {"type": ["number", "null"]},
    "last_at": TEXT,
    "result_tokens": {**WHOLE, "description": "The size of the servers' answers, as models count it."},
}
