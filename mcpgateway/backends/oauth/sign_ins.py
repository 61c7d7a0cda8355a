"""The open sign-ins of users: each has a URL of an authorization server, and a state that its callback returns.

# Note [Whose sign-in it is]
The account of a sign-in belongs to the principal that began it.  Its state cannot be guessed, and no other principal
gets it.  But any person with the URL may open it and sign in with an account of their own, which the principal would
use from then on.  So if tokens tell principals apart, the page after the callback names the principal, and the user of
the browser has to confirm; and pasted text counts for the principal's own sign-ins only.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from attrs import define, field

from mcpgateway.backends.oauth.authorization_server import word
from mcpgateway.errors import InvalidParams, NeedsAuthorization
from mcpgateway.policy.oauth import client as oauth
from mcpgateway.policy.oauth.client import AuthServer, OAuthClient

OPEN_S = 900.0  # how long a user may take, since the URL was last shown
OPEN_LIMIT = 1000
OF_OWNER_LIMIT = 100
WORDS_LIMIT = 8192  # characters of pasted text


@define(eq=False, repr=False)
class SignIn:
    """A sign-in under way.

    :ivar account: its `mcpgateway.backends.oauth.flow.Account`.
    :ivar url: the address at which the user signs in.
    :ivar until: the time at which it is forgotten, in the clock's seconds.
    :ivar begun: the time at which it was made.
    :ivar code: the returned code, which waits for the user's confirmation; empty before.
    :ivar key: the key of the confirmation.
    """

    account: Any
    server: AuthServer
    client: OAuthClient
    redirect: str
    scope: str
    url: str = field(repr=False)
    state: str = field(repr=False)
    verifier: str = field(repr=False)
    begun: float
    until: float
    code: str = field(default="", repr=False)
    key: str = field(default="", repr=False)


class SignIns:
    """All open sign-ins, by their states.

    :param mark: returns the mark of this node, with which states begin; empty for a gateway that is alone.
    """

    def __init__(self, clock: Any, mark: Callable[[], str] = str) -> None:
        self._clock = clock
        self._mark = mark
        self._open: dict[str, SignIn] = {}

    def begin(
        self, account: Any, server: AuthServer, client: OAuthClient, redirect: str, scope: str
    ) -> SignIn:
        """Begin a sign-in for the owner of an account; an earlier one of the account ends."""
        self.drop(account)
        state = self._mark() + secrets.token_urlsafe(32)
        verifier = secrets.token_urlsafe(64)
        challenge, resource = oauth.code_challenge(verifier), oauth.resource_of(account.remote.url)
        url = oauth.authorization_url(server, client, redirect, state, challenge, scope, resource)
        now = self._clock.seconds()
        made = SignIn(account, server, client, redirect, scope, url, state, verifier, now, now + OPEN_S)
        self._open[state] = made
        self._make_room(account.owner)
        return made

    def _make_room(self, owner: str) -> None:
        # A principal with many sign-ins loses its own oldest one.
        states = [state for state, each in self._open.items() if each.account.owner == owner]
        for state in states[: max(0, len(states) - OF_OWNER_LIMIT)]:
            del self._open[state]
        while len(self._open) > OPEN_LIMIT:
            del self._open[next(iter(self._open))]

    def of(self, account: Any) -> SignIn | None:
        """Return the open sign-in of an account, whose URL is shown now; None if there is none."""
        self._tidy()
        sign_ins = (each for each in self._open.values() if each.account is account and not each.code)
        found = next(sign_ins, None)
        if found is not None:
            found.until = self._clock.seconds() + OPEN_S
        return found

    def is_held(self, account: Any) -> bool:
        """Return whether a returned sign-in waits for the confirmation of its user."""
        self._tidy()
        return any(each.code and each.account is account for each in self._open.values())

    def drop(self, account: Any) -> None:
        """Forget the open sign-in of an account; one that has returned still waits for its confirmation."""
        self._open = {
            state: each for state, each in self._open.items() if each.code or each.account is not account
        }

    def _tidy(self) -> None:
        now = self._clock.seconds()
        self._open = {state: each for state, each in self._open.items() if each.until > now}

    # Callbacks

    def returned(self, query: Mapping[str, str]) -> SignIn:
        """Return the sign-in of a browser's callback, with the code, and close it.

        :raise NeedsAuthorization: no such sign-in is open, or the user or the server has refused.
        """
        self._tidy()
        found = self._open.get(query.get("state", ""))
        if found is None:
            raise NeedsAuthorization("This answer belongs to no question of this gateway, or came too late")
        return self._take(found, query)

    def pasted(self, account: Any, words: str) -> SignIn:
        """Take the redirect URL, its query, or the code, as pasted by the user.

        :raise InvalidParams: the text is none of these, or belongs to another sign-in.
        :raise NeedsAuthorization: no such sign-in is open, or the user or the server has refused.
        """
        found = self.of(account)
        if found is None:
            raise NeedsAuthorization("no sign-in is open, or it was open for too long", "begin it anew")
        query = _query(words)
        if query.get("state", found.state) != found.state:
            raise InvalidParams(
                "what was pasted belongs to another sign-in",
                "paste the address that the browser was sent to after the last URL that was shown",
            )
        if "state" not in query and found.server.says_issuer:
            raise InvalidParams("the code alone does not say whose it is", "paste the whole address")
        return self._take(found, query)

    def _take(self, found: SignIn, query: Mapping[str, str]) -> SignIn:
        del self._open[found.state]
        issuer = query.get("iss")
        if issuer != found.server.issuer and (
            issuer is not None or ("state" in query and found.server.says_issuer)
        ):
            raise NeedsAuthorization("the answer is from another authorization server")
        if not query.get("code"):
            raise Declined(word(query.get("error", "no code")), found)
        found.code = query["code"]
        return found

    # The user's confirmation; see Note [Whose sign-in it is]

    def hold(self, found: SignIn) -> SignIn:
        """Keep a returned sign-in until its user confirms it."""
        found.key = self._mark() + secrets.token_urlsafe(32)
        found.until = self._clock.seconds() + OPEN_S
        self._open[found.key] = found
        return found

    def agreed(self, key: str) -> SignIn:
        """Return the sign-in that its user has confirmed.

        :raise NeedsAuthorization: no sign-in waits for that key.
        """
        self._tidy()
        found = self._open.get(key)
        if found is None or found.key != key:
            raise NeedsAuthorization("This answer belongs to no question of this gateway, or came too late")
        del self._open[key]
        return found


class Declined(NeedsAuthorization):
    """The user or the authorization server has refused; the message is the OAuth error code."""

    def __init__(self, message: str, sign_in: SignIn | None = None) -> None:
        super().__init__(message)
        self.sign_in = sign_in


def _query(words: str) -> dict[str, str]:
    text = words.strip()
    if len(text) > WORDS_LIMIT or not text or not text.isascii() or not text.isprintable() or " " in text:
        raise InvalidParams(
            "that is neither a URL nor a code",
            "paste the address that the browser was sent to, from http to its end",
        )
    if any(mark in text for mark in ("?", "code=", "error=")):
        query = urlsplit(text).query if "?" in text else text
        found = dict(parse_qsl(query))
        if not ("code" in found or "error" in found):
            raise InvalidParams("there is no code in that address", "paste the one after the last redirect")
        if "state" not in found:
            raise InvalidParams("there is no state in that address", "paste all of it")
        return found
    return {"code": text}
