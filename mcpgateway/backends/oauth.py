"""Get tokens for remote servers that want one (OAuth 2.1; `mcpgateway.rules.oauth` has the rules).

Nobody is asked before a server has refused the gateway.  Then there is a URL for the user, whose browser comes back to
the gateway's own callback; until that has happened every call is answered with that URL.
"""

from __future__ import annotations

import json
import secrets
from base64 import b64encode
from collections.abc import Callable, Coroutine, Mapping
from typing import Any
from urllib.parse import quote, urlsplit

from attrs import define, evolve, field, frozen
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpgateway import __version__
from mcpgateway.backends.dialling import Trust
from mcpgateway.backends.web import Web
from mcpgateway.backends.webanswer import WebAnswer
from mcpgateway.config.model import OAuth, Remote
from mcpgateway.errors import BackendError, GatewayError, NeedsAuthorization
from mcpgateway.interfaces import IGrants
from mcpgateway.rules import oauth
from mcpgateway.rules.oauth import AuthServer, Client, Grant

ASK_S = 10.0  # for each request of a flow
ANSWER_LIMIT = 1_048_576
FLOW_S = 900.0  # how long a user may take
FLOWS_LIMIT = 100
JSON = {"Accept": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}


@frozen
class Flow:
    """One question to the user that is open.

    :ivar url: where the user answers it.
    :ivar until: when it is forgotten, in the clock's seconds.
    """

    account: Account
    server: AuthServer
    client: Client
    redirect: str
    url: str = field(repr=False)
    verifier: str = field(repr=False)
    until: float


@define(eq=False)
class Account:
    """What the gateway is at one remote server.

    :ivar flow: the state of the question that is open, or empty.
    """

    name: str
    remote: Remote = field(repr=False)
    settings: OAuth = field(repr=False)
    key: str
    grant: Grant | None = field(default=None, repr=False)
    kept: dict[str, Any] = field(factory=dict, repr=False)
    flow: str = ""
    _waiting: list[Deferred[Any]] | None = field(default=None, repr=False)

    def once(self, do: Callable[[], Coroutine[Any, Any, None]]) -> Deferred[None]:
        """Do something unless it is being done; fires when it is."""
        done: Deferred[None] = Deferred()
        if self._waiting is not None:
            self._waiting.append(done)
            return done
        self._waiting = [done]
        Deferred.fromCoroutine(do()).addBoth(self._over)
        return done

    def _over(self, result: Failure | None) -> None:
        waiting, self._waiting = self._waiting or [], None
        for each in waiting:
            each.callback(result)


@frozen
class Authorizer:
    """Gives the requests to one server what they carry (`mcpgateway.backends.access.IAuthorizer`)."""

    _accounts: Accounts
    _account: Account

    def headers(self) -> Deferred[Mapping[str, str]]:
        """What a request carries now."""
        return self._accounts.headers(self._account)

    def refused(self, status: int, said: str, used: Mapping[str, str]) -> Deferred[Mapping[str, str]]:
        """A request was refused; fires with what it is to carry when it is tried once more."""
        return self._accounts.refused(self._account, status, said, used)


