"""The figures for dashboards and scripts, and the savings of sharing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.config.model import ServerSpec, Share
from mcpgateway.discovery.usage import Saving
from mcpgateway.frontends.rest.schemas import SCHEMAS
from mcpgateway.hub.usage import Usage
from mcpgateway.observe.figures import duration
from mcpgateway.observe.usage import percentile
from mcpgateway.system.usage import UsageFile
from mcpgateway.views.specs import ViewStorage
from tests.support.gateway_in_memory import MemoryGateway
from tests.support.instruments import MemoryWorld
from tests.support.remembering import Home


@pytest.fixture
def gateway() -> MemoryGateway:
    """A gateway with one shared and one stateful server."""
    return MemoryGateway()


def get(gateway: MemoryGateway, path: str) -> Any:
    """Return the answer of a route."""
    answer = gateway.client().ask(b"", "GET", path)
    assert answer.status == 200, answer.body
    return answer.json


def stats(gateway: MemoryGateway) -> Any:
    """S000's numbers."""
    return get(gateway, "/api/health/stats")


def call(gateway: MemoryGateway, server: str = "shared", tool: str = "echo", spent: float = 0.5) -> None:
    """Let a call of a tool be answered."""
    gateway.session(server).call(1, name=tool)
    gateway.clock.advance(spent)
    gateway.child.answer(gateway.child.asked("tools/call")[-1], {"content": []})


class StatsTests:
    """S000's dashboard."""

    def test_members(self, gateway: MemoryGateway) -> None:
        """The statistics have all their members."""
        found = stats(gateway)
        assert found.keys() == set(SCHEMAS["Stats"]["required"])
        assert found["gatewayEnabled"] is True
        assert (found["totalRequests"], found["toolStats"], len(found["timeline"])) == (0, {}, 60)
        (shared, _) = found["servers"]
        assert shared == {
            "name": "shared",
            "mode": "stateless",
            "activeChildren": 0,
            "totalRequests": 0,
            "totalCalls": 0,
            "status": "idle",
            "enabled": True,
            "command": "true",
            "lastActivityAt": 0,
            "source": "global",
            "configPath": "",
        }

    def test_tools(self, gateway: MemoryGateway) -> None:
        """A tool has its calls, errors and durations."""
        call(gateway, spent=0.5)
        call(gateway, spent=0.25)
        gateway.clock.advance(10)
        found = stats(gateway)
        assert found["toolStats"] == {
            "echo": {
                "calls": 2,
                "errors": 0,
                "totalMs": 750,
                "avgMs": 375,
                "p99Ms": 500,
                "errorRate": 0,
                "lastCalledAt": round((gateway.clock.seconds() - 10) * 1000),
                "server": "shared",
            }
        }
        assert (found["totalRequests"], found["activeConnections"]) == (2, 1)
        assert found["servers"][0]["status"] == "running"
        assert found["servers"][0]["lastActivityAt"] == found["toolStats"]["echo"]["lastCalledAt"]
        assert found["timeline"][-1]["perServer"] == {"shared": 2}

    def test_one_name_twice(self, gateway: MemoryGateway) -> None:
        """Tools of one name at two servers are told apart."""
        call(gateway)
        call(gateway, "own")
        call(gateway, "own", "count")
        assert stats(gateway)["toolStats"].keys() == {"shared__echo", "own__echo", "count"}

    def test_sessions(self, gateway: MemoryGateway) -> None:
        """Sessions with children of their own are shown by handles that open nothing."""
        client = gateway.session("own")
        gateway.session()
        (found,) = stats(gateway)["sessions"]
        assert (found["servers"], found["childCount"], found["clientPid"]) == (["own"], 1, None)
        assert found["sessionId"] not in client.headers["Mcp-Session-Id"]

    def test_nothing_secret(self, gateway: MemoryGateway) -> None:
        """The arguments of a command may be secret, and are not shown."""
        gateway.edit("shared", command=("run", "--token", "hunter2"))
        gateway.session()
        for path in ("/api/health/stats", "/api/v1/metrics", "/api/v1/savings", "/metrics"):
            assert b"hunter2" not in gateway.client().ask(b"", "GET", path).body

    def test_switched_off(self, gateway: MemoryGateway) -> None:
        """A server that is switched off is not enabled, and one that cannot be started is in error."""
        gateway.health.disable("own")
        gateway.launcher.refuses = True
        gateway.client().call(1)
        shared, own = stats(gateway)["servers"]
        assert (shared["status"], shared["enabled"]) == ("error", True)
        assert (own["status"], own["enabled"]) == ("idle", False)


