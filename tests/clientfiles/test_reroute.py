"""Clients that are cut off by a token that is needed now are led here by a command, and back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from attrs import evolve

from mcpgateway.clientfiles.enrolment import apply, undo
from mcpgateway.clientfiles.plan import EnrolRequest
from mcpgateway.clientfiles.reroute import FORMER_NOTE, cut_off, reroute, take_back
from tests.support.clients import House

CLIENTS = ["claude-code", "claude-desktop", "codex", "vscode"]
BY_URL = {"claude-code", "codex", "vscode"}


@pytest.fixture
def house(tmp_path: Path) -> House:
    """A user's home with files of four clients in it, one of which takes no URLs."""
    made = House(tmp_path)
    for each in CLIENTS:
        made.write_sample(each)
    return made


def need_token(house: House, word: str = "bearer-required") -> None:
    """Say whether clients of this machine need a token."""
    house.configure(f"gateway:\n  auth_mcp_transport: {word}\n")


def texts(house: House) -> dict[str, str]:
    """Return the texts of the files."""
    return {each: house.place(each).read_text() for each in CLIENTS}


class RerouteTests:
    @pytest.mark.parametrize("mode", ["http", "single"])
    def test_there_and_back(self, house: House, mode: str) -> None:
        """Entries with a URL become entries with a command, and then as before; other entries stay."""
        apply(house.machine, EnrolRequest(mode=mode))
        before = texts(house)
        need_token(house)
        assert {each.client for each in cut_off(house.machine)} == BY_URL
        assert not reroute(house.machine).errors
        assert cut_off(house.machine) == ()
        assert {each for each in CLIENTS if texts(house)[each] != before[each]} == BY_URL
        need_token(house, '""')
        assert not take_back(house.machine).errors
        assert texts(house) == before
        assert not take_back(house.machine).files

    def test_what_was_chosen_meanwhile(self, house: House) -> None:
        """A file that has been given back meanwhile stays so."""
        before = texts(house)
        apply(house.machine, EnrolRequest())
        need_token(house)
        reroute(house.machine)
        undo(house.machine, EnrolRequest())
        need_token(house, '""')
        take_back(house.machine)
        assert texts(house) == before

    def test_a_note_of_an_earlier_release(self, house: House) -> None:
        """An earlier release's note of how files used the gateway is read once and taken over."""
        apply(house.machine, EnrolRequest())
        before = texts(house)
        need_token(house)
        reroute(house.machine)
        records = house.machine.ledger.read().files.values()
        for each in records:
            house.machine.ledger.put(evolve(each, rerouted=""))
        note = {each.path: each.rerouted for each in records if each.rerouted}
        assert set(note.values()) == {"http"}
        (house.home / FORMER_NOTE).write_text(json.dumps(note))
        need_token(house, '""')
        assert not take_back(house.machine).errors
        assert texts(house) == before
        assert not (house.home / FORMER_NOTE).exists()

    def test_nobody(self, house: House) -> None:
        """Where nobody leads here by URL, nothing is done."""
        apply(house.machine, EnrolRequest(mode="fail-open"))
        need_token(house)
        assert cut_off(house.machine) == ()
        assert not reroute(house.machine).files
