"""The pager for long output on a terminal."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from mcpgateway.cli.pager import VARIABLES
from tests.support.terminal import on_a_terminal

PROGRAM = (sys.executable, "-c", "import sys; from mcpgateway.cli.entry import main; sys.exit(main())")
PAGED = "the pager has it"


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """An environment whose pager says that it was run."""
    pager = tmp_path / "pager"
    pager.write_text(f"#!/bin/sh\necho {PAGED}, history in $LESSHISTFILE\nexec cat\n")
    pager.chmod(0o755)
    known = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    return {
        **known,
        "HOME": str(tmp_path),
        "MCPGATEWAY_HOME": str(tmp_path / "home"),
        "MCPGATEWAY_PAGER": str(pager),
        "TERM": "xterm",
    }


def shown(environ: dict[str, str], *words: str) -> str:
    """The screen after a command has ended well."""
    code, screen = on_a_terminal([*PROGRAM, *words], environ)
    assert code == 0
    return screen


class PagerTests:
    """Output on a terminal of 24 lines."""

    def test_long(self, environ: dict[str, str]) -> None:
        """Long output is shown by the pager, and short output is not."""
        screen = shown(environ, "help", "--all")
        assert screen.startswith(PAGED)
        assert "Servers and tools" in screen
        assert PAGED not in shown(environ, "version")

    @pytest.mark.parametrize("words", [("--no-pager", "help", "--all"), ("help", "--all", "--no-pager")])
    def test_never(self, environ: dict[str, str], words: tuple[str, ...]) -> None:
        """The option shows the output without the pager."""
        screen = shown(environ, *words)
        assert PAGED not in screen
        assert "Servers and tools" in screen

    def test_variables(self, environ: dict[str, str]) -> None:
        """The variable of the gateway counts before PAGER, and an empty one means none."""
        pager = environ.pop("MCPGATEWAY_PAGER")
        assert PAGED in shown({**environ, "PAGER": pager, "MCPGATEWAY_PAGER": pager}, "help", "--all")
        assert PAGED not in shown({**environ, "PAGER": pager, "MCPGATEWAY_PAGER": ""}, "help", "--all")
        assert PAGED not in shown({**environ, "PAGER": pager, "MCPGATEWAY_PAGER": "cat"}, "help", "--all")

    def test_no_trace(self, environ: dict[str, str], tmp_path: Path) -> None:
        """The usual pager keeps no file of what was searched for."""
        screen = shown({**environ, "MCPGATEWAY_PAGER": f"{tmp_path / 'pager'}"}, "help", "--all")
        assert f"{PAGED}, history in -" in screen

    def test_missing(self, environ: dict[str, str]) -> None:
        """A pager that is not there loses nothing."""
        assert "Servers and tools" in shown(
            {**environ, "MCPGATEWAY_PAGER": "/nonexistent/pager"}, "help", "--all"
        )
