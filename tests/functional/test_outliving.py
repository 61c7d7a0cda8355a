"""Sessions that outlive their gateway, their child and their silence: ids that clients go on using."""

import asyncio
import json
import resource
import sqlite3
import subprocess
import sys
from contextlib import aclosing, asynccontextmanager

import pytest

from mcpgateway import __version__
from tests.support.gateway import Gateway, eventually, server
from tests.support.http_client import LIMIT_S, Client, Connection, message, request, text_of, tool_call
from tests.support.ports import free_port
from tests.support.storm import WEATHER

pytestmark = pytest.mark.functional

SERVERS = {"shared": server(WEATHER, share="global"), "own": server(WEATHER, share="session")}
REVISIONS = ("2025-06-18", "2025-11-25")  # without event ids, and with them
CAPABILITIES = {"roots": {"listChanged": True}, "elicitation": {}}
URI = "weather://city/aachen"
LISTS = {"notifications/tools/list_changed", "notifications/resources/list_changed"}
METHODS = ("POST", "GET", "DELETE")
ECHO = tool_call("e", "echo", {"text": "through"})

every_end = pytest.mark.parametrize("end", ["kill", "terminate"])
every_server = pytest.mark.parametrize("name", SERVERS)
every_revision = pytest.mark.parametrize("revision", REVISIONS)


def steady(directory, **more):
    """A gateway that has the same port after each start."""
    return Gateway(directory, SERVERS, options=("--port", str(free_port())), **more)


@pytest.fixture
def gateway(tmp_path):
    """A gateway with a shared server and one with a child for each session."""
    with steady(tmp_path) as running:
        yield running


def restart(gateway, end="kill"):
    """End the gateway with SIGKILL, or in order, and start it again."""
    getattr(gateway, end)()
    eventually(lambda: gateway.children() == [], "its children end with it")
    gateway.start()


def opened(gateway, name, **headers):
    """A session that has been used."""

    async def work():
        client = await Client.open(gateway.url, name, **headers)
        answer = await client.post(ECHO, headers)
        assert text_of(answer.json) == "through"
        client.close()
        return client

    return asyncio.run(work())


def bearer(gateway):
    """The header that proves that somebody has the token."""
    return {"Authorization": "Bearer " + (gateway.home / "auth.token").read_text().strip()}


def echoed(client):
    """The outcome of a call: the text that it brings back, or the status that refuses it."""

    async def work():
        answer = await client.post(ECHO)
        client.close()
        return text_of(answer.messages[-1]) if answer.status == 200 else answer.status

    return asyncio.run(work())


def ended(client):
    """The status of a DELETE."""

    async def work():
        answer = await client.ask("DELETE")
        client.close()
        return answer.status

    return asyncio.run(work())


def asked(client, method, **headers):
    """The status of a request with this client's id, and more headers, on a connection of its own."""

    async def work():
        connection = await Connection.open(client.address)
        try:
            body = ECHO if method == "POST" else b""
            await connection.send(request(method, client.path, body, {**client.headers, **headers}))
            return await connection.head()
        finally:
            connection.close()

    return asyncio.run(work())


def statuses(client, **headers):
    """Return the status of each kind of request with this client's id; the one that would end it comes last."""
    return [asked(client, method, **headers) for method in METHODS]


@asynccontextmanager
async def listening(client, **headers):
    """The messages of a GET stream that is open."""
    connection = await Connection.open(client.address)
    try:
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        await connection.send(request("GET", client.path, headers={**client.headers, **more}))
        assert await connection.head() == 200
        async with asyncio.timeout(LIMIT_S), aclosing(connection.events()) as events:
            yield events
    finally:
        connection.close()


async def told(events, *methods):
    """Read a stream until each of these has been said; what was said."""
    said = []
    while not set(methods) <= {each.get("method") for each in said}:
        said.append(await anext(events))
    return said


async def known_of(client):
    """The child's knowledge of a session."""
    known = await client.value("whoami")
    client.close()
    return known


async def accustomed(gateway, name, revision):
    """A session that has told its server what it wants to hear; and what the child knows of it."""
    client = await Client.open(gateway.url, name, capabilities=CAPABILITIES, revision=revision)
    for number, (method, params) in enumerate(
        (("logging/setLevel", {"level": "warning"}), ("resources/subscribe", {"uri": URI}))
    ):
        answer = await client.post(message(number, method, params))
        assert answer.json["result"] == {}
    return client, await known_of(client)


