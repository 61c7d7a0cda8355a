"""Find the programs that package runners would start, so that servers run without them.

# Note [How a runner is asked]
Only the runner itself knows which program it starts, from where and with which environment.  So it is run with the very
words of the entry, except that a probe stands in for the server: npm starts everything through a shell that can be
chosen, the others take the name of a program.  The probe reports its arguments and environment and ends; the server
itself is not started.  From then on the program is started directly, as the runner's shell would have.

# Note [Newer versions beside the old]
npm and bun update a package by overwriting its files, which a running server may be using for weeks.  So every version
but the first is requested by its number, which gives it a directory of its own.

# Note [Pins]
The version that was found first stays: new processes run the version of the lock (`mcpgateway.system.launch.lock`),
also where a runner by itself would take a newer one, or its cache was cleaned.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import sys
from collections.abc import Callable
from functools import partial

from attrs import evolve, field, frozen
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from mcpgateway.errors import ConfigError, GatewayError
from mcpgateway.interfaces import (
    CHILD_MARKER,
    INSTANCE_MARKER,
    InstalledPackage,
    Launch,
    Ran,
    RunProgram,
)
from mcpgateway.policy.launch_probe import (
    SCRIPT_SHELL,
    Doubt,
    ProbeReport,
    RunnerEnvironment,
    binary_of,
    deciding,
    main_binary,
    newest,
    read_probe,
    surroundings,
)
from mcpgateway.policy.runners import Age, Package, Wrapped, Wrapper, take_apart
from mcpgateway.protocol.versions import Era
from mcpgateway.system import home_files
from mcpgateway.system.launch import probe as launch_probe
from mcpgateway.system.launch import programs
from mcpgateway.system.launch.cache import LaunchCache, ResolvedProgram
from mcpgateway.waiting import WaitingByKey

PROBE = "launch-probe"  # in the home: a shell for npm
PYTHON = ("-I", "-S")  # a probe needs no installed package
OLDEST_NPM = 9  # earlier ones let the shell interpret the arguments
# A legacy server that is probed for the modern era may end at once without being broken.
MODERN_SILENCES = 2
RETRY_S = 600.0  # after a runner's failure, its entry is run as written for so long
REFRESH_RETRY_S = 3600.0
NPX_CACHE = f"{os.sep}_npx{os.sep}"


Pins = Callable[[str, Package], str]
"""Returns the version of its package that a server runs; empty where its entry decides."""
FoundNewer = Callable[[str, Package, str], object]
"""Takes the newest requested version of a server's package."""


@frozen
class _Entry:
    """One entry that is being resolved.

    :ivar launch: its launch, with the pinned version in its words.
    :ivar written: its words without the pin.
    :ivar pin: the pinned version; empty for none.
    """

    launch: Launch = field(repr=False)
    wrapped: Wrapped
    written: Wrapped
    run: RunProgram = field(repr=False)
    pin: str = ""

    @property
    def runner(self) -> str:
        """The runner's name, for messages."""
        name, *words = self.wrapped.program
        return " ".join((os.path.basename(name), *words))


