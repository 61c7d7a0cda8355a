"""The rule that texts are printed only through the functions that escape them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "mcpgateway"
# Where it is escaped, and what speaks to programs or passes on what a prompt says.
PRINTERS = {
    "cli/console.py",
    "system/printing.py",
    "shim/stdio.py",
    "cli/commands/faults/manhole.py",
    "demo/stdio.py",
    "system/launch/probe.py",
    "system/semantic/helper_main.py",
    "system/secret_providers.py",
}
# `os.write` to a descriptor of its own: a file, a pipe.
WRITERS = {
    "backends/session_process.py",
    "system/launch/template_main.py",
    "clientfiles/disk.py",
    "system/logs/server_log.py",
    "system/files.py",
}
CLICK = {"echo", "secho", "style", "echo_via_pager", "progressbar"}
# A module without any of these prints nothing; to parse all of them takes seconds.
WORDS = re.compile(r"\bprint\(|\bclick\.|\bsys\.std|\bos\.write\b|\bConsole\(")


def printing(text: str) -> Iterator[str]:
    """The calls in a module by which something may be printed."""
    for node in ast.walk(ast.parse(text)) if WORDS.search(text) else ():
        if isinstance(node, ast.Call):
            match node.func:
                case ast.Name(id="print"):
                    yield "print"
                case ast.Attribute(value=ast.Name(id="click"), attr=name) if name in CLICK:
                    yield f"click.{name}"
                case ast.Attribute(value=ast.Attribute(value=ast.Name(id="sys"), attr=stream), attr="write"):
                    yield f"sys.{stream}.write"
                case ast.Attribute(value=ast.Name(id="os"), attr="write"):
                    yield "os.write"
                case ast.Name(id="Console"):
                    yield "Console"
                case _:
                    pass


class PrintingTests:
    """The functions that write to a terminal."""

    def test_through_one_function(self) -> None:
        """A module that prints by itself could print what a stranger has written."""
        found = {
            (name, way)
            for path in PACKAGE.rglob("*.py")
            if (name := str(path.relative_to(PACKAGE))) not in PRINTERS
            for way in printing(path.read_text())
        }
        found -= {(name, "os.write") for name in WRITERS}
        found -= {
            ("cli/commands/servers/discover.py", "Console")
        }  # its bar has names of servers in it, escaped
        assert found == set()

    @pytest.mark.parametrize(
        "text",
        [
            "print(1)",
            "click.echo(x)",
            "click.style(x)",
            "sys.stdout.write(x)",
            "sys.stderr.write(x)",
            "os.write(1, x)",
        ],
    )
    def test_it_finds_them(self, text: str) -> None:
        """Every way of printing is found."""
        assert list(printing(text))
