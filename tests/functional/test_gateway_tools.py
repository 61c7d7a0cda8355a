"""The gateway's own tools, called over HTTP on views of real servers."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from mcpgateway.discovery.tokens import estimate
from tests.support.gateway import Gateway, eventually, server
from tests.support.http_client import LIMIT_S, REVISION, Client, message, text_of, tool_call
from tests.support.modern_client import headers_of
from tests.support.modern_client import request as modern_request
from tests.support.real_servers import fixture

pytestmark = pytest.mark.functional

SIX = [
    "gateway_search",
    "gateway_describe",
    "gateway_invoke",
    "gateway_invoke_async",
    "gateway_invoke_status",
    "gateway_get_result",
]


def run(use: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Run clients, for so long at most."""

    async def limited() -> Any:
        async with asyncio.timeout(LIMIT_S):
            return await use()

    return asyncio.run(limited())


async def opened(gateway: Gateway, path: str = "/mcp/search") -> Client:
    """A session of all servers."""
    client = Client(gateway.url, path)
    params = {"protocolVersion": REVISION, "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    answer = await client.post(message(0, "initialize", params))
    assert answer.status == 200, answer.body
    client.id, client.hello = answer.headers["mcp-session-id"], answer.json["result"]
    await client.post(message(None, "notifications/initialized"))
    return client


async def asked(client: Client, tool: str, **arguments: Any) -> Any:
    """The answer of one of the gateway's tools, decoded."""
    return json.loads(text_of(await client.call(tool, arguments)))


async def until(holds: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Ask again and again, until the answer is one."""
    while True:
        found = await holds()
        if found:
            return found
        await asyncio.sleep(0.05)


async def in_state(client: Client, job: str, *states: str) -> Any:
    """A job, once it is in one of these states."""

    async def look() -> Any:
        found = await asked(client, "gateway_invoke_status", jobId=job)
        return found if found["status"] in states else None

    return await until(look)


def gateway_of(directory: Path, *names: str) -> Gateway:
    """A gateway of our own servers, under these names."""
    return Gateway(directory, {name: server(fixture()) for name in names})


class ViewTests:
    """The tools as clients see them."""

    def test_search_describe_invoke(self, tmp_path: Path) -> None:
        """A client that sees six tools finds one of a server's, reads what it takes, and calls it."""
        with gateway_of(tmp_path, "one", "two") as gateway:

            async def use() -> None:
                client = await opened(gateway)
                listed = (await client.post(message(1, "tools/list"))).messages[-1]["result"]["tools"]
                assert [each["name"] for each in listed] == SIX
                await asked(client, "gateway_list_tools", server="one")
                found = await asked(client, "gateway.search", query="echo", server="one")
                assert found["results"][0]["id"] == "one__echo"
                described = await asked(client, "gateway_describe", id="one::echo")
                assert "text" in described["inputSchema"]["properties"]
                result = await client.call("gateway_invoke", {"id": "one__echo", "args": {"text": "hi"}})
                direct = await client.call("one__echo", {"text": "hi"})
                assert result["result"] == direct["result"]
                client.close()

            run(use)

    def test_s003s_shape(self, tmp_path: Path) -> None:
        """On the full view a tool is called by its server and name, and servers and tools are listed."""
        with gateway_of(tmp_path, "one") as gateway:

            async def use() -> None:
                client = await opened(gateway, "/mcp/full")
                call = {"backend": "one", "tool": "echo", "arguments": {"text": "hi"}}
                assert "hi" in text_of(await client.call("gateway_invoke", call))
                (shown,) = await asked(client, "gateway_list_servers")
                assert shown["name"] == "one"
                assert (shown["status"], shown["health"], shown["transport"]) == (
                    "running",
                    "healthy",
                    "stdio",
                )
                tools = await asked(client, "gateway_list_tools")
                assert "one__echo" in [each["namespaced"] for each in tools["one"]]
                client.close()

            run(use)

    def test_errors_are_results(self, tmp_path: Path) -> None:
        """A failure of a tool is a failed result with a hint, and no error of the protocol."""
        with gateway_of(tmp_path, "one") as gateway:

            async def use() -> None:
                client = await opened(gateway)
                wrong = await client.call("gateway_invoke", {"id": "one__ecko"})
                assert wrong["result"]["isError"] is True
                assert "one__echo" in json.loads(text_of(wrong))["did_you_mean"]
                dead = await client.call("gateway_invoke", {"id": "one__die", "args": {"code": 3}})
                assert dead["result"]["isError"] is True
                late = await client.call("gateway_invoke", {"id": "one__mute", "timeoutMs": 300})
                assert json.loads(text_of(late))["error"] == "TIMEOUT: Tool one__mute exceeded 300ms"
                assert "hi" in text_of(
                    await client.call("gateway_invoke", {"id": "one__echo", "args": '{"text":"hi"}'})
                )
                client.close()

            run(use)

    def test_progress_reaches_the_caller(self, tmp_path: Path) -> None:
        """A tool that is called through another tells its progress under the caller's own token."""
        with gateway_of(tmp_path, "one") as gateway:

            async def use() -> None:
                client = await opened(gateway)
                call = {"id": "one__progress", "args": {"steps": 3, "ms": 10}}
                answer = await client.post(tool_call(5, "gateway_invoke", call, token="mine"))
                told = [each["params"]["progressToken"] for each in answer.messages[:-1]]
                assert told == ["mine"] * 3
                assert answer.messages[-1]["id"] == 5
                client.close()

            run(use)

    def test_a_call_is_cancelled(self, tmp_path: Path) -> None:
        """A client that cancels its call of the gateway's tool cancels the tool's."""
        with gateway_of(tmp_path, "one") as gateway:

            async def use() -> None:
                client = await opened(gateway)
                await client.call("one__echo", {"text": "awake"})
                waiting = await client.begin(tool_call(9, "gateway_invoke", {"id": "one__mute"}))
                await asyncio.sleep(0.2)
                await client.post(message(None, "notifications/cancelled", {"requestId": 9}))
                await until(lambda: client.value("one__cancelled"))
                waiting.close()
                client.close()

            run(use)


class ResultTests:
    """Results that are too long."""

    def test_what_is_cut_can_be_had(self, tmp_path: Path) -> None:
        """A long result is cut and names a reference, with which its every character can be had."""
        with gateway_of(tmp_path, "one") as gateway:

            async def use() -> None:
                client = await opened(gateway)
                whole = await client.call(
                    "gateway_invoke", {"id": "one__big", "args": {"bytes": 200_000}, "shield": "off"}
                )
                cut = await client.call("gateway_invoke", {"id": "one__big", "args": {"bytes": 200_000}})
                assert len(text_of(whole)) >= 200_000
                assert len(text_of(cut)) < 70_000
                ref = re.search(r"r_[a-z2-7]{16}", json.dumps(cut["result"]))
                assert ref is not None
                pages, offset, more = [], 0, True
                while more:
                    page = await asked(client, "gateway_get_result", ref=ref[0], offset=offset)
                    pages.append(page["data"])
                    offset, more = offset + page["count"], page["hasMore"]
                assert "".join(pages) == text_of(whole)
                wrong = await client.call("gateway_get_result", {"ref": "r_aaaaaaaaaaaaaaaa"})
                assert wrong["result"]["isError"] is True
                client.close()

            run(use)

    def test_results_of_jobs_are_cut(self, tmp_path: Path) -> None:
        """The result of a job is as long as that of a call."""
        with gateway_of(tmp_path, "one") as gateway:

            async def use() -> None:
                client = await opened(gateway)
                job = await asked(client, "gateway_invoke_async", id="one__big", args={"bytes": 200_000})
                found = await in_state(client, job["jobId"], "completed")
                assert len(json.dumps(found)) < 70_000
                assert re.search(r"r_[a-z2-7]{16}", json.dumps(found["result"]))
                client.close()

            run(use)


class ModernTests:
    """The same without sessions."""

    def test_the_modern_era_has_the_same_tools(self, tmp_path: Path) -> None:
        """A client of the modern era finds a tool, calls it, and has it called in the background."""
        with gateway_of(tmp_path, "one") as gateway:

            async def use() -> None:
                client = Client(gateway.url, "/mcp/search")

                async def called(tool: str, **given: Any) -> Any:
                    body = modern_request(1, "tools/call", name=tool, arguments=given)
                    answer = await client.post(json.dumps(body).encode(), headers_of(body))
                    assert answer.status == 200, answer.body
                    return answer.messages[-1]

                tools = json.loads(text_of(await called("gateway_list_tools", server="one")))
                assert "one__echo" in [each["namespaced"] for each in tools["one"]]
                found = json.loads(text_of(await called("gateway_search", query="echo", server="one")))
                assert found["results"][0]["id"] == "one__echo"
                result = await called("gateway_invoke", id="one__echo", args={"text": "hi"})
                assert "hi" in text_of(result)
                assert result["result"]["resultType"] == "complete"
                wrong = await called("gateway_invoke", id="one__ecko")
                assert wrong["result"]["isError"] is True
                late = await called("gateway_invoke", id="one__mute", timeoutMs=300)
                assert "TIMEOUT" in text_of(late)
                job = json.loads(
                    text_of(await called("gateway_invoke_async", id="one__echo", args={"text": "hi"}))
                )

                async def over() -> Any:
                    status = json.loads(text_of(await called("gateway_invoke_status", jobId=job["jobId"])))
                    return status if status["status"] not in ("queued", "running") else None

                assert (await until(over))["status"] == "completed"
                client.close()

            run(use)


class JobTests:
    """Calls that nobody waits for."""

    def test_a_job_runs_in_the_background(self, tmp_path: Path) -> None:
        """A job is answered for at once, and its result is there when it is over, also for another session."""
        with gateway_of(tmp_path, "one") as gateway:

            async def use() -> None:
                client = await opened(gateway)
                job = await asked(
                    client, "gateway_invoke_async", id="one__sleep", args={"ms": 300, "text": "done"}
                )
                assert (job["status"], job["toolId"]) == ("queued", "one__sleep")
                await client.ask("DELETE")
                other = await opened(gateway)
                found = await in_state(other, job["jobId"], "completed", "failed")
                assert found["status"] == "completed", found
                assert "done" in found["result"]["content"][0]["text"]
                client.close()
                other.close()

            run(use)

    def test_jobs_outlive_the_gateway(self, tmp_path: Path) -> None:
        """A job that was over has its result after a restart; one that was killed with the gateway is interrupted."""
        gateway = gateway_of(tmp_path, "one")
        with gateway:

            async def begin() -> list[str]:
                client = await opened(gateway)
                done = await asked(client, "gateway_invoke_async", id="one__echo", args={"text": "kept"})
                await in_state(client, done["jobId"], "completed")
                cut = await asked(
                    client, "gateway_invoke_async", id="one__sleep", args={"ms": 60_000, "text": "x"}
                )
                await in_state(client, cut["jobId"], "running")
                client.close()
                return [done["jobId"], cut["jobId"]]

            done, cut = run(begin)
            gateway.kill()
            gateway.start()

            async def look() -> None:
                client = await opened(gateway)
                kept = await asked(client, "gateway_invoke_status", jobId=done)
                assert "kept" in kept["result"]["content"][0]["text"]
                assert (await asked(client, "gateway_invoke_status", jobId=cut))["status"] == "interrupted"
                client.close()

            run(look)

    def test_a_stop_waits_for_jobs(self, tmp_path: Path) -> None:
        """A gateway that is stopped in order lets the jobs that run come to their end; none of the waiting is begun."""
        gateway = gateway_of(tmp_path, "one")
        with gateway:

            async def begin() -> list[str]:
                client = await opened(gateway)
                call = {"id": "one__sleep", "args": {"ms": 1500, "text": "done"}}
                jobs = [(await asked(client, "gateway_invoke_async", **call))["jobId"] for _ in range(4)]
                await in_state(client, jobs[2], "running")
                client.close()
                return jobs

            jobs = run(begin)
            gateway.stop()
            gateway.start()

            async def look() -> None:
                client = await opened(gateway)
                found = [
                    (await asked(client, "gateway_invoke_status", jobId=each))["status"] for each in jobs
                ]
                assert found == ["completed"] * 3 + ["interrupted"]
                client.close()

            run(look)

    def test_a_job_is_cancelled(self, tmp_path: Path) -> None:
        """A job that is given up is cancelled at its server."""
        with gateway_of(tmp_path, "one") as gateway:

            async def use() -> None:
                client = await opened(gateway)
                job = await asked(client, "gateway_invoke_async", id="one__mute")
                await in_state(client, job["jobId"], "running")
                await asyncio.sleep(0.2)
                ended = await asked(client, "gateway_invoke_status", jobId=job["jobId"], cancel=True)
                assert ended["status"] == "cancelled"
                await until(lambda: client.value("one__cancelled"))
                client.close()

            run(use)


class SearchTests:
    """Search over what is known."""

    def test_search_works_with_nothing_running(self, tmp_path: Path) -> None:
        """After a restart tools are found, and described, with no server running; the first call starts its server."""
        gateway = gateway_of(tmp_path, "one", "two")
        with gateway:

            async def learn() -> None:
                client = await opened(gateway)
                for name in ("one", "two"):
                    await asked(client, "gateway_list_tools", server=name)
                client.close()

            run(learn)
            eventually(lambda: len(list((gateway.home / "catalogs").glob("*.json"))) == 2, "they are on disk")
            gateway.stop()
            gateway.start()

            async def look() -> None:
                client = await opened(gateway)
                found = await asked(client, "gateway_search", query="echo", limit=5, format="full")
                assert {"one__echo", "two__echo"} <= {each["id"] for each in found["results"]}
                assert found["connectedServers"] == []
                await asked(client, "gateway_describe", id="two__echo")
                assert not any(each["pids"] for each in gateway.health()["backends"])
                await asked(client, "gateway_search", query="list all configured servers")
                assert "hi" in text_of(
                    await client.call("gateway_invoke", {"id": "two__echo", "args": {"text": "hi"}})
                )
                now = await asked(client, "gateway_search", query="echo", format="full")
                assert now["connectedServers"] == ["two"]
                client.close()

            run(look)


class BeginningTests:
    """What a client reads before its first call."""

    def test_it_costs_little(self, tmp_path: Path) -> None:
        """Tools and instructions have one limit for any number of servers, and name no tool that is not listed."""
        many = {f"a-server-of-a-long-name-{nth}": server(fixture()) for nth in range(90)}

        async def beginning(gateway: Gateway, path: str) -> int:
            client = await opened(gateway, path)
            tools = (await client.post(message(1, "tools/list"))).json["result"]["tools"]
            client.close()
            said = client.hello["instructions"]
            assert said.startswith("90 MCP servers: a-server-of-a-long-name-0, ")
            named = set(re.findall(r"\b[a-z]+_[a-z_]+\b", said))
            assert named
            assert named <= {each["name"] for each in tools}
            return estimate(json.dumps(tools, ensure_ascii=False, separators=(",", ":"))) + estimate(said)

        for expose, limits in (("hybrid", {"/mcp": 550, "/mcp/search": 550}), ("meta", {"/mcp": 800})):
            place = tmp_path / expose
            place.mkdir()
            with Gateway(place, many, settings={"expose": expose}) as gateway:
                for path, limit in limits.items():
                    assert run(lambda path=path: beginning(gateway, path)) <= limit
