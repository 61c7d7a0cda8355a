"""The tables of a run, as one document in each format."""

from __future__ import annotations

from collections.abc import Callable

from tests.bench import tables, verdicts
from tests.bench.eras import KEPT, LEGACY, ROADS
from tests.bench.procs import Account
from tests.bench.results import Life, Results, ServerOfMany, Weight, median
from tests.bench.subjects import COPY, EMPTY, OURS, PIPE, RAW, RIVALS
from tests.bench.tables import Table, number

NAMES = {
    OURS.name: "mcpgateway",
    PIPE.name: "floor: byte swap",
    RAW.name: "floor: HTTP only",
    COPY.name: "floor: copy",
    EMPTY.name: "empty twistd",
}
ORDER = [each.name for each in (OURS, *RIVALS, PIPE, COPY, RAW, EMPTY)]
TITLE = "How it compares"
INTRO = """\
What a gateway costs on a machine that has other work to do, measured beside two others and beside what Twisted alone
costs, all in one run on one machine. The floors are not gateways: *HTTP only* reads requests and answers fixed bytes;
*byte swap* has one shared child behind it and swaps the id in the bytes without parsing anything; *copy* is that for
large results: read in large pieces, each line joined once, checked as UTF-8 and scanned. CPU time is that of all
processes of the gateway, helpers included and the MCP server itself excluded; it holds on a busy machine, where
requests per second and latencies do not. Programs take turns under load, and ratios compare neighbouring turns.
Figures are medians."""
OUTRO = "Measured by ``make bench``, which writes this page again with ``--docs``."


def document(results: Results, kind: str) -> str:
    """The whole report as ``md``, ``txt`` or ``rst``."""
    draw: dict[str, Callable[[Table], str]] = {"md": tables.markdown, "txt": tables.text, "rst": tables.rst}
    found = "\n".join(draw[kind](table) for table in all_tables(results))
    setting = f"{results.when}; {results.machine}; load by {results.load_by}."
    if kind == "txt":
        problems = "".join(f"! {line}\n" for line in results.problems)
        return f"{setting}\n\n{found}{problems}"
    picture = {
        "md": "![benchmark](benchmark.svg)",
        "rst": ".. image:: benchmark.svg\n   :alt: The figures below as bars",
    }
    head = {"md": f"# {TITLE}", "rst": f"{'=' * len(TITLE)}\n{TITLE}\n{'=' * len(TITLE)}"}
    outro = OUTRO if kind == "rst" else OUTRO.replace("``", "`")
    return "\n\n".join([head[kind], INTRO, picture[kind], found.rstrip(), f"{setting} {outro}"]) + "\n"


def all_tables(results: Results) -> list[Table]:
    """Every table, the verdicts last."""
    return [
        _cpu(results),
        _speed(results),
        _starts(results),
        _memory(results),
        _answers(results),
        _growth(results),
        _eras(results),
        _stdio(results),
        *crowd_tables(results),
        verdicts.table(verdicts.verdicts(results)),
    ]


def _cpu(results: Results) -> Table:
    loads = ("echo1", "echo16", "echo64", "list16", "big4")
    rows = []
    for name in ORDER:
        cells = [number(results.cpu_us(load, name)) for load in loads]
        if any(cell != "-" for cell in cells):
            floor = PIPE.name
            over = [number(results.ratio(load, name, floor)) for load in loads[:3]]
            rows.append((NAMES.get(name, name), *cells, "/".join(over)))
    head = (
        "",
        "64 B call, 1 conn.",
        "16 conn.",
        "64 conn.",
        "46 KB tools/list",
        "1 MB result",
        "64 B over byte swap",
    )
    return Table("Gateway CPU per call, µs", head, rows)


def _speed(results: Results) -> Table:
    rows = []
    for name in ORDER:
        cells = []
        for load in ("echo1", "echo16", "echo64", "big4"):
            found = results.of(load, name)
            rate, p50, p99 = (
                median(getattr(each, figure) for each in found) for figure in ("rate", "p50_ms", "p99_ms")
            )
            cells.append("-" if not found else f"{number(rate)}; {number(p50)}/{number(p99)}")
        if set(cells) != {"-"}:
            rows.append((NAMES.get(name, name), *cells))
    head = ("", "64 B call, 1 conn.", "16 conn.", "64 conn.", "1 MB result, 4 conn.")
    note = "Requests per second; then p50/p99 in milliseconds."
    return Table("Requests per second and latency", head, rows, note)


def _starts(results: Results) -> Table:
    rows = []
    for name, life in _lives(results):
        figures = (life.listening_ms, life.called_ms, life.session_ms)
        rows.append((NAMES.get(name, name), *(number(median(each)) for each in figures)))
    head = ("", "exec to listening", "exec to first call answered", "new session to tools/list")
    return Table("Waiting, ms", head, rows)


def _memory(results: Results) -> Table:
    rows = []
    for name, life in _lives(results):
        accounts = (life.idle, life.one, life.twenty, life.loaded)
        shape = f"{life.twenty.processes}+{life.twenty.children}" if life.twenty else "-"
        rows.append((NAMES.get(name, name), *map(_rss_pss, accounts), shape))
    head = ("", "no call yet", "1 session", "20 sessions", "after load", "processes+children of 20")
    note = "RSS/PSS of the gateway's processes. After load the others still run, which lowers PSS."
    return Table("Memory, MB", head, rows, note)


