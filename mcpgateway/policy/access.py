"""Access control: one decision for every request, before its body is read.

# Note [Refused by default]
Every route has a class, and a class has a rule.  A path without a class has nothing behind it and is answered 404 after
the same judgement, so a foreign web page learns nothing from it.  A legitimate local client is never answered 401 or
403: Claude Code remembers both against a server.

# Note [Open on loopback]
Older gateways let every program on the machine change things, and ``compat.open_loopback_admin`` brings that back for
those who have scripts for it.  A web page is no such program: browsers name the origin of a request, so a request with
``Origin`` or ``Sec-Fetch-Site`` is judged as usual, as are other users of the machine and requests with a token.

# Note [Owners of results]
Results and jobs that are kept for a principal are read by that principal.  The command line has the user's token, while
the clients on this machine need none and have the principal `LOCAL`; both are the same user's.  So a caller with the
token on this machine may read what is kept for those clients.  The reverse is not allowed, and neither is access to or
from other machines, which are a principal of their own.

# Note [Clients' credentials]
The two tokens of the gateway are its user's.  All others - API keys, tokens of projects and agents, those of an
authorization server, and trusted addresses - are clients' credentials: each is a principal of its own, uses servers,
and changes nothing of the gateway.  A principal with a limited token is shown only the servers and tools of its scope.

# Note [Through a proxy]
A reverse proxy on this machine that names its client (``X-Forwarded-For``) may forward requests of any machine.  So
such a request counts as remote, has no process, and comes from no trusted address; no header changes that.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from attrs import field, frozen
from msgspec import Struct

from mcpgateway.hints import cli
from mcpgateway.policy.permissions import TokenScope
from mcpgateway.records import FrozenRecord

LOCAL, TOKEN, REMOTE = "local", "token", "remote"
"""The principals: callers of this machine without and with a token, and callers of others, which need one."""

ADDRESS = "address"
"""The prefix of the principals of trusted addresses."""

LOOPBACK_NAMES = frozenset((b"localhost", b"127.0.0.1", b"[::1]"))
SAME_SITE = frozenset((b"none", b"same-origin"))
HOSTS = "ask by localhost or 127.0.0.1, or name the host in gateway.allowed_hosts"
ORIGINS = "name the page's origin in gateway.allowed_origins"
SITES = "ask from a program, or from a page of the gateway's own origin"
FORWARDED = (b"forwarded", b"x-forwarded-for", b"x-real-ip", b"x-forwarded-host")
"""Headers of reverse proxies that name their clients."""

TELLING = frozenset((b"origin", b"sec-fetch-site", b"authorization", b"x-api-key", *FORWARDED))
"""The headers that a judgement may depend on, besides ``Host``."""

ALL = TokenScope()
NARROW = "insufficient_scope"  # RFC 6750 section 3.1


class RouteClass(Enum):
    """The rights that a route needs.

    ``PUBLIC`` is open to every caller.  ``WATCH`` is for monitors: numbers, and nothing about other callers' requests.
    ``LOOK`` and ``USE`` read and call servers, which the hub itself limits to the scope of the caller's credential.
    ``RETURN`` is for browsers that a redirect brings back from elsewhere: they have no token, and bring a secret state.
    """

    __hash__ = object.__hash__  # looked up for every request

    PUBLIC = "public"
    MCP = "mcp"
    READ = "read"
    WATCH = "watch"
    LOOK = "look"
    USE = "use"
    RETURN = "return"
    END_SESSION = "end my session"
    MUTATE = "mutate"
    ADMIN = "admin"
    NOTHING = "nothing"


OPEN_TO_SITES = frozenset((RouteClass.PUBLIC, RouteClass.RETURN))
OPENED = frozenset((RouteClass.USE, RouteClass.MUTATE, RouteClass.ADMIN))
"""The routes of `Note [Open on loopback]`."""


class Reach(Enum):
    """The distance of the peer, by its connection, never by a header."""

    __hash__ = object.__hash__  # looked up for every request

    SOCKET = "Unix socket"
    LOOPBACK = "loopback"
    OTHER_USER = "loopback, as another user of this machine"
    REMOTE = "remote"


class PresentedCredential(Enum):
    """The result of checking the ``Authorization`` header.

    ``LOOK`` is a dashboard that only reads, and ``UNCONFIRMED`` one of an administrator that reads as such and changes
    what the usual token may (Note [Confirmed] in `mcpgateway.manage.dashboards`).
    ``OVER`` is a token that the gateway has issued, or would have accepted, and that is no longer valid; ``NARROW`` is
    one whose scope does not suffice; ``CLIENT`` is one of those of Note [Clients' credentials].
    """

    NONE = "none"
    WRONG = "wrong"
    OVER = "over"
    NARROW = "narrow"
    CLIENT = "client"
    LOOK = "look"
    UNCONFIRMED = "unconfirmed"
    BEARER = "bearer"
    ADMIN = "admin"


class CredentialHolder(Struct, frozen=True):
    """The caller that a credential identifies.

    :ivar name: the principal of its bearer; empty for the gateway's own two tokens.
    :ivar project: the workspace that the credential is for; empty for none.
    """

    credential: PresentedCredential
    name: str = ""
    scope: TokenScope = ALL
    project: str = ""


NOBODY, WRONG = CredentialHolder(PresentedCredential.NONE), CredentialHolder(PresentedCredential.WRONG)


@frozen
class AccessPolicy:
    """The settings of access.

    :ivar hosts: further ``Host`` names of the gateway, lower case, without port.
    :ivar origins: further origins that may call, exactly as browsers send them.
    :ivar open_loopback: programs of this user on this machine need no token at all (``compat.open_loopback_admin``).
    :ivar bearer_required: MCP and reads need the token even on loopback (``auth_mcp_transport: bearer-required``).
    :ivar trusted: networks of addresses that need no token (`ipaddress`).
    :ivar is_public: browsers of other machines are redirected back to the gateway, too (``gateway.public_url``).
    """

    hosts: frozenset[bytes] = frozenset()
    origins: frozenset[bytes] = frozenset()
    allow_remote: bool = False
    bearer_required: bool = False
    loopback_only: bool = False
    trusted: tuple[Any, ...] = ()
    open_loopback: bool = field(default=False, kw_only=True)
    is_public: bool = field(default=False, kw_only=True)


class RequestFacts(FrozenRecord, frozen=True):
    """The facts about a request whose headers have been received; header values as sent, None when absent.

    :ivar address: the address of the TCP peer, where no proxy is in between; else empty.
    """

    route: RouteClass
    reach: Reach
    safe_method: bool
    secure: bool = False
    host: bytes | None = None
    origin: bytes | None = None
    fetch_site: bytes | None = None
    credential: PresentedCredential = PresentedCredential.NONE
    name: str = ""
    scope: TokenScope = ALL
    address: str = ""


@frozen
class Pass:
    """The request is allowed, as this principal.

    :ivar is_admin: the principal has the rights of an administrator on every route.
    :ivar project: the workspace that its credential is for; empty for none.
    """

    principal: str
    is_admin: bool = field(default=False, eq=False)
    project: str = field(default="", eq=False)


@frozen
class Deny:
    """The request is refused: the HTTP status and the sentence for the caller.

    :ivar wait_s: the seconds until another try is worthwhile; 0 where that is not known.
    :ivar error: the OAuth error for clients that look for a token; empty for none.
    :ivar hint: the caller's remedy; empty where the sentence suffices.
    """

    status: int
    why: str
    wait_s: int = 0
    error: str = field(default="", eq=False)
    hint: str = field(default="", eq=False)

    @property
    def advice(self) -> str:
        """The caller's remedy; never empty."""
        return self.hint or _ADVICE.get(self.status, "ask over the Unix socket of the gateway")


_ADVICE = {
    401: f"send Authorization: Bearer TOKEN; {cli('token show')} prints it",
    403: "ask with a credential that may do that, or over the Unix socket of the gateway",
    429: "wait as long as Retry-After says",
    503: "try again in a moment",
}
"""The usual remedies, by the status."""

Verdict = Pass | Deny


def judge(facts: RequestFacts, policy: AccessPolicy) -> Verdict:
    """Return the verdict on one request."""
    return _judge_names(facts, policy) or _judge_open(facts, policy) or _judge_caller(facts, policy)


def _judge_names(facts: RequestFacts, policy: AccessPolicy) -> Deny | None:
    # DNS rebinding and cross-site requests: the names that the browser sends are the only evidence.
    if facts.host is not None and not _is_our_name(facts.host, policy):
        return Deny(403, "Forbidden: this Host is not served here", hint=HOSTS)
    if facts.origin is not None and not _is_our_origin(facts, policy):
        return Deny(403, "Forbidden: this Origin may not call the gateway", hint=ORIGINS)
    # Requests of other sites are refused, but for navigation by their users and for public routes.
    is_open = facts.safe_method and facts.route in OPEN_TO_SITES
    is_open = is_open or (facts.origin is not None and facts.origin in policy.origins)
    if not is_open and facts.fetch_site is not None and facts.fetch_site not in SAME_SITE:
        return Deny(403, "Forbidden: cross-site request", hint=SITES)
    return None


def _judge_open(facts: RequestFacts, policy: AccessPolicy) -> Verdict | None:
    # See Note [Open on loopback].
    if not policy.open_loopback or policy.bearer_required or facts.reach is not Reach.LOOPBACK:
        return None
    if facts.credential is not PresentedCredential.NONE:
        return None
    if facts.route not in OPENED or facts.origin is not None or facts.fetch_site is not None:
        return None
    return Pass(LOCAL, is_admin=True)


def _judge_caller(facts: RequestFacts, policy: AccessPolicy) -> Verdict:
    reach = facts.reach
    if reach is Reach.REMOTE and (not policy.allow_remote or policy.loopback_only):
        return Deny(
            403,
            "Forbidden: remote clients are not allowed (gateway.allow_remote is off)",
            hint="ask on the gateway's machine, or let its owner set gateway.allow_remote",
        )
    if facts.route is RouteClass.PUBLIC:
        return Pass(REMOTE if reach is Reach.REMOTE else LOCAL)
    if facts.credential in (PresentedCredential.WRONG, PresentedCredential.OVER):
        return Deny(401, "Unauthorized: the token is not valid")
    if facts.credential is PresentedCredential.NARROW:
        return Deny(
            403,
            "Forbidden: the token does not allow this (its scopes)",
            error=NARROW,
            hint="get a token of a wider scope from the authorization server",
        )
    if reach is Reach.OTHER_USER and facts.credential is PresentedCredential.NONE:
        return Deny(
            403,
            "Forbidden: the connection belongs to another user of this machine"
            " (gateway.trust_other_users is off)",
            hint="connect as the gateway's own user, or let its owner set gateway.trust_other_users",
        )
    if facts.credential is PresentedCredential.CLIENT:
        return _judge_client(facts.name, facts)
    if reach is Reach.REMOTE and facts.route is RouteClass.RETURN and policy.is_public:
        return Pass(REMOTE)
    if reach is Reach.REMOTE and facts.credential is PresentedCredential.NONE:
        if facts.address and is_among(facts.address, policy.trusted):
            return _judge_client(f"{ADDRESS} {facts.address}", facts)
        return _unknown(facts.route)
    return _judge_user(facts, policy)


def _judge_user(facts: RequestFacts, policy: AccessPolicy) -> Verdict:
    credential = facts.credential
    has_token = credential is not PresentedCredential.NONE
    may_change = has_token and credential is not PresentedCredential.LOOK
    reads_as_admin = credential is PresentedCredential.UNCONFIRMED and facts.safe_method
    is_admin = credential is PresentedCredential.ADMIN or facts.reach is Reach.SOCKET or reads_as_admin
    match facts.route:
        case RouteClass.ADMIN:
            allowed = is_admin
        case RouteClass.MUTATE | RouteClass.USE:
            allowed = may_change or facts.reach is Reach.SOCKET
        case RouteClass.MCP if credential is PresentedCredential.LOOK:
            allowed = facts.reach is Reach.LOOPBACK and not policy.bearer_required
        case RouteClass.MCP | RouteClass.READ | RouteClass.WATCH | RouteClass.LOOK if (
            facts.reach is Reach.LOOPBACK
        ):
            allowed = has_token or not policy.bearer_required
        case _:
            allowed = True
    if not allowed:
        return _unknown(facts.route)
    return Pass(_principal(facts), is_admin)


def _unknown(route: RouteClass) -> Deny:
    # A caller with the usual token learns that the route needs the other one.
    command = cli("token show --admin") if route is RouteClass.ADMIN else cli("token show")
    hint = f"send Authorization: Bearer TOKEN ({command} prints it), or ask over the Unix socket"
    return Deny(401, "Unauthorized: a bearer token is required", hint=hint)


def _judge_client(principal: str, facts: RequestFacts) -> Verdict:
    # See Note [Clients' credentials].
    match facts.route:
        case RouteClass.MCP | RouteClass.LOOK | RouteClass.USE | RouteClass.NOTHING:
            allowed = True
        case RouteClass.WATCH:
            allowed = facts.scope.is_whole
        case _:
            allowed = False
    if not allowed:
        return Deny(
            403,
            "Forbidden: this credential is a client's; it may use servers, not manage the gateway",
            hint=f"ask with the gateway's own token ({cli('token show')} prints it), or over its Unix socket",
        )
    return Pass(principal)


def _principal(facts: RequestFacts) -> str:
    if facts.reach is Reach.REMOTE:
        return REMOTE
    return LOCAL if facts.credential is PresentedCredential.NONE else TOKEN


def is_client(principal: str) -> bool:
    """True if a principal has a client's credential; see Note [Clients' credentials]."""
    return " " in principal


def is_forwarded(headers: Mapping[bytes, bytes]) -> bool:
    """True if a proxy forwards the request of a client; see Note [Through a proxy]."""
    return any(each in headers for each in FORWARDED)


def spoken_for(headers: Mapping[bytes, bytes]) -> str:
    """Return the client that the nearest proxy names, at most 64 characters; trusted only for counting wrong tokens."""
    header = headers.get(b"x-forwarded-for") or headers.get(b"x-real-ip") or headers.get(b"forwarded") or b""
    return header.rpartition(b",")[2].strip()[:64].decode("ascii", "replace")


def networks(listed: tuple[str, ...]) -> tuple[Any, ...]:
    """Return the networks of addresses such as ``10.0.0.7`` and ``10.0.0.0/24``.

    :raise ValueError: a text is neither an address nor a network.
    """
    if not listed:
        return ()
    from ipaddress import ip_network  # few trust addresses

    return tuple(ip_network(each, strict=False) for each in listed)


def is_among(address: str, trusted: tuple[Any, ...]) -> bool:
    """True if an address belongs to one of these networks; an IPv4 address in IPv6 notation counts as IPv4."""
    if not trusted:
        return False
    from ipaddress import ip_address

    try:
        found = ip_address(address)
    except ValueError:
        return False
    found = getattr(found, "ipv4_mapped", None) or found
    return any(found.version == each.version and found in each for each in trusted)


def may_read(reader: str, owner: str) -> bool:
    """True if a principal may read results of another one; see Note [Owners of results]."""
    return reader == owner or (reader == TOKEN and owner == LOCAL)


def sharer_of(principal: str) -> str:
    """Return the principal whose sessions share a child; see Note [Owners of results].

    Empty for the gateway's own user on this machine, with a token and without.
    """
    return "" if principal in (LOCAL, TOKEN) else principal


def _is_our_name(host: bytes, policy: AccessPolicy) -> bool:
    name = _without_port(host.lower())
    return name in LOOPBACK_NAMES or name in policy.hosts


def _is_our_origin(facts: RequestFacts, policy: AccessPolicy) -> bool:
    # The gateway's origin is that of the listener: same scheme, same name, same port as the Host header.
    if facts.origin in policy.origins:
        return True
    scheme = b"https://" if facts.secure else b"http://"
    return facts.host is not None and facts.origin == scheme + facts.host.lower()


def _without_port(host: bytes) -> bytes:
    if host.startswith(b"["):
        name, bracket, port = host.partition(b"]")
        name += bracket
        port = port.removeprefix(b":") if port.startswith(b":") else (b"x" if port else b"")
    else:
        name, _, port = host.partition(b":")
    return name if not port or port.isdigit() else b""
