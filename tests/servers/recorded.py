"""An MCP server on stdio that lists the tools of a real one, as they were captured, and answers each call at length.

``python -m tests.servers.recorded github`` lists what ``tests/search/catalogue/github.json`` holds.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from mcpgateway.demo.stdio import DemoTool, Server

CATALOGUE = Path(__file__).resolve().parents[1] / "search" / "catalogue"
ITEMS = 300


def issues(**_: object) -> str:
    """As many issues as a busy repository has."""
    return json.dumps(
        [{"id": each, "title": f"issue {each}", "body": "word " * 100} for each in range(ITEMS)]
    )


def server(name: str, instructions: str = "") -> Server:
    """The server of that name."""
    found = json.loads((CATALOGUE / f"{name}.json").read_text(encoding="utf-8"))
    tools = [
        DemoTool(each["name"], each["description"], issues, _properties(each)) for each in found["tools"]
    ]
    return Server(name, instructions or f"What {name} lists.", tools)


def _properties(tool: dict[str, object]) -> dict[str, dict[str, object]]:
    schema = tool["inputSchema"]
    assert isinstance(schema, dict)
    return dict(schema.get("properties", {}))


if __name__ == "__main__":
    server(*sys.argv[1:]).main()
