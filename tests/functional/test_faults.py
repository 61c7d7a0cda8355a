"""Faults, the messages to the user, and their cost, which is none for good."""

import asyncio
import os
import signal

import pytest
from attrs import field, frozen

from tests.support.gateway import IS_SOAK, Gateway, eventually, server
from tests.support.http_client import Client, Connection, message, request, text_of, tool_call
from tests.support.processes import is_alive
from tests.support.real_servers import fixture
from tests.support.rounds import GROWTH_KIB, HEAVY_KIB, ROUNDS, costs_nothing, echo, failure, initialized

pytestmark = pytest.mark.functional

LONG_LINE = 100_000_000
STDERR_BYTES = 5_000_000
BIG = 6_000_000
DEAF_BODY = 3_900_000
FEW = min(ROUNDS, 3) if not IS_SOAK else ROUNDS  # of those of which one that is left over would be seen

SERVERS = {
    "fix": server(fixture()),
    "limited": server(fixture(), timeout="1s", concurrency="none"),
    "leaving": server(fixture("--exit-in-handshake")),
    "refusing": server(fixture("--refuse-handshake")),
    "silent": server(fixture("--mute-handshake")),
    "noisy": server(fixture("--garbage-first")),
    "missing": server(["no-such-program-anywhere"]),
}
SETTINGS = {"limits": {"handshake": "1s"}, "circuit": {"restarts": 0}}  # what fails here fails on purpose


@frozen
class Fault:
    """A fault, and the check of what its user is told.

    :ivar happen: one round.
    :ivar at_once: how many rounds run at the same time, where each of them is mostly waiting.
    :ivar rounds: how many, in the normal run.
    :ivar growth_kib: how much memory may have been taken when all rounds are over.
    """

    happen: object
    at_once: int = 1
    rounds: int = ROUNDS
    growth_kib: int = GROWTH_KIB
    name: str = field(init=False)

    def __attrs_post_init__(self):
        object.__setattr__(self, "name", self.happen.__name__)


async def no_answer_in_time(url):
    """A call that is not answered within the server's ``timeout``."""
    status, error = await failure(url, "limited", "mute")
    assert (status, error["code"], error["message"]) == (200, -32001, "limited did not answer within 1 s")


async def no_answer_at_all(url):
    """A call that is never answered waits for its client, who cancels it."""
    client = await Client.open(url, "fix")
    waiting = await client.begin(tool_call(7, "mute"))
    await client.text(
        "echo", text="x"
    )  # what was sent before has arrived by now, or arrives in one piece with it
    answer = asyncio.ensure_future(waiting.answer())
    while not answer.done():
        await client.post(message(None, "notifications/cancelled", {"requestId": 7}))
        await asyncio.wait([answer], timeout=0.05)
    assert answer.result().status == 200
    assert answer.result().json["error"] == {"code": -32800, "message": "Request cancelled"}
    waiting.close()
    assert (await client.ask("DELETE")).status == 200
    client.close()


async def exit_in_the_handshake(url):
    """A server that leaves before it has said hello."""
    answer = await initialized(url, "leaving")
    assert answer.status == 200
    error = answer.json["error"]
    assert (error["code"], error["message"]) == (
        -32603,
        "leaving ended during the handshake (exit code 3)",
    )
    assert error["data"]["hint"] == "fixture: leaving in the handshake, as told"
    assert "mcp-session-id" not in answer.headers


async def a_refused_handshake(url):
    """A server that answers ``initialize`` with an error."""
    answer = await initialized(url, "refusing")
    assert answer.json["error"]["message"] == "refusing: the server refused the handshake: Refused, as told"


async def a_silent_handshake(url):
    """A server that never answers ``initialize``."""
    answer = await initialized(url, "silent")
    assert answer.json["error"]["message"] == "silent did not answer the handshake within 1 s"


async def a_missing_program(url):
    """A server whose program is not there."""
    answer = await initialized(url, "missing")
    error = answer.json["error"]
    assert error["message"] == "missing: the program 'no-such-program-anywhere' was not found"
    assert error["data"]["hint"].startswith("install it")


