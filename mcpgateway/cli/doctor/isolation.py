"""What the gateway takes for granted: that its home is its own, and that whoever is on this machine is its user."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress

from mcpgateway.cli.doctor.context import DoctorContext
from mcpgateway.cli.doctor.finding import Check, DoctorFinding, fine, note, problem, some
from mcpgateway.cli.doctor.other_gateways import homes_of_others
from mcpgateway.errors import ConfigError
from mcpgateway.system import home_files
from mcpgateway.system.process.procfs import name_of, pids

KEY, KEY_LIMIT = "sessions/key", 4096
MOUNTS = "mounts"
NETWORK = frozenset(
    ("nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "glusterfs", "fuse.sshfs", "fuse.rclone")
)
PROXIES = frozenset(
    ("nginx", "caddy", "haproxy", "traefik", "envoy", "apache2", "httpd", "lighttpd", "squid")
)
ESCAPE = re.compile(r"\\([0-7]{3})")  # of a space in /proc/mounts

COPIED = problem(
    "homes.key",
    "Another gateway's home has the same ``sessions/key``: it was copied, and each takes the other's sessions and"
    " references for its own.",
    "end one of the two, remove sessions/key from its home, and start it again; its sessions begin anew",
)
NETWORKED = note(
    "homes.network",
    "The home is on a file system that other machines may use, too. One home is for one gateway: its lock may not hold"
    " across machines, and two of them spoil each other's sessions and clients' files.",
    "give the gateway of each machine a home of its own: --home, or MCPGATEWAY_HOME",
)
PROXIED = note(
    "proxies.here",
    "A reverse proxy runs on this machine. Where it passes requests on to the gateway without saying for whom,"
    " everybody behind it is a program of this machine to the gateway, and needs no token.",
    "have it set X-Forwarded-For, or let every client need a token: mcpgateway token enable",
)


def homes(world: DoctorContext) -> Iterator[DoctorFinding]:
    """Whether this home is this gateway's alone."""
    own = _key(world.home)
    copied = [home for home in homes_of_others(world) if own and _key(home) == own]
    for home in copied:
        yield COPIED.found(f"{home} has the key of this home")
    kind = _file_system(world)
    if kind in NETWORK:
        yield NETWORKED.found(f"{world.home} is on a network file system ({kind})")
    if not copied and kind not in NETWORK:
        yield fine("homes", "the home is this gateway's alone")


def _key(home: str) -> bytes:
    with suppress(OSError, ConfigError):
        return home_files.read(os.path.join(home, KEY), KEY_LIMIT).strip()
    return b""


def _file_system(world: DoctorContext) -> str:
    """What the home is on; "" where that cannot be told."""
    home = os.path.realpath(world.home)
    found = ("", "")
    with (
        suppress(OSError),
        open(os.path.join(world.proc, MOUNTS), encoding="utf-8", errors="replace") as file,
    ):
        for line in file:
            words = line.split()
            if len(words) < 3:
                continue
            point = ESCAPE.sub(lambda each: chr(int(each[1], 8)), words[1])
            is_above = home == point or home.startswith(os.path.join(point, ""))
            if is_above and len(point) >= len(found[0]):
                found = (point, words[2])
    return found[1]


def proxies(world: DoctorContext) -> Iterator[DoctorFinding]:
    """Whether a reverse proxy runs here, whoever's it is."""
    found = sorted(_names(world.proc) & PROXIES)
    if found:
        yield PROXIED.found(f"{some(found)} runs on this machine")
    else:
        yield fine("proxies", "no reverse proxy runs on this machine")


def _names(proc: str) -> set[str]:
    return {name_of(pid, proc) for pid in pids(proc)}


CHECKS = (
    Check("homes", "whose the home is", homes, (COPIED, NETWORKED)),
    Check("proxies", "reverse proxies", proxies, (PROXIED,)),
)
