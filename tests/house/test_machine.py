"""The picture of a server's condition shows the machine that runs."""

import sys
from pathlib import Path

import pytest

from mcpgateway.policy import health
from mcpgateway.policy.health import STATES

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "docs" / "_ext"))
machine = pytest.importorskip("machine", reason="Sphinx is not installed")


class MachineTests:
    """The drawings of the machines, complete and without additions."""

    def test_every_state_has_a_place(self):
        """A state is drawn at a place of its own."""
        assert set(machine.PLACES) == {state.value for state in STATES}
        assert len(set(machine.PLACES.values())) == len(STATES)

    def test_every_event_is_explained(self):
        """The table has each event that leads anywhere, and each that is awaited leads somewhere."""
        drawn = {path.event for path in machine.paths()}
        assert {event for event, _, _ in machine.events()} == drawn
        assert all(meaning for _, meaning, _ in machine.events())

    def test_every_path_is_drawn(self):
        """A transition is an arrow, or is written at the state where it leads."""
        picture = machine.picture()
        arrows = {
            (path.source, path.target) for path in machine.paths() if path.event not in machine.FROM_ALL_OVER
        }
        assert picture.count('marker-end="url(#tip)"') == len(arrows)
        assert all(f"{event}: from" in picture for event in machine.FROM_ALL_OVER)

    def test_every_event_has_an_answer_in_every_state(self):
        """The machine that runs leaves out nothing."""
        found = {
            (source.name, event)
            for source, event, _, _ in health.machine().__automat_automaton__.allTransitions()
        }
        events = {event for _, event in found}
        assert found == {(state.value, event) for state in STATES for event in events}
