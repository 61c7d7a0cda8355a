"""Checks of the gateway's own files: their modes, locks and sizes, and leftovers."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from mcpgateway.cli.doctor.context import DoctorContext
from mcpgateway.cli.doctor.finding import Check, DoctorFinding, Repair, counted, fine, note, problem, some
from mcpgateway.errors import ConfigError, GatewayError
from mcpgateway.hints import cli
from mcpgateway.policy import recorded_answers
from mcpgateway.policy.recorded_answers import NewerListFormat
from mcpgateway.shim.startup import LOCK, STOPPED, WANTED
from mcpgateway.system.daemon_locks import DIRECTORY, LOCK_BYTES, read_lock, runs
from mcpgateway.system.files import read_text
from mcpgateway.system.launch.cache import BYTES_LIMIT as CACHE_BYTES
from mcpgateway.system.launch.cache import FILE as CACHE
from mcpgateway.system.paths import immorterm_classification
from mcpgateway.system.process.procfs import is_alive
from mcpgateway.system.token_files import CHARACTERS
from mcpgateway.units import MB, size

FILES_LIMIT = 20_000  # entries of the home that are examined
OTHERS = 0o077
LOGS_MB = 50
ABANDONED_S = 3600.0
WEEK_S = 7 * 24 * 3600
TEMPORARY = re.compile(rf"\.(?:.+\.(?P<pid>\d+)\.[0-9a-f]{{12}}|(?:{WANTED}|{STOPPED})\.(?P<starter>\d+))")


MISSING = note("home.missing", "The gateway was never started from this home.", cli("start"))
FOREIGN = problem(
    "home.foreign", "The home belongs to another user.", "choose another one: --home, MCPGATEWAY_HOME"
)
READ_ONLY = problem(
    "home.unwritable",
    "Nothing can be written to the home.",
    "look at its mode, and whether the disk is read-only",
)


def home(world: DoctorContext) -> Iterator[DoctorFinding]:
    """Check that the home can be used."""
    try:
        found = os.stat(world.home)
    except OSError as why:
        if isinstance(why, FileNotFoundError):
            yield MISSING.found(f"{world.home} is not there yet")
        else:
            yield READ_ONLY.found(f"{world.home}: {why.strerror}")
        return
    if found.st_uid != os.geteuid():
        yield FOREIGN.found(f"{world.home} belongs to another user (uid {found.st_uid})")
    elif not stat.S_ISDIR(found.st_mode) or not os.access(world.home, os.W_OK | os.X_OK):
        yield READ_ONLY.found(f"{world.home} cannot be written to")
    else:
        yield fine("home", f"the home is {world.home}")


OPEN = problem(
    "permissions.open",
    "Other users can enter the gateway's directory, or read its secrets.",
    f"{cli('doctor --fix')} takes their rights away: 0700 for directories, 0600 for files",
    undo="chmod gives rights back, as in chmod g+rx DIRECTORY",
)
LOOSE = note(
    "permissions.loose",
    "Files in the home could be read by others, if they could enter it.",
    f"{cli('doctor --fix')} makes them the user's alone",
    undo="chmod gives rights back, as in chmod g+r FILE",
)
TOKENS = ("auth.token", "admin.token")
SECRETS = frozenset(
    (".env", "environment.json", "auth.token", "admin.token", "tokens.json", "ledger", "sessions", "grants")
)


def permissions(world: DoctorContext) -> Iterator[DoctorFinding]:
    """Check that only the user can access the home and its files."""
    if not os.path.isdir(world.home):
        return
    every = [world.home, *_below(world.home)]
    loose = [(path, mode) for path in every if (mode := _mode(path)) is not None and mode & OTHERS]
    secret = [each for each in loose if _is_secret(os.path.relpath(each[0], world.home))]
    for kind, paths in ((OPEN, secret), (LOOSE, [each for each in loose if each not in secret])):
        if paths:
            names = some(f"{os.path.relpath(path, world.home)} ({mode:04o})" for path, mode in paths)
            what = f"take the rights of others from {counted(len(paths), 'path')} in {world.home}"
            yield kind.found(
                f"others have rights in the home: {names}", repair=Repair(what, partial(_close, paths))
            )
    if not loose:
        yield fine("permissions", f"nobody else can look into the home ({counted(len(every), 'path')})")


def _is_secret(path: str) -> bool:
    first = path.partition(os.sep)[0]
    return path == os.curdir or first in SECRETS or first.startswith(".env")


def _below(directory: str) -> Iterator[str]:
    seen = 0
    for folder, folders, names in os.walk(directory):
        for name in (*folders, *names):
            seen += 1
            if seen > FILES_LIMIT:
                return
            yield os.path.join(folder, name)


def _mode(path: str) -> int | None:
    # A link has no mode of its own, and its target is not the gateway's to change.
    try:
        found = os.lstat(path)
    except OSError:
        return None
    if stat.S_ISLNK(found.st_mode) or found.st_uid != os.geteuid():
        return None
    return stat.S_IMODE(found.st_mode)


def _close(loose: Iterable[tuple[str, int]]) -> None:
    for path, _ in loose:
        mode = _mode(path)
        if mode is not None:
            os.chmod(path, mode & ~OTHERS)


NO_TOKEN = problem(
    "token.missing",
    "A token is missing or empty: nobody can use a gateway that wants it.",
    f"{cli('restart')} writes a new one; whoever has the former is to be told",
)


def token(world: DoctorContext) -> Iterator[DoctorFinding]:
    """Check that the tokens exist that a gateway makes at its first start."""
    if not os.path.exists(world.in_home(LOCK)):
        return
    bad = [name for name in TOKENS if not _has_token(world.in_home(name))]
    for name in bad:
        yield NO_TOKEN.found(f"{world.in_home(name)} is missing, or holds no token")
    if not bad:
        yield fine("token", "the tokens are there")


def _has_token(path: str) -> bool:
    try:
        return len(read_text(path, LOCK_BYTES).strip()) >= CHARACTERS
    except (ConfigError, OSError):
        return os.path.exists(path) and not os.access(path, os.R_OK)  # another check reports it


STALE = problem(
    "locks.stale",
    "A lock names a process that has ended; it keeps nobody out, but says what is not so.",
    f"{cli('doctor --fix')} removes it",
    undo="nothing is lost: a program that needs the lock makes it anew",
)


def locks(world: DoctorContext) -> Iterator[DoctorFinding]:
    """Check that the locks of daemons are those of living processes."""
    directory = world.in_home(DIRECTORY)
    names = [each for each in _listed(directory) if each.endswith(".lock")]
    stale = [path for each in names if not _runs(path := os.path.join(directory, each))]
    for path in stale:
        text = f"{os.path.relpath(path, world.home)} names no process that runs"
        yield STALE.found(text, repair=Repair(f"remove {path}", partial(_remove_lock, path)))
    if not stale:
        yield fine("locks", f"no stale locks of servers ({len(names)} held)")


def _runs(path: str) -> bool:
    try:
        return runs(read_lock(path, ""))
    except FileNotFoundError:
        return True  # it has just been released
    except Exception:  # noqa: BLE001 - any other content is no lock
        return False


def _remove_lock(path: str) -> None:
    # A server may have been started since the check.
    if not _runs(path):
        _unlink(path)


LEFT = note(
    "leftovers.temporary",
    "A gateway that was killed has left half-written files.",
    f"{cli('doctor --fix')} removes them",
    undo="nothing is lost: no program reads a half-written file, and the whole one stays",
)


def leftovers(world: DoctorContext) -> Iterator[DoctorFinding]:
    """Check for files that were not written completely."""
    found = [path for path in _below(world.home) if _is_left(path, world.now)]
    if found:
        names = some(os.path.relpath(path, world.home) for path in found)
        what = f"remove {counted(len(found), 'half-written file')} from {world.home}"
        yield LEFT.found(
            f"left half-written: {names}", repair=Repair(what, partial(_sweep, found, world.now))
        )
    else:
        yield fine("leftovers", "nothing is left half-written")


def _is_left(path: str, now: float) -> bool:
    match = TEMPORARY.fullmatch(os.path.basename(path))
    if match is None or is_alive(int(match["pid"] or match["starter"])):
        return False
    try:
        found = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode) and now - found.st_mtime > ABANDONED_S


def _sweep(found: Iterable[str], now: float) -> None:
    for path in found:
        if _is_left(path, now):
            _unlink(path)


NO_CACHE = note("launches.none", "No program has been looked up yet; the first start of each server does.")
BAD_CACHE = note(
    "launches.damaged",
    "The launch cache cannot be read; it is begun anew.",
    "nothing: the next start writes it",
)


def launch_cache(world: DoctorContext) -> Iterator[DoctorFinding]:
    """Report the number of known programs of package runners."""
    try:
        entries = json.loads(read_text(world.in_home(CACHE), CACHE_BYTES))["entries"]
        old = sum(world.now - float(each.get("checked_at", 0)) > WEEK_S for each in entries.values())
    except FileNotFoundError:
        yield NO_CACHE.found("no launch cache yet: it fills when servers are first started")
    except (ConfigError, ValueError, TypeError, KeyError, AttributeError):
        yield BAD_CACHE.found(f"{world.in_home(CACHE)} cannot be read")
    else:
        resolved = sum(bool(each.get("program")) for each in entries.values())
        aged = f", {old} to be looked up again" if old else ""
        yield fine("launches", f"launch cache: {counted(resolved, 'resolved program')}{aged}")


NO_CLASSES = note("classification.none", "No server is classified by hand; the gateway finds out.")
BAD_CLASSES = problem(
    "classification.damaged",
    "classification.json cannot be read, and is ignored.",
    'write it like {"my-server": {"mode": "stateful"}}',
)


def classification(world: DoctorContext) -> Iterator[DoctorFinding]:
    """Report the servers that are classified by hand."""
    modes: dict[str, str] = {}
    for path in (immorterm_classification(world.environ), world.in_home("classification.json")):
        try:
            found = json.loads(read_text(path, CACHE_BYTES))
            modes |= {name: f"◆ {name} → {_class(each)} ({path})" for name, each in found.items()}
        except FileNotFoundError:
            continue
        except (ConfigError, ValueError, AttributeError):
            yield BAD_CLASSES.found(f"{path} cannot be read, and is ignored")
            return
    if not modes:
        yield NO_CLASSES.found("no classification overrides (defaults are used)")
    else:
        text = f"classification overrides: {counted(len(modes), 'server')}"
        yield fine("classification", text, modes.values())


def _class(record: Any) -> str:
    if not isinstance(record, Mapping):
        return "?"
    keys = {key: record[key] for key in ("mode", "share", "concurrency") if key in record}
    return ", ".join(each if key == "mode" else f"{key}: {each}" for key, each in keys.items()) or "?"


LARGE = problem(
    "logs.large",
    f"The log files take more than {LOGS_MB} MB.",
    f"{cli('restart')} begins new ones; old ones may be removed",
)


def logs(world: DoctorContext) -> Iterator[DoctorFinding]:
    """Report the size of the logs."""
    sizes = []
    for path in _below(world.in_home("logs")):
        with suppress(OSError):
            sizes.append(os.lstat(path).st_size)
    whole = sum(sizes)
    text = f"log files: {size(whole)}"
    yield LARGE.found(text) if whole > LOGS_MB * MB else fine("logs", text)


OLD = note(
    "catalogs.old",
    "What a server offers was written down more than 7 days ago; it is asked again when it next runs.",
    f"nothing; {cli('servers test NAME')} asks it now",
)
DAMAGED = note(
    "catalogs.damaged",
    "The record of what a server offers cannot be read, and is ignored.",
    f"{cli('doctor --fix')} removes it; the server writes a new one when it next runs",
    undo="nothing is lost: the record is written anew when the server runs",
)
NEWER = note("catalogs.newer", "The record was written by a newer release, and is left alone.")


def catalogs(world: DoctorContext) -> Iterator[DoctorFinding]:
    """Check that servers' catalogs are recorded, and report their age."""
    directory = world.in_home("catalogs")
    names = [each for each in _listed(directory) if each.endswith(".json")]
    old = []
    for name in names:
        path = os.path.join(directory, name)
        try:
            catalog = recorded_answers.read(read_text(path, recorded_answers.FILE_LIMIT).encode())
        except FileNotFoundError:
            continue
        except NewerListFormat:
            yield NEWER.found(f"{path} is of a newer release")
        except (ConfigError, GatewayError) as why:
            yield DAMAGED.found(
                f"{path}: {type(why).__name__}", repair=Repair(f"remove {path}", partial(_unlink, path))
            )
        else:
            times = [answer.at for each in catalog.variants.values() for answer in each.values()]
            if times and world.now - max(times) > recorded_answers.OLD_S:
                old.append(name.removesuffix(".json"))
    if old:
        yield OLD.found(f"older than 7 days: {some(old)}")
    else:
        yield fine("catalogs", f"catalogues: {counted(len(names), 'server')}, all of this week")


def _unlink(path: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(path)


def _listed(directory: str) -> list[str]:
    try:
        return sorted(os.listdir(directory))
    except OSError:
        return []


FIRST = (
    Check("launches", "the launch cache", launch_cache, (NO_CACHE, BAD_CACHE)),
    Check("classification", "classification by hand", classification, (NO_CLASSES, BAD_CLASSES)),
    Check("logs", "the logs", logs, (LARGE,)),
)
CHECKS = (
    Check("home", "the gateway's home", home, (MISSING, FOREIGN, READ_ONLY)),
    Check("permissions", "who can read it", permissions, (OPEN, LOOSE)),
    Check("token", "the tokens", token, (NO_TOKEN,)),
    Check("locks", "locks of servers", locks, (STALE,)),
    Check("leftovers", "half-written files", leftovers, (LEFT,)),
    Check("catalogs", "what servers offer", catalogs, (OLD, DAMAGED, NEWER)),
)