class MetricsTests:
    """S003's numbers."""

    def test_lives(self, gateway: MemoryGateway) -> None:
        """Restarts, the time between failures and the time of the last of them are told, as Go writes durations."""
        gateway.session()
        gateway.tick(90)
        gateway.child.exit(1)
        gateway.tick(60)
        found = get(gateway, "/api/v1/metrics")
        assert found.keys() == {"timestamp", "gateway_uptime", "servers", "tokens"}
        assert found["gateway_uptime"] == "2m30s"
        shared, own = found["servers"]
        assert shared["restart_count"] == 1
        assert shared["mtbf"].startswith("2m")
        assert shared["last_crash_at"].startswith("2023-11-14T22:14:50")
        assert own == {"name": "own", "restart_count": 0, "mtbf": "0s", "uptime": "0s"}

    def test_tokens(self, tmp_path: Path) -> None:
        """The cost in tokens of the recorded tools is shown, a quarter of their characters."""
        gateway = Home(tmp_path).start()
        client = gateway.session()
        client.call(1, "tools/list")
        tool = {"name": "echo", "description": "é" * 40, "inputSchema": {"type": "object", "title": "e" * 28}}
        gateway.child.answer(gateway.child.asked("tools/list")[-1], {"tools": [tool, tool | {"name": "two"}]})
        assert get(gateway, "/api/v1/metrics")["tokens"] == {
            "total_tools": 2,
            "est_schema_tokens": 2 * 14,
            "est_description_tokens": 2 * 10,
            "est_total_tokens": 2 * 24,
        }

    @pytest.mark.parametrize(
        ("seconds", "text"),
        [
            (0, "0s"),
            (59, "59s"),
            (60, "1m0s"),
            (300, "5m0s"),
            (3723, "1h2m3s"),
            (3600, "1h0m0s"),
            (360000, "100h0m0s"),
        ],
    )
    def test_durations(self, seconds: int, text: str) -> None:
        """A duration is written as Go writes it."""
        assert duration(seconds) == text


class PercentileTests:
    """The slowest but a few."""

    @given(st.lists(st.floats(0, 1e6), min_size=1, max_size=200))
    def test_bound(self, values: list[float]) -> None:
        """A percentile is the smallest value that this part of the values does not exceed."""
        found = percentile(values, 0.99)
        assert sum(each <= found for each in values) >= 0.99 * len(values)
        assert sum(each < found for each in values) < 0.99 * len(values)

    def test_of_none(self) -> None:
        """The percentile of no values is 0."""
        assert percentile([], 0.99) == 0