async def as_before(client, before):
    """See that a session has everything again that it had; with another child."""
    async with listening(client) as events:
        # The lists of another child may be others.
        await told(events, *LISTS)
        known = await client.value("whoami")
        assert known.pop("pid") != before["pid"]
        assert known == {key: value for key, value in before.items() if key != "pid"}
        assert (await client.value("touch", uri=URI, mark="m1"))["said"] is True
        (updated,) = await told(events, "notifications/resources/updated")
        assert (updated["params"]["uri"], updated["params"]["_meta"]["mark"]) == (URI, "m1")
        assert (await client.value("log", level="info", mark="m2"))["said"] is False
        answer = await client.post(tool_call(3, "log", {"level": "error", "mark": "m3"}))
        logged, last = answer.messages
        assert logged["params"]["data"]["mark"] == "m3"
        assert json.loads(text_of(last))["said"] is True
    client.close()
    return known


class RestartTests:
    """A gateway that ends and is started again."""

    @every_end
    @every_revision
    def test_everything_is_as_before(self, gateway, end, revision):
        """An old id just works, and the new child knows what the old one knew: client, level and subscriptions."""
        before = [asyncio.run(accustomed(gateway, name, revision)) for name in SERVERS]
        assert before[1][1]["handshakes"][0]["capabilities"] == CAPABILITIES
        for _ in range(2):  # what came back comes back again
            restart(gateway, end)
            assert gateway.health()["sessions"] == 0
            for client, known in before:
                asyncio.run(as_before(client, known))
            assert gateway.health()["sessions"] == 2
            assert len(gateway.children()) == 2

    @every_end
    @every_server
    def test_a_call_comes_first(self, gateway, name, end):
        """The first request of a client, of any kind, brings its session back; many at once bring it back once."""
        client, _ = asyncio.run(accustomed(gateway, name, REVISIONS[0]))
        restart(gateway, end)

        async def work():
            answers = await asyncio.gather(*(client.value("whoami") for _ in range(10)))
            client.close()
            return answers

        answers = asyncio.run(work())
        assert {(each["pid"], each["level"], *each["subscribed"]) for each in answers} == {
            (*gateway.children(), "warning", URI)
        }
        assert gateway.backend(name)["starts"] == 1

    @every_server
    def test_what_was_given_up_stays_so(self, gateway, name):
        """A subscription that was taken back is not made again, and the last level counts."""
        client, _ = asyncio.run(accustomed(gateway, name, REVISIONS[0]))

        async def change():
            await client.post(message(1, "resources/unsubscribe", {"uri": URI}))
            await client.post(message(2, "resources/subscribe", {"uri": URI + "?"}))
            await client.post(message(3, "logging/setLevel", {"level": "error"}))
            client.close()

        asyncio.run(change())
        restart(gateway)
        known = asyncio.run(known_of(client))
        assert (known["level"], known["subscribed"]) == ("error", [URI + "?"])

    @every_server
    def test_a_stream_is_taken_up_again(self, gateway, name):
        """A client that reopens its GET stream after the last event it saw hears that the lists may be others."""

        async def before():
            client = await Client.open(gateway.url, name, revision=REVISIONS[1])
            connection = await Connection.open(client.address)
            await connection.send(request("GET", client.path, headers=client.headers))
            assert await connection.head() == 200
            async with aclosing(connection.chunks()) as chunks:
                first = (await anext(chunks)).decode()
            connection.close()
            client.close()
            return client, first.partition("id: ")[2].partition("\n")[0]

        async def after():
            async with listening(client, Last_Event_ID=last) as events:
                await told(events, *LISTS)
                await client.value("change", mark="m")
                (changed,) = await told(events, "notifications/tools/list_changed")
                assert changed["params"]["_meta"]["mark"] == "m"
            client.close()

        client, last = asyncio.run(before())
        assert last
        restart(gateway)
        asyncio.run(after())

    @every_server
    def test_a_call_under_way(self, gateway, name):
        """A call that the gateway takes with it fails, is not made again, and hinders no later one."""
        client = opened(gateway, name)

        async def work():
            plain = await client.begin(tool_call(1, "slow", {"text": "late", "ms": 60_000}))
            stream = await progressing(client)
            async with aclosing(stream.events()) as events:
                assert (await anext(events))["method"] == "notifications/progress"
                await asyncio.to_thread(eventually, lambda: gateway.health()["calls"] == 2, "both run")
                await asyncio.to_thread(gateway.kill)
                with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                    await told(events, "never")
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await plain.answer()
            for each in (plain, stream):
                each.close()

        asyncio.run(work())
        gateway.start()
        assert echoed(client) == "through"
        assert gateway.backend(name)["requests"] == 1

    def test_the_stream_of_a_call_is_taken_up_again(self, gateway):
        """A client that asks for the rest of an answer that is lost is told so under the id of the call."""

        async def work():
            client = await Client.open(gateway.url, "shared", revision=REVISIONS[1])
            stream = await progressing(client)
            async with aclosing(stream.chunks()) as chunks:
                first = (await anext(chunks)).decode()
            await asyncio.to_thread(restart, gateway)
            last = first.partition("id: ")[2].partition("\n")[0]
            async with listening(client, Last_Event_ID=last) as events:
                said = [each async for each in events]
            for each in (stream, client):
                each.close()
            return said

        (answer,) = asyncio.run(work())
        assert answer["id"] == "p"
        assert "the answer is lost" in answer["error"]["message"]

    def test_another_version(self, tmp_path):
        """Sessions outlive an upgrade: which release wrote the records does not matter."""
        gateway = steady(tmp_path)
        program = "import mcpgateway; mcpgateway.__version__ = '0.0.1'; from twisted.scripts.twistd import run; run()"
        today, gateway._runner = (
            gateway._runner,
            (sys.executable, "-c", program, "-n", "--pidfile=", "mcpgateway"),
        )
        with gateway:
            assert gateway.health()["version"] == "0.0.1"
            before = [asyncio.run(accustomed(gateway, name, REVISIONS[0])) for name in SERVERS]
            gateway.kill()
            gateway._runner = today
            gateway.start()
            assert gateway.health()["version"] == __version__ != "0.0.1"
            for client, known in before:
                after = asyncio.run(known_of(client))
                assert (after["level"], after["subscribed"]) == (known["level"], known["subscribed"])

    def test_another_configuration(self, tmp_path):
        """An id outlives a change of how widely its server is shared; that of a server which has gone is 404."""
        with steady(tmp_path) as gateway:
            clients = [asyncio.run(accustomed(gateway, name, REVISIONS[0]))[0] for name in SERVERS]
            gateway.kill()
            swapped = dict(zip(SERVERS, reversed(SERVERS.values()), strict=True))
            with Gateway(tmp_path, swapped, options=gateway._options) as other:
                shares = {each["name"]: each["share"] for each in other.health()["backends"]}
                assert shares == {"shared": "session", "own": "global"}
                for client in clients:
                    known = asyncio.run(known_of(client))
                    assert (known["level"], known["subscribed"]) == ("warning", [URI])
                other.kill()
                with Gateway(tmp_path, {"own": SERVERS["own"]}, options=gateway._options):
                    assert [echoed(client) for client in clients] == [404, "through"]


