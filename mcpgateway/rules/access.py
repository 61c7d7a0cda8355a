"""Who may come in: one judgement for every request, before its body is read.

# Note [Refused by default]
Every route has a class, and a class has a rule.  A path without a class has nothing behind it and is answered 404 after
the same judgement, so a foreign web page learns nothing from it.  A legitimate local client is never answered 401 or
403: Claude Code remembers both against a server.

# Note [Open on loopback]
Older gateways let every program on the machine change things, and ``compat.open_loopback_admin`` brings that back for
those who have scripts for it.  A page in a browser is no such program: browsers say where a request comes from, and
whatever says so is judged as ever, as are other users of the machine and whoever shows a token.

# Note [Whose results]
What is kept for a principal - results, jobs - is read by that principal.  The command line has the user's token, while
the clients on this machine need none and are nobody in particular; both are the same user's.  So whoever has the token
and is on this machine may read what is kept for those clients.  It goes no further: not the other way, and neither to
nor from other machines, which are a principal of their own.
"""

from __future__ import annotations

from enum import Enum

from attrs import field, frozen

LOCAL, TOKEN, REMOTE = "local", "token", "remote"
"""The principals: on this machine without a token and with it, and on another one, where nobody is without."""

LOOPBACK_NAMES = frozenset((b"localhost", b"127.0.0.1", b"[::1]"))
SAME_SITE = frozenset((b"none", b"same-origin"))


class RouteClass(Enum):
    """What a route lets its caller do."""

    MCP = "mcp"
    READ = "read"
    END_SESSION = "end my session"
    MUTATE = "mutate"
    ADMIN = "admin"
    NOTHING = "nothing"


OPENED = frozenset((RouteClass.MUTATE, RouteClass.ADMIN))
"""What `Note [Open on loopback]` is about."""


class Reach(Enum):
    """How near the peer is, by its connection, never by a header."""

    SOCKET = "Unix socket"
    LOOPBACK = "loopback"
    OTHER_USER = "loopback, as another user of this machine"
    REMOTE = "remote"


class Credential(Enum):
    """What the ``Authorization`` header was worth."""

    NONE = "none"
    WRONG = "wrong"
    BEARER = "bearer"
    ADMIN = "admin"


@frozen
class Policy:
    """What the settings allow.

    :ivar hosts: further ``Host`` names that are ours, lower case, without port.
    :ivar origins: further origins that may call, exactly as browsers send them.
    :ivar open_loopback: programs of this user on this machine need no token at all (``compat.open_loopback_admin``).
    :ivar bearer_required: MCP and reads need the token even on loopback (``auth_mcp_transport: bearer-required``).
    """

    hosts: frozenset[bytes] = frozenset()
    origins: frozenset[bytes] = frozenset()
    allow_remote: bool = False
    bearer_required: bool = False
    loopback_only: bool = False
    open_loopback: bool = field(default=False, kw_only=True)


@frozen
class Facts:
    """What is known of a request when its headers are in; header values as sent, None when absent."""

    route: RouteClass
    reach: Reach
    safe_method: bool
    secure: bool = False
    host: bytes | None = None
    origin: bytes | None = None
    fetch_site: bytes | None = None
    credential: Credential = field(default=Credential.NONE)


@frozen
class Pass:
    """Come in, as this principal.

    :ivar is_admin: it may do what only administrators may, whatever the route.
    """

    principal: str
    is_admin: bool = field(default=False, eq=False)


@frozen
class Deny:
    """Stay out: the HTTP status and the sentence for the caller."""

    status: int
    why: str


Verdict = Pass | Deny


def judge(facts: Facts, policy: Policy) -> Verdict:
    """Decide about one request."""
    return _judge_names(facts, policy) or _judge_open(facts, policy) or _judge_caller(facts, policy)


def _judge_names(facts: Facts, policy: Policy) -> Deny | None:
    # DNS rebinding and cross-site requests: the names the browser sends are the only witnesses.
    if facts.host is not None and not _is_our_name(facts.host, policy):
        return Deny(403, "Forbidden: this Host is not served here")
    if facts.origin is not None and not _is_our_origin(facts, policy):
        return Deny(403, "Forbidden: this Origin may not call the gateway")
    if not facts.safe_method and facts.fetch_site is not None and facts.fetch_site not in SAME_SITE:
        return Deny(403, "Forbidden: cross-site request")
    return None


def _judge_open(facts: Facts, policy: Policy) -> Verdict | None:
    # See Note [Open on loopback].
    if not policy.open_loopback or policy.bearer_required or facts.reach is not Reach.LOOPBACK:
        return None
    if facts.credential is not Credential.NONE:
        return None
    if facts.route not in OPENED or facts.origin is not None or facts.fetch_site is not None:
        return None
    return Pass(LOCAL, is_admin=True)


def _judge_caller(facts: Facts, policy: Policy) -> Verdict:
    if facts.credential is Credential.WRONG:
        return Deny(401, "Unauthorized: the token is not valid")
    if facts.reach is Reach.OTHER_USER and facts.credential is Credential.NONE:
        return Deny(
            403,
            "Forbidden: the connection belongs to another user of this machine"
            " (gateway.trust_other_users is off)",
        )
    if facts.reach is Reach.REMOTE:
        if not policy.allow_remote or policy.loopback_only:
            return Deny(403, "Forbidden: remote clients are not allowed (gateway.allow_remote is off)")
        if facts.credential is Credential.NONE:
            return Deny(401, "Unauthorized: a bearer token is required")
    is_admin = facts.credential is Credential.ADMIN or facts.reach is Reach.SOCKET
    match facts.route:
        case RouteClass.ADMIN:
            allowed = is_admin
        case RouteClass.MUTATE:
            allowed = facts.credential is not Credential.NONE or facts.reach is Reach.SOCKET
        case RouteClass.MCP | RouteClass.READ if policy.bearer_required and facts.reach is Reach.LOOPBACK:
            allowed = facts.credential is not Credential.NONE
        case _:
            allowed = True
    if not allowed:
        return Deny(401, "Unauthorized: a bearer token is required")
    return Pass(_principal(facts), is_admin)


def _principal(facts: Facts) -> str:
    if facts.reach is Reach.REMOTE:
        return REMOTE
    return LOCAL if facts.credential is Credential.NONE else TOKEN


def may_read(reader: str, owner: str) -> bool:
    """Whether a principal may read what is kept for a principal; see Note [Whose results]."""
    return reader == owner or (reader == TOKEN and owner == LOCAL)


def _is_our_name(host: bytes, policy: Policy) -> bool:
    name = _without_port(host.lower())
    return name in LOOPBACK_NAMES or name in policy.hosts


def _is_our_origin(facts: Facts, policy: Policy) -> bool:
    # Ours is the origin of the very listener that was asked: same scheme, same name, same port as the Host header.
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
