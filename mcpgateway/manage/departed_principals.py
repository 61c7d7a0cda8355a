"""Principals who come no more, and what they leave behind at remote servers: grants, which are given back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from attrs import define, field

from mcpgateway.manage.credentials import KEY, PROJECT, Bearers
from mcpgateway.policy.access import ADDRESS
from mcpgateway.policy.agent_tokens import AGENT
from mcpgateway.policy.oauth.resource import SUBJECT, is_subject_of

if TYPE_CHECKING:
    from mcpgateway.manage.logins import Logins


@define(eq=False)
class Leaving:
    """Looks for them.

    :ivar issuer: the authorization server whose subjects are let in; empty for none.
    :param trusts: whether clients at an address need no credential.
    :param kept: what is kept of grants, each with its ``owner``.
    """

    _bearers: Bearers
    _trusts: Callable[[str], bool]
    _kept: Callable[[], Iterable[Mapping[str, Any]]]
    _logins: Callable[[], Logins] = field(repr=False)
    issuer: str = ""

    def begin(self) -> None:
        """Look for agents whose tokens have ended while no gateway ran.

        Not for others: whom the settings let in may be others for this time only.
        """
        self._give_back(lambda principal: principal.startswith(f"{AGENT} ") and self.is_over(principal))

    def look(self) -> None:
        """Look for all."""
        self._give_back(self.is_over)

    def _give_back(self, is_over: Callable[[str], bool]) -> None:
        if any(is_over(str(each.get("owner", ""))) for each in self._kept()):
            self._logins().leave(is_over)

    def is_over(self, principal: str) -> bool:
        """Whether nobody can come as a principal any more, as things are.

        One whose token of an authorization server has ended comes again with another.
        """
        kind, _, who = principal.partition(" ")
        if kind in (AGENT, KEY, PROJECT):
            return not self._bearers.knows(principal)
        if kind == SUBJECT:
            return not is_subject_of(self.issuer, principal)
        return kind == ADDRESS and not self._trusts(who)
