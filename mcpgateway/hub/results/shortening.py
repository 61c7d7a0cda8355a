"""Stands between a tool and its caller, and shortens what is too much for a model to read."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from attrs import define, evolve
from msgspec import Raw
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpgateway.config.model import ServerSpec
from mcpgateway.config.surface import Level, ShieldLimits
from mcpgateway.discovery.records import Item
from mcpgateway.errors import GatewayError
from mcpgateway.hub.filters import Between
from mcpgateway.hub.results.originals import Vault
from mcpgateway.interfaces import Request
from mcpgateway.protocol.jsonrpc import Envelope
from mcpgateway.protocol.translate import COMPLETE, kind_of
from mcpgateway.truncation.masking import Mask, masked
from mcpgateway.truncation.results import Shortened, is_small, shorten, with_note

PAGES = "/mcp"  # where whoever is at the endpoint of a single server is shown the rest
Saved = Callable[[str, int, int], None]
"""Told of every result that was shortened: its server (empty: the gateway itself), its bytes before and after."""


def _as_it_is(text: str) -> tuple[str, int]:
    return text, 0


def _unheard(server: str, before: int, after: int) -> None:
    """Nobody counts."""


@define(eq=False)
class _Shield(Between):
    """Shortens one answer."""

    shielding: Shielding
    item: Item | None
    level: Level
    principal: str
    is_direct: bool
    is_own: bool
    former: Any = None  # the holder of its call, which has it still where that is a tool of the gateway's own

    def answered(self, call: Request, reply: Envelope) -> None:
        """The server's own response, which the caller gets a short form of if it is too much."""
        result = reply.get("result")
        if result is None or self.shielding.passes(result, self.level) or kind_of(result) != COMPLETE:
            self.sink.answered(call, reply)  # an error, a question, or a task
            return
        self.shielding.hold(call, self, reply)
        done = self.shielding.shield(
            result, self.item, self.level, self.principal, is_direct=self.is_direct, is_own=self.is_own
        )
        done.addCallback(self._pass_on, call)

    def _pass_on(self, result: Raw, call: Request) -> None:
        reply = self.shielding.release(call, self)
        if reply is not None:
            reply["result"] = result
            self.sink.answered(call, reply)

    def failed(self, call: Request, why: GatewayError) -> None:
        """The gateway answers in the server's place."""
        self.shielding.release(call, self)
        self.sink.failed(call, why)


class Shielding:
    """Shortens answers, and keeps their originals.

    What is large takes a while, in a thread; meanwhile its call is under way here and nowhere else.

    :ivar saved: told what that has saved.
    :param mask: takes secrets out of a text, for where they are masked.
    """

    log = Logger()

    def __init__(
        self,
        vault: Vault,
        limits: ShieldLimits,
        mask: Mask = _as_it_is,
    ) -> None:
        self.vault = vault
        self.saved: Saved = _unheard
        self._limits = limits
        self._mask = mask
        self._held: dict[Request, tuple[_Shield, Envelope]] = {}
        self._by_level = {each: evolve(limits, level=each) for each in Level}

    def passes(self, result: Raw, level: Level) -> bool:
        """Whether a result is passed on as it is, as most are; asked with every call."""
        return not self._limits.mask_secrets and is_small(result, self._by_level[level])

    def adopt(self, limits: ShieldLimits) -> None:
        """Work by other limits from now on."""
        self._limits = limits
        self._by_level = {each: evolve(limits, level=each) for each in Level}
        self.vault.set_limits(limits.keep, limits.keep_bytes)

    def level(self, server: ServerSpec, tool: str, asked: Level | None = None) -> Level:
        """How much is shown: what the call asks for, else what its tool, its server or the gateway is set to."""
        return asked or server.shield_tools.get(tool) or server.shield or self._limits.level

    def over(
        self,
        call: Request,
        item: Item | None,
        level: Level,
        principal: str,
        *,
        is_direct: bool = False,
        is_own: bool = False,
    ) -> None:
        """Put the shield between a call of a tool and whoever waits for its answer.

        :param item: the tool; None for one of the gateway's own, and for one that no list has.
        :param principal: who calls, for whom the original is kept.
        :param is_direct: it is called at its server's own endpoint, where no tool of the gateway's is.
        :param is_own: it is one of the gateway's own, whose lists keep whole items.
        """
        if call.method == "tools/call" and (level is not Level.OFF or self._limits.mask_secrets):
            call.sink = _Shield(call.sink, self, item, level, principal, is_direct, is_own)

    def shield(
        self,
        result: Raw,
        item: Item | None,
        level: Level,
        principal: str,
        *,
        is_direct: bool = False,
        is_own: bool = False,
    ) -> Deferred[Raw]:
        """Fires with what the caller is given; never fails, because a long result is better than none."""
        elsewhere = PAGES if is_direct else ""
        shielded = self._shielded(result, item, level, principal, elsewhere, is_own=is_own)
        done = Deferred.fromCoroutine(shielded)
        return done.addErrback(self._broken, result)

    # The answers that are being shortened

    def hold(self, call: Request, shield: _Shield, reply: Envelope) -> None:
        """An answer is here."""
        self._held[call] = (shield, reply)
        shield.former, call.holder = call.holder, self

    def release(self, call: Request, shield: _Shield) -> Envelope | None:
        """An answer goes on; None where its call was taken back."""
        held = self._held.get(call)
        if held is None or held[0] is not shield:
            return None
        del self._held[call]
        return held[1]

    def calls(self) -> list[Request]:
        """The calls whose answers are being shortened."""
        return list(self._held)

    def withdraw(self, call: Request, reason: str) -> bool:
        """Take one of them back; false when it is not among them."""
        held = self._held.pop(call, None)
        if held is not None and held[0].former is not None:
            held[0].former.withdraw(call, reason)
        return held is not None

    def hurry(self, call: Request) -> bool:
        """Pass an answer on as it is, because there is no more time; false where it may hold secrets."""
        if call not in self._held or self._limits.mask_secrets:
            return False
        shield, reply = self._held.pop(call)
        shield.sink.answered(call, reply)
        return True

    def _broken(self, why: Failure, result: Raw) -> Raw:
        self.log.failure("a result could not be shortened", why, event="result.unshortened")
        return result

    async def _shielded(
        self, result: Raw, item: Item | None, level: Level, principal: str, elsewhere: str, *, is_own: bool
    ) -> Raw:
        count = 0
        size = len(bytes(result))
        if self._limits.mask_secrets:
            result, count = await self.vault.do(size, masked, result, self._mask)
        schema = item.output_schema if item is not None else None
        cut = partial(shorten, keeps_items=is_own)
        found = await self.vault.do(size, cut, result, evolve(self._limits, level=level), schema)
        if found is not None:
            shown = await self._kept(principal, result, item, found, count, elsewhere)
            if shown is not None:
                return shown
        return with_note(result, count) if count else result

    async def _kept(
        self, principal: str, original: Raw, item: Item | None, found: Shortened, count: int, elsewhere: str
    ) -> Raw | None:
        whole = bytes(original)
        known = self.vault.known(principal, whole)
        ref = known or self.vault.new_ref()
        made_by = f"{item.server}__{item.own}" if item is not None else ""
        if known is None and not await self.vault.keep(ref, principal, whole, made_by):
            return None  # what could not be had again is not cut
        shown = found.written(ref, masked=count, is_repeat=known is not None, elsewhere=elsewhere)
        self.saved(item.server if item is not None else "", len(whole), len(bytes(shown)))
        return shown
