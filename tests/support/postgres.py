"""A real PostgreSQL server for tests, and its databases."""

from __future__ import annotations

import glob
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import psycopg
import pytest

from tests.support.ports import free_port

LIMIT_S = 60.0
USER = "postgres"
SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "16MB",
    "max_connections": "300",
    "autovacuum": "off",
    "log_statement": "all",
    "log_line_prefix": "%m %a ",
    "listen_addresses": "127.0.0.1",
}


def programs() -> Path:
    """The directory of PostgreSQL's programs."""
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda path: int(path.split("/")[4]))
    if found:
        return Path(found[-1])
    return Path(shutil.which("initdb") or "/usr/bin/initdb").parent


class Postgres:
    """A PostgreSQL server with a directory of its own.

    :ivar port: its TCP port, on loopback.
    :ivar directory: the directory of its data and its log.
    """

    def __init__(self, **settings: str) -> None:
        if not (programs() / "initdb").exists():
            pytest.skip("make cluster-tools installs PostgreSQL")
        self.directory = Path(tempfile.mkdtemp(prefix="mcpg-pg-"))
        self.port = free_port()
        self._settings = {**SETTINGS, **settings}
        self._process: subprocess.Popen[bytes] | None = None
        if os.getuid() == 0:  # it refuses to run as root
            account = pwd.getpwnam(USER)
            os.chown(self.directory, account.pw_uid, account.pw_gid)
        self._run(
            "initdb", "-D", str(self.data), "-U", USER, "-A", "trust", "-E", "UTF8", "--no-sync", "--locale=C"
        )

    @property
    def data(self) -> Path:
        """The directory of its data."""
        return self.directory / "data"

    @property
    def log(self) -> Path:
        """The file of its log, with a line for each statement."""
        return self.directory / "log"

    @property
    def _who(self) -> dict[str, Any]:
        return {"user": USER, "group": USER, "extra_groups": []} if os.getuid() == 0 else {}

    def _run(self, program: str, *words: str) -> None:
        done = subprocess.run(
            [str(programs() / program), *words],
            capture_output=True,
            cwd="/",
            timeout=LIMIT_S,
            check=False,
            **self._who,
        )
        if done.returncode:
            raise AssertionError(f"{program} failed: {done.stderr.decode()}")

    def start(self) -> Self:
        """Start it and wait until it answers."""
        options = [word for key, value in self._settings.items() for word in ("-c", f"{key}={value}")]
        options += ["-k", str(self.directory), "-p", str(self.port)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [str(programs() / "postgres"), "-D", str(self.data), *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,
                **self._who,
            )
        began = time.monotonic()
        while True:
            try:
                psycopg.connect(self.dsn("postgres"), connect_timeout=5).close()
            except psycopg.OperationalError:
                if time.monotonic() - began > LIMIT_S:
                    raise AssertionError(
                        f"PostgreSQL does not start: {self.log.read_text()[-2000:]}"
                    ) from None
                time.sleep(0.05)
            else:
                return self

    def replica(self) -> Postgres:
        """Make a streaming replica of it, which is not started yet."""
        made = Postgres(**self._settings)
        shutil.rmtree(made.data)
        source = ("-h", "127.0.0.1", "-p", str(self.port), "-U", USER)
        self._run("pg_basebackup", "-D", str(made.data), *source, "-R", "-c", "fast", "--no-sync")
        return made

    def promote(self) -> None:
        """Make a replica the server that is written to."""
        self._run("pg_ctl", "promote", "-D", str(self.data))

    def dsn(self, database: str) -> str:
        """The URL of one of its databases."""
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{database}"

    def database(self) -> str:
        """Create a database; return its URL."""
        name = f"cluster_{secrets.token_hex(6)}"
        self.query("postgres", f"CREATE DATABASE {name}")
        return self.dsn(name)

    def query(self, database: str, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run a statement in a database, named or by its URL; return its rows."""
        dsn = database if "://" in database else self.dsn(database)
        with psycopg.connect(dsn, autocommit=True, application_name="test") as connection:
            cursor = connection.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else []

    def kill(self) -> None:
        """End it at once, as a crash does."""
        self._signal(signal.SIGQUIT)
        self._wait()

    def freeze(self) -> None:
        """Stop all of its processes, which answer no more and keep their connections."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let its processes go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        group = os.getpgid(self._process.pid)
        # Its processes have sessions of their own.
        children = subprocess.run(
            ["pgrep", "-P", str(self._process.pid)], capture_output=True, text=True, check=False
        ).stdout.split()
        for pid in children if number is not signal.SIGQUIT else ():
            with suppress(ProcessLookupError):
                os.kill(int(pid), number)
        os.killpg(group, number)

    def _wait(self) -> None:
        assert self._process is not None
        try:
            self._process.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def close(self) -> None:
        """End it, and remove its directory."""
        if self._process is not None:
            self._signal(signal.SIGCONT)
            self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)