class GoodForNothingTests:
    """Ids that open nothing, before and after a restart."""

    @every_end
    def test_an_id_that_has_ended(self, gateway, end):
        """A session that has ended stays so, whether it was in use at the time or not."""
        used, unused, kept = ([opened(gateway, name) for name in SERVERS] for _ in range(3))
        for client in used:
            assert ended(client) == 200
            assert statuses(client) == [404] * 3
        restart(gateway, end)
        for client in unused:
            assert ended(client) == 200  # it had not come back
        for client in used + unused:
            assert statuses(client) == [404] * 3
        restart(gateway, end)
        for client in used + unused:
            assert statuses(client) == [404] * 3
        assert [echoed(client) for client in kept] == ["through"] * 2

    def test_an_id_that_was_ended_from_outside(self, gateway):
        """The same for ``DELETE /sessions/:id``."""
        client = opened(gateway, "own")
        restart(gateway)

        async def end():
            connection = await Connection.open(gateway.url)
            answer = await connection.ask("DELETE", f"/sessions/{client.id}")
            connection.close()
            return answer.json

        assert asyncio.run(end()) == {"ok": True, "killed": 0}
        assert statuses(client) == [404] * 3
        restart(gateway)
        assert statuses(client) == [404] * 3

    def test_an_id_that_nobody_issued(self, gateway):
        """An id that is made up, or altered in one place, is taken for none, wherever that place is."""
        client = opened(gateway, "own")
        good = client.id
        bad = [good[:at] + ("A" if good[at] != "A" else "B") + good[at + 1 :] for at in range(len(good))]
        bad += [
            "made-up",
            good[:-1],
            good + "A",
            good[:-4],
            good.swapcase(),
            "A" * len(good),
            "%00",
            "=" * 76,
        ]

        async def look():
            taken = []
            for each in bad:
                client.id = each
                if (await client.post(ECHO)).status != 404:
                    taken.append(each)
            client.close()
            client.id = good
            return taken

        assert asyncio.run(look()) == []
        restart(gateway)
        assert asyncio.run(look()) == []
        assert gateway.children() == []
        assert echoed(client) == "through"

    def test_an_id_of_another_server(self, gateway):
        """An id is good for its own server only."""
        clients = {name: opened(gateway, name) for name in SERVERS}
        for _ in range(2):
            for name, other in (("own", "shared"), ("shared", "own")):
                stranger = Client(gateway.url, f"/{other}/mcp", clients[name].id)
                assert statuses(stranger) == [404] * 3
            restart(gateway)
        assert [echoed(each) for each in clients.values()] == ["through"] * 2

    def test_an_id_of_another_gateway(self, gateway, tmp_path_factory):
        """A gateway with another home has another key."""
        client = opened(gateway, "shared")
        with steady(tmp_path_factory.mktemp("other")) as other:
            assert statuses(Client(other.url, client.path, client.id)) == [404] * 3

    @every_server
    def test_an_id_of_another_principal(self, gateway, name):
        """A caller with the token and one without are two, and neither can use, hear or end the other's session."""
        token = bearer(gateway)
        plain, secret = opened(gateway, name), opened(gateway, name, **token)
        for _ in range(2):
            assert statuses(plain, **token) == [404] * 3
            assert statuses(secret) == [404] * 3
            restart(gateway)
        assert statuses(plain) == [200] * 3
        assert statuses(secret, **token) == [200] * 3

    def test_an_id_without_the_token(self, tmp_path):
        """Where the token is needed an id does not replace it."""
        with steady(tmp_path, settings={"auth_mcp_transport": "bearer-required"}) as gateway:
            token = bearer(gateway)
            client = opened(gateway, "shared", **token)
            for _ in range(2):
                assert statuses(client) == [401] * 3
                assert asked(client, "POST", **token) == 200
                gateway.kill()
                gateway.start()


