"""Remote servers, for real: behind ports, alone, behind a whole gateway, and behind two in a row."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from mcp import Client, MCPError
from twisted.internet import reactor
from twisted.internet.task import deferLater

from mcpgateway.backends.http.client import Web
from mcpgateway.backends.legacy_sse import GuessedTransport, SseConnection
from mcpgateway.backends.streamable import Streamable
from mcpgateway.config.reach_settings import Remote
from mcpgateway.errors import GatewayError
from mcpgateway.protocol.versions import Era
from tests.support import real_servers
from tests.support.certificates import Authority
from tests.support.far import GatewayOfRemotes, Pipe, Server, raw
from tests.support.gateway import Gateway, eventually, server
from tests.support.ports import free_port
from tests.support.talk import Talk

pytestmark = pytest.mark.functional

PATIENCE_S = 60.0
LIMIT_S = 120


@pytest.fixture
def web() -> Iterator[Web]:
    """The client of requests."""
    made = Web(reactor)
    yield made
    made.close()


def talk(web: Web, url: str, kind: Any = Streamable, era: Era = Era.LEGACY, **remote: Any) -> Talk:
    """A conversation with a server."""

    def make(launch: Any, remote: Any, receiver: Any) -> Any:
        return kind(reactor, web, launch, remote, receiver)

    return Talk(make, Remote(url, **remote), era)


async def until(holds: Callable[[], object], what: str) -> None:
    """Wait until something holds."""
    end = reactor.seconds() + PATIENCE_S
    while not holds():
        assert reactor.seconds() < end, f"never: {what}"
        await deferLater(reactor, 0.02)


def text(result: Any) -> str:
    """The text of a tool's result."""
    return str(result["content"][0]["text"])


class ServerTests:
    """Real servers, without a gateway in front of them."""

    @pytest_twisted.ensureDeferred
    @pytest.mark.parametrize(
        ("kind", "path", "backend"),
        [
            ("streamableHttp", "mcp", Streamable),
            ("streamableHttp", "mcp", GuessedTransport),
            ("sse", "sse", SseConnection),
            ("sse", "sse", GuessedTransport),
        ],
    )
    async def test_everything(self, web: Web, kind: str, path: str, backend: Any) -> None:
        """The reference server of npm: tools, resources, prompts, progress and what it says unasked."""
        with Server.everything(kind) as far:
            line = talk(web, f"http://localhost:{far.port}/{path}", backend, is_guess=True)
            line.roots = [{"uri": "file:///somewhere"}]
            await line.meet(roots={})
            assert len((await line.ask("tools/list"))["tools"]) > 5
            assert (await line.ask("resources/list"))["resources"]
            assert (await line.ask("prompts/list"))["prompts"]
            assert text(await line.call("echo", message="é")) == "Echo: é"
            result = await line.ask(
                "tools/call",
                name="trigger-long-running-operation",
                arguments={"duration": 0.4, "steps": 2},
                _meta={"progressToken": 1},
            )
            assert "completed" in text(result)
            await until(lambda: "roots/list" in line.methods(), "it asks for roots")
            await line.backend.stop()
            assert [each.fault for each in line.ends] == ["it was stopped"]

    @pytest_twisted.ensureDeferred
    @pytest.mark.parametrize("era", list(Era))
    @pytest.mark.parametrize("kind", ["stream", "json", "stateless"])
    async def test_python(self, web: Web, kind: str, era: Era) -> None:
        """A server of both eras on the Python SDK, with and without sessions and streams."""
        with Server.python("--kind", kind) as far:
            line = talk(web, far.url, era=era)
            await line.meet()
            assert {"echo", "add"} <= {each["name"] for each in (await line.ask("tools/list"))["tools"]}
            assert text(await line.call("add", a=2, b=3)) == "5"
            assert len(text(await line.call("large", size=1_000_000))) == 1_000_000
            assert text(await line.call("count", steps=3)) == "3 steps"
            assert (await line.ask("nonsense"))["code"] == -32601
            await line.backend.stop()
            assert len(line.ends) == 1

    @pytest_twisted.ensureDeferred
    async def test_python_sse(self, web: Web) -> None:
        """The same over HTTP+SSE, which knows no modern era."""
        with Server.python("--kind", "sse") as far:
            line = talk(web, f"http://127.0.0.1:{far.port}/sse", SseConnection)
            await line.meet()
            assert text(await line.call("add", a=2, b=3)) == "5"
            await line.backend.stop()

    @pytest_twisted.ensureDeferred
    @pytest.mark.parametrize("era", list(Era))
    async def test_taken_back(self, web: Web, era: Era) -> None:
        """A call that is taken back frees the server, and the others go on."""
        with Server.python() as far:
            line = talk(web, far.url, era=era)
            await line.meet()
            slow = line.lines.ask(
                "tools/call", {"name": "sleep", "arguments": {"seconds": 600}, **line.lines._meta}
            )
            await line.call("echo", text="a")
            line.lines.cancel(next(iter(line.lines.pending.values())), "no more")
            assert text(await line.call("echo", text="b")) == "b"
            assert not slow.called
            await line.backend.stop()

    @pytest_twisted.ensureDeferred
    async def test_many_at_once(self, web: Web) -> None:
        """Hundreds of calls at once each get their own answer, and nothing of them stays."""
        with Server.python("--kind", "json") as far:
            line = talk(web, far.url)
            await line.meet()
            before = descriptors()
            asked = [
                line.lines.ask("tools/call", {"name": "add", "arguments": {"a": n, "b": 0}})
                for n in range(200)  # so many connections may wait for a server that is busy
            ]
            for number, each in enumerate(asked):
                assert text(json.loads(bytes((await each)["result"]))) == str(number)
            await line.backend.stop()
            await web.close()
            await deferLater(reactor, 0.1)
            assert descriptors() <= before


