"""The editor of the user, and the commands for those who have none."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Mapping

from mcpgateway.hints import cli

VARIABLES = ("VISUAL", "EDITOR")
USUAL = ("nano", "vi")
KEY = "KEY"
_EDIT, _SET = cli("servers edit"), cli("servers set")
_CHANGES = {"env": cli("servers set-env")}
_VALUES = {"env": "VARIABLE", "args": """'args=["WORD", "WORD"]'"""}


def editor(environ: Mapping[str, str]) -> list[str]:
    """Return the command of the user's editor: a named one, or else one that most machines have; empty for none."""
    named = next((environ[each] for each in VARIABLES if environ.get(each)), "")
    if named:
        return shlex.split(named)
    return [each for each in USUAL if shutil.which(each, path=environ.get("PATH"))][:1]


def without_editor(run: str, key: str = "") -> str:
    """Return a command that edits a server, in the form for a user without an editor; other commands as they are.

    :param key: the key of the server's entry that is to be changed; empty where it is not known.
    """
    if not run.startswith(f"{_EDIT} ") or editor(os.environ):
        return run
    name = run.removeprefix(f"{_EDIT} ")
    return f"{_CHANGES.get(key, _SET)} {name} {_VALUES.get(key) or f'{key or KEY}=VALUE'}"
