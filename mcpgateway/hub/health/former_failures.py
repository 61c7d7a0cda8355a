"""The last failures of servers, kept in a file over a restart of the gateway or its crash.

A server that could not be started is as broken after a restart as before it, and may not be tried for hours.  Its last
failure therefore stands for it until its next start, unless its entry has changed meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec
from msgspec import Struct
from twisted.logger import Logger

from mcpgateway.errors import (
    ConfigError,
    GatewayError,
    HandshakeFailed,
    HandshakeLate,
    HandshakeRefused,
    LaunchFailed,
    NeedsAuthorization,
    NeedsLogin,
    NotAServer,
    Unavailable,
    Unreachable,
)
from mcpgateway.hub.health.history import Crash
from mcpgateway.hub.health.record import HealthRecord
from mcpgateway.interfaces import Gone
from mcpgateway.policy.readiness import AUTHORIZATION
from mcpgateway.policy.sharing import launch_digest
from mcpgateway.system import home_files

FORMAT = 1
FILE_LIMIT = 4_194_304
TEXT_CHARS = 4000  # of a message, a hint, and of the last stderr output
_ERRORS: dict[str, type[GatewayError]] = {
    each.__name__: each
    for each in (
        HandshakeFailed,
        HandshakeLate,
        HandshakeRefused,
        LaunchFailed,
        NeedsAuthorization,
        NotAServer,
        Unavailable,
        Unreachable,
    )
}


class KeptError(Struct, frozen=True):
    """An error; an error of a kind that is not listed becomes one of its listed base class."""

    kind: str
    message: str
    hint: str = ""


class KeptEnd(Struct, frozen=True):
    """An unexpected end of a child, as `mcpgateway.interfaces.Gone` has it."""

    code: int | None = None
    signal: int | None = None
    fault: str = ""
    is_unreachable: bool = False
    error: KeptError | None = None


class KeptFailure(Struct, frozen=True):
    """The last failure of a server, without secrets.

    :ivar launch: the fingerprint of its launch, by which a changed entry is known.
    :ivar since: the time of the first failure in a row, in seconds since the epoch; 0 for none.
    :ivar shown: the text that is shown as its last error; empty where it runs well again.
    :ivar words: the last stderr output.
    :ivar is_failing: true if no start has succeeded since.
    :ivar crashes: the latest unexpected ends of children that had worked.
    """

    server: str
    launch: str
    since: float
    shown: str
    words: str = ""
    is_failing: bool = False
    fault: KeptError | None = None
    end: KeptEnd | None = None
    crashes: tuple[Crash, ...] = ()


class _File(Struct, frozen=True):
    format: int
    failures: list[KeptFailure]


class FormerFailures:
    """The file of the failures in one home; one that cannot be read counts as missing, and the log reports that.

    :param redact: removes all secrets from a text.
    """

    log = Logger()

    def __init__(self, path: str, redact: Callable[[str], str]) -> None:
        self._path = path
        self._redact = redact
        self._written: list[KeptFailure] = []
        self._writer = home_files.Writer(self._complain)

    def read(self) -> dict[str, KeptFailure]:
        """Return the failures of the former run by the names of their servers."""
        try:
            found = msgspec.json.decode(home_files.read(self._path, FILE_LIMIT), type=_File)
        except FileNotFoundError:
            return {}
        except (ConfigError, OSError, msgspec.MsgspecError) as why:
            self.log.warn(
                "{path} is ignored, and written anew: {why}",
                event="failures.damaged",
                path=self._path,
                why=str(why),
            )
            return {}
        if found.format != FORMAT:
            return {}
        self._written = found.failures
        return {each.server: each for each in found.failures}

    def keep(self, records: Iterable[HealthRecord]) -> bool:
        """Write the failures of servers where they are others than before; false where that has to be tried again."""
        failures = [each for record in records if (each := self._kept(record)) is not None]
        if failures == self._written:
            return True
        done = self._writer.write(self._path, msgspec.json.encode(_File(FORMAT, failures)) + b"\n")
        if done:
            self._written = failures
        return done

    def _kept(self, record: HealthRecord) -> KeptFailure | None:
        history, server = record.history, record.server
        crashes = tuple(history.crashes())
        has_failed = record.last_error and (history.fault is not None or history.end is not None)
        # The failure of a workspace's own variant shows itself when that workspace is used again.
        if server.workspace or server.principal or not (has_failed or crashes):
            return None
        return KeptFailure(
            server.name,
            launch_digest(server),
            history.ill_since,
            self._text(record.last_error),
            self._text(history.words),
            record.is_failing,
            self._error(history.fault),
            self._end(history.end),
            tuple(
                Crash(each.at, each.text, each.code, each.signal, self._text(each.line)) for each in crashes
            ),
        )

    def _error(self, why: GatewayError | None) -> KeptError | None:
        if why is None:
            return None
        if isinstance(
            why, NeedsLogin
        ):  # the address of a sign-in is for its user alone, and another one soon
            return KeptError(NeedsAuthorization.__name__, self._text(why.plain))
        kind = next((each.__name__ for each in type(why).__mro__ if each.__name__ in _ERRORS), "")
        return KeptError(kind, self._text(why.message), self._text(why.hint))

    def _end(self, end: Gone | None) -> KeptEnd | None:
        if end is None:
            return None
        return KeptEnd(
            end.code, end.signal, self._text(end.fault), end.is_unreachable, self._error(end.error)
        )

    def _text(self, text: str) -> str:
        return self._redact(text)[-TEXT_CHARS:]

    def _complain(self, why: str) -> None:
        self.log.warn(
            "the last failures of servers cannot be kept in {path}: {why}",
            event="failures.unwritable",
            path=self._path,
            why=why,
        )


def restore(kept: KeptFailure, record: HealthRecord) -> None:
    """Let a server that was not started yet have failed as it did in the former run."""
    history = record.history
    if launch_digest(record.server) != kept.launch or history.launches or history.fault or history.end:
        return
    record.last_error = record.last_fault = kept.shown
    record.is_failing = kept.is_failing
    fault = _made(kept.fault)
    if isinstance(fault, NeedsAuthorization):
        record.needs = AUTHORIZATION
    history.restored(fault, _ended(kept), kept.words, kept.since, kept.crashes)


def _made(kept: KeptError | None) -> GatewayError | None:
    return None if kept is None else _ERRORS.get(kept.kind, HandshakeFailed)(kept.message, kept.hint)


def _ended(kept: KeptFailure) -> Gone | None:
    end = kept.end
    if end is None:
        return None
    return Gone(end.code, end.signal, kept.words, end.fault, end.is_unreachable, _made(end.error))
