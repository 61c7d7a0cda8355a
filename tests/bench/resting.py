"""The time that a client waits for a server that does not run: ``python -m tests.bench.resting``.

Each round starts a gateway on a home that knows its servers, so that the first answers are read from the disk.
"""

from __future__ import annotations

import http.client
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.support.gateway import Gateway, server
from tests.support.real_servers import everything, fixture

ROUNDS = 15
MORE = 200  # sessions of each server and round, after the first
TOOLS = {"fix": 0, "fix-100": 100, "fix-1000": 1000}


def post(
    connection: http.client.HTTPConnection, name: str, method: str, session: str = "", **params: Any
) -> tuple[float, Any, str]:
    """Send a request; return its milliseconds, its outcome, and the session that it has begun."""
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
    headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    if session:
        headers["Mcp-Session-Id"] = session
    begun = time.perf_counter()
    connection.request("POST", f"/{name}/mcp", body, headers)
    answer = connection.getresponse()
    data = answer.read()
    took = (time.perf_counter() - begun) * 1000
    return took, data, answer.headers.get("Mcp-Session-Id", "")


def visit(gateway: Gateway, name: str) -> dict[str, float]:
    """A client that begins a session and lists the tools; how long each of that took."""
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port)
    connection.connect()
    begun, _, session = post(
        connection,
        name,
        "initialize",
        protocolVersion="2025-06-18",
        capabilities={},
        clientInfo={"name": "b", "version": "1"},
    )
    listed, data, _ = post(connection, name, "tools/list", session)
    assert b'"tools"' in data, data
    connection.close()
    return {"initialize": begun, "tools/list": listed}


def show(what: str, times: list[float]) -> None:
    """Print a line of the table."""
    ordered = sorted(times)
    p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    print(
        f"{what:44} median {statistics.median(times):7.2f}  p99 {p99:7.2f}  max {ordered[-1]:7.2f} ms  n={len(times)}"
    )


Times = dict[tuple[str, str], list[float]]


def note(times: Times, gateway: Gateway, name: str) -> None:
    """Have a server visited, and keep how long that took."""
    for what, took in visit(gateway, name).items():
        times.setdefault((name, what), []).append(took)


def measure(gateway: Gateway, names: list[str]) -> tuple[Times, Times]:
    """The times of the first visits after each restart, and of those after them."""
    first: Times = {}
    later: Times = {}
    for _ in range(ROUNDS):
        gateway.stop()
        gateway.start()
        for name in names:
            note(first, gateway, name)
        for name in names * MORE:
            note(later, gateway, name)
        assert gateway.children() == []
    return first, later


def main() -> None:
    """Measure, and print a table."""
    servers = {name: server(fixture("--filler-tools", str(count))) for name, count in TOOLS.items()}
    servers["own"] = server(fixture(), share="session")
    servers["everything"] = server(everything(), env_policy="full")
    with tempfile.TemporaryDirectory() as directory, Gateway(Path(directory), servers) as gateway:
        for _ in range(2):
            for name in servers:
                visit(gateway, name)
            time.sleep(3)  # server-everything says a while after its start that its tools have changed
        first, later = measure(gateway, list(servers))
        sizes = {each.stem: each.stat().st_size for each in (gateway.home / "catalogs").iterdir()}
        print("bytes of the files:", sizes, "resident KiB:", gateway.resident_kib())
    for title, found in (("the first after a restart", first), ("those after it", later)):
        print(title)
        for (name, what), times in found.items():
            show(f"  {name} {what}", times)


if __name__ == "__main__":
    main()
