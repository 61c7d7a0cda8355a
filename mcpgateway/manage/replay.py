"""Ask a server again what it was asked, in a session of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Raw
from twisted.internet import defer
from twisted.internet.defer import ensureDeferred
from twisted.internet.interfaces import IReactorTime

from mcpgateway.config.model import ServerSpec
from mcpgateway.errors import BackendTimeout, GatewayError
from mcpgateway.hub.dispatch import LegacyDispatcher
from mcpgateway.manage.internal_client import InternalClient, RefusedRequest
from mcpgateway.policy.secrets.scrubbing import Redact, scrubbed

REPLAY_S = 600.0
REQUESTS_MOST = 500  # more than the flight recorder keeps of a server


class RecordedRequest(msgspec.Struct, frozen=True):
    """A request as it was sent to a server, without its id.

    :ivar params: a JSON object.
    """

    method: str
    params: Raw = Raw(b"{}")


async def replay(
    dispatcher: LegacyDispatcher,
    clock: IReactorTime,
    server: ServerSpec,
    principal: str,
    requests: Sequence[RecordedRequest],
    redact: Redact | None,
) -> list[dict[str, Any]]:
    """Send requests to a server, one after the other; return each ``result`` or ``error``.

    :param redact: removes secrets from the answers; None leaves them as they are.
    :raise GatewayError: the server could not be started, or all has taken longer than ten minutes.
    """
    visit = await InternalClient.begin(dispatcher, server, principal, is_admin=True)
    try:
        if visit.session.slot is not None:
            await visit.session.slot.greet()  # or a list would come from the records
        return await ensureDeferred(_asked(visit, requests, redact)).addTimeout(REPLAY_S, clock)
    except defer.TimeoutError:
        raise BackendTimeout(f"{server.name} has not answered all requests within {REPLAY_S:g} s") from None
    finally:
        visit.end("its replay is over")


async def _asked(
    visit: InternalClient, requests: Sequence[RecordedRequest], redact: Redact | None
) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for each in requests:
        answer: dict[str, Any]
        try:
            params = msgspec.json.decode(each.params, type=dict[str, Raw])
            answer = {"result": msgspec.json.decode(await visit.ask(each.method, params))}
        except RefusedRequest as why:
            answer = {"error": {"code": why.number, "message": why.message}}
        except GatewayError as why:
            answer = {"error": {"code": why.code, "message": why.message}}
        found.append(answer if redact is None else scrubbed(answer, redact))
    return found
