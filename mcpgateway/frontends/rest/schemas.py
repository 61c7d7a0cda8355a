"""JSON Schemas (2020-12) of the control plane's bodies and answers, by the names that routes use."""

from __future__ import annotations

from typing import Any

TEXT: dict[str, Any] = {"type": "string"}
SAID: dict[str, Any] = {"type": "string", "minLength": 1}
FLAG: dict[str, Any] = {"type": "boolean"}
WHOLE: dict[str, Any] = {"type": "integer"}
NUMBER: dict[str, Any] = {"type": "number"}
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


LIMIT_MS = {"type": "integer", "minimum": 1, "description": "Milliseconds that it may take."}
ARGUMENTS = {"type": ["object", "null"], "description": "The arguments of the tool."}
CODE = {"enum": [0, 10, 11, 12], "description": "0 ready, 10 needs start, 11 needs its user, 12 failed."}
DAEMON = made_of({"name": TEXT, "running": FLAG}, pid=WHOLE, port=WHOLE, uptime=WHOLE, lastError=TEXT)
ENDED = {"ok": FLAG, "killed": WHOLE}

CLIENT = made_of({"tool": TEXT, "configPath": TEXT, "registeredAt": WHOLE, "serverCount": WHOLE})
TOKEN_MEMBERS: dict[str, Any] = {
    "id": TEXT,
    "name": TEXT,
    "servers": listing(TEXT),
    "tools": listing(TEXT),
    "read_only": FLAG,
    "created": NUMBER,
    "expires": {"type": ["number", "null"], "description": "Seconds since the epoch."},
    "expired": FLAG,
}
AGENT_TOKEN = made_of(TOKEN_MEMBERS)
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
    "remove_env": NAMES,
    "add_headers": VALUES,
    "remove_headers": NAMES,
    "new_name": {"type": "string", "minLength": 1},
}
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
    uptime_seconds=WHOLE,
    next_try_s=MAY_BE_WHOLE,
    sessions=WHOLE,
    calls=WHOLE,
    requests=WHOLE,
    tool_calls=WHOLE,
    source=TEXT,
    is_own=FLAG,
    runs=TEXT,
    memory_mb=WHOLE,
    project=TEXT,
    tools=listing(made_of({"name": TEXT, "description": TEXT, "server": TEXT, "input_schema": {}})),
    config={"type": ["object", "null"]},
)

