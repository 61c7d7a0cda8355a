"""Diagnose a server: the known facts, its history, their meaning and advice.

Loaded for the first request.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from attrs import evolve, frozen

from mcpgateway.backends.spawn import find_program
from mcpgateway.backends.tape import Tapes
from mcpgateway.config.document import Place
from mcpgateway.config.model import ServerSpec
from mcpgateway.config.problems import Problem
from mcpgateway.config.reach_settings import Container, Daemon, Remote, Rest, transport
from mcpgateway.discovery.naming import server_hint
from mcpgateway.errors import (
    GatewayError,
    HandshakeFailed,
    HandshakeLate,
    HandshakeRefused,
    LaunchFailed,
    NeedsApproval,
    NeedsAuthorization,
    Unavailable,
    UnknownServer,
    Unreachable,
    without_name,
)
from mcpgateway.hub.dispatch import LegacyDispatcher
from mcpgateway.hub.health.health import Health
from mcpgateway.hub.health.history import Crash, History
from mcpgateway.hub.health.record import HealthRecord
from mcpgateway.hub.slot import Slot
from mcpgateway.interfaces import Launch
from mcpgateway.observe.version_notes import notes_of
from mcpgateway.policy.diagnosis import Advice, ConcurrencyFacts, Failure, ServerFacts, Trip, advise, verdict
from mcpgateway.policy.health import HealthState
from mcpgateway.policy.readiness import FAILED, NO_REMEDY, Remedy
from mcpgateway.policy.secrets.masking import address, arguments
from mcpgateway.system.launch.missing import remedy
from mcpgateway.units import duration

WORDS_LINES = 20  # of its last output
STRAY_CHARS = 120

_FAILURES: tuple[tuple[type[GatewayError], Failure], ...] = (
    (NeedsAuthorization, Failure.AUTHORIZATION),
    (NeedsApproval, Failure.APPROVAL),
    (Unavailable, Failure.UNAVAILABLE),
    (Unreachable, Failure.UNREACHABLE),
    (LaunchFailed, Failure.LAUNCH),
    (HandshakeLate, Failure.LATE),
    (HandshakeRefused, Failure.REFUSED),
    (GatewayError, Failure.HANDSHAKE),
)


def _no_places(_: str) -> tuple[Place, ...]:
    return ()


@frozen
class Diagnoser:
    """Diagnoses servers.

    :ivar problems: returns the problems of the configuration.
    :ivar redact: removes all secrets from a text.
    :ivar overlays: returns the entries that lie over a server, the one that outranks the others last.
    """

    dispatcher: LegacyDispatcher
    health: Health
    tapes: Tapes
    problems: Callable[[], Sequence[Problem]]
    redact: Callable[[str], str] = str
    overlays: Callable[[str], Sequence[Place]] = _no_places

    def tell(self, name: str) -> dict[str, Any]:
        """Diagnose a server.

        :raise UnknownServer: the name is unknown.
        """
        server, slots = self._served(name)
        if server is None or server.view:
            return self._masked(self._not_served(name))
        question = self.health.question(server)
        # The sign-in address is included for callers that may request this, and in no other answer.
        way = {"login_url": question.url} if question is not None else {}
        return self._masked(self._described(server, slots)) | way

    def troubles(self, name: str) -> list[dict[str, Any]]:
        """Return the faults of a server with their remedies: those of the advice of `tell`, for less.

        :raise UnknownServer: the name is unknown.
        """
        server, slots = self._served(name)
        if server is None or server.view:
            advice = self._not_served(name)["advice"]
        else:
            shown, charts = self.health.shown(server, slots), self.health.known(server)
            launch = _Launched.of(server, self.health.histories.of(name))
            advice = map(_advised, advise(self._facts(server, slots, shown, charts, launch)))
        return [self._masked(each) for each in advice if each["trouble"]]

    def notes(self, name: str) -> tuple[Advice, ...]:
        """Return the remarks on the version of a server's package and on its tools; none for an unknown server."""
        server = self.dispatcher.servers.get(name)
        found = notes_of(server, self.dispatcher.permits.quarantine) if server is not None else ()
        return tuple(evolve(each, says=self.redact(each.says)) for each in found)

    def _served(self, name: str) -> tuple[ServerSpec | None, list[Slot]]:
        slots = [each for each in self.dispatcher.pool if each.server.name == name]
        found = self.dispatcher.servers.get(name) or next((each.server for each in slots), None)
        titled = [each for each in self.dispatcher.servers.values() if each.title == name and not each.view]
        if found is None and len(titled) == 1:  # it is served by another name than its entry has
            return self._served(titled[0].name)
        return found, slots

    def _masked(self, found: dict[str, Any]) -> dict[str, Any]:
        return {key: self._redacted(each) for key, each in found.items()}

    def is_known(self, name: str) -> bool:
        """Return whether a server has that name."""
        return name in self.dispatcher.servers or any(
            each.server.name == name for each in self.dispatcher.pool
        )

    def _redacted(self, value: Any) -> Any:
        match value:
            case str():
                return self.redact(value)
            case dict():
                return {key: self._redacted(each) for key, each in value.items()}
            case list():
                return [self._redacted(each) for each in value]
            case _:
                return value

    def _not_served(self, name: str) -> dict[str, Any]:
        repositories = self.dispatcher.scopes.repositories
        waiting = repositories.waiting() if repositories is not None else []
        file = next((each["path"] for each in waiting if name in each["servers"]), "")
        problems = (*self._problems(True, name), *self._problems(False, name))
        if not (file or problems):
            raise UnknownServer(f"Unknown server: {name}", self._hint(name, waiting))
        facts = ServerFacts(
            name, HealthState.STOPPED if file else HealthState.ERROR, unapproved=file, problems=problems
        )
        return {**_story(facts, advise(facts)), "file": file, "history": []}

    def _hint(self, name: str, waiting: Sequence[Mapping[str, Any]]) -> str:
        known = [each.name for each in self.dispatcher.servers.values() if not each.view]
        known += [each for file in waiting for each in file["servers"]]
        return server_hint(name, known)

    def _problems(self, is_error: bool, *names: str) -> tuple[str, ...]:  # noqa: FBT001 - see its two callers
        return tuple(
            str(each) for each in self.problems() if each.is_error is is_error and _is_about(each, names)
        )

    def _described(self, server: ServerSpec, slots: list[Slot]) -> dict[str, Any]:
        shown = self.health.shown(server, slots)
        charts = self.health.known(server)
        history = self.health.histories.of(server.name)
        launch = _Launched.of(server, history)
        facts = self._facts(server, slots, shown, charts, launch)
        return {
            **_story(facts, advise(facts)),
            "title": server.title,
            "source": server.source,
            "transport": transport(server.reach),
            **self.dispatcher.pool.shared_by(server),
            "concurrency": self._concurrency(server),
            "launch": launch.shown(),
            "pids": [pid for slot in slots for pid in slot.pids],
            "starts": facts.starts,
            "restart_count": facts.restarts,
            "uptime_seconds": shown["uptime_seconds"],
            "next_try_s": shown["next_try_s"],
            "last_error": shown["last_error"],
            "retired": shown["retired"],
            "long_calls": shown["long_calls"],
            "breaker": self._breaker(charts),
            "last_end": _end(history),
            "crashes": [
                {
                    "at": _written(each.at),
                    **{key: getattr(each, key) for key in ("text", "code", "signal", "line")},
                }
                for each in history.crashes()
            ],
            "stderr": _words(slots, history).splitlines()[-WORDS_LINES:],
            "history": [
                {"at": _written(each.at), "event": each.event, "text": each.text, "times": each.times}
                for each in history.happenings()
            ],
        }

    def _facts(
        self,
        server: ServerSpec,
        slots: list[Slot],
        shown: Mapping[str, Any],
        charts: list[HealthRecord],
        launch: _Launched,
    ) -> ServerFacts:
        history, now = launch.history, self.health.now
        tape = self.tapes.find(server.name)
        failure, worst = _failure(history, charts), self._worst(charts)
        crashes = history.crashes()
        return ServerFacts(
            server.name,
            HealthState(shown["status"]),
            is_enabled=server.enabled,
            is_off=any(each.is_off for each in charts),
            file=server.source if server.enabled else self._switching(server),
            address=_address(server),
            program=launch.program,
            is_found=bool(launch.found),
            is_there="/" in launch.program and os.path.exists(os.path.join(server.cwd, launch.program)),
            missing=launch.missing(),
            has_directory=os.path.isdir(server.cwd) if _is_program(server) else True,
            failure=failure,
            fault=without_name(
                server.name, next((each.last_fault for each in charts if each.last_fault), "")
            ),
            hint=_hint(history),
            code=history.end.code if history.end is not None else None,
            signal=history.end.signal if history.end is not None else None,
            words=_words(slots, history) if failure is not Failure.NONE else "",
            stray=tape.stray()[:STRAY_CHARS].decode(errors="replace") if tape is not None else "",
            retry_in_s=shown["next_try_s"],
            trip=Trip(
                worst.breaker.why,
                None if worst.breaker.opens_at is None else max(0, round(worst.breaker.opens_at - now)),
                worst.breaker.is_trying,
                worst.breaker.failures,
                worst.breaker.circuit.restarts,
            ),
            starts=history.launches,  # the slot of an ended session is gone, and its starts with it
            restarts=shown["restart_count"],
            crashes=len(crashes),
            crash=_crashed(crashes, self.health.wall()),
            service_fault=next((each.service_fault for each in charts if each.service_fault), ""),
            excess=shown["excess"],
            stuck=shown["stuck"],
            too_long=shown["too_long"],
            retired=tuple(each["why"] for each in shown["retired"]),
            long_calls=tuple((each["what"], each["seconds"]) for each in shown["long_calls"]),
            knows_no_ping=any(each.knows_no_ping for each in charts),
            apart=self.dispatcher.pool.reason(server),
            turns=self._turns(server),
            problems=self._problems(True, server.name, server.title),
            warnings=self._problems(False, server.name, server.title),
            is_former=history.is_former,
            notes=self.notes(server.name),
        )

    def _switching(self, server: ServerSpec) -> str:
        """Return the file whose entry switches a server off."""
        switching = [
            each for each in self.overlays(server.name) if each.has("enabled") or each.has("disabled")
        ]
        return switching[-1].document.file if switching else server.source

    def _concurrency(self, server: ServerSpec) -> dict[str, Any]:
        limiters = self.dispatcher.pool.limiters
        return limiters.told(server) if limiters is not None else {}

    def _turns(self, server: ServerSpec) -> ConcurrencyFacts:
        concurrency = self._concurrency(server)
        if not concurrency or concurrency["limit"] == "none":
            return ConcurrencyFacts()
        oldest = max(concurrency["under_way"], key=lambda each: each["seconds"], default=None)
        is_found = server.concurrency is None and not concurrency["watched"]
        return ConcurrencyFacts(
            concurrency["reason"] if is_found else "",
            concurrency["waiting"],
            oldest["tool"] if oldest is not None else "",
            oldest["seconds"] if oldest is not None else 0,
        )

    def _worst(self, charts: list[HealthRecord]) -> HealthRecord:
        return max(charts, key=lambda each: (not each.breaker.is_closed, each.breaker.failures))

    def _breaker(self, charts: list[HealthRecord]) -> dict[str, Any]:
        breaker, now = self._worst(charts).breaker, self.health.now
        circuit = breaker.circuit
        return {
            "open": not breaker.is_closed,
            "why": breaker.why,
            "failed_starts": breaker.failures,
            "restarts_in_window": breaker.ends_within(now),
            "limit": circuit.restarts,
            "window_seconds": circuit.window_s,
            "tries_in_seconds": None if breaker.opens_at is None else max(0, round(breaker.opens_at - now)),
            "wait_seconds": breaker.wait_s,
            "auto_reset": circuit.auto_reset,
        }


