"""The words that start a program: those of Node.js have an option that saves memory."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from mcpgateway.system.launch.node import SMALL, node_words

NODE = shutil.which("node") or ""
SHOW = (
    "console.log(JSON.stringify([process.execArgv, process.argv.slice(1), process.env.NODE_OPTIONS ?? null]))"
)
ENV = {"PATH": os.environ["PATH"]}


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """A script that tells how it was started."""
    return script_of(tmp_path, "#!/usr/bin/env node")


def script_of(directory: Path, first: str) -> Path:
    """A script with a first line, under a name without an ending, as npm links it."""
    (directory / "real.cjs").write_text(f"{first}\n{SHOW}\n")
    (directory / "real.cjs").chmod(0o755)
    link = directory / "server"
    link.symlink_to("real.cjs")
    return link


def started(words: list[str], env: dict[str, str] | None = None) -> Any:
    """Start a program; return the options of Node.js, the script with its arguments, and ``NODE_OPTIONS``."""
    return json.loads(subprocess.run(words, env=env or ENV, capture_output=True, check=True).stdout)


class NodeTests:
    """Programs of Node.js."""

    def test_a_script(self, script: Path) -> None:
        """A script runs as before, with the option, which programs that it starts do not inherit."""
        words = node_words(str(script), ["a", "--b"], ENV)
        options, run, inherited = started(words)
        assert (options, inherited) == ([SMALL], None)
        assert run == started([str(script), "a", "--b"])[1]

    def test_node_itself(self, script: Path) -> None:
        """So does a command that names Node.js."""
        assert started(node_words(NODE, [str(script), "a"], ENV))[:2] == [
            [SMALL],
            started([NODE, str(script), "a"])[1],
        ]

    def test_a_path_in_the_first_line(self, tmp_path: Path) -> None:
        """A script may name its interpreter by a path."""
        script = script_of(tmp_path, f"#!{NODE}")
        assert started(node_words(str(script), [], ENV))[0] == [SMALL]

    def test_other_options(self, script: Path) -> None:
        """Options of the user go along."""
        env = ENV | {"NODE_OPTIONS": "--max-old-space-size=200"}
        assert started(node_words(str(script), [], env), env)[::2] == [[SMALL], "--max-old-space-size=200"]

    @pytest.mark.parametrize("option", ["--max-semi-space-size=16", "--max_semi_space_size=16"])
    def test_the_users_own(self, script: Path, option: str) -> None:
        """The user's own value takes precedence, in the variable or in the command."""
        assert node_words(str(script), [], ENV | {"NODE_OPTIONS": option}) == [str(script)]
        assert node_words(NODE, [option, str(script)], ENV) == [NODE, option, str(script)]


class OtherTests:
    """Everything else is started as it is."""

    @pytest.mark.parametrize(
        "first",
        ["#!/bin/sh", "#!/usr/bin/env python3", "#!/usr/bin/env -S node --no-warnings", "\x7fELF", ""],
    )
    def test_no_node(self, tmp_path: Path, first: str) -> None:
        """Other programs, and scripts with options of their own in the first line."""
        script = script_of(tmp_path, first)
        assert node_words(str(script), ["node"], ENV) == [str(script), "node"]

    def test_no_such_interpreter(self, script: Path) -> None:
        """A script whose interpreter is not found fails by itself, with its own message."""
        assert node_words(str(script), [], {"PATH": "/nowhere"}) == [str(script)]

    def test_no_file(self, tmp_path: Path) -> None:
        """A program that has gone is an error of the start."""
        assert node_words(str(tmp_path / "x"), [], ENV) == [str(tmp_path / "x")]
