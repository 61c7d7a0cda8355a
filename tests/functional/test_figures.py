"""Numbers of a running gateway: at the command line, and as Prometheus reads them."""

import json
import re
import shlex
import sys
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families as parse

from tests.functional.test_tools_cli import ran
from tests.support.gateway import Gateway, eventually, server
from tests.support.processes import resident_kib

pytestmark = pytest.mark.functional

FIXTURE = (sys.executable, "-I", "-S", str(Path(__file__).parents[1] / "servers" / "fixture.py"))


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    """A gateway that has been asked something, once in vain."""
    with Gateway(tmp_path_factory.mktemp("figures"), {"fx": server(FIXTURE)}) as running:
        assert ran(running.home, "tools", "call", "fx__echo", "--arg", "text=x")[0] == 0
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "nothing"}}
        post(f"{running.url}/fx/mcp", body)
        yield running


def post(url, body):
    """Ask something as a client does."""
    headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    with urlopen(Request(url, json.dumps(body).encode(), headers), timeout=60) as answer:
        return answer.read()


def test_prometheus(gateway):
    """Prometheus' own parser reads all of it, and finds the calls."""
    with urlopen(f"{gateway.url}/metrics", timeout=60) as answer:
        families = {each.name: each for each in parse(answer.read().decode())}
    calls = {
        (sample.labels["tool"], sample.labels["outcome"]): sample.value
        for sample in families["mcpgateway_tool_calls"].samples
    }
    assert calls["echo", "ok"] == 1
    assert calls["nothing", "error"] == 1
    (up,) = families["mcpgateway_server_up"].samples
    assert up.labels == {"server": "fx", "transport": "stdio"}
    assert families["process_resident_memory_bytes"].samples[0].value > 10_000_000


def test_stats(gateway):
    """``stats`` shows the tools and the servers, and gives a program all of it."""
    code, out, _ = ran(gateway.home, "stats")
    assert code == 0
    assert "echo" in out
    found = json.loads(ran(gateway.home, "stats", "--json", "--server", "fx")[1])
    assert found["toolStats"]["echo"]["calls"] == 1
    assert found["servers"][0]["restart_count"] == 0
    assert ran(gateway.home, "stats", "--server", "other", "--json")[0] == 0


