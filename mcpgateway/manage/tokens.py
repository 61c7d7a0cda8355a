"""Make, list and revoke tokens; loaded for the first operation on them."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from attrs import Factory, define, field
from twisted.logger import Logger

from mcpgateway.config.document import printable
from mcpgateway.config.edit.edits import Put
from mcpgateway.errors import ConfigError, GatewayError, InvalidParams, NotThere
from mcpgateway.hints import cli
from mcpgateway.manage.config_edits import set_in_config
from mcpgateway.manage.credentials import CredentialStore
from mcpgateway.manage.reload import Reload
from mcpgateway.observe.recorder import written
from mcpgateway.policy import agent_tokens, permissions
from mcpgateway.policy.agent_tokens import AgentToken
from mcpgateway.shim.locations import variable
from mcpgateway.system.token_files import ADMIN, AUTH, VARIABLES, TokenFiles

SECRET_BYTES, ID_BYTES = 32, 4
LONGEST_S = 10 * 366 * 86400.0
OWN = {"auth": AUTH, "admin": ADMIN}
REQUIRED, FREE = "bearer-required", ""
ROAD = ("gateway", "auth_mcp_transport")


class TokenNotSaved(GatewayError):
    """A token could not be saved; nothing has changed."""


def _unlearnt(tokens: Iterable[str]) -> None:
    """Ignore the texts."""


class AgentTokens(Protocol):
    """The agents' tokens that are valid; those of a cluster count at all of its nodes."""

    async def add(self, token: AgentToken) -> Mapping[str, Any]:
        """Admit one more token; return what the answer tells besides it."""

    async def remove(self, token: AgentToken) -> Mapping[str, Any]:
        """Revoke a token; return what the answer tells besides it."""


@define(eq=False, repr=False)
class OwnTokens:
    """The agents' tokens of a gateway that is alone: a file in its home."""

    _bearers: CredentialStore
    _files: TokenFiles

    async def add(self, token: AgentToken) -> Mapping[str, Any]:
        """Admit one more token.

        :raise TokenNotSaved: it cannot be stored.
        """
        return self._keep((*self._bearers.agents, token))

    async def remove(self, token: AgentToken) -> Mapping[str, Any]:
        """Revoke a token.

        :raise TokenNotSaved: the change cannot be stored, so the token is still valid.
        """
        return self._keep(tuple(each for each in self._bearers.agents if each is not token))

    def _keep(self, tokens: tuple[AgentToken, ...]) -> Mapping[str, Any]:
        try:
            self._files.keep(tokens)
        except ConfigError as why:
            raise TokenNotSaved(why.message, "see to the disk and the rights of the home") from why
        self._bearers.admit_agents(tokens)
        return {}


