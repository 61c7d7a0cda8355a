"""The memory of whole process trees."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.policy.stuck_calls import ProcessActivity
from mcpgateway.system.process.tree_sizes import tree_activity, tree_sizes

PAGE = os.sysconf("SC_PAGE_SIZE")


class Table:
    """A ``/proc`` of the test's own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "self").mkdir()
        (directory / "meminfo").write_text("MemTotal: 1 kB\n")

    def add(self, pid: int, parent: int, pages: int, group: int = 0, session: int = 0, **more: Any) -> None:
        """Add a process, which leads nothing by itself."""
        name, state, ticks = more.get("name", "x"), more.get("state", "S"), more.get("ticks", (0, 0, 0, 0))
        fields = [state, str(parent), str(group), str(session), *("0" for _ in range(7)), *map(str, ticks)]
        fields += [*("0" for _ in range(6)), str(pages), "0"]
        (self.directory / str(pid)).mkdir()
        (self.directory / str(pid) / "stat").write_text(f"{pid} ({name}) {' '.join(fields)}\n")

    def sizes(self, *leaders: int) -> dict[int, int]:
        """Pages by leader."""
        return {pid: size // PAGE for pid, size in tree_sizes(leaders, str(self.directory)).items()}


@pytest.fixture
def table(tmp_path: Path) -> Table:
    """A table with two children of ours: one with a family, one alone."""
    made = Table(tmp_path)
    made.add(1, 0, 1000, 1, 1)
    made.add(100, 1, 500, 100, 100)
    made.add(200, 100, 10, 200, 200)
    made.add(201, 200, 20, 200, 200)
    made.add(202, 201, 30, 202, 200)
    made.add(203, 201, 40, 203, 203)
    made.add(204, 203, 50, 203, 203)
    made.add(205, 1, 60, 200, 200)
    made.add(300, 100, 7, 300, 300)
    return made


class TreeTests:
    """The trees of processes."""

    def test_a_family(self, table: Table) -> None:
        """A tree is the leader's group, its session, and all descendants, also those with sessions of their own."""
        assert table.sizes(200) == {200: 10 + 20 + 30 + 40 + 50 + 60}

    def test_several(self, table: Table) -> None:
        """A single read of the process table serves all trees."""
        assert table.sizes(200, 300) == {200: 210, 300: 7}

    def test_one_within_another(self, table: Table) -> None:
        """A process within two trees is counted once, for the nearest leader."""
        assert table.sizes(100, 200) == {100: 500 + 7, 200: 210}

    def test_gone(self, table: Table) -> None:
        """A leader that has ended is left out, unless something of it is still there."""
        assert table.sizes(999) == {}
        table.add(401, 1, 5, 400, 400)
        assert table.sizes(400) == {400: 5}

    def test_strange_names(self, table: Table) -> None:
        """A command may be named like anything."""
        table.add(500, 1, 3, 500, 500, name="a) S 7 7 (7 )")
        assert table.sizes(500) == {500: 3}

    def test_a_circle(self, table: Table) -> None:
        """A table that changed while it was read leads nobody round for ever."""
        table.add(600, 601, 1)
        table.add(601, 600, 1)
        assert table.sizes(200)[200] == 210

    @given(
        parents=st.lists(st.tuples(st.integers(1, 30), st.integers(0, 30)), max_size=30),
        leaders=st.sets(st.integers(1, 30)),
    )
    def test_nobody_is_counted_twice(
        self, parents: list[tuple[int, int]], leaders: set[int], tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        """However processes are related, each is counted once at most."""
        made = Table(tmp_path_factory.mktemp("proc"))
        family = dict(parents)
        for pid, parent in family.items():
            made.add(pid, parent, 1)
        assert sum(made.sizes(*leaders).values()) <= len(family)

    def test_without_proc(self, tmp_path: Path) -> None:
        """Where the system does not tell, nothing is known."""
        assert tree_sizes([1], str(tmp_path / "none")) == {}

    @pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
    def test_the_real_table(self) -> None:
        """This very process takes some megabytes."""
        assert tree_sizes([os.getpid()])[os.getpid()] > 5_000_000


class ActivityTests:
    """The activity of the processes of a tree."""

    def test_all_of_them(self, table: Table) -> None:
        """The CPU time of all is counted, and that of their children that have ended; others' is not."""
        second = os.sysconf("SC_CLK_TCK")
        table.add(700, 1, 1, 700, 700, ticks=(second, second, 0, 3 * second))
        table.add(701, 700, 1, 701, 701, ticks=(second, 0, 0, 0))
        table.add(800, 1, 1, 800, 800, ticks=(9, 9, 9, 9))
        assert tree_activity(700, str(table.directory)) == ProcessActivity(is_stopped=False, cpu_s=6.0)

    @pytest.mark.parametrize("state", ["T", "t"])
    def test_stopped(self, table: Table, state: str) -> None:
        """The leader counts, not one of the others."""
        table.add(700, 1, 1, 700, 700, state=state)
        table.add(800, 1, 1, 800, 800)
        table.add(801, 800, 1, 800, 800, state=state)
        assert tree_activity(700, str(table.directory)) == ProcessActivity(is_stopped=True, cpu_s=0.0)
        assert tree_activity(800, str(table.directory)) == ProcessActivity(is_stopped=False, cpu_s=0.0)

    def test_gone(self, table: Table) -> None:
        """The activity of processes that have ended is unknown."""
        assert tree_activity(999, str(table.directory)) is None
