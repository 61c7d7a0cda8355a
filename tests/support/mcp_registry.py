"""A registry of MCP servers on this machine, with the API of the official one: pages with cursors, search, versions."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

OFFICIAL = "io.modelcontextprotocol.registry/official"
SCHEMA = "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json"
PAGE = 30


def server_json(
    name: str, *packages: Mapping[str, Any], version: str = "1.0.0", **more: Any
) -> dict[str, Any]:
    """A document as publishers write it."""
    held = {"packages": list(packages)} if packages else {}
    said = {"$schema": SCHEMA, "name": name, "description": f"The server {name}.", "version": version}
    return {**said, **held, **more}


def package(kind: str, identifier: str, version: str, **more: Any) -> dict[str, Any]:
    """A package of a server that speaks on stdio."""
    said = {"registryType": kind, "identifier": identifier, "version": version}
    return {**said, "transport": {"type": "stdio"}, **more}


class McpRegistry:
    """The registry.

    :ivar url: where it is.
    :ivar asked: the targets of its requests, in their order.
    :ivar apis: the versions of the API that it has.
    :ivar scripted: answers in place of its own, by path: a status and a body.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.apis = ("v0", "v0.1")
        self.scripted: dict[str, tuple[int, bytes]] = {}
        self._servers: list[tuple[dict[str, Any], str]] = []
        registry = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, body = registry.answer(self.path)
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", body.decode())
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *words: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *why: object) -> None:
        self.close()

    def close(self) -> None:
        """Be unreachable from now on."""
        self._server.shutdown()
        self._server.server_close()

    def publish(self, document: dict[str, Any], status: str = "active") -> None:
        """Add a version of a server."""
        self._servers.append((document, status))

    def answer(self, target: str) -> tuple[int, bytes]:
        """The status and the body of a request."""
        self.asked.append(target)
        parts = urlsplit(target)
        if parts.path in self.scripted:
            return self.scripted[parts.path]
        _, api, what, *rest = (*parts.path.split("/"), "", "")
        rest = [unquote(each) for each in rest if each]
        if api not in self.apis or what != "servers":
            return 404, b'{"title": "Not Found", "status": 404, "detail": "Endpoint not found"}'
        if not rest:
            return 200, json.dumps(self._page(parse_qs(parts.query))).encode()
        found = [each for each in self._servers if each[0]["name"] == rest[0]]
        if rest[1:] == ["versions"] and found:
            return 200, json.dumps(self._listed(found[::-1])).encode()
        version = rest[2] if rest[1:2] == ["versions"] and len(rest) == 3 else ""
        for each in found[::-1]:
            if version in ("latest", each[0]["version"]):
                return 200, json.dumps(self._described(each)).encode()
        return 404, b'{"title": "Not Found", "status": 404, "detail": "Server not found"}'

    def _page(self, query: dict[str, list[str]]) -> dict[str, Any]:
        asked = {name: values[-1] for name, values in query.items()}
        rows = [
            each
            for each in self._servers
            if asked.get("search", "").lower() in each[0]["name"].lower()
            and (asked.get("version") != "latest" or self._is_latest(each))
        ]
        keys = [f"{each[0]['name']}:{each[0]['version']}" for each in rows]
        begin = keys.index(asked["cursor"]) + 1 if asked.get("cursor") else 0
        limit = min(int(asked.get("limit", PAGE)), 100)
        listed = self._listed(rows[begin : begin + limit])
        if rows[begin + limit :]:
            listed["metadata"]["nextCursor"] = keys[begin + limit - 1]
        return listed

    def _listed(self, rows: list[tuple[dict[str, Any], str]]) -> dict[str, Any]:
        return {"servers": [self._described(each) for each in rows], "metadata": {"count": len(rows)}}

    def _described(self, row: tuple[dict[str, Any], str]) -> dict[str, Any]:
        at = "2026-03-01T10:00:00Z"
        official = {"status": row[1], "publishedAt": at, "updatedAt": at, "isLatest": self._is_latest(row)}
        return {"server": row[0], "_meta": {OFFICIAL: official}}

    def _is_latest(self, row: tuple[dict[str, Any], str]) -> bool:
        return [each for each in self._servers if each[0]["name"] == row[0]["name"]][-1] is row
