"""A systemd for tests: the user's manager itself, in mounts and a control group of its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Self

from tests.support import forkserver
from tests.support.gateway import BIN, LIMIT_S

SYSTEMD = "/lib/systemd/systemd"
BEGIN_S = 60.0
# The manager wants a machine that was booted with systemd, and the one hierarchy of control groups.
SCRIPT = """
umount -lR /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup || exit 1
mkdir -p /run/systemd && mount -t tmpfs tmpfs /run/systemd && mkdir -p /run/systemd/system || exit 1
mkdir /sys/fs/cgroup/$1 && echo $$ > /sys/fs/cgroup/$1/cgroup.procs || exit 1
exec {systemd} --user --log-target=console
"""


class Unavailable(Exception):
    """No such manager can be started here; the text says why."""


class UserSystemd:
    """The systemd of a user whose home is empty.

    :ivar user: that home.
    """

    def __init__(self) -> None:
        # Sockets have short paths.
        self._directory = Path(tempfile.mkdtemp(prefix="mcpgateway-systemd-", dir="/tmp"))
        self.user = self._directory / "home"
        self._runtime = self._directory / "run"
        for each in (self.user, self._runtime):
            each.mkdir(mode=0o700)
        self._log = self._directory / "log"
        self._group = self._directory.name
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def environ(self) -> dict[str, str]:
        """The environment of the user's shell."""
        return {
            **self._bare,
            "PATH": f"{BIN}:/usr/local/bin:/usr/bin:/bin",
            "SHLVL": "1",
            "TERM": "dumb",
            "LOGIN_MARK": "kept",
        }

    @property
    def _bare(self) -> dict[str, str]:
        return {
            "HOME": str(self.user),
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "XDG_RUNTIME_DIR": str(self._runtime),
        }

    @property
    def log(self) -> str:
        """The text of its log."""
        return self._log.read_text(errors="replace")

    def run(self, *argv: str, check: bool = True) -> str:
        """Run a command in the user's shell; its output."""
        program = shutil.which(argv[0], path=self.environ["PATH"]) or argv[0]
        done = forkserver.ran(
            [program, *argv[1:]], env=self.environ, cwd=self.user, has_ended=False, limit_s=3 * LIMIT_S
        )
        assert done.returncode == 0 or not check, (done, self.log)
        return done.stdout

    def property(self, unit: str, name: str) -> str:
        """Return the properties of a unit."""
        return self.run("systemctl", "--user", "show", f"--property={name}", "--value", unit).strip()

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _start(self) -> None:
        if os.geteuid() != 0:
            raise Unavailable("only root can give it mounts of its own")
        if not (os.path.exists(SYSTEMD) and shutil.which("systemctl") and shutil.which("unshare")):
            raise Unavailable("systemd is not installed")
        argv = ["unshare", "--mount", "--propagation", "private", "sh", "-c", SCRIPT.format(systemd=SYSTEMD)]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*argv, "sh", self._group],
                env=self._bare,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
            )
        ends = time.monotonic() + BEGIN_S
        while subprocess.run(
            ["systemctl", "--user", "show-environment"], env=self.environ, capture_output=True, check=False
        ).returncode:
            if self._process.poll() is not None or time.monotonic() > ends:
                raise Unavailable(f"it does not start here: {self.log.strip()}")
            time.sleep(0.05)

    def __exit__(self, *why: object) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(LIMIT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._clear_group()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _clear_group(self) -> None:
        # What it leaves, if it was killed, is in its control group, wherever that is mounted here.
        for base in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified"):
            top = Path(base) / self._group
            if not top.is_dir():
                continue
            for procs in top.rglob("cgroup.procs"):
                for pid in procs.read_text().split():
                    with suppress(OSError):
                        os.kill(int(pid), signal.SIGKILL)
            ends = time.monotonic() + LIMIT_S
            while top.is_dir() and time.monotonic() < ends:
                for group in sorted((each for each in top.rglob("*") if each.is_dir()), reverse=True):
                    with suppress(OSError):
                        group.rmdir()
                with suppress(OSError):
                    top.rmdir()
                time.sleep(0.02)
