"""The demo servers as a user starts them."""

import ast
from pathlib import Path

import mcpgateway.demo

DEMO = Path(mcpgateway.demo.__file__).parent
# What may be imported when a demo server starts; a start should take no longer than an eye blink.
QUICK = {"__future__", "collections", "datetime", "json", "sys", "typing", "mcpgateway"}


def imported(source: str) -> set[str]:
    """The packages a module imports as it is loaded."""
    found = set()
    for node in ast.parse(source).body:
        if isinstance(node, ast.Import):
            found.update(each.name.split(".")[0] for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").split(".")[0])
    return found


class StartTests:
    """The modules that a demo server loads before it can answer."""

    def test_only_quick_modules_are_imported(self):
        """The demo servers, and the package they are in, import nothing that is slow to load."""
        for path in [*DEMO.glob("*.py"), DEMO.parent / "__init__.py"]:
            assert imported(path.read_text()) <= QUICK, path.name
