"""People and programs that manage a gateway under load, by REST, and those that do it harm."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import Any

from attrs import define, field

from tests.support.http_client import BOTH, LIMIT_S, Answer, Connection, request, text_of, tool_call
from tests.support.load_callers import GONE, Streamable
from tests.support.load_model import Target, World

API = "/api/v1"
SERVERS = f"{API}/servers"
OVERLOADED = (429, 503)  # both say when to come back
TOO_MANY = 429  # wrong tokens
OF_A_SERVER = (502, 503, 504)
TOO_MUCH = 5_000_000  # bytes; more than any body may have
LOOKS = (
    "/health",
    "/metrics",
    SERVERS,
    f"{SERVERS}/calm",
    f"{SERVERS}/hit/why",
    f"{API}/sessions?limit=20",
    f"{API}/metrics",
    f"{API}/savings",
    f"{API}/tools?server=calm",
    f"{API}/tools?q=echo&server=calm",
    f"{API}/activity?limit=20",
    f"{API}/tokens",
    f"{API}/preflight?need=calm",
    f"{API}/debug/dump",
    "/api/health/stats",
)


@define(eq=False)
class Operator:
    """One who asks the control plane, on one connection that is kept.

    :ivar token: the admin token.
    :ivar file: the configuration, which is edited on disk too.
    :ivar editing: held by whoever changes the configuration, by REST or on disk.
    """

    world: World
    name: str
    address: str
    random: Random
    token: str
    file: Path
    editing: asyncio.Lock
    _connection: Connection | None = field(init=False, default=None)

    async def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        expected: tuple[int, ...] = (200,),
        excuse: Callable[[float], str] = lambda _: "",
        token: str | None = None,
    ) -> Answer | None:
        """Ask, and judge the answer; None where it was no good one."""
        begun, counts = self.world.clock(), self.world.counts
        shown = f"{method} {path}"
        headers = {"Authorization": f"Bearer {self.token if token is None else token}", "Accept": BOTH}
        data = b"" if body is None else json.dumps(body).encode()
        try:
            if self._connection is None:
                self._connection = await Connection.open(self.address)
            answer = await self._connection.ask(method, path, data, headers)
        except (*GONE, TimeoutError) as why:
            self.world.complain(f"{self.name} was never answered {shown}: {why!r}")
            self.close()
            return None
        if answer.headers.get("connection") == "close":
            self.close()
        why_not = excuse(begun)
        kind = " ".join((method, *path.partition("?")[0].split("/")[1:4]))
        if answer.status in expected:
            counts[f"{kind}: {answer.status}"] += 1
            return answer
        if answer.status == TOO_MANY and "retry-after" in answer.headers:
            counts[f"{kind}: {answer.status}"] += 1
        elif why_not and (answer.status in OF_A_SERVER or answer.status < 500) and self._says_when(answer):
            counts[f"{kind}: {answer.status}, {why_not}"] += 1
        else:
            self.world.complain(f"{self.name} asked {shown} and was answered {answer} ({why_not})")
        return None

    def _says_when(self, answer: Answer) -> bool:
        return answer.status not in OVERLOADED or "retry-after" in answer.headers

    def close(self) -> None:
        """Cut the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    # Looking and calling

    async def look(self) -> None:
        """Look at something."""
        await self.ask("GET", self.random.choice(LOOKS))

    async def call(self) -> None:
        """Call a tool of a server, in one of two ways."""
        server = self.world.servers[self.random.choice(list(self.world.servers))]
        await self.call_of(server, self.token)

    async def call_of(
        self, server: Target, token: str, *more: Target, expected: tuple[int, ...] = (200,)
    ) -> None:
        """Call a tool of a server; what may have failed besides it, is told."""
        nonce = self.world.nonce(self.name)
        body: dict[str, Any] = {"arguments": {"text": nonce}}
        path = f"{API}/tools/{server.name}__echo/call"
        if self.random.random() < 0.5:
            path, body["tool"] = f"{SERVERS}/{server.name}/call", "echo"
        answer = await self.ask(
            "POST",
            path,
            body,
            expected=expected,
            excuse=lambda begun: next((why for each in (server, *more) if (why := each.excuse(begun))), ""),
            token=token,
        )
        if answer is not None and answer.status == 200 and text_of({"result": answer.json}) != nonce:
            self.world.complain(f"{self.name} said {nonce} to {server.name} and heard {answer}")

    # Managing

    async def change(self) -> None:
        """Give a server a variable by REST, and see that it has it; or take it away."""
        async with self.editing:
            server = self.world.servers["env"]
            with server.doubted("its variables were changed"):
                value = self.world.nonce("value")
                patch: Mapping[str, Any] = {"add_env": [f"STORM={value}"]}
                if gone := self.random.random() < 0.3:
                    patch = {"remove_env": ["STORM"]}
                if await self.ask("PATCH", f"{SERVERS}/env?wait=60s", patch) is None:
                    return
            body = {"tool": "env", "arguments": {"name": "STORM"}}
            answer = await self.ask("POST", f"{SERVERS}/env/call", body)
            if answer is not None:
                found = json.loads(text_of({"result": answer.json}))
                if found != (None if gone else value):
                    self.world.complain(f"{patch} was answered well, and the server has {found!r}")

    async def edit(self) -> None:
        """Edit the file on disk, as editors do, and see that the gateway follows."""
        async with self.editing:
            server = self.world.servers["file"]
            with server.doubted("its entry was edited on disk"):
                document = json.loads(self.file.read_text())
                entry = document["servers"]["file"]
                entry["timeout"] = wanted = 60 + (entry.get("timeout", 60) + 1) % 7
                other = self.file.with_suffix(".new")
                other.write_text(json.dumps(document))
                other.replace(self.file)
                ends = self.world.clock() + LIMIT_S
                while True:
                    answer = await self.ask("GET", f"{SERVERS}/file")
                    if answer is not None and answer.json["config"].get("timeout") == wanted:
                        break
                    if self.world.clock() > ends:
                        self.world.complain(f"an edit on disk is never followed: {answer}")
                        break
                    await asyncio.sleep(0.1)
            self.world.counts["edits on disk"] += 1

    async def operate(self) -> None:
        """Restart a server, or stop and start it."""
        server = self.world.servers["run"]
        what = self.random.choice(("restart", "stop", "start"))
        wait = "" if what == "stop" else "?wait=60s"
        with server.doubted(f"it was told to {what}"):
            await self.ask("POST", f"{SERVERS}/run/{what}{wait}", excuse=server.excuse)

    async def kill(self, server: Target, signal: Callable[[int], None]) -> None:
        """Kill the children of a server, and wait until the gateway has noticed."""
        shown = await self.ask("GET", f"{SERVERS}/{server.name}")
        if shown is None:
            return
        with server.doubted("it was killed"):
            for pid in (pids := shown.json["pids"]):
                signal(pid)
            ends = self.world.clock() + LIMIT_S
            while True:
                shown = await self.ask("GET", f"{SERVERS}/{server.name}")
                if shown is not None and not set(shown.json["pids"]) & set(pids):
                    break
                if self.world.clock() > ends:
                    self.world.complain(f"it is never known that {pids} have ended: {shown}")
                    break
                await asyncio.sleep(0.05)
        self.world.counts["children killed"] += len(pids)

    async def agent(self) -> None:
        """Make a token, work with it, take it back while it is used: it is good until then, and never again."""
        calm = self.world.servers["calm"]
        name = self.world.nonce("agent")
        wanted = {"name": name, "servers": ["calm"], "tools": [], "expires_in": 600}
        made = await self.ask("POST", f"{API}/tokens", wanted, expected=(201,))
        if made is None:
            return
        token, secret = self.world.target("its token"), made.json["token"]
        caller = Streamable(
            self.world, name, self.address, calm, self.random, "/calm/mcp", "", secret, (token,)
        )
        if await caller.open():
            for _ in range(self.random.randint(1, 5)):
                await caller.echo()
                await self.call_of(calm, secret, token)
        with token.doubted("its token was taken back"):
            at_work = asyncio.create_task(caller.echo())
            await self.ask("DELETE", f"{API}/tokens/{made.json['id']}")
            await at_work
            token.over("its token is over")
        # Not even where it would be right otherwise.
        await self.call_of(calm, secret, expected=(401,))
        if caller.id:
            answer = await caller.ask("POST", "/calm/mcp", tool_call(1, "echo", {"text": "no"}))
            if answer.status not in {401, 429}:  # the latter where too many were wrong lately
                self.world.complain(f"{caller.name} worked with a token that is over: {answer}")
            await self.end(caller)
        caller.session.over("its session was ended")
        await caller.close()
        self.world.counts["tokens taken back"] += 1

    async def end(self, caller: Any) -> None:
        """End a client's session."""
        if not caller.id:
            return
        with caller.session.doubted("its session was ended"):
            await self.ask("DELETE", f"{API}/sessions/{caller.id}", expected=(200, 404))
            caller.session.over("its session was ended")
        self.world.counts["sessions ended"] += 1

    # Watching

    async def watch(self) -> None:
        """Read a stream of lines or of events for a while, well or badly, and drop it."""
        path = self.random.choice(
            (f"{API}/events", f"{SERVERS}/hit/logs?tail=20", f"{API}/events?kind=server")
        )
        stream = await Connection.open(self.address)
        try:
            said = {"Authorization": f"Bearer {self.token}", "Accept": "text/event-stream"}
            await stream.send(request("GET", path, b"", said))
            status = await stream.head()
            self.world.counts[f"GET {path.partition('?')[0]}: {status}"] += 1
            if status not in {200, *OVERLOADED}:
                self.world.complain(f"{self.name} asked GET {path} and was answered {status}")
            if self.random.random() < 0.3:
                stream.hold()
            if status == 200:
                await asyncio.sleep(self.random.uniform(0.1, 2))
        except GONE as why:
            self.world.complain(f"{self.name} lost GET {path}: {why!r}")
        finally:
            stream.close()
