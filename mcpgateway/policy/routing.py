"""The recipients of a server's notifications.

No member of most of these messages names the call that caused them, so the rules widen the set of recipients only
within one principal: a message of a server may hold data, and no principal's data is shown to another.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

from mcpgateway.errors import InvalidParams
from mcpgateway.protocol import peek
from mcpgateway.protocol.jsonrpc import Envelope

LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")
"""The log levels of RFC 5424 as MCP names them, most verbose first."""

DEFAULT_LEVEL = LEVELS[0]  # a client that never set a level gets all messages of the server

_ENDS = ("/", "?", "#", ":")

_RANK = {level: rank for rank, level in enumerate(LEVELS)}


class NotificationListener(Protocol):
    """The state of a session, as far as the rule needs it."""

    principal: str
    level: str


L = TypeVar("L", bound=NotificationListener)


def of_notice(in_flight: Iterable[L], everyone: Iterable[L]) -> Sequence[L]:
    """Return the recipients of a notification that names none: sessions with calls under way, or all if there is none.

    Several sessions get the notification only if they belong to one principal.
    """
    sessions = list(dict.fromkeys(in_flight)) or list(everyone)
    return sessions if len({session.principal for session in sessions}) <= 1 else ()


def is_part(uri: str, whole: str) -> bool:
    """True if a resource is ``whole`` or a part of it: a change may be reported of a part (MCP, server/resources)."""
    if not uri.startswith(whole):
        return False
    return len(uri) == len(whole) or whole.endswith(_ENDS) or uri[len(whole)] in _ENDS


def admits(wanted: str, level: str) -> bool:
    """True if a session that asked for ``wanted`` gets a message of ``level``; unknown levels pass."""
    return _RANK.get(level, len(LEVELS)) >= _RANK.get(wanted, 0)


def asked_level(params: Envelope | None) -> str:
    """Return the level that a ``logging/setLevel`` asks for.

    :raise InvalidParams: the request names no valid level.
    """
    level = peek.text(params, "level")
    if level is None or level not in LEVELS:
        raise InvalidParams(f"Invalid params: level must be one of {', '.join(LEVELS)}")
    return level


def most_verbose(levels: Iterable[str]) -> str | None:
    """Return the most verbose of the levels, which suffices for all sessions of a shared server; None for none."""
    return min(levels, key=lambda level: _RANK.get(level, 0), default=None)
