"""What older gateways answer and what is different here, from the tests that ask: the page says only what they show."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from docutils import nodes
from docutils.parsers.rst import Directive
from from_code import TESTS, table
from sphinx.application import Sphinx

MARK = "older"


class Contract(NamedTuple):
    """One request to an older gateway that a test makes.

    :ivar seed: whose it is.
    :ivar shows: what the test sees.
    :ivar differs: what is different here; empty where nothing is.
    """

    seed: str
    request: str
    differs: str
    shows: str


def contracts() -> list[Contract]:
    """All of them, in the order of the tests."""
    return [each for path in sorted(TESTS.glob("functional/test_older_*.py")) for each in contracts_of(path)]


def contracts_of(path: Path) -> Iterator[Contract]:
    """Those of one file: its tests that are marked with ``@older(SEED, request, differs)``."""
    tree = ast.parse(path.read_text())
    names = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            for mark in node.decorator_list:
                if isinstance(mark, ast.Call) and isinstance(mark.func, ast.Name) and mark.func.id == MARK:
                    said = [
                        names[each.id] if isinstance(each, ast.Name) else ast.literal_eval(each)
                        for each in mark.args
                    ]
                    seed, request, differs = (*said, "")[:3]
                    yield Contract(seed, request, differs, " ".join((ast.get_docstring(node) or "").split()))


class ContractTable(Directive):
    """``.. contracts:: SEED`` - the requests of one older gateway."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Build the table."""
        rows = [
            (nodes.literal(text=each.request), self._text(each.shows), self._text(each.differs or "Nothing."))
            for each in contracts()
            if each.seed == self.arguments[0]
        ]
        return [table(("Request", "What is answered", "What is different here"), (26, 40, 34), rows)]

    def _text(self, text: str) -> nodes.Node:
        found, _ = self.state.inline_text(text, self.lineno)
        return nodes.inline("", "", *found)


def setup(app: Sphinx) -> dict[str, bool]:
    """Make the directive known to Sphinx."""
    app.add_directive("contracts", ContractTable)
    return {"parallel_read_safe": True}
