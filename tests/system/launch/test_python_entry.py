"""The interpreter and the entry point behind a program."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from mcpgateway.system.launch.python_entry import python_entry


@pytest.mark.parametrize(
    ("head", "interpreter", "options", "name"),
    [
        ("#!/v/bin/python\nimport sys", "/v/bin/python", (), "prog"),
        ("#! /v/bin/python3.12 -sE\n", "/v/bin/python3.12", ("-sE",), "prog"),
        ("#!/bin/sh\n'''exec' \"/v v/bin/python\" \"$0\" \"$@\"\n' '''\n", "/v v/bin/python", (), ""),
        ("#!/bin/sh\n'''exec' /v/bin/python \"$0\" \"$@\"\n' '''\n", "/v/bin/python", (), ""),
    ],
)
def test_scripts(tmp_path: Path, head: str, interpreter: str, options: tuple[str, ...], name: str) -> None:
    """The head of a script names its interpreter, and the kernel names its process."""
    script = tmp_path / "prog"
    script.write_text(head)
    found = python_entry(str(script), ["-x"])
    assert found is not None
    assert (found.interpreter, found.options, found.name) == (interpreter, options, name)
    assert (found.kind, found.target, found.words) == ("script", str(script), ("-x",))


def test_movable(tmp_path: Path) -> None:
    """A script of an environment that may be moved names its interpreter by its own place."""
    script = tmp_path / "prog"
    script.write_text(
        "#!/bin/sh\n'''exec' \"$(dirname -- \"$(realpath -- \"$0\")\")\"/'python3' \"$0\" \"$@\"\n' '''\n"
    )
    found = python_entry(str(script), ())
    assert found is not None
    assert found.interpreter == f"{tmp_path.resolve()}/python3"


@pytest.mark.parametrize(
    ("words", "kind", "target", "options", "rest"),
    [
        (["-m", "a.b", "-m"], "module", "a.b", (), ("-m",)),
        (["-u", "-X", "utf8", "-m", "a"], "module", "a", ("-u", "-X", "utf8"), ()),
        (["/bin/prog", "x"], "script", "/bin/prog", (), ("x",)),
    ],
)
def test_interpreter(
    words: list[str], kind: str, target: str, options: tuple[str, ...], rest: tuple[str, ...]
) -> None:
    """The words after an interpreter are its options, a module or a script, and the arguments of that."""
    found = python_entry(sys.executable, words)
    assert found is not None
    assert (found.kind, found.target, found.options, found.words) == (kind, target, options, rest)


@pytest.mark.parametrize(
    "words", [["-c", "1"], ["server.py"], ["/x/server.py"], ["-i", "-m", "a"], [], ["-m"], ["-m", "../a"]]
)
def test_others(words: list[str]) -> None:
    """A plain script, a statement and an unknown option are no entry point."""
    assert python_entry(sys.executable, words) is None


@pytest.mark.parametrize(
    "head", ["#!/usr/bin/env python3\n", "#!/bin/sh\nexec python", "#!/v/python -i\n", "", "x"]
)
def test_no_console_scripts(tmp_path: Path, head: str) -> None:
    """A program of another kind is none either."""
    (tmp_path / "prog").write_text(head)
    assert python_entry(str(tmp_path / "prog"), ()) is None
    assert python_entry(str(tmp_path / "missing"), ()) is None
