"""Store the accounts at remote servers: grants, their clients, and the gateway's registrations.

Each owner's account has a file of its own.  The registration, which all owners share, is in the file of the gateway's
own user.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import asdict, define, field, frozen
from twisted.internet.defer import Deferred

from mcpgateway.interfaces import IGrants
from mcpgateway.policy.oauth.client import EARLY_S, Grant, OAuthClient, Registration


@frozen
class AccountRecord:
    """The stored state of one account.

    :ivar client: the client that the grant was given to; None if it is unknown.
    """

    grant: Grant | None = None
    client: OAuthClient | None = None


@define(eq=False, repr=False)
class AccountBook:
    """Reads and writes the records of accounts."""

    _grants: IGrants
    _pages: dict[str, dict[str, Any]] = field(factory=dict, init=False, repr=False)  # as last read

    def read(self, key: str) -> AccountRecord:
        """Return the record of an account."""
        page = self._pages[key] = self._grants.read(key)
        return AccountRecord(_grant(page.get("grant")), _client(page.get("granted_to")))

    def news(self, key: str) -> AccountRecord | None:
        """Return the record of an account if another program has written it meanwhile; else None."""
        former = self._pages.get(key)
        stored = self.read(key)
        return stored if self._pages[key] not in (former, {}) else None

    def turn(self, key: str) -> Deferred[Callable[[], object]]:
        """Take the turn to renew a grant (`IGrants.turn`)."""
        return self._grants.turn(key)

    def drop(self, is_meant: Callable[[str], bool]) -> None:
        """Forget what was read of some accounts, which another gateway has changed."""
        self._pages = {key: page for key, page in self._pages.items() if not is_meant(key)}

    def keep(self, key: str, owner: str, grant: Grant | None, client: OAuthClient | None) -> None:
        """Store the grant of an account, or that it has none."""
        page = self._page(key)
        page |= {"key": key, "owner": owner}
        page["grant"] = asdict(grant) if grant is not None else None
        page["granted_to"] = asdict(client) if client is not None else None
        self._grants.write(key, page)

    def registration(self, base: str) -> Registration | None:
        """Return the gateway's registration, which all owners share."""
        return _registration(self._page(base).get("client"))

    def register(self, base: str, made: Registration | None) -> None:
        """Store the gateway's registration, or that it has none."""
        page = self._page(base)
        if made is None:
            page.pop("client", None)
        else:
            members = asdict(made, recurse=False)
            page["client"] = {name: value for name, value in members.items() if name != "client"}
            page["client"] |= asdict(made.client)
        self._grants.write(base, page)

    def erase(self, key: str) -> None:
        """Delete the record of an account."""
        self._pages.pop(key, None)
        self._grants.erase(key)

    def keys_of(self, is_meant: Callable[[str], bool]) -> list[str]:
        """Return the keys of the stored accounts, chosen by their owners."""
        pages = list(self._grants.every())
        return [str(page["key"]) for page in pages if page.get("key") and is_meant(str(page.get("owner")))]

    def _page(self, key: str) -> dict[str, Any]:
        if key not in self._pages:
            self._pages[key] = self._grants.read(key)
        # The written record is compared with the one on the disk, so it is not changed afterwards.
        page = self._pages[key] = dict(self._pages[key])
        return page


def _registration(stored: Any) -> Registration | None:
    client = _client(stored)
    if client is None:
        return None
    names = ("issuer", "redirect", "scope", "manage_url", "manage_token")
    return Registration(
        client,
        expires=_seconds(stored.get("expires")),
        by_device=stored.get("by_device") is True,
        **{name: str(stored.get(name) or "") for name in names},
    )


def _client(stored: Any) -> OAuthClient | None:
    if not isinstance(stored, dict) or not isinstance(stored.get("id"), str):
        return None
    return OAuthClient(stored["id"], str(stored.get("secret") or ""), str(stored.get("method") or ""))


def _grant(stored: Any) -> Grant | None:
    if not isinstance(stored, dict) or not isinstance(stored.get("access_token"), str):
        return None
    expires = _seconds(stored.get("expires"))
    renew_at = _seconds(stored.get("renew_at")) if "renew_at" in stored else max(0.0, expires - EARLY_S)
    return Grant(
        stored["access_token"],
        expires=expires,
        renew_at=renew_at,
        **{name: str(stored.get(name) or "") for name in ("refresh_token", "scope", "issuer")},
    )


def _seconds(stored: Any) -> float:
    return float(stored) if isinstance(stored, int | float) and not isinstance(stored, bool) else 0.0
