"""The store of a cluster for tests: a real PostgreSQL that does its work at once, with a clock that tests set."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
from twisted.internet.defer import Deferred, fail, succeed

from mcpgateway.cluster import schema
from mcpgateway.errors import StoreLost

SET_CLOCK = (
    "CREATE SCHEMA set_clock",
    "CREATE TABLE set_clock.clock (now timestamptz)",
    "INSERT INTO set_clock.clock VALUES ('2030-01-01')",
    """CREATE FUNCTION set_clock.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
        AS 'SELECT now FROM set_clock.clock'""",
    "SET search_path TO set_clock, pg_catalog, public",
)


class StoreAtOnce:
    """A store whose Deferreds have fired already.

    :ivar is_gone: it does not answer.
    :ivar loses_answer: its next work is done, and the answer to it is lost.
    :ivar works_twice: its next work is done twice, as after a connection that broke at the commit.
    """

    def __init__(self, dsn: str) -> None:
        self.is_gone = self.loses_answer = self.works_twice = False
        self.connection = psycopg.connect(dsn, autocommit=True)
        for each in SET_CLOCK:
            self.connection.execute(each)
        with self.connection.cursor() as cursor:
            schema.create(cursor)

    def run(self, work: Callable[[Any], Any]) -> Deferred[Any]:
        """Run work in a transaction."""
        if self.is_gone:
            return fail(StoreLost())
        with self.connection.transaction(), self.connection.cursor() as cursor:
            result = work(cursor)
        if self.works_twice:
            self.works_twice = False
            return self.run(work)
        if self.loses_answer:
            self.loses_answer = False
            return fail(StoreLost())
        return succeed(result)

    def advance(self, seconds: float) -> None:
        """Let time pass at its clock."""
        self.connection.execute("UPDATE set_clock.clock SET now = now + %s * interval '1 second'", (seconds,))

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()
