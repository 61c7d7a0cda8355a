"""Numbers of a running gateway: at the command line, and as Prometheus reads them."""

import json
import sys
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families as parse

from tests.functional.test_tools_cli import ran
from tests.support.gateway import Gateway, server

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
    with urlopen(Request(url, json.dumps(body).encode(), headers), timeout=10) as answer:
        return answer.read()


def test_prometheus(gateway):
    """Prometheus' own parser reads all of it, and finds the calls."""
    with urlopen(f"{gateway.url}/metrics", timeout=10) as answer:
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
        shown = json.loads(ran(gateway.home, "servers", "get", "fx", "--json")[1])
        with urlopen(f"{gateway.url}/metrics", timeout=10) as answer:
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
        "servers get": shown["tool_calls"],
        "health": backend["tool_calls"],
        "metrics": sum(each.value for each in families["mcpgateway_tool_calls"].samples),
    }
    assert set(counted.values()) == {len(calls)}, counted
    failed = [each for each in activity if each["outcome"] == "error"]
    assert (stats["totalErrors"], stats["totalCallErrors"], len(failed)) == (2, 2, 2), failed
    assert "5 of tools, of which 2 failed" in told
    assert "10 in all, of which 2 failed" in told


def test_savings(gateway):
    """``savings`` shows what runs, and what that weighs."""
    code, out, _ = ran(gateway.home, "savings")
    assert (code, out.startswith("Processes: ")) == (0, True)
    found = json.loads(ran(gateway.home, "savings", "--json")[1])
    assert found["memory"]["gateway_mb"] > 10
    for each in found["servers"]:
        assert not each["running"] or each["memory_mb"] > 0


def test_nobody(tmp_path):
    """Without a gateway the exit code says so."""
    for command in ("stats", "savings"):
        assert ran(tmp_path, command)[0] == 2
