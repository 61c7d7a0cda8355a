"""Revoke the grants at remote servers of principals whose credentials have ended."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from mcpgateway.manage.credentials import KEY, PROJECT, CredentialStore
from mcpgateway.policy.access import ADDRESS
from mcpgateway.policy.agent_tokens import AGENT
from mcpgateway.policy.oauth.resource import SUBJECT, is_subject_of
from mcpgateway.records import Record

if TYPE_CHECKING:
    from mcpgateway.manage.logins import Logins


def _always() -> bool:
    return True


class DepartedPrincipals(Record):
    """Revokes the grants of principals whose credentials have ended.

    :ivar is_sure: returns whether the gateway knows which credentials are valid, and is the one to revoke.
    :ivar issuer: the authorization server whose subjects are admitted; empty for none.
    :param trusts: predicate: clients at an address need no credential.
    :param grants: returns the stored grants, each with its ``owner``.
    """

    _bearers: CredentialStore
    _trusts: Callable[[str], bool]
    _grants: Callable[[], Iterable[Mapping[str, Any]]]
    _logins: Callable[[], Logins]
    issuer: str = ""
    is_sure: Callable[[], bool] = _always

    def begin(self) -> None:
        """Revoke the grants of agents whose tokens have ended while no gateway ran.

        Of agents only: a principal that the settings do not name now may be admitted again.
        """
        self._revoke(lambda principal: principal.startswith(f"{AGENT} ") and self.is_over(principal))

    def look(self) -> None:
        """Revoke the grants of all departed principals."""
        self._revoke(self.is_over)

    def _revoke(self, is_over: Callable[[str], bool]) -> None:
        if self.is_sure() and any(is_over(str(each.get("owner", ""))) for each in self._grants()):
            self._logins().leave(is_over)

    def is_over(self, principal: str) -> bool:
        """Return whether no credential admits a principal any more.

        A principal whose token of an authorization server has expired returns with another one.
        """
        kind, _, who = principal.partition(" ")
        if kind in (AGENT, KEY, PROJECT):
            return not self._bearers.knows(principal)
        if kind == SUBJECT:
            return not is_subject_of(self.issuer, principal)
        return kind == ADDRESS and not self._trusts(who)
