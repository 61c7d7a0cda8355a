"""The extension of VS Code that a release carries, and its installation by the editor's own program."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping

from mcpgateway.errors import ConfigError
from mcpgateway.system.package_data import DATA

EXTENSION = os.path.join(DATA, "mcpgateway.vsix")
NAME = "mcpgateway.mcpgateway"
EDITORS = {"code": ".vscode", "code-insiders": ".vscode-insiders", "codium": ".vscode-oss"}
"""The programs of VS Code and its builds, and the directories of their users' extensions in the home."""
LIMIT_S = 120
"""The most that an editor may take, which starts a runtime of its own first."""


def can_be_offered(environ: Mapping[str, str], file: str = EXTENSION) -> bool:
    """Return whether the package carries the extension, and an editor is here that does not have it."""
    found = _editors(environ) if os.path.isfile(file) else {}
    return bool(found) and not any(_has(name, environ) for name in found)


def install(environ: Mapping[str, str], file: str = EXTENSION) -> list[str]:
    """Install the extension in every VS Code that is here, or bring it up to date; return their programs.

    :raise ConfigError: the package carries no extension, no VS Code is here, or one refuses.
    """
    if not os.path.isfile(file):
        raise ConfigError(
            "this copy of the package has no extension of VS Code",
            hint="a release has one; in a checkout, make vsix builds it",
        )
    if not (found := _editors(environ)):
        raise ConfigError(
            f"none of {', '.join(EDITORS)} is on the PATH",
            hint="in VS Code, \"Shell Command: Install 'code' command in PATH\" puts it there",
        )
    for name, program in found.items():
        argv = [program, "--install-extension", file, "--force"]
        try:
            done = subprocess.run(
                argv, env=dict(environ), check=False, capture_output=True, text=True, timeout=LIMIT_S
            )
        except (OSError, subprocess.TimeoutExpired) as why:
            raise ConfigError(f"{name} cannot install the extension: {why}") from why
        if done.returncode:
            last = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["it gives no reason"]
            raise ConfigError(f"{name} has not installed the extension: {last[0]}")
    return list(found)


def _editors(environ: Mapping[str, str]) -> dict[str, str]:
    path = environ.get("PATH", os.defpath)
    found = {name: shutil.which(name, path=path) for name in EDITORS}
    return {name: program for name, program in found.items() if program}


def _has(name: str, environ: Mapping[str, str]) -> bool:
    directory = os.path.join(environ.get("HOME", ""), EDITORS[name], "extensions")
    try:
        return any(each.startswith(f"{NAME}-") for each in os.listdir(directory))
    except OSError:
        return False