async def garbage_at_the_start(url):
    """A server that chats before it speaks."""
    await echo(url, "noisy")


async def death_in_a_call(url):
    """A server that dies instead of answering; its last words are passed on."""
    status, error = await failure(url, "fix", "die", code=9)
    assert (status, error["code"]) == (200, -32603)
    assert error["message"] == "fix ended before it answered (exit code 9)"
    assert error["data"]["hint"].endswith("fixture: dying, as told")
    await echo(url)


async def garbage(url):
    """Lines that are no JSON-RPC are logged and passed over."""
    client = Client(url, "/fix/mcp")
    assert await client.value("garbage") == "and now the answer"
    client.close()


async def a_line_without_end(url):
    """A server that writes a hundred MB without a newline is stopped at 32 MiB."""
    status, error = await failure(url, "fix", "nonewline", bytes=LONG_LINE)
    assert status == 200
    assert error["message"] == (
        "fix ended before it answered (it wrote more than 33554432 bytes without a newline)"
    )
    await echo(url)


async def a_flood_on_stderr(url):
    """A server that writes megabytes to stderr is served all the same."""
    client = Client(url, "/fix/mcp")
    assert await client.value("flood_stderr", bytes=STDERR_BYTES) == "said it all"
    client.close()


async def bad_utf8(url):
    """An answer that is not UTF-8 is an error for the one who waits for it, and for nobody else."""
    status, error = await failure(url, "fix", "badutf8")
    assert (status, error["code"]) == (200, -32603)
    assert error["message"].startswith("fix sent an answer that cannot be read: ")
    await echo(url)


async def half_a_head(url):
    """A client that ends in the middle of its headers."""
    connection = await Connection.open(url)
    await connection.send(b"POST /fix/mcp HTTP/1.1\r\nHost: loc")
    connection.close()


async def half_a_body(url):
    """A client that ends in the middle of its message."""
    connection = await Connection.open(url)
    await connection.send(request("POST", "/fix/mcp", tool_call(1, "echo", {"text": "x" * 100_000}))[:50_000])
    connection.close()


async def a_disconnect_in_a_call(url):
    """A client that leaves before its answer comes; the answer is dropped."""
    client = Client(url, "/fix/mcp")
    waiting = await client.begin(tool_call(1, "sleep", {"ms": 20}))
    await client.text("echo", text="x")
    waiting.close()
    client.close()


async def a_reader_that_does_not_read(url):
    """A client that asks for megabytes and never reads them."""
    client = Client(url, "/fix/mcp")
    waiting = await client.begin(tool_call(1, "big", {"bytes": BIG}), reads=False)
    await client.text("echo", text="x")
    waiting.close()
    client.close()


async def a_server_that_does_not_read(url):
    """Requests that wait for a deaf server are bounded: the call beyond is refused, the others are answered."""
    client = Client(url, "/fix/mcp")
    deaf = await client.begin(tool_call("deaf", "deaf", {"ms": 300}))
    calls = [client.post(tool_call(nth, "echo", {"text": "x" * DEAF_BODY})) for nth in range(7)]
    answers = [each.json for each in await asyncio.gather(*calls)]
    refused = [each["error"]["message"] for each in answers if "error" in each]
    assert 1 <= len(refused) <= 5
    assert set(refused) == {"fix does not read its input; 16 MiB wait for it"}
    assert all(len(text_of(each)) == DEAF_BODY for each in answers if "result" in each)
    assert text_of((await deaf.answer()).json) == '"I can hear you again"'
    deaf.close()
    client.close()


FAULTS = (
    Fault(no_answer_in_time, at_once=20),
    Fault(no_answer_at_all),
    Fault(exit_in_the_handshake),
    Fault(a_refused_handshake),
    Fault(a_silent_handshake, at_once=20),
    Fault(a_missing_program),
    Fault(garbage_at_the_start),
    Fault(death_in_a_call),
    Fault(garbage),
    Fault(a_line_without_end, rounds=FEW, growth_kib=HEAVY_KIB),
    Fault(a_flood_on_stderr, rounds=FEW, growth_kib=HEAVY_KIB),
    Fault(bad_utf8),
    Fault(half_a_head),
    Fault(half_a_body),
    Fault(a_disconnect_in_a_call),
    Fault(a_reader_that_does_not_read, growth_kib=HEAVY_KIB),
    Fault(a_server_that_does_not_read, rounds=FEW, growth_kib=HEAVY_KIB),
)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    """A gateway for all faults: each leaves it as it was."""
    with Gateway(tmp_path_factory.mktemp("gateway"), SERVERS, settings=SETTINGS) as running:
        yield running