class SilenceTests:
    """Sessions that have to make room for others."""

    @pytest.fixture
    def crowded(self, tmp_path):
        """A gateway that has room for two sessions."""
        with steady(tmp_path, settings={"limits": {"sessions": 2}}) as running:
            yield running

    def test_the_quietest_gives_back_its_child(self, crowded):
        """The children are never more than the sessions in use; an id that made room works whenever it is used."""
        clients = [asyncio.run(accustomed(crowded, "own", REVISIONS[0])) for _ in range(5)]
        eventually(lambda: len(crowded.children()) == 2, "the others have given back their children")
        assert crowded.health()["sessions"] == 2
        for client, before in clients:
            asyncio.run(as_before(client, before))
        eventually(lambda: len(crowded.children()) == 2, "they have made room again")
        assert crowded.health()["sessions"] == 2
        assert len({client.id for client, _ in clients}) == 5

    def test_one_who_listens_stays(self, crowded):
        """A session with an open stream makes room only when all others have one too."""

        async def work():
            client = await Client.open(crowded.url, "own")
            async with listening(client) as events:
                pid = (await client.value("whoami"))["pid"]
                for _ in range(4):
                    await asyncio.to_thread(opened, crowded, "own")
                assert pid in crowded.children()
                await client.value("change", mark="m")
                (changed,) = await told(events, "notifications/tools/list_changed")
                assert changed["params"]["_meta"]["mark"] == "m"
            client.close()

        asyncio.run(work())

    def test_a_session_that_has_ended_makes_no_room(self, crowded):
        """Ending frees a place, so that nobody has to make room."""
        first = opened(crowded, "own")
        for _ in range(4):
            assert ended(opened(crowded, "own")) == 200
        assert echoed(first) == "through"
        assert "is put aside" not in crowded.log


