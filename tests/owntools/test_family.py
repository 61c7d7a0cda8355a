"""The whole family of the gateway's own tools."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import Clock

from mcpgateway.discovery.tokens import estimate
from mcpgateway.manage.tools.family import management
from mcpgateway.owntools.family import OwnToolParts, make_builtin
from mcpgateway.owntools.job_records import NoJobStore
from mcpgateway.owntools.jobs import Jobs
from mcpgateway.owntools.status import GatewayStatus
from mcpgateway.owntools.tool import READ, RUN, SIX, WRITE, Builtin, Tool
from tests.owntools.test_search import ScriptedLibrarian

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "gateway-tools.rst"


def family() -> Builtin:
    """The own tools, with nothing to work on."""
    clock = Clock()
    sight = GatewayStatus(tuple, lambda _: {}, lambda _: None)
    return make_builtin(OwnToolParts(ScriptedLibrarian(), None, Jobs(clock, NoJobStore()), sight, clock))


def nothing() -> Any:
    """Return nothing: no tool that manages servers is called here."""


def described(tool: Tool) -> Any:
    """Return a tool as it is listed."""
    return json.loads(tool.definition)


class FamilyTests:
    """The rules for all of the gateway's own tools."""

    def test_six_cost_little(self) -> None:
        """The six that a client of the search view sees cost it no more than 490 tokens, all of the meta view 750."""
        listed = family().tools("search")
        assert [each.name for each in listed] == [f"gateway_{name}" for name in SIX]
        assert sum(estimate(each.definition) for each in listed) <= 490
        every = family()
        every.add(management(nothing))
        assert len(every.tools("meta")) == 12
        assert sum(estimate(each.definition) for each in every.tools("meta")) <= 750

    def test_a_short_form_takes_as_much(self) -> None:
        """A list leaves out what is rare, and what is left is described in one sentence; the admin view has it all."""
        every = family()
        every.add(management(nothing))
        whole = {each.tool.name: json.loads(each.definition) for each in every.tools("admin")}
        assert [*whole.values()] == [{**described(each), "name": f"gateway_{each.name}"} for each in every]
        for each in every.tools("search"):
            short = json.loads(each.definition)["inputSchema"]
            full = whole[each.tool.name]["inputSchema"]
            assert short["properties"].items() <= full["properties"].items()
            assert short.get("required") == full.get("required")
            assert set(short.get("required", ())) <= short["properties"].keys()

    @pytest.mark.parametrize("tool", [*family(), *management(nothing)], ids=lambda tool: tool.name)
    def test_definitions_are_whole(self, tool: Tool) -> None:
        """A tool has a description, a schema that model APIs take, and annotations that agree with its effects."""
        found = described(tool)
        assert found["name"] == tool.name
        assert re.fullmatch("[a-z_]{1,20}", tool.name)
        assert found["description"].endswith(".")
        schema = found["inputSchema"]
        assert schema["type"] == "object"
        assert set(schema.get("required", ())) <= set(schema["properties"])
        for each in schema["properties"].values():
            assert "type" in each or "anyOf" in each or each["description"] == "Of the key"
            assert 2 < len(each["description"]) < 300
            assert each.get("type") != "array" or "items" in each
        assert tool.tier in (READ, WRITE, RUN)
        assert not found.get("annotations", {}).get("readOnlyHint") or tool.tier == READ

    @pytest.mark.parametrize("tool", [*family(), *management(nothing)], ids=lambda tool: tool.name)
    def test_the_reference_tells_of_it(self, tool: Tool) -> None:
        """The reference has a section for each tool, which tells of each of its arguments."""
        sections = re.split(r"\n(?=gateway_\w+\n~)", PAGE.read_text())
        section = next(each for each in sections if each.startswith(f"gateway_{tool.name}\n"))
        told = re.findall(r"``(\w+)``", " ".join(re.findall(r"^\* (.*?):(?: |$)", section, re.MULTILINE)))
        assert set(described(tool)["inputSchema"]["properties"]) <= set(told)
