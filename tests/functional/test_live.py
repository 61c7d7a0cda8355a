"""The configuration of a gateway that runs: edits are served without a restart, and disturb nobody else."""

import asyncio
import json
import os
from contextlib import asynccontextmanager
from functools import wraps

import pytest

from tests.support.gateway import Gateway, eventually, server
from tests.support.http_client import Client, Connection, message
from tests.support.modern_client import headers_of
from tests.support.modern_client import request as modern_request
from tests.support.real_servers import fixture

pytestmark = pytest.mark.functional


@pytest.fixture
def gateway(tmp_path):
    """A gateway with one shared fixture."""
    with Gateway(tmp_path, {"fix": server(fixture())}) as running:
        yield running


def in_a_loop(test):
    """Let a test be a coroutine of asyncio."""

    @wraps(test)
    def run(*args, **more):
        asyncio.run(test(*args, **more))

    return run


@asynccontextmanager
async def session(gateway, name="fix", **more):
    """A session."""
    client = await Client.open(gateway.url, name, **more)
    try:
        yield client
    finally:
        client.close()


def names(gateway):
    """The servers that are served."""
    return {each["name"] for each in gateway.health()["backends"]}


def config(gateway):
    """The state of the configuration in the gateway's health."""
    return gateway.health()["config"]


async def soon(holds, what):
    """Wait until something holds, and let others do what they do meanwhile."""
    await asyncio.to_thread(eventually, holds, what)


async def status(gateway, path, body=None, headers=None):
    """The status of one request."""
    connection = await Connection.open(gateway.url)
    try:
        said = message(1, "initialize", {}) if body is None else json.dumps(body).encode()
        return (await connection.ask("POST", path, said, headers)).status
    finally:
        connection.close()


def in_place(path, text):
    """Save as ``cat >`` does."""
    path.write_text(text)


def renaming(path, text):
    """Save as most editors do: another file takes the place."""
    other = path.with_suffix(".new")
    other.write_text(text)
    other.replace(path)


def vim(path, text):
    """Save as vim does: the old file becomes the backup, which goes when the new one is there."""
    backup = path.with_name(path.name + "~")
    path.rename(backup)
    path.write_text(text)
    backup.unlink()


def deleting(path, text):
    """Delete the file, and make it anew."""
    path.unlink()
    path.write_text(text)


def behind_a_link(path, text):
    """Save behind a symbolic link, by renaming where it leads to."""
    target = path.parent / "elsewhere" / "kept.json"
    if not path.is_symlink():
        target.parent.mkdir()
        path.rename(target)
        path.symlink_to(target)
    renaming(target, text)


def another_target(path, text):
    """Let a symbolic link lead somewhere else."""
    number = len(list(path.parent.glob("kept-*.json")))
    target = path.parent / f"kept-{number}.json"
    target.write_text(text)
    link = path.with_suffix(".link")
    link.symlink_to(target)
    link.replace(path)


SAVES = [in_place, renaming, vim, deleting, behind_a_link, another_target]


