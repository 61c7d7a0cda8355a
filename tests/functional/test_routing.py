"""Many clients on one child: every answer, progress and cancellation goes to the one it belongs to."""

import asyncio
import json
import os
import signal
from contextlib import asynccontextmanager
from itertools import count

import pytest

from tests.support.gateway import IS_SOAK, Gateway, eventually, server
from tests.support.http_client import Client, message, text_of, tool_call
from tests.support.real_servers import fixture

pytestmark = pytest.mark.functional

CLIENTS = 20
AT_ONCE = 3  # requests that each client has under way
ANSWERS = 100_000 if IS_SOAK else 5_000
FLOOD = (
    500_000 if IS_SOAK else 100_000
)  # progress notes of about 170 bytes: more than a stream and two sockets hold
GROWTH_KIB = 14_000  # a stream's backlog of 4 MiB, its chunks' overhead, the reader of the child


@pytest.fixture
def gateway(tmp_path):
    """A gateway with one shared fixture."""
    with Gateway(tmp_path, {"fix": server(fixture(), concurrency="none")}) as running:
        yield running


@asynccontextmanager
async def clients(gateway, number, name="fix"):
    """Some sessions, opened at the same time."""
    opened = await asyncio.gather(*(Client.open(gateway.url, name) for _ in range(number)))
    try:
        yield opened
    finally:
        for each in opened:
            each.close()


def identifier(client, number):
    """The id of a client's request; every other client counts in strings, so that ``1`` meets ``"1"``."""
    return number if client % 2 else str(number)


async def echo_many(client, nth, share, wrong):
    """Send a client's share of echoes; each is checked for its id, its type and its text."""
    numbers = iter(range(share))

    async def work():
        for number in numbers:
            said, text = identifier(nth, number), f'client {nth}, echo {number}, é\u2028 "\\n'
            answer = await client.post(tool_call(said, "echo", {"text": text}, token=identifier(nth, number)))
            got = answer.json
            if (got["id"], type(got["id"]), text_of(got)) != (said, type(said), text):
                wrong.append((nth, number, got))

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    return share


async def progress_many(client, nth, share, wrong):
    """Send a client's calls with progress: the notifications bear its own token, in order, before the answer."""
    for number in range(share):
        said, token, steps = identifier(nth, number), identifier(nth + 1, number), 1 + (nth + number) % 4
        answer = await client.post(tool_call(said, "progress", {"steps": steps}, token))
        *notes, last = answer.messages
        told = [(each["params"]["progressToken"], each["params"]["progress"]) for each in notes]
        fits = told == [(token, step + 1) for step in range(steps)]
        types = {type(each["params"]["progressToken"]) for each in notes} == {type(token)}
        if not (fits and types and last["id"] == said and text_of(last) == str(steps)):
            wrong.append((nth, number, answer.messages))


