"""The published JSON Schema, with which an editor completes and checks a configuration of ours."""

from __future__ import annotations

from typing import Any

from mcpgateway.config import schema, serverkeys

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, Any]:
    """Return the schema of a configuration file.

    A file that is nothing but servers, without a level above them, is read as well; no schema can tell such
    names from slips, so this one leaves that shape out.
    """
    return {
        "$schema": DIALECT,
        "title": "mcpgateway configuration",
        **schema.TOP.json(),
        "$defs": {"server": serverkeys.SERVER.json()},
    }
