"""The schemas of views, profiles and jobs."""

from __future__ import annotations

from typing import Any

from mcpgateway.frontends.rest.schema_parts import NAMES, TEXT, WHOLE, listing, made_of, ref

VIEW_SCHEMAS: dict[str, dict[str, Any]] = {
    "Views": made_of({"items": listing(ref("View"))}),
    "View": made_of(
        {
            "name": TEXT,
            "path": TEXT,
            "kind": {"enum": ["full", "search", "hybrid", "meta", "admin"]},
            "profile": {"type": "string", "description": "The profile that it shows, or empty."},
            "servers": NAMES,
            "unknown": {**NAMES, "description": "The servers whose tools are not known yet."},
            "tools": WHOLE,
            "tokens": WHOLE,
            "all_tools": {**WHOLE, "description": "The tools that can be called there, listed or not."},
            "all_tokens": WHOLE,
        },
        listed=NAMES,
        beyond=NAMES,
        cut={
            **WHOLE,
            "description": "The listed tools that a client of ``most`` or ``client`` does not take.",
        },
    ),
    "Profiles": made_of({"items": listing(ref("Profile"))}),
    "Profile": made_of(
        {
            "name": TEXT,
            "path": TEXT,
            "servers": NAMES,
            "own": NAMES,
            "include": NAMES,
            "tools_off": NAMES,
            "capabilities": NAMES,
            "variables": NAMES,
            "description": TEXT,
        }
    ),
    "PutProfile": made_of({}, include=NAMES, tools_off=NAMES, capabilities=NAMES, description=TEXT),
    "ProfileDeleted": made_of({"deleted": TEXT}),
    "Jobs": made_of({"items": listing(ref("Job"))}),
    "Job": made_of(
        {
            "id": TEXT,
            "status": {"enum": ["queued", "running", "completed", "failed", "cancelled", "interrupted"]},
            "tool": TEXT,
            "priority": WHOLE,
            "created_at": TEXT,
            "started_at": {"type": ["string", "null"]},
            "finished_at": {"type": ["string", "null"]},
            "progress": {"type": ["object", "null"]},
            "logs": NAMES,
            "ref": TEXT,
            "error": TEXT,
            "hint": TEXT,
        }
    ),
}
