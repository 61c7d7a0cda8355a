"""Real servers that hang with a call under way: others are served, and the call has its chance."""

import asyncio
import os
import signal

import pytest

from tests.support.gateway import Gateway, eventually, server
from tests.support.http_client import Client, message, tool_call
from tests.support.processes import is_alive
from tests.support.real_servers import fixture

pytestmark = pytest.mark.functional

SETTINGS = {"ping_interval": "1s", "limits": {"stuck": "3s"}}
SERVERS = {name: server(fixture()) for name in ("halted", "deaf", "waiting")}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    """A gateway for all tests: each has a server of its own."""
    with Gateway(tmp_path_factory.mktemp("gateway"), SERVERS, settings=SETTINGS) as running:
        yield running


async def begun(client, gateway, name, tool, **arguments):
    """A call of a tool that is with its server's process, and that process."""
    waiting = await client.begin(tool_call(1, tool, arguments))
    eventually(lambda: gateway.backend(name)["calls"] == 1, "the call is there")
    (pid,) = gateway.backend(name)["pids"]
    return waiting, pid


def replaced(gateway, name, pid):
    """Return whether a server has another process by now, beside this one."""
    pids = gateway.backend(name)["pids"]
    return len(pids) == 2 and pids[1] == pid


class StuckTests:
    """Processes that hang."""

    def test_stopped(self, gateway):
        """Other clients are served by another process; the first one answers the call when it goes on, and
        then ends.
        """

        async def scene():
            one, other = await Client.open(gateway.url, "halted"), await Client.open(gateway.url, "halted")
            waiting, pid = await begun(one, gateway, "halted", "sleep", ms=500, text="late")
            os.kill(pid, signal.SIGSTOP)
            eventually(lambda: replaced(gateway, "halted", pid), "it is replaced")
            assert await other.text("echo", text="x") == "x"
            assert await one.text("echo", text="y") == "y"
            assert is_alive(pid)
            os.kill(pid, signal.SIGCONT)
            assert (await waiting.answer()).messages[-1]["result"]["content"][0]["text"] == "late"
            eventually(lambda: not is_alive(pid), "it is stopped")
            for each in (waiting, one, other):
                each.close()

        asyncio.run(scene())
        assert "is stuck with 1 calls under way: it is stopped (state T)" in gateway.log

    def test_deaf(self, gateway):
        """Other clients are served where a process neither reads nor computes; one that answers pings is left
        alone meanwhile.

        When the client gives up on its call, the process that hangs is stopped.
        """

        async def scene():
            patient = await Client.open(gateway.url, "waiting")
            long, at_work = await begun(patient, gateway, "waiting", "sleep", ms=10_000, text="done")
            one, other = await Client.open(gateway.url, "deaf"), await Client.open(gateway.url, "deaf")
            waiting, pid = await begun(one, gateway, "deaf", "deaf", ms=60_000)
            eventually(lambda: replaced(gateway, "deaf", pid), "it is replaced")
            assert await other.text("echo", text="x") == "x"
            await one.post(message(None, "notifications/cancelled", {"requestId": 1}))
            eventually(lambda: not is_alive(pid), "it is stopped")
            assert (await long.answer()).messages[-1]["result"]["content"][0]["text"] == "done"
            assert gateway.backend("waiting")["pids"] == [at_work]
            for each in (waiting, one, other, long, patient):
                each.close()

        asyncio.run(scene())
        assert "it says nothing, does nothing and answers no pings" in gateway.log
