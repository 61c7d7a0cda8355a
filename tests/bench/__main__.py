"""``python -m tests.bench``: measure, then print the tables and write the report."""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import attrs

from tests.bench import commands, dashboard, overhead, search, tables, tokens
from tests.bench.crowd import measure_crowd
from tests.bench.eras import measure_eras
from tests.bench.loads import Loader
from tests.bench.phases import Bench, Plan
from tests.bench.picture import picture
from tests.bench.report import document
from tests.bench.results import Results
from tests.bench.shims import measure_shims
from tests.bench.subjects import OURS, PROGRAMS, Program, Starter
from tests.bench.tools import CACHE, ROOT, MissingTool, Tools, prepare
from tests.support.browser import CHROMIUM

FULL_LIMIT_S, QUICK_LIMIT_S = 360.0, 75.0  # for the loads; what follows them has its own bounds

CROWD, CROWD_QUICK = 20, 3

INTERRUPTED = "interrupted: what follows is a part"


def parsed(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench", description="Measure mcpgateway beside others."
    )
    parser.add_argument("--quick", action="store_true", help="about 4 minutes, coarser figures")
    parser.add_argument("--only", default="", help=f"some of {', '.join(each.name for each in PROGRAMS)}")
    parser.add_argument("--out", type=Path, default=CACHE / "results", help="where the report goes")
    parser.add_argument(
        "--python", type=Path, default=Path(sys.executable), help="of the environment to measure"
    )
    parser.add_argument("--sessions", type=int, default=0, help="in the crowd (20, or 3 with --quick)")
    parser.add_argument("--docs", action="store_true", help="also write docs/explanation/benchmark.{rst,svg}")
    return parser.parse_args(argv)


def main() -> int:
    """Run everything that was asked for."""
    options = parsed()
    # Ends through the cleanup below, as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    programs = chosen(options.only)
    try:
        tools = prepare(with_npm=any(each.needs_npm for each in programs))
    except MissingTool as why:
        print(why, file=sys.stderr)
        return 1
    # Not resolved: the python of a virtual environment is a link, and its twistd stands beside the link.
    starter = Starter(tools, Path(os.path.abspath(options.python)))
    results = empty_results(tools)
    try:
        measure(options, starter, results, programs)
    except KeyboardInterrupt:
        results.problems.append(INTERRUPTED)
    finally:
        starter.stop_all()
    write(results, options)
    print(document(results, "txt"))
    if OURS in programs:
        print(tables.text(overhead.measured()))
        print(tables.text(commands.measured(starter.python)))
        if CHROMIUM:
            print(tables.text(dashboard.measured(starter.python)))
        print(tables.text(search.measured(write=options.docs)))
        print(tokens.shown(write=options.docs))
    return 130 if INTERRUPTED in results.problems else 0


def chosen(only: str) -> list[Program]:
    """The programs that were asked for."""
    names = set(filter(None, only.split(",")))
    unknown = names - {each.name for each in PROGRAMS}
    if unknown:
        raise SystemExit(f"unknown: {', '.join(sorted(unknown))}")
    return [each for each in PROGRAMS if not names or each.name in names]


def empty_results(tools: Tools) -> Results:
    """The report before any measurement, with its circumstances."""
    load_by = "wrk" if tools.wrk else "the driver (install wrk for a lighter load: apt-get install wrk)"
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    return Results(time.strftime("%Y-%m-%d %H:%M"), machine, load_by)


def measure(
    options: argparse.Namespace, starter: Starter, results: Results, programs: Sequence[Program]
) -> None:
    """Go through the phases."""
    tools = starter.tools
    if isinstance(tools.npm, str) and any(each.needs_npm for each in programs):
        results.problems.append(f"no npm gateways: {tools.npm}")
        programs = [each for each in programs if not each.needs_npm]
    plan = planned(quick=options.quick)
    bench = Bench(plan, starter, Loader(tools.wrk, plan.seconds), results, programs, say=_say)
    bench.measure_lives()
    bench.measure_loads()
    bench.measure_collisions()
    bench.stop_loaded()
    if OURS in programs:
        bench.measure_growth()
        measure_eras(bench)
        measure_shims(bench)
        if isinstance(tools.npm, Path):
            measure_crowd(bench, options.sessions or (CROWD_QUICK if options.quick else CROWD))


def planned(*, quick: bool) -> Plan:
    """Return the amount of work for the time there is."""
    if quick:
        return Plan(1.0, 3, 1, 3, 1, time.monotonic() + QUICK_LIMIT_S)
    return Plan(2.0, 5, 3, 7, 3, time.monotonic() + FULL_LIMIT_S)


def write(results: Results, options: argparse.Namespace) -> None:
    """The report in every format, the picture and the raw figures."""
    options.out.mkdir(parents=True, exist_ok=True)
    for kind in ("md", "txt", "rst"):
        (options.out / f"benchmark.{kind}").write_text(document(results, kind), encoding="utf-8")
    (options.out / "benchmark.svg").write_text(picture(results), encoding="utf-8")
    (options.out / "benchmark.json").write_text(json.dumps(attrs.asdict(results), indent=1), encoding="utf-8")
    if options.docs:
        docs = ROOT / "docs" / "explanation"
        docs.mkdir(parents=True, exist_ok=True)
        for name in ("benchmark.rst", "benchmark.svg"):
            (docs / name).write_text((options.out / name).read_text(encoding="utf-8"), encoding="utf-8")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
