"""Wait until servers are ready for calls, and report beforehand if they are not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from attrs import define, field
from msgspec.structs import replace
from twisted.internet import defer
from twisted.internet.defer import Deferred, DeferredList, ensureDeferred
from twisted.internet.task import deferLater

from mcpgateway.config.document import printable
from mcpgateway.config.model import ServerSpec
from mcpgateway.discovery.naming import server_hint
from mcpgateway.errors import (
    GatewayError,
    InvalidParams,
    NeedsApproval,
    NeedsAuthorization,
    Overloaded,
    ShuttingDown,
    SwitchedOff,
    Unreachable,
)
from mcpgateway.hints import cli
from mcpgateway.hub.dispatch import LegacyDispatcher
from mcpgateway.hub.health.health import Health
from mcpgateway.manage.internal_client import InternalClient
from mcpgateway.observe.overview import OpenNeed
from mcpgateway.policy.health import HealthState
from mcpgateway.policy.readiness import APPROVAL, AUTHORIZATION, Code, ReadinessFacts, Verdict, judge, worst
from mcpgateway.units import duration

NAMES_LIMIT = 100
WAITING_LIMIT = 20
AGAIN_S = 1.0  # between two attempts to reach a server
WAIT_S, WAIT_MOST_S = 20.0, 600.0
OURSELVES = "local"
WORKS = Verdict(Code.READY, "each session starts a process of its own, and one has been seen to work")
GATEWAY_OFF = Verdict(Code.NEEDS_YOU, "the whole gateway is switched off", cli("clients resume"))


def _no_need(_: ServerSpec) -> OpenNeed | None:
    return None


@define(eq=False, repr=False)
class Readiness:
    """Reports the readiness of servers, and starts those that a caller waits for.

    A server that keeps state per session has no child that could wait for its clients: it is started once, as a test,
    and stopped again.

    :ivar is_disabled: returns True while the whole gateway is switched off softly.
    :ivar needs: returns the need of a server without a child that its user has to see to before a call can start it.
    """

    dispatcher: LegacyDispatcher = field(repr=False)
    health: Health = field(repr=False)
    clock: Any = field(repr=False)
    is_disabled: Callable[[], bool] = bool
    needs: Callable[[ServerSpec], OpenNeed | None] = _no_need
    _waiting: int = field(default=0, init=False)

    def look(self, names: Sequence[str]) -> dict[str, Any]:
        """Return the readiness of servers of these names, each and together; no server is started.

        :raise InvalidParams: too many names, or none.
        """
        found = {name: self._judge(name) for name in _checked(names)}
        return _as_json(found)

    async def wait(self, names: Sequence[str], limit_s: float = WAIT_S) -> dict[str, Any]:
        """Start servers, and return their readiness once each has started or failed, or the time is over.

        :raise InvalidParams: too many names, or none.
        :raise Overloaded: too many callers wait already, each with a connection of its own.
        """
        limit_s = min(limit_s, WAIT_MOST_S)
        checked = _checked(names)
        if self._waiting >= WAITING_LIMIT:
            raise Overloaded(f"{WAITING_LIMIT} wait for servers already", "try again in a moment")
        self._waiting += 1
        try:
            waits = [ensureDeferred(self._wait(name, limit_s)) for name in checked]
            results = await DeferredList(waits, fireOnOneErrback=True, consumeErrors=True)
        finally:
            self._waiting -= 1
        return _as_json({name: verdict for name, (_, verdict) in zip(checked, results, strict=True)})

    def _judge(self, name: str) -> Verdict:
        if self.is_disabled():
            return GATEWAY_OFF
        server = self.dispatcher.servers.get(name)
        if server is None:
            return self._of_nobody(name)
        found = judge(self._facts(server))
        need = self.needs(server) if found.code is Code.NEEDS_START else None
        return found if need is None else Verdict(Code.FAILED, need.says, need.do)

    def _facts(self, server: ServerSpec) -> ReadinessFacts:
        slots = [slot for slot in self.dispatcher.pool if slot.server.name == server.name]
        shown = self.health.shown(server, slots)
        records = {self.health.record(server), *(each.record for each in self.health.instances(server.name))}
        needs = next((each.needs for each in records if each.needs and not each.server.principal), "")
        is_off = any(each.is_off for each in records)
        return ReadinessFacts(server.name, HealthState(shown["status"]), needs, is_off, shown["last_error"])

    def _of_nobody(self, name: str) -> Verdict:
        repositories = self.dispatcher.scopes.repositories
        for each in repositories.waiting() if repositories is not None else ():
            if name in each["servers"]:
                path = printable(str(each["path"]))
                why = f"it is defined by {path}, which its user has not approved as it is now"
                return Verdict(Code.NEEDS_YOU, why, cli("config approve {}", path))
        known = [each.name for each in self.dispatcher.servers.values() if not each.view]
        return Verdict(Code.FAILED, f"Unknown server: {name}", server_hint(name, known))

    async def _wait(self, name: str, limit_s: float) -> Verdict:
        verdict = self._judge(name)
        server = self.dispatcher.servers.get(name)
        if server is None or verdict.code in (Code.READY, Code.NEEDS_YOU):
            return verdict
        started: Deferred[Verdict] = ensureDeferred(self._start(server))
        started.addTimeout(limit_s, self.clock)
        try:
            return await started
        except (defer.TimeoutError, defer.CancelledError):
            late = f"it was not ready within {duration(limit_s)}"
            verdict = self._judge(name)
            if verdict.code is Code.READY:
                return verdict
            return Verdict(verdict.code, f"{late}: {verdict.why}", cli("why {}", name))

    async def _start(self, server: ServerSpec) -> Verdict:
        while True:
            try:
                await self._visit(server)
            except (Unreachable, ShuttingDown) as why:
                if not self.dispatcher.is_open:
                    return Verdict(Code.FAILED, why.message, why.advice)
                await deferLater(self.clock, AGAIN_S)
            except GatewayError as why:
                return self._failed(server.name, why)
            else:
                verdict = self._judge(server.name)
                return verdict if verdict.code is Code.READY else WORKS

    async def _visit(self, server: ServerSpec) -> None:
        visit = await InternalClient.begin(self.dispatcher, server, OURSELVES)
        try:
            if visit.session.slot is not None:
                await visit.session.slot.greet()  # its recorded lists may have sufficed so far
        finally:
            visit.end("it was waited for")

    def _failed(self, name: str, why: GatewayError) -> Verdict:
        server = self.dispatcher.servers.get(name)
        if server is None:
            return self._of_nobody(name)  # by now
        facts = self._facts(server)
        match why:
            case NeedsAuthorization():
                facts = replace(facts, needs=AUTHORIZATION, error=why.message)
            case NeedsApproval():
                facts = replace(facts, needs=APPROVAL, error=why.message)
            case SwitchedOff():
                pass
            case _:
                return Verdict(Code.FAILED, facts.error or why.message, cli("why {}", name))
        return judge(facts)


def _checked(names: Sequence[str]) -> list[str]:
    chosen = list(dict.fromkeys(each for each in names if each))
    if not 0 < len(chosen) <= NAMES_LIMIT:
        raise InvalidParams(
            f"expected the names of servers, and at most {NAMES_LIMIT}", "such as need=github,fetch"
        )
    return chosen


def _as_json(found: dict[str, Verdict]) -> dict[str, Any]:
    code = worst(each.code for each in found.values())
    servers = [
        {
            "name": name,
            "ready": each.code is Code.READY,
            "code": int(each.code),
            "state": each.code.word,
            "why": each.why,
            **({"hint": each.hint} if each.hint else {}),
        }
        for name, each in found.items()
    ]
    return {"ready": code is Code.READY, "code": int(code), "state": code.word, "servers": servers}
