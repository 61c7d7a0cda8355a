"""Programs on a terminal of their own, as a person sees them and types."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support import forkserver
from tests.support.gateway import LIMIT_S

COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """A program on a pseudo-terminal, which also answers at /dev/tty."""

    def __init__(
        self, argv: Sequence[str], environ: Mapping[str, str], directory: Path | None = None
    ) -> None:
        # A pager would wait for keys, and hints repeat a home that the environment does not name.
        home = argv[argv.index("--home") + 1] if "--home" in argv else ""
        environ = {"MCPGATEWAY_PAGER": "", "MCPGATEWAY_HOME": home, **environ}
        self._shown = b""
        self._answered = 0
        self._end = time.monotonic() + LIMIT_S
        self._forked: forkserver.Forked | None = None
        if forkserver.can_fork(argv, environ):
            self._terminal, theirs = os.openpty()
            self._forked = forkserver.server().start(argv, environ, directory or Path.cwd(), (theirs,) * 3)
            os.close(theirs)
            self._pid = self._forked.pid
            return
        self._pid, self._terminal = pty.fork()
        if self._pid == 0:
            try:
                os.chdir(directory or ".")
                os.execve(argv[0], argv, environ)
            finally:
                os._exit(127)

    @property
    def screen(self) -> str:
        """The output and the echo of the keys so far, colours and all."""
        return self._shown.decode(errors="replace").replace("\r\n", "\n")

    @property
    def text(self) -> str:
        """The screen without colours."""
        return COLOURS.sub("", self.screen)

    @property
    def is_waiting(self) -> bool:
        """True if the program sleeps, as it does when it reads keys; one pressed before might not wake it."""
        return Path(f"/proc/{self._pid}/stat").read_text().rpartition(")")[2].split()[0] == "S"

    def shows(self, pattern: str) -> bool:
        """Wait for a text after the latest keys; False if the program ends without it."""
        while not re.search(pattern, self.text[self._answered :]):
            if not self._read():
                return False
        return True

    def type(self, keys: str) -> None:
        """Press keys, at once."""
        self._answered = len(self.text)
        os.write(self._terminal, keys.encode())

    def ended(self) -> int:
        """Wait for the end of the program, and return its exit code."""
        while self._read():
            pass
        os.close(self._terminal)
        if self._forked is not None:
            return self._forked.wait(LIMIT_S)
        return os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])

    def _read(self) -> bool:
        if not select.select([self._terminal], [], [], max(self._end - time.monotonic(), 0))[0]:
            os.kill(self._pid, signal.SIGKILL)
            raise AssertionError(f"neither an end nor more output after {self.text}")
        try:
            piece = os.read(self._terminal, 65536)
        except OSError:
            return False  # Linux reports the end of a terminal so
        self._shown += piece
        return bool(piece)


def on_a_terminal(
    argv: Sequence[str], environ: Mapping[str, str], directory: Path | None = None, *, keys: str = ""
) -> tuple[int, str]:
    """Run a program to its end; its exit code, and the screen.

    :param keys: what is typed before the program asks.
    """
    terminal = Terminal(argv, environ, directory)
    terminal.type(keys)
    return terminal.ended(), terminal.screen
