"""The two ways of a client's file into the gateway, by URL and by the shim, with real clients.

``python -m tests.clients.modes`` prints the figures that decide which of them ``mcpgateway clients apply`` writes: the
first answer, what a session costs, what becomes of clients while the gateway is away, and questions and tasks.
``make test-clients`` installs the clients.  Modes take turns, so that the ratios hold on a machine with other work.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from attrs import frozen

from tests.bench.procs import cpu_ns, memory_kib
from tests.clients.adopting import ANSWERED
from tests.clients.outages import outages
from tests.clients.questions import libraries, of_agent, tasks
from tests.clients.scripted_model import Step
from tests.clients.seat import AGENTS, DIRECT, IT, MODES, PID, SHIM, URL, WAIT, Seat, seated
from tests.clients.sessions import weigh

ROUNDS = 4  # the first warms up


# The first answer


@frozen
class First:
    """The first answer of a server to a client that was just started.

    :ivar cpu_ms: of all processes of the client by then, its shims and its own servers included.
    :ivar shim_ms: CPU of the shims alone.
    :ivar private_mib: of a shim.
    """

    took_s: float
    cpu_ms: float
    shim_ms: float
    private_mib: float
    pss_mib: float


def first_answer(seat: Seat) -> First:
    """Start a client, and have its model call the server at once."""
    seen: list[First] = []

    def decide(results: Sequence[str], offers: Callable[[str, str], bool]) -> Step | None:
        if results and ANSWERED.search(results[-1]):
            took = time.monotonic() - began
            shims = seat.shims
            memory = [memory_kib(pid) for pid in shims]
            count = max(1, len(shims))
            cpu = sum(map(cpu_ns, seat.processes)) / 1e6
            private = sum(each["Private_Clean"] + each["Private_Dirty"] for each in memory) / 1024 / count
            pss = sum(each["Pss"] for each in memory) / 1024 / count
            seen.append(First(took, cpu, sum(map(cpu_ns, shims)) / 1e6, private, pss))
            return None
        return Step(IT, PID, {}) if offers(IT, PID) else WAIT

    began = time.monotonic()
    model = seat.turn(decide)
    assert seen, f"{seat.client}, {seat.mode}: {model.results} of {sorted(model.offered)}"
    return seen[0]


def first_answers(directory: Path, client: str) -> list[str]:
    """The line of one client: each mode, and what it is beside the client's own server and beside the URL."""
    found: dict[str, list[First]] = {mode: [] for mode in (DIRECT, *MODES)}
    with (
        seated(directory / DIRECT, client, DIRECT) as direct,
        seated(directory / URL, client, URL) as by_url,
        seated(directory / SHIM, client, SHIM) as by_shim,
    ):
        for nth in range(ROUNDS):
            for seat in (direct, by_url, by_shim):
                first = first_answer(seat)
                if nth:
                    found[seat.mode].append(first)
    wall = {mode: [each.took_s for each in each_mode] for mode, each_mode in found.items()}
    cpu = {mode: [each.cpu_ms for each in each_mode] for mode, each_mode in found.items()}
    shims = found[SHIM]
    middle = statistics.median
    return [
        client,
        ratio(wall[SHIM], wall[URL]),
        ratio(wall[URL], wall[DIRECT]),
        ratio(wall[SHIM], wall[DIRECT]),
        ratio(cpu[SHIM], cpu[URL]),
        f"{middle(each.shim_ms for each in shims):.0f}",
        f"{middle(each.private_mib for each in shims):.1f}",
        f"{middle(each.pss_mib for each in shims):.1f}",
    ]


def ratio(these: Sequence[float], those: Sequence[float]) -> str:
    """The middle of the ratios of neighbouring turns."""
    return f"{statistics.median(a / b for a, b in zip(these, those, strict=True)):.2f}"


# All of it


def table(title: str, heads: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    """Print a table."""
    print(f"\n{title}")
    widths = [max(len(line[at]) for line in [heads, *lines]) for at in range(len(heads))]
    for line in [heads, *lines]:
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    sys.stdout.flush()


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m tests.clients.modes", description="Measure both modes.")
    parser.add_argument("--only", default=",".join(AGENTS), help="some of the agents")
    parser.add_argument("--parts", default="sessions,first,libraries,questions,outages", help="some of them")
    options = parser.parse_args()
    agents = [each for each in AGENTS if each in options.only.split(",")]
    parts = options.parts.split(",")
    with tempfile.TemporaryDirectory() as name:
        at = Path(name)
        if "sessions" in parts:
            heads = ("mode", "gateway, private", "shim, private", "shim, PSS")
            table("One more session, MB", heads, weigh(at / "w"))
        if "first" in parts:
            heads = (
                "client",
                "shim/URL",
                "URL/direct",
                "shim/direct",
                "CPU shim/URL",
                "shim CPU ms",
                "MB",
                "PSS",
            )
            table("The first answer", heads, [first_answers(at / "f" / each, each) for each in agents])
        if "libraries" in parts:
            heads = ("client", "asks, URL", "asks, shim", "task, URL", "task, shim")
            table("Clients without a model", heads, libraries(at / "l"))
            table("A client that knows tasks", ("mode", "status of the task"), tasks(at / "t"))
        if "questions" in parts:
            lines = [line for each in agents for line in of_agent(at / "q" / each, each)]
            table("Questions and tasks of agents", ("client", "tool", DIRECT, *MODES), lines)
        if "outages" in parts:
            heads = ("client", "situation", "by URL", "by the shim", "URL said", "shim said")
            with ThreadPoolExecutor(len(agents)) as pool:
                found = list(pool.map(lambda each: outages(at / "o" / each, each), agents))
            table("Outages", heads, [line for lines in found for line in lines])


if __name__ == "__main__":
    main()
