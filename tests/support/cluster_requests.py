"""Plain requests to the nodes of a cluster."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

from attrs import frozen
from psycopg.errors import UndefinedTable

from tests.support.cluster import AS_ADMIN, Node
from tests.support.gateway import LIMIT_S, eventually
from tests.support.postgres import Postgres


@frozen
class Said:
    """An answer; names of headers are lower case."""

    status: int
    json: Any
    headers: Mapping[str, str]


def ask(
    node: Node, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
) -> Said:
    """Send a request to a node, of its administrator unless the headers say otherwise."""
    data = None if body is None else json.dumps(body).encode()
    given = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    if headers is None or "Authorization" not in headers:
        given |= AS_ADMIN
    asked = urllib.request.Request(f"{node.url}{path}", data, {**given, **(headers or {})}, method=method)
    try:
        with urllib.request.urlopen(asked, timeout=LIMIT_S) as answer:
            return _said(answer.status, answer)
    except urllib.error.HTTPError as refusal:
        return _said(refusal.code, refusal)


def _said(status: int, answer: Any) -> Said:
    body = answer.read()
    try:
        found = json.loads(body or b"null")
    except ValueError:
        found = None
    return Said(status, found, {name.lower(): value for name, value in answer.headers.items()})


def found(postgres: Postgres, store: str, statement: str) -> list[Any]:
    """Return the rows of a statement; none before the tables are there."""
    try:
        return postgres.query(store, statement)
    except UndefinedTable:
        return []


def joined(postgres: Postgres, store: str, number: int) -> None:
    """Wait until so many nodes are in the store."""
    statement = "SELECT 1 FROM nodes WHERE until > now()"
    eventually(lambda: len(found(postgres, store, statement)) == number, "the nodes have joined")
