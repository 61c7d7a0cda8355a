"""The tokens that a view's list saves."""

from __future__ import annotations

import json

from msgspec import Raw

from mcpgateway.config.model import ServerSpec
from mcpgateway.config.surface import Expose, ViewSettings
from mcpgateway.discovery.listing import Exposure, listing
from mcpgateway.discovery.records import Item, ListKind, read_items
from mcpgateway.discovery.token_savings import spared
from mcpgateway.discovery.usage import Saving

SERVERS = (ServerSpec("a", ("run",), {}, "/"), ServerSpec("b", ("run",), {}, "/"))


def items() -> list[Item]:
    """Two tools of 400 characters for each of two servers, about half of them words that can be left out."""
    schema = {"type": "object", "examples": ["x" * 150]}
    said = "Does it. " + "y" * (391 - len(json.dumps(schema, separators=(",", ":"))))
    tools = [{"name": name, "description": said, "inputSchema": schema} for name in ("one", "two")]
    pages = (Raw(json.dumps({"tools": tools}, separators=(",", ":")).encode()),)
    return [item for each in SERVERS for item in read_items(each.name, ListKind.TOOL, pages)]


def of(expose: Expose, beside: int = 0, **settings: object) -> dict[tuple[Saving, str], int]:
    """Return the savings of a view."""
    exposure = Exposure.of(ViewSettings(expose=expose, **settings), SERVERS)  # type: ignore[arg-type]
    found = spared(listing(items(), exposure, {}), exposure, beside)
    return {(saving, server): tokens for saving, server, tokens in found}


class SparedTests:
    """The savings that are counted."""

    def test_all_is_listed(self) -> None:
        """A list of everything as it is spares nothing."""
        assert of(Expose.FULL, 50) == {}

    def test_deferral(self) -> None:
        """Tools that only a search finds are saved, less the tools that search."""
        whole = of(Expose.SEARCH)
        assert whole == {(Saving.DEFERRAL, "a"): 198, (Saving.DEFERRAL, "b"): 198}
        assert sum(of(Expose.SEARCH, 250).values()) == sum(whole.values()) - 250
        assert of(Expose.SEARCH, 1000) == {}

    def test_budget(self) -> None:
        """A tool over a budget is saved."""
        assert of(Expose.FULL, per_server_budget=1) == {
            (Saving.DEFERRAL, "a"): 99,
            (Saving.DEFERRAL, "b"): 99,
        }

    def test_compression(self) -> None:
        """The part of a tool that compression removes is saved."""
        found = of(Expose.FULL, compress_schemas=True)
        assert {saving for saving, _ in found} == {Saving.COMPRESSION}
        assert all(150 < tokens < 198 for tokens in found.values())
