"""A gateway under a service manager that wants to be told, as with ``Type=notify`` and ``WatchdogSec``."""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
import signal
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.support.gateway import LIMIT_S, Gateway, eventually, ran, server
from tests.support.http_client import Client, tool_call
from tests.support.real_servers import fixture
from tests.support.service_manager import Manager, Message

pytestmark = pytest.mark.functional

WATCHDOG_S = 2
QUIET_S = 3.0  # a gateway that runs feeds this watchdog three times meanwhile


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    """A manager with a socket of either kind."""
    abstract = f"@mcpgateway-test-{secrets.token_hex(8)}"
    found = Manager(str(tmp_path / "notify") if request.param == "path" else abstract)
    yield found
    found.close()


def started(directory: Path, manager: Manager, runner: str = "twist") -> Gateway:
    """A gateway that this manager starts; its servers are from both kinds of files."""
    named = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": f"{WATCHDOG_S}000000"}
    gateway = Gateway(directory, {"native": server(fixture())}, runner=runner, environ=named)
    gateway.source.write_text(json.dumps({"mcpServers": {"found": gateway._marked(server(fixture()))}}))
    return gateway


def is_fed(message: Message) -> bool:
    """Return whether a message feeds the watchdog."""
    return message.get("WATCHDOG") == "1"


def is_ready(message: Message) -> bool:
    """Return whether a message says that the gateway serves."""
    return message.get("READY") == "1"


class ReadyTests:
    """The moment when the gateway says that it is ready."""

    @pytest.mark.parametrize("runner", ["twist", "twistd"])
    def test_whoever_connects_then_is_answered(self, manager: Manager, runner: str, tmp_path: Path) -> None:
        """The first message is that it serves, and where; nothing has to be tried twice."""
        found: dict[str, Any] = {}

        def ask() -> None:
            (found["ready"],) = manager.until(is_ready)
            url = re.search(r"at (http://localhost:\d+)$", found["ready"]["STATUS"])
            assert url is not None
            with urllib.request.urlopen(f"{url[1]}/health", timeout=LIMIT_S) as answer:
                found["health"] = json.load(answer)

        asking = Thread(target=ask)
        asking.start()
        with started(tmp_path, manager, runner):
            asking.join(LIMIT_S)
        assert found["ready"]["STATUS"].startswith("2 servers, 0 processes, 0 sessions at ")
        assert found["health"]["status"] == "ok"

    def test_children_are_not_told_of_the_manager(self, manager: Manager, tmp_path: Path) -> None:
        """No server has the manager's variables, whichever file it is from."""

        async def variables(url: str, name: str) -> list[str]:
            client = await Client.open(url, name)
            names = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
            found = [await client.value("env", name=each) for each in names]
            client.close()
            return found

        with started(tmp_path, manager) as gateway:
            for name in ("native", "found"):
                assert asyncio.run(variables(gateway.url, name)) == [None, None, None]
            manager.until(lambda each: each.get("STATUS", "").startswith("2 servers, 2 processes, "))

    def test_other_settings(self, manager: Manager, tmp_path: Path) -> None:
        """A changed configuration is told while it is put into force, and that it is."""
        with started(tmp_path, manager) as gateway:
            manager.until(is_ready)
            gateway.config.write_text(
                gateway.configured({"native": server(fixture()), "second": server(fixture())})
            )
            *_, reloading, ready = manager.until(is_ready)
        assert reloading["RELOADING"] == "1"
        assert reloading["MONOTONIC_USEC"].isdigit()
        assert ready["STATUS"].startswith("3 servers, ")


class WatchdogTests:
    """The watchdog, and what keeps it quiet."""

    def test_only_a_gateway_that_runs_feeds_it(self, manager: Manager, tmp_path: Path) -> None:
        """The watchdog is fed while the reactor turns: not while the process is stopped, and again when it goes on."""
        with started(tmp_path, manager) as gateway:
            for _ in range(3):
                manager.until(is_fed)
            os.kill(gateway.pid, signal.SIGSTOP)
            try:
                eventually(lambda: stopped(gateway.pid), "the gateway has stopped")
                manager.heard()
                time.sleep(QUIET_S)
                assert manager.heard() == []
            finally:
                os.kill(gateway.pid, signal.SIGCONT)
            manager.until(is_fed)


class StoppingTests:
    """Messages to the service manager at the end."""

    def test_the_end(self, manager: Manager, tmp_path: Path) -> None:
        """Stopping is told before calls are awaited; the watchdog is fed until they have ended."""
        with started(tmp_path, manager) as gateway:

            async def work() -> Any:
                client = await Client.open(gateway.url, "native")
                slow = await client.begin(tool_call(1, "sleep", {"ms": 4000, "text": "done"}))
                await asyncio.to_thread(
                    eventually, lambda: gateway.health()["calls"], "the call is under way"
                )
                manager.heard()
                ending = asyncio.ensure_future(asyncio.to_thread(gateway.terminate))
                answer = await slow.answer()
                slow.close()
                client.close()
                await ending
                return answer

            answer = asyncio.run(work())
        assert answer.json["result"]["content"][0]["text"] == "done"
        messages = manager.heard()
        at = next(at for at, each in enumerate(messages) if each.get("STOPPING") == "1")
        assert messages[at]["STATUS"] == "stopping, calls under way: 1"
        assert any(is_fed(each) for each in messages[at + 1 :])
        assert not any(is_ready(each) for each in messages[at + 1 :])


class AloneTests:
    """A gateway that nobody manages."""

    def test_nothing_is_loaded(self, tmp_path: Path) -> None:
        """Without a manager the code for it is not in the process."""
        loaded = "'mcpgateway.system.sd_notify' in sys.modules"
        code = f"import sys, mcpgateway.app.build as service; print(service.service_manager(), {loaded})"
        assert ran(sys.executable, "-c", code, cwd=tmp_path).stdout == "None False\n"


def stopped(pid: int) -> bool:
    """Return whether a process has been stopped by a signal."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
