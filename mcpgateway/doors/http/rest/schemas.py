"""What bodies and answers of the control plane are made of, as JSON Schema (2020-12), by the names that routes use."""

from __future__ import annotations

from typing import Any

TEXT: dict[str, Any] = {"type": "string"}
FLAG: dict[str, Any] = {"type": "boolean"}
WHOLE: dict[str, Any] = {"type": "integer"}
NUMBER: dict[str, Any] = {"type": "number"}
OBJECT: dict[str, Any] = {"type": "object"}


def listing(of: dict[str, Any]) -> dict[str, Any]:
    """A list of these."""
    return {"type": "array", "items": of}


def made_of(needed: dict[str, Any], **may: Any) -> dict[str, Any]:
    """An object with these members, further ones that it may have, and whatever else is added later."""
    return {"type": "object", "properties": {**needed, **may}, "required": list(needed)}


def ref(name: str) -> dict[str, str]:
    """The schema of that name."""
    return {"$ref": f"#/components/schemas/{name}"}


LIMIT_MS = {"type": "integer", "minimum": 1, "description": "Milliseconds that it may take."}
ARGUMENTS = {"type": ["object", "null"], "description": "The arguments of the tool."}
ENDED = {"ok": FLAG, "killed": WHOLE}

SCHEMAS: dict[str, dict[str, Any]] = {
    "Anything": {},
    "Error": made_of({"error": TEXT}, hint=TEXT),
    "Alive": made_of({"status": TEXT}),
    "Health": made_of(
        {"status": TEXT, "version": TEXT, "port": WHOLE, "servers": {"type": ["integer", "array"]}}
    ),
    "Clients": made_of({"clients": listing(OBJECT)}),
    "Detected": made_of({"detected": listing(OBJECT)}),
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
    "Tools": listing(made_of({"name": TEXT, "description": TEXT, "server": TEXT})),
    "Tool": made_of({"id": TEXT, "server": TEXT, "name": TEXT}),
    "ToolResult": OBJECT,
    "Call": made_of({}, arguments=ARGUMENTS, timeout_ms=LIMIT_MS),
    "CallOfServer": made_of({"tool": TEXT}, arguments=ARGUMENTS, timeout_ms=LIMIT_MS),
    "Discover": made_of({}, servers=listing(TEXT), timeout_ms=LIMIT_MS),
    "Discovery": OBJECT,
    "Activity": made_of({"records": listing(made_of({"at": TEXT, "id": TEXT, "kind": TEXT}))}),
    "Record": made_of({"server": TEXT, "lines": listing(made_of({"at": TEXT, "server": TEXT}))}),
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
"""What stands in the places of paths, where it is no text."""
