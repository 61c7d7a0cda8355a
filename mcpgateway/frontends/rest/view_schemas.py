"""The schemas of views, profiles, jobs and the nodes of a cluster."""

from __future__ import annotations

from typing import Any

from mcpgateway.discovery.tool_changes import KINDS
from mcpgateway.frontends.rest.schema_parts import (
    FLAG,
    NAMES,
    NUMBER,
    TEXT,
    TIER,
    WHOLE,
    listing,
    made_of,
    ref,
)

TOOL_CHANGE = made_of(
    {
        "tool": TEXT,
        "kind": {"enum": list(KINDS)},
        "parts": {**NAMES, "description": "The changed members of its definition."},
        "breaks": {**NAMES, "description": "The changes of its schemas that break callers."},
        "before": {"type": "string", "description": "The former description, if that has changed."},
        "after": TEXT,
        "words": TEXT,
    },
    digest=TEXT,
    since=NUMBER,
)
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
            "topology": {"type": "string", "description": "It changes with the list of tools."},
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
            "tier": TIER,
            "budget": WHOLE,
            "capabilities": NAMES,
            "variables": NAMES,
            "description": TEXT,
        },
        budget_use=made_of({}, budget=WHOLE, clients=WHOLE, most=WHOLE, warned=WHOLE, cut=WHOLE),
    ),
    "PutProfile": made_of({}, include=NAMES, tools_off=NAMES, capabilities=NAMES, description=TEXT),
    "ProfileDeleted": made_of({"deleted": TEXT}),
    "ServerVersion": made_of({}, version=TEXT),
    "ApproveTools": made_of({"tools": {"type": "object", "additionalProperties": TEXT}}),
    "Lock": made_of(
        {
            "package": TEXT,
            "runner": TEXT,
            "requested": TEXT,
            "version": TEXT,
            "integrity": TEXT,
            "seen_at": NUMBER,
            "tools": {"type": "object", "description": "The digest of each known tool."},
            "rollback": {"type": "string", "description": "The version before the upgrade, or empty."},
            "republished": {
                "type": "string",
                "description": "The integrity of the same version as it is now, if that is another one.",
            },
            "held": listing(TOOL_CHANGE),
        },
        newer=made_of(
            {
                "version": TEXT,
                "integrity": TEXT,
                "found_at": NUMBER,
                "compared": FLAG,
                "fault": {"type": "string", "description": "Why it could not be compared, or empty."},
                "changes": listing(TOOL_CHANGE),
            }
        ),
    ),
    "Cluster": made_of(
        {
            "node": {"type": "string", "description": "The node that answers; empty: the gateway is alone."},
            "items": listing(ref("ClusterNode")),
        },
        store={"enum": ["up", "lost"], "description": "Whether the node reaches the store."},
        lost_since={"type": "string", "description": "Since when the store is lost."},
        tokens_until={
            "type": ["string", "null"],
            "description": "When the node begins to refuse tokens, if the store is still lost then.",
        },
        refused={"type": "string", "description": "Why the node does not join, such as its key."},
        member={**FLAG, "description": "Whether the node counts as alive for the others."},
    ),
    "ClusterNode": made_of(
        {
            "name": TEXT,
            "state": {
                "enum": ["serving", "draining", "left", "gone", "unknown"],
                "description": "``unknown``: it was not heard of since the store is lost.",
            },
            "address": {"type": "string", "description": "Where other nodes reach it."},
            "clients": {"type": "string", "description": "Where a balancer reaches it."},
            "tls": {**FLAG, "description": "Whether it speaks https with clients."},
            "labels": NAMES,
            "version": TEXT,
            "sessions": WHOLE,
            "sole": {
                **NAMES,
                "description": "The servers with ``instances: one`` whose process it runs for all nodes.",
            },
            "rival": {
                "type": "string",
                "description": "Where another gateway of its name runs; empty: nowhere.",
            },
            "since": {**NUMBER, "description": "Its start, in seconds since the epoch."},
            "seen": {
                "type": ["number", "null"],
                "description": "When it has renewed its row, in seconds since the epoch.",
            },
            "mark": {"type": "string", "description": "The node in ids, in hexadecimal digits."},
        }
    ),
    "Drain": made_of(
        {},
        node={"type": "string", "description": "The node; without it the one that is asked."},
        undo={**FLAG, "description": "true: the node takes clients again."},
        force={**FLAG, "description": "true: also where no other node takes clients."},
    ),
    "Drained": made_of({"node": TEXT, "state": {"enum": ["serving", "draining"]}}),
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
