"""The user's browser."""

from __future__ import annotations

import os
import sys

GRAPHICAL = ("DISPLAY", "WAYLAND_DISPLAY")


def opened(url: str) -> bool:
    """Open a page in a browser if there is a screen; return False if there is none."""
    if not sys.stdout.isatty():
        return False
    if sys.platform.startswith("linux") and not any(os.environ.get(each) for each in GRAPHICAL):
        return False
    import webbrowser

    try:
        return webbrowser.open(url)  # as an argument of a program, never in a shell
    except (OSError, webbrowser.Error):
        return False