async def progressing(client):
    """A call whose answer has become a stream."""
    call = await client.begin(tool_call("p", "progress", {"text": "p", "steps": 99, "ms": 999}, "t"))
    assert await call.head() == 200
    return call


async def rest(call):
    """The last message of a stream that ends in order."""
    async with asyncio.timeout(LIMIT_S):
        *_, last = [each async for each in call.events()]
    call.close()
    return last


class EndOfStreamTests:
    """Streams that end in order, with their last chunk, so that clients do not take it for a broken connection."""

    @every_revision
    def test_delete(self, gateway, revision):
        """DELETE ends the GET stream, and the stream of a call, which is told why."""

        async def work(name):
            client = await Client.open(gateway.url, name, revision=revision)
            call = await progressing(client)
            async with listening(client) as events:
                assert (await client.ask("DELETE")).status == 200
                assert [each async for each in events] == []
            client.close()
            return await rest(call)

        for name in SERVERS:
            last = asyncio.run(work(name))
            assert (last["id"], last["error"]["message"]) == ("p", "Session has ended")

    @every_revision
    def test_sigterm(self, tmp_path, revision):
        """A gateway that stops does not wait for those who listen, and tells those whose calls it cuts off."""
        with steady(tmp_path, settings={"limits": {"drain": "1s"}}) as gateway:

            async def work():
                clients = [await Client.open(gateway.url, name, revision=revision) for name in SERVERS]
                calls = [await progressing(client) for client in clients]
                async with listening(clients[0]) as one, listening(clients[1]) as two:
                    stopped = asyncio.get_running_loop().run_in_executor(None, gateway.terminate)
                    for events in (one, two):
                        assert [each async for each in events] == []
                lasts = [await rest(call) for call in calls]
                await stopped
                for client in clients:
                    client.close()
                return lasts

            for last in asyncio.run(work()):
                assert last["id"] == "p"
                assert "was stopped or restarted before" in last["error"]["message"]
            assert gateway.children() == []

    def test_putting_aside(self, tmp_path):
        """A session that has to make room for another hears the end of its stream, and can open it again."""
        with steady(tmp_path, settings={"limits": {"sessions": 1}}) as gateway:

            async def work():
                client = await Client.open(gateway.url, "own")
                async with listening(client) as events:
                    await asyncio.to_thread(opened, gateway, "own")
                    assert [each async for each in events] == []
                async with listening(client) as events:
                    await told(events, *LISTS)
                client.close()

            asyncio.run(work())


