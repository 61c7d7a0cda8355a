"""Rules for every page: none shows the markup of a literal, and the search finds no decision record."""

from __future__ import annotations

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging

MARK = "``"
RECORDS = "decisions/"
LITERAL = (nodes.literal, nodes.literal_block, nodes.comment, nodes.raw)

log = logging.getLogger(__name__)


def unmarked(text: nodes.Text) -> bool:
    """Return whether a text that a reader sees has the markup of a literal in it."""
    if MARK not in text.astext():
        return False
    node = text.parent
    while node is not None and not isinstance(node, LITERAL):
        node = node.parent
    return node is None


def look(app: Sphinx, document: nodes.document) -> None:
    """Warn of markup that would be shown, and leave decision records, which are not for users, out of the search."""
    name = app.env.docname
    if name.startswith(RECORDS):
        app.env.metadata[name]["nosearch"] = "True"
    for text in filter(unmarked, document.findall(nodes.Text)):
        log.warning("the page would show the markup of a literal: %s", text.astext(), location=text.parent)


def setup(app: Sphinx) -> dict[str, bool]:
    """Look at each page when it is read."""
    app.connect("doctree-read", look)
    return {"parallel_read_safe": True}