class Resolver:
    """Resolves each entry once, caches the results, and looks for newer versions while servers run.

    :param home: the gateway's own directory.
    :param seconds: a clock, in seconds since the epoch.
    :param pins: returns the versions that servers run.
    :param found_newer: takes newer versions; None: none is looked for.
    :param looks: returns False while newer versions are not looked for.
    """

    log = Logger()

    def __init__(
        self,
        home: str,
        seconds: Callable[[], float],
        pins: Pins | None = None,
        found_newer: FoundNewer | None = None,
        looks: Callable[[], bool] = lambda: True,
    ) -> None:
        self._looks = looks
        self._home = home
        self._seconds = seconds
        self._pins = pins or _no_pin
        self._found_newer = found_newer
        self._cache = LaunchCache(home)
        self._finding = WaitingByKey[str, ResolvedProgram | None]()
        self._not_before: dict[str, float] = {}  # the time of the next try, after a failure
        self._silences: dict[str, int] = {}  # how often in a row a program has ended without output
        self._npms: set[str] = set()  # those that are known to be new enough
        self._waiting: dict[str, _Entry] = {}  # entries of which a newer version is to be looked for
        self._is_refreshing = False

    def resolve(self, launch: Launch, run: RunProgram) -> Deferred[Launch]:
        """Fires with the launch of the program itself, or with the launch as it is; never fails."""
        wrapped = take_apart(launch.argv)
        key = "" if wrapped is None else _key(launch, wrapped)
        if wrapped is None or not key:
            return succeed(launch)
        entry = self._pinned(key, _Entry(launch, wrapped, wrapped, run))
        launch, key = entry.launch, _key(launch, entry.wrapped)
        found = self._known(key, entry)
        if found is not None:
            return succeed(self._launch(key, entry, found))
        if self._not_before.get(key, 0.0) > self._seconds():
            return succeed(self._launch(key, entry, None))
        return self._found(key, entry).addCallback(partial(self._launch, key, entry))

    def _pinned(self, key: str, entry: _Entry) -> _Entry:
        written, found = entry.written, self._known(key, entry)
        pin = self._pins(entry.launch.server, written.package)
        if not pin or (found is not None and not _is_cached_by_runner(written, found.program)):
            return entry
        if found is not None and found.program and _version(written, found.program) == pin:
            return evolve(entry, pin=pin)
        wrapped = written.pinned(pin)
        pinned = evolve(entry, launch=evolve(entry.launch, argv=wrapped.words), wrapped=wrapped, pin=pin)
        key = _key(pinned.launch, wrapped)
        if found is not None and not found.program and self._cache.find(key) is None:
            self._cache.keep(key, found)  # no version of it works without its runner
        return pinned

    def _known(self, key: str, entry: _Entry) -> ResolvedProgram | None:
        found = self._cache.find(key)
        if found is None:
            return None
        if found.program and programs.is_sound(found.program):
            return found
        if found.shy_until > self._seconds():
            return found
        if found.program:
            self.log.info(
                "{server}: {program} is not there any more",
                event="launch.vanished",
                server=entry.launch.server,
                program=found.program,
            )
        self._cache.drop(key)
        return None

    def _launch(self, key: str, entry: _Entry, found: ResolvedProgram | None) -> Launch:
        launch = entry.launch
        if found is None or not found.program:
            package = _package(entry.written, entry.pin) if entry.wrapped is not entry.written else None
            told = None if found is None else partial(self._ran_as_written, key)
            return evolve(launch, told=told, package=package) if told or package else launch
        self.log.info(
            "{server} is started as {program}, without {runner}",
            event="launch.direct",
            server=launch.server,
            program=found.program,
            runner=entry.runner,
            package=found.package,
            version=found.version,
            saved_kib=found.saved_kib,
        )
        is_ours = bool(found.version) and _is_cached_by_runner(entry.written, found.program)
        around = RunnerEnvironment(found.path, found.added, found.removed)
        return evolve(
            launch,
            argv=(found.program, *entry.wrapped.args),
            env=around.applied(launch.env),
            told=partial(self._ran, key, entry),
            package=_package(entry.written, found.version, found.integrity) if is_ours else None,
        )

    # Whether it works.

    def _ran(self, key: str, entry: _Entry, *, has_spoken: bool) -> None:
        found = self._cache.find(key)
        if found is None or not found.program:
            return
        now = self._seconds()
        if not has_spoken:
            self._silences[key] = self._silences.get(key, 0) + 1
            if entry.launch.era is Era.MODERN and self._silences[key] < MODERN_SILENCES:
                return
            del self._silences[key]
            self.log.warn(
                "{server}: {program} ended before it had said a word; {runner} is run again, as it is written",
                event="launch.distrusted",
                server=entry.launch.server,
                program=found.program,
                runner=entry.runner,
            )
            shy_until = now + float(Age.OPEN.value or 0)
            self._cache.keep(
                key, ResolvedProgram("", package=found.package, checked_at=now, shy_until=shy_until)
            )
            return
        self._silences.pop(key, None)
        age = entry.written.package.age.value
        is_due = (
            self._found_newer is not None
            and age is not None
            and self._looks()
            and not 0 <= now - found.checked_at < age  # a clock that was ahead is no reason to wait
        )
        if is_due and self._not_before.get(key, 0.0) <= now:
            self._waiting[key] = entry
            self._refresh_next()

    def _ran_as_written(self, key: str, *, has_spoken: bool) -> None:
        # An entry that fails as written proves nothing about the resolved program.
        if not has_spoken:
            self._cache.drop(key)

    # Running the probe.

    def _found(self, key: str, entry: _Entry) -> Deferred[ResolvedProgram | None]:
        return self._finding.once(key, lambda: self._find(key, entry))

    async def _find(self, key: str, entry: _Entry) -> ResolvedProgram | None:
        found: ResolvedProgram | None = None
        began = self._seconds()
        try:
            found = await self._ask(entry, entry.wrapped, is_idle=False)
            self._cache.keep(key, found)
            self.log.info(
                "{runner} starts {package} {version} as {program} and takes {mib:.0f} MiB beside it",
                event="launch.resolved",
                server=entry.launch.server,
                runner=entry.runner,
                package=found.package,
                version=found.version,
                program=found.program,
                mib=found.saved_kib / 1024,
                seconds=self._seconds() - began,
            )
        except (Doubt, GatewayError) as why:
            self._not_before[key] = self._seconds() + RETRY_S
            self.log.info(
                "{server} is run by {runner}: {why}",
                event="launch.as_written",
                server=entry.launch.server,
                runner=entry.runner,
                why=str(why),
            )
        except Exception:  # noqa: BLE001 - a server must not be lost to this
            self._not_before[key] = self._seconds() + RETRY_S
            self.log.failure(
                "finding the program of {server} broke", event="launch.broken", server=entry.launch.server
            )
        return found

    async def _ask(self, entry: _Entry, wrapped: Wrapped, *, is_idle: bool) -> ResolvedProgram:
        launch, run = entry.launch, entry.run
        if wrapped.wrapper is Wrapper.NPM:
            await self._check_npm(entry, is_idle=is_idle)
        probe = self._probe()
        env = {name: value for name, value in launch.env.items() if name.lower() != SCRIPT_SHELL}
        if wrapped.wrapper is Wrapper.NPM:
            env[SCRIPT_SHELL] = probe
        argv = wrapped.probing(probe, launch_probe.__file__, PYTHON)
        ran = await run(evolve(launch, argv=argv, env=env), is_idle=is_idle)
        if ran.code != 0:
            raise Doubt(_failed(ran))
        seen = read_probe(ran.output)
        after = {name: each for name, each in seen.env.items() if name not in (INSTANCE_MARKER, CHILD_MARKER)}
        around = surroundings(wrapped.wrapper, launch.env, after)
        program = _program(wrapped, seen, around, launch.env["PATH"])
        return ResolvedProgram(
            program,
            around.path,
            around.added,
            around.removed,
            wrapped.package.name,
            _version(wrapped, program),
            self._seconds(),
            seen.kib,
            integrity=_integrity(wrapped, program),
        )

    async def _check_npm(self, entry: _Entry, *, is_idle: bool) -> None:
        npm = _runner(entry.launch, entry.wrapped)
        if npm in self._npms:
            return
        ran = await entry.run(evolve(entry.launch, argv=(npm, "--version")), is_idle=is_idle)
        major = ran.output.strip().partition(".")[0]
        if ran.code != 0 or not major.isdecimal() or int(major) < OLDEST_NPM:
            raise Doubt(f"it is not of npm {OLDEST_NPM} or newer")
        self._npms.add(npm)

    def _probe(self) -> str:
        path = os.path.join(self._home, PROBE)
        words = shlex.join((sys.executable, *PYTHON, launch_probe.__file__))
        script = f'#!/bin/sh\nexec {words} "$@"\n'.encode(errors="surrogateescape")
        try:
            is_there = home_files.read(path, len(script)) == script and os.access(path, os.X_OK)
        except (ConfigError, FileNotFoundError):
            is_there = False
        try:
            if not is_there:
                home_files.keep(path, script, 0o700)
        except ConfigError as why:
            raise Doubt(str(why)) from why
        return path

    # Newer versions.

    def _refresh_next(self) -> None:
        if self._is_refreshing or not self._waiting:
            return
        self._is_refreshing = True
        key = next(iter(self._waiting))
        Deferred.fromCoroutine(self._refresh(key, self._waiting.pop(key)))

    async def _refresh(self, key: str, entry: _Entry) -> None:
        try:
            await self._look_for_newer(key, entry)
        except (Doubt, GatewayError) as why:
            self._not_before[key] = self._seconds() + REFRESH_RETRY_S
            self.log.info(
                "it cannot be told whether there is a newer version of {server}: {why}",
                event="launch.not_refreshed",
                server=entry.launch.server,
                why=str(why),
            )
        except Exception:  # noqa: BLE001 - one failure must not end all refreshing
            self._not_before[key] = self._seconds() + REFRESH_RETRY_S
            self.log.failure(
                "looking for a newer version of {server} broke",
                event="launch.broken",
                server=entry.launch.server,
            )
        self._is_refreshing = False
        self._refresh_next()

    async def _look_for_newer(self, key: str, entry: _Entry) -> None:
        found, written = self._cache.find(key), entry.written
        if found is None or not found.program or self._found_newer is None:
            return
        if not _is_cached_by_runner(written, found.program):
            fresh = await self._ask(entry, written, is_idle=True)
            if self._cache.find(key) is found:  # else the program has failed meanwhile
                self._cache.keep(key, fresh)
            return
        version = await _newest(entry.launch, written, entry.run)
        if self._cache.find(key) is found:
            self._cache.keep(key, evolve(found, checked_at=self._seconds()))
        self._found_newer(entry.launch.server, written.package, version)


