"""Tools over plain HTTP, with real servers: found, described, called, and their long results read in parts."""

import http.client
import json
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

from tests.support.gateway import LIMIT_S, Gateway, eventually, server

pytestmark = pytest.mark.functional

FIXTURE = (sys.executable, "-I", "-S", str(Path(__file__).parents[1] / "servers" / "fixture.py"))
SERVERS = {
    "fx": server(FIXTURE),
    "own": server(FIXTURE, share="session"),
    "modern": server((*FIXTURE, "--era=modern")),
    "clock": server((sys.executable, "-m", "mcpgateway.demo.clock")),
    "broken": server(("/nonexistent/program",)),
}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    """A gateway with servers of both eras, and one that cannot be started."""
    with Gateway(tmp_path_factory.mktemp("rest"), SERVERS) as running:
        yield running


def ask(gateway, path, body=None, *, token=True):
    """Ask the control plane; the status and what it says."""
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {(gateway.home / 'auth.token').read_text().strip()}"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{gateway.url}{path}", data, headers)
    try:
        with urllib.request.urlopen(request, timeout=LIMIT_S) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refusal:
        return refusal.code, json.load(refusal)


class ReadingTests:
    """Tools that there are; reading them needs no token."""

    def test_all_tools(self, gateway):
        """Every tool of every server is listed with its schema, also of those that never ran before."""
        status, found = ask(gateway, "/api/v1/tools", token=False)
        assert status == 200
        known = {each["name"]: each for each in found}
        assert {"fx__echo", "own__echo", "modern__echo", "clock__now"} <= set(known)
        assert known["clock__convert"]["server"] == "clock"
        assert known["clock__convert"]["input_schema"]["required"] == ["time", "to_timezone"]
        assert "time zone" in known["clock__convert"]["description"]

    @pytest.mark.parametrize("path", ["/api/v1/results/a%2Fb", "/api/v1/servers/a%2Fb/call"])
    def test_nothing_there(self, gateway, path):
        """A path with nothing behind it is told in JSON, as anywhere else."""
        status, said = ask(gateway, path, {} if path.endswith("call") else None)
        assert (status, said["error"]) == (404, "Not found")

    def test_one_server(self, gateway):
        """The tools of one server can be asked for; an unknown server is 404."""
        _, found = ask(gateway, "/api/v1/tools?server=clock")
        assert [each["name"] for each in found] == ["clock__now", "clock__convert"]
        status, refusal = ask(gateway, "/api/v1/tools?server=clok")
        assert (status, refusal["hint"]) == (404, "did you mean clock?")

    def test_search(self, gateway):
        """A query in a user's own words finds the tools that do it, best first."""
        ask(gateway, "/api/v1/tools")
        query = urllib.parse.urlencode({"q": "what time is it in Tokyo", "limit": 1})
        status, found = ask(gateway, f"/api/v1/tools?{query}", token=False)
        assert status == 200
        assert [each["server"] for each in found] == ["clock"]
        assert found[0]["score"] > 0
        assert "input_schema" in found[0]

    @pytest.mark.parametrize(
        "identifier", ["clock__convert", "clock::convert", "clock/convert", "clock%2Fconvert"]
    )
    def test_describe(self, gateway, identifier):
        """A tool is shown whole, in whatever way it is named."""
        status, found = ask(gateway, f"/api/v1/tools/{identifier}", token=False)
        assert status == 200
        assert (found["id"], found["server"], found["name"]) == ("clock__convert", "clock", "convert")

    def test_describe_nothing(self, gateway):
        """A tool that is not there is 404, with those that may be meant, and a command that finds them."""
        status, refusal = ask(gateway, "/api/v1/tools/clock__convrt")
        assert status == 404
        assert "clock__convert" in refusal["hint"]
        assert "mcpgateway tools search finds the ids" in refusal["hint"]
        assert "gateway_search" not in refusal["hint"]

    def test_without_the_version(self, gateway):
        """A path without its version is found all the same."""
        status, found = ask(gateway, "/api/tools?server=clock")
        assert (status, len(found)) == (200, 2)


