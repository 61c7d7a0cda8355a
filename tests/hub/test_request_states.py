"""The request states of modern servers: handed to clients, and good once for the request they were given for."""

from __future__ import annotations

import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.hub.request_states import LIFE_S
from mcpgateway.interfaces import ISessionStore
from mcpgateway.system.journal import Journal
from tests.support.gateway_in_memory import Client, MemoryChild, MemoryGateway
from tests.support.modern_client import (
    OTHER,
    call,
    done,
    dual_gateway,
    list_tools,
    meta,
    post,
    refusal,
    reply,
    request,
)

QUESTION = {"method": "elicitation/create", "params": {"message": "?", "x": 1.50}}
ANSWER = {"q": {"action": "accept"}}


@pytest.fixture
def gateway() -> MemoryGateway:
    """A gateway with a server "m" of the modern era."""
    return dual_gateway()


LETTERS = string.ascii_letters + string.digits + "-_="


def asked_for_more(
    gateway: MemoryGateway, client: Client, state: Any = "s", identifier: Any = 1, **params: Any
) -> Any:
    """The state that a client is given when it calls a tool, and the server wants to know something first."""
    asked = call(gateway, client, identifier, **params)
    wanted = {"resultType": "input_required", "inputRequests": {"q": QUESTION}, "requestState": state}
    gateway.child.answer(asked, wanted)
    result = reply(client)["result"]
    assert result | {"requestState": state} == wanted
    return result["requestState"]


def retry(client: Client, state: Any, identifier: Any = 2, **params: Any) -> None:
    """Call the tool once more, with an answer and a state."""
    params = {"name": "t", "inputResponses": ANSWER, "requestState": state, **params}
    post(client, request(identifier, "tools/call", **params))


def calls(child: MemoryChild) -> list[dict[str, Any]]:
    """The calls of tools that a child has got."""
    return child.asked("tools/call")


class RoundTests:
    """States that are handed out, and come back."""

    @given(st.text())
    def test_byte_for_byte(self, state: str) -> None:
        """The server gets its own state back, whatever it is; the client holds another."""
        gateway = dual_gateway()
        client = gateway.client("m")
        held = asked_for_more(gateway, client, state)
        assert held != state
        retry(client, held)
        (_, again) = calls(gateway.child)
        assert again["params"] == {
            "name": "t",
            "_meta": meta(),
            "inputResponses": ANSWER,
            "requestState": state,
        }
        done(gateway.child, again, content=[])
        assert reply(client)["result"] == {"resultType": "complete", "content": []}

    @pytest.mark.parametrize(
        ("method", "params"), [("prompts/get", {"name": "p"}), ("resources/read", {"uri": "a:1"})]
    )
    def test_other_methods(self, gateway: MemoryGateway, method: str, params: dict[str, Any]) -> None:
        """A state works the same for all other methods that may be answered so."""
        client = gateway.client("m")
        post(client, request(1, method, **params))
        wanted = {"resultType": "input_required", "inputRequests": {"q": QUESTION}, "requestState": "s"}
        gateway.child.answer(gateway.child.asked(method)[-1], wanted)
        held = reply(client)["result"]["requestState"]
        post(client, request(2, method, requestState=held, inputResponses=ANSWER, **params))
        assert gateway.child.asked(method)[-1]["params"]["requestState"] == "s"

    def test_several_rounds(self, gateway: MemoryGateway) -> None:
        """Each round has a state of its own, also where the server gives the same one again."""
        client, held = gateway.client("m"), ""
        for number in range(5):
            before = held
            if held:
                retry(client, held, number)
                asked = calls(gateway.child)[-1]
                wanted = {
                    "resultType": "input_required",
                    "inputRequests": {"q": QUESTION},
                    "requestState": "s",
                }
                gateway.child.answer(asked, wanted)
                held = reply(client)["result"]["requestState"]
            else:
                held = asked_for_more(gateway, client)
            assert held != before

    @pytest.mark.parametrize("more", [{}, {"requestState": None}, {"requestState": 7}])
    def test_without_a_state(self, gateway: MemoryGateway, more: dict[str, Any]) -> None:
        """A result that asks without a state passes untouched, and so does the answer to it."""
        client = gateway.client("m")
        wanted = {"resultType": "input_required", "inputRequests": {"q": QUESTION}, **more}
        asked = call(gateway, client, 1)
        gateway.child.answer(asked, wanted)
        assert reply(client)["result"] == wanted
        post(client, request(2, "tools/call", name="t", inputResponses=ANSWER))
        assert calls(gateway.child)[-1]["params"]["inputResponses"] == ANSWER

    def test_a_result_that_only_speaks_of_it(self, gateway: MemoryGateway) -> None:
        """A result that only speaks of it is not looked into."""
        client = gateway.client("m")
        asked = call(gateway, client, 1)
        said = {"content": [{"type": "text", "text": "input_required"}], "requestState": "mine"}
        done(gateway.child, asked, **said)
        assert reply(client)["result"] == {"resultType": "complete", **said}

    def test_any_child(self, gateway: MemoryGateway) -> None:
        """The answer may come to another child than the one that asked."""
        client = gateway.client("m")
        held = asked_for_more(gateway, client)
        gateway.child.exit(1)
        retry(client, held)
        list_tools(gateway.child)
        assert len(gateway.launcher.children) == 2
        assert calls(gateway.child)[0]["params"]["requestState"] == "s"

    def test_after_a_restart(self) -> None:
        """A state may come after the gateway has been restarted, too; and then it is good once, as ever."""
        store = Journal(":memory:", lambda: 1_700_000_000.0)
        before = dual_gateway(store)
        held, used = (asked_for_more(before, before.client("m")) for _ in range(2))
        retry(before.client("m"), used)
        after = dual_gateway(store)
        client = after.client("m")
        retry(client, used)
        list_tools(after.child)
        assert refusal(client) == (200, -32602, 2)
        retry(client, held)
        assert calls(after.child)[0]["params"]["requestState"] == "s"


