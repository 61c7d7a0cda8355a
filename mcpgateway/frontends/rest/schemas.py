"""JSON Schemas (2020-12) of the control plane's bodies and answers, by the names that routes use."""

from __future__ import annotations

from typing import Any

from mcpgateway.frontends.rest.client_schemas import CLIENT_FILE_SCHEMAS
from mcpgateway.frontends.rest.figure_schemas import FIGURE_SCHEMAS
from mcpgateway.frontends.rest.schema_parts import (
    AGENT_TOKEN,
    ARGUMENTS,
    BY_SERVER,
    CODE,
    COUNTS_ON,
    DAEMON,
    DASHBOARD,
    DEFINITION,
    ENDED,
    FLAG,
    KEEP_SECRETS,
    LIMIT_MS,
    NAMES,
    NUMBER,
    OBJECT,
    PATCH,
    RIGHTS,
    SAID,
    SERVER,
    SIGNED_IN_AT,
    TEXT,
    TIER,
    TOKEN_MEMBERS,
    WHOLE,
    listing,
    made_of,
    ref,
)
from mcpgateway.frontends.rest.view_schemas import VIEW_SCHEMAS

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
    **CLIENT_FILE_SCHEMAS,
    **VIEW_SCHEMAS,
    **FIGURE_SCHEMAS,
    "Ended": made_of(ENDED),
    "EndedOfProcess": made_of({**ENDED, "sessions": WHOLE}),
    "AgentToken": AGENT_TOKEN,
    "Tokens": made_of({"required": FLAG, "tokens": listing(ref("AgentToken"))}),
    "NewToken": made_of(
        {"name": {"type": "string", "minLength": 1, "maxLength": 64}},
        servers=listing(TEXT),
        tools=listing(TEXT),
        read_only=FLAG,
        tier=TIER,
        expires_in={"type": "number", "minimum": 0, "description": "Seconds; 0: until it is revoked."},
    ),
    "MadeToken": made_of({"token": TEXT, **TOKEN_MEMBERS}, **COUNTS_ON),
    "Rotate": made_of({}, which=listing({"enum": ["auth", "admin"]})),
    "Rotated": made_of({"rotated": listing(TEXT)}),
    "Required": made_of({"required": FLAG}),
    "RevokedToken": made_of({"revoked": TEXT, "name": TEXT}, **COUNTS_ON),
    "EndedSome": made_of({**ENDED, "sessions": WHOLE}),
    "EndedNamed": made_of({**ENDED, "sessions": WHOLE, "sessionId": TEXT}),
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
        {
            "server": TEXT,
            "state": {
                "enum": [
                    *("signed in", "needs login", "needs no login", "not known"),
                    *("declined", "expired", "failed"),
                ]
            },
        },
        url={"type": "string", "description": "Where to sign in."},
        redirect={"type": "string", "description": "Where the browser is sent to afterwards."},
        user_code={"type": "string", "description": "The code that the user enters at verification_uri."},
        verification_uri={"type": "string", "description": "The page at which the user enters the code."},
        expires_in={"type": "integer", "description": "The seconds until the code ends."},
        reason={"type": "string", "description": "The error code of the authorization server."},
    ),
    "AskLogin": made_of(
        {},
        again={"type": "boolean", "description": "Sign in once more, also where that is not needed."},
        device={
            "type": "boolean",
            "description": "Sign in by a device code (RFC 8628), without a browser here.",
        },
        answer={"type": "string", "description": "The address that the browser was sent to, or the code."},
    ),
    "LoggedOut": made_of(
        {"server": TEXT, "signed_out": FLAG, "revoked": FLAG, "forgotten": FLAG, "unregistered": FLAG}
    ),
    "Wait": made_of({"servers": listing(TEXT)}, timeout_ms=LIMIT_MS),
    "Dump": OBJECT,
    "Ending": made_of({"status": {"enum": ["shutting_down", "already_shutting_down"]}}),
    "Restarting": made_of({"status": {"const": "restarting"}}),
    "Install": made_of({"name": TEXT, "command": TEXT}, args=listing(TEXT), env=OBJECT, cwd=TEXT),
    "Installed": made_of({"ok": FLAG, "server": TEXT, "installed": FLAG, "tools": listing(TEXT)}),
    "Reconnected": made_of({"ok": FLAG, "server": TEXT}),
    "ServerSwitched": made_of({"ok": FLAG, "server": TEXT, "enabled": FLAG}),
    "Pong": made_of({"status": TEXT, "message": TEXT}),
    "NamedDaemon": made_of({"name": TEXT}),
    "Daemon": DAEMON,
    "Daemons": made_of({"daemons": listing(DAEMON)}),
    "Ensured": made_of({"running": FLAG, "port": WHOLE}),
    "Tools": listing(
        made_of(
            {"name": TEXT, "description": TEXT, "server": TEXT},
            tool={"type": "string", "description": "The tool's own name."},
            offered=FLAG,
            pinned={"type": "boolean", "description": "Listed before others, by the server's ``pinned``."},
            tier=TIER,
            annotations={"type": ["object", "null"]},
            tokens={"type": "integer", "description": "The size of its definition, about."},
            calls=WHOLE,
            errors=WHOLE,
            listed_on={
                **NAMES,
                "description": "With asked=false: the endpoints for several servers that list it.",
            },
        )
    ),
    "SwitchTool": made_of({}, offered=FLAG, pinned=FLAG),
    "SwitchTools": made_of({"tools": listing(SAID)}, offered=FLAG, pinned=FLAG),
    "ToolsSwitched": made_of({}, offered=FLAG, tools_off=BY_SERVER, pinned=FLAG, pinned_tools=BY_SERVER),
    "Tool": made_of({"id": TEXT, "server": TEXT, "name": TEXT}),
    "ToolResult": OBJECT,
    "Call": made_of({}, arguments=ARGUMENTS, timeout_ms=LIMIT_MS),
    "CallOfServer": made_of({"tool": TEXT}, arguments=ARGUMENTS, timeout_ms=LIMIT_MS),
    "Discover": made_of({}, servers=listing(TEXT), timeout_ms=LIMIT_MS),
    "Discovery": OBJECT,
    "Server": SERVER,
    "Servers": listing(ref("Server")),
    "AddServer": made_of({"name": TEXT, "config": DEFINITION}, **KEEP_SECRETS),
    "PutServer": made_of({"config": DEFINITION}, name=TEXT, **KEEP_SECRETS),
    "PatchServer": {"type": "object", "properties": PATCH, "additionalProperties": False, "minProperties": 1},
    "NewDashboardCode": made_of({}, rights=RIGHTS),
    "DashboardCode": made_of({"code": TEXT, "expires_in": WHOLE, "url": TEXT}),
    "DashboardSecret": made_of(
        {}, secret=TEXT, answer=made_of({}, **dict.fromkeys("state code error iss".split(), TEXT))
    ),
    "DashboardSignIns": made_of(
        {"items": listing(made_of({"issuer": TEXT}, url=TEXT, state=TEXT, expires_in=WHOLE, fault=SAID))}
    ),
    "SignedIn": made_of({"token": TEXT, **DASHBOARD}, **SIGNED_IN_AT),
    "DashboardSessions": made_of({"items": listing(made_of(DASHBOARD, **SIGNED_IN_AT))}),
    "SignedOut": made_of({"id": TEXT, "ended": FLAG}),
    "Accepted": made_of({"status": {"const": "accepted"}, "hint": SAID}, server=ref("Server"), secrets=SAID),
    "Added": made_of({"status": {"const": "added"}}, secrets=SAID),
    "Updated": made_of(
        {"status": {"enum": ["updated", "unchanged", "patched"]}},
        changed={**NAMES, "description": "The dotted keys that were changed."},
        restarts={"type": "boolean", "description": "Whether processes of the server are replaced, or end."},
        old_name=TEXT,
        new_name=TEXT,
        client_files={**NAMES, "description": "The clients' files whose entries have the new name."},
        client_errors={**NAMES, "description": "Why entries of other files still have the former one."},
        hint=SAID,
        secrets=SAID,
        server=ref("Server"),
    ),
    "ValidateServer": made_of({"name": TEXT}, config=DEFINITION, **PATCH),
    "Validated": made_of(
        {
            "server": TEXT,
            "passed": FLAG,
            "steps": listing(
                made_of({"step": TEXT, "passed": FLAG, "elapsed_s": NUMBER, "detail": TEXT}, advice=TEXT)
            ),
        },
        tools=NAMES,
        tool_tokens=WHOLE,
        stderr=listing(TEXT),
    ),
    "Catalog": made_of(
        {"items": listing(made_of({"name": TEXT, "source": TEXT, "needs": listing(OBJECT)})), "problem": TEXT}
    ),
    "CatalogInstall": made_of(
        {},
        values={"type": "object", "description": "The inputs, by name."},
        name=TEXT,
        prefer=TEXT,
        scope={"enum": ["global"]},
    ),
    "CatalogInstalled": made_of({"server": TEXT, "file": TEXT, "tools": NAMES}, quirks=TEXT),
    "Configuration": made_of(
        {
            "ok": FLAG,
            "file": TEXT,
            "files": listing(made_of({"path": TEXT, "exists": FLAG})),
            "problems": listing(
                made_of({"level": TEXT, "file": TEXT, "line": WHOLE, "key": TEXT, "says": TEXT})
            ),
            "restart_needed": NAMES,
            "issuer": made_of({"url": TEXT, "dashboards": FLAG}),
            "servers": OBJECT,
        },
        gateway={"type": "object", "additionalProperties": made_of({"value": {}, "from": TEXT})},
    ),
    "PatchConfig": {
        **made_of({}, set={"type": "object"}, unset=NAMES),
        "additionalProperties": False,
        "minProperties": 1,
    },
    "ConfigChanged": made_of(
        {
            "status": {"enum": ["updated", "unchanged"]},
            "changed": listing(made_of({"key": TEXT, "file": TEXT, "counts": TEXT})),
            "restart_needed": NAMES,
        }
    ),
    "Removed": made_of({"status": {"const": "removed"}, "kept": TEXT}, hint=SAID),
    "Operated": made_of(
        {"status": {"enum": ["started", "stopped", "restarted", "circuit reset"]}},
        server=ref("Server"),
        servers=NAMES,
        node={"type": "string", "description": "The node of a cluster at which that was done."},
    ),
    "Replay": made_of(
        {"requests": listing(made_of({"method": TEXT}, params={"type": "object"}))},
        exact={"type": "boolean", "description": "Leave secrets in the answers."},
    ),
    "Replayed": made_of({"server": TEXT, "answers": listing({"type": "object"})}),
    "Record": made_of({"server": TEXT, "lines": listing(made_of({"at": TEXT, "server": TEXT}))}),
    "Examination": made_of(
        {
            "ok": FLAG,
            "passed": WHOLE,
            "issues": WHOLE,
            "findings": listing(
                made_of(
                    {
                        **dict.fromkeys(("id", "text", "advice", "run", "page", "repair"), TEXT),
                        "fixable": FLAG,
                    },
                    level={"enum": ["ok", "note", "problem"]},
                    more=NAMES,
                )
            ),
            "repairs": listing(made_of(dict.fromkeys(("id", "what", "why"), TEXT))),
        }
    ),
    "Approvals": made_of({"items": listing(ref("RepositoryFile"))}),
    "RepositoryFile": made_of(
        {
            "path": TEXT,
            "sha256": TEXT,
            "state": {"enum": ["waiting", "changed", "approved", "refused"]},
            "servers": listing(
                made_of({"name": TEXT, "runs": TEXT, "cwd": TEXT, "env": NAMES, "code_loading": NAMES})
            ),
        }
    ),
    "AnswerApproval": made_of(
        {"path": TEXT, "sha256": TEXT, "answer": {"enum": ["approve", "refuse", "revoke"]}}
    ),
}

PARAMETERS: dict[str, dict[str, Any]] = {
    "pid": {"type": "integer", "minimum": 1, "maximum": 4_294_967_295},
}
"""The schemas of the placeholders in paths that are no plain text."""
