"""``python -m tests.bench.dashboard``: what a visible dashboard costs the browser and the gateway.

A gateway with 100 servers and their 2,500 tools, 25 of each, runs on a home of its own.  A real Chromium opens the
overview, signed in to look.  Times are those of the page's own clock since the navigation began; CPU time and memory
are the gateway's, from /proc.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from attrs import frozen

from tests.bench import commands
from tests.bench.procs import MIB, cpu_ns, memory_kib
from tests.bench.tables import Table, number, text
from tests.support.browser import Browser

SERVERS, SPAN_S = 100, 30.0
WATCH = """(() => {
    const mark = (name, holds) => {
        const look = () => holds() ? performance.mark(name) : setTimeout(look, 5)
        look()
    }
    mark("filled", () => document.querySelector("h1.verdict") && document.querySelector("footer")?.innerText)
})()"""
MARKED = """new Promise(resolve => {
    const look = () => {
        const mark = performance.getEntriesByName("filled")[0]
        const paint = performance.getEntriesByName("first-contentful-paint")[0]
        if (mark && paint) {
            const files = performance.getEntriesByType("resource").filter(each => !each.name.includes("/api/"))
            resolve([paint.startTime, mark.startTime, files.length + 1])
        } else setTimeout(look, 20)
    }
    look()
})"""
CLICK = """new Promise(resolve => {
    const began = performance.now()
    document.querySelector('nav a[href="/ui/servers"]').click()
    let answered
    const look = () => {
        if (document.querySelector("h1")?.innerText === "Servers") answered ??= performance.now() - began
        if (document.querySelectorAll("tbody tr").length > 10)
            requestAnimationFrame(() => resolve([answered, performance.now() - began]))
        else setTimeout(look, 1)
    }
    look()
})"""


BACK = """new Promise(resolve => {
    document.querySelector('nav a[href="/ui/"]').click()
    setTimeout(() => resolve(0), 1000)
})"""


@frozen
class RunningGateway:
    """The measured gateway.

    :ivar url: its address, by the name that its dashboard has.
    """

    pid: int
    url: str

    @property
    def memory_mib(self) -> float:
        """Its proportional memory."""
        return memory_kib(self.pid)["Pss"] / MIB

    def share(self) -> float:
        """Its CPU time within `SPAN_S` seconds, in percent of one core."""
        before = cpu_ns(self.pid)
        time.sleep(SPAN_S)
        return (cpu_ns(self.pid) - before) / SPAN_S / 1e7


def measured(python: Path = Path(sys.executable)) -> Table:
    """Measure one visit."""
    with gateway(python) as running, tempfile.TemporaryDirectory() as profile:
        idle, fresh = running.share(), running.memory_mib
        for _ in range(5):
            fetch(f"{running.url}/ui/")
        static = running.memory_mib
        with Browser(Path(profile)) as browser:
            browser.ask("Page.addScriptToEvaluateOnNewDocument", source=WATCH)
            browser.go(f"{running.url}/ui/")
            paint, filled, files = browser.run(MARKED)
            visible = running.share()
            visited = running.memory_mib
            _, first = browser.run(CLICK)
            browser.run(BACK)
            answered, filled_table = browser.run(CLICK)
            heap = browser.ask("Runtime.getHeapUsage")["usedSize"] / 2**20
    rows = [
        ("first contentful paint, ms", number(paint), "500"),
        ("overview filled, ms", number(filled), "1000"),
        ("files of the first page", number(files), "6"),
        ("click to the answer of the page, ms", number(answered), "100"),
        (f"click to a table of {SERVERS} servers, the first time, ms", number(first), ""),
        (f"click to a table of {SERVERS} servers, ms", number(filled_table), "100"),
        ("heap of the page, MB", number(heap), "20"),
        ("memory of the gateway for its pages, MB", number(static - fresh), "1"),
        ("memory of the gateway for a visit, MB", number(visited - fresh), ""),
        ("CPU of the gateway without a dashboard, %", number(idle), ""),
        ("CPU of the gateway for a visible dashboard, %", number(visible - idle), "0.3"),
    ]
    return Table("A visible dashboard", ("what", "measured", "at most"), rows)


@contextmanager
def gateway(python: Path) -> Iterator[RunningGateway]:
    """Run a gateway with many servers, whose tools it knows."""
    with commands.gateway(python, (f"s{at}" for at in range(SERVERS))) as environ:
        refresh = [str(python.parent / "mcpgateway"), "tools", "refresh"]
        subprocess.run(refresh, env=environ, check=True, stdout=subprocess.DEVNULL)
        status = [str(python.parent / "mcpgateway"), "--json", "status"]
        found = json.loads(subprocess.run(status, env=environ, check=True, capture_output=True).stdout)
        yield RunningGateway(found["pid"], f"http://localhost:{found['port']}")


def fetch(url: str) -> bytes:
    """Fetch a page."""
    with urllib.request.urlopen(url, timeout=10) as answer:
        found: bytes = answer.read()
        return found


if __name__ == "__main__":
    print(text(measured(*map(Path, sys.argv[1:2]))))
