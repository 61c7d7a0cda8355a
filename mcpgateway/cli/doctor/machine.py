"""Checks of the machine: its clock, limits and disk; homes of other gateways and reverse proxies on it."""

from __future__ import annotations

import os
import re
import resource
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime

from mcpgateway.cli.doctor.context import DoctorContext
from mcpgateway.cli.doctor.finding import Check, DoctorFinding, counted, fine, note, problem, some
from mcpgateway.cli.doctor.other_gateways import homes_of_others
from mcpgateway.errors import ConfigError
from mcpgateway.hints import cli
from mcpgateway.system import home_files
from mcpgateway.system.process.procfs import name_of, pids
from mcpgateway.units import MB, duration, size

SLACK_S = 120.0
FILES_NEEDED = 4096  # one for each connection of a client, three for each child
TASKS_SPARE = 200  # a few node processes have as many threads
INSTANCES_SPARE = 8
DISK_MB = 100
FREE_FILES = 1000
KEY, KEY_LIMIT = "sessions/key", 4096
MOUNTS = "mounts"
NETWORK = frozenset(
    ("nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "glusterfs", "fuse.sshfs", "fuse.rclone")
)
PROXIES = frozenset(
    ("nginx", "caddy", "haproxy", "traefik", "envoy", "apache2", "httpd", "lighttpd", "squid")
)
ESCAPE = re.compile(r"\\([0-7]{3})")  # of a space in /proc/mounts

FUTURE = problem(
    "clock.future",
    "Files of the gateway are dated in the future: the clock was put back, or was wrong when they were written.",
    "set the clock; what is dated in the future never grows old",
)
JUMPED = note(
    "clock.jumped",
    "The clock was put forward, or the machine slept, since the gateway was started.",
    f"nothing, if it slept; else {cli('restart')}",
)


def clock(world: DoctorContext) -> Iterator[DoctorFinding]:
    """Check that the clock is plausible."""
    late = [each for each in _dated(world) if each[1] - world.now > SLACK_S]
    if late:
        yield FUTURE.found(f"dated in the future: {some(os.path.basename(path) for path, _ in late)}")
    drift = _drift(world)
    if drift < -SLACK_S:
        yield FUTURE.found("the gateway says that it was started in the future")
    elif drift > SLACK_S:
        yield JUMPED.found(f"{duration(drift)} are missing between the gateway's start and now")
    if not late and abs(drift) <= SLACK_S:
        yield fine("clock", "the clock agrees with the files")


def _dated(world: DoctorContext) -> Iterator[tuple[str, float]]:
    for directory in (world.home, world.in_home("catalogs"), world.in_home("ledger")):
        with suppress(OSError), os.scandir(directory) as found:
            for each in found:
                yield each.path, each.stat(follow_symlinks=False).st_mtime


def _drift(world: DoctorContext) -> float:
    """Return the seconds by which the clock has advanced more than the gateway's monotonic time."""
    body = world.socket.body
    try:
        started = datetime.fromisoformat(body["started_at"]).timestamp()
        return world.now - started - float(body["uptime_seconds"])
    except (KeyError, TypeError, ValueError):
        return 0.0


FEW_FILES = problem(
    "limits.files",
    f"A process may open fewer than {FILES_NEEDED} files; the gateway needs one for each connection.",
    "ulimit -Hn, /etc/security/limits.conf, or LimitNOFILE= of its systemd unit",
)
FEW_TASKS = problem(
    "limits.processes",
    "The user may start hardly any more processes.",
    f"end what is not needed, or raise ulimit -u; {cli('doctor')} lists servers that run twice",
)


def limits(world: DoctorContext) -> Iterator[DoctorFinding]:
    """Check that the limits of processes are high enough."""
    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    tasks, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    used = _tasks(world) if tasks != resource.RLIM_INFINITY else 0
    few_files = files not in (resource.RLIM_INFINITY, -1) and files < FILES_NEEDED
    few_tasks = tasks != resource.RLIM_INFINITY and tasks - used < TASKS_SPARE and os.geteuid() != 0
    if few_files:
        yield FEW_FILES.found(f"a process may open {files} files")
    if few_tasks:
        yield FEW_TASKS.found(f"{used} of {tasks} processes and threads run")
    if not few_files and not few_tasks:
        yield fine("limits", f"limits: {_limit(files)} files, {_limit(tasks)} processes")


def _limit(number: int) -> str:
    return "any number of" if number in (resource.RLIM_INFINITY, -1) else str(number)


def _tasks(world: DoctorContext) -> int:
    found = 0
    for each in world.programs:
        with suppress(OSError):
            found += len(os.listdir(f"{world.proc}/{each.pid}/task"))
    return found


FEW_INSTANCES = problem(
    "inotify.instances",
    "Hardly any more programs of the user can watch files: changes are noticed by looking once a second.",
    "sysctl fs.inotify.max_user_instances=512",
)


def inotify(world: DoctorContext) -> Iterator[DoctorFinding]:
    """Check that files can be watched."""
    most = _kernel(world, "max_user_instances")
    if most is None:
        yield fine("inotify", "no inotify here: files are looked at every second")
        return
    used = sum(_watchers(world, each.pid) for each in world.programs)
    if most - used < INSTANCES_SPARE:
        yield FEW_INSTANCES.found(f"{used} of {most} inotify instances are in use")
    else:
        yield fine("inotify", f"inotify: {used} of {most} instances in use")


def _kernel(world: DoctorContext, name: str) -> int | None:
    try:
        with open(f"{world.proc}/sys/fs/inotify/{name}") as file:
            return int(file.read())
    except (OSError, ValueError):
        return None


def _watchers(world: DoctorContext, pid: int) -> int:
    found = 0
    directory = f"{world.proc}/{pid}/fd"
    with suppress(OSError):
        for name in os.listdir(directory):
            with suppress(OSError):
                found += os.readlink(f"{directory}/{name}") == "anon_inode:inotify"
    return found


FULL = problem(
    "disk.full",
    f"Less than {DISK_MB} MB or {FREE_FILES} files are free where the gateway or a client keeps its files.",
    "make room; nothing can be written safely before",
)


def disk(world: DoctorContext) -> Iterator[DoctorFinding]:
    """Check the free space of the file systems in use."""
    seen: dict[int, str] = {}
    for path in (world.home, world.user_home):
        with suppress(OSError):
            seen.setdefault(os.stat(path).st_dev, path)
    is_full = False
    free = []
    for path in seen.values():
        found = os.statvfs(path)
        room = found.f_bavail * found.f_frsize
        free.append(f"{size(room)} at {path}")
        if room < DISK_MB * MB or (found.f_files and found.f_favail < FREE_FILES):
            is_full = True
            yield FULL.found(f"{path}: {size(room)} and {counted(found.f_favail, 'file')} are free")
    if not is_full:
        yield fine("disk", f"room: {', '.join(free) or 'unknown'}")


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
    f"have it set X-Forwarded-For, or let every client need a token: {cli('token enable')}",
)


def homes(world: DoctorContext) -> Iterator[DoctorFinding]:
    """Check that no other gateway uses this home."""
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
    """Return the type of the home's file system; "" if it is unknown."""
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
    """Check if a reverse proxy of any user runs on this machine."""
    found = sorted(_names(world.proc) & PROXIES)
    settings = world.examined.settings
    if settings is not None and settings.gateway.auth_mcp_transport == "bearer-required":
        return  # everybody needs a token, whoever passes the request on
    if found:
        yield PROXIED.found(f"{some(found)} runs on this machine")
    else:
        yield fine("proxies", "no reverse proxy runs on this machine")


def _names(proc: str) -> set[str]:
    return {name_of(pid, proc) for pid in pids(proc)}


CHECKS = (
    Check("clock", "the clock", clock, (FUTURE, JUMPED)),
    Check("limits", "limits of processes", limits, (FEW_FILES, FEW_TASKS)),
    Check("inotify", "watching files", inotify, (FEW_INSTANCES,)),
    Check("disk", "room on the disk", disk, (FULL,)),
)
LAST = (
    Check("homes", "whose the home is", homes, (COPIED, NETWORKED)),
    Check("proxies", "reverse proxies", proxies, (PROXIED,)),
)
