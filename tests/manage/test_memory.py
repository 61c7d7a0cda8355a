"""Giving memory back after a load."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.manage import memory as housekeeping
from mcpgateway.manage.memory import QUIET_LOOKS, WORTHWHILE, YOUNG_LOOKS, MemoryUpkeep
from mcpgateway.system.process import memory

MIB = 2**20
CODE = 40 * MIB  # what the process takes before it has served anybody


class Machine:
    """A process whose memory the test takes and frees; its C library keeps what was freed until it is told.

    :ivar calls: how many calls are under way.
    :ivar used: bytes in use.
    :ivar stuck: bytes that were freed and cannot be given back.
    :ivar given: how often memory was given back.
    :ivar forgotten: how often the gateway was asked to forget what may come again.
    """

    def __init__(self, *, tells: bool = True) -> None:
        self.calls = 0
        self.used = 0
        self.stuck = 0
        self.given = 0
        self.forgotten = 0
        self.asked = 0
        self._size = 0
        self._tells = tells

    def take(self, size: int) -> None:
        """Come to use so much."""
        self.used = size
        self._size = max(self._size, size)

    def resident_bytes(self) -> int:
        """The size of the process."""
        return CODE + self._size + self.stuck

    def allocated_bytes(self) -> int:
        """Return the bytes in use."""
        self.asked += 1
        return self.used if self._tells else 0

    def give_back(self) -> None:
        """Let the system have what is not in use."""
        self.given += 1
        self._size = self.used

    def forget(self) -> None:
        """Drop the caches."""
        self.forgotten += 1


def keeper(machine: Machine, restart: Callable[[], bool] = lambda: False) -> MemoryUpkeep:
    """The housekeeping of a gateway on that machine."""
    dispatcher: Any = type("Dispatcher", (), {"calls": property(lambda self: range(machine.calls))})()
    for name in ("resident_bytes", "allocated_bytes", "give_back"):
        setattr(housekeeping, name, getattr(machine, name))
    return MemoryUpkeep(dispatcher, machine.forget, restart)


@pytest.fixture(autouse=True)
def _machine(monkeypatch: pytest.MonkeyPatch) -> None:
    # What `keeper` changes is put back after each test.
    for name in ("resident_bytes", "allocated_bytes", "give_back"):
        monkeypatch.setattr(housekeeping, name, getattr(housekeeping, name))


@pytest.fixture
def machine() -> Machine:
    """A process that has just started."""
    return Machine()


class LookTests:
    """The look at the memory, and its consequences."""

    def test_nothing_to_do(self, machine: Machine) -> None:
        """A gateway that has not grown is left alone, and the C library is not even asked."""
        house = keeper(machine)
        machine.take(MIB)
        for _ in range(10):
            house.look_around()
        assert (machine.given, machine.asked, machine.forgotten) == (0, 0, 0)

    def test_after_a_load(self, machine: Machine) -> None:
        """Freed memory is given back once, together with that of the caches."""
        house = keeper(machine)
        machine.take(100 * MIB)
        machine.take(2 * MIB)
        for _ in range(10):
            house.look_around()
        assert machine.resident_bytes() == CODE + 2 * MIB
        assert (machine.given, machine.forgotten) == (1, 1)

    def test_while_the_buffers_are_full(self, machine: Machine) -> None:
        """Memory that was in use at one look and is free at the next is given back then, although nothing grew."""
        house = keeper(machine)
        machine.take(250 * MIB)
        for _ in range(10):
            house.look_around()
        machine.take(0)
        house.look_around()
        assert machine.resident_bytes() == CODE
        assert machine.given == 2

    def test_never_during_calls(self, machine: Machine) -> None:
        """While a call is under way nothing is done; afterwards it is."""
        house = keeper(machine)
        machine.take(250 * MIB)
        machine.take(0)
        machine.calls = 1
        for _ in range(10):
            house.look_around()
        assert machine.given == 0
        machine.calls = 0
        house.look_around()
        assert machine.given == 1

    def test_not_in_vain(self, machine: Machine) -> None:
        """Memory that cannot be given back is tried once, and again only when there is more of it."""
        house = keeper(machine)
        machine.stuck = 50 * MIB
        for _ in range(10):
            house.look_around()
        assert machine.given == 1
        machine.stuck = 100 * MIB
        for _ in range(10):
            house.look_around()
        assert machine.given == 2

    def test_stuck_for_a_while(self, machine: Machine) -> None:
        """Memory that could not be given back, and went of itself, hides no later load."""
        house = keeper(machine)
        machine.stuck = 100 * MIB
        machine.take(20 * MIB)
        house.look_around()
        machine.stuck = 0
        house.look_around()
        machine.take(120 * MIB)
        machine.take(20 * MIB)
        house.look_around()
        assert machine.resident_bytes() == CODE + 20 * MIB

    def test_where_nobody_tells(self) -> None:
        """A C library that does not say what is in use is asked to give back whenever the process has grown."""
        machine = Machine(tells=False)
        house = keeper(machine)
        for nth in range(1, 4):
            machine.take(nth * 100 * MIB)
            machine.take(0)
            for _ in range(10):
                house.look_around()
            assert machine.resident_bytes() == CODE
            assert machine.given == nth

    @given(st.lists(st.tuples(st.integers(0, 500), st.booleans(), st.integers(0, 3)), max_size=20))
    def test_whatever_the_order(self, history: list[tuple[int, bool, int]]) -> None:
        """However a load came and went, nearly all of it is given back at the first look when it is over."""
        machine = Machine()
        house = keeper(machine)
        for size, is_busy, looks in history:
            machine.take(size * MIB)
            machine.calls = int(is_busy)
            for _ in range(looks):
                house.look_around()
        machine.take(0)
        machine.calls = 0
        house.look_around()
        assert machine.resident_bytes() <= CODE / (1 - 2 * WORTHWHILE)
        before = machine.given
        house.look_around()
        assert machine.given == before


class RestartTests:
    """Memory that only a restart returns."""

    @pytest.fixture
    def asked(self, machine: Machine) -> tuple[MemoryUpkeep, list[int]]:
        """The housekeeping of a process with 80 MiB that cannot be given back, and the restarts that it asks for."""
        restarts: list[int] = []
        house = keeper(machine, lambda: not restarts.append(machine.resident_bytes()))
        house.look_around(may_restart=True)
        machine.stuck = 80 * MIB
        return house, restarts

    def test_once(self, asked: tuple[MemoryUpkeep, list[int]]) -> None:
        """It is asked for after ten minutes, and not again at once where it is refused."""
        house, restarts = asked
        for _ in range(YOUNG_LOOKS - 2):
            house.look_around(may_restart=True)
        assert restarts == []
        for _ in range(YOUNG_LOOKS):
            house.look_around(may_restart=True)
        assert restarts == [CODE + 80 * MIB]

    def test_never_unasked(self, asked: tuple[MemoryUpkeep, list[int]]) -> None:
        """Without the setting there is none."""
        house, restarts = asked
        for _ in range(2 * YOUNG_LOOKS):
            house.look_around()
        assert restarts == []

    def test_after_a_quiet_minute(self, machine: Machine, asked: tuple[MemoryUpkeep, list[int]]) -> None:
        """It waits until no call has been under way for a minute."""
        house, restarts = asked
        for nth in range(2 * YOUNG_LOOKS):
            machine.calls = int(nth % (QUIET_LOOKS - 1) == 0)
            house.look_around(may_restart=True)
        assert restarts == []
        machine.calls = 0
        for _ in range(QUIET_LOOKS):
            house.look_around(may_restart=True)
        assert len(restarts) == 1

    def test_memory_that_is_used(self, machine: Machine, asked: tuple[MemoryUpkeep, list[int]]) -> None:
        """A process that has grown with what it keeps goes on."""
        house, restarts = asked
        machine.stuck = 0
        kept = [object() for _ in range(4 * sys.getallocatedblocks())]
        machine.stuck = 80 * MIB
        for _ in range(2 * YOUNG_LOOKS):
            house.look_around(may_restart=True)
        assert restarts == []
        assert kept


class MemoryTests:
    """The memory of this very process."""

    def test_what_is_in_use(self) -> None:
        """Large blocks count for as long as they are in use, where the C library tells."""
        before = memory.allocated_bytes()
        if not before:
            pytest.skip("this C library does not tell")
        many, large = [bytes(10_000) for _ in range(2_000)], bytes(50 * MIB)
        assert memory.allocated_bytes() - before > 60 * MIB
        del many, large
        assert memory.allocated_bytes() - before < 20 * MIB
        memory.give_back()
