"""``python -m docs.pictures.status``: ``mcpgateway status`` as two pictures, for light and for dark pages.

The gateway is asked on a terminal; its answer is drawn as it came.  `make pictures` writes
``docs/_static/status-light.svg`` and ``docs/_static/status-dark.svg``.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from docs.pictures.gateway import PORT, PROGRAM, shown_gateway
from tests.support.real_servers import ROOT
from tests.support.terminal import on_a_terminal

WIDTH = 92
UNIQUE = re.compile(r"terminal-\d+")

LIGHT = TerminalTheme(
    (255, 255, 255),
    (36, 41, 47),
    [
        *((36, 41, 47), (207, 34, 46), (17, 99, 41), (125, 78, 0)),
        *((9, 105, 218), (130, 80, 223), (27, 124, 131), (110, 119, 129)),
    ],
)
DARK = TerminalTheme(
    (13, 17, 23),
    (201, 209, 217),
    [
        *((72, 79, 88), (255, 123, 114), (63, 185, 80), (210, 153, 34)),
        *((88, 166, 255), (188, 140, 255), (57, 197, 207), (177, 186, 196)),
    ],
)


def draw(output: str, theme: TerminalTheme, path: Path) -> None:
    """Write the output of a terminal as a picture."""
    with Path(os.devnull).open("w") as nowhere:
        console = Console(record=True, width=WIDTH, file=nowhere, force_terminal=True)
        console.print(Text("$ mcpgateway status", style="bold"))
        console.print(Text.from_ansi(output.rstrip()))
        svg = console.export_svg(title="", theme=theme)
    # The font of the page, since none may be fetched, and names that are equal each time.
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    path.write_text(UNIQUE.sub("status", svg.replace("Fira Code", "ui-monospace")).rstrip() + "\n")


def main() -> None:
    """Ask the gateway, and draw its answer."""
    with shown_gateway(WIDTH) as gateway:
        _, screen = on_a_terminal([PROGRAM, "status"], gateway.env)
        shown = screen.replace(gateway.port, PORT)
    static = ROOT / "docs" / "_static"
    draw(shown, LIGHT, static / "status-light.svg")
    draw(shown, DARK, static / "status-dark.svg")


if __name__ == "__main__":
    main()
