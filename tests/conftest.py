"""The surroundings of every test: no gateway of the machine, little garbage, a docstring that is there."""

import errno
import gc
import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Generator, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from _pytest import unittest
from hypothesis import settings
from hypothesis.database import DirectoryBasedExampleDatabase

from mcpgateway.system.process import socket_owners

# No deadline: how busy the machine is must not decide a test.
database = DirectoryBasedExampleDatabase("build/hypothesis")
settings.register_profile("house", deadline=None, max_examples=25, database=database)
settings.register_profile("deep", settings.get_profile("house"), max_examples=500)  # of `make soak`
settings.load_profile("deep" if os.environ.get("MCPGATEWAY_SOAK") == "1" else "house")

# Tests that were started in the background, or by nohup, ignore these, and so would every program that they start.
for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, usual)

# Homes of gateways are written with fsync, thousands of times: with a disk, most of the time of the tests is waiting.
MEMORY = "/dev/shm"
ROOM = 4 << 30
if os.path.isdir(MEMORY) and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free >= ROOM:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", MEMORY)
    tempfile.tempdir = MEMORY

USUAL_PORT = 9100


@pytest.fixture(scope="session", autouse=True)
def _no_gateway_of_the_machine() -> Iterator[None]:
    """Hide a gateway of this machine at the usual port from the test process: no connection, and no listener."""
    connect, holders = socket.create_connection, socket_owners.port_holders

    def connect_elsewhere(address: tuple[str, int], *args: Any, **options: Any) -> socket.socket:
        if address[1] == USUAL_PORT:
            raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
        return connect(address, *args, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "create_connection", connect_elsewhere)
        patch.setattr(
            socket_owners, "port_holders", lambda port: iter(()) if port == USUAL_PORT else holders(port)
        )
        yield


@pytest.fixture(scope="session", autouse=True)
def _garbage_of_the_last_tests() -> Iterator[None]:
    """End here, where output is captured, the coroutines that wait for nothing any more."""
    yield
    gc.collect()


# The modules and the tests are for good: nothing of them has to be looked through again and again.
gc.disable()

# Most garbage goes without a collector; each look at what is left costs what lives, which is the test at work.
GARBAGE = 50_000


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Look for garbage from here on, and only in what comes now."""
    result = yield
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE)
    gc.enable()
    # pytest reads and parses the metadata of Twisted before each test: a tenth of the time of the unit tests.
    trial = vars(unittest)
    if version := trial.get("_get_twisted_version"):
        trial["_get_twisted_version"] = cache(version)
    return result


SOAK = frozenset(Path(__file__).with_name("soak.txt").read_text(encoding="utf-8").splitlines())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of ``soak.txt``, and refuse a test without a sentence that says which behaviour it pins."""
    for each in items:
        name = each.nodeid.removeprefix("tests/")
        if name in SOAK or name.partition("[")[0] in SOAK:
            each.add_marker(pytest.mark.soak)
    silent = {
        each.nodeid.partition("[")[0]
        for each in items
        if isinstance(each, pytest.Function) and each.name.startswith("test_") and not each.function.__doc__
    }
    if silent:
        raise pytest.UsageError(f"tests without a docstring: {', '.join(sorted(silent))}")


@pytest.fixture(scope="module")
def disk() -> Iterator[Path]:
    """A directory that is not in memory: the kernel counts the bytes that a process writes there."""
    with tempfile.TemporaryDirectory(
        prefix="mcpgateway-", dir="/var/tmp", ignore_cleanup_errors=True
    ) as found:
        yield Path(found)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Any]:
    """A PostgreSQL server; tests take a database of their own of it (`tests.support.postgres.Postgres.database`)."""
    from tests.support.postgres import Postgres, programs  # few tests need it

    if not (programs() / "initdb").exists() and os.environ.get("MCPGATEWAY_CLUSTER") != "1":
        pytest.skip("this machine has no PostgreSQL: make cluster-tools installs it")
    made = Postgres()
    try:
        yield made.start()
    finally:
        made.close()


@pytest.fixture
def store(postgres: Any) -> str:
    """The URL of an empty database for the store of a cluster."""
    made: str = postgres.database()
    return made