async def newest_of(launch: Launch, written: Wrapped, run: RunProgram) -> str:
    """Return the newest requested version of the package that a launch names.

    :param written: its words.
    :raise GatewayError: the index cannot be asked.
    """
    try:
        return await _newest(launch, written, run)
    except Doubt as why:
        raise GatewayError(f"the versions of {written.package.name} cannot be asked for: {why}") from why


async def _newest(launch: Launch, written: Wrapped, run: RunProgram) -> str:
    ran = await run(evolve(launch, argv=written.asking()), is_idle=True)
    if ran.code != 0:
        raise Doubt(_failed(ran))
    return newest(written.wrapper, ran.output)


def _no_pin(server: str, package: Package) -> str:
    return ""


def _package(written: Wrapped, version: str, integrity: str = "") -> InstalledPackage:
    package = written.package
    return InstalledPackage(written.wrapper.value, package.name, package.version, version, integrity)


def _key(launch: Launch, wrapped: Wrapped) -> str:
    """Return a digest of all that decides which program is run; empty where the runner is missing."""
    runner = _runner(launch, wrapped)
    if not runner:
        return ""
    text = json.dumps([wrapped.head, launch.cwd, runner, deciding(launch.env)])
    return hashlib.sha256(text.encode()).hexdigest()


def _runner(launch: Launch, wrapped: Wrapped) -> str:
    name = wrapped.program[0]
    where = os.path.join(launch.cwd, name) if "/" in name else name
    return shutil.which(where, path=launch.env.get("PATH", os.defpath)) or ""


