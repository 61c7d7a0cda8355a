"""The list of the tests that `make test` leaves to `make test-long`."""

import ast
from functools import cache
from pathlib import Path

from tests.conftest import SOAK

TESTS = Path(__file__).parents[1]


@cache
def names(path: Path) -> frozenset[str]:
    """The tests of a file, those of a class behind its name."""
    found = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}::{each.name}" for each in node.body if isinstance(each, ast.FunctionDef)}
            found |= {
                f"{node.name}::{each.name}" for each in node.body if isinstance(each, ast.AsyncFunctionDef)
            }
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
    return frozenset(found)


class ListTests:
    """Entries that are nothing any more."""

    def test_there(self) -> None:
        """Each line of the list names a test that is there."""
        listed = [line for line in SOAK if line and not line.startswith("#")]
        gone = [
            line
            for line in listed
            for file, _, name in [line.partition("[")[0].partition("::")]
            if not (TESTS / file).is_file() or name not in names(TESTS / file)
        ]
        assert listed
        assert not gone
