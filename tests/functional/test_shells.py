"""Completion in real shells."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from mcpgateway.cli.commands.program.completion import script
from tests.support.gateway import BIN, LIMIT_S
from tests.support.terminal import Terminal

INTERACTIVE = {
    "bash": (["--norc", "--noprofile", "-i"], "bind 'set enable-bracketed-paste off'; . {script}"),
    "zsh": (["-f", "-i"], "autoload -U compinit; compinit -u -D; . {script}"),
}
BEGUN, WHOLE = "config get gateway.http_po", "config get gateway.http_port"


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """The environment of a shell that finds the program."""
    return {"PATH": f"{BIN}:{os.environ['PATH']}", "HOME": str(tmp_path), "TERM": "xterm", "PS1": "> "}


def found(shell: str, tmp_path: Path) -> tuple[str, Path]:
    """The path of a shell of this machine, and the script that it reads."""
    path = shutil.which(shell)
    if path is None:
        pytest.skip(f"no {shell} is installed")
    written = tmp_path / "script"
    written.write_text(script(shell))
    return path, written


class ShellTests:
    """Shells that have read the script."""

    @pytest.mark.parametrize("shell", INTERACTIVE)
    def test_interactive(self, shell: str, tmp_path: Path, environ: dict[str, str]) -> None:
        """The tab key completes the key of the configuration that is begun."""
        path, written = found(shell, tmp_path)
        options, reads = INTERACTIVE[shell]
        terminal = Terminal([path, *options], environ)
        terminal.type(f"{reads.format(script=written)}; echo re''ady\n")
        assert terminal.shows("ready")
        terminal.type(f"mcpgateway {BEGUN}\t")
        assert terminal.shows(WHOLE)
        terminal.type("\x15mcpgateway config set gateway.http_po\t9")
        assert terminal.shows(f"{WHOLE.partition(' get ')[2]}=9")
        terminal.type("\x15mcpgateway config set gateway.log_level=cri\t")
        assert terminal.shows("gateway.log_level=critical")
        terminal.type("\x15exit\n")
        terminal.ended()

    def test_fish(self, tmp_path: Path, environ: dict[str, str]) -> None:
        """The completions of fish are the commands and values that fit."""
        path, written = found("fish", tmp_path)
        asked = f"source {written}; complete -C 'mcpgateway {BEGUN}'; complete -C 'mcpgateway servers res'"
        asked += "; complete -C 'mcpgateway config set gateway.log_level=cri'"
        done = subprocess.run(
            [path, "--no-config", "-c", asked],
            env=environ,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=True,
        )
        shown = [line.split("\t")[0] for line in done.stdout.splitlines()]
        assert shown[0] == "gateway.http_port"
        assert set(shown[1:]) == {"restart", "reset-circuit", "gateway.log_level=critical"}
