"""``python -m tests.bench.search``: how well and how fast tools are found, beside MiniSearch from npm.

MiniSearch ranks the same tools with the options of a gateway that uses it: the name three times, the title twice, the
description and the server's name; slips up to a fifth of a word, beginnings, any of the words.  It does not know the
parameters, as it does not there.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, cycle, islice

import attrs

from mcpgateway.discovery.records import Item
from mcpgateway.discovery.search import SearchIndex
from tests.bench.procs import memory_kib
from tests.bench.tables import Table, rst, text
from tests.bench.tools import CACHE, HERE, ROOT, npm_packages
from tests.search.evaluation import (
    UNSEEN,
    Figures,
    Question,
    catalogue,
    empty_index,
    figures,
    halves,
    indexed,
    ours,
    unseen,
)

MINISEARCH = {"minisearch": "7.2.0"}
NODE_LIMIT_S = 120
MANY = 2000  # tools, as a machine with sixty servers has
ROUNDS = 5  # the best of which counts: the others had to share the machine
WANTED = "wanted: 300 ms, 5 ms, 10 MB"
PAGE = ROOT / "docs" / "explanation" / "search-figures.inc"

HEAD = ("", "questions", "recall@1", "recall@5", "MRR")


def main() -> int:
    """Measure, print, and write the figures of the documentation if asked to."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.search", description="Measure the search.")
    parser.add_argument("--docs", action="store_true", help=f"also write {PAGE.relative_to(ROOT)}")
    print(text(measured(write=parser.parse_args().docs)))
    return 0


def measured(*, write: bool = False) -> Table:
    """Everything in one table."""
    tuning, final = halves()
    plain = minisearch([*tuning, *final])
    index = indexed()
    rows = [row("ours", "final", final, figures(final, ours(index)))]
    rows += [row("MiniSearch", "final", final, figures(final, plain))] if callable(plain) else []
    rows += [row("ours", "tuning", tuning, figures(tuning, ours(index)))]
    rows += [row("MiniSearch", "tuning", tuning, figures(tuning, plain))] if callable(plain) else []
    for half, asked in zip(("tuning", "final"), unseen(), strict=True):
        rows.append(row("unseen servers", half, asked, figures(asked, ours(indexed(UNSEEN)))))
    why = "" if callable(plain) else f" MiniSearch was not measured: {plain}."
    table = Table(f"Search: {len(index)} tools of {len(catalogue())} servers", HEAD, rows, speed() + why)
    if write:
        PAGE.write_text(rst(table), encoding="utf-8")
    return table


def row(whose: str, half: str, asked: Sequence[Question], found: Figures) -> tuple[str, ...]:
    """A line of the table."""
    return (
        f"{whose}, {half} half",
        str(len(asked)),
        f"{found.first:.1%}",
        f"{found.first_five:.1%}",
        f"{found.reciprocal:.3f}",
    )


def minisearch(asked: Iterable[Question]) -> Callable[[str], list[str]] | str:
    """The answers of MiniSearch, best first; or why it cannot be asked."""
    folder = npm_packages(CACHE / "minisearch", MINISEARCH)
    if isinstance(folder, str):
        return folder
    texts = [question.text for question in asked]
    tools = [
        {"id": f"{item.server}/{item.own}", "name": item.own, "title": item.title}
        | {"description": item.description, "server": item.server}
        for item in chain.from_iterable(catalogue().values())
    ]
    done = subprocess.run(
        ["node", str(HERE / "minisearch.mjs"), str(folder)],
        input=json.dumps({"tools": tools, "questions": texts}),
        capture_output=True,
        text=True,
        check=True,
        timeout=NODE_LIMIT_S,
    )
    return dict(zip(texts, json.loads(done.stdout), strict=True)).__getitem__


def speed() -> str:
    """Measure the time and the memory of a search among the tools of many servers."""
    servers = many()
    gc.collect()
    before = memory_kib(os.getpid())["Rss"]
    index = built(servers)
    weight = (memory_kib(os.getpid())["Rss"] - before) / 1024
    indexing = best_of(lambda: built(servers))
    searching = sorted(
        best_of(lambda each=question: index.search(each.text)) for question in chain(*halves())
    )
    return (
        f"{MANY} tools are indexed in {indexing:.0f} ms and take {weight:.1f} MB. A search takes"
        f" {searching[len(searching) // 2]:.1f} ms in the median, {searching[len(searching) * 95 // 100]:.1f} ms for"
        f" one question of twenty ({WANTED}). Python {sys.version.split()[0]}; a loop of a million steps takes"
        f" {best_of(lambda: sum(step for step in range(10**6))):.0f} ms on this machine."
    )


def many() -> dict[str, list[Item]]:
    """As many tools as somebody may have: the catalogue over again, under other servers' names."""
    found: dict[str, list[Item]] = {}
    tools = list(chain.from_iterable(catalogue().values()))
    for number, item in enumerate(islice(cycle(tools), MANY)):
        server = f"{item.server}{number // len(tools) or ''}"
        found.setdefault(server, []).append(attrs.evolve(item, server=server))
    return found


def built(servers: dict[str, list[Item]]) -> SearchIndex:
    """An index of all of them, made as the gateway makes it: server by server."""
    index = empty_index()
    for server, items in servers.items():
        for _ in index.replacing(server, items):
            pass
    return index


def best_of(work: Callable[[], object]) -> float:
    """Milliseconds of the quickest round."""
    rounds = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        work()
        rounds.append((time.perf_counter() - began) * 1000)
    return min(rounds)


if __name__ == "__main__":
    sys.exit(main())
