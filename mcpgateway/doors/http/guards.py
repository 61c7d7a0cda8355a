"""Gather the facts of a request and have them judged, before its body is read.

# Note [Wrong tokens]
From other machines so many wrong tokens are heard within a minute, and then none, right or wrong.  From this machine a
right one is always heard: all of its clients share an address, and one that has lost its mind must not lock the others
out.  Whoever a proxy speaks for is counted by what the proxy says, which can only do harm to whoever says so.
"""

from __future__ import annotations

from typing import Any

from attrs import evolve

from mcpgateway.hub.bearers import Bearers
from mcpgateway.rules.access import (
    NOBODY,
    Credential,
    Deny,
    Facts,
    Holder,
    Pass,
    Policy,
    Reach,
    RouteClass,
    Verdict,
    is_forwarded,
    judge,
    spoken_for,
)
from mcpgateway.rules.knocking import Knocks

SAFE_METHODS = frozenset((b"GET", b"HEAD", b"OPTIONS"))
REMEMBERED = 64  # Host names seen to pass; a hostile client cannot make the memory grow
BAD = (Credential.WRONG, Credential.OVER)


class Guard:
    """Judges every request of every door."""

    def __init__(self, policy: Policy, bearers: Bearers) -> None:
        self._policy = policy
        self._bearers = bearers
        self._knocks = Knocks(bearers.seconds)
        self._plain: dict[tuple[bytes | None, RouteClass, Reach], Verdict] = {}

    def adopt(self, policy: Policy) -> None:
        """Judge by another policy from now on."""
        self._policy = policy
        self._plain.clear()

    def judge(self, exchange: Any, route: RouteClass) -> Verdict:
        """Pass or refuse; a request with nothing but a Host header is remembered by it."""
        reach = exchange.caller.reach
        if exchange.head.is_telling:
            return self._judge(exchange, route)
        key = (exchange.headers.get(b"host"), route, reach)
        verdict = self._plain.get(key)
        if verdict is None:
            verdict = self._judge(exchange, route)
            # Other machines are told apart by their addresses.
            if isinstance(verdict, Pass) and reach is not Reach.REMOTE and len(self._plain) < REMEMBERED:
                self._plain[key] = verdict
        return verdict

    def _judge(self, exchange: Any, route: RouteClass) -> Verdict:
        headers = exchange.headers
        address = getattr(exchange.caller.address, "host", "")
        if is_forwarded(headers):
            # See Note [Through a proxy] in `mcpgateway.rules.access`.
            exchange.caller = evolve(exchange.caller, reach=Reach.REMOTE, pid=0, inode=0)
            knocker, address = f"{address} {spoken_for(headers)}", ""
        else:
            knocker = address
        reach = exchange.caller.reach
        holder = self._holder(exchange)
        if holder is not NOBODY and reach is Reach.REMOTE and (wait := self._knocks.wait(knocker)):
            return too_many(wait)
        facts = Facts(
            route,
            reach,
            exchange.method in SAFE_METHODS,
            exchange.secure,
            headers.get(b"host"),
            headers.get(b"origin"),
            headers.get(b"sec-fetch-site"),
            holder.credential,
            holder.name,
            holder.scope,
            address if reach is Reach.REMOTE else "",
        )
        verdict = judge(facts, self._policy)
        if isinstance(verdict, Pass):
            return evolve(verdict, project=holder.project) if holder.project else verdict
        if holder.credential in BAD and verdict.status == 401 and (wait := self._knocks.failed(knocker)):
            return too_many(wait)
        return verdict

    def _holder(self, exchange: Any) -> Holder:
        headers = exchange.headers
        holder = self._bearers.judge(headers.get(b"authorization"), headers.get(b"x-api-key"))
        if (
            holder.credential is Credential.WRONG
            and exchange.caller.reach is not Reach.REMOTE
            and not self._policy.bearer_required
        ):
            # A local client may carry a token meant for the server behind us, or one that was rotated.
            return NOBODY
        return holder


def too_many(wait_s: int) -> Deny:
    """The refusal of whoever has shown too many wrong tokens."""
    return Deny(429, "Too many wrong tokens have come from there; wait a while", wait_s)
