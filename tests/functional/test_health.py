"""Real servers that crash, hang, leak and idle, and what the gateway makes of them."""

import asyncio
import json
import os
import signal
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from tests.support import forkserver
from tests.support.gateway import BIN, Gateway, eventually, server
from tests.support.http_client import REVISION, Client, message, tool_call
from tests.support.processes import is_alive
from tests.support.real_servers import fixture

pytestmark = pytest.mark.functional

MB = 1_000_000
SLEEP_S = 13  # longer than the gateway takes to look how much memory there is
SETTINGS = {
    "ping_interval": "1s",
    "circuit": {"restarts": 2, "window": "60s", "open": "3s"},
    "limits": {"handshake": "1s"},
}
SERVERS = {
    "plain": server(fixture()),
    "stopped": server(fixture()),
    "fragile": server(fixture()),
    "leaving": server(fixture("--exit-in-handshake")),
    "silent": server(fixture("--mute-handshake")),
    "missing": server(["no-such-program-anywhere"]),
    "idle": server(fixture(), lazy={"idleTimeoutMs": 1000}),
    "leaky": server(fixture(), lazy={"maxRamMb": 60}, concurrency="none"),
    "wrapped": server(
        ["sh", "-c", " ".join(fixture()) + "; true"], lazy={"maxRamMb": 60}, concurrency="none"
    ),
    "eager": server(fixture(), lazy={"enabled": False}),
    "off": server(fixture(), enabled=False),
}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    """A gateway for all tests: each has a server of its own."""
    with Gateway(tmp_path_factory.mktemp("gateway"), SERVERS, settings=SETTINGS) as running:
        yield running


async def refusal(url, name):
    """The error that ``initialize`` is answered with."""
    client = Client(url, f"/{name}/mcp")
    params = {"protocolVersion": REVISION, "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    answer = await client.post(message("i", "initialize", params))
    client.close()
    return answer.json["error"]


async def call(url, name, tool, **arguments):
    """The answer to a tool call without a session."""
    client = Client(url, f"/{name}/mcp")
    try:
        return (await client.post(tool_call(1, tool, arguments))).messages[-1]
    finally:
        client.close()


def pid_of(gateway, name):
    """The one child of a server, once it is there and runs."""
    eventually(lambda: gateway.backend(name)["status"] == "running", f"{name} runs")
    (pid,) = gateway.backend(name)["pids"]
    return pid


class CrashTests:
    """Children that end."""

    def test_somebody_uses_it(self, gateway):
        """A child that is killed while a session is there is back after a few seconds, without a call."""

        async def scene():
            client = await Client.open(gateway.url, "plain")
            pid = pid_of(gateway, "plain")
            os.kill(pid, signal.SIGKILL)
            eventually(lambda: gateway.backend("plain")["status"] == "restarting", "the end shows")
            body = gateway.backend("plain")
            assert body["last_error"] == "plain has ended: killed by signal 9"
            assert 0 <= body["next_try_s"] <= 6
            assert pid_of(gateway, "plain") != pid
            assert gateway.backend("plain")["restart_count"] == 1
            assert await client.text("echo", text="x") == "x"
            client.close()

        asyncio.run(scene())

    def test_exits_at_once(self, gateway):
        """A server that never starts is given up; the refusal says why, and when it is tried again."""
        for _ in range(2):
            assert "exit code 3" in asyncio.run(refusal(gateway.url, "leaving"))["message"]
        why = asyncio.run(refusal(gateway.url, "leaving"))
        assert why["message"] == "leaving has failed (circuit breaker: 2 failed starts)"
        assert why["data"]["hint"].startswith(
            "it failed last because: leaving ended during the handshake (exit code 3); it is tried again in "
        )
        assert gateway.backend("leaving")["status"] == "disabled"
        assert gateway.backend("leaving")["pids"] == []

    def test_word(self, gateway):
        """One that was given up is failed wherever its state is shown; one that is switched off is disabled."""

        def said(*words):
            for _ in range(3):  # it is given up for a few seconds only
                asyncio.run(refusal(gateway.url, "leaving"))
            argv = [BIN / "mcpgateway", "--home", gateway.home, *words]
            return forkserver.ran(argv, env={"PATH": os.environ["PATH"], "HOME": str(gateway.home)}).stdout

        def states():
            return {each["name"]: each["state"] for each in json.loads(said("status", "--json"))["servers"]}

        eventually(lambda: "leaving (failed)" in said("status"), "the status names it")
        assert "off (disabled)" in said("status")
        eventually(lambda: states()["leaving"] == "failed", "its state is known to programs")
        assert states()["off"] == "disabled"
        eventually(lambda: "failed" in said("servers", "get", "leaving"), "its page has it")

    def test_hangs_in_the_handshake(self, gateway):
        """A server that hangs in the handshake is an error as soon as its time is up, and no process of it is left."""
        assert asyncio.run(refusal(gateway.url, "silent"))["message"] == (
            "silent did not answer the handshake within 1 s"
        )
        body = gateway.backend("silent")
        assert (body["status"], body["consecutive_failures"]) == ("error", 1)
        eventually(lambda: gateway.backend("silent")["pids"] == [], "it has gone")

    def test_a_missing_program(self, gateway):
        """A missing program is an error that no waiting helps against."""
        assert "was not found" in asyncio.run(refusal(gateway.url, "missing"))["message"]
        body = gateway.backend("missing")
        assert (body["status"], body["next_try_s"]) == ("error", None)

    def test_the_breaker_opens_and_closes(self, gateway):
        """A server that ends too often has its calls refused; after a while one is let through, and all is well."""
        for _ in range(3):
            asyncio.run(call(gateway.url, "fragile", "echo", text="x"))
            answer = asyncio.run(call(gateway.url, "fragile", "die", code=9))
            assert answer["error"]["message"] == "fragile ended before it answered (exit code 9)"
        refused = asyncio.run(call(gateway.url, "fragile", "echo", text="x"))
        assert refused["error"]["message"] == "fragile has failed (circuit breaker: 2 restarts in 1m0s)"
        assert gateway.backend("fragile")["status"] == "disabled"
        eventually(lambda: gateway.backend("fragile")["status"] == "idle", "it may be tried once more")
        assert "result" in asyncio.run(call(gateway.url, "fragile", "echo", text="x"))
        assert gateway.backend("fragile")["status"] == "running"

    def test_switched_off(self, gateway):
        """A server that its entry switches off is listed, and says so."""
        assert asyncio.run(refusal(gateway.url, "off"))["message"] == "off is disabled"
        assert gateway.backend("off")["status"] == "disabled"

    def test_kept_up(self, gateway):
        """A server that is not lazy runs before anybody has asked for it, and again after it has ended."""
        pid = pid_of(gateway, "eager")
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: gateway.backend("eager")["status"] == "restarting", "the end shows")
        assert pid_of(gateway, "eager") != pid


