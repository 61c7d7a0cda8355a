"""Markup for screen readers and keyboards that the theme leaves out, such as the levels of headings."""

from __future__ import annotations

from pathlib import Path

from sphinx.application import Sphinx

MENDED = {
    '<p class="caption" role="heading">': '<p class="caption" role="heading" aria-level="2">',
    '<aside class="sidebar-drawer">': '<aside class="sidebar-drawer" aria-label="All pages">',
    '<aside class="toc-drawer">': '<aside class="toc-drawer" aria-label="This page">',
    '<aside class="toc-drawer no-toc">': '<aside class="toc-drawer no-toc" aria-label="This page">',
    # Code and tables that are wider than the page are scrolled by the keyboard, too.
    '<div class="highlight"><pre>': '<div class="highlight"><pre tabindex="0">',
    '<div class="table-wrapper': '<div tabindex="0" class="table-wrapper',
    '<th class="head"></th>': '<td class="head"></td>',
    '<div id="search-results"></div>': '<h1>Search</h1><div id="search-results"></div>',
}


def mended(html: str) -> str:
    """The page with that markup."""
    for found, better in MENDED.items():
        if better not in html:
            html = html.replace(found, better)
    return html


def mend(app: Sphinx, failure: Exception | None) -> None:
    """Mend the pages that were written; a page that is mended already stays as it is."""
    if failure is None and app.builder.format == "html":
        for path in Path(app.outdir).rglob("*.html"):
            html = path.read_text(encoding="utf-8")
            if (better := mended(html)) != html:
                path.write_text(better, encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """Mend the pages after the build."""
    app.connect("build-finished", mend)
    return {"parallel_read_safe": True}
