"""The option of Node.js with which a server needs less memory; its figures are in docs/explanation/launching.rst."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence

SMALL = "--max-semi-space-size=2"  # MiB, of 16; with 1 some calls take more CPU time
_OPTION = SMALL.partition("=")[0]
_NODES = frozenset((b"node", b"nodejs"))
_LINE_LIMIT = 256  # bytes of a first line, as of Linux


def node_words(program: str, args: Sequence[str], env: Mapping[str, str]) -> list[str]:
    """Return the words that start a program: those of Node.js with the option, all others as they are.

    The option is a word of the command, so programs that the server starts do not inherit it.

    :param program: an absolute path.
    :param env: the variables of the program; an option of the same name in ``NODE_OPTIONS`` takes precedence.
    """
    own = " ".join((env.get("NODE_OPTIONS", ""), *args)).replace("_", "-")
    if _OPTION in own:
        return [program, *args]
    if os.path.basename(program).encode() in _NODES:
        return [program, SMALL, *args]
    node = _interpreter(program, env)
    return [node, SMALL, program, *args] if os.path.isabs(node) else [program, *args]


def _interpreter(program: str, env: Mapping[str, str]) -> str:
    """Return the Node.js that a script names in its first line, without options; empty for other programs."""
    try:
        with open(program, "rb") as file:
            first = file.readline(_LINE_LIMIT)
    except OSError:
        return ""
    words = first[2:].split() if first.startswith(b"#!") else []
    if words and words[-1].rpartition(b"/")[2] in _NODES:
        if len(words) == 1:
            return os.fsdecode(words[0])
        if len(words) == len(("env", "node")) and words[0].endswith(b"/env"):
            return shutil.which(os.fsdecode(words[1]), path=env.get("PATH", os.defpath)) or ""
    return ""
