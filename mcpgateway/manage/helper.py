"""Run the helper program, which changes clients' own files and runs the doctor for the daemon, a process per command.

The daemon never writes such a file itself: locking, reading, writing and syncing take as long as the disk takes, and
the modules for it would stay in memory.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any, Protocol

import msgspec
from twisted.internet.defer import Deferred, DeferredLock, fail
from twisted.python.failure import Failure

from mcpgateway.errors import ClientFilesFailed, LaunchFailed, Overloaded
from mcpgateway.interfaces import Launch, Ran

LIMIT_S = 30.0  # a client that holds its lock for longer has hung
WAITING_LIMIT = 20
SHOWN_CHARACTERS = 300
PROGRAM = (sys.executable, "-P", "-m", "mcpgateway.cli.local")


class RunHelper(Protocol):
    """Runs a program to its end, as `mcpgateway.backends.spawn.Launcher.run` does."""

    def __call__(self, launch: Launch, *, is_idle: bool, limit_s: float) -> Deferred[Ran]:
        """Run a program; fires with its outcome.

        :raise LaunchFailed: (through the Deferred) the program could not be started.
        """


class Helper:
    """Runs one command at a time.

    :param home: the gateway's own directory.
    :param environ: environment of the program.
    :param program: command line of the program, without the words of a command.
    :param group: the first word of its commands.
    """

    def __init__(
        self,
        run: RunHelper,
        home: str,
        environ: Mapping[str, str],
        program: tuple[str, ...] = PROGRAM,
        group: str = "clients",
    ) -> None:
        self._run = run
        self._home = home
        self._program = program
        self._group = group
        self._env = {**environ, **_where_we_are(environ)}
        self._turn = DeferredLock()

    def ask(self, *words: str) -> Deferred[Any]:
        """Run a command when its turn has come; fires with its answer.

        :raise ClientFilesFailed: (through the Deferred) it has failed; the text says why.
        :raise Overloaded: (through the Deferred) too many commands wait already.
        """
        if len(self._turn.waiting) >= WAITING_LIMIT:
            return fail(Overloaded("too many commands wait for each other; try again in a minute"))
        argv = (*self._program, self._group, *words, "--home", self._home, "--json")
        launch = Launch(self._group, argv, self._env, self._home, is_heard=False)
        done: Deferred[Ran] = self._turn.run(self._run, launch, is_idle=False, limit_s=LIMIT_S)
        return done.addCallbacks(_answer, _not_started)


def _where_we_are(environ: Mapping[str, str]) -> dict[str, str]:
    # An isolated Python does not search a source checkout.
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    if os.path.basename(root) in ("site-packages", "dist-packages"):
        return {}
    former = environ.get("PYTHONPATH")
    return {"PYTHONPATH": os.pathsep.join((root, former) if former else (root,))}


def _answer(ran: Ran) -> Any:
    answer = _read(ran.output)
    if ran.code == 0 and answer is not None:
        return answer
    members = answer if isinstance(answer, dict) else {}
    why, hint = members.get("error") or members.get("rolled_back"), members.get("hint")
    if not isinstance(why, str) or not why:
        why = _last_line(ran)
    raise ClientFilesFailed(why, hint if isinstance(hint, str) else "")


def _read(output: str) -> Any:
    try:
        return msgspec.json.decode(output)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def _last_line(ran: Ran) -> str:
    if ran.code is None:
        return f"it took longer than {LIMIT_S:g} s, or said too much, and was ended"
    lines = [each.strip() for each in ran.complaint.splitlines() if each.strip()]
    return lines[-1][:SHOWN_CHARACTERS] if lines else f"it ended with exit code {ran.code}"


def _not_started(why: Failure) -> Any:
    why.trap(LaunchFailed)
    raise ClientFilesFailed(str(why.value)) from why.value
