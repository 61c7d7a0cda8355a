"""The files of the gateway as a service of its user: their names and places, and the seal that marks them."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Mapping

from mcpgateway.hints import cli
from mcpgateway.system import files, paths

SERVICE, DEADMAN = "mcpgateway", "mcpgateway-deadman"
SYSTEMD = (f"{SERVICE}.service", f"{DEADMAN}.service", f"{DEADMAN}.timer")
LAUNCHD = (f"{SERVICE}.plist", f"{DEADMAN}.plist")
WRITTEN = f"Written by {cli('service install')}: "
SEAL = re.compile(rf"\n(?:# |<!-- ){WRITTEN}(\w{{16}})/(\w{{64}})(?: -->)?\n\Z")
UNIT_LIMIT = 1_048_576


def systemd_directory(environ: Mapping[str, str]) -> str:
    """Return the directory in which a user's systemd looks for services."""
    base = environ.get("XDG_CONFIG_HOME") or os.path.join(paths.user_home(environ), ".config")
    return os.path.join(base, "systemd", "user")


def launchd_directory(environ: Mapping[str, str]) -> str:
    """Return the directory in which launchd looks for agents of a user."""
    return os.path.join(paths.user_home(environ), "Library", "LaunchAgents")


def has_service(home: str, environ: Mapping[str, str], platform: str = sys.platform) -> bool:
    """Return whether the gateway of a home is installed as a service, which starts it at every login.

    :param platform: value of `sys.platform`.
    """
    try:
        text = unit_text(service_file(environ, platform))
    except (OSError, ValueError):
        return False  # nothing that cannot be read is relied on
    return text is not None and serves(text, home)


def service_file(environ: Mapping[str, str], platform: str = sys.platform) -> str:
    """Return the path of the file by which the user's service manager starts the gateway."""
    if platform == "darwin":
        return os.path.join(launchd_directory(environ), LAUNCHD[0])
    return os.path.join(systemd_directory(environ), SYSTEMD[0])


def unit_text(path: str) -> str | None:
    """Return the text of a file; None where it does not exist."""
    try:
        data = files.read_bytes(path, UNIT_LIMIT)
    except FileNotFoundError:
        return None
    return data.decode(errors="replace")


def sealed(path: str, text: str, home: str) -> str:
    """Return the text of a file with the seal at its end."""
    seal = f"{WRITTEN}{_home_mark(home)}/{_digest(text)}"
    return f"{text}<!-- {seal} -->\n" if path.endswith(".plist") else f"{text}# {seal}\n"


def is_ours(text: str) -> bool:
    """Return whether a file was written by this program, and not changed since."""
    found = SEAL.search(text)
    return found is not None and found[2] == _digest(text[: found.start()] + "\n")


def serves(text: str, home: str) -> bool:
    """Return whether a file of this program's is for this home; a file without a seal is for any."""
    found = SEAL.search(text)
    return found is None or found[1] == _home_mark(home)


def _home_mark(home: str) -> str:
    return _digest(home)[:16]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()
