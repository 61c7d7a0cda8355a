"""Budgets of tokens: the size of all results that one client is given at a profile.

# Note [Whose budget it is]
A session has a budget of its own.  Requests without a session share one if they are of the same principal and of
clients of the same name; it begins anew after an hour without a call.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

from attrs import define

from mcpgateway.discovery.tokens import CHARACTERS_PER_TOKEN, estimate
from mcpgateway.hub.filters import SinkFilter
from mcpgateway.interfaces import Request
from mcpgateway.protocol.jsonrpc import Envelope
from mcpgateway.truncation.results import told

CLIENTS_LIMIT = 10_000
QUIET_S = 3600.0
WARNED_AT = 0.8  # of the budget
LEAST_BYTES = 1024  # of a result: room for a beginning, and for the way to the rest


@define(eq=False)
class ClientBudget:
    """The budget of one client.

    :ivar view: the path of the profile's endpoint, as people know it.
    :ivar budget: the tokens that it may be given.
    :ivar used: the tokens that it has been given.
    """

    view: str
    budget: int
    used: int = 0
    seen: float = 0.0

    @property
    def is_warned(self) -> bool:
        """True if most of the budget is used."""
        return self.used >= self.budget * WARNED_AT

    @property
    def is_spent(self) -> bool:
        """True if results are cut to their beginnings."""
        return self.used > self.budget - LEAST_BYTES // CHARACTERS_PER_TOKEN

    @property
    def most_bytes(self) -> int:
        """The bytes that the next result may have."""
        return max(LEAST_BYTES, (self.budget - self.used) * CHARACTERS_PER_TOKEN)

    def take(self, tokens: int) -> str:
        """Count a result; return the sentence for its reader, empty for most."""
        was_warned, was_spent = self.is_warned, self.is_spent
        self.used += tokens
        said = f"{self.used} of the {self.budget} tokens that {self.view} gives one client"
        if self.is_spent and not was_spent:
            return f"{said} are used. Results are cut to their beginnings now; gateway_get_result shows the rest."
        return f"{said} are used." if self.is_warned and not was_warned else ""


class Budgets:
    """The budgets of all clients.

    :param seconds: a clock.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._accounts: dict[tuple[str, Hashable], ClientBudget] = {}

    def account(self, view: str, budget: int, request: Request) -> ClientBudget:
        """Return the account of a request's client; the one that was used longest ago makes room for a new one."""
        key, now = (view, _client(request)), self._seconds()
        found = self._accounts.pop(key, None)
        if found is None or (request.session is None and now - found.seen > QUIET_S):
            found = ClientBudget(f"/{view}", budget)
        while len(self._accounts) >= CLIENTS_LIMIT:
            del self._accounts[next(iter(self._accounts))]
        self._accounts[key] = found
        found.budget, found.seen = budget, now
        return found

    def use_of(self, view: str) -> dict[str, int]:
        """Return how the clients of the last hour have used the budget of a profile.

        :return: the number of ``clients``, of those that are ``warned``, and of those whose results are ``cut``; the
            tokens of the client with the ``most``.
        """
        since = self._seconds() - QUIET_S
        lately = [each for (name, _), each in self._accounts.items() if name == view and each.seen >= since]
        return {
            "clients": len(lately),
            "most": max((each.used for each in lately), default=0),
            "warned": sum(each.is_warned for each in lately),
            "cut": sum(each.is_spent for each in lately),
        }


def _client(request: Request) -> tuple[Any, ...]:
    if request.session is not None:
        return (request.session.id or request.session.principal,)
    return request.caller.principal, request.caller.info


class BudgetFilter(SinkFilter):
    """Counts the result of a call for its client's budget."""

    account: ClientBudget

    def answered(self, request: Request, reply: Envelope) -> None:
        """Count the result, and pass it on, with a sentence where the budget is nearly used."""
        result: Any = reply.get("result")
        if result is not None and (words := self.account.take(estimate(bytes(result)))):
            reply["result"] = told(result, words)
        self.sink.answered(request, reply)
