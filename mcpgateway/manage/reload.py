"""Apply changes of the configuration files while the gateway runs.

event                             action
a file changes                    all files are examined; changed settings are applied, the others are left alone
an error is among it              no change is applied; the problems are in the log and in ``/health``
values from outside of the files  are resolved anew, in a thread; until then the former values hold
a request for an unknown server   waits for a change that has not been read yet, if there is one
an edit through the gateway       is written to the file that defines the server, and read like any edit
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from attrs import define, field
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpgateway.config.diff import Change, at_start, compare
from mcpgateway.config.problems import Problem
from mcpgateway.config.settings import Settings
from mcpgateway.records import Record
from mcpgateway.system.fingerprint import Fingerprints
from mcpgateway.system.settings import ExaminedSettings
from mcpgateway.system.watch import FileWatch
from mcpgateway.waiting import Waiting

if TYPE_CHECKING:
    from mcpgateway.config.load import Files
    from mcpgateway.system.secret_providers import ProvidedValues

LOGGED_LIMIT = 20  # problems of one edit
SOON_S = 2.0  # longer than it takes until an editor has saved
Apply = Callable[[Change], None]


class ReloadState(Record):
    """The state of the configuration.

    :ivar loaded_at: time at which the settings in force were read, in epoch seconds.
    :ivar problems: the reasons why the present files are not in force; empty if they are.
    :ivar restart: the settings that take effect at the next start only.
    """

    loaded_at: float
    files: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    restart: tuple[str, ...] = ()

    def shown(self) -> dict[str, Any]:
        """Return the state for ``/health``."""
        return {
            "ok": not self.problems,
            "problems": [str(each) for each in self.problems],
            "warnings": len(self.warnings),
            "loaded_at": datetime.fromtimestamp(self.loaded_at, UTC).isoformat(timespec="seconds"),
            "files": list(self.files),
            "restart_needed": list(self.restart),
        }


def _clients_files(settings: Settings) -> tuple[str, ...]:
    # Clients write them, and a file that is half-written keeps its former content here.
    return tuple(each.path for each in settings.adopted)


def _nobody(change: Change) -> None:
    """Do nothing: no server is served yet."""


@define(eq=False, repr=False)
class Reload:
    """Reads the configuration again when it has changed.

    :ivar settings: the settings in force.
    :ivar config_file: the file for new servers.
    :ivar gather: reads the files without examining them, to find the definition of a server.
    :ivar apply: applies a change of the configuration.
    :ivar brought: values from outside of all files; None if none can be resolved.
    :ivar in_thread: runs blocking work in a thread.
    :ivar values_file: returns the path of the gateway's own file of values; None if there are no files.
    :ivar refusal: why the gateway does not edit its files; empty if it does.
    :param examine: reads all files.
    :param essences: extract the relevant part of files of which most is irrelevant.
    """

    log = Logger()

    settings: Settings
    state: ReloadState
    _examine: Callable[[], ExaminedSettings] = field(repr=False)
    _clock: IReactorTime = field(repr=False)
    _essences: Fingerprints = field(repr=False)
    config_file: str = ""
    gather: Callable[[], Files] | None = field(default=None, repr=False)
    apply: Apply = field(default=_nobody, repr=False)
    brought: ProvidedValues | None = field(default=None, repr=False)
    in_thread: Callable[..., Deferred[Any]] = field(default=maybeDeferred, repr=False)
    values_file: Callable[[], str] | None = field(default=None, repr=False)
    refusal: str = field(default="", init=False)
    _started: Settings = field(init=False, repr=False)
    _watch: FileWatch | None = field(default=None, init=False, repr=False)
    _asking: bool = field(default=False, init=False, repr=False)
    _asks_again: bool = field(default=False, init=False, repr=False)
    _waiting: Waiting[None] = field(factory=Waiting, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._started = self.settings

    def begin(self, watch: FileWatch) -> None:
        """Watch the files that were read at the start."""
        self._watch = watch
        watch.follow(self.state.files, int(self.state.loaded_at * 1e9), _clients_files(self.settings))

    def tick(self) -> None:
        """Check files for changes; called once a second."""
        if self._watch is not None:
            self._watch.tick()

    def close(self) -> None:
        """Stop watching; the settings in force stay."""
        if self._watch is not None:
            self._watch.close()
            self._watch = None
        self.brought = None
        self._waiting.over(None)

    def look_again(self) -> Deferred[None]:
        """Read changed files; fires when all changes have been read."""
        if self._watch is None or not self._watch.is_due():
            return succeed(None)
        return self._waiting.wait()

    def look_soon(self) -> Deferred[None]:
        """Return the Deferred of `settled`, for a short while only: secret providers may take long."""
        looked = self.look_again()
        if not looked.called:
            looked.addTimeout(SOON_S, self._clock, lambda _why, _limit: None)
        return looked

    def look(self) -> None:
        """Read the files that have changed."""
        if self._watch is not None and self._essences.is_other(self._watch.changes()):
            self.read()
        if not self._asking:
            self._waiting.over(None)

    def read_own(self) -> None:
        """Read a file at once that the gateway has just written."""
        if self._watch is not None:
            self._watch.changes()  # otherwise it would be read a second time
        self.read()
        self._waiting.over(None)

    def read(self) -> None:
        """Read all files, and apply them unless one has an error."""
        try:
            self._read()
        except Exception:  # noqa: BLE001 - the one catch-all of this path
            self.log.failure("the configuration could not be read again", event="config.broken")

    def _read(self) -> None:
        since = self._clock.seconds()
        examined = self._examine()
        brought = self.brought
        if brought is not None and examined.settings is not None and brought.lacks(examined.wanted):
            self._follow(examined, since)
        else:
            self._take(examined, since)
        # With other errors in the files, the values are not needed yet.
        if brought is not None and examined.wanted and (examined.settings is not None or brought.failures):
            self._ask(brought, examined.wanted)

    def _take(self, examined: ExaminedSettings, since: float) -> None:
        self._follow(examined, since)
        if examined.settings is None:
            self._refuse([each for each in examined.problems if each.is_error])
        else:
            self._accept(examined.settings, examined.problems, since)

    def _ask(self, brought: ProvidedValues, wanted: tuple[str, ...]) -> None:
        """Resolve values from outside; then apply the files with them."""
        if self._asking:
            self._asks_again = True
            return
        self._asking = True
        done = self.in_thread(brought.fetch, wanted)
        done.addCallback(self._answered, brought)
        done.addErrback(self._broken)

    def _answered(self, _: None, brought: ProvidedValues) -> None:
        self._asking = False
        if self.brought is None:
            return
        again, self._asks_again = self._asks_again, False
        since = self._clock.seconds()
        examined = self._examine()
        if examined.settings is not None and (again or brought.lacks(examined.wanted)):
            self._ask(brought, examined.wanted)
            return
        self._take(examined, since)
        self._waiting.over(None)

    def _broken(self, why: Failure) -> None:
        self._asking = False
        self.log.failure("the configuration could not be read again", why, event="config.broken")
        self._waiting.over(None)

    def _follow(self, examined: ExaminedSettings, since: float) -> None:
        # A value that could not be resolved keeps its former one.
        self.state.files = tuple(dict.fromkeys(examined.files or self.state.files))
        if self._watch is not None:
            quick = _clients_files(examined.settings or self.settings)
            self._watch.follow(self.state.files, int(since * 1e9), quick)

    def _refuse(self, problems: list[Problem]) -> None:
        former, self.state.problems = self.state.problems, tuple(problems)
        if former == self.state.problems:
            return
        for each in problems[:LOGGED_LIMIT]:
            self.log.error("{problem}", event="config.problem", problem=str(each))
        self.log.error(
            "the configuration has {count} errors; the gateway keeps the former one until they are mended",
            event="config.refused",
            count=len(problems),
        )

    def _accept(self, settings: Settings, problems: tuple[Problem, ...], since: float) -> None:
        warnings = tuple(each for each in problems if not each.is_error)
        for each in warnings:
            if each not in self.state.warnings:
                self.log.warn("{warning}", event="config.warning", warning=str(each))
        if self.state.problems:
            self.log.info("the configuration has no errors any more", event="config.repaired")
        self.state.problems, self.state.warnings, self.state.loaded_at = (), warnings, since
        change = compare(self.settings, settings)
        if change.has_servers or settings.gateway != self.settings.gateway:
            self._tell(change)
        self.settings = change.settings
        self.apply(change)
        self._warn_of_restart(settings)

    def _tell(self, change: Change) -> None:
        self.log.info(
            "the configuration has changed: {added} servers added, {removed} removed, {changed} changed",
            event="config.changed",
            added=len(change.added),
            removed=len(change.removed),
            changed=len(change.changed),
        )

    def _warn_of_restart(self, settings: Settings) -> None:
        former = self.state.restart
        self.state.restart = at_start(self._started.gateway, settings.gateway)
        if self.state.restart and self.state.restart != former:
            self.log.warn(
                "{settings} will count from the next start of the gateway on",
                event="config.restart_needed",
                settings=", ".join(self.state.restart),
            )