class PingTests:
    """Children that do not answer."""

    def test_stopped(self, gateway):
        """A process that stands still is noticed, shown, killed and replaced, though nobody calls it."""

        async def scene():
            client = await Client.open(gateway.url, "stopped")
            pid = pid_of(gateway, "stopped")
            os.kill(pid, signal.SIGSTOP)
            eventually(lambda: gateway.backend("stopped")["status"] == "degraded", "a ping is missed")
            assert gateway.backend("stopped")["last_error"] == "MCP ping failed"
            eventually(lambda: not is_alive(pid), "it is killed")
            assert pid_of(gateway, "stopped") != pid
            assert await client.text("echo", text="x") == "x"
            client.close()

        asyncio.run(scene())
        assert "stopped has ended: it did not answer 3 pings in a row" in gateway.log

    def test_busy(self, gateway):
        """A server that is deaf while it works is left alone for as long as its call runs."""

        async def scene():
            client = await Client.open(gateway.url, "plain")
            pid = pid_of(gateway, "plain")
            waiting = await client.begin(tool_call(1, "deaf", {"ms": 20_000}))
            for _ in range(18):
                await asyncio.sleep(1)
                assert gateway.backend("plain")["status"] == "running"
            await waiting.answer()
            assert pid_of(gateway, "plain") == pid
            waiting.close()
            client.close()

        asyncio.run(scene())


class LazyTests:
    """Children that nobody uses, or that take too much."""

    def test_idle(self, gateway):
        """A child without use is stopped, and back with the next call; whoever knew it hears of that."""

        async def scene():
            client = await Client.open(gateway.url, "idle")
            (pid,) = gateway.backend("idle")["pids"]
            eventually(lambda: not is_alive(pid), "it is stopped")
            body = gateway.backend("idle")
            assert (body["status"], body["pids"], body["restart_count"]) == ("idle", [], 0)
            assert (await client.value("pid"))["pid"] != pid
            client.close()

        asyncio.run(scene())

    @pytest.mark.parametrize("name", ["leaky", "wrapped"])
    def test_leak(self, gateway, name):
        """A child that has grown too large, itself or below a wrapper, is replaced after its call, not in it."""

        async def scene():
            client = await Client.open(gateway.url, name)
            pid = (await client.value("pid"))["pid"]
            waiting = await client.begin(tool_call(2, "sleep", {"ms": SLEEP_S * 1000, "text": "done"}))
            await client.value("grow", bytes=80 * MB)
            eventually(lambda: gateway.backend(name)["excess"], "the excess shows")
            assert is_alive(pid)
            assert (await waiting.answer()).messages[-1]["result"]
            eventually(lambda: not is_alive(pid), "it is replaced")
            assert (await client.value("pid"))["pid"] != pid
            assert gateway.backend(name)["restart_count"] == 0
            waiting.close()
            client.close()

        asyncio.run(scene())


class _Service(BaseHTTPRequestHandler):
    status = 200

    def do_GET(self):
        """Say how it is."""
        self.send_response(_Service.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        """Say nothing."""


class ServiceTests:
    """Services that say how they are."""

    def test_a_service_that_is_not_well(self, tmp_path):
        """A service that is not well shows as degraded for as long as it says so."""
        service = HTTPServer(("127.0.0.1", 0), _Service)
        serving = threading.Thread(target=service.serve_forever, daemon=True)
        serving.start()
        entry = server(
            fixture(), rest_url=f"http://127.0.0.1:{service.server_port}", health_endpoint="/health"
        )
        try:
            with Gateway(tmp_path, {"rest": entry}, settings={"ping_interval": "1s"}) as gateway:
                asyncio.run(call(gateway.url, "rest", "echo", text="x"))
                for status, shown in ((503, "degraded"), (204, "running"), (302, "degraded")):
                    _Service.status = status
                    eventually(
                        lambda shown=shown: gateway.backend("rest")["status"] == shown, f"it shows {shown}"
                    )
                assert gateway.backend("rest")["last_error"] == "REST health check failed"
        finally:
            service.shutdown()
            serving.join()
            service.server_close()