def descriptors() -> int:
    """Return the number of open descriptors."""
    return len(os.listdir("/proc/self/fd"))


class TroubleTests:
    """Servers that do not behave, and ways that break."""

    @pytest_twisted.ensureDeferred
    async def test_reset(self, web: Web) -> None:
        """A connection that is reset fails its call, which is not repeated; the session goes on."""
        with Server.python() as far:
            pipe = Pipe(far.port)
            try:
                line = talk(web, f"http://127.0.0.1:{pipe.port}/mcp")
                await line.meet()
                slow = line.lines.ask("tools/call", {"name": "sleep", "arguments": {"seconds": 600}})
                await line.call("echo", text="a")
                pipe.cut()
                reply = json.loads(bytes((await slow)["error"]))
                assert reply["code"] == -32603
                assert "broke" in reply["message"]
                # A connection that was idle may end a moment after it was written to; nothing is sent twice by itself.
                answers = [await line.call("echo", text="b") for _ in range(3)]
                assert text(answers[-1]) == "b"
                assert line.ends == []
                await line.backend.stop()
            finally:
                pipe.close()

    @pytest_twisted.ensureDeferred
    async def test_restarted(self, web: Web) -> None:
        """A server that is another one does not know the session: that is said, and nothing is repeated."""
        with Server.python() as far:
            line = talk(web, far.url)
            await line.meet()
            far.kill()
            far.start()
            with pytest.raises(GatewayError, match="does not know its session"):
                await line.call("echo", text="a")
            assert len(line.ends) == 1

    @pytest_twisted.ensureDeferred
    async def test_killed(self, web: Web) -> None:
        """A server that is gone for good is unreachable, and its callers hear of it."""
        with Server.python() as far:
            line = talk(web, far.url)
            await line.meet()
            slow = line.lines.ask("tools/call", {"name": "sleep", "arguments": {"seconds": 600}})
            await line.call("echo", text="a")
            far.kill()
            reply = await slow
            assert "broke" in bytes(reply["error"]).decode()
            await until(lambda: line.ends, "it is lost")
            assert line.ends[0].is_unreachable
            assert "connection refused" in line.ends[0].fault

    @pytest_twisted.ensureDeferred
    async def test_stalled(self, web: Web) -> None:
        """A server that stands still keeps its callers waiting, and nobody else; it can be left all the same."""
        with Server.python() as far:
            line = talk(web, far.url)
            await line.meet()
            far.hold()
            waiting = line.lines.ask("tools/call", {"name": "echo", "arguments": {"text": "a"}})
            await deferLater(reactor, 0.2)
            assert not waiting.called
            waiting.addErrback(lambda _: None)
            await line.backend.stop()
            assert len(line.ends) == 1
            far.resume()

    @pytest_twisted.ensureDeferred
    @pytest.mark.parametrize(
        ("answer", "said"),
        [
            (b"HTTP/1.1 500 No\r\nContent-Length: 6\r\n\r\nsecret", "it answers with HTTP 500"),
            (b"HTTP/1.1 503 No\r\nConnection: close\r\n\r\n", "it answers with HTTP 503"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", "the connection to"),
            (
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
                "no answer",
            ),
            (b"220 mail.example.org ESMTP\r\n", "its answer is not HTTP/1.1"),
            (b"", "broke"),
            (
                b"HTTP/1.1 307 Go\r\nLocation: http://127.0.0.2:9/mcp?secret\r\nContent-Length: 0\r\n\r\n",
                "it redirects (HTTP 307) to http://127.0.0.2:9, which is not",
            ),
        ],
    )
    async def test_bad_answers(self, web: Web, answer: bytes, said: str) -> None:
        """A malformed answer to the handshake is reported to the server's callers."""
        with raw(answer) as port:
            line = talk(web, f"http://127.0.0.1:{port}/mcp?key=secret")
            with pytest.raises(GatewayError) as caught:
                await line.meet()
            told = line.ends[0].fault if line.ends else str(caught.value)
            assert said in told
            assert "secret" not in told

    @pytest_twisted.ensureDeferred
    async def test_unreachable(self, web: Web) -> None:
        """An address without a listener, or a name that is not known, is told as such."""
        for url, said in (
            (f"http://localhost:{free_port()}/mcp", "connection refused"),
            ("http://no-such-host.invalid/mcp", "is not known"),
        ):
            for kind in (Streamable, SseConnection):
                line = talk(web, url, kind)
                with pytest.raises(GatewayError):
                    await line.meet()
                assert said in line.ends[0].fault
                assert line.ends[0].is_unreachable


class CertificateTests:
    """TLS: who is believed, and what is said of those who are not."""

    @pytest_twisted.ensureDeferred
    async def test_own_authority(self, web: Web, tmp_path: Path) -> None:
        """A certificate of a named authority is good for the name that it is made out to."""
        authority = Authority(tmp_path)
        with Server.python("--certificate", authority.issue("localhost")) as far:
            line = talk(web, f"https://localhost:{far.port}/mcp", ca_file=authority.file)
            await line.meet()
            for number in range(5):
                assert text(await line.call("add", a=number, b=0)) == str(number)
            await line.backend.stop()

    @pytest_twisted.ensureDeferred
    async def test_nothing_in_plain(self, web: Web, tmp_path: Path) -> None:
        """An observer of the wire sees no message, also when a connection is used again."""
        authority = Authority(tmp_path)
        with Server.python("--certificate", authority.issue("localhost")) as far:
            pipe = Pipe(far.port)
            headers = {"Authorization": "Bearer hush-token"}
            line = talk(web, f"https://localhost:{pipe.port}/mcp", ca_file=authority.file, headers=headers)
            await line.meet()
            for _ in range(5):
                await line.call("echo", text="hush-text")
            await line.backend.stop()
            await web.close()
            pipe.close()
            assert len(pipe.seen) > 5000
            for word in (b"hush", b"POST", b"jsonrpc", b"HTTP"):
                assert word not in pipe.seen

    @pytest_twisted.ensureDeferred
    async def test_address(self, web: Web, tmp_path: Path) -> None:
        """A certificate for an address is believed, too."""
        authority = Authority(tmp_path)
        with Server.python("--certificate", authority.issue("127.0.0.1")) as far:
            line = talk(web, f"https://127.0.0.1:{far.port}/mcp", ca_file=authority.file)
            await line.meet()
            await line.backend.stop()

    @pytest_twisted.ensureDeferred
    async def test_blind(self, web: Web, tmp_path: Path) -> None:
        """A user may believe anybody."""
        certificate = Authority(tmp_path).issue("elsewhere.example", expired=True)
        with Server.python("--certificate", certificate) as far:
            line = talk(web, f"https://127.0.0.1:{far.port}/mcp", insecure=True)
            await line.meet()
            await line.backend.stop()

    @pytest_twisted.ensureDeferred
    @pytest.mark.parametrize(
        ("host", "is_expired", "is_known", "said"),
        [
            ("localhost", False, False, "no authority that is trusted here has signed it"),
            ("localhost", True, True, "it has expired"),
            ("elsewhere.example", False, True, "it is made out to elsewhere.example"),
            ("127.0.0.1", False, True, "it is made out to 127.0.0.1"),
        ],
    )
    async def test_not_good(
        self, web: Web, tmp_path: Path, host: str, said: str, *, is_expired: bool, is_known: bool
    ) -> None:
        """A certificate that is not good is named with its host and what is wrong with it; nothing is sent."""
        authority = Authority(tmp_path)
        certificate = authority.issue(host, expired=is_expired)
        with raw(b"", certificate=certificate) as port:
            line = talk(web, f"https://localhost:{port}/mcp", ca_file=authority.file if is_known else "")
            with pytest.raises(GatewayError):
                await line.meet()
            assert line.ends[0].fault == f"the certificate of localhost:{port} is not accepted: {said}"
            assert not line.ends[0].is_unreachable
            error = line.ends[0].error
            assert error is not None
            assert "ca_file" in error.hint

    @pytest_twisted.ensureDeferred
    async def test_changed(self, web: Web, tmp_path: Path) -> None:
        """A server that comes back with another certificate is not believed because it was before."""
        authority = Authority(tmp_path)
        (tmp_path / "other").mkdir()
        certificate = tmp_path / "served.pem"
        shutil.copy(authority.issue("localhost"), certificate)
        with Server.python("--certificate", str(certificate)) as far:
            line = talk(web, f"https://localhost:{far.port}/mcp", ca_file=authority.file)
            await line.meet()
            shutil.copy(Authority(tmp_path / "other").issue("localhost"), certificate)
            far.kill()
            far.start()
            reply = await line.call("echo", text="a")
            assert "no authority that is trusted here has signed it" in reply["message"]
            line.backend.kill()
            await until(lambda: line.ends, "it is lost")

    @pytest_twisted.ensureDeferred
    async def test_no_tls(self, web: Web) -> None:
        """A server that speaks no TLS is named as such."""
        with raw(b"HTTP/1.1 400 No\r\n\r\n") as port:
            line = talk(web, f"https://127.0.0.1:{port}/mcp")
            with pytest.raises(GatewayError):
                await line.meet()
            assert f"127.0.0.1:{port} does not speak TLS" in line.ends[0].fault

    @pytest_twisted.ensureDeferred
    async def test_no_authorities(self, web: Web, tmp_path: Path) -> None:
        """A file of authorities that cannot be used is named, with the key that names it."""
        line = talk(web, "https://127.0.0.1:9/mcp", ca_file=str(tmp_path / "none.pem"))
        with pytest.raises(GatewayError):
            await line.meet()
        assert line.ends[0].fault == (
            f"ca_file: {tmp_path / 'none.pem'} cannot be used: No such file or directory"
        )
        error = line.ends[0].error
        assert error is not None
        assert "ca_file" in error.hint


async def used(url: str, use: Callable[[Client], Awaitable[Any]], mode: Any = "auto", **more: Any) -> Any:
    """The result that a client of a gateway gets."""
    async with asyncio.timeout(LIMIT_S), Client(url, mode=mode, **more) as client:
        return await use(client)


async def added(client: Client) -> str:
    """Let a client add."""
    result = await client.call_tool("add", {"a": 2, "b": 3})
    return str(result.content[0].text)


class GatewayTests:
    """Remote servers behind a whole gateway."""

    @pytest.mark.parametrize("mode", ["legacy", "auto"])
    def test_transports(self, tmp_path: Path, mode: str) -> None:
        """Clients of either era use servers of every transport, many over one session where they are shared."""
        with (
            Server.python() as stream,
            Server.python("--kind", "sse") as sse,
            Server.everything("streamableHttp") as everything,
        ):
            remotes = {
                "stream": {"url": stream.url},
                "sse": {"url": f"http://localhost:{sse.port}/sse", "transport": "sse"},
                "guess": {"url": f"http://localhost:{sse.port}/sse", "is_guess": True},
                "everything": {"url": everything.url},
            }
            with GatewayOfRemotes(tmp_path, remotes) as gateway:
                for name in ("stream", "sse", "guess"):
                    assert asyncio.run(used(f"{gateway.url}/{name}/mcp", added, mode)) == "5"

                async def echo(client: Client) -> str:
                    result = await client.call_tool("echo", {"message": "a"})
                    return str(result.content[0].text)

                assert asyncio.run(used(f"{gateway.url}/everything/mcp", echo, mode)) == "Echo: a"
                backend = gateway.backend("sse")
                assert (backend["transport"], backend["status"], backend["pids"]) == ("sse", "running", [])
                assert gateway.backend("stream")["transport"] == "streamable-http"

    def test_changes_are_heard(self, tmp_path: Path) -> None:
        """A message of a server on its standing stream reaches the clients that listen."""
        with Server.everything("streamableHttp") as far:
            remotes = {"far": {"url": far.url, "share": "session"}}
            with GatewayOfRemotes(tmp_path, remotes) as gateway:
                heard = asyncio.Event()

                async def hear(message: Any) -> None:
                    heard.set()

                async def listen(client: Client) -> None:
                    await client.call_tool("toggle-simulated-logging", {})
                    await heard.wait()

                asyncio.run(used(f"{gateway.url}/far/mcp", listen, "legacy", message_handler=hear))

    def test_restarted_in_between(self, tmp_path: Path) -> None:
        """A server that was restarted is met anew: the call that found out fails, the next one does not."""
        with Server.python() as far, GatewayOfRemotes(tmp_path, {"far": {"url": far.url}}) as gateway:

            async def use(client: Client) -> list[Any]:
                found = [await added(client)]
                far.kill()
                far.start()
                for _ in range(2):
                    try:
                        found.append(await added(client))
                    except MCPError as why:
                        found.append(str(why))
                return found

            first, second, third = asyncio.run(used(f"{gateway.url}/far/mcp", use, "legacy"))
            assert (first, third) == ("5", "5")
            # The loss of its standing stream may have told before anybody called.
            assert second == "5" or "far ended before it answered" in second

    def test_away(self, tmp_path: Path) -> None:
        """A server that is not there is said to be unreachable, and is used when it comes."""
        far = Server.python()
        with GatewayOfRemotes(tmp_path, {"far": {"url": far.url}}) as gateway:
            told = refused(gateway, "far")
            assert f"no connection to 127.0.0.1:{far.port}: connection refused" in told
            with far:
                assert asyncio.run(used(f"{gateway.url}/far/mcp", added, "legacy")) == "5"
                assert asyncio.run(used(f"{gateway.url}/far/mcp", added, "auto")) == "5"

    def test_itself(self, tmp_path: Path) -> None:
        """A gateway that is its own server says so instead of asking itself without end."""
        port = free_port()
        with GatewayOfRemotes(tmp_path, {"far": {"url": f"http://localhost:{port}/far/mcp"}}) as gateway:
            gateway.stop()
            gateway.port = port
            gateway.start()
            assert "is this gateway itself" in refused(gateway, "far")

    def test_secrets(self, tmp_path: Path) -> None:
        """The headers and the query of a URL are neither in the log, in errors nor in /health."""
        with raw(b"HTTP/1.1 500 No\r\nContent-Length: 9\r\n\r\nhush-page") as port:
            remote = {
                "url": f"http://127.0.0.1:{port}/mcp?key=hush-query",
                "headers": {"Authorization": "Bearer hush-token"},
            }
            with GatewayOfRemotes(tmp_path, {"far": remote}) as gateway:
                told = refused(gateway, "far")
                assert "HTTP 500" in told
                assert "hush" not in told
                assert "hush" not in json.dumps(gateway.health())
            assert "hush" not in gateway.log

    def test_tls_comes_later(self, tmp_path: Path) -> None:
        """A gateway that was started without OpenSSL loads it for the first server that is reached by TLS."""
        authority = Authority(tmp_path)
        with (
            Server.python("--certificate", authority.issue("localhost")) as far,
            Server.python() as plain,
        ):
            remotes = {
                "plain": {"url": plain.url},
                "far": {"url": f"https://localhost:{far.port}/mcp", "ca_file": authority.file},
            }
            with GatewayOfRemotes(tmp_path, remotes) as gateway:
                assert asyncio.run(used(f"{gateway.url}/plain/mcp", added)) == "5"
                assert not has_openssl(gateway.pid)
                assert asyncio.run(used(f"{gateway.url}/far/mcp", added)) == "5"
                assert has_openssl(gateway.pid)


def has_openssl(pid: int) -> bool:
    """Return whether a process has loaded OpenSSL for Python."""
    return "cryptography" in Path(f"/proc/{pid}/maps").read_text()


def refused(gateway: Gateway, name: str) -> str:
    """The error of a client that cannot use a server."""
    try:
        asyncio.run(used(f"{gateway.url}/{name}/mcp", added, "legacy"))
    except Exception as why:  # noqa: BLE001 - the client wraps its own in groups
        return _told(why)
    raise AssertionError("it was served")


def _told(why: BaseException) -> str:
    if isinstance(why, BaseExceptionGroup):
        return " ".join(map(_told, why.exceptions))
    return str(why)


class TwoGatewaysTests:
    """A gateway behind a gateway."""

    @pytest.fixture
    def row(self, tmp_path: Path) -> Iterator[tuple[Gateway, Pipe, GatewayOfRemotes]]:
        """Two gateways in a row, and the way between them."""
        for each in ("first", "second"):
            (tmp_path / each).mkdir()
        fixture = server(real_servers.fixture("--era", "dual"))
        with Gateway(tmp_path / "first", {"fixture": fixture}) as first:
            pipe = Pipe(first.port)
            url = f"http://127.0.0.1:{pipe.port}/fixture/mcp"
            try:
                with GatewayOfRemotes(tmp_path / "second", {"far": {"url": url}}) as second:
                    yield first, pipe, second
            finally:
                pipe.close()

    @pytest.mark.parametrize("mode", ["legacy", "auto"])
    def test_use(self, row: Any, mode: str) -> None:
        """Calls, progress and large answers pass both."""
        _, _, second = row
        seen: list[float] = []

        async def heard(progress: float, total: float | None, message: str | None) -> None:
            seen.append(progress)

        async def use(client: Client) -> None:
            assert len((await client.list_tools()).tools) > 5
            result = await client.call_tool("echo", {"text": "é"})
            assert result.content[0].text == "é"
            await client.call_tool("progress", {"steps": 3, "ms": 20}, progress_callback=heard)
            result = await client.call_tool("big", {"bytes": 500_000})
            assert len(result.content[0].text) >= 500_000

        asyncio.run(used(f"{second.url}/far/mcp", use, mode))
        assert seen == [1, 2, 3]

    def test_cut_between(self, row: Any) -> None:
        """A call whose stream is cut gets its answer all the same, and what was said meanwhile: the rest is fetched."""
        _, pipe, second = row
        seen: list[float] = []

        async def heard(progress: float, total: float | None, message: str | None) -> None:
            seen.append(progress)
            if progress == 2:
                pipe.cut()

        async def use(client: Client) -> bool:
            result = await client.call_tool("progress", {"steps": 8, "ms": 250}, progress_callback=heard)
            return bool(result.is_error)

        assert not asyncio.run(used(f"{second.url}/far/mcp", use, "legacy"))
        assert seen == [1, 2, 3, 4, 5, 6, 7, 8]

    def test_first_restarted(self, row: Any) -> None:
        """Sessions of a gateway outlive its restart, so the one behind it notices nothing but a moment."""
        first, _, second = row

        async def use(client: Client) -> list[str]:
            found = []
            for turn in range(2):
                if turn:
                    first.stop()
                    first.start()
                result = await client.call_tool("echo", {"text": "a"})
                found.append(str(result.content[0].text))
            return found

        assert asyncio.run(used(f"{second.url}/far/mcp", use, "legacy")) == ["a", "a"]

    def test_ends(self, row: Any) -> None:
        """When the second gateway ends, the first has no session left."""
        first, _, second = row
        asyncio.run(used(f"{second.url}/far/mcp", lambda client: client.list_tools(), "legacy"))
        assert first.health()["sessions"] > 0
        second.stop()
        eventually(lambda: first.health()["sessions"] == 0, "its session is ended")
