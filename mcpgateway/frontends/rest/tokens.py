"""Tokens: those of agents, and the gateway's own."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from mcpgateway.errors import ConfigError, GatewayError, InvalidParams, NotOurs
from mcpgateway.frontends.rest.operation import OperationAnswer, OperationRequest
from mcpgateway.manage.tokens import OWN, TokenIssuer
from mcpgateway.observe.activity import ActivityLog
from mcpgateway.observe.usage import PRINCIPAL, USAGE_MINUTES, usage
from mcpgateway.policy.agent_tokens import AGENT

EXPECTED = 'such as {"name": "build", "servers": ["github"], "read_only": true, "expires_in": 86400}'
TOO_LONG_S = 1e12  # more than the life of any token
MEMBERS = frozenset(("name", "servers", "tools", "read_only", "tier", "expires_in"))


class NotWritten(GatewayError):
    """The configuration could not be changed."""


@frozen
class TokenRoutes:
    """The operations on tokens; only the answer to a token's creation contains it."""

    _issuing: TokenIssuer
    _activity: ActivityLog | None

    async def listed(self, _: OperationRequest) -> Any:
        """Return the tokens of agents, with their latest use and the calls that the activity log has of them."""
        counted: dict[str, dict[str, Any]] = {}
        tokens = self._issuing.listed()
        if tokens and self._activity is not None:
            now = self._activity.now()
            found = await self._activity.ask(lambda lines: usage(lines, PRINCIPAL, now, USAGE_MINUTES))
            counted = {each["name"]: each for each in found["items"]}
        for each in tokens:
            calls = counted.get(f"{AGENT} {each['id']}", {})
            each["calls"] = calls.get("calls", 0)
            each["last_used_at"] = max(each["last_used_at"] or "", calls.get("last_at", "")) or None
        return {"required": self._issuing.is_required, "tokens": tokens}

    async def create(self, asked: OperationRequest) -> Any:
        """Make a token for an agent."""
        body = asked.json_object(EXPECTED)
        # A malformed limit must not make a token without a limit.
        strange = sorted(body.keys() - MEMBERS)
        if strange:
            raise InvalidParams(f"{strange[0][:40]!r} is not known here", EXPECTED)
        made, secret = await self._issuing.create(
            _text(body, "name"),
            servers=_texts(body, "servers"),
            tools=_texts(body, "tools"),
            read_only=_flag(body, "read_only"),
            tier=_text(body, "tier") if "tier" in body else "",
            lasts_s=_seconds(body),
        )
        return OperationAnswer(201, {"token": secret, **made})

    async def revoke(self, asked: OperationRequest) -> Any:
        """Revoke one token."""
        return await self._issuing.revoke(asked.path["id"])

    async def rotate(self, asked: OperationRequest) -> Any:
        """Replace the gateway's own tokens."""
        body = asked.json_object('such as {"which": ["auth"]}') if asked.body.strip() else {}
        which = _texts(body, "which") or ["auth"]
        if not set(which) <= OWN.keys():
            raise InvalidParams('"which" names auth, admin, or both')
        which = sorted(set(which))
        self._issuing.rotate(which)
        return {"rotated": which}

    async def require(self, asked: OperationRequest) -> Any:
        """Require tokens from clients on this machine, or not."""
        body = asked.json_object('such as {"required": true}')
        if not isinstance(body.get("required"), bool):
            raise InvalidParams('"required" must be true or false')
        try:
            self._issuing.require(is_required=body["required"])
        except NotOurs:
            raise
        except ConfigError as why:
            raise NotWritten(why.message, "set gateway.auth_mcp_transport by hand") from why
        return {"required": self._issuing.is_required}


def _text(body: dict[str, Any], name: str) -> str:
    found = body.get(name)
    if not isinstance(found, str):
        raise InvalidParams(f'"{name}" must be a text', EXPECTED)
    return found


def _texts(body: dict[str, Any], name: str) -> list[str]:
    found = body.get(name, [])
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise InvalidParams(f'"{name}" must be a list of texts', EXPECTED)
    return found


def _flag(body: dict[str, Any], name: str) -> bool:
    found = body.get(name, False)
    if not isinstance(found, bool):
        raise InvalidParams(f'"{name}" must be true or false', EXPECTED)
    return found


def _seconds(body: dict[str, Any]) -> float:
    found = body.get("expires_in", 0)
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise InvalidParams('"expires_in" must be a number of seconds', EXPECTED)
    return min(found, TOO_LONG_S)  # no number is too large to be compared