def _failed(ran: Ran) -> str:
    # Its output may hold the URL of an index with its password; run as written, the runner shows it to its user.
    return (
        "it took too long, or said too much" if ran.code is None else f"it failed with exit code {ran.code}"
    )


def _program(wrapped: Wrapped, seen: ProbeReport, around: RunnerEnvironment, path: str) -> str:
    """Return the absolute path of the program.

    :raise Doubt: the program is not where the runner would find it, or cannot be started by itself.
    """
    if wrapped.wrapper is Wrapper.PIPX:
        name, folder = wrapped.binary, os.path.dirname(seen.executable)
        program = programs.find_in(folder, name)
        if program and programs.has_entry_points(program, "pipx.run"):
            raise Doubt("the package has a program of its own for pipx")
    elif wrapped.wrapper is Wrapper.BUN:
        folder, _, others = around.path.partition(os.pathsep)
        name = binary_of(wrapped, seen) or main_binary(
            programs.node_manifest(os.path.dirname(folder), wrapped.package.name)
        )
        program = programs.find_in(folder, name)
        if programs.find_in(others + path, name):
            raise Doubt(f"there is more than one {name}")  # which of them bun takes depends on its release
    else:
        name = binary_of(wrapped, seen)
        program = programs.find_in(around.path, name)
    if not program:
        raise Doubt(f"the package has no program {name}")
    if not programs.is_sound(program):
        raise Doubt(f"{program} cannot be started by itself")
    return program


def _version(wrapped: Wrapped, program: str) -> str:
    read = programs.node_version if wrapped.mutates else programs.python_version
    return read(program, wrapped.package.name)


def _integrity(wrapped: Wrapped, program: str) -> str:
    read = programs.node_integrity if wrapped.mutates else programs.python_integrity
    return read(program, wrapped.package.name)


def _is_cached_by_runner(wrapped: Wrapped, program: str) -> bool:
    # npm also finds packages that are installed in the project or globally; they are not npm's to update here.
    return wrapped.wrapper is not Wrapper.NPM or not program or NPX_CACHE in program
