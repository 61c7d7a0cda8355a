"""A Debian with nothing in it but Python, in a folder; commands in it see the files of this folder only."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

LIMIT_S = 1500.0
MIRROR = "http://deb.debian.org/debian"
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
# Mounts and processes of a command end with it.
ENTER = """
set -e
mount --make-rprivate /
mount --rbind /dev "$1/dev"
mount -t proc proc "$1/proc"
mount --rbind /sys "$1/sys"
eval "$2"
shift 2
exec chroot "$@"
"""


class BareDebian:
    """A Debian, with what each of its tests has put in it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @classmethod
    def made(cls, root: Path, *packages: str) -> BareDebian:
        """Make it, with these packages beside those that every Debian has."""
        argv = ["debootstrap", "--variant=minbase", f"--include={','.join(packages)}", "bookworm", str(root)]
        done = subprocess.run([*argv, MIRROR], check=False, capture_output=True, text=True, timeout=LIMIT_S)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        made = cls(root)
        for name in ("/etc/resolv.conf", CERTIFICATES):
            made.put(Path(name), name)
        return made

    def copy(self, root: Path) -> BareDebian:
        """Return another one with the same files."""
        subprocess.run(["cp", "--archive", "--reflink=auto", self.root, root], check=True, timeout=LIMIT_S)
        return BareDebian(root)

    def put(self, source: Path, name: str) -> Path:
        """Copy a file or a folder of this machine into it."""
        target = self.root / name.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("node_modules"))
        else:
            shutil.copy(source, target)
        return target

    def ran(
        self, script: str, *, options: tuple[str, ...] = (), mounts: str = "", **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a script of sh in it; what it leaves running ends with it.

        :param options: options of chroot.
        :param mounts: commands of sh for further mounts; ``$1`` is the root.
        """
        environ = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/root",
            "LANG": "C.UTF-8",
            "DEBIAN_FRONTEND": "noninteractive",
            **dict.fromkeys(("PIP_CERT", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS"), CERTIFICATES),
            **{name: os.environ[name] for name in ("http_proxy", "https_proxy") if name in os.environ},
            **variables,
        }
        argv = [
            "unshare",
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "sh",
            "-c",
            ENTER,
            "sh",
            self.root,
            mounts,
        ]
        return subprocess.run(
            [*argv, *options, self.root, "/bin/sh", "-c", f"set -eu\n{script}"],
            env=environ,
            check=False,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            stdin=subprocess.DEVNULL,
        )
