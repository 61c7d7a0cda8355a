"""Facts on programs and packages, read from their files."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import stat
from contextlib import suppress
from typing import Any

MAGIC = (
    b"#!",
    b"\x7fELF",
    b"\xcf\xfa\xed\xfe",
    b"\xca\xfe\xba\xbe",
)  # scripts, Linux, macOS, macOS for two machines
MANIFEST_BYTES = 2**20
RECORD_BYTES = 16 * 2**20  # of an installer's record of a package's files, or of a directory's packages
CLIMB_LIMIT = 12  # directories between a program and the manifest of its package


def find_in(path: str, name: str) -> str:
    """Return the absolute path of a program in one of these directories; empty where it is in none."""
    absolute = os.pathsep.join(each for each in path.split(os.pathsep) if os.path.isabs(each))
    return (shutil.which(name, path=absolute) or "") if absolute else ""


def is_sound(program: str) -> bool:
    """True if a file can be executed directly, and only root and this user can change it."""
    try:
        with open(program, "rb") as stream:
            found = os.fstat(stream.fileno())
            begins = stream.read(4)
    except OSError:
        return False
    is_ours = found.st_uid in (0, os.geteuid()) and not found.st_mode & stat.S_IWOTH
    return (
        is_ours and stat.S_ISREG(found.st_mode) and os.access(program, os.X_OK) and begins.startswith(MAGIC)
    )


def node_manifest(directory: str, name: str) -> dict[str, Any]:
    """Return the ``package.json`` of a package below a ``node_modules``; empty where it cannot be read."""
    return _manifest(os.path.join(directory, *name.split("/"), "package.json"))


def node_version(program: str, name: str) -> str:
    """Return the version of the package of that name to which a program belongs; empty where unknown."""
    folder = os.path.realpath(program)
    for _ in range(CLIMB_LIMIT):
        folder = os.path.dirname(folder)
        manifest = _manifest(os.path.join(folder, "package.json"))
        if manifest.get("name") == name:
            version = manifest.get("version")
            return version if isinstance(version, str) else ""
    return ""


def node_integrity(program: str, name: str) -> str:
    """Return the ``dist.integrity`` of the package of a program in a ``.bin``, as npm has checked it; else empty."""
    packages = _manifest(f"{os.path.dirname(os.path.dirname(program))}/.package-lock.json", RECORD_BYTES)
    listed = packages.get("packages")
    found = listed.get(f"node_modules/{name}") if isinstance(listed, dict) else None
    integrity = found.get("integrity") if isinstance(found, dict) else None
    return integrity if isinstance(integrity, str) else ""


def _manifest(path: str, limit: int = MANIFEST_BYTES) -> dict[str, Any]:
    with suppress(OSError, ValueError), open(path, "rb") as stream:
        found = json.loads(stream.read(limit))
        if isinstance(found, dict):
            return found
    return {}


def python_version(program: str, name: str) -> str:
    """Return the version of a distribution in the environment of a program in its ``bin``; empty where unknown."""
    return _distribution(program, name)[1]


def python_integrity(program: str, name: str) -> str:
    """Return a digest of the files of a distribution, from its ``RECORD``; empty where unknown.

    Files that differ between two installations of one wheel do not count: scripts, and the notes of installers.
    """
    folder, _ = _distribution(program, name)
    with suppress(OSError), open(os.path.join(folder, "RECORD"), "rb") as stream:
        own = os.path.basename(folder).encode()
        listed = sorted(stream.read(RECORD_BYTES).splitlines())
        fixed = [each for each in listed if each.startswith(own + b"/METADATA") or not _varies(each, own)]
        return "sha256-" + hashlib.sha256(b"\n".join(fixed)).hexdigest() if fixed else ""
    return ""


def _varies(line: bytes, own: bytes) -> bool:
    return line.startswith((b"../", own + b"/")) or b".pyc," in line


def _distribution(program: str, name: str) -> tuple[str, str]:
    """Return the ``dist-info`` of a distribution in the environment of a program, and its version; empty for none."""
    wanted = re.sub(r"[-_.]+", "_", name).lower()
    for folder in _site_packages(program):
        for each in _listed(folder):
            found, _, version = each.removesuffix(".dist-info").rpartition("-")
            if each.endswith(".dist-info") and re.sub(r"[-_.]+", "_", found).lower() == wanted:
                return os.path.join(folder, each), version
    return "", ""


def has_entry_points(program: str, group: str) -> bool:
    """True if any distribution in the environment of a program declares entry points of a group."""
    for folder in _site_packages(program):
        for each in _listed(folder):
            with suppress(OSError), open(os.path.join(folder, each, "entry_points.txt"), "rb") as stream:
                if f"[{group}]".encode() in stream.read(MANIFEST_BYTES):
                    return True
    return False


def _site_packages(program: str) -> list[str]:
    library = os.path.join(os.path.dirname(os.path.dirname(program)), "lib")
    pythons = [each for each in _listed(library) if each.startswith(("python", "pypy"))]
    return [os.path.join(library, each, "site-packages") for each in pythons]


def _listed(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []
