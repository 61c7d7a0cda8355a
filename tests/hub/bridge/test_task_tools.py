"""Tools that run as tasks only on a legacy server, called by clients of the modern era."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.gateway_in_memory import Client, MemoryChild
from tests.support.modern_client import PREFIX, PROGRESS, done, events, hang_up, meta, note, refuse, reply
from tests.support.view_stage import CAN_BE_ASKED, Stage, legacy, tool

DECLARED = {"tools": {}, "tasks": {"requests": {"tools": {"call": {}}}}}
ASKS = {"message": "Which?", "requestedSchema": {"type": "object"}}


def stage_of(**more: Any) -> Stage:
    """A view of a server with a tool that runs as a task only, one that may, and one that does not."""
    supports = {"slow": "required", "either": "optional", "quick": "forbidden"}
    tools = [tool(name, execution={"taskSupport": each}) for name, each in supports.items()]
    stage = Stage(legacy("old", **more), old=tools)
    stage.hellos["old"] = DECLARED
    return stage


@pytest.fixture
def stage() -> Stage:
    """A stage on which all sessions have the same child."""
    return stage_of()


def begun(stage: Stage, client: Client, name: str = "old__slow", **more: Any) -> tuple[MemoryChild, Any]:
    """Call a tool, and have its server begin a task; the server's child, and how it is asked for the result."""
    stage.send(client, "tools/call", name=name, **more)
    child = next(each for each in stage.children("old") if each.asked("tools/call"))
    (asked,) = child.asked("tools/call")
    assert "ttl" in asked["params"]["task"]
    child.answer(asked, {"task": {"taskId": "t1", "status": "working"}})
    (wanted,) = child.asked("tasks/result")
    assert wanted["params"]["taskId"] == "t1"
    return child, wanted


@pytest.mark.parametrize("path", ["/mcp/full", "/old/mcp"])
def test_a_result(stage: Stage, path: str) -> None:
    """The call is answered with what comes of the task."""
    client = stage.client(path)
    child, wanted = begun(stage, client, "slow" if path == "/old/mcp" else "old__slow")
    assert reply(client) is None
    done(child, wanted, content=[], of="task")
    assert reply(client)["result"]["of"] == "task"


def test_by_the_gateways_own_tool(stage: Stage) -> None:
    """A call by one of the gateway's own tools is answered with what comes of the task, too."""
    client = stage.client()
    child, wanted = begun(stage, client, "gateway_invoke", arguments={"tool": "old__slow", "arguments": {}})
    done(child, wanted, content=[], of="task")
    assert reply(client)["result"]["of"] == "task"


@pytest.mark.parametrize("name", ["either", "quick"])
def test_no_task(stage: Stage, name: str) -> None:
    """A tool that need not is called as ever."""
    client = stage.client()
    asked = stage.call(client, f"old__{name}")
    assert "task" not in asked["params"]
    done(stage.child("old"), asked, content=[])
    assert "result" in reply(client)


@pytest.mark.parametrize("method", ["tools/call", "tasks/result"])
def test_a_refusal(stage: Stage, method: str) -> None:
    """A server that will not begin a task, or whose task has failed, has answered the call."""
    client = stage.client()
    if method == "tools/call":
        asked = stage.call(client, "old__slow")
        refuse(stage.child("old"), asked, message="no room")
    else:
        child, wanted = begun(stage, client)
        refuse(child, wanted, message="no room")
    assert reply(client)["error"]["message"] == "no room"


def test_no_task_after_all(stage: Stage) -> None:
    """A server that gives the result at once is taken at its word."""
    client = stage.client()
    asked = stage.call(client, "old__slow")
    done(stage.child("old"), asked, content=[], of="call")
    assert reply(client)["result"]["of"] == "call"
    assert stage.child("old").asked("tasks/result") == []


def test_progress(stage: Stage) -> None:
    """The task's progress is the call's, also after the task has begun."""
    client = stage.client()
    child, wanted = begun(stage, client, envelope=meta(progressToken=7))
    (asked,) = child.asked("tools/call")
    child.say(note(PROGRESS, progressToken=asked["params"]["_meta"]["progressToken"], progress=1))
    done(child, wanted, content=[])
    assert events(client)[0]["params"] == {"progressToken": 7, "progress": 1}


def test_a_question() -> None:
    """The gateway asks the question of a task as any other, and the answer reaches the task."""
    stage = stage_of(interactive=True)
    client = stage.client()
    child, wanted = begun(stage, client, envelope=CAN_BE_ASKED)
    of = {"_meta": {PREFIX + "related-task": {"taskId": "t1"}}}
    child.say({"jsonrpc": "2.0", "id": 9, "method": "elicitation/create", "params": ASKS | of})
    result = reply(client)["result"]
    (key,) = result["inputRequests"]
    said = {key: {"action": "accept", "content": {"which": "a"}}}
    stage.send(
        client,
        "tools/call",
        2,
        CAN_BE_ASKED,
        name="old__slow",
        inputResponses=said,
        requestState=result["requestState"],
    )
    assert child.received[-1]["result"]["content"] == {"which": "a"}
    done(child, wanted, content=[], of="task")
    assert reply(client)["result"]["of"] == "task"


def test_hanging_up(stage: Stage) -> None:
    """The task of a client that hangs up is taken back."""
    client = stage.client()
    child, _ = begun(stage, client)
    hang_up(client)
    (asked,) = child.asked("tasks/cancel")
    assert asked["params"] == {"taskId": "t1"}
    refuse(child, asked)
