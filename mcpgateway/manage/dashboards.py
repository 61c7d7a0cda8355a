"""The dashboards that are signed in: one-time codes, and the sessions that they become.

A session is a token in the browser's storage, sent in a header and never as a cookie: browsers send the cookies of one
port to all others of a host (RFC 6265 section 8.5).  Only its digest is stored.

# Note [Confirmed]
An administrator's session that was not confirmed by a code or a token for a quarter of an hour reads as an
administrator does, and changes what an operator may change.  The dashboard then asks for another code before it adds a
command or makes a token.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Protocol

import msgspec
from attrs import frozen
from twisted.logger import Logger

from mcpgateway.bounded import Bounded
from mcpgateway.errors import ConfigError, InvalidParams, NotThere
from mcpgateway.hints import cli
from mcpgateway.manage.credentials import DASHBOARD
from mcpgateway.policy.access import WRONG, CredentialHolder, PresentedCredential
from mcpgateway.policy.agent_tokens import digest_of
from mcpgateway.records import Record
from mcpgateway.system import home_files

FILE = "dashboards.json"
FORMAT = 1
FILE_LIMIT = 1_048_576
PREFIX = DASHBOARD.decode()
CODE_PREFIX = "mcpgc_"
CODE_S = 60.0
CODES_LIMIT = 32
SESSIONS_LIMIT = 100
IDLE_S, LONGEST_S = 12 * 3600.0, 30 * 86400.0
ISSUER_S = 12 * 3600.0  # the authorization server is asked anew whether the user still has the rights
CONFIRMED_S = 15 * 60.0
WRITTEN_S = 600.0  # a use of a session is written down at most so often
SECRET_BYTES, ID_BYTES = 32, 4
AGAIN = f"{cli('ui')} makes a new one"


class Rights(Enum):
    """The rights of a dashboard."""

    LOOK = "look"
    OPERATE = "operate"
    ADMIN = "admin"


_CREDENTIALS = {
    Rights.LOOK: CredentialHolder(PresentedCredential.LOOK),
    Rights.OPERATE: CredentialHolder(PresentedCredential.BEARER),
    Rights.ADMIN: CredentialHolder(PresentedCredential.ADMIN),
}
_UNCONFIRMED = CredentialHolder(PresentedCredential.UNCONFIRMED)
_OVER = CredentialHolder(PresentedCredential.OVER)


class DashboardSession(msgspec.Struct):
    """A dashboard that is signed in; times are seconds since the epoch.

    :ivar id: its name for people and programs.
    :ivar digest: SHA-256 of its token, in hexadecimal digits.
    :ivar confirmed: when a code or a token was last given for it.
    :ivar issuer: the authorization server at which its user has signed in; empty for a code or a token.
    :ivar principal: that user.
    :ivar browser: the browser that has signed in, such as ``Firefox 140 on Linux``; empty if unknown.
    :ivar address: the address that it has signed in from; empty if unknown.
    """

    id: str
    digest: str
    rights: Rights
    created: float
    used: float
    confirmed: float
    issuer: str = ""
    principal: str = ""
    browser: str = ""
    address: str = ""

    @property
    def expires(self) -> float:
        """The end of the session unless it is used again."""
        return min(self.used + IDLE_S, self.created + (ISSUER_S if self.issuer else LONGEST_S))

    def shown(self) -> dict[str, Any]:
        """Return the session's public properties."""
        return {
            "id": self.id,
            "rights": self.rights.value,
            "created_at": _moment(self.created),
            "last_used_at": _moment(self.used),
            "expires_at": _moment(self.expires),
            **({"issuer": self.issuer, "principal": self.principal} if self.issuer else {}),
            **({"browser": self.browser} if self.browser else {}),
            **({"address": self.address} if self.address else {}),
        }


class _File(msgspec.Struct, forbid_unknown_fields=True):
    format: int
    sessions: list[DashboardSession]


class DashboardStore(Protocol):
    """Stores the sessions of dashboards."""

    def read(self) -> list[DashboardSession]:
        """Return the stored sessions.

        :raise ConfigError: they cannot be read.
        """

    def write(self, sessions: Collection[DashboardSession]) -> None:
        """Store these sessions in place of all former ones.

        :raise ConfigError: they cannot be stored.
        """


@frozen
class DashboardFile:
    """The file of a home with the sessions of its dashboards."""

    _home: str

    def read(self) -> list[DashboardSession]:
        """Return the sessions of former runs.

        :raise ConfigError: the file cannot be read.
        """
        try:
            found = msgspec.json.decode(home_files.read(self._path, FILE_LIMIT), type=_File)
        except FileNotFoundError:
            return []
        except (OSError, msgspec.MsgspecError) as why:
            raise ConfigError(str(why)) from why
        return found.sessions if found.format == FORMAT else []

    def write(self, sessions: Collection[DashboardSession]) -> None:
        """Store these sessions in place of all former ones.

        :raise ConfigError: the file cannot be written.
        """
        home_files.keep(self._path, msgspec.json.encode(_File(FORMAT, list(sessions))) + b"\n")

    @property
    def _path(self) -> str:
        return os.path.join(self._home, FILE)


class SignInPlace(msgspec.Struct, frozen=True):
    """The browser of a sign-in and its address, as `DashboardSession` has them."""

    browser: str = ""
    address: str = ""


NOWHERE = SignInPlace()


class _Code(msgspec.Struct, frozen=True):
    rights: Rights
    ends: float


