"""Gather the facts of a request and have them judged, before its body is read."""

from __future__ import annotations

from typing import Any

from mcpgateway.hub.tokens import Tokens
from mcpgateway.rules.access import Credential, Facts, Pass, Policy, Reach, RouteClass, Verdict, judge

SAFE_METHODS = frozenset((b"GET", b"HEAD", b"OPTIONS"))
REMEMBERED = 64  # Host names seen to pass; a hostile client cannot make the memory grow


class Guard:
    """Judges every request of every door."""

    def __init__(self, policy: Policy, tokens: Tokens) -> None:
        self._policy = policy
        self._tokens = tokens
        self._plain: dict[tuple[bytes | None, RouteClass, Reach], Verdict] = {}

    def adopt(self, policy: Policy) -> None:
        """Judge by another policy from now on."""
        self._policy = policy
        self._plain.clear()

    def judge(self, exchange: Any, route: RouteClass) -> Verdict:
        """Pass or refuse; a request with nothing but a Host header is remembered by it."""
        headers = exchange.headers
        host = headers.get(b"host")
        reach = exchange.caller.reach
        if b"origin" in headers or b"sec-fetch-site" in headers or b"authorization" in headers:
            return self._judge(exchange, route, reach)
        key = (host, route, reach)
        verdict = self._plain.get(key)
        if verdict is None:
            verdict = self._judge(exchange, route, reach)
            if isinstance(verdict, Pass) and len(self._plain) < REMEMBERED:
                self._plain[key] = verdict
        return verdict

    def _judge(self, exchange: Any, route: RouteClass, reach: Reach) -> Verdict:
        headers = exchange.headers
        credential = self._tokens.judge(headers.get(b"authorization"))
        if reach is not Reach.REMOTE and credential is Credential.WRONG and not self._policy.bearer_required:
            # A local client may carry a token meant for the server behind us, or one that was rotated.
            credential = Credential.NONE
        facts = Facts(
            route,
            reach,
            exchange.method in SAFE_METHODS,
            exchange.secure,
            headers.get(b"host"),
            headers.get(b"origin"),
            headers.get(b"sec-fetch-site"),
            credential,
        )
        return judge(facts, self._policy)
