"""The servers that speak either era, without the gateway: each does in each era what tests expect of it."""

from __future__ import annotations

import json
import select
import subprocess
import time
from collections.abc import Sequence
from typing import Any, Self

import pytest

from tests.support import conformance, real_servers

pytestmark = pytest.mark.functional

LIMIT_S = 60.0  # nothing here takes as long

PREFIX = "io.modelcontextprotocol/"
REVISION = "2026-07-28"
ENVELOPE = {
    PREFIX + "protocolVersion": REVISION,
    PREFIX + "clientInfo": {"name": "test", "version": "1"},
    PREFIX + "clientCapabilities": {"elicitation": {}, "sampling": {}, "roots": {}},
}
HANDSHAKE = {
    "protocolVersion": "2025-11-25",
    "capabilities": {"elicitation": {}, "sampling": {}, "roots": {}},
    "clientInfo": {"name": "test", "version": "1"},
}
TASKS = {"extensions": {PREFIX + "tasks": {}}}
ANSWER = {"action": "accept", "content": {"name": "Ada"}}


class Line:
    """A client of one server process that reads and writes whole messages, and nothing by itself."""

    def __init__(self, argv: Sequence[str]) -> None:
        self._argv = argv
        self._read = b""
        self._requested = 0

    def __enter__(self) -> Self:
        self._child = subprocess.Popen(self._argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        return self

    def __exit__(self, *_: object) -> None:
        self._child.kill()
        self._child.communicate()

    def say(self, **message: Any) -> None:
        """Write one message."""
        self._child.stdin.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")

    def heard(self) -> dict[str, Any]:
        """The next message."""
        ends = time.monotonic() + LIMIT_S
        while b"\n" not in self._read:
            assert select.select([self._child.stdout], [], [], max(0.0, ends - time.monotonic()))[0], (
                "silence"
            )
            chunk = self._child.stdout.read(65536)
            assert chunk, "it ended"
            self._read += chunk
        line, self._read = self._read.split(b"\n", 1)
        return json.loads(line)

    def asked(self, method: str, **params: Any) -> int:
        """Write one request, and say its id."""
        self._requested += 1
        self.say(id=self._requested, method=method, params=params)
        return self._requested

    def legacy(self, method: str, **params: Any) -> dict[str, Any]:
        """The next message after a request without an envelope."""
        self.asked(method, **params)
        return self.heard()

    def modern(self, method: str, *, envelope: dict[str, Any] = ENVELOPE, **params: Any) -> dict[str, Any]:
        """The next message after a request with one."""
        self.asked(method, **params, _meta=envelope)
        return self.heard()

    def tool(self, name: str, **arguments: Any) -> Any:
        """The result of a tool of the fixture in the modern era, as a value."""
        return json.loads(said(self.modern("tools/call", name=name, arguments=arguments)))

    def shook_hands(self) -> None:
        """Open the connection in the era with a handshake."""
        assert self.legacy("initialize", **HANDSHAKE)["result"]["protocolVersion"] == "2025-11-25"
        self.say(method="notifications/initialized")


def said(answer: dict[str, Any]) -> str:
    """The text of a tool's answer."""
    assert not answer["result"].get("isError"), answer
    return answer["result"]["content"][0]["text"]


def code(answer: dict[str, Any]) -> int:
    """The code of an error."""
    return answer["error"]["code"]


@pytest.fixture(params=["conformance", "fixture"])
def server(request):
    """Return how either of our own servers is started in an era."""
    if request.param == "conformance":
        return conformance.server
    return lambda era: real_servers.fixture(f"--era={era}")


class EraTests:
    """Eras that our own processes speak."""

    def test_modern_only(self, server) -> None:
        """A modern process refuses the handshake and names its revision, and wants an envelope."""
        with Line(server("modern")) as line:
            refused = line.legacy("initialize", **HANDSHAKE)
            assert code(refused) == -32022
            assert refused["error"]["data"] == {"supported": [REVISION], "requested": "2025-11-25"}
            assert code(line.legacy("tools/list")) == -32602
            assert line.modern("tools/list")["result"]["resultType"] == "complete"
            unknown = ENVELOPE | {PREFIX + "protocolVersion": "2099-01-01"}
            assert code(line.modern("tools/list", envelope=unknown)) == -32022
            assert code(line.modern("ping")) == -32601

    def test_legacy_only(self, server) -> None:
        """A legacy process knows no discovery, and does not look at envelopes."""
        with Line(server("legacy")) as line:
            assert code(line.modern("server/discover")) == -32601
            line.shook_hands()
            assert "resultType" not in line.modern("tools/list")["result"]

    def test_dual_turned_modern(self, server) -> None:
        """Discovery does not bind a dual process, nor does what it refuses; the first request served does."""
        with Line(server("dual")) as line:
            assert line.modern("server/discover")["result"]["supportedVersions"] == [REVISION]
            assert (
                code(line.modern("tools/list", envelope={PREFIX + "protocolVersion": "2099-01-01"})) == -32022
            )
            assert "result" in line.modern("tools/list")
            assert code(line.legacy("initialize", **HANDSHAKE)) == -32022

    def test_dual_turned_legacy(self, server) -> None:
        """After a handshake a dual process refuses whatever has an envelope."""
        with Line(server("dual")) as line:
            assert "result" in line.modern("server/discover")
            line.shook_hands()
            assert code(line.modern("tools/list")) == -32600
            assert "result" in line.legacy("tools/list")


class ConformanceTests:
    """Behaviour of the conformance server beyond what the suite looks at."""

    def test_tools_ask_in_either_era(self) -> None:
        """The same tool asks with a request of its own in one era, and with its result in the other."""
        with Line(conformance.server()) as line:
            line.shook_hands()
            question = line.legacy("tools/call", name="test_input_required_result_elicitation")
            assert question["method"] == "elicitation/create"
            line.say(id=question["id"], result=ANSWER)
            assert said(line.heard()) == "Hello, Ada!"
        with Line(conformance.server()) as line:
            call = {"name": "test_input_required_result_elicitation", "arguments": {}}
            question = line.modern("tools/call", **call)["result"]
            assert question["resultType"] == "input_required"
            assert (
                said(line.modern("tools/call", **call, inputResponses={"user_name": ANSWER})) == "Hello, Ada!"
            )

    def test_a_state_serves_another_process_and_no_other_tool(self) -> None:
        """A state that one process has sealed is opened by another; changed, or for another tool, it is refused."""
        name = "test_input_required_result_multi_round"
        with Line(conformance.server()) as line:
            first = line.modern("tools/call", name=name)["result"]
            answer = {"inputResponses": {"step1": ANSWER}, "requestState": first["requestState"]}
            second = line.modern("tools/call", name=name, **answer)["result"]
        with Line(conformance.server()) as line:
            answer = {"inputResponses": {"step2": ANSWER}, "requestState": second["requestState"]}
            assert json.loads(said(line.modern("tools/call", name=name, **answer))) == [ANSWER, ANSWER]
            other = "test_input_required_result_request_state"
            assert code(line.modern("tools/call", name=other, **answer)) == -32602
            answer["requestState"] += "0"
            assert code(line.modern("tools/call", name=name, **answer)) == -32602

    def test_a_cancelled_call_is_not_answered(self) -> None:
        """After a cancellation there is no answer, only that to the next request."""
        with Line(conformance.server()) as line:
            number = line.asked("tools/call", name="slow_compute", arguments={"seconds": 600}, _meta=ENVELOPE)
            line.say(method="notifications/cancelled", params={"requestId": number})
            assert line.modern("tools/list")["id"] == number + 1

    def test_tasks_are_told_of(self) -> None:
        """A listen that names a task hears of its end."""
        able = ENVELOPE | {PREFIX + "clientCapabilities": TASKS}
        call = {"name": "slow_compute", "arguments": {"seconds": 600}}
        with Line(conformance.server()) as line:
            task = line.modern("tools/call", envelope=able, **call)["result"]
            assert (task["resultType"], task["status"]) == ("task", "working")
            listened = line.modern("subscriptions/listen", notifications={"taskIds": [task["taskId"]]})
            assert listened["method"] == "notifications/subscriptions/acknowledged"
            line.asked("tasks/cancel", taskId=task["taskId"], _meta=able)
            heard = [line.heard(), line.heard()]
            assert {each.get("method") for each in heard} == {None, "notifications/tasks"}
            assert (
                line.modern("tasks/get", envelope=able, taskId=task["taskId"])["result"]["status"]
                == "cancelled"
            )


class FixtureTests:
    """Behaviour of the fixture in the modern era."""

    @pytest.fixture
    def line(self):
        """A fixture of the modern era."""
        argv = real_servers.fixture("--era=modern", "--ttl-ms=5000", "--cache-scope=public")
        with Line(argv) as line:
            yield line

    def test_asking_in_rounds(self, line: Line) -> None:
        """The fixture asks as often as it is told, and shows what came with the last round, byte for byte."""
        call = {"name": "ask", "arguments": {"method": "roots/list", "rounds": 2, "state": "s\u00e9al"}}
        first = line.modern("tools/call", **call)["result"]
        assert first["inputRequests"] == {"q1": {"method": "roots/list", "params": {}}}
        assert first["requestState"] == "s\u00e9al"
        second = line.modern("tools/call", **call, inputResponses={"q1": {}}, requestState="s\u00e9al")[
            "result"
        ]
        assert list(second["inputRequests"]) == ["q2"]
        last = {"inputResponses": {"q2": {"roots": []}}, "requestState": "s\u00e9al"}
        assert json.loads(said(line.modern("tools/call", **call, **last))) == last

    def test_prompts_and_resources_ask_too(self, line: Line) -> None:
        """A prompt and a resource ask once."""
        for method, name in (("prompts/get", {"name": "ask"}), ("resources/read", {"uri": "fixture:///ask"})):
            assert line.modern(method, **name)["result"]["resultType"] == "input_required"
            assert (
                line.modern(method, **name, inputResponses={"q1": {}})["result"]["resultType"] == "complete"
            )

    def test_listens(self, line: Line) -> None:
        """A listen hears what it asked for and what is forced upon it, until it is ended or cancelled."""
        number = line.asked("subscriptions/listen", notifications={"toolsListChanged": True}, _meta=ENVELOPE)
        mine = {PREFIX + "subscriptionId": number}
        assert line.heard()["params"] == {"notifications": {"toolsListChanged": True}, "_meta": mine}
        assert line.tool("listens") == [{"id": str(number), "notifications": {"toolsListChanged": True}}]
        assert line.tool("notify", method="notifications/prompts/list_changed") == 0
        for forced, kind in ((False, "tools"), (True, "prompts")):
            changed = f"notifications/{kind}/list_changed"
            line.asked(
                "tools/call", name="notify", arguments={"method": changed, "forced": forced}, _meta=ENVELOPE
            )
            assert line.heard() == {"jsonrpc": "2.0", "method": changed, "params": {"_meta": mine}}
            assert said(line.heard()) == "1"
        ended = line.modern("tools/call", name="end_listens", arguments={"how": "both"})
        assert ended["params"] == {"requestId": number}
        assert line.heard()["result"]["_meta"] == mine
        assert said(line.heard()) == "1"
        assert line.tool("listens") == []

    def test_counting_what_may_be_cached(self, line: Line) -> None:
        """Lists and reads say how long they may be kept, and each one that was asked for is counted."""
        for method, params in (("tools/list", {}), ("resources/read", {"uri": "fixture:///text"})):
            kept = line.modern(method, **params)["result"]
            assert (kept["ttlMs"], kept["cacheScope"]) == (5000, "public")
        assert line.tool("asked") == {"tools/list": 1, "resources/read fixture:///text": 1}

    def test_messages_are_logged_for_those_who_want_them(self, line: Line) -> None:
        """Without a level there are no messages, unless they are forced."""
        assert line.tool("log", n=2) == "logged"
        wanting = ENVELOPE | {PREFIX + "logLevel": "info"}
        call = {"name": "log", "arguments": {"n": 1, "level": "error"}}
        assert line.modern("tools/call", envelope=wanting, **call)["method"] == "notifications/message"
        assert said(line.heard()) == '"logged"'
        call["arguments"]["force"] = True
        assert line.modern("tools/call", **call)["method"] == "notifications/message"

    def test_what_it_got(self, line: Line) -> None:
        """The fixture shows the envelope and the arguments as they came, and the calls that were cancelled."""
        assert line.tool("meta") == ENVELOPE
        assert line.tool("headers", region="x", limit=2) == {"region": "x", "limit": 2}
        line.say(method="notifications/cancelled", params={"requestId": "x"})
        assert line.tool("cancelled") == ['"x"']
        missing = line.modern("tools/call", name="missing", arguments={"capabilities": TASKS})
        assert (code(missing), missing["error"]["data"]) == (-32021, {"requiredCapabilities": TASKS})

    def test_a_task(self, line: Line) -> None:
        """A task asks, takes the answers, and ends with them."""
        requests = {"name": {"method": "elicitation/create", "params": {}}}
        task = line.modern("tools/call", name="task", arguments={"ms": 0, "requests": requests})["result"]
        number = {"taskId": task["taskId"]}
        ends = time.monotonic() + LIMIT_S
        while (shown := line.modern("tasks/get", **number)["result"])["status"] != "input_required":
            assert time.monotonic() < ends
        assert shown["inputRequests"] == requests
        line.modern("subscriptions/listen", notifications={"taskIds": [task["taskId"]]})
        line.asked("tasks/update", **number, inputResponses={"name": ANSWER}, _meta=ENVELOPE)
        told = line.heard()
        while told.get("method") != "notifications/tasks" or told["params"]["status"] != "completed":
            told = line.heard()  # the answer, and perhaps that it began to ask
        assert json.loads(told["params"]["result"]["content"][0]["text"]) == {"name": ANSWER}


SDK = {"python": real_servers.dual_python, "node": real_servers.dual_node}


class SdkTests:
    """The servers that are written on an SDK."""

    @pytest.mark.parametrize("name", SDK)
    def test_with_a_handshake(self, name) -> None:
        """The tools of a server with a handshake answer, and ask with requests of their own."""
        with Line(SDK[name]()) as line:
            line.shook_hands()
            assert said(line.legacy("tools/call", name="add", arguments={"a": 1, "b": 2})) == "3"
            for tool, answer, told in self.questions():
                question = line.legacy("tools/call", **tool)
                line.say(id=question["id"], result=answer)
                assert said(line.heard()) == told
            assert line.legacy("resources/read", uri="dual://text")["result"]["contents"]
            assert line.legacy("prompts/get", name="greeting", arguments={"name": "Ada"})["result"][
                "messages"
            ]

    @pytest.mark.parametrize("name", SDK)
    def test_without_a_handshake(self, name) -> None:
        """The tools of a server without a handshake answer, and ask with their results."""
        with Line(SDK[name]()) as line:
            assert line.modern("server/discover")["result"]["supportedVersions"] == [REVISION]
            assert said(line.modern("tools/call", name="echo", arguments={"text": "hi"})) == "hi"
            for tool, answer, told in self.questions():
                question = line.modern("tools/call", **tool)["result"]
                back = {"inputResponses": dict.fromkeys(question["inputRequests"], answer)}
                if "requestState" in question:
                    back["requestState"] = question["requestState"]
                assert said(line.modern("tools/call", **tool, **back)) == told
            assert line.modern("resources/read", uri="dual://text")["result"]["contents"]
            assert line.modern("prompts/get", name="greeting", arguments={"name": "Ada"})["result"][
                "messages"
            ]

    def test_only_one_era(self) -> None:
        """The one on the SDK of npm can be held to one era."""
        with Line(real_servers.dual_node("modern")) as line:
            assert code(line.legacy("initialize", **HANDSHAKE)) == -32022
        with Line(real_servers.dual_node("legacy")) as line:
            line.shook_hands()
            assert code(line.modern("server/discover")) == -32601

    @staticmethod
    def questions():
        """The tools that ask, what they are answered, and what they say then."""
        message = {"role": "assistant", "content": {"type": "text", "text": "Paris"}, "model": "test"}
        return [
            ({"name": "ask_user", "arguments": {}}, ANSWER, "Hello, Ada!"),
            ({"name": "ask_model", "arguments": {"prompt": "?"}}, message, "The model said: Paris"),
        ]