class Dashboards(Record):
    """Signs dashboards in and out.

    :ivar seconds: the time of day, in seconds since the epoch.
    :ivar gone: called when a session was signed out, so that its streams end.
    :ivar issuer: returns the authorization server at which users sign in; the sessions of another one are over.
    :ivar mark: the mark of this node, with which codes begin; empty for a gateway that is alone.
    """

    log = Logger()

    _store: DashboardStore
    seconds: Callable[[], float]
    gone: Callable[[], object] = bool
    issuer: Callable[[], str] = str
    mark: str = ""
    _codes: dict[bytes, _Code] = msgspec.field(default_factory=lambda: Bounded(CODES_LIMIT))
    _sessions: dict[bytes, DashboardSession] = msgspec.field(default_factory=dict)
    _written: float = 0.0

    def load(self) -> None:
        """Read the sessions of former runs; a file that cannot be read signs all of them out."""
        try:
            found = self._store.read()
        except ConfigError as why:
            self.log.warn("dashboards are signed out: {why}", event="dashboard.unreadable", why=str(why))
            return
        self._sessions = {bytes.fromhex(each.digest): each for each in found}

    def take(self, sessions: Collection[DashboardSession]) -> None:
        """Take the sessions that another gateway has stored, in place of all former ones."""
        former, self._sessions = self._sessions, {bytes.fromhex(each.digest): each for each in sessions}
        for digest, each in self._sessions.items():
            if digest in former:
                each.used = max(each.used, former[digest].used)
        if former.keys() - self._sessions.keys():
            self.gone()

    def make_code(self, rights: Rights) -> str:
        """Return a code that signs one dashboard in, within a minute."""
        code = self.mark + CODE_PREFIX + secrets.token_urlsafe(SECRET_BYTES)
        self._codes[digest_of(code.encode())] = _Code(rights, self.seconds() + CODE_S)
        return code

    def sign_in(
        self, secret: str, holder: CredentialHolder, place: SignInPlace = NOWHERE
    ) -> tuple[DashboardSession, str]:
        """Exchange a code, or a token of the gateway, for a session; return it and its token.

        :param holder: the holder of the secret, if it is a token.
        :raise InvalidParams: the secret is neither.
        :raise ConfigError: the session cannot be stored.
        """
        now = self.seconds()
        # A session cannot confirm itself.
        holder = WRONG if secret.startswith(PREFIX) else holder
        code = self._codes.pop(digest_of(secret.encode()), None)
        if code is not None and now < code.ends:
            rights = code.rights
        elif holder.credential is PresentedCredential.ADMIN:
            rights = Rights.ADMIN
        elif holder.credential is PresentedCredential.BEARER:
            rights = Rights.OPERATE
        else:
            raise InvalidParams("this is no valid code or token", AGAIN)
        return self.begin(rights, place=place)

    def begin(
        self, rights: Rights, issuer: str = "", principal: str = "", place: SignInPlace = NOWHERE
    ) -> tuple[DashboardSession, str]:
        """Begin a session; return it and its token.

        :param issuer: the authorization server at which its user has signed in.
        :raise ConfigError: the session cannot be stored.
        """
        now = self.seconds()
        token = PREFIX + secrets.token_urlsafe(SECRET_BYTES)
        digest = digest_of(token.encode())
        made = DashboardSession(
            secrets.token_hex(ID_BYTES),
            digest.hex(),
            rights,
            now,
            now,
            now,
            issuer,
            principal,
            place.browser,
            place.address,
        )
        kept = sorted(self._living(now).items(), key=lambda each: each[1].used)[1 - SESSIONS_LIMIT :]
        self._keep({**dict(kept), digest: made})
        named = f"{made.id} ({place.browser})" if place.browser else made.id
        self.log.info(
            "a dashboard is signed in: {named}", event="dashboard.signed_in", named=named, id=made.id
        )
        return made, token

    def sign_out(self, named: str) -> None:
        """End a session; its token is valid no more.

        :raise NotThere: no such session exists.
        :raise ConfigError: the change cannot be stored.
        """
        left = {digest: each for digest, each in self._sessions.items() if each.id != named}
        if len(left) == len(self._sessions):
            raise NotThere("there is no such dashboard session", "it has ended already")
        self._keep(left)
        self.log.info("a dashboard is signed out: {id}", event="dashboard.signed_out", id=named)
        self.gone()

    def find(self, token: bytes) -> DashboardSession | None:
        """Return the living session of a token; None if it has none."""
        found = self._sessions.get(digest_of(token))
        return found if found is not None and self._is_living(found, self.seconds()) else None

    def judge(self, token: bytes) -> CredentialHolder:
        """Return the holder of a session's token; see Note [Confirmed]."""
        found, now = self.find(token), self.seconds()
        if found is None:
            return _OVER
        found.used = now
        if now - self._written > WRITTEN_S:
            self._try_to_keep()
        if found.rights is Rights.ADMIN and now - found.confirmed > CONFIRMED_S:
            return _UNCONFIRMED
        return _CREDENTIALS[found.rights]

    def listed(self) -> list[dict[str, Any]]:
        """List the living sessions, the latest first, without their tokens."""
        living = self._living(self.seconds()).values()
        return [each.shown() for each in sorted(living, key=lambda each: -each.created)]

    def _living(self, now: float) -> dict[bytes, DashboardSession]:
        return {digest: each for digest, each in self._sessions.items() if self._is_living(each, now)}

    def _is_living(self, session: DashboardSession, now: float) -> bool:
        return now < session.expires and (not session.issuer or session.issuer == self.issuer())

    def _keep(self, sessions: dict[bytes, DashboardSession]) -> None:
        self._store.write(sessions.values())
        self._sessions, self._written = sessions, self.seconds()

    def _try_to_keep(self) -> None:
        # The use of a session is forgotten where the disk is full; the session is not.
        try:
            self._keep(self._sessions)
        except ConfigError as why:
            self._written = self.seconds()
            self.log.warn("{why}", event="dashboard.unwritten", why=why.message)


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
