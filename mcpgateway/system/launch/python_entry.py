"""The interpreter and the entry point behind the program of a Python server."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from attrs import frozen

TEMPLATE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "template_main.py")
HEAD_BYTES = 1024
PYTHON = re.compile(r"python(3(\.\d+)?)?t?")
OPTION = re.compile(r"-[BEIPsSuO]+")
VALUED = ("-W", "-X")
MODULE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")
SHEBANG = re.compile(rb"#![ \t]*(/[^ \t\n]+)[ \t]*([^\n]*)\n")
# The form of pip and uv for long paths, and of uv for environments that may be moved.
POLYGLOT = re.compile(rb"""#![ \t]*/bin/sh\n'''exec' "?(/[^"\n]+?)"? "\$0" "\$@"\n""")
RELATIVE = re.compile(
    rb"""#![ \t]*/bin/sh\n'''exec' "\$\(dirname -- "\$\(realpath -- "\$0"\)"\)"/'([^'/\n]+)' "\$0" "\$@"\n"""
)


@frozen
class PythonEntry:
    """A Python program, taken apart.

    :ivar interpreter: the path by which it is called.
    :ivar options: the options of the interpreter.
    :ivar kind: ``script`` or ``module``.
    :ivar target: the path of a console script, or a module's name.
    :ivar name: the name of its process; empty for the interpreter's own.
    :ivar words: its arguments.
    """

    interpreter: str
    options: tuple[str, ...]
    kind: str
    target: str
    name: str
    words: tuple[str, ...]

    @property
    def template(self) -> tuple[str, ...]:
        """The command of its template (`mcpgateway.system.launch.template_main`)."""
        return (self.interpreter, *self.options, TEMPLATE, self.kind, self.target, self.name, *self.words)


def python_entry(program: str, words: Sequence[str]) -> PythonEntry | None:
    """Take a program and its arguments apart; None where they are no console script and no module of Python.

    :param program: an absolute path.
    """
    try:
        with open(program, "rb") as stream:
            head = stream.read(HEAD_BYTES)
    except OSError:
        return None
    if head.startswith(b"\x7fELF"):
        is_python = PYTHON.fullmatch(os.path.basename(program))
        return _of_interpreter(program, tuple(words)) if is_python else None
    interpreter, option, name = _interpreter(head, program)
    if not PYTHON.fullmatch(os.path.basename(interpreter)) or (option and not OPTION.fullmatch(option)):
        return None
    return PythonEntry(interpreter, (option,) if option else (), "script", program, name, tuple(words))


def _interpreter(head: bytes, script: str) -> tuple[str, str, str]:
    # The interpreter of a script, its option, and the name of the process: the kernel names it after the script, and
    # a shell that executes an interpreter after that one.
    if found := POLYGLOT.match(head):
        return os.fsdecode(found[1]), "", ""
    if found := RELATIVE.match(head):
        return f"{os.path.dirname(os.path.realpath(script))}/{os.fsdecode(found[1])}", "", ""
    if found := SHEBANG.match(head):
        return os.fsdecode(found[1]), os.fsdecode(found[2]).strip(), os.path.basename(script)
    return "", "", ""


def _of_interpreter(program: str, words: tuple[str, ...]) -> PythonEntry | None:
    at = 0
    while at < len(words) and (words[at] in VALUED or OPTION.fullmatch(words[at])):
        at += 1 + (words[at] in VALUED)
    options, rest = words[:at], words[at:]
    if len(rest) > 1 and rest[0] == "-m" and MODULE.fullmatch(rest[1]):
        return PythonEntry(program, options, "module", rest[1], "", rest[2:])
    if rest and os.path.isabs(rest[0]) and not rest[0].endswith(".py"):
        return PythonEntry(program, options, "script", rest[0], "", rest[1:])
    return None