class AnswerTests:
    """Answers."""

    def test_every_answer_reaches_the_one_who_asked(self, gateway):
        """Clients that all use the same ids and tokens at once, some of them as strings, get each their own echo."""
        wrong = []

        async def work():
            async with clients(gateway, CLIENTS) as all_of_them:
                shares = [
                    echo_many(each, nth, ANSWERS // CLIENTS, wrong) for nth, each in enumerate(all_of_them)
                ]
                notes = [
                    progress_many(each, nth, ANSWERS // CLIENTS // 10, wrong)
                    for nth, each in enumerate(all_of_them)
                ]
                return await asyncio.gather(*shares, *notes)

        done = asyncio.run(work())
        assert wrong == []
        assert sum(done[:CLIENTS]) == ANSWERS
        assert len(gateway.children()) == 1
        seen = gateway.backend("fix")
        assert (seen["calls"], seen["starts"]) == (0, 1)
        assert seen["requests"] == ANSWERS + ANSWERS // 10

    def test_slow_answers_are_overtaken(self, gateway):
        """A call does not wait for that of another client, and late answers still find their callers."""

        async def work():
            async with clients(gateway, 8) as all_of_them:
                order = []

                async def one(nth, client):
                    text = await client.text("sleep", ms=2000 - nth * 250, text=str(nth))
                    order.append((nth, text))

                await asyncio.gather(*(one(*each) for each in enumerate(all_of_them)))
                return order

        order = asyncio.run(work())
        assert sorted(order) == [(nth, str(nth)) for nth in range(8)]
        assert order[0][0] > order[-1][0]

    def test_bytes_survive(self, gateway):
        """Big integers, float text, unknown members and member order arrive as they were written."""
        params = '{"z":1e400,"a":123456789012345678901234567890,"f":1.10,"u":"\\u00e9","deep":{"b":[1,{}],"a":null}}'

        async def work():
            async with clients(gateway, 1) as (client,):
                body = '{"jsonrpc":"2.0","id":"x","method":"fixture/echo","params":' + params + "}"
                good = await client.post(body.encode())
                body = '{"jsonrpc":"2.0","id":"y","method":"fixture/error","params":' + params + "}"
                bad = await client.post(body.encode())
                return good.body.decode(), bad.body.decode()

        good, bad = asyncio.run(work())
        assert '"id":"x"' in good
        assert '{"echo":' + params + "}" in good
        assert '"id":"y"' in bad
        assert '"error":' + params in bad

    def test_a_forged_line_stays_inside_its_request(self, gateway):
        """White space in params that holds line ends reaches the child as one message."""
        params = b'{"name":"echo",\n"arguments":{\r\n"text":"one"}}'
        forged = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":' + params + b"}"

        async def work():
            async with clients(gateway, 1) as (client,):
                return (await client.post(forged)).json, await client.text("echo", text="two")

        first, second = asyncio.run(work())
        assert (text_of(first), second) == ("one", "two")


class CancelTests:
    """Cancellation."""

    def test_each_cancels_its_own(self, gateway):
        """Of two calls with the same id the one is cancelled whose client says so, and only that."""

        async def work():
            async with clients(gateway, 3) as (left, right, witness):
                one = await left.begin(tool_call(7, "sleep", {"ms": 3000, "text": "left"}))
                two = await right.begin(tool_call(7, "sleep", {"ms": 3000, "text": "right"}))
                third = await witness.begin(tool_call("7", "sleep", {"ms": 3000, "text": "witness"}))
                await asyncio.to_thread(
                    eventually, lambda: gateway.health()["calls"] == 3, "three are running"
                )
                told = await left.post(
                    message(None, "notifications/cancelled", {"requestId": 7, "reason": "x"})
                )
                cancelled = await one.answer()
                at_child = await witness.value("cancelled")
                answers = await two.answer(), await third.answer()
                for each in (one, two, third):
                    each.close()
                return told.status, cancelled, at_child, answers

        status, cancelled, at_child, answers = asyncio.run(work())
        assert status == 202
        assert cancelled.json["id"] == 7
        assert cancelled.json["error"]["message"] == "Request cancelled"
        assert len(at_child) == 1
        assert [text_of(each.json) for each in answers] == ["right", "witness"]

    def test_crossed_cancels(self, gateway):
        """The two clients cancel at once: the child hears of two different calls, and a third client's call goes on."""

        async def work():
            async with clients(gateway, 3) as (left, right, witness):
                held = [await each.begin(tool_call(7, "sleep", {"ms": 60_000})) for each in (left, right)]
                third = await witness.begin(tool_call(7, "sleep", {"ms": 1500, "text": "kept"}))
                await asyncio.to_thread(
                    eventually, lambda: gateway.health()["calls"] == 3, "three are running"
                )
                note = message(None, "notifications/cancelled", {"requestId": 7})
                await asyncio.gather(left.post(note), right.post(note))
                answers = await asyncio.gather(*(each.answer() for each in (*held, third)))
                at_child = await witness.value("cancelled")
                for each in (*held, third):
                    each.close()
                return [each.json for each in answers], at_child

        (*ended, kept), at_child = asyncio.run(work())
        assert [each["error"]["message"] for each in ended] == ["Request cancelled"] * 2
        assert len(set(at_child)) == 2
        assert text_of(kept) == "kept"

    def test_a_stranger_cancels_nothing(self, gateway):
        """A cancellation of an id that only others use, or of the same digits in another type, has no effect."""

        async def work():
            async with clients(gateway, 2) as (left, right):
                held = await left.begin(tool_call(7, "sleep", {"ms": 1500, "text": "kept"}))
                await asyncio.to_thread(eventually, lambda: gateway.health()["calls"] == 1, "it is running")
                await right.post(message(None, "notifications/cancelled", {"requestId": 7}))
                await left.post(message(None, "notifications/cancelled", {"requestId": "7"}))
                answer = await held.answer()
                held.close()
                return answer.json, await right.value("cancelled")

        answer, at_child = asyncio.run(work())
        assert text_of(answer) == "kept"
        assert at_child == []


class SlowReaderTests:
    """A client who does not read."""

    def test_delays_nobody_and_costs_little(self, gateway):
        """While a flood of progress meets a client that never reads, others are served and memory stays bounded."""

        async def work():
            async with clients(gateway, 3) as (slow, *others):
                await asyncio.gather(*(each.text("echo", text="warm") for each in (slow, *others)))
                before = gateway.resident_kib()
                flood = tool_call(1, "progress", {"steps": FLOOD}, "t" * 60)
                stuck = await slow.begin(flood, reads=False)
                served, most = 0, before
                while gateway.backend("fix")["calls"]:
                    texts = await asyncio.gather(*(each.text("echo", text=str(served)) for each in others))
                    assert texts == [str(served)] * 2
                    served += 1
                    most = max(most, gateway.resident_kib())
                stuck.resume()
                taken = len(await stuck.ended())
                stuck.close()
                return served, most - before, taken

        served, growth, taken = asyncio.run(work())
        assert taken < 190 * FLOOD, "it was cut, not served"
        assert served > 5
        assert growth < GROWTH_KIB


class CrashTests:
    """A child that dies."""

    def test_calls_under_way_are_told_once_and_nothing_is_replayed(self, gateway):
        """The next call finds a fresh child with the handshake said again, and only that call."""

        async def work():
            async with clients(gateway, 6) as (killer, *others):
                assert [await each.value("count") for each in others] == [1, 2, 3, 4, 5]
                first = await killer.value("initialized")
                held = [await each.begin(tool_call(9, "sleep", {"ms": 60_000}, token=3)) for each in others]
                await asyncio.to_thread(
                    eventually, lambda: gateway.health()["calls"] == 5, "they are running"
                )
                died = await killer.call("die", {"code": 7}, number=9)
                told = [(await each.answer()).json for each in held]
                again = await asyncio.gather(*(each.value("count") for each in others))
                second = await killer.value("initialized")
                for each in held:
                    assert await silence(each)
                    each.close()
                return died, told, again, first, second

        died, told, again, first, second = asyncio.run(work())
        for each in (died, *told):
            assert each["id"] == 9
            assert each["error"]["code"] == -32603
            assert each["error"]["message"] == "fix ended before it answered (exit code 7)"
        assert sorted(again) == [1, 2, 3, 4, 5]
        assert first["handshakes"] == second["handshakes"]
        assert len(second["handshakes"]) == 1
        assert [json.loads(each)["method"] for each in second["notified"]] == ["notifications/initialized"]
        assert len(gateway.children()) == 1
        assert gateway.backend("fix")["starts"] == 2

    def test_a_child_that_is_killed_from_outside(self, gateway):
        """The signal is named, and the sessions live on."""

        async def work():
            async with clients(gateway, 2) as (one, two):
                held = await one.begin(tool_call(1, "mute"))
                await asyncio.to_thread(eventually, lambda: gateway.health()["calls"] == 1, "it is running")
                os.kill((await two.value("pid"))["pid"], signal.SIGKILL)
                told = (await held.answer()).json
                held.close()
                return told, await one.text("echo", text="again"), await two.text("echo", text="too")

        told, *echoed = asyncio.run(work())
        assert told["error"]["message"] == "fix ended before it answered (killed by signal 9)"
        assert echoed == ["again", "too"]

    def test_a_crash_in_the_middle_of_a_storm(self, gateway):
        """Each of many calls gets exactly one answer: its own echo, or the word that the server ended."""

        async def work():
            async with clients(gateway, 10) as all_of_them:
                numbers = count()
                told, right = [], []

                async def storm(client):
                    for _ in range(60):
                        number = next(numbers)
                        answer = await client.call("echo", {"text": str(number)}, number)
                        if "error" in answer:
                            told.append(answer["error"]["message"])
                        else:
                            assert text_of(answer) == str(number)
                            right.append(number)

                async def crash():
                    for _ in range(3):
                        await asyncio.sleep(0.1)
                        await all_of_them[0].call("die", {}, "die")

                await asyncio.gather(crash(), *(storm(each) for each in all_of_them))
                return told, right

        told, right = asyncio.run(work())
        assert len(told) + len(right) == 600
        assert len(right) > 300
        assert all(each.startswith("fix ended before it answered") for each in told)


class ColdStartTests:
    """The first ones."""

    def test_a_hundred_at_once_share_one_start(self, tmp_path):
        """A child's one start and one handshake serve all clients that came before it was warm."""
        with Gateway(tmp_path, {"fix": server(fixture("--slow-start", "1"))}) as gateway:

            async def work():
                async with clients(gateway, 100) as all_of_them:
                    told = await all_of_them[0].value("initialized")
                    return {each.id for each in all_of_them}, [each.hello for each in all_of_them], told

            ids, hellos, told = asyncio.run(work())
            assert len(ids) == 100
            assert all(each == hellos[0] for each in hellos)
            assert len(told["handshakes"]) == 1
            assert len(told["notified"]) == 1
            assert len(gateway.children()) == 1
            assert gateway.backend("fix")["starts"] == 1

    def test_calls_without_a_session_share_it_too(self, tmp_path):
        """Calls that come before the child is warm wait, and are sent in their order."""
        with Gateway(tmp_path, {"fix": server(fixture("--slow-start", "1"))}) as gateway:

            async def work():
                client = Client(gateway.url, "/fix/mcp")
                counted = await asyncio.gather(*(client.value("count") for _ in range(50)))
                client.close()
                return counted

            assert sorted(asyncio.run(work())) == list(range(1, 51))
            assert gateway.backend("fix")["starts"] == 1


async def silence(connection):
    """Return whether nothing more has come on a connection."""
    try:
        async with asyncio.timeout(0.05):
            await connection.head()
    except TimeoutError:
        return True
    return False
