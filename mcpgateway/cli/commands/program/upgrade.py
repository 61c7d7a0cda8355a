"""Command that upgrades the program with the tool that has installed it, and restarts the gateway."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import click

from mcpgateway import __version__
from mcpgateway.cli.console import answer, fail, only_here, say, shortened, spinner
from mcpgateway.cli.context import Globals
from mcpgateway.cli.gateway_process import gateway_pid
from mcpgateway.cli.installation import RECEIPTS, Installation, again, fixed_to, installation, newest, where
from mcpgateway.errors import ConfigError
from mcpgateway.hints import PROGRAM, cli

VERSION = f"from importlib.metadata import version; print(version({PROGRAM!r}))"
UNKNOWN = "unknown"
UNCHANGED = "an upgrade would change nothing"


@click.command()
@click.option(
    "--check",
    "is_check",
    is_flag=True,
    help="Ask for the newest release, tell what would be done, change nothing.",
)
@click.pass_obj
def upgrade(globals_: Globals, *, is_check: bool) -> None:
    """Upgrade the program where uv or pipx has installed it, and restart the gateway; sessions are kept.

    Elsewhere the command says how the program is upgraded there, and ends with 1.
    """
    only_here(globals_, "upgrade")
    found = installation(sys.prefix)
    fixed = found.directory or (fixed_to(sys.prefix) if found.by in RECEIPTS else "")
    if is_check:
        _check(globals_, found, fixed)
        return
    if found.by not in RECEIPTS:
        fail(f"{PROGRAM} {__version__} was installed {where(found)}, and is upgraded there", found.advice)
    if fixed:
        fail(_fixed(found, fixed), again(found, fixed))
    if not shutil.which(found.command[0]):
        fail(f"{found.command[0]}, which has installed {PROGRAM}, is not on the PATH", found.advice)
    with spinner(shlex.join(found.command)):
        version = _upgraded(found)
    # This process has the modules of the former release: the new one restarts the gateway.
    is_restarted = version != __version__ and bool(gateway_pid(globals_.home))
    if is_restarted:
        with spinner("restarting the gateway"):
            _run([os.path.join(sys.prefix, "bin", PROGRAM), "--home", globals_.home, "restart"], os.environ)

    def tell() -> None:
        if version == __version__:
            say(f"{PROGRAM} {version} is the newest release that {found.by} finds.")
            return
        say(f"{PROGRAM} {__version__} is now {version}.")
        if is_restarted:
            say("The gateway runs it, with its sessions.")

    answer(globals_, _value(found, version, is_restarted=is_restarted), tell)


def _fixed(found: Installation, fixed: str) -> str:
    """Return the sentence that an installation stays as it is, since its tool was told what to install."""
    source = "the version" if "==" in fixed else "the directory" if os.path.isdir(fixed) else "the file"
    source = "the URL" if "://" in fixed else source
    return (
        f"{PROGRAM} {__version__} was installed {where(found)} from {source} {shortened(fixed)}, so {found.by} has no"
        " newer release of it"
    )


def _check(globals_: Globals, found: Installation, fixed: str) -> None:
    """Print which release is newest, and what an upgrade would do."""
    # What came from a directory, a file or a URL is upgraded from there, whatever an index has.
    release, news = _newest(found) if not fixed or "==" in fixed else ("", ())
    says = [
        f"{_fixed(found, fixed) if fixed else f'{PROGRAM} {__version__} was installed {where(found)}'}.",
        *news,
    ]
    if fixed:
        says.append(f"To upgrade it: {again(found, fixed)}")
    elif release == UNKNOWN:
        says.append("To upgrade it, install the file of a newer release, or the directory of a checkout.")
    elif release != __version__ and found.by in RECEIPTS:
        says.append(f"{cli('upgrade')} runs {found.advice}, and restarts the gateway if one runs.")
    elif release != __version__:
        says.append(f"To upgrade it: {found.advice}")
    value = _value(found, __version__, is_restarted=False)

    def tell() -> None:
        for each in says:
            say(each)

    answer(
        globals_, value | {"fixed_to": fixed or None, "newest": release if release != UNKNOWN else None}, tell
    )


def _newest(found: Installation) -> tuple[str, tuple[str, ...]]:
    """Return the newest release and sentences about it; `UNKNOWN` where the index has none, "" where none is asked."""
    if found.by in ("install.sh", "apt", "checkout", "container"):
        return "", ()
    try:
        with spinner("asking for the newest release"):
            release = newest(found)
    except ConfigError as why:
        return "", (f"The newest release is not known, since it could not be asked for: {why}",)
    if not release:
        return UNKNOWN, (f"The package index has no release of {PROGRAM}.",)
    if release == __version__:
        return release, (f"It is the newest release: {UNCHANGED}.",)
    return release, (f"The newest release is {release}.",)


def _upgraded(found: Installation) -> str:
    """Run the tool; return the version that is installed then.

    :raise Trouble: the tool has failed.
    """
    _run(list(found.command), {**os.environ, **found.variables})
    return _run([sys.executable, "-c", VERSION], os.environ).strip()


def _run(argv: list[str], environ: Mapping[str, str]) -> str:
    done = subprocess.run(
        argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environ, check=False
    )
    if done.returncode:
        fail(f"{shlex.join(argv)} ended with exit code {done.returncode}", done.stderr or done.stdout)
    return done.stdout


def _value(found: Installation, version: str, *, is_restarted: bool) -> dict[str, Any]:
    return {
        "installed_by": found.by,
        "upgrade": found.advice,
        "from": __version__,
        "version": version,
        "restarted": is_restarted,
    }
