"""The hands of a client: calls of tools, one after the other, each answer judged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import Any, ClassVar

from attrs import define

from tests.support.harness.clients import Reply, StormClient
from tests.support.harness.model import Lost, Server, clock

Check = Callable[[Reply], str | None]


@define(eq=False)
class Hand:
    """The calls of a client, one after the other.

    :ivar only: the server that is called, where it is always the same.
    :ivar nth: unlike that of the client's other hands.
    """

    sleeps_ms: ClassVar[tuple[int, ...]] = (20, 200, 1000)
    client: StormClient
    only: Server | None = None
    nth: int = 0

    @property
    def model(self) -> Any:
        """The model by which the answers are judged."""
        return self.client.model

    @property
    def random(self) -> Random:
        """The client's dice."""
        return self.client.random

    def server(self) -> Server | None:
        """Return the server of the next call; None if no server is to be called."""
        return self.only

    def text(self) -> str:
        """Return a unique text."""
        return str(self.model.nonce(f"{self.client.name}#{self.nth}"))

    async def call(
        self, what: str, server: Server | None, tool: str, arguments: Mapping[str, Any], check: Check
    ) -> bool:
        """Call a tool by its name or through the gateway's own tool, and judge the answer.

        :return: the client has lost its stream, and has to begin anew.
        """
        if server is None:
            return False
        client, begun, prefix = self.client, clock(), server.prefix
        name = f"{prefix or server.name}__{tool}" if client.is_at_view else tool
        params: dict[str, Any] = {"name": name, "arguments": arguments}
        if client.is_at_view and self.random.random() < 0.3:
            params = {"name": "gateway_invoke", "arguments": {"id": name, "args": arguments}}
            what += " through invoke"
        params["_meta"] = {"progressToken": self.nth}
        try:
            reply = await client.ask("tools/call", params)
        except Lost:
            return not client.is_standing  # the client has complained, unless there was an excuse
        self.judge(f"{what} {arguments}", what, server, begun, prefix, reply, check)
        return not client.is_standing

    def judge(
        self,
        shown: str,
        what: str,
        server: Server,
        begun: float,
        prefix: str | None,
        reply: Reply,
        check: Check,
    ) -> None:
        """Check that an answer is the right one, or that there is a reason for a failure.

        :param prefix: of the server's tools when the call was sent.
        """
        counts = self.model.counts
        why = self.client.excuse(begun, server)
        if (failure := reply.failure) is None:
            wrong = "it is not there" if prefix is None and not why else check(reply)
            counts.update((what, f"{what}: {self.client.kind}"))
        elif not failure:
            wrong = "an error without a message"
        else:
            wrong = None if prefix is None or why else "without a reason"
            counts["refused, not there" if prefix is None else f"failed: {why}"] += 1
        if wrong:
            self.client.complain(f"asked {server.name} {shown} and was answered {reply}: {wrong}")

    async def echo(self) -> bool:
        """Call a tool that answers with the call's own text."""
        text = self.text()
        return await self.call("echo", self.server(), "echo", {"text": text}, equal(text))

    async def sleep(self) -> bool:
        """Call a tool that answers after a while."""
        text, ms = self.text(), self.random.choice(self.sleeps_ms)
        return await self.call("sleep", self.server(), "sleep", {"text": text, "ms": ms}, equal(text))

    async def big(self) -> bool:
        """Call a tool with a long answer."""
        size = self.random.choice((10_000, 300_000, 1_000_000))
        return await self.call("big", self.server(), "big", {"bytes": size}, equal("x" * size))


def equal(wanted: str) -> Check:
    """The check that an answer is that text."""
    return lambda reply: None if reply.text == wanted else f"not {wanted[:200]!r}"