def _rss_pss(account: Account | None) -> str:
    return "-" if account is None else f"{account.rss_mib:.0f}/{account.pss_mib:.0f}"


def _lives(results: Results) -> list[tuple[str, Life]]:
    return [(name, results.lives[name]) for name in ORDER if name in results.lives]


def _answers(results: Results) -> Table:
    rows = [
        (NAMES.get(name, name), str(found.sent), str(found.wrong), str(found.missing), str(found.refused))
        for name in (*ORDER, *(road.name for road in ROADS))
        if (found := results.collisions.get(name)) is not None
    ]
    note = "Twenty sessions that all count their ids from 1, as clients do; every answer verified; 5 s to answer."
    return Table("Answers when ids collide", ("", "calls", "wrong", "missing", "refused"), rows, note)


def _growth(results: Results) -> Table:
    base = median(each.cpu_us for each in results.scaling.get("1 session", []))
    rows = []
    for label, found in results.scaling.items():
        cpu = median(each.cpu_us for each in found)
        over = cpu / base if cpu is not None and base else None
        kib = results.session_kib.get(label)
        rows.append((label, number(cpu), number(over), number(kib)))
    head = ("", "CPU per call, µs", "over 1 session", "KB per session")
    note = "Each call is of the next session, so all are in use. Memory: after these loads, over that with 1 session."
    if results.stream_kib is not None:
        note += f" A GET stream of each of the most sessions adds {number(results.stream_kib)} KB to it."
    return Table("Growth of mcpgateway, 16 connections", head, rows, note)


def _eras(results: Results) -> Table:
    loads = ("echo1", "echo16", "echo64", "list16", "big4")
    rows = []
    for road in ROADS:
        cells = [number(results.cpu_us(load, road.name)) for load in loads]
        if set(cells) != {"-"}:
            base = LEGACY.name
            over = [number(results.ratio(load, road.name, base)) for load in loads]
            rows.append((road.name, *cells, "/".join(over)))
    head = (
        "",
        "64 B call, 1 conn.",
        "16 conn.",
        "64 conn.",
        "46 KB tools/list",
        "1 MB result",
        "over legacy",
    )
    note = (
        "MCP 2026-07-28 (modern) has no sessions: each request says all of its client. The gateway serves both eras,"
        f" and brings each to servers that speak only the other. {KEPT.name.capitalize()}: by its server's word."
    )
    heard = results.listening
    if heard is not None:
        note += (
            f" Each of {heard.count} clients that only listen takes {number(heard.begin_us)} µs of CPU to begin and"
            f" {number(heard.kib)} KB; while nothing happens all of them take {number(heard.idle_ms_per_s)} ms of CPU"
            f" per second, without clients {number(heard.quiet_ms_per_s)} ms."
        )
    return Table("The two eras of MCP, gateway CPU per call, µs", head, rows, note)


def _stdio(results: Results) -> Table:
    shim = results.shim
    figures = (
        ("exec to first byte at the gateway, ms", shim.exec_ms),
        ("private memory, idle, MB", shim.private_mib),
        ("proportional memory (PSS), 5 beside each other, MB", shim.pss_mib),
        ("a 64-byte call, ms", shim.calls_ms),
        ("the same over HTTP, ms", shim.direct_ms),
        ("CPU of the shim per call, µs", shim.cpu_us),
    )
    rows = [(what, number(median(found))) for what, found in figures if found]
    note = f"Not measured: {shim.absent}." if shim.absent else ""
    return Table("A client on stdio: mcpgateway connect", ("", "measured"), rows, note)


def crowd_tables(results: Results) -> list[Table]:
    """Return the tables of the crowd: all its processes, and those of each server behind each program."""
    crowd = results.crowd
    none = (
        ("each session starts its own, by npx and uvx", crowd.launched),
        ("each session starts its own, without a launcher", crowd.direct),
    )
    rows = [(what, *_weighed(found), "0", number(None)) for what, found in none if found is not None]
    rows += [
        (name, *_weighed(found), str(crowd.wrong(name)), _ms(crowd.first_s(name)))
        for name, found in crowd.shared.items()
    ]
    note = (
        f"{crowd.sessions} sessions at each of {crowd.servers} servers from npm and PyPI, in three projects, with the"
        " capabilities of Claude Code and VS Code; each calls a tool. One of the servers keeps state for each session,"
        " and has a process for each behind the gateway too. The processes of the programs are counted."
    )
    head = ("", "processes", "PSS, MB", "RSS, MB", "wrong answers", "begin to first answer, ms")
    return [
        Table("Many sessions, the same servers", head, rows, note),
        *map(_servers, crowd.by_server.items()),
    ]


def _weighed(found: Weight) -> tuple[str, str, str]:
    return str(found.processes), number(found.pss_mib), number(found.rss_mib)


def _servers(found: tuple[str, dict[str, ServerOfMany]]) -> Table:
    program, servers = found
    rows = [
        (name, str(each.processes), number(each.pss_mib), _ms(each.first_s), str(each.wrong))
        for name, each in servers.items()
    ]
    head = ("", "processes", "PSS, MB", "begin to first answer, ms", "wrong answers")
    return Table(f"The servers of many sessions behind {program}", head, rows)


def _ms(seconds: float | None) -> str:
    return number(None if seconds is None else seconds * 1000)