@define(eq=False, repr=False)
class TokenIssuer:
    """Manages the tokens of the gateway itself, and those of agents.

    :ivar learn: called with every new token, so that no log shows it.
    """

    log = Logger()

    _bearers: CredentialStore
    _files: TokenFiles
    _reload: Reload = field(repr=False)
    learn: Callable[[Iterable[str]], None] = field(default=_unlearnt, repr=False)
    _agents: AgentTokens = field(
        default=Factory(lambda self: OwnTokens(self._bearers, self._files), takes_self=True), repr=False
    )

    def listed(self) -> list[dict[str, Any]]:
        """List the tokens of agents, the latest first, without their secrets, and with their latest use."""
        now = self._bearers.seconds()
        return [
            each.shown(now) | self._used(each)
            for each in sorted(self._bearers.agents, key=lambda each: -each.created)
        ]

    def _used(self, token: AgentToken) -> dict[str, Any]:
        use = self._bearers.uses.get(token.principal)
        return {
            "last_used_at": written(use.at) if use is not None else None,
            "last_from": use.place if use is not None else None,
        }

    @property
    def is_required(self) -> bool:
        """True if clients on this machine need a token, too."""
        return self._reload.settings.gateway.auth_mcp_transport == REQUIRED

    async def create(
        self,
        name: str,
        *,
        servers: Sequence[str] = (),
        tools: Sequence[str] = (),
        read_only: bool = False,
        tier: str = "",
        lasts_s: float = 0.0,
    ) -> tuple[dict[str, Any], str]:
        """Make a token; return its public properties and its text, which is not stored.

        :param tier: the highest of `permissions.TIERS` that it allows; empty for any.
        :param lasts_s: seconds until it expires; 0: it is valid until it is revoked.
        :raise InvalidParams: the name or a limit is invalid.
        :raise TokenNotSaved: the token cannot be stored.
        """
        fault = agent_tokens.check_name(name) or permissions.fault_of([*servers, *tools])
        if fault:
            raise InvalidParams(fault)
        if tier and tier not in permissions.TIERS:
            raise InvalidParams(
                f"there is no tier {printable(tier)[:40]}", f"one of {', '.join(permissions.TIERS)}"
            )
        if not 0 <= lasts_s <= LONGEST_S:
            raise InvalidParams("a token lasts for at most ten years", "leave it out for one that has no end")
        known = self._bearers.agents
        if any(each.name == name for each in known):
            raise InvalidParams(
                f"there is a token called {name} already", "revoke that first, or take another name"
            )
        if len(known) >= agent_tokens.TOKENS_LIMIT:
            raise InvalidParams(
                f"there are {agent_tokens.TOKENS_LIMIT} tokens already", "revoke those not in use"
            )
        now, secret = self._bearers.seconds(), agent_tokens.PREFIX + secrets.token_urlsafe(SECRET_BYTES)
        self.learn((secret,))
        made = AgentToken(
            secrets.token_hex(ID_BYTES),
            name,
            agent_tokens.digest_of(secret.encode()).hex(),
            now,
            now + lasts_s if lasts_s else 0.0,
            tuple(servers),
            tuple(tools),
            read_only,
            tier if tier != permissions.DESTRUCTIVE else "",
        )
        told = await self._agents.add(made)
        self.log.info("a token was made for {name}: {id}", event="token.created", name=name, id=made.id)
        return {**made.shown(made.created), **told}, secret

    async def revoke(self, named: str) -> dict[str, Any]:
        """Revoke a token, by its id or its name; its bearer's streams end; return its id and name.

        :raise NotThere: no such token exists.
        :raise TokenNotSaved: the change cannot be stored, so the token is still valid.
        """
        known = self._bearers.agents
        found = next((each for each in known if named in (each.id, each.name)), None)
        if found is None:
            raise NotThere("there is no such token", f"{cli('token list')} shows those there are")
        told = await self._agents.remove(found)
        self.log.info(
            "the token of {name} was revoked: {id}", event="token.revoked", name=found.name, id=found.id
        )
        return {"revoked": found.id, "name": found.name, **told}

    def rotate(self, which: Sequence[str]) -> None:
        """Replace the gateway's own tokens; the former ones are valid no more.

        :param which: ``auth``, ``admin``, or both.
        :raise InvalidParams: the gateway's environment sets the token.
        :raise TokenNotSaved: a new one cannot be stored, so the former is still valid.
        """
        for each in which:
            if variable(self._files.environ, VARIABLES[OWN[each]]):
                raise InvalidParams(
                    f"{VARIABLES[OWN[each]]} says what the {each} token is",
                    "change it in the environment of the gateway, and start that again",
                )
        for each in which:
            try:
                made = self._files.renew(OWN[each])
            except ConfigError as why:
                raise TokenNotSaved(why.message, "see to the disk and the rights of the home") from why
            self.learn((made,))
            if each == "auth":
                self._bearers.renew(bearer=made)
            else:
                self._bearers.renew(admin=made)
            self.log.info("the {which} token was replaced", event="token.rotated", which=each)

    def require(self, *, is_required: bool) -> None:
        """Require a token from clients on this machine from now on, or not; the configuration is changed.

        :raise ConfigError: the file cannot be written.
        """
        if is_required is self.is_required:
            return
        set_in_config(self._reload, Put(ROAD, REQUIRED if is_required else FREE))
        if is_required is not self.is_required:
            raise ConfigError(f"another file says otherwise: {'.'.join(ROAD)}; please change it there")