class CallingTests:
    """Calls."""

    @pytest.mark.parametrize("name", ["fx", "own", "modern"])
    def test_a_call(self, gateway, name):
        """A tool of a server of any kind is called by its own name."""
        status, result = ask(
            gateway, f"/api/v1/servers/{name}/call", {"tool": "echo", "arguments": {"text": "süß"}}
        )
        assert status == 200
        assert result["content"] == [{"type": "text", "text": "süß"}]

    @pytest.mark.parametrize("identifier", ["fx__echo", "own::echo", "modern/echo"])
    def test_by_id(self, gateway, identifier):
        """The same by its id."""
        status, result = ask(gateway, f"/api/v1/tools/{identifier}/call", {"arguments": {"text": "x"}})
        assert (status, result["content"][0]["text"]) == (200, "x")

    def test_a_tool_of_the_gateway(self, gateway):
        """The gateway's own tools are called like others."""
        status, result = ask(gateway, "/api/v1/tools/gateway_list_servers/call", {})
        assert status == 200
        assert "clock" in result["content"][0]["text"]

    def test_nothing_is_cut(self, gateway):
        """A result is as the server gave it, however long: a script has no use for a part."""
        status, result = ask(gateway, "/api/v1/tools/fx__big/call", {"arguments": {"bytes": 1_000_000}})
        assert status == 200
        assert len(result["content"][0]["text"]) == 1_000_000

    def test_refusals(self, gateway):
        """An unknown tool is 404, a server that cannot be started 502, and without a token no tool is called."""
        assert ask(gateway, "/api/v1/servers/fx/call", {"tool": "echoo"})[0] == 404
        assert ask(gateway, "/api/v1/servers/nope/call", {"tool": "echo"})[0] == 404
        assert ask(gateway, "/api/v1/tools/fx__ecko/call", {})[0] == 404
        assert ask(gateway, "/api/v1/servers/broken/call", {"tool": "echo"})[0] == 502
        assert ask(gateway, "/api/v1/servers/fx/call", {"tool": "die"})[0] == 502
        assert ask(gateway, "/api/v1/servers/fx/call", {"tool": 1})[0] == 400
        assert ask(gateway, "/api/v1/servers/fx/call", {"tool": "echo"}, token=False)[0] == 401
        large = {"tool": "echo", "arguments": {"text": "x" * 1_100_000}}
        assert ask(gateway, "/api/v1/servers/fx/call", large)[0] == 413

    def test_in_time(self, gateway):
        """A call ends when its caller has said so."""
        began = time.monotonic()
        status, refusal = ask(gateway, "/api/v1/servers/fx/call", {"tool": "mute", "timeout_ms": 300})
        assert status == 504
        assert "300 ms" in refusal["error"]
        assert time.monotonic() - began < LIMIT_S

    def test_hanging_up(self, gateway):
        """A caller that hangs up takes its call back, and the child of its own ends."""
        before = gateway.health()["calls"]
        connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=LIMIT_S)
        token = (gateway.home / "auth.token").read_text().strip()
        connection.request(
            "POST",
            "/api/v1/servers/own/call",
            json.dumps({"tool": "mute"}),
            {"Authorization": f"Bearer {token}"},
        )
        eventually(lambda: gateway.health()["calls"] == before + 1, "the call is under way")
        connection.close()
        eventually(lambda: gateway.health()["calls"] == before, "the call is taken back")
        eventually(lambda: gateway.backend("own")["pids"] == [], "the child ends")


class DiscoverTests:
    """Every server is asked."""

    def test_discover(self, gateway):
        """The outcome is told of each server; a server that did not run before does not run afterwards."""
        running = {each["name"] for each in gateway.health()["backends"] if each["pids"]}
        status, _ = ask(gateway, "/api/v1/discover", {})
        assert status == 202
        eventually(lambda: not ask(gateway, "/api/v1/discover")[1]["running"], "all have been asked")
        found = {each["name"]: each for each in ask(gateway, "/api/v1/discover")[1]["servers"]}
        assert found["clock"]["tools"] == 2
        assert found["modern"]["tools"] > 20
        assert found["broken"]["state"] == "failed"
        assert "/nonexistent/program" in found["broken"]["error"]
        eventually(
            lambda: {each["name"] for each in gateway.health()["backends"] if each["pids"]} <= running,
            "they have ended again",
        )


class ResultTests:
    """Results that were too long to be shown to a client."""

    def test_the_rest(self, gateway):
        """A result that was cut for a client of the view is read in parts, by its caller, and with the token."""
        call = {"name": "fx__big", "arguments": {"bytes": 300_000}}
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}
        status, answer = ask(gateway, "/mcp/full", body, token=False)
        assert status == 200
        text = json.dumps(answer["result"])
        assert len(text) < 100_000
        ref = re.search(r"_ref\W+([\w-]+)", text)[1]
        status, part = ask(gateway, f"/api/v1/results/{ref}?limit=1", token=False)
        assert status == 200
        assert part["ref"] == ref
        assert ask(gateway, f"/api/v1/results/{ref}?limit=1") == (200, part)
        status, whole = ask(gateway, f"/api/v1/results/{ref}?raw=true&head=1", token=False)
        assert status == 200, whole
        assert ask(gateway, "/api/v1/results/r_nothing")[0] == 404
        assert ask(gateway, f"/api/v1/results/{ref}?grep=a&head=1", token=False)[0] == 400