class SavingsTests:
    """The savings of sharing."""

    def test_templates(self) -> None:
        """A process that children are forked from counts against the savings."""
        world = MemoryWorld(sizes={1000: 100 * 2**20, 7: 30 * 2**20})
        gateway = MemoryGateway(instruments=world.instruments)
        gateway.session()
        gateway.tick(60)
        before = get(gateway, "/api/v1/savings")["memory"]
        gateway.hub.savings.templates = lambda: (7,)
        memory = get(gateway, "/api/v1/savings")["memory"]
        assert (before["templates_mb"], memory["templates_mb"]) == (0, 30)
        assert memory["saved_mb"] == pytest.approx(0 - memory["gateway_mb"] - 30, abs=0.2)

    def test_processes(self) -> None:
        """The savings suppose a child for each session, as large as the one that runs."""
        world = MemoryWorld(sizes={1000: 100 * 2**20})
        gateway = MemoryGateway(instruments=world.instruments)
        for _ in range(4):
            gateway.session()
        gateway.session("own")
        gateway.tick(60)
        found = get(gateway, "/api/v1/savings")
        assert found["processes"] == {"without": 5, "running": 2, "saved": 3, "hours_saved": 0.05}
        memory: Mapping[str, float] = found["memory"]
        assert (memory["without_mb"], memory["running_mb"]) == (400, 100)
        assert memory["saved_mb"] == pytest.approx(300 - memory["gateway_mb"], abs=0.2)
        shared, own = found["servers"]
        assert shared == {
            "name": "shared",
            "sessions": 4,
            "without": 4,
            "running": 1,
            "saved": 3,
            "memory_mb": 100,
            "saved_mb": 300,
        }
        assert (own["without"], own["saved"]) == (1, 0)

    def test_memory_of_a_server(self) -> None:
        """A server shows the memory of its processes, of which those of all are measured once for some seconds."""
        world = MemoryWorld(sizes={1000: 100 * 2**20, 1001: 3 * 2**19})
        gateway = MemoryGateway(instruments=world.instruments)
        gateway.tick(60)
        assert [each["memory_mb"] for each in get(gateway, "/api/v1/servers")] == [None, None]
        assert world.weighed == 0
        gateway.session()
        gateway.session("own")
        for path in ("servers", "savings", "servers?tools=false"):
            assert "memory_mb" in str(get(gateway, f"/api/v1/{path}"))
        assert [each["memory_mb"] for each in get(gateway, "/api/v1/servers")] == [100, 1.5]
        assert world.weighed == 1
        gateway.tick(60)
        assert world.weighed == 1  # while there is no reader
        world.sizes[1000] = 2**20
        assert [each["memory_mb"] for each in get(gateway, "/api/v1/servers")] == [1, 1.5]
        assert world.weighed == 2

    def test_replicas(self) -> None:
        """Several children of one server are taken off."""
        server = ServerSpec("r", ("run",), {}, "/", share=Share.GLOBAL, title="r", replicas=2)
        gateway = MemoryGateway(more=(server,))
        for number in range(3):
            gateway.session("r").call(number, name="echo")
        found = get(gateway, "/api/v1/savings")["servers"][-1]
        assert (found["sessions"], found["without"], found["running"], found["saved"]) == (3, 3, 2, 1)

    def test_tokens(self, tmp_path: Path) -> None:
        """Tokens that were spared are told though nobody has used a view since the start."""
        file = str(tmp_path / "usage.json")
        former = Usage(UsageFile(file), lambda: 1_700_000_000.0)
        former.saved(Saving.DEFERRAL, "shared", 1234)
        former.close()

        class Counting(MemoryGateway):
            storage = ViewStorage(usage=lambda: Usage(UsageFile(file), lambda: 1_700_000_000.0))

        gateway = Counting()
        tokens = get(gateway, "/api/v1/savings")["tokens"]
        assert (tokens["total"], tokens["today"], tokens["deferral"]) == (1234, 1234, 1234)
        assert tokens["days"] == {"2023-11-14": {"shared": {"deferral": 1234}}}
        assert gateway.hub.usage is None

    def test_no_session(self) -> None:
        """A server that runs for no session saves nothing: no client would have started it."""
        gateway = MemoryGateway(instruments=MemoryWorld(sizes={1000: 100 * 2**20}).instruments)
        gateway.session().ask(None, "DELETE")
        found = get(gateway, "/api/v1/savings")
        assert found["processes"] == {"without": 0, "running": 1, "saved": -1, "hours_saved": 0}
        assert (found["memory"]["without_mb"], found["memory"]["running_mb"]) == (0, 100)
        assert found["memory"]["saved_mb"] < -100

    def test_nothing(self, gateway: MemoryGateway) -> None:
        """Where nothing runs, nothing is saved."""
        found = get(gateway, "/api/v1/savings")
        assert found["processes"] == {"without": 0, "running": 0, "saved": 0, "hours_saved": 0}
        assert found["tokens"] == {"days": {}}