@frozen
class _Launched:
    """The launch of a server.

    :ivar program: the first word of its command; empty for a server without a program.
    :ivar found: path of the program; empty if it is not found.
    """

    server: ServerSpec
    history: History
    program: str
    found: str

    @classmethod
    def of(cls, server: ServerSpec, history: History) -> _Launched:
        now = Launch(server.name, server.command, server.env, server.cwd, server.reach)
        launch = history.launch or now
        if not _is_program(server) or not launch.argv:
            return cls(server, history, "", "elsewhere")
        for each in (launch, now):  # its entry may have been put right since the last launch
            with suppress(LaunchFailed):
                return cls(server, history, each.argv[0], find_program(each))
        return cls(server, history, now.argv[0], "")

    def missing(self) -> Remedy:
        """Return the remedy for a program that does not exist."""
        server = self.server
        if self.found:
            return NO_REMEDY
        return remedy(self.program, server.env, server.cwd, server.name, is_of_client=server.is_of_client)

    def shown(self) -> dict[str, Any]:
        """Return the launch of a server without secrets, with the names of its variables only."""
        server, launch = self.server, self.history.launch
        made: dict[str, Any] = {}
        if where := _address(server):
            made["url"] = where
        if isinstance(server.reach, Container):
            made["image"] = server.reach.image
        if server.command:
            made["command"] = arguments(list(server.command))
            made["cwd"] = server.cwd
        if launch is not None and launch.argv and launch.argv != server.command:
            made["started_as"] = arguments(list(launch.argv))
        if launch is not None and launch.started:
            made["start"] = launch.started
        if self.program:
            made["program"] = self.found or None
            made["path"] = server.env.get("PATH", os.defpath)
        made["env"] = sorted(server.env)
        made["last_at"] = _written(self.history.launched_at) if launch is not None else None
        return made