class EditTests:
    """Effects of an edit, and their limits."""

    @pytest.mark.parametrize("save", SAVES, ids=lambda each: each.__name__)
    def test_saved_like_this(self, gateway, save):
        """A server that is added is served, and the next one after it, however the file is saved."""
        save(gateway.config, gateway.configured({"fix": server(fixture()), "b": server(fixture())}))
        eventually(lambda: names(gateway) == {"fix", "b"}, "the first edit is served")
        save(gateway.config, gateway.configured({"fix": server(fixture()), "c": server(fixture())}))
        eventually(lambda: names(gateway) == {"fix", "c"}, "the second edit is served")

    @in_a_loop
    async def test_those_that_stay(self, gateway):
        """A server that did not change keeps its child, its sessions and what they wait for."""
        async with session(gateway) as client:
            pid = await client.value("pid")
            waiting = asyncio.ensure_future(client.text("sleep", ms=3000, text="slept"))
            more = {"fix": server(fixture()), "b": server(fixture())}
            gateway.config.write_text(gateway.configured(more))
            await soon(lambda: "b" in names(gateway), "the other is served")
            assert await client.value("pid") == pid
            async with session(gateway, "b") as other:
                assert await other.value("pid") != pid
            gateway.config.write_text(gateway.configured({"fix": server(fixture())}))
            await soon(lambda: "b" not in names(gateway), "the other is not served any more")
            assert await client.value("pid") == pid
            assert await waiting == "slept"
            assert await status(gateway, "/b/mcp") == 404
            await soon(lambda: len(gateway.children()) == 1, "its child is stopped")

    @in_a_loop
    async def test_one_that_changes(self, gateway):
        """A server that changed has another child, the same sessions and streams, and its clients look again."""
        async with session(gateway) as client:
            pid = await client.value("pid")
            ears = await Connection.open(gateway.url)
            await ears.send(
                b"GET /fix/mcp HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n"
                + f"Mcp-Session-Id: {client.id}\r\n\r\n".encode()
            )
            assert await ears.head() == 200
            events = ears.events()
            for colour in ("green", "blue"):
                gateway.config.write_text(
                    gateway.configured({"fix": server(fixture(), env={"COLOUR": colour})})
                )
                async for event in events:
                    is_told = event.get("method") == "notifications/tools/list_changed"
                    if is_told and await client.value("env", name="COLOUR") == colour:
                        break
                else:
                    pytest.fail("the stream has ended")
                assert await client.value("pid") != pid
                pid = await client.value("pid")
            await soon(lambda: len(gateway.children()) == 1, "the former child is stopped")
            assert gateway.backend("fix")["sessions"] == 1
            ears.close()

    @in_a_loop
    async def test_a_call_under_way(self, gateway):
        """A call at a server that changes gets an answer, be it an error."""
        async with session(gateway) as client:
            await client.value("pid")
            waiting = asyncio.ensure_future(client.call("sleep", {"ms": 60_000, "text": ""}))
            await asyncio.sleep(0.2)
            gateway.config.write_text(gateway.configured({"fix": server(fixture(), env={"COLOUR": "green"})}))
            answer = await waiting
            assert "error" in answer
            assert await client.text("echo", text="again") == "again"

    @in_a_loop
    async def test_only_a_limit_changes(self, gateway):
        """A limit is kept from the next moment on, by the same child."""
        async with session(gateway) as client:
            pid = await client.value("pid")
            gateway.config.write_text(gateway.configured({"fix": server(fixture(), timeout="1s")}))
            await soon(lambda: "the definition of fix has changed" in gateway.log, "the edit is read")
            answer = await client.call("sleep", {"ms": 60_000, "text": ""})
            assert "within" in answer["error"]["message"]
            assert await client.value("pid") == pid

    @in_a_loop
    async def test_shared_otherwise(self, gateway):
        """Sessions that are not to share a child any more go on, each with a child of its own."""
        async with session(gateway) as one, session(gateway) as two:
            assert await one.value("pid") == await two.value("pid")
            gateway.config.write_text(gateway.configured({"fix": server(fixture(), share="session")}))
            await soon(lambda: gateway.backend("fix")["share"] == "session", "the edit is read")
            assert await one.value("pid") != await two.value("pid")

    @in_a_loop
    async def test_the_modern_era(self, gateway):
        """Clients without sessions are served by the definition in force."""
        await self._added_at_once(gateway, modern=True)

    @in_a_loop
    async def test_asked_for_before_it_is_known(self, gateway):
        """A client that asks for a server that has just been written down gets it, and not a refusal."""
        await self._added_at_once(gateway, modern=False)

    async def _added_at_once(self, gateway, *, modern):
        asked = modern_request(1, "tools/list") if modern else None
        headers = headers_of(asked) if modern else None
        assert await status(gateway, "/b/mcp", asked, headers) == 404
        flags = ("--era=modern",) if modern else ()
        more = {"fix": server(fixture()), "b": server(fixture(*flags))}
        gateway.config.write_text(gateway.configured(more))
        asking = [status(gateway, path, asked, headers) for path in ("/b/mcp", "/mcp/b", "/b/mcp", "/c/mcp")]
        assert await asyncio.gather(*asking) == [200, 200, 200, 404]

    def test_many_saves(self, gateway):
        """A burst of saves is read a few times, and the last one counts."""
        for number in range(50):
            saved = gateway.configured({"fix": server(fixture()), f"b{number}": server(fixture())})
            renaming(gateway.config, saved)
        eventually(lambda: names(gateway) == {"fix", "b49"}, "the last is served")
        assert gateway.log.count("the configuration has changed") < 10

    def test_what_a_client_writes(self, gateway):
        """The client's file is read when it changes; only a change of its servers changes anything."""
        entry = {"command": fixture()[0], "args": fixture()[1:]}
        renaming(gateway.source, json.dumps({"mcpServers": {"b": entry}}))
        eventually(lambda: names(gateway) == {"fix", "b"}, "the client's server is served")
        changes = gateway.log.count("the configuration has changed")
        for number in range(10):
            renaming(gateway.source, json.dumps({"starts": number, "mcpServers": {"b": entry}}))
        renaming(gateway.config, gateway.configured({"fix": server(fixture()), "c": server(fixture())}))
        eventually(lambda: names(gateway) == {"fix", "b", "c"}, "the next edit is served")
        assert gateway.log.count("the configuration has changed") == changes + 1


