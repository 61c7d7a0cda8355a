"""The tables of the cluster's store, and their version.

A node of version N serves beside one of N + 1: a newer version only adds tables, columns and rows.  A change that older
nodes cannot live with raises the major version, which they refuse.
"""

from __future__ import annotations

from typing import Any

from mcpgateway.errors import ConfigError

MAJOR, MINOR = 1, 2

TABLES = (
    "CREATE TABLE IF NOT EXISTS marks (name TEXT PRIMARY KEY, value BIGINT NOT NULL)",
    """CREATE TABLE IF NOT EXISTS nodes (
        name TEXT PRIMARY KEY, octets BYTEA NOT NULL UNIQUE, incarnation TEXT NOT NULL, address TEXT NOT NULL,
        is_verified BOOLEAN NOT NULL DEFAULT false, labels TEXT[] NOT NULL DEFAULT '{}', version TEXT NOT NULL,
        state TEXT NOT NULL, since TIMESTAMPTZ NOT NULL, until TIMESTAMPTZ NOT NULL,
        facts JSONB NOT NULL DEFAULT '{}', wanted TEXT NOT NULL DEFAULT '', read BIGINT NOT NULL DEFAULT 0)""",
    """ALTER TABLE nodes ADD COLUMN IF NOT EXISTS rival TEXT NOT NULL DEFAULT '',
        ADD COLUMN IF NOT EXISTS rival_until TIMESTAMPTZ NOT NULL DEFAULT '-infinity'""",
    """CREATE TABLE IF NOT EXISTS sessions (
        serial BYTEA PRIMARY KEY, home BYTEA, epoch BIGINT NOT NULL DEFAULT 0, server TEXT NOT NULL,
        principal TEXT NOT NULL, version TEXT NOT NULL, params BYTEA NOT NULL, level TEXT,
        uris TEXT[] NOT NULL DEFAULT '{}', workspace TEXT NOT NULL DEFAULT '', issued BIGINT NOT NULL,
        seen TIMESTAMPTZ NOT NULL DEFAULT now(), ended BOOLEAN NOT NULL DEFAULT false)""",
    "CREATE INDEX IF NOT EXISTS sessions_by_age ON sessions (ended, seen)",
    """CREATE TABLE IF NOT EXISTS documents (
        kind TEXT NOT NULL, name TEXT NOT NULL, number BIGINT NOT NULL, body BYTEA NOT NULL,
        gone BOOLEAN NOT NULL DEFAULT false, writer TEXT NOT NULL DEFAULT '',
        at TIMESTAMPTZ NOT NULL DEFAULT now(), PRIMARY KEY (kind, name))""",
    "CREATE UNIQUE INDEX IF NOT EXISTS documents_by_number ON documents (number)",
    "CREATE INDEX IF NOT EXISTS documents_live ON documents (number) WHERE NOT gone",
    """CREATE TABLE IF NOT EXISTS leases (
        name TEXT PRIMARY KEY, node BYTEA NOT NULL, incarnation TEXT NOT NULL, fence BIGINT NOT NULL,
        until TIMESTAMPTZ NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS places (
        kind TEXT NOT NULL, id TEXT NOT NULL, node BYTEA NOT NULL, principal TEXT NOT NULL,
        until TIMESTAMPTZ NOT NULL, PRIMARY KEY (kind, id))""",
    "INSERT INTO marks VALUES ('major', 1), ('minor', 1), ('number', 0), ('floor', 0) ON CONFLICT DO NOTHING",
)


def create(cursor: Any) -> None:
    """Create what is missing of the tables.

    :raise ConfigError: the tables are of a newer major version.
    """
    cursor.execute("SELECT to_regclass('marks') IS NOT NULL")
    found = cursor.fetchone()[0] and _version(cursor)
    if found and found[0] > MAJOR:
        raise ConfigError(
            f"the store of the cluster has tables of version {found[0]}.{found[1]}, and this release knows"
            f" {MAJOR}.{MINOR}: upgrade this node"
        )
    if found and found >= (MAJOR, MINOR):
        return
    for statement in TABLES:
        cursor.execute(statement)
    cursor.execute("UPDATE marks SET value = %s WHERE name = 'minor' AND value < %s", (MINOR, MINOR))


def _version(cursor: Any) -> tuple[int, int]:
    cursor.execute("SELECT name, value FROM marks WHERE name IN ('major', 'minor')")
    found = dict(cursor.fetchall())
    return found.get("major", 0), found.get("minor", 0)
