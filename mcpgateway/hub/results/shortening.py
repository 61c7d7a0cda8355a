"""The filter between a tool and its caller that shortens results too large for a model."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Any

from attrs import evolve
from msgspec import Raw
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpgateway.config.model import ServerSpec
from mcpgateway.config.surface import Level, ShieldLimits
from mcpgateway.discovery.records import Item
from mcpgateway.errors import GatewayError
from mcpgateway.hub.filters import SinkFilter
from mcpgateway.hub.results.originals import Vault
from mcpgateway.interfaces import Request
from mcpgateway.protocol.jsonrpc import Envelope
from mcpgateway.protocol.translate import COMPLETE, kind_of
from mcpgateway.truncation.masking import Mask, masked
from mcpgateway.truncation.results import Shortened, is_small, shorten, with_note

PAGES = "/mcp"  # the endpoint at which clients of a single server's endpoint can read the rest
Saved = Callable[[str, int, int], None]
"""Called with every shortened result: its server (empty: the gateway itself), its bytes before and after."""


def _as_it_is(text: str) -> tuple[str, int]:
    return text, 0


def _unheard(server: str, before: int, after: int) -> None:
    """Ignore the saving."""


class _Shield(SinkFilter):
    """Shortens the answer to one call."""

    shielding: Shielding
    item: Item | None
    level: Level
    principal: str
    is_direct: bool
    is_own: bool
    most: int = 0
    former: Any = None  # the holder of its call before; still in charge of a tool of the gateway's own

    def answered(self, request: Request, reply: Envelope) -> None:
        """Take the server's response, and pass it on, shortened if it is too large."""
        result = reply.get("result")
        if result is not None:
            limits = self.shielding.limits(result, self.level, self.most)
            if not self.shielding.passes(result, limits) and kind_of(result) == COMPLETE:
                self._shorten(request, reply, result, limits)
                return
        self.sink.answered(request, reply)  # small, or an error, an input request, or a task

    def _shorten(self, request: Request, reply: Envelope, result: Raw, limits: ShieldLimits) -> None:
        self.shielding.hold(request, self, reply)
        if request.marks is not None:
            request.marks.shielding = perf_counter()
        done = self.shielding.shield(
            result, self.item, limits, self.principal, is_direct=self.is_direct, is_own=self.is_own
        )
        done.addCallback(self._pass_on, request)

    def _pass_on(self, result: Raw, request: Request) -> None:
        reply = self.shielding.release(request, self)
        if reply is not None:
            reply["result"] = result
            marks = request.marks
            if marks is not None:
                marks.shielded = perf_counter()
            self.sink.answered(request, reply)
            if marks is not None:
                marks.delivered = perf_counter()

    def failed(self, request: Request, why: GatewayError) -> None:
        """Take the gateway's error, and pass it on."""
        self.shielding.release(request, self)
        self.sink.failed(request, why)