class OffTests:
    """Tools that a server's ``tools_off`` takes out of its offer."""

    @pytest.mark.parametrize(("server", "other"), [("fx", "sleep"), ("modern", "sleep")])
    def test_off_and_on(self, gateway, server, other):
        """A tool that is off is on no list, is not found, and is refused by name everywhere, until it is offered."""
        name = f"{server}__echo"
        assert row(gateway, name)["offered"] is True
        status, said = change(gateway, f"/api/v1/tools/{name}", {"offered": False})
        assert (status, said) == (200, {"offered": False, "tools_off": {server: ["echo"]}})
        assert "echo" in gateway.config.read_text()
        for path in (f"/{server}/mcp", "/mcp/full"):
            listed = [each["name"] for each in mcp(gateway, path, "tools/list")["result"]["tools"]]
            called = "echo" if path == f"/{server}/mcp" else name
            assert called not in listed
            assert any(each.endswith(other) for each in listed), listed
            error = mcp(gateway, path, "tools/call", name=called, arguments={"text": "x"})["error"]
            assert error["message"].startswith(
                f"echo of {server} is switched off by servers.{server}.tools_off"
            )
        invoked = mcp(
            gateway,
            "/mcp",
            "tools/call",
            name="gateway_invoke",
            arguments={"id": name, "args": {"text": "x"}},
        )
        assert "switched off by" in json.dumps(invoked)
        found = mcp(
            gateway, "/mcp", "tools/call", name="gateway_search", arguments={"query": "echo", "limit": 50}
        )
        assert f'"{name}\\"' not in json.dumps(found)
        status, said = ask(
            gateway, f"/api/v1/servers/{server}/call", {"tool": "echo", "arguments": {"text": "x"}}
        )
        assert (status, "switched off by" in said["error"]) == (400, True)
        assert row(gateway, name) is None
        for query in ("?offered=false", "?asked=false"):
            assert row(gateway, name, query)["offered"] is False
        status, _ = change(gateway, "/api/v1/tools", {"tools": [name], "offered": True})
        assert status == 200
        assert row(gateway, name)["offered"] is True
        _, said = ask(gateway, f"/api/v1/servers/{server}/call", {"tool": "echo", "arguments": {"text": "x"}})
        assert said["content"][0]["text"]

    def test_numbers(self, gateway):
        """A row tells the effect of a tool, its size, and the calls and errors so far; a client learns no counts."""
        before = row(gateway, "clock__now")
        ask(gateway, "/api/v1/servers/clock/call", {"tool": "now", "arguments": {}})
        after = row(gateway, "clock__now")
        assert after["calls"] == before["calls"] + 1
        assert (after["tier"], after["errors"], after["offered"]) == ("destructive", before["errors"], True)
        assert after["annotations"] is None
        assert after["tokens"] > 10

    def test_pinned(self, gateway):
        """A pinned tool is listed before others, whatever was called, until it is pinned no longer."""
        name = "fx__echo"
        assert row(gateway, name)["pinned"] is False
        status, said = change(gateway, f"/api/v1/tools/{name}", {"pinned": True})
        assert (status, said) == (200, {"pinned": True, "pinned_tools": {"fx": ["echo"]}})
        assert row(gateway, name)["pinned"] is True
        listed = [each["name"] for each in mcp(gateway, "/mcp", "tools/list")["result"]["tools"]]
        assert name in listed
        both = {"tools": [name, "clock__now"], "pinned": False, "offered": True}
        status, said = change(gateway, "/api/v1/tools", both)
        assert (status, said["pinned_tools"]) == (200, {"fx": [], "clock": []})
        assert row(gateway, name)["pinned"] is False

    def test_refusals(self, gateway):
        """Several tools are switched at once; a pattern is not undone for one tool, and nothing else is taken."""
        names = ["own__echo", "own__sleep"]
        status, said = change(gateway, "/api/v1/tools", {"tools": names, "offered": False})
        assert (status, said["tools_off"]) == (200, {"own": ["echo", "sleep"]})
        change(gateway, "/api/v1/servers/own", {"set": {"tools_off": ["ec*"]}})
        status, said = change(gateway, "/api/v1/tools/own__echo", {"offered": True})
        assert (status, said["error"]) == (409, "ec* in tools_off of own covers echo and may cover others")
        assert row(gateway, "own__sleep") is not None
        for path, body in (
            ("/api/v1/tools/own__echo", {}),
            ("/api/v1/tools/own__echo", {"offered": 1}),
            ("/api/v1/tools", {"offered": True}),
            ("/api/v1/tools", {"offered": True, "tools": "own__echo"}),
        ):
            assert change(gateway, path, body)[0] == 400
        assert change(gateway, "/api/v1/tools/own__nothing", {"offered": True})[0] == 404
        assert change(gateway, "/api/v1/tools/own__echo", {"offered": True}, token=False)[0] == 401


def change(gateway, path, body, *, token=True):
    """Patch something; the status and what the gateway says."""
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {(gateway.home / 'auth.token').read_text().strip()}"
    request = urllib.request.Request(
        f"{gateway.url}{path}", json.dumps(body).encode(), headers, method="PATCH"
    )
    try:
        with urllib.request.urlopen(request, timeout=LIMIT_S) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refusal:
        return refusal.code, json.load(refusal)


def row(gateway, name, query=""):
    """The row of a tool; None if it is not listed."""
    _, found = ask(gateway, f"/api/v1/tools{query}")
    return next((each for each in found if each["name"] == name), None)


def mcp(gateway, path, method, **params):
    """Ask an endpoint as a client without a session."""
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    with urllib.request.urlopen(
        urllib.request.Request(f"{gateway.url}{path}", body, headers), timeout=LIMIT_S
    ) as answer:
        text = answer.read().decode()
    return json.loads(text[text.index("{") :].strip())
