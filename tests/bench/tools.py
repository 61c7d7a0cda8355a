"""Programs that a run needs beside Python: a compiled child, the other gateways, wrk."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from attrs import frozen

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CACHE = ROOT / "build" / "bench"
NPM_PACKAGES = {"immorterm-mcp-gateway": "0.1.4", "supergateway": "4.0.0", "mcp-proxy": "6.7.19"}
INSTALL_LIMIT_S = 180


class MissingTool(Exception):
    """Something has to be installed first; the text says how."""


@frozen
class Tools:
    """Where everything is.

    :ivar child: the compiled stdio server.
    :ivar npm: the folder whose ``node_modules`` holds the other gateways, or why there is none.
    :ivar wrk: the load generator; without it the driver makes the load.
    """

    child: Path
    npm: Path | str
    wrk: str | None


def prepare(*, with_npm: bool) -> Tools:
    """Build and install what is missing, under a folder that git ignores."""
    CACHE.mkdir(parents=True, exist_ok=True)
    return Tools(
        _compiled_child(),
        npm_packages(CACHE / "npm", NPM_PACKAGES) if with_npm else "not asked for",
        shutil.which("wrk"),
    )


def _compiled_child() -> Path:
    source, program = HERE / "mcpchild.c", CACHE / "mcpchild"
    if program.exists() and program.stat().st_mtime >= source.stat().st_mtime:
        return program
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise MissingTool("A C compiler is needed: apt-get install gcc libc6-dev, or xcode-select --install.")
    subprocess.run([compiler, "-O2", "-Wall", "-o", str(program), str(source)], check=True)
    return program


def npm_packages(folder: Path, packages: Mapping[str, str]) -> Path | str:
    """The folder, once its ``node_modules`` holds the packages in their versions; or why they are not there."""
    if all(_installed(folder, name) == version for name, version in packages.items()):
        return folder
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        return "node and npm are not installed (apt-get install nodejs npm, or https://nodejs.org)"
    folder.mkdir(parents=True, exist_ok=True)
    wanted = [f"{name}@{version}" for name, version in packages.items()]
    argv = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error", *wanted]
    try:
        subprocess.run(argv, cwd=folder, check=True, capture_output=True, text=True, timeout=INSTALL_LIMIT_S)
    except (subprocess.SubprocessError, OSError) as why:
        return f"npm could not install them: {getattr(why, 'stderr', '') or why}"[:400]
    return folder


def _installed(folder: Path, name: str) -> str:
    manifest = folder / "node_modules" / name / "package.json"
    if not manifest.exists():
        return ""
    marker = '"version": "'
    text = manifest.read_text(encoding="utf-8")
    return text.split(marker, 1)[1].split('"', 1)[0] if marker in text else ""