class RefusalTests:
    """States that are not good; nothing of them reaches a server."""

    def refused(self, gateway: MemoryGateway, client: Client, state: Any, **params: Any) -> None:
        """A retry is refused, and the server hears nothing of it."""
        before = len(calls(gateway.child))
        retry(client, state, 9, **params)
        assert refusal(client) == (200, -32602, 9)
        assert len(calls(gateway.child)) == before

    def test_a_second_time(self, gateway: MemoryGateway) -> None:
        """A state that was used is not good again, whether its call was answered or not."""
        client = gateway.client("m")
        held = asked_for_more(gateway, client)
        retry(client, held)
        self.refused(gateway, gateway.client("m"), held)
        done(gateway.child, calls(gateway.child)[-1], content=[])
        self.refused(gateway, client, held)

    def test_another_principal(self, gateway: MemoryGateway) -> None:
        """A principal cannot answer another's question; the one that was asked still can."""
        client = gateway.client("m")
        held = asked_for_more(gateway, client)
        self.refused(gateway, gateway.client("m", **OTHER), held)
        retry(client, held)
        assert len(calls(gateway.child)) == 2

    @pytest.mark.parametrize("params", [{"name": "u"}, {"arguments": {"a": 1}}, {"x": 1}])
    def test_another_request(self, gateway: MemoryGateway, params: dict[str, Any]) -> None:
        """A state is good for the same request only: the same tool, with the same arguments."""
        client = gateway.client("m")
        self.refused(gateway, client, asked_for_more(gateway, client), **params)

    def test_another_server(self, gateway: MemoryGateway) -> None:
        """And at the same server."""
        client, other = gateway.client("m"), gateway.client("mine", **{"X-Client-Pid": "11"})
        held = asked_for_more(gateway, client)
        retry(other, held, 3)
        list_tools(gateway.child)
        assert refusal(other) == (200, -32602, 3)

    @pytest.mark.parametrize("state", ["s", "", "x" * 64, "x" * 100, 7, None, {"a": 1}, ["s"], "\u20ac"])
    def test_made_up(self, gateway: MemoryGateway, state: Any) -> None:
        """A state that the gateway has not given out is none, the server's own among them."""
        client = gateway.client("m")
        asked_for_more(gateway, client)
        self.refused(gateway, client, state)

    @given(st.integers(0, 10_000), st.integers(1, len(LETTERS) - 1))
    def test_altered(self, place: int, turn: int) -> None:
        """Nor is one in which anything was changed."""
        gateway = dual_gateway()
        client = gateway.client("m")
        held = asked_for_more(gateway, client)
        place %= len(held)
        letter = LETTERS[(LETTERS.find(held[place]) + turn) % len(LETTERS)]
        self.refused(gateway, client, held[:place] + letter + held[place + 1 :])
        self.refused(gateway, client, held + "-TAMPERED")

    def test_too_old(self, gateway: MemoryGateway) -> None:
        """After a day it is over."""
        one, two = gateway.client("m"), gateway.client("m")
        early, late = asked_for_more(gateway, one), asked_for_more(gateway, two)
        gateway.clock.advance(LIFE_S - 1)
        retry(two, late)
        assert len(calls(gateway.child)) == 3
        gateway.clock.advance(1)
        self.refused(gateway, one, early)

    def test_what_may_have_been_used(self) -> None:
        """A state that is older than the record of used states is refused."""
        store = Forgetful(":memory:", lambda: 0.0)
        gateway = dual_gateway(store)
        client = gateway.client("m")
        held = asked_for_more(gateway, client)
        store.floor = int(gateway.clock.seconds())
        self.refused(gateway, client, held)

    def test_on_a_full_disk(self) -> None:
        """Where nothing can be put on record one is good once all the same."""
        gateway = dual_gateway(Forgetful(":memory:", lambda: 0.0))
        client = gateway.client("m")
        held = asked_for_more(gateway, client)
        retry(client, held)
        self.refused(gateway, gateway.client("m"), held)


class Forgetful(Journal):
    """A store that keeps nothing of what has ended."""

    def end(self, serial: bytes, issued: int) -> None:
        """Forget it."""


class StoreTests:
    """Used states on record."""

    def test_bounded(self) -> None:
        """The used states on record are bounded as ended sessions are: so many, and no more."""
        store: ISessionStore = Journal(":memory:", lambda: 0.0)
        gateway = dual_gateway(store)
        client = gateway.client("m")
        held = asked_for_more(gateway, client)
        (count,) = store._file.execute("SELECT COUNT(*) FROM sessions WHERE ended = 1").fetchone()
        assert count == 0
        retry(client, held)
        (count,) = store._file.execute("SELECT COUNT(*) FROM sessions WHERE ended = 1").fetchone()
        assert count == 1