def _is_about(problem: Problem, names: Sequence[str]) -> bool:
    key_path = problem.where.key.split(".")
    return any(name and (name in key_path or f"'{name}'" in problem.found) for name in names)


def _is_program(server: ServerSpec) -> bool:
    return server.reach is None or isinstance(server.reach, Daemon)


def _address(server: ServerSpec) -> str:
    match server.reach:
        case Remote() | Daemon():
            return address(server.reach.url)
        case Rest():
            return address(server.reach.base)
        case _:
            return ""


def _failure(history: History, charts: list[HealthRecord]) -> Failure:
    if history.fault is not None:
        return next(failure for kind, failure in _FAILURES if isinstance(history.fault, kind))
    end = history.end
    if end is None or not any(each.last_error for each in charts):
        return Failure.NONE
    if end.is_unreachable:
        return Failure.UNAVAILABLE if isinstance(end.error, Unavailable) else Failure.UNREACHABLE
    return Failure.ENDED_EARLY if any(each.is_failing for each in charts) else Failure.ENDED


def _words(slots: list[Slot], history: History) -> str:
    if history.words:
        return history.words
    speaking = (slot.speaking for slot in slots)
    backends = (each.backend for each in speaking if each is not None)
    return next((words for each in backends if each is not None and (words := each.stderr_tail())), "")


