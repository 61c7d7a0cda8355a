"""The way in which this program was installed, and its newest release, as the index of its installer has it."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from importlib import metadata
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from mcpgateway import __version__
from mcpgateway.errors import ConfigError
from mcpgateway.hints import PROGRAM, cli

RECEIPTS = {"uv": "uv-receipt.toml", "pipx": "pipx_metadata.json"}
"""The files that tools leave in the environments that they make for one program."""

INSTALLER = "mcpgateway-installer"
"""The directory in which ``install.sh`` keeps itself and the wheel that it has installed."""

DEBIAN = "/usr/lib/mcpgateway"
"""The environment of the Debian package."""

CONTAINERS = ("/.dockerenv", "/run/.containerenv")
RELEASE = re.compile(rf"^(?: \+ |Would install (?:.* )?){PROGRAM}(?:==|-)(\S+)", re.MULTILINE)
"""The lines of uv and of pip that say what they would install."""

UNKNOWN = re.compile(
    rf"No matching distribution found for {PROGRAM}|{PROGRAM} was not found in the package registry"
)
"""The words of pip and of uv for a package that their index does not have."""

ASK_S = 60.0


class Installation(NamedTuple):
    """The installation of this program.

    :ivar by: ``install.sh``, ``apt``, ``uv``, ``pipx``, ``container``, ``checkout`` or ``pip``.
    :ivar command: the command that this program runs to upgrade it; empty where its user has to.
    :ivar advice: the way to upgrade it, for a person.
    :ivar variables: the variables that let the tool find the environment.
    :ivar removal: the command that removes it; empty where none does.
    :ivar directory: the directory that pip has installed it from; empty if it was another source, or another tool.
    """

    by: str
    command: tuple[str, ...]
    advice: str
    variables: Mapping[str, str]
    removal: str = ""
    directory: str = ""


def installation(prefix: str) -> Installation:
    """Return how this program was installed.

    :param prefix: the environment that it runs in.
    """
    if os.path.basename(kept := os.path.dirname(_source())) == INSTALLER:
        removal = f"sh {shlex.quote(os.path.join(kept, 'install.sh'))} --uninstall"
        return Installation("install.sh", (), "run install.sh of the new release", {}, removal)
    if prefix == DEBIAN:
        advice = f"sudo apt install ./mcpgateway_VERSION_ARCHITECTURE.deb, then {cli('restart')}"
        return Installation("apt", (), advice, {}, "sudo apt remove mcpgateway")
    name = os.path.basename(prefix)
    tools = os.path.dirname(prefix)
    for by, receipt in RECEIPTS.items():
        if os.path.exists(os.path.join(prefix, receipt)):
            command = ("uv", "tool", "upgrade", name) if by == "uv" else ("pipx", "upgrade", name)
            variables = {"UV_TOOL_DIR": tools} if by == "uv" else {"PIPX_HOME": os.path.dirname(tools)}
            removal = f"{'uv tool' if by == 'uv' else 'pipx'} uninstall {name}"
            return Installation(by, command, shlex.join(command), variables, removal)
    restart = cli("restart")
    if checkout := _checkout():
        return Installation("checkout", (), f"git -C {shlex.quote(checkout)} pull, then {restart}", {})
    if prefix == sys.base_prefix and any(map(os.path.exists, CONTAINERS)):
        return Installation("container", (), "build its image with the new release, and begin it anew", {})
    installer = (_text("INSTALLER") or "pip").strip()
    python = sys.executable
    tool = (
        ("uv", "pip", "install", "--python", python)
        if installer == "uv"
        else (python, "-m", "pip", "install")
    )
    way = shlex.join((*tool, "--upgrade", PROGRAM))
    directory = _source("dir_info")
    if directory:
        over = ["--reinstall"] if installer == "uv" else []
        way = f"git -C {shlex.quote(directory)} pull, then {shlex.join((*tool, *over, directory))}"
    removal = shlex.join((*(each if each != "install" else "uninstall" for each in tool), PROGRAM))
    return Installation("pip", (), f"{way}, then {restart}", {}, removal, directory)


def again(found: Installation, fixed: str) -> str:
    """Return how a program is upgraded that was installed from a directory, a file or a URL, or at one version.

    :param fixed: what the tool was told to install; see `fixed_to`.
    """
    if found.by not in RECEIPTS:
        return found.advice
    install = "uv tool install --force --reinstall" if found.by == "uv" else "pipx install --force"
    pull = f"git -C {shlex.quote(fixed)} pull, then " if os.path.isdir(fixed) else ""
    newer = PROGRAM if "==" in fixed else shlex.quote(fixed)
    return f"{pull}{install} {newer}, then {cli('restart')}"


def newest(found: Installation) -> str:
    """Return the newest release for this environment, as the index of its tool has it; "" if that has none.

    Nothing is installed.

    :raise ConfigError: the index cannot be asked.
    """
    is_by_uv = found.by == "uv" or found.advice.startswith("uv ") or _is_pipx_with_uv(sys.prefix)
    options = ["install", "--dry-run", "--upgrade", "--no-deps"]
    if is_by_uv:
        argv = ["uv", "pip", *options, "--refresh-package", PROGRAM, "--python", sys.executable, PROGRAM]
    elif found.by == "pipx":
        # pipx records arguments that begin with "install" as the new source of the program, even those of a dry run.
        argv = ["pipx", "runpip", os.path.basename(sys.prefix), "--no-input", *options, PROGRAM]
    else:
        argv = [sys.executable, "-m", "pip", *options, "--retries", "1", PROGRAM]
    release = _asked(argv, found)
    if release is None and not is_by_uv:
        # pip takes what is installed for the newest release where its index has none.
        return __version__ if _asked([*argv, "--ignore-installed"], found) != "" else ""
    return __version__ if release is None else release


def _asked(argv: list[str], found: Installation) -> str | None:
    """Return the release that a tool would install; None for no other, "" where its index has none.

    :raise ConfigError: the index cannot be asked.
    """
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=ASK_S,
            check=False,
            env={**os.environ, **found.variables},
        )
    except (OSError, subprocess.TimeoutExpired) as why:
        raise ConfigError(str(why)) from why
    if done.returncode and UNKNOWN.search(done.stderr) and "Retrying" not in done.stderr:
        return ""
    if done.returncode:
        lines = [each for each in done.stderr.splitlines() if each.strip()] or [
            f"exit code {done.returncode}"
        ]
        raise ConfigError(f"{shlex.join(argv[:3])}: {lines[-1].strip()}")
    release = RELEASE.search(f"{done.stdout}\n{done.stderr}")
    return release[1] if release else None


def _is_pipx_with_uv(prefix: str) -> bool:
    with (
        suppress(OSError, ValueError, AttributeError),
        open(os.path.join(prefix, RECEIPTS["pipx"]), "rb") as file,
    ):
        return bool(json.load(file).get("backend") == "uv")
    return False


def fixed_to(prefix: str) -> str:
    """Return the version, file or URL that uv or pipx was told to install; empty if any release will do.

    :param prefix: the environment that the program runs in.
    """
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError, StopIteration):
        if os.path.exists(path := os.path.join(prefix, RECEIPTS["uv"])):
            with open(path, "rb") as file:
                wanted = tomllib.load(file)["tool"]["requirements"]
            own = next(each for each in wanted if each["name"] == PROGRAM)
            places = ("path", "directory", "editable", "url", "git")
            specifier = str(own.get("specifier", ""))
            return next(
                (str(own[each]) for each in places if each in own), specifier if "==" in specifier else ""
            )
        with open(os.path.join(prefix, RECEIPTS["pipx"]), "rb") as file:
            told = str(json.load(file)["main_package"]["package_or_url"])
        return told.removeprefix(PROGRAM) if "==" in told else "" if "/" not in told else told
    return ""


def where(found: Installation) -> str:
    """Return where or by which tool the program was installed, as the rest of a sentence."""
    match found.by:
        case "container":
            return "into a container"
        case "checkout":
            return f"from the directory {_checkout()}"
        case "pip":
            return f"into the environment {sys.prefix}"
        case by:
            return f"by {by}"


def _checkout() -> str:
    """Return the checkout that the package lies in; empty if it was copied."""
    above = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
    return above if os.path.exists(os.path.join(above, ".git")) else ""


def _source(kind: str = "archive_info") -> str:
    """Return the file that the program was installed from, or the directory (``dir_info``); empty if it was neither."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        found = json.loads(_text("direct_url.json") or "{}")
        return unquote(urlsplit(found["url"]).path) if kind in found else ""
    return ""


def _text(name: str) -> str | None:
    try:
        return metadata.distribution(PROGRAM).read_text(name)
    except metadata.PackageNotFoundError:
        return None
