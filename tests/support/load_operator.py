"""People and programs that manage a gateway under load, by REST, and those that do it harm."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from attrs import define, field

from tests.support.gateway import Gateway
from tests.support.harness.clients import GONE, StormClient, Streamable
from tests.support.harness.hands import Hand
from tests.support.harness.model import Target, clock, excuse, until
from tests.support.harness.storm import Walker
from tests.support.http_client import BOTH, Answer, Connection, Pool, request, text_of, tool_call

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
class Operator(Walker):
    """One who asks the control plane, on one connection that is kept.

    :ivar token: the admin token.
    :ivar editing: held by whoever changes the configuration, by REST or on disk.
    """

    gateway: Gateway
    address: str
    token: str
    editing: asyncio.Lock
    _pool: Pool = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._pool = Pool(self.address)

    async def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        expected: tuple[int, ...] = (200,),
        targets: tuple[Target, ...] = (),
        token: str | None = None,
    ) -> Answer | None:
        """Ask, and judge the answer; None where it was no good one."""
        begun, counts = clock(), self.model.counts
        shown = f"{method} {path}"
        headers = {"Authorization": f"Bearer {self.token if token is None else token}", "Accept": BOTH}
        data = b"" if body is None else json.dumps(body).encode()
        try:
            answer = await self._pool.ask(method, path, data, headers)
        except (*GONE, TimeoutError) as why:
            self.complain(f"was never answered {shown}: {why!r}")
            return None
        why_not = excuse(targets, begun)
        kind = " ".join((method, *path.partition("?")[0].split("/")[1:4]))
        if answer.status in expected:
            counts[f"{kind}: {answer.status}"] += 1
            return answer
        if answer.status == TOO_MANY and "retry-after" in answer.headers:
            counts[f"{kind}: {answer.status}"] += 1
        elif why_not and (answer.status in OF_A_SERVER or answer.status < 500) and self._says_when(answer):
            counts[f"{kind}: {answer.status}, {why_not}"] += 1
        else:
            self.complain(f"asked {shown} and was answered {answer} ({why_not})")
        return None

    def _says_when(self, answer: Answer) -> bool:
        return answer.status not in OVERLOADED or "retry-after" in answer.headers

    def close(self) -> None:
        """Cut the connection."""
        self._pool.close()

    # Looking and calling

    async def look(self) -> None:
        """Look at something."""
        await self.ask("GET", self.random.choice(LOOKS))

    async def call(self) -> None:
        """Call a tool of a server, in one of two ways."""
        server = self.model.servers[self.random.choice(list(self.model.servers))]
        await self.call_of(server, self.token)

    async def call_of(
        self, server: Target, token: str, *more: Target, expected: tuple[int, ...] = (200,)
    ) -> None:
        """Call a tool of a server; what may have failed besides it, is told."""
        nonce = self.model.nonce(self.name)
        body: dict[str, Any] = {"arguments": {"text": nonce}}
        path = f"{API}/tools/{server.name}__echo/call"
        if self.random.random() < 0.5:
            path, body["tool"] = f"{SERVERS}/{server.name}/call", "echo"
        answer = await self.ask(
            "POST",
            path,
            body,
            expected=expected,
            targets=(server, *more),
            token=token,
        )
        if answer is not None and answer.status == 200 and text_of({"result": answer.json}) != nonce:
            self.complain(f"said {nonce} to {server.name} and heard {answer}")

    # Managing

    async def change(self) -> None:
        """Give a server a variable by REST, and see that it has it; or take it away."""
        async with self.editing:
            server = self.model.servers["env"]
            with server.doubted("its variables were changed"):
                value = self.model.nonce("value")
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
                    self.complain(f"{patch} was answered well, and the server has {found!r}")

    async def edit(self) -> None:
        """Edit the file on disk, as editors do, and see that the gateway follows."""
        async with self.editing:
            server = self.model.servers["file"]
            with server.doubted("its entry was edited on disk"):
                document = json.loads(self.gateway.config.read_text())
                entry = document["servers"]["file"]
                entry["timeout"] = wanted = 60 + (entry.get("timeout", 60) + 1) % 7
                other = self.gateway.config.with_suffix(".new")
                other.write_text(json.dumps(document))
                other.replace(self.gateway.config)

                async def is_followed() -> bool:
                    answer = await self.ask("GET", f"{SERVERS}/file")
                    return answer is not None and answer.json["config"].get("timeout") == wanted

                if not await until(is_followed):
                    self.complain(f"edited the timeout on disk to {wanted}, which is never followed")
            self.model.counts["edits on disk"] += 1

    async def operate(self) -> None:
        """Restart a server, or stop and start it."""
        server = self.model.servers["run"]
        what = self.random.choice(("restart", "stop", "start"))
        wait = "" if what == "stop" else "?wait=60s"
        with server.doubted(f"it was told to {what}"):
            await self.ask("POST", f"{SERVERS}/run/{what}{wait}", targets=(server,))

    async def agent(self) -> None:
        """Make a token, work with it, take it back while it is used: it is good until then, and never again."""
        calm = self.model.servers["calm"]
        name = self.model.nonce("agent")
        wanted = {"name": name, "servers": ["calm"], "tools": [], "expires_in": 600}
        made = await self.ask("POST", f"{API}/tokens", wanted, expected=(201,))
        if made is None:
            return
        token, secret = Target("its token"), made.json["token"]
        caller = Streamable(
            self.model, name, self.random, self.gateway, "/calm/mcp", (calm, token), self.address, secret
        )
        hand = Hand(caller, calm)
        if await caller.open():
            for _ in range(self.random.randint(1, 5)):
                await hand.echo()
                await self.call_of(calm, secret, token)
        with token.doubted("its token was taken back"):
            at_work = asyncio.create_task(hand.echo())
            await self.ask("DELETE", f"{API}/tokens/{made.json['id']}")
            await at_work
            token.doubt("its token is over")
        # Not even where it would be right otherwise.
        await self.call_of(calm, secret, expected=(401,))
        if caller.id:
            answer = await caller.post(tool_call(1, "echo", {"text": "no"}))
            if answer.status not in {401, 429}:  # the latter where too many were wrong lately
                self.complain(f"let {caller.name} work with a token that is over: {answer}")
            await self.end(caller)
        caller.session.doubt("its session was ended")
        await caller.close()
        self.model.counts["tokens taken back"] += 1

    async def end(self, caller: StormClient) -> None:
        """End a client's session."""
        if not caller.id:
            return
        with caller.session.doubted("its session was ended"):
            await self.ask("DELETE", f"{API}/sessions/{caller.id}", expected=(200, 404))
            caller.session.doubt("its session was ended")
        self.model.counts["sessions ended"] += 1

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
            self.model.counts[f"GET {path.partition('?')[0]}: {status}"] += 1
            if status not in {200, *OVERLOADED}:
                self.complain(f"asked GET {path} and was answered {status}")
            if self.random.random() < 0.3:
                stream.hold()
            if status == 200:
                await asyncio.sleep(self.random.uniform(0.1, 2))
        except GONE as why:
            self.complain(f"lost GET {path}: {why!r}")
        finally:
            stream.close()


DEEDS = {
    Operator.look: 8,
    Operator.call: 8,
    Operator.agent: 2,
    Operator.change: 1,
    Operator.edit: 1,
    Operator.operate: 1,
}
"""The relative frequency of each action."""
