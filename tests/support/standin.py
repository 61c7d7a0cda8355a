"""A wheel of a few lines in place of a release's, for tests of its installer alone."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

MODULE = """
import sys, os
VERSION = "{version}"
def main():
    with open(os.path.expanduser("~/asked"), "a") as file:
        print(*sys.argv[1:], file=file)
    if sys.argv[1:] == ["--version"]:
        print("mcpgateway", VERSION)
    is_there = lambda name: os.path.exists(os.path.expanduser("~/" + name))
    if "status" in sys.argv:
        return 0 if is_there("runs") else 1
    return 1 if is_there("cannot restore") and "uninstall" in sys.argv else 0
"""
PROGRAMS = ("mcpgateway", "mcpg", "mcp-ctl", "mcp-gateway")


def write_release(folder: Path, version: str, needs: str = "") -> Path:
    """Write the wheel of a release and its checksums; return the wheel.

    Its program writes each of its command lines to ``~/asked``, cannot uninstall where ``~/cannot restore`` is, and
    says that its gateway runs where ``~/runs`` is.

    :param needs: the name of a package that it depends on.
    """
    folder.mkdir(exist_ok=True)
    wheel = folder / f"mcpgateway-{version}-py3-none-any.whl"
    info = f"mcpgateway-{version}.dist-info"
    scripts = "".join(f"{each} = mcpgateway:main\n" for each in PROGRAMS)
    files = {
        "mcpgateway.py": MODULE.format(version=version),
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: mcpgateway\nVersion: {version}\n"
        + (f"Requires-Dist: {needs}\n" if needs else ""),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{scripts}",
    }
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
        archive.writestr(f"{info}/RECORD", "".join(f"{each},,\n" for each in (*files, f"{info}/RECORD")))
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    with (folder / "checksums.txt").open("a") as file:
        file.write(f"{digest}  {wheel.name}\n")
    return wheel