class JournalTests:
    """The file with the records."""

    @pytest.fixture
    def journal(self, gateway):
        """Where it is."""
        return gateway.home / "sessions" / "journal.db"

    def test_it_is_private(self, gateway, journal):
        """The files are readable by their owner alone; wider permissions are narrowed at the start."""
        opened(gateway, "own")

        def modes():
            found = {each.name: each.stat().st_mode & 0o777 for each in journal.parent.iterdir()}
            return found | {".": journal.parent.stat().st_mode & 0o777}

        private = {".": 0o700, "key": 0o600} | dict.fromkeys(
            ("journal.db", "journal.db-wal", "journal.db-shm"), 0o600
        )
        assert modes() == private
        gateway.kill()
        for each in (journal, journal.with_name("key")):
            each.chmod(0o644)
        journal.parent.chmod(0o755)
        gateway.start()
        assert modes() == private

    def test_it_holds_no_ids(self, gateway, journal):
        """A reader of the file without the key cannot use the sessions in it."""
        client = opened(gateway, "own")
        gateway.terminate()
        data = b"".join(each.read_bytes() for each in journal.parent.glob("journal.db*"))
        assert client.id.encode() not in data
        gateway.start()

    def spoil(self, gateway, journal, damage):
        """Let some sessions be on record, then start the gateway again with its journal damaged."""
        for _ in range(10):
            opened(gateway, "shared")
        if damage == "log":
            gateway.kill()
        else:
            gateway.terminate()
        DAMAGES[damage](journal)
        gateway.start()

    @pytest.mark.parametrize("damage", ["garbage", "half", "empty", "log", "middle", "directory", "newer"])
    def test_damage(self, gateway, journal, damage):
        """The gateway serves with a journal in any state: old ids by their signature, and new ones."""
        clients = [asyncio.run(accustomed(gateway, name, REVISIONS[0]))[0] for name in SERVERS]
        self.spoil(gateway, journal, damage)
        assert [echoed(each) for each in clients] == ["through"] * 2
        fresh = opened(gateway, "own")
        assert ended(fresh) == 200
        assert statuses(fresh) == [404] * 3
        assert "Traceback" not in gateway.log

    @pytest.mark.parametrize("damage", ["garbage", "half", "empty", "log", "middle"])
    def test_it_is_kept_again(self, gateway, journal, damage):
        """After damage there is a good journal again: what happens from then on outlives the gateway."""
        self.spoil(gateway, journal, damage)
        before = [asyncio.run(accustomed(gateway, name, REVISIONS[0])) for name in SERVERS]
        gone = opened(gateway, "own")
        assert ended(gone) == 200
        restart(gateway)
        for client, known in before:
            asyncio.run(as_before(client, known))
        assert statuses(gone) == [404] * 3

    def test_a_full_disk(self, gateway, journal):
        """A running gateway that can write no more goes on serving, and says so once."""
        kept = opened(gateway, "own")
        limit = (24 * 4096, resource.RLIM_INFINITY)  # bytes of a file; its log stays below that
        resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE, limit)
        clients = [opened(gateway, "shared") for _ in range(40)]
        assert [echoed(each) for each in (kept, clients[0], clients[-1])] == ["through"] * 3
        assert gateway.log.count("sessions cannot be put on record") == 1
        assert ended(clients[1]) == 200
        assert statuses(clients[1]) == [404] * 3
        restart(gateway)
        assert [echoed(each) for each in (kept, clients[0], clients[-1])] == ["through"] * 3

    @pytest.mark.parametrize("mount", ["read-only", "full"])
    def test_a_home_that_takes_nothing(self, gateway, mount):
        """A gateway whose home became read-only, or has no room left, starts and serves."""
        if subprocess.run(["unshare", "-rm", "true"], check=False, capture_output=True).returncode:
            pytest.skip("this needs a file system of its own")
        clients = [opened(gateway, name) for name in SERVERS]
        gateway.terminate()
        runner = gateway._runner
        gateway._runner = ("unshare", "-rm", "sh", "-c", MOUNTS[mount], str(gateway.home), *runner)
        gateway.start()
        assert [echoed(each) for each in clients] == ["through"] * 2
        for name in SERVERS:
            assert echoed(opened(gateway, name)) == "through"
        assert "sessions cannot be put on record" in gateway.log
        gateway.terminate()
        gateway._runner = runner
        gateway.start()
        assert [echoed(each) for each in clients] == ["through"] * 2


def halved(path):
    """Leave the first half of a file."""
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)


def overwritten(path, at, data=b"\xde\xad\xbe\xef" * 1024):
    """Write rubbish into a file."""
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


def blocked(path):
    """Put a directory in the place of a file."""
    path.unlink()
    path.mkdir()


def of_the_future(path):
    """Make a journal one that a later release has written."""
    file = sqlite3.connect(path)
    file.execute("PRAGMA user_version = 99")
    file.close()


DAMAGES = {
    "garbage": lambda path: path.write_bytes(b"this is no database" * 1000),
    "half": halved,
    "empty": lambda path: path.write_bytes(b""),
    "log": lambda path: overwritten(path.with_name("journal.db-wal"), 4096),
    "middle": lambda path: overwritten(path, 4096, b"\xde\xad\xbe\xef" * 4096),
    "directory": blocked,
    "newer": of_the_future,
}

MOUNTS = {  # $0 is the home
    "read-only": 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"',
    "full": (
        'mkdir "$0.copy" && cp -a "$0/." "$0.copy" && mount -t tmpfs -o size=256k tmpfs "$0" && cp -a "$0.copy/." "$0"'
        ' && { cat /dev/zero > "$0/filler" 2>/dev/null; exec "$@"; }'
    ),
}
