"""The schemas of numbers: the overview, diagnoses, sessions, calls and savings."""

from __future__ import annotations

from typing import Any

from mcpgateway.frontends.rest.schema_parts import (
    CALL_COUNTS,
    CLIENT,
    FLAG,
    MILLISECONDS,
    NAMES,
    NUMBER,
    OBJECT,
    OR_NULL,
    SAID_REMEDY,
    SPAN,
    TEXT,
    WHOLE,
    listing,
    made_of,
    ref,
)

FIGURE_SCHEMAS: dict[str, dict[str, Any]] = {
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
            "timeline": listing(
                made_of(
                    {
                        "minuteTs": WHOLE,
                        "requests": WHOLE,
                        "errors": WHOLE,
                        "calls": WHOLE,
                        "callErrors": WHOLE,
                    }
                )
            ),
            "timelineSince": WHOLE,
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
            "without": listing(
                made_of(
                    {
                        "server": TEXT,
                        "client": OBJECT,
                        "principal": TEXT,
                        "pid": {"type": ["integer", "null"]},
                        "workspace": TEXT,
                        "began_at": TEXT,
                        "last_activity_at": TEXT,
                        "idle_seconds": WHOLE,
                        "requests": WHOLE,
                        "calls": WHOLE,
                    }
                )
            ),
        }
    ),
    "Usage": made_of(
        {
            "by": TEXT,
            "minutes": WHOLE,
            "since": TEXT,
            "known_since": {"type": "string", "description": "The log goes back to this time."},
            "step_s": WHOLE,
            **CALL_COUNTS,
            "items": listing(made_of({"name": TEXT, **CALL_COUNTS}, server=TEXT, series=listing(WHOLE))),
            "series": listing(made_of({"at": TEXT, "calls": WHOLE, "failed": WHOLE})),
        }
    ),
    "Series": made_of(
        {
            "step_s": WHOLE,
            "items": listing(
                made_of(
                    {
                        "at": TEXT,
                        "requests": WHOLE,
                        **dict.fromkeys(
                            ("errors", "calls", "call_errors", "memory_mb", "processes", "sessions"), OR_NULL
                        ),
                    }
                )
            ),
        }
    ),
    "Activity": made_of({"records": listing(ref("ActivityRecord"))}),
    "ActivityRecord": made_of(
        {"at": TEXT, "id": TEXT, "kind": TEXT},
        **dict.fromkeys(
            "server method tool outcome error principal client project session trace".split(), TEXT
        ),
        ms=MILLISECONDS,
        pid=WHOLE,
    ),
    "OneCall": made_of(
        {
            "record": ref("ActivityRecord"),
            "phases": listing(made_of({"name": TEXT, "what": TEXT, **SPAN})),
            "questions": listing(made_of({"method": TEXT, "id": TEXT, **SPAN})),
            "messages": listing(made_of({"at": TEXT, "direction": TEXT, "bytes": WHOLE})),
            "is_recorded": FLAG,
        }
    ),
    "Overview": made_of(
        {
            "ok": FLAG,
            "verdict": TEXT,
            "needs": listing(
                made_of(
                    {
                        **dict.fromkeys("id kind name cause says do run action key since".split(), TEXT),
                        "level": {"enum": ["error", "warning"]},
                        "actions": listing(made_of({"label": TEXT}, method=TEXT, path=TEXT, page=TEXT)),
                    }
                )
            ),
            "status": TEXT,
            "calls60": made_of(
                {
                    "since": WHOLE,
                    "known_since": WHOLE,
                    "calls": listing(WHOLE),
                    "failed": listing(WHOLE),
                }
            ),
            "saved": made_of({"processes": WHOLE, "memory_mb": OR_NULL, "tokens_today": WHOLE}),
            "who": listing(made_of({"name": TEXT, "sessions": WHOLE, "places": listing(TEXT)})),
            "search": made_of({"state": {"enum": ["off", "missing", "failed", "ready"]}, "reason": TEXT}),
            "budgets": listing(
                made_of({"profile": TEXT, **dict.fromkeys("budget clients most warned cut".split(), WHOLE)})
            ),
        },
        servers=WHOLE,
        backends=listing(OBJECT),
        clients=listing(OBJECT),
        listeners=NAMES,
        cluster=made_of(
            {
                "node": TEXT,
                "store": {"enum": ["up", "lost"]},
                "nodes": WHOLE,
                "config": {"enum": ["store", "files"]},
            }
        ),
    ),
    "Why": made_of(
        {
            "server": TEXT,
            "state": TEXT,
            "ok": FLAG,
            "verdict": TEXT,
            "advice": listing(made_of({**SAID_REMEDY, "action": TEXT, "key": TEXT, "trouble": FLAG})),
            "history": listing(made_of({"at": TEXT, "event": TEXT, "text": TEXT, "times": WHOLE})),
        },
        launch=OBJECT,
        breaker=OBJECT,
        stderr=listing(TEXT),
        crashes=listing(made_of({"at": TEXT, "text": TEXT, "line": TEXT})),
    ),
}
