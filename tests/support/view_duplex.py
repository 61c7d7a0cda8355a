"""The ways to views on which all that is heard comes on one stream: HTTP with SSE, and standard output."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from attrs import Factory, define

from tests.support.http_client import LIMIT_S, READ_LIMIT, Connection, request
from tests.support.modern_client import note
from tests.support.view_fronts import GONE, Asked, Front, Lost

SHIM = Path(__file__).parents[2] / "mcpgateway" / "shim" / "shim_main.py"


@define(eq=False)
class _Duplex(Front):
    """Two streams, one for each direction of messages."""

    _waiting: dict[int, tuple[asyncio.Future[Asked], list[Any], Any]] = Factory(dict)

    async def _say(self, said: dict[str, Any]) -> None:
        raise NotImplementedError

    async def _begin(self) -> None:
        asked = await self.ask("initialize", self._hello())
        if "result" not in asked.answer:
            raise Lost(f"initialize: {asked.answer}")
        await self._say(note("notifications/initialized"))
        self.listening_since = self._now()

    async def _ask(self, method: str, params: dict[str, Any]) -> Asked:
        number = self._number()
        done: asyncio.Future[Asked] = asyncio.get_running_loop().create_future()
        token = params.get("_meta", {}).get("progressToken")
        self._waiting[number] = (done, [], token)
        try:
            await self._say({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
            return await done
        finally:
            del self._waiting[number]

    async def _takes(self, said: dict[str, Any]) -> None:
        self.story.tell("heard", said)
        if "method" not in said:
            waiting = self._waiting.get(said.get("id", -1))
            if waiting is None or waiting[0].done():
                self.complain(f"was answered what it has not asked: {said}")
            else:
                waiting[0].set_result(Asked(waiting[1], said))
        elif "id" in said:
            await self._say(self._reply(said))
        elif said["method"] == "notifications/progress":
            token = said["params"]["progressToken"]
            heard = [each[1] for each in self._waiting.values() if each[2] == token]
            for each in heard:
                each.append(said)
            if not heard:
                self.complain(f"heard progress of nothing: {said}")
        else:
            self._hears(said)

    def _end(self) -> None:
        self.listening_since = float("inf")
        for done, said, _ in self._waiting.values():
            if not done.done():
                done.set_exception(Lost(f"the stream has ended after {said}"))


class Sse(_Duplex):
    """HTTP with SSE, as older clients speak it."""

    _post_to = ""

    async def open(self) -> None:
        """Open the stream, and initialise."""
        self._stream = await Connection.open(self.gateway.url)
        await self._stream.send(request("GET", self.path, headers={"Accept": "text/event-stream"}))
        status = await self._stream.head()
        if status != 200:
            raise Lost(f"GET: {status}")
        chunks = self._stream.chunks()
        self._post_to = (await anext(chunks)).decode().split("data: ")[1].strip()
        self._beside(self._listen(chunks))
        await self._begin()

    async def _listen(self, chunks: AsyncIterator[bytes]) -> None:
        rest = b""
        try:
            async for chunk in chunks:
                *blocks, rest = (rest + chunk).split(b"\n\n")
                for each in blocks:
                    if each.startswith(b"event: message\ndata: "):
                        await self._takes(json.loads(each.split(b"data: ", 1)[1]))
        except GONE as why:
            self.complain(f"lost its stream: {why!r}")
        finally:
            self._end()
            self._stream.close()

    async def _say(self, said: dict[str, Any]) -> None:
        self.story.tell("said", said)
        connection = await Connection.open(self.gateway.url)
        try:
            answer = await connection.ask("POST", self._post_to, json.dumps(said).encode())
            if answer.status != 202:
                self.complain(f"said {said} and was answered {answer}")
        finally:
            connection.close()


class Stdio(_Duplex):
    """The program that relays from standard input and output."""

    @property
    def _stderr(self) -> Path:
        return self.gateway.directory / f"stderr-{self.name}"

    @property
    def remarks(self) -> str:
        """The program's output on stderr."""
        return self._stderr.read_text(errors="replace")

    async def open(self) -> None:
        """Start it, and initialise."""
        view = self.path.removeprefix("/mcp").strip("/")
        more = ("--view", view) if view else ()
        directory = self.gateway.directory
        with self._stderr.open("wb") as stderr:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", str(SHIM), "default", "--home", str(self.gateway.home)),
                *("stdio", *more),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=stderr,
                cwd=directory,
                env={"PATH": os.environ["PATH"], "HOME": str(directory), "LANG": "C.UTF-8"},
                limit=READ_LIMIT,
            )
        self._beside(self._listen())
        await self._begin()

    async def _listen(self) -> None:
        assert self._process.stdout is not None
        try:
            async for line in self._process.stdout:
                await self._takes(json.loads(line))
        finally:
            self._end()

    async def _say(self, said: dict[str, Any]) -> None:
        self.story.tell("said", said)
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(said).encode() + b"\n")
        await self._process.stdin.drain()

    async def close(self) -> None:
        """Close its input, and wait for its end."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(LIMIT_S):
                code = await self._process.wait()
            if code != 0:
                self.complain(f"its program ended with {code}")
        except TimeoutError:
            self.complain("its program does not end")
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
        # The gateway is there all the time, and so is the session: there is nothing to remark.
        if remarks := self.remarks:
            self.complain(f"its program remarked {remarks!r}")
        self._stderr.unlink()
        await super().close()
