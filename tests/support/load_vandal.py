"""Clients that harm a gateway, on purpose or not: each gets an error or is cut off, without harm to other clients."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from attrs import define

from tests.support.harness.clients import GONE
from tests.support.harness.storm import Walker
from tests.support.http_client import Answer, Connection, request, text_of, tool_call
from tests.support.modern_client import headers_of
from tests.support.modern_client import request as modern_request

MARK = "mcpg_"  # what the tokens that gateways give out begin with
ROOM = 256 * 1024
MUCH = 2_000_000  # bytes; more than the kernel takes
TOO_MUCH = 5_000_000  # more than any body may have
PLACES = ("/calm/mcp", "/both/mcp", "/mcp/full", "/api/v1/tools/calm__echo/call")


@define(eq=False)
class Vandal(Walker):
    """One of them; everything it does, it does on a connection of its own."""

    address: str
    token: str

    @asynccontextmanager
    async def connected(self, what: str) -> AsyncIterator[Connection]:
        """A connection that is cut afterwards."""
        connection = await Connection.open(self.address)
        try:
            yield connection
            self.model.counts[what] += 1
        except (*GONE, TimeoutError) as why:
            self.complain(f"{what}: {why!r}")
        finally:
            connection.close()

    def call(self, tool: str, **arguments: Any) -> bytes:
        """A whole request that needs no session: a call in the modern era."""
        body = modern_request(1, "tools/call", name=tool, arguments=arguments)
        return request("POST", "/both/mcp", json.dumps(body).encode(), headers_of(body))

    async def cut_request(self) -> None:
        """Go away in the middle of a request."""
        async with self.connected("cut in mid-request") as connection:
            whole = self.call("echo", text="x" * self.random.choice((10, 100_000)))
            await connection.send(whole[: self.random.randrange(1, len(whole))])
            await asyncio.sleep(self.random.choice((0, 0.05)))

    async def cut_answer(self) -> None:
        """Go away in the middle of an answer, or before it."""
        async with self.connected("cut in mid-answer") as connection:
            if self.random.random() < 0.5:
                await connection.send(self.call("sleep", ms=300, text="nobody hears it"))
                await asyncio.sleep(self.random.choice((0, 0.05, 0.1)))
            else:
                connection.hold()
                await connection.send(self.call("big", bytes=MUCH))
                await asyncio.sleep(0.2)

    async def slow(self) -> None:
        """Read very much very slowly, and see that nothing of it is missing."""
        async with self.connected("read slowly") as connection:
            connection.hold()
            await connection.send(self.call("big", bytes=MUCH))
            await asyncio.sleep(self.random.uniform(0.2, 1))
            connection.resume()
            answer = await connection.answer()
            text = text_of(answer.messages[-1])
            if len(text) != MUCH or text.strip("x"):
                self.complain(f"read {len(text)} characters slowly instead of {MUCH}")

    async def stranger(self) -> None:
        """Send a wrong token: an invented one, or one for another use."""
        nonce = self.model.nonce("").strip("/")
        is_made_up = self.random.random() < 0.5
        said = {"Authorization": f"Bearer {MARK if is_made_up else 'other-'}{nonce}"}
        # On this machine such a token counts as none, and many requests need none.
        paths = ("/api/v1/servers", "/calm/mcp", "/mcp/full") if is_made_up else ("/api/v1/tokens",)
        path = self.random.choice(paths)
        method = "GET" if path.startswith("/api") else "POST"
        body = tool_call(1, "echo", {"text": "no"}) if method == "POST" else b""
        async with self.connected("wrong token") as connection:
            await self.refused(await connection.ask(method, path, body, said), 401, 429)

    async def giant(self) -> None:
        """Send a body that is too large, whether anybody listens or not."""
        said = {"Authorization": f"Bearer {self.token}"}
        path = self.random.choice(PLACES)
        async with self.connected("giant body") as connection:
            sending = asyncio.create_task(
                self._pour(connection, request("POST", path, b"x" * TOO_MUCH, said))
            )
            await self.refused(await connection.answer(), 413)
            await sending

    async def _pour(self, connection: Connection, data: bytes) -> None:
        try:
            for at in range(0, len(data), ROOM):
                await connection.send(data[at : at + ROOM])
        except GONE:
            self.model.counts["giant body, not taken to its end"] += 1

    async def nonsense(self) -> None:
        """Send what is no JSON."""
        said = {"Authorization": f"Bearer {self.token}"}
        body = self.random.choice((b'{"jsonrpc":', b"[" * 10_000, b"\xff\xfe{}", b'{"a":1}x'))
        async with self.connected("bad JSON") as connection:
            await self.refused(await connection.ask("POST", self.random.choice(PLACES), body, said), 400)

    async def refused(self, answer: Answer, *statuses: int) -> None:
        """See that it was told so."""
        if answer.status not in statuses:
            self.complain(f"expected {statuses} and was answered {answer}"[:600])


DEEDS = dict.fromkeys(
    (Vandal.cut_request, Vandal.cut_answer, Vandal.slow, Vandal.stranger, Vandal.giant, Vandal.nonsense), 1
)
"""The actions, one as frequent as the other."""