class InvalidTests:
    """An edit that cannot be used."""

    @pytest.mark.parametrize("text", ["{", '{"servers": {"fix": {"args": []}}}'])
    @in_a_loop
    async def test_nothing_changes(self, gateway, text):
        """The servers go on; the problem is visible until it is gone, and is logged once."""
        assert config(gateway)["ok"] is True
        async with session(gateway) as client:
            pid = await client.value("pid")
            gateway.config.write_text(text)
            await soon(lambda: not config(gateway)["ok"], "the problem shows")
            (problem,) = config(gateway)["problems"]
            assert str(gateway.config) in problem
            assert gateway.health()["status"] == "degraded"
            os.utime(gateway.config)
            assert await client.value("pid") == pid
            gateway.config.write_text(gateway.configured({"fix": server(fixture())}))
            await soon(lambda: config(gateway)["ok"], "the problem is gone")
            assert config(gateway)["problems"] == []
            assert await client.value("pid") == pid
            assert gateway.log.count("the gateway keeps the former one until they are mended") == 1

    def test_a_file_that_goes(self, gateway):
        """A named file that is gone is a problem, and no empty configuration."""
        gateway.config.unlink()
        eventually(lambda: not config(gateway)["ok"], "the problem shows")
        assert names(gateway) == {"fix"}
        gateway.config.write_text(gateway.configured({}))
        eventually(lambda: names(gateway) == set(), "it is back")


class SettingsTests:
    """The gateway's own settings."""

    def test_a_port(self, gateway):
        """A setting that counts from the next start on is named as such."""
        gateway.config.write_text(
            gateway.configured({"fix": server(fixture())}, {"bind_address": "127.0.0.2"})
        )
        eventually(lambda: config(gateway)["restart_needed"] == ["bind_address"], "it is said")
        assert names(gateway) == {"fix"}
        gateway.config.write_text(gateway.configured({"fix": server(fixture())}))
        eventually(lambda: config(gateway)["restart_needed"] == [], "it is as it was")

    @in_a_loop
    async def test_who_is_let_in(self, gateway):
        """Names of ours, and whether a token is needed, count at once."""
        host = {"Host": "mcp.example"}
        assert await status(gateway, "/fix/mcp", headers=host) == 403
        settings = {"allowed_hosts": ["mcp.example"]}
        gateway.config.write_text(gateway.configured({"fix": server(fixture())}, settings))
        loaded = config(gateway)["loaded_at"]
        await soon(lambda: "the configuration has changed" in gateway.log, loaded)
        assert await status(gateway, "/fix/mcp", headers=host) == 200
        settings = {"auth_mcp_transport": "bearer-required"}
        gateway.config.write_text(gateway.configured({"fix": server(fixture())}, settings))
        await soon(lambda: gateway.log.count("the configuration has changed") == 2, "the next")
        assert await status(gateway, "/fix/mcp") == 401


class Bare(Gateway):
    """A gateway that is told of no configuration, and takes that of its home."""

    @property
    def config(self):
        """The gateway's configuration file."""
        return self.home / "config.yaml"

    @property
    def argv(self):
        """Return the words that start the program."""
        return [each for each in super().argv if each not in {"--config", str(self._config)}]


class FirstRunTests:
    """A gateway without a configuration."""

    def test_a_file_is_written(self, tmp_path):
        """The gateway writes a file that explains all and changes nothing, and serves the servers written into it."""
        with Bare(tmp_path) as gateway:
            text = gateway.config.read_text()
            assert gateway.config.stat().st_mode & 0o777 == 0o600
            assert all(not line.strip() or line.lstrip().startswith("#") for line in text.splitlines())
            assert names(gateway) == set()
            program, *arguments = fixture()
            entry = f"servers:\n  fix:\n    command: {program}\n    args: {json.dumps(arguments)}\n"
            gateway.config.write_text(text.replace("#servers:\n", entry))
            eventually(lambda: names(gateway) == {"fix"}, "what is written into it is served")
            assert config(gateway)["ok"] is True
        with Bare(tmp_path) as gateway:
            assert names(gateway) == {"fix"}
