"""Lists of views as they are once no server is missing any more."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from mcpgateway.owntools.missing_servers import KEY

PAUSE_S = 0.05


async def whole(ask: Callable[[], Awaitable[Any]]) -> Any:
    """Return the list that the SDK's client gets in the end; the caller sets the time limit."""
    found = await ask()
    if KEY not in (found.meta or {}):
        return found
    await asyncio.sleep(PAUSE_S)
    return await whole(ask)


async def whole_reply(ask: Callable[[], Awaitable[Any]]) -> Any:
    """The same of a client by hand: the result."""
    found = (await ask()).messages[-1]["result"]
    if KEY not in found.get("_meta", {}):
        return found
    await asyncio.sleep(PAUSE_S)
    return await whole_reply(ask)


def whole_result(ask: Callable[[], Any]) -> Any:
    """The same of a client that blocks: the result."""
    while KEY in (found := ask()["result"]).get("_meta", {}):
        time.sleep(PAUSE_S)
    return found
