"""The tool that gets at what was cut."""

from __future__ import annotations

import json
from typing import Any

import pytest
from attrs import define, field
from twisted.internet.defer import Deferred, fail, succeed

from mcpgateway.errors import InvalidParams
from mcpgateway.hub.results import originals
from mcpgateway.owntools.get_result import URI, GetResult
from mcpgateway.truncation.paging import page
from mcpgateway.truncation.queries import PageQuery
from tests.support.gateway_tools import ScriptedAccess, ask

ROWS = [{"id": number, "name": f"row {number}", "note": "x" * 10} for number in range(120)]


@define(eq=False)
class MemoryVault:
    """Keeps one result, for one principal."""

    kept: dict[tuple[str, str], bytes] = field(factory=dict)

    def page(self, ref: str, principal: str, query: PageQuery) -> Deferred[dict[str, Any]]:
        original = self.kept.get((ref, principal))
        if original is None:
            return fail(InvalidParams(f"Result {ref} not found or expired", "call the tool again"))
        return succeed({"ref": ref, **page(original, query)})


def shown(**arguments: Any) -> Any:
    """Return the tool's answer on a list of a hundred and twenty rows."""
    result = {"content": [{"type": "text", "text": json.dumps(ROWS)}]}
    kept = MemoryVault({("r1", "local"): json.dumps(result).encode()})
    return ask(GetResult(kept), ScriptedAccess(), {"ref": "r1", **arguments}).value


class GetResultTests:
    """``get_result``."""

    def test_a_page_is_shown_as_s004_shows_it(self) -> None:
        """A page names its place in the whole, and is one of the text, not of the content around it."""
        found = shown(offset=50)
        assert {name: found[name] for name in ("ref", "total", "offset", "count", "hasMore")} == {
            "ref": "r1",
            "total": 120,
            "offset": 50,
            "count": 50,
            "hasMore": True,
        }
        assert found["data"] == ROWS[50:100]

    def test_a_resource_is_its_reference(self) -> None:
        """The URI that a cut result is linked by is as good as its reference."""
        assert URI == originals.URI
        assert shown(ref="gateway://results/r1", path="$[7].name")["data"] == "row 7"

    def test_a_page_can_be_chosen(self) -> None:
        """Items are searched, projected and counted."""
        assert shown(search="ROW 119", fields=["id"])["data"] == [{"id": 119}]
        assert shown(path="$[7].name")["data"] == "row 7"
        assert "shape" in shown(shape=True)

    def test_a_table_says_names_once(self) -> None:
        """A table names each member of a list of objects once; another value stays as it is."""
        table = shown(limit=2, fields=["id", "name"], format="table")["data"]
        assert table == {"columns": ["id", "name"], "rows": [[0, "row 0"], [1, "row 1"]]}
        assert shown(path="$[7].name", format="table")["data"] == "row 7"
        with pytest.raises(InvalidParams, match="format"):
            shown(format="csv")

    def test_what_is_unknown_is_said(self) -> None:
        """A reference that is not known, or somebody else's, and an argument that is none, are told in words."""
        assert shown(ref="r2") == {"error": "Result r2 not found or expired", "hint": "call the tool again"}
        with pytest.raises(InvalidParams, match='"ref" is missing'):
            shown(ref="")
        with pytest.raises(InvalidParams, match="colour"):
            shown(colour="red")
        with pytest.raises(InvalidParams) as refused:
            shown(formatt="table")
        assert 'did you mean "format"?' in refused.value.hint

    def test_nothing_may_be_kept(self) -> None:
        """Where no originals are kept, no reference is good."""
        with pytest.raises(InvalidParams, match="not found"):
            ask(GetResult(None), ScriptedAccess(), {"ref": "r1"})
