"""Accounts of this machine, each with a home of its own; only root makes them."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Self

LIMIT_S = 600.0
KEPT = ("PIP_", "UV_", "SSL_", "REQUESTS_")  # variables by which a machine reaches its package index
LOOPBACK = 'ip link set lo up && exec "$@"'


class LinuxAccount:
    """A new account.

    :ivar home: its home, with a space in its name.
    """

    def __init__(self, shell: str, programs: Path) -> None:
        self._name = f"mcpg{secrets.token_hex(4)}"
        self._folder = Path("/home") / self._name
        self.home = self._folder / "a home"
        self._shell = shutil.which(shell) or shell
        self._programs = programs

    def __enter__(self) -> Self:
        self._folder.mkdir(mode=0o755)
        options = ["--create-home", "--home-dir", str(self.home), "--shell", self._shell]
        subprocess.run(["useradd", *options, self._name], check=True, capture_output=True, timeout=60)
        return self

    def __exit__(self, *why: object) -> None:
        for pid in self.processes():
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        subprocess.run(["userdel", "--force", self._name], check=False, capture_output=True, timeout=60)
        shutil.rmtree(self._folder, ignore_errors=True)

    def processes(self) -> list[int]:
        """Return its processes."""
        owner = self._folder.stat().st_uid if not self.home.exists() else self.home.stat().st_uid
        found = []
        for each in Path("/proc").iterdir():
            with suppress(OSError, ValueError):
                if each.stat().st_uid == owner:
                    found.append(int(each.name))
        return found if owner else []

    def ran(self, *argv: str | Path, has_network: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a program as the account's user, in its home."""
        kept = [f"{name}={value}" for name, value in os.environ.items() if name.startswith(KEPT)]
        own = [f"HOME={self.home}", f"SHELL={self._shell}", f"PATH={self._programs}", "LANG=C.UTF-8"]
        away = [] if has_network else ["unshare", "--net", "sh", "-c", LOOPBACK, "sh"]
        return subprocess.run(
            [*away, "runuser", "-u", self._name, "--", "env", "-i", *own, *kept, *argv],
            cwd=self.home,
            check=False,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            stdin=subprocess.DEVNULL,
        )

    def shell(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in a new shell of the user's, as it starts on a terminal or at a login."""
        options = "-ic" if self._shell.endswith("zsh") else "-lc"
        return self.ran(self._shell, options, command)

    def write(self, name: str, content: bytes) -> Path:
        """Write a file of the user's."""
        path = self.home / name
        missing = [each for each in path.parents if not each.exists()]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        owner = self.home.stat()
        for each in (*missing, path):
            os.chown(each, owner.st_uid, owner.st_gid)
        return path

    def files(self) -> dict[str, bytes]:
        """Every file of the home, without what tools keep to be quicker."""
        found = (each for each in self.home.rglob("*") if each.is_file() and not each.is_symlink())
        return {
            str(path): each.read_bytes()
            for each in found
            if (path := each.relative_to(self.home)).parts[0] != ".cache"
        }