class Accounts:
    """The gateway's accounts at all remote servers.

    :param callback: where the user's browser is sent back to; a function, since the port is known late.
    """

    log = Logger()

    def __init__(
        self, clock: Any, web: Callable[[], Web], grants: IGrants, callback: Callable[[], str]
    ) -> None:
        self._clock = clock
        self._web = web
        self._grants = grants
        self._callback = callback
        self._accounts: dict[str, Account] = {}
        self._flows: dict[str, Flow] = {}

    def of(self, name: str, remote: Remote) -> Account:
        """The account at a server; what one entry was granted is never used for another URL or client."""
        settings = remote.oauth or OAuth()
        key = json.dumps([name, oauth.resource_of(remote.url), settings.client_id, list(settings.scopes)])
        account = self._accounts.get(key)
        if account is None:
            kept = self._grants.read(key)
            account = Account(name, remote, settings, key, _grant(kept.get("grant")), kept)
            self._accounts[key] = account
        account.remote = remote
        return account

    def authorizer(self, name: str, remote: Remote) -> Authorizer:
        """What requests to a server are given their headers by."""
        return Authorizer(self, self.of(name, remote))

    def question(self, name: str) -> str:
        """Where the user lets the gateway in at a server; empty where nothing is asked."""
        self._tidy()
        return next((flow.url for flow in self._flows.values() if flow.account.name == name), "")

    def headers(self, account: Account) -> Deferred[Mapping[str, str]]:
        """What a request to the server carries; an old token is renewed first."""
        grant = account.grant
        if grant is None or grant.is_good(self._clock.seconds()) or not grant.refresh_token:
            return succeed(_headers(account))
        renewed = account.once(lambda: self._renew(account))
        # The server says whether the old one is still good.
        return renewed.addErrback(_forgive).addCallback(lambda _: _headers(account))

    def refused(
        self, account: Account, status: int, said: str, used: Mapping[str, str]
    ) -> Deferred[Mapping[str, str]]:
        """A request was refused with 401 or 403; fires with the headers to try it with once more.

        :param said: the ``WWW-Authenticate`` header.
        :param used: the headers it was tried with.
        :raise NeedsAuthorization: (through the Deferred) the user has to let the gateway in; the text says where.
        :raise BackendError: (through the Deferred) that cannot be asked for.
        """
        if _headers(account) != used and account.grant is not None:
            return succeed(_headers(account))  # there has come another meanwhile
        told = oauth.challenge(said)

        async def ask() -> None:
            """Ask for a token."""
            grant = account.grant
            if status == 401 and grant is not None and grant.refresh_token:
                try:
                    await self._renew(account)
                except BackendError:
                    pass
                else:
                    return
            await self._ask_user(account, told)

        return account.once(ask).addCallback(lambda _: _headers(account))

    # Renewing

    async def _renew(self, account: Account) -> None:
        grant = account.grant
        assert grant is not None
        server, client = await self._introduced(account, oauth.Challenge())
        if server.issuer != grant.issuer:
            # The server may name another one at any time; that one was never given anything by the user.
            raise BackendError(f"the token of {account.name} was given by another authorization server")
        form = {
            "grant_type": "refresh_token",
            "refresh_token": grant.refresh_token,
            "resource": oauth.resource_of(account.remote.url),
        }
        answer = await self._token(account, server, client, form)
        if answer.status in (400, 401):
            self._keep(account, None)
            raise BackendError(f"the token of {account.name} could not be renewed")
        self._keep(account, oauth.read_grant(_decoded(answer), self._clock.seconds(), server.issuer, grant))

    # Asking the user

    async def _ask_user(self, account: Account, told: oauth.Challenge) -> None:
        self._tidy()
        open_one = self._flows.get(account.flow)
        if open_one is None:
            open_one = await self._begin(account, told)
        raise NeedsAuthorization(
            f"{account.name} wants you to let the gateway in: open {open_one.url}",
            "open that URL in a browser on this machine, then try again",
            {"url": open_one.url},
        )

    async def _begin(self, account: Account, told: oauth.Challenge) -> Flow:
        redirect = self._callback()
        server, client = await self._introduced(account, told, redirect)
        granted = account.grant.scope if account.grant is not None else ""
        known = tuple(account.kept.get("scopes", ()))
        scope = oauth.scope_for(account.settings.scopes, told.scope, known, granted)
        state, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(64)
        url = oauth.authorization_url(
            server,
            client,
            redirect,
            state,
            oauth.code_challenge(verifier),
            scope,
            oauth.resource_of(account.remote.url),
        )
        flow = Flow(account, server, client, redirect, url, verifier, self._clock.seconds() + FLOW_S)
        account.flow = state
        self._flows[state] = flow
        while len(self._flows) > FLOWS_LIMIT:
            del self._flows[next(iter(self._flows))]
        self.log.warn(
            "{server} wants its user to let the gateway in; `mcpgateway status` and /health show where",
            event="oauth.asked",
            server=account.name,
        )
        return flow

    def answered(self, query: Mapping[str, str]) -> Deferred[str]:
        """The user's browser has come back; fires with the name of the server that lets the gateway in now.

        :param query: of the callback's URL.
        :raise NeedsAuthorization: (through the Deferred) nobody asked, or the user or the server does not want to.
        :raise BackendError: (through the Deferred) the token could not be fetched.
        """
        return Deferred.fromCoroutine(self._answered(query))

    async def _answered(self, query: Mapping[str, str]) -> str:
        self._tidy()
        flow = self._flows.pop(query.get("state", ""), None)
        if flow is None:
            raise NeedsAuthorization("This answer belongs to no question of this gateway, or came too late")
        account = flow.account
        account.flow = ""
        said = query.get("iss")
        if said != flow.server.issuer and (said is not None or flow.server.says_issuer):
            raise NeedsAuthorization(f"The answer for {account.name} is from another authorization server")
        if "code" not in query:
            raise NeedsAuthorization(f"{account.name} was not let in: {_word(query.get('error', 'no code'))}")
        form = {
            "grant_type": "authorization_code",
            "code": query["code"],
            "redirect_uri": flow.redirect,
            "code_verifier": flow.verifier,
            "resource": oauth.resource_of(account.remote.url),
        }
        answer = await self._token(account, flow.server, flow.client, form)
        if answer.status != 200:
            raise BackendError(
                f"the token endpoint of {account.name} answered {answer.status}: {_error(answer)}"
            )
        self._keep(account, oauth.read_grant(_decoded(answer), self._clock.seconds(), flow.server.issuer))
        self.log.info("{server} has let the gateway in", event="oauth.granted", server=account.name)
        return account.name

    # What both need

    async def _introduced(
        self, account: Account, told: oauth.Challenge, redirect: str = ""
    ) -> tuple[AuthServer, Client]:
        server = await self._server(account, told)
        settings = account.settings
        if settings.client_id:
            return server, Client(settings.client_id, settings.client_secret or "")
        kept = account.kept.get("client")
        if (
            isinstance(kept, dict)
            and kept.get("issuer") == server.issuer
            and redirect in ("", kept.get("redirect"))
        ):
            return server, Client(str(kept["id"]), str(kept.get("secret") or ""))
        if not redirect:
            raise BackendError(f"{account.name}: its authorization server does not know the gateway")
        if not server.registration_endpoint:
            raise BackendError(
                f"{account.name}: its authorization server registers nobody; set oauth.client_id in its entry"
            )
        answer = await self._post(
            account,
            server.registration_endpoint,
            {"Content-Type": "application/json", **JSON},
            json.dumps(oauth.registration(redirect, __version__)).encode(),
        )
        made = _decoded(answer)
        if answer.status not in (200, 201) or not isinstance(made.get("client_id"), str):
            raise BackendError(
                f"{account.name}: the registration was answered with {answer.status}: {_error(answer)}"
            )
        secret = made.get("client_secret")
        client = Client(made["client_id"], secret if isinstance(secret, str) else "")
        account.kept["client"] = {
            "issuer": server.issuer,
            "redirect": redirect,
            "id": client.id,
            "secret": client.secret,
        }
        self._grants.write(account.key, account.kept)
        return server, client

    async def _server(self, account: Account, told: oauth.Challenge) -> AuthServer:
        url = account.remote.url
        issuer = account.settings.authorization_server
        if not issuer:
            issuer = await self._issuer(account, told)
        for place in oauth.server_metadata_urls(issuer):
            answer = await self._get(account, place)
            if answer.status == 200:
                server = oauth.check_server(_decoded(answer), issuer)
                for each in (
                    server.authorization_endpoint,
                    server.token_endpoint,
                    server.registration_endpoint,
                ):
                    if each and not oauth.may_ask(each, url):
                        raise BackendError(
                            f"{account.name}: {_place(each)} is no place to send the user or a token to"
                        )
                return server
        raise BackendError(
            f"{account.name}: its authorization server {_place(issuer)} does not describe itself"
        )

    async def _issuer(self, account: Account, told: oauth.Challenge) -> str:
        url = account.remote.url
        for place in oauth.resource_metadata_urls(url, told.metadata):
            answer = await self._get(account, place)
            if answer.status == 200:
                issuer, scopes = oauth.check_resource(_decoded(answer), url)
                account.kept["scopes"] = list(scopes)
                return issuer
        # Servers of 2025-03-26 are their own authorization servers.
        parts = urlsplit(url)
        return f"{parts.scheme}://{parts.netloc}"

    async def _token(
        self, account: Account, server: AuthServer, client: Client, form: dict[str, str]
    ) -> WebAnswer:
        headers = dict(FORM)
        if client.secret and "client_secret_post" not in server.token_methods:
            both = f"{quote(client.id, safe='')}:{quote(client.secret, safe='')}"
            headers["Authorization"] = f"Basic {b64encode(both.encode()).decode()}"
        elif client.secret:
            form = {**form, "client_id": client.id, "client_secret": client.secret}
        else:
            form = {**form, "client_id": client.id}
        return await self._post(account, server.token_endpoint, headers, oauth.as_form(form))

    async def _get(self, account: Account, url: str) -> WebAnswer:
        return await self._request(account, "GET", url, JSON, b"")

    async def _post(self, account: Account, url: str, headers: Mapping[str, str], body: bytes) -> WebAnswer:
        return await self._request(account, "POST", url, headers, body)

    async def _request(
        self, account: Account, method: str, url: str, headers: Mapping[str, str], body: bytes
    ) -> WebAnswer:
        remote = account.remote
        if not oauth.may_ask(url, remote.url):
            raise BackendError(f"{account.name}: {_place(url)} is no place that the gateway asks for a token")
        trust = Trust(remote.ca_file, remote.insecure)
        try:
            return await self._web().request(
                method,
                url,
                headers,
                body,
                timeout_s=ASK_S,
                trust=trust,
                limit=ANSWER_LIMIT,
                named_by=remote.url,
            )
        except BackendError as why:
            raise BackendError(
                f"{account.name}: {_place(url)} cannot be asked for a token: {why.message}"
            ) from why

    def _keep(self, account: Account, grant: Grant | None) -> None:
        account.grant = grant
        account.kept["grant"] = (
            None
            if grant is None
            else {
                "access_token": grant.access_token,
                "refresh_token": grant.refresh_token,
                "expires": grant.expires,
                "scope": grant.scope,
                "issuer": grant.issuer,
            }
        )
        self._grants.write(account.key, account.kept)

    def _tidy(self) -> None:
        now = self._clock.seconds()
        self._flows = {state: flow for state, flow in self._flows.items() if flow.until > now}


def _headers(account: Account) -> Mapping[str, str]:
    return {"Authorization": f"Bearer {account.grant.access_token}"} if account.grant is not None else {}


def _forgive(why: Failure) -> None:
    why.trap(GatewayError)


def _grant(kept: Any) -> Grant | None:
    if not isinstance(kept, dict) or not isinstance(kept.get("access_token"), str):
        return None
    expires = kept.get("expires")
    found = Grant(
        kept["access_token"],
        str(kept.get("refresh_token") or ""),
        scope=str(kept.get("scope") or ""),
        issuer=str(kept.get("issuer") or ""),
    )
    return evolve(found, expires=float(expires)) if isinstance(expires, int | float) else found


def _decoded(answer: WebAnswer) -> dict[str, Any]:
    try:
        found = json.loads(answer.body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _error(answer: WebAnswer) -> str:
    return _word(str(_decoded(answer).get("error") or "no reason"))


def _word(text: str) -> str:
    # From somebody else, and on its way to a log and a page.
    return "".join(each for each in text[:100] if each.isalnum() or each in "_-. ")


def _place(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}" if parts.hostname else "that"