class Shielding:
    """Shortens the answers to calls, and keeps their originals.

    A large answer is shortened in a thread; meanwhile its call is under way here and nowhere else.

    :ivar saved: called with the saving of each shortened result.
    :param mask: removes secrets from a text, where they are to be masked.
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

    def limits(self, result: Raw, level: Level, most: int) -> ShieldLimits:
        """Return the limits of a result.

        :param most: its bytes, where a budget allows no more; 0 for any.
        """
        limits = self._by_level[level]
        if not 0 < most < len(bytes(result)):
            return limits
        total = most if level is Level.OFF else min(most, limits.total_bytes)
        return evolve(limits, level=Level.LEAN if level is Level.LEAN else Level.BOUNDED, total_bytes=total)

    def passes(self, result: Raw, limits: ShieldLimits) -> bool:
        """True if a result is passed on unchanged, as most are; needed with every call."""
        is_off = limits.level is Level.OFF
        return not self._limits.mask_secrets and (is_off or is_small(result, limits))

    def configure(self, limits: ShieldLimits) -> None:
        """Use changed limits."""
        self._limits = limits
        self._by_level = {each: evolve(limits, level=each) for each in Level}
        self.vault.configure(limits.keep, limits.keep_bytes)

    def level(self, server: ServerSpec, tool: str, asked: Level | None = None) -> Level:
        """Return the level of shortening: that of the call, else of its tool, its server or the gateway."""
        return asked or server.shield_tools.get(tool) or server.shield or self._limits.level

    def over(
        self,
        request: Request,
        item: Item | None,
        level: Level,
        principal: str,
        *,
        is_direct: bool = False,
        is_own: bool = False,
        most: int = 0,
    ) -> None:
        """Put the filter between a call of a tool and the call's sink.

        :param item: the tool; None for one of the gateway's own, and for one that no list has.
        :param principal: the caller's principal, for whom the original is kept.
        :param is_direct: True for a call at its server's own endpoint, which has no tools of the gateway.
        :param is_own: True for a tool of the gateway's own, whose lists keep whole items.
        :param most: the bytes that a budget allows; 0 for any.
        """
        if request.method == "tools/call" and (level is not Level.OFF or self._limits.mask_secrets or most):
            request.sink = _Shield(request.sink, self, item, level, principal, is_direct, is_own, most)

    def shield(
        self,
        result: Raw,
        item: Item | None,
        limits: ShieldLimits,
        principal: str,
        *,
        is_direct: bool = False,
        is_own: bool = False,
    ) -> Deferred[Raw]:
        """Shorten a result; fires with the result for the caller, unchanged after an error, and never fails."""
        elsewhere = PAGES if is_direct else ""
        shielded = self._shielded(result, item, limits, principal, elsewhere, is_own=is_own)
        done = Deferred.fromCoroutine(shielded)
        return done.addErrback(self._broken, result)

    # Answers that are being shortened

    def hold(self, request: Request, shield: _Shield, reply: Envelope) -> None:
        """Hold the answer of a call while it is shortened."""
        self._held[request] = (shield, reply)
        shield.former, request.holder = request.holder, self

    def release(self, request: Request, shield: _Shield) -> Envelope | None:
        """Release the held answer of a call; None where the call was cancelled."""
        held = self._held.get(request)
        if held is None or held[0] is not shield:
            return None
        del self._held[request]
        return held[1]

    def calls(self) -> list[Request]:
        """Return the calls whose answers are being shortened."""
        return list(self._held)

    def withdraw(self, request: Request, reason: str) -> bool:
        """Cancel one of these calls; return False when it is none of them."""
        held = self._held.pop(request, None)
        if held is not None and held[0].former is not None:
            held[0].former.withdraw(request, reason)
        return held is not None

    def answer_now(self, request: Request) -> bool:
        """Pass a held answer on unchanged, for lack of time; return False if secrets are to be masked."""
        if request not in self._held or self._limits.mask_secrets:
            return False
        shield, reply = self._held.pop(request)
        shield.sink.answered(request, reply)
        return True

    def _broken(self, why: Failure, result: Raw) -> Raw:
        self.log.failure("a result could not be shortened", why, event="result.unshortened")
        return result

    async def _shielded(
        self,
        result: Raw,
        item: Item | None,
        limits: ShieldLimits,
        principal: str,
        elsewhere: str,
        *,
        is_own: bool,
    ) -> Raw:
        count = 0
        size = len(bytes(result))
        if self._limits.mask_secrets:
            result, count = await self.vault.do(size, masked, result, self._mask)
        schema = item.output_schema if item is not None else None
        cut = partial(shorten, keeps_items=is_own)
        found = await self.vault.do(size, cut, result, limits, schema)
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
        former = f"Same as {known}, which you have been given before." if known else ""
        if made_by and not known:
            former = await self.vault.compared(principal, made_by, whole)
        if known is None and not await self.vault.keep(ref, principal, whole, made_by):
            return None  # a result that is not kept is not shortened
        shown = found.written(ref, masked=count, former=former, elsewhere=elsewhere)
        self.saved(item.server if item is not None else "", len(whole), len(bytes(shown)))
        return shown
