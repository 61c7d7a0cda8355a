"""Notice changes of clients' own files that use the gateway, and run the helper program on them.

event                                              action
a client adds a server to such a file              `clients sync` enrols it, too
an enrolled entry is removed, or comes back        `clients sync` records it
no gateway ran, and the files were restored        `clients sync` enrols them again
a pause of the clients is over                     `clients enable` enrols the files again
`--adopt`, or ``clients.adopt: always``            `clients apply` when the gateway starts
texts for agents are installed, and their facts    `clients sync` updates the texts
change

# Note [Once for every thing]
An entry that cannot be enrolled stays as it is, so its presence does not show that the helper has processed it.  The
helper is run for new facts only: once for every unsettled entry, until the entry is removed and comes back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpgateway.config.gateway_settings import Adopt
from mcpgateway.config.model import ClientFile
from mcpgateway.config.settings import Settings
from mcpgateway.errors import GatewayError
from mcpgateway.policy.backoff import delay_s

SYNC = ("sync",)
APPLY = ("apply", "--yes")
ENABLE = ("enable",)
AGAIN_S = 60.0  # after the end of a pause that has left a file restored, such as one that its client holds
TRIES = 5  # then only at the next change
AWAY = "away"  # reason of a restoration by the timer that checks that the gateway runs


class FileChecker(Protocol):
    """Runs the helper program, as `mcpgateway.manage.helper.Helper.ask` does."""

    def __call__(self, *words: str) -> Deferred[Any]:
        """Run a command of the program; fires with its answer."""


class TimerSource(Protocol):
    """The used part of the reactor."""

    def seconds(self) -> float:
        """Return the time in epoch seconds."""

    def callLater(self, delay: float, call: Callable[[], None]) -> IDelayedCall:
        """Call a function later."""


class Enrolment:
    """Runs the helper program on clients' files, one command at a time.

    :param read: reads the configuration again, after a change by the helper.
    :param instructs: returns whether texts for agents are installed.
    """

    log = Logger()

    def __init__(
        self,
        ask: FileChecker,
        clock: TimerSource,
        read: Callable[[], None],
        instructs: Callable[[], bool] = bool,
    ) -> None:
        self._ask = ask
        self._clock = clock
        self._read = read
        self._instructs = instructs
        self._unsettled: dict[str, frozenset[str]] = {}
        self._seen: dict[str, frozenset[str]] = {}
        self._adopts: Adopt | None = None
        self._is_open = False
        self._is_running = False
        self._failures = 0
        self._again: IDelayedCall | None = None
        self._ends = self._ends_next = 0.0
        self._end: IDelayedCall | None = None

    def begin(self, settings: Settings, *, adopts: Adopt | None = None) -> None:
        """Enrol files once the gateway listens.

        :param adopts: the value of the command line, in place of the settings'.
        """
        self._is_open, self._adopts = True, adopts
        if (adopts or settings.clients.adopt) is Adopt.ALWAYS:
            self._start(APPLY)
        else:
            self.look(settings)

    def look(self, settings: Settings) -> None:
        """Run the helper on files that have changed; see Note [Once for every thing]."""
        clients = settings.clients
        adopted = settings.adopted if (self._adopts or clients.adopt) is not Adopt.NEVER else ()
        found = {each.path: _things(each, follows=clients.watch) for each in adopted}
        if self._adopts is not Adopt.NEVER and self._instructs():
            found[""] = frozenset((_told(settings),))
        self._unsettled = {path: things for path, things in found.items() if things}
        self._seen = {path: seen & found[path] for path, seen in self._seen.items() if path in found}
        if settings.paused_until != self._ends:
            self._ends = self._ends_next = settings.paused_until
        self._go()

    @property
    def is_running(self) -> bool:
        """True while the helper runs."""
        return self._is_running

    def close(self) -> None:
        """Start no further helper."""
        self._is_open = False
        self._wait_no_more()

    def _go(self) -> None:
        self._end = _cancelled(self._end)
        if not self._is_open or self._is_running:
            return
        if self._is_news():
            self._start(SYNC)
        elif self._ends_next:
            now = self._clock.seconds()
            if now >= self._ends_next:
                self._ends_next = now + AGAIN_S
                self.log.info("the pause of the clients is over", event="clients.resumed")
                self._start(ENABLE)
            else:
                self._end = self._clock.callLater(self._ends_next - now, self._go)

    def _is_news(self) -> bool:
        return any(now - self._seen.get(path, frozenset()) for path, now in self._unsettled.items())

    def _start(self, words: tuple[str, ...]) -> None:
        self._wait_no_more()
        self._is_running = True
        self._seen = dict(self._unsettled)
        asked = self._ask(*words)
        asked.addCallbacks(self._done, self._failed, callbackArgs=(words,), errbackArgs=(words,)).addErrback(
            self._broken
        )

    def _done(self, report: Any, words: tuple[str, ...]) -> None:
        self._is_running = False
        self._failures = 0
        if words == SYNC:
            self._tell_additions(report)
        if self._is_open:
            self._read()
            self._go()

    def _tell_additions(self, report: Any) -> None:
        """Log the entries that were enrolled unasked, since their file was enrolled already."""
        for each in report.get("files", ()) if isinstance(report, dict) else ():
            added = each["adopted"]
            if added and self._seen.get(each["path"]) != frozenset((AWAY,)):
                self.log.info(
                    "{file}: {servers} was added, and is enrolled as the rest of the file; clients.watch=false"
                    " leaves such entries as they are",
                    event="clients.enrolled",
                    file=each["path"],
                    servers=", ".join(added),
                )

    def _failed(self, why: Failure, words: tuple[str, ...]) -> None:
        why.trap(GatewayError)
        self._is_running = False
        if not self._is_open:
            return
        self.log.warn(
            "the clients' files could not be checked: {why}", event="clients.failed", why=str(why.value)
        )
        self._failures += 1
        if self._failures < TRIES:
            self._again = self._clock.callLater(delay_s(self._failures - 1), lambda: self._start(words))
        else:
            self._failures = 0  # until the next change
        self._read()
        self._go()

    def _broken(self, why: Failure) -> None:
        self._is_running = False
        self.log.failure("the check of the clients' files broke", why, event="clients.broken")

    def _wait_no_more(self) -> None:
        self._again, self._end = _cancelled(self._again), _cancelled(self._end)


def _cancelled(call: IDelayedCall | None) -> IDelayedCall | None:
    """Cancel a call that is due later, if there is one; return None, for its place."""
    if call is not None and call.active():
        call.cancel()
    return None


def _told(settings: Settings) -> str:
    """Return the facts that texts for agents tell of."""
    served = sorted((each.name, each.enabled, each.project) for each in settings.servers)
    modes = sorted((each.path, each.mode, each.suspended) for each in settings.adopted)
    return repr((settings.gateway.http_port, settings.gateway.views.expose, served, modes))


def _things(file: ClientFile, *, follows: bool) -> frozenset[str]:
    things = file.unsettled if follows else ()
    return frozenset((*things, AWAY) if file.suspended == AWAY else things)