SCHEMAS: dict[str, dict[str, Any]] = {
    "Anything": {},
    "Error": made_of({"error": SAID, "hint": SAID}),
    "Alive": made_of({"status": TEXT}, problems=listing(TEXT)),
    "Health": made_of(
        {"status": TEXT, "servers": {"type": ["integer", "array"]}},
        problems=listing(made_of({"code": TEXT, "message": TEXT, "hint": TEXT})),
        version=TEXT,
        port=WHOLE,
        timestamp=WHOLE,
        tools=WHOLE,
    ),
    "Stats": made_of(
        {
            "uptimeSeconds": WHOLE,
            "totalRequests": WHOLE,
            "totalErrors": WHOLE,
            "totalCalls": WHOLE,
            "totalCallErrors": WHOLE,
            "toolStats": {"type": "object", "additionalProperties": ref("ToolStats")},
            "activeConnections": WHOLE,
            "memoryServiceHealthy": FLAG,
            "servers": listing(
                made_of({"name": TEXT, "mode": TEXT, "status": {"enum": ["running", "idle", "error"]}})
            ),
            "sessions": listing(made_of({"sessionId": TEXT, "servers": listing(TEXT), "childCount": WHOLE})),
            "clients": listing(CLIENT),
            "timeline": listing(made_of({"minuteTs": WHOLE, "requests": WHOLE, "errors": WHOLE})),
            "gatewayEnabled": FLAG,
            "memoryMB": WHOLE,
        }
    ),
    "ToolStats": made_of(
        {
            "calls": WHOLE,
            "errors": WHOLE,
            "totalMs": NUMBER,
            "avgMs": NUMBER,
            "p99Ms": NUMBER,
            "errorRate": NUMBER,
            "lastCalledAt": WHOLE,
            "server": TEXT,
        }
    ),
    "Metrics": made_of(
        {
            "timestamp": TEXT,
            "gateway_uptime": TEXT,
            "servers": listing(
                made_of(
                    {"name": TEXT, "restart_count": WHOLE, "mtbf": TEXT, "uptime": TEXT}, last_crash_at=TEXT
                )
            ),
            "tokens": made_of(
                {
                    "total_tools": WHOLE,
                    "est_schema_tokens": WHOLE,
                    "est_description_tokens": WHOLE,
                    "est_total_tokens": WHOLE,
                }
            ),
        }
    ),
    "Savings": made_of(
        {
            "uptime_seconds": WHOLE,
            "processes": OBJECT,
            "memory": OBJECT,
            "tokens": OBJECT,
            "servers": listing(made_of({"name": TEXT, "saved": WHOLE})),
        }
    ),
    "Clients": made_of({"clients": listing(CLIENT)}),
    "Detected": made_of({"detected": listing(made_of({"tool": TEXT, "configPath": TEXT}))}),
    "Register": made_of({"tool": TEXT}, configPath=TEXT),
    "Registered": made_of(
        {"tool": TEXT, "registered": listing(TEXT), "configPath": {"type": ["string", "null"]}}
    ),
    "RegisterProject": made_of({"configPath": TEXT}),
    "RegisteredProject": made_of({"registered": listing(TEXT), "passthrough": WHOLE}),
    "GatewayConfig": made_of(
        {"port": WHOLE, "optedOut": listing(TEXT), "disabled": FLAG, "managedServers": listing(TEXT)}
    ),
    "Switched": made_of({"ok": FLAG, "status": {"enum": ["enabled", "disabled"]}}),
    "Ended": made_of(ENDED),
    "EndedOfProcess": made_of({**ENDED, "sessions": WHOLE}),
    "AgentToken": AGENT_TOKEN,
    "Tokens": made_of({"required": FLAG, "tokens": listing(ref("AgentToken"))}),
    "NewToken": made_of(
        {"name": {"type": "string", "minLength": 1, "maxLength": 64}},
        servers=listing(TEXT),
        tools=listing(TEXT),
        read_only=FLAG,
        expires_in={"type": "number", "minimum": 0, "description": "Seconds; 0: until it is revoked."},
    ),
    "MadeToken": made_of({"token": TEXT, **TOKEN_MEMBERS}),
    "Rotate": made_of({}, which=listing({"enum": ["auth", "admin"]})),
    "Rotated": made_of({"rotated": listing(TEXT)}),
    "Required": made_of({"required": FLAG}),
    "RevokedToken": made_of({"revoked": TEXT, "name": TEXT}),
    "EndedSome": made_of({**ENDED, "sessions": WHOLE}),
    "EndedNamed": made_of({**ENDED, "sessions": WHOLE, "sessionId": TEXT}),
    "Sessions": made_of(
        {
            "sessions": listing(
                made_of(
                    {
                        "id": TEXT,
                        "server": TEXT,
                        "servers": listing(TEXT),
                        "client": OBJECT,
                        "principal": TEXT,
                    },
                    pid={"type": ["integer", "null"]},
                    idle_seconds=WHOLE,
                    last_activity_at=TEXT,
                    calls=WHOLE,
                    streams=WHOLE,
                )
            ),
            "count": WHOLE,
        }
    ),
    "Version": made_of({"version": TEXT}),
    "Readiness": made_of(
        {
            "ready": FLAG,
            "code": CODE,
            "state": TEXT,
            "servers": listing(
                made_of({"name": TEXT, "ready": FLAG, "code": CODE, "state": TEXT, "why": TEXT}, hint=SAID)
            ),
        }
    ),
    "Login": made_of(
        {"server": TEXT, "state": {"enum": ["signed in", "needs login", "needs no login", "not known"]}},
        url={"type": "string", "description": "Where to sign in."},
        redirect={"type": "string", "description": "Where the browser is sent to afterwards."},
    ),
    "AskLogin": made_of(
        {},
        again={"type": "boolean", "description": "Sign in once more, also where that is not needed."},
        answer={"type": "string", "description": "The address that the browser was sent to, or the code."},
    ),
    "LoggedOut": made_of(
        {"server": TEXT, "signed_out": FLAG, "revoked": FLAG, "forgotten": FLAG, "unregistered": FLAG}
    ),
    "Wait": made_of({"servers": listing(TEXT)}, timeout_ms=LIMIT_MS),
    "Dump": OBJECT,
    "Ending": made_of({"status": {"enum": ["shutting_down", "already_shutting_down"]}}),
    "Install": made_of({"name": TEXT, "command": TEXT}, args=listing(TEXT), env=OBJECT, cwd=TEXT),
    "Installed": made_of({"ok": FLAG, "server": TEXT, "installed": FLAG, "tools": listing(TEXT)}),
    "Reconnected": made_of({"ok": FLAG, "server": TEXT}),
    "ServerSwitched": made_of({"ok": FLAG, "server": TEXT, "enabled": FLAG}),
    "Pong": made_of({"status": TEXT, "message": TEXT}),
    "NamedDaemon": made_of({"name": TEXT}),
    "Daemon": DAEMON,
    "Daemons": made_of({"daemons": listing(DAEMON)}),
    "Ensured": made_of({"running": FLAG, "port": WHOLE}),
    "Tools": listing(made_of({"name": TEXT, "description": TEXT, "server": TEXT})),
    "Tool": made_of({"id": TEXT, "server": TEXT, "name": TEXT}),
    "ToolResult": OBJECT,
    "Call": made_of({}, arguments=ARGUMENTS, timeout_ms=LIMIT_MS),
    "CallOfServer": made_of({"tool": TEXT}, arguments=ARGUMENTS, timeout_ms=LIMIT_MS),
    "Discover": made_of({}, servers=listing(TEXT), timeout_ms=LIMIT_MS),
    "Discovery": OBJECT,
    "Activity": made_of({"records": listing(made_of({"at": TEXT, "id": TEXT, "kind": TEXT}))}),
    "Server": SERVER,
    "Servers": listing(ref("Server")),
    "AddServer": made_of({"name": TEXT, "config": DEFINITION}),
    "PutServer": made_of({"config": DEFINITION}, name=TEXT),
    "PatchServer": {"type": "object", "properties": PATCH, "additionalProperties": False, "minProperties": 1},
    "Accepted": made_of({"status": {"const": "accepted"}, "hint": SAID}, server=ref("Server")),
    "Added": made_of({"status": {"const": "added"}}),
    "Updated": made_of(
        {"status": {"enum": ["updated", "unchanged", "patched"]}},
        old_name=TEXT,
        new_name=TEXT,
        hint=SAID,
        server=ref("Server"),
    ),
    "Removed": made_of({"status": {"const": "removed"}, "kept": TEXT}, hint=SAID),
    "Operated": made_of(
        {"status": {"enum": ["started", "stopped", "restarted", "circuit reset"]}},
        server=ref("Server"),
        servers=NAMES,
    ),
    "Record": made_of({"server": TEXT, "lines": listing(made_of({"at": TEXT, "server": TEXT}))}),
    "Overview": made_of(
        {
            "ok": FLAG,
            "verdict": TEXT,
            "needs": listing(made_of({"kind": TEXT, "name": TEXT, "cause": TEXT, "says": TEXT, "do": TEXT})),
            "status": TEXT,
        },
        servers=WHOLE,
        backends=listing(OBJECT),
        clients=listing(OBJECT),
    ),
    "Why": made_of(
        {
            "server": TEXT,
            "state": TEXT,
            "ok": FLAG,
            "verdict": TEXT,
            "advice": listing(made_of({"cause": TEXT, "says": TEXT, "do": TEXT, "trouble": FLAG})),
            "history": listing(made_of({"at": TEXT, "event": TEXT, "text": TEXT, "times": WHOLE})),
        },
        launch=OBJECT,
        breaker=OBJECT,
        stderr=listing(TEXT),
    ),
}

PARAMETERS: dict[str, dict[str, Any]] = {
    "pid": {"type": "integer", "minimum": 1, "maximum": 4_294_967_295},
}
"""The schemas of the placeholders in paths that are no plain text."""
