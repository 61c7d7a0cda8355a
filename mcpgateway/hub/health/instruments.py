"""The measurements on which the health of servers depends."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from twisted.internet.defer import Deferred, fail

from mcpgateway.config.model import ServerSpec
from mcpgateway.errors import GatewayError, NeedsLogin
from mcpgateway.hub.health.former_failures import FormerFailures
from mcpgateway.policy.idling import OwnWork
from mcpgateway.policy.stuck_calls import ProcessActivity
from mcpgateway.records import FrozenRecord


def _unpressed(_: str) -> str:
    return ""


def _unwatched(_: int) -> None:
    return None


def _unasked(_: ServerSpec) -> None:
    """Return None: no user has to sign in."""


class Instruments(FrozenRecord, frozen=True):
    """The measurements on which the health of servers depends.

    :ivar chance: returns a random number from 0 to 1.
    :ivar fetch: requests a URL, and fires with the status of the answer within seconds; follows no redirects.
    :ivar dial: fires when a connection to a URL's address succeeds, or fails within seconds.
    :ivar weigh: returns the resident bytes of the process trees of some children, as far as they are known.
    :ivar is_known: returns True if a server's catalog is known without a child.
    :ivar activity: returns the activity of a child's whole process tree; None where it is not known.
    :ivar question: returns the sign-in that a server needs of its user; None where it needs none.
    :ivar former: the file of servers' last failures; None without one.
    :ivar own_work: returns the signs that a child works without a request; None where it does not run.
    :ivar pressure: returns how short memory is, in words, by a file or by those of the machine; empty: it is not.
    :ivar templates: returns the processes that servers' children are forked from.
    """

    chance: Callable[[], float]
    fetch: Callable[[str], Deferred[int]]
    dial: Callable[[str], Deferred[None]]
    weigh: Callable[[Collection[int]], Mapping[int, int]]
    is_known: Callable[[ServerSpec], bool]
    activity: Callable[[int], ProcessActivity | None] = _unwatched
    question: Callable[[ServerSpec], NeedsLogin | None] = _unasked
    former: FormerFailures | None = None
    templates: Callable[[], Collection[int]] = tuple
    own_work: Callable[[int], OwnWork | None] = _unwatched
    pressure: Callable[[str], str] = _unpressed


def _unseen(url: str) -> Deferred[Any]:
    return fail(GatewayError("nobody looks"))


def _unweighed(_: Collection[int]) -> Mapping[int, int]:
    return {}


def unknown(_: ServerSpec) -> bool:
    """Return False: no catalog of any server is known."""
    return False


BLIND = Instruments(lambda: 0.5, _unseen, _unseen, _unweighed, unknown)
"""Instruments that measure nothing."""
