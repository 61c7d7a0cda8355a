"""JSON Schemas of the bodies and answers about clients' own files."""

from __future__ import annotations

from typing import Any

from mcpgateway.frontends.rest.schema_parts import CLIENT, FILE_CHANGE, FLAG, TEXT, WHOLE, listing, made_of

CLIENT_FILE_SCHEMAS: dict[str, dict[str, Any]] = {
    "Clients": made_of({"clients": listing(CLIENT)}),
    "Detected": made_of({"detected": listing(made_of({"tool": TEXT, "configPath": TEXT}))}),
    "ProjectFiles": made_of(
        {
            "files": listing(
                made_of(
                    {
                        **dict.fromkeys(
                            ("path", "client", "title", "project", "mode", "suspended", "error"), TEXT
                        ),
                        "servers": {"type": "object", "additionalProperties": WHOLE},
                        "enrolled": listing(TEXT),
                    }
                )
            )
        }
    ),
    "Register": made_of({"tool": TEXT}, configPath=TEXT),
    "EnrolFile": made_of({"tool": TEXT, "configPath": TEXT}, mode={"enum": ["http", "fail-open", "single"]}),
    "FilesChanged": made_of({"files": listing(made_of({"diff": listing(TEXT)}, path=TEXT, error=TEXT))}),
    "RestoreFile": made_of(
        {"tool": TEXT, "configPath": TEXT},
        version={
            "type": "integer",
            "minimum": 1,
            "description": "A change in the history; the file returns to what it was before.",
        },
    ),
    "FileChange": made_of(FILE_CHANGE, diff=listing(TEXT)),
    "FileHistory": made_of({"versions": listing(made_of(FILE_CHANGE))}),
    "Registered": made_of(
        {"tool": TEXT, "registered": listing(TEXT), "configPath": {"type": ["string", "null"]}}
    ),
    "RegisterProject": made_of({"configPath": TEXT}),
    "RegisteredProject": made_of({"registered": listing(TEXT), "passthrough": WHOLE}),
    "GatewayConfig": made_of(
        {"port": WHOLE, "optedOut": listing(TEXT), "disabled": FLAG, "managedServers": listing(TEXT)}
    ),
    "Switched": made_of({"ok": FLAG, "status": {"enum": ["enabled", "disabled"]}}),
}
