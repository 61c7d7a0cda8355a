"""Findings of the doctor: the pages of the documentation that are named with them."""

from __future__ import annotations

from pathlib import Path

from mcpgateway.cli.doctor.examination import kinds
from mcpgateway.cli.doctor.finding import PAGES, documentation, page

DOCUMENTATION = Path(__file__).resolve().parents[3] / "docs"


class PageTests:
    """The page of a finding."""

    def test_every_finding_has_one(self) -> None:
        """Each page exists in the documentation, and no path of this machine is shown."""
        for each in kinds():
            name = page(each.id).removeprefix(documentation()).strip("/").removesuffix(".html")
            assert (DOCUMENTATION / f"{name}.rst").is_file(), each.id
            assert not page(each.id).startswith("/")

    def test_no_page_is_of_nothing(self) -> None:
        """Each row of the table is for a finding that exists."""
        assert set(PAGES) <= {each.id.partition(".")[0] for each in kinds()}