class FaultTests:
    """Each fault has its answer, and leaves nothing behind."""

    @pytest.mark.parametrize("fault", FAULTS, ids=lambda each: each.name)
    def test_is_told_and_costs_nothing(self, fault, gateway):
        """The user is told exactly what happened; processes, descriptors and memory do not grow with the rounds."""
        asyncio.run(echo(gateway.url))
        costs_nothing(
            gateway,
            lambda: fault.happen(gateway.url),
            at_once=fault.at_once,
            rounds=fault.rounds,
            growth_kib=fault.growth_kib,
        )
        asyncio.run(echo(gateway.url))

    def test_the_log_shows_no_traceback(self, gateway):
        """Faults of others are told in sentences."""
        assert "Traceback" not in gateway.log
        assert "Unhandled" not in gateway.log


class KillTests:
    """``kill -9`` of the gateway."""

    @pytest.fixture
    def crowd(self, tmp_path):
        """A gateway with children of every stubborn kind, and their descendants."""
        wrapped = server(["sh", "-c", " ".join(fixture("--stubborn")) + "; true"])
        servers = {"plain": server(fixture()), "stubborn": server(fixture("--stubborn")), "wrapped": wrapped}
        with Gateway(tmp_path, servers) as running:
            asyncio.run(self.populate(running))
            yield running

    async def populate(self, gateway):
        for name in ("plain", "stubborn", "wrapped"):
            client = await Client.open(gateway.url, name)
            for kind in ("plain", "stubborn", "double", "holder"):
                await client.text("fork", kind=kind)
            client.close()
        # The wrapped one has its shell too; a program that has just been started shows its environment a moment later.
        everybody = 3 * 5 + 1
        await asyncio.to_thread(eventually, lambda: len(gateway.children()) == everybody, "all are there")

    def again(self, gateway):
        """A new gateway of the same home serves, until it is killed like the first."""
        gateway.start()
        left = gateway.children()
        for name in ("plain", "stubborn", "wrapped"):
            asyncio.run(echo(gateway.url, name))
        gateway.kill()
        eventually(lambda: gateway.children() == [], "nothing survives")
        assert left == []

    def test_leaves_no_survivor(self, crowd):
        """Children, their stubborn helpers and those that left their process group all end with it."""
        (guardian,) = crowd.helpers()
        crowd.kill()
        eventually(lambda: crowd.children() == [], "nothing survives")
        eventually(lambda: not is_alive(guardian), "the guardian ends too")
        self.again(crowd)

    def test_leaves_no_survivor_of_a_dead_guardian_beyond_the_next_start(self, crowd):
        """Where the guardian was killed with it, the next gateway of the home clears up."""
        (guardian,) = crowd.helpers()
        os.kill(crowd.pid, signal.SIGSTOP)  # so that it cannot start another
        os.kill(guardian, signal.SIGKILL)
        crowd.kill()
        assert len(crowd.children()) > 10
        self.again(crowd)
        assert "killed a leftover of an earlier gateway" in crowd.log

    def test_a_dead_guardian_is_replaced(self, crowd):
        """The gateway starts another guardian, which knows all children."""
        (guardian,) = crowd.helpers()
        os.kill(guardian, signal.SIGKILL)
        eventually(lambda: [each for each in crowd.helpers() if each != guardian], "another is started")
        eventually(lambda: not is_alive(guardian), "the dead one is gone")
        crowd.kill()
        eventually(lambda: crowd.children() == [], "nothing survives")

    def test_an_orderly_end_leaves_none_either(self, crowd):
        """SIGTERM takes the same crowd along."""
        crowd.stop()
        assert crowd.children() == []
        assert os.listdir(crowd.home / "children") == []