def test_counters_agree(tmp_path):
    """Requests, and calls of tools among them, are counted alike wherever they are shown."""
    requests = ["tools/list", "prompts/list", "resources/list", "resources/templates/list", "prompts/list"]
    calls = ["now", "now", "now", "convert", "nothing"]  # the latter two in vain
    clock = (sys.executable, "-m", "mcpgateway.demo.clock")  # which has neither prompts nor resources
    with Gateway(tmp_path, {"fx": server(clock)}) as gateway:
        for method in requests:
            post(f"{gateway.url}/fx/mcp", {"jsonrpc": "2.0", "id": 1, "method": method})
        for tool in calls:
            params = {"name": tool, "arguments": {}}
            post(
                f"{gateway.url}/fx/mcp", {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
            )
        stats = json.loads(ran(gateway.home, "stats", "--json")[1])
        told = ran(gateway.home, "stats")[1]
        activity = json.loads(ran(gateway.home, "activity", "--json")[1])
        called = json.loads(ran(gateway.home, "activity", "--calls", "--json")[1])
        usage = json.loads(ran(gateway.home, "status", "--usage", "--by", "tool", "--json")[1])
        usage_told = ran(gateway.home, "status", "--usage", "--window", "1h")[1]
        shown = json.loads(ran(gateway.home, "servers", "get", "fx", "--json")[1])
        with urlopen(f"{gateway.url}/metrics", timeout=60) as answer:
            families = {each.name: each for each in parse(answer.read().decode())}
        backend, (theirs,) = gateway.backend("fx"), gateway.health("?shape=immorterm")["servers"]
    counted = {
        "stats": stats["totalRequests"],
        "stats of the server": stats["servers"][0]["totalRequests"],
        "timeline": sum(each["requests"] for each in stats["timeline"]),
        "activity": len(activity),
        "servers get": shown["requests"],
        "health": backend["requests"],
        "health, their shape": theirs["totalRequests"],
        "metrics": sum(each.value for each in families["mcpgateway_requests"].samples),
    }
    assert set(counted.values()) == {len(requests) + len(calls)}, counted
    counted = {
        "stats": stats["totalCalls"],
        "stats of the server": stats["servers"][0]["totalCalls"],
        "stats of tools": sum(each["calls"] for each in stats["toolStats"].values()),
        "activity": len(called),
        "timeline": sum(each["calls"] for each in stats["timeline"]),
        "usage": usage["calls"],
        "usage of tools": sum(each["calls"] for each in usage["items"]),
        "usage over time": sum(each["calls"] for each in usage["series"]),
        "servers get": shown["tool_calls"],
        "health": backend["tool_calls"],
        "metrics": sum(each.value for each in families["mcpgateway_tool_calls"].samples),
    }
    assert set(counted.values()) == {len(calls)}, counted
    failed = [each for each in activity if each["outcome"] == "error"]
    assert (stats["totalErrors"], stats["totalCallErrors"], len(failed), usage["failed"]) == (2, 2, 2, 2), (
        failed
    )
    assert "5 in 1 h, 2 failed" in usage_told
    assert "5 of tools, of which 2 failed" in told
    assert "10 in all, of which 2 failed" in told


def test_the_hour_survives_a_restart(tmp_path):
    """The calls of the last hour are those of the activity log, before a restart and after it."""
    with Gateway(tmp_path, {"fx": server(FIXTURE)}) as gateway:
        for _ in range(2):
            for tool in ("echo", "nothing"):
                params = {"name": tool, "arguments": {"text": "x"}}
                body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
                post(f"{gateway.url}/fx/mcp", body)
            before = hour(gateway)
            gateway.terminate()
            gateway.start()
            assert hour(gateway) == before
        assert (before["calls"], before["failed"], before["requests"] >= 4) == (4, 2, True)
        assert "Last hour: 4 calls, of which 2 failed" in ran(gateway.home, "stats")[1]


def hour(gateway):
    """The calls of the last hour, which three sources agree on."""
    stats = json.loads(ran(gateway.home, "stats", "--json")[1])
    usage = json.loads(ran(gateway.home, "status", "--usage", "--by", "tool", "--window", "1h", "--json")[1])
    logged = json.loads(ran(gateway.home, "activity", "--json")[1])
    calls = [each for each in logged if each["kind"] == "call"]
    minutes = stats["timeline"]
    assert sum(each["calls"] for each in minutes) == usage["calls"] == len(calls)
    assert [each["calls"] for each in minutes] == [each["calls"] for each in usage["series"]]
    failed = [each for each in calls if each["outcome"] == "error"]
    assert sum(each["callErrors"] for each in minutes) == usage["failed"] == len(failed)
    return {
        "calls": usage["calls"],
        "failed": usage["failed"],
        "requests": sum(each["requests"] for each in minutes),
    }


def test_savings(gateway):
    """``savings`` shows what runs, and what that weighs."""
    code, out, _ = ran(gateway.home, "savings")
    assert (code, out.startswith("Processes: ")) == (0, True)
    found = json.loads(ran(gateway.home, "savings", "--json")[1])
    assert found["memory"]["gateway_mb"] > 10
    for each in found["servers"]:
        assert not each["running"] or each["memory_mb"] > 0


def test_memory_of_servers(tmp_path):
    """The memory of a server is that of its processes, as savings have it; none is known of one that runs elsewhere."""
    program = f"sleep 60 & exec {shlex.join(FIXTURE)}"
    servers = {
        "fx": server(("sh", "-c", program)),
        "cold": server(FIXTURE),
        "far": {"url": "http://127.0.0.1:9/mcp", "share": "global"},
    }
    with Gateway(tmp_path, servers) as gateway:
        assert ran(gateway.home, "tools", "call", "fx__echo", "--arg", "text=x")[0] == 0
        shown = json.loads(ran(gateway.home, "servers", "list", "--json")[1])["items"]
        listed = {each["name"]: each for each in shown}
        savings = json.loads(ran(gateway.home, "savings", "--json")[1])["servers"]
        (saved,) = (each["memory_mb"] for each in savings if each["name"] == "fx")
        processes = gateway.children()
        assert len(processes) == 2
        resident = sum(map(resident_kib, processes)) / 1024
        assert listed["fx"]["memory_mb"] == pytest.approx(saved, rel=0.2) == pytest.approx(resident, rel=0.2)
        assert (listed["cold"]["memory_mb"], listed["far"]["memory_mb"]) == (None, None)
        wide = ran(gateway.home, "servers", "list", "--wide")[1]
        assert re.search(r"fx .* [\d.]+ MB", wide), wide


def test_nobody(tmp_path):
    """Without a gateway the exit code says so."""
    for command in ("stats", "savings"):
        assert ran(tmp_path, command)[0] == 2


@pytest.mark.parametrize("share", ["global", "session"])
def test_the_client_of_a_command(tmp_path: Path, share: str) -> None:
    """Calls by the command line have the client's name, whoever shares the server's process."""
    with Gateway(tmp_path, {"fx": server(FIXTURE, share=share)}) as gateway:
        for _ in range(2):
            assert ran(gateway.home, "tools", "call", "fx__echo", "text=x")[0] == 0
        eventually(
            lambda: len(json.loads(ran(gateway.home, "activity", "--calls", "--json")[1])) == 2,
            "they are logged",
        )
        records = json.loads(ran(gateway.home, "activity", "--calls", "--json")[1])
        assert [each["client"] for each in records] == ["mcpgateway", "mcpgateway"]