def _hint(history: History) -> str:
    # The reason of a failed handshake is in the program's output.
    why = history.fault or (history.end.error if history.end is not None else None)
    return why.hint if why is not None and not isinstance(why, HandshakeFailed) else ""


def _end(history: History) -> dict[str, Any] | None:
    if history.end is None:
        return None
    end = history.end
    words = end.last_words.splitlines()[-WORDS_LINES:]
    return {"code": end.code, "signal": end.signal, "text": str(end), "stderr": words}


def _crashed(crashes: list[Crash], now: float) -> str:
    if not crashes:
        return ""
    last, times = crashes[-1], "once" if len(crashes) == 1 else f"{len(crashes)} times"
    how = f"{last.text}: {last.line}" if last.line else last.text
    ago = duration(max(1, round(now - last.at)))
    return f"it ended unexpectedly {times} in the last hour, the last time {ago} ago ({how})"


def _story(facts: ServerFacts, advice: list[Advice]) -> dict[str, Any]:
    return {
        "server": facts.server,
        "state": "not approved" if facts.unapproved else FAILED if facts.has_failed else facts.state.value,
        "ok": not any(each.is_trouble for each in advice),
        "verdict": verdict(facts, advice),
        "advice": [_advised(each) for each in advice],
    }


def _advised(advice: Advice) -> dict[str, Any]:
    return {
        "cause": advice.cause,
        "says": advice.says,
        "do": advice.remedy,
        "run": advice.run,
        "key": advice.key,
        "action": advice.action,
        "trouble": advice.is_trouble,
    }


def _written(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
