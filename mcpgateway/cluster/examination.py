"""Look at the store of a cluster from a program that is no node, such as the doctor.  All of it blocks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mcpgateway.cluster import schema
from mcpgateway.cluster.key_check import agree, checks_of, refusal
from mcpgateway.cluster.node import ClusterKeys
from mcpgateway.cluster.store import DEFAULTS, STATEMENT_MS, library
from mcpgateway.errors import StoreLost
from mcpgateway.records import FrozenRecord

LIMIT_S = 3
RIVALS_SINCE = 2  # the minor version of the tables


class StoreFacts(FrozenRecord, frozen=True):
    """The store of a cluster, as a program that is no node has found it.

    :ivar server: the version of PostgreSQL.
    :ivar tables: the version of the tables; None where there are none.
    :ivar ahead_s: the seconds by which the clock of the store is ahead of this machine's.
    :ivar has_key: true if the cluster has a key, which its nodes have to have.
    :ivar nodes: the names of the live nodes.
    :ivar rivals: the name and the two addresses of each two gateways of one name.
    """

    server: str
    tables: tuple[int, int] | None
    ahead_s: float
    has_key: bool
    nodes: tuple[str, ...] = ()
    rivals: tuple[tuple[str, str, str], ...] = ()


def examine(dsn: str, wall: Callable[[], float], keys: ClusterKeys | None = None) -> StoreFacts:
    """Look at the store; with keys, compare them with the cluster's, and change nothing.

    :param wall: returns the time in seconds since the epoch.
    :raise ConfigError: the keys are not the cluster's, or the client library is missing.
    :raise StoreLost: the store cannot be reached, or refuses its user.
    """
    return _within(dsn, lambda cursor: _facts(cursor, wall, keys))


def found(dsn: str, wall: Callable[[], float], keys: ClusterKeys) -> StoreFacts:
    """Make the tables where there are none, and agree on the key; return the store.

    :raise ConfigError: the tables are of a newer release, or the keys are not the cluster's.
    :raise StoreLost: as `examine`.
    """

    def work(cursor: Any) -> StoreFacts:
        schema.create(cursor)
        agree(cursor, keys)
        return _facts(cursor, wall, None)

    return _within(dsn, work)


def _within(dsn: str, work: Any) -> StoreFacts:
    psycopg = library()
    try:
        named = psycopg.conninfo.conninfo_to_dict(dsn)
        options = f"{named.pop('options', '')} -c statement_timeout={STATEMENT_MS}".strip()
        wanted = {**DEFAULTS, "connect_timeout": LIMIT_S, **named}
        with psycopg.connect(**wanted, options=options) as connection, connection.cursor() as cursor:
            made: StoreFacts = work(cursor)
            return made
    except psycopg.Error as why:
        lines = [line.strip() for line in str(why).splitlines() if line.strip()]
        raise StoreLost(lines[0] if lines else type(why).__name__) from why


def _facts(cursor: Any, wall: Callable[[], float], keys: ClusterKeys | None) -> StoreFacts:
    before = wall()
    cursor.execute("SELECT extract(epoch FROM clock_timestamp())::float8, current_setting('server_version')")
    store_time, server = cursor.fetchone()
    middle = (before + wall()) / 2
    cursor.execute("SELECT to_regclass('marks') IS NOT NULL")
    if not cursor.fetchone()[0]:
        return StoreFacts(server, None, store_time - middle, has_key=False)
    cursor.execute("SELECT name, value FROM marks")
    marks = dict(cursor.fetchall())
    cursor.execute("SELECT name FROM nodes WHERE until > clock_timestamp() AND state <> 'left' ORDER BY name")
    nodes = tuple(row[0] for row in cursor.fetchall())
    if keys is not None and "key" in marks and marks["key"] not in checks_of(keys):
        raise refusal()
    tables = (marks.get("major", 0), marks.get("minor", 0))
    rivals: tuple[tuple[str, str, str], ...] = ()
    if tables[0] == schema.MAJOR and tables[1] >= RIVALS_SINCE:
        cursor.execute(
            "SELECT name, address, rival FROM nodes WHERE rival <> '' AND rival_until > clock_timestamp()"
        )
        rivals = tuple(cursor.fetchall())
    return StoreFacts(server, tables, store_time - middle, "key" in marks, nodes, rivals)
