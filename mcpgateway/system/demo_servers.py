"""The servers of the demonstration, which belong to no file."""

from __future__ import annotations

import os
import sys

from mcpgateway.config.entry import Entry, Origin, Scope
from mcpgateway.config.model import Share


def demo_servers(home: str) -> tuple[Entry, ...]:
    """Return the entries of the servers that the option ``--demo`` adds.

    :param home: the directory of the user.
    """
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    installed = os.path.basename(root) in ("site-packages", "dist-packages")
    # Isolated, Python finds an installed package but not a checkout, which is then named to it.
    env = {} if installed else {"PYTHONPATH": root}
    flag = "-I" if installed else "-P"
    origin = Origin(Scope.DEMO, "demonstration", home)
    return tuple(
        Entry(
            title=title,
            argv=(sys.executable, flag, "-m", f"mcpgateway.demo.{title}"),
            env=env,
            origin=origin,
            share=share,
            explicit=frozenset(("share",)),
        )
        for title, share in (("clock", Share.GLOBAL), ("notebook", Share.SESSION))
    )
