"""A model for agents to talk to on loopback: it asks for calls of one tool, and repeats what the tool said last.

It speaks as much of three dialects as the agents of these tests need, streamed or not: the messages of Anthropic, the
chat completions and the responses of OpenAI, and the contents of Gemini. It has no opinions: a request that offers the
tool and holds fewer answers of it than were wanted is answered with the next call, every other one with text.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar
from urllib.parse import urlsplit

from attrs import Factory, define, frozen

from tests.clients.loopback import Handler, Loopback

CALL_ID = "call_of_the_test"
PREFIX = "The tool said: "
"""What the model's last words begin with; an agent shows them on its stdout."""

IDLE = "Nothing to do."


@frozen
class Tool:
    """A tool as an agent offered it; some agents put the tools of one server into a namespace."""

    name: str
    namespace: str = ""

    def is_of(self, server: str, tool: str) -> bool:
        """Return whether a name is that server's tool, however the agent joins and spells the two names."""
        return _letters(self.namespace + self.name).endswith(_letters(server) + _letters(tool))


@frozen
class Turn:
    """A request of an agent, read: the tools it offers, and the results of our calls so far."""

    tools: tuple[Tool, ...]
    results: tuple[str, ...]


@frozen
class Wish:
    """A call that the model asks for.

    :ivar nth: how many it has asked for before.
    """

    tool: Tool
    arguments: Mapping[str, Any]
    nth: int

    @property
    def id(self) -> str:
        """The id by which the agent refers to the call."""
        return f"{CALL_ID}_{self.nth}"


@frozen
class Answer:
    """The words of the model, in one piece for agents that ask so, and as events for those that want a stream."""

    whole: Any
    events: list[str]


class _Handler(Handler):
    """A connection of an agent."""

    def do_HEAD(self) -> None:
        self._send(b"", "text/plain")

    def do_GET(self) -> None:
        self._send_json({"object": "list", "data": [], "models": []})

    def do_POST(self) -> None:
        path = urlsplit(self.path).path
        model: MockModel = self.server.owner  # type: ignore[attr-defined]
        body = json.loads(self._body() or b"{}")
        model.requests.append(path)
        model.read.append(json.dumps(body, ensure_ascii=False))
        for ending, speak in DIALECTS.items():
            if re.search(ending, path):
                answer = speak(model, body)
                if "stream" in path or body.get("stream"):
                    self._send("".join(answer.events).encode(), "text/event-stream")
                else:
                    self._send_json(answer.whole)
                return
        self._send_json({}, 404)

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        return b"".join(self._chunks())

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def _send_json(self, value: Any, status: int = 200) -> None:
        self._send(json.dumps(value).encode(), "application/json", status)

    def _send(self, body: bytes, kind: str, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


# Anthropic: POST /v1/messages


@define
class MockModel(Loopback):
    """A running model that wants some calls, one after the other.

    :ivar server: whose tool it asks for, as the agent's configuration names the server.
    :ivar tool: which tool.
    :ivar calls: the arguments of each call.
    :ivar between: called once before each call but the first.
    :ivar until: what a result holds after which it wants no more calls.
    :ivar results: what the agent reported of each call.
    :ivar done: when it got the result of the last call (``time.monotonic``).
    :ivar read: what it was sent, as JSON.
    :ivar offered: the names of all tools that it was offered, for the message of a test that fails.
    """

    handler: ClassVar[type[Handler]] = _Handler
    server: str
    tool: str
    calls: Sequence[Mapping[str, Any]]
    between: Callable[[], None] = lambda: None
    until: str | None = None
    results: list[str] = Factory(list)
    done: float = 0.0
    offered: set[str] = Factory(set)
    requests: list[str] = Factory(list)
    read: list[str] = Factory(list)
    _passed: int = 0
    _lock: threading.Lock = Factory(threading.Lock)

    def wants(self, turn: Turn) -> Wish | None:
        """The calls that the model asks for now."""
        nth = len(turn.results)
        with self._lock:
            self.offered.update(tool.namespace + tool.name for tool in turn.tools)
            self.results.extend(turn.results[len(self.results) :])
            is_enough = nth == len(self.calls) or self._is_enough(turn.results)
            if is_enough:
                self.done = self.done or time.monotonic()
            elif self._passed < nth:
                self._passed = nth  # agents repeat requests that take long
                self.between()
        tool = next((tool for tool in turn.tools if tool.is_of(self.server, self.tool)), None)
        return None if is_enough or tool is None else Wish(tool, self.calls[nth], nth)

    def _is_enough(self, results: Sequence[str]) -> bool:
        return self.until is not None and bool(results) and self.until in results[-1]


def _messages(model: MockModel, body: Any) -> Answer:
    blocks = [
        block
        for message in body.get("messages", [])
        if isinstance(message["content"], list)
        for block in message["content"]
    ]
    results = [
        _text(block.get("content")) for block in blocks if block.get("tool_use_id", "").startswith(CALL_ID)
    ]
    turn = Turn(tuple(Tool(each.get("name", "")) for each in body.get("tools") or []), tuple(results))
    wish = model.wants(turn)
    if wish is None:
        words = _last_words(turn)
        block, empty = {"type": "text", "text": words}, {"type": "text", "text": ""}
        delta = {"type": "text_delta", "text": words}
    else:
        block = {"type": "tool_use", "id": wish.id, "name": wish.tool.name, "input": dict(wish.arguments)}
        empty = {**block, "input": {}}
        delta = {"type": "input_json_delta", "partial_json": json.dumps(wish.arguments)}
    stop = {"stop_reason": "tool_use" if wish else "end_turn", "stop_sequence": None}
    usage = {"input_tokens": 1, "output_tokens": 1}
    message = {
        "id": f"msg_{len(turn.results)}",
        "type": "message",
        "role": "assistant",
        "model": body.get("model", "mock"),
    }
    message |= {"content": [block], "usage": usage, **stop}
    begun = {**message, "content": [], "stop_reason": None}
    events = [
        _named({"type": "message_start", "message": begun}),
        _named({"type": "content_block_start", "index": 0, "content_block": empty}),
        _named({"type": "content_block_delta", "index": 0, "delta": delta}),
        _named({"type": "content_block_stop", "index": 0}),
        _named({"type": "message_delta", "delta": stop, "usage": usage}),
        _named({"type": "message_stop"}),
    ]
    return Answer(message, events)


def _count_tokens(model: MockModel, body: Any) -> Answer:
    return Answer({"input_tokens": 1, "totalTokens": 1}, [])


# OpenAI: POST /v1/chat/completions


def _chat(model: MockModel, body: Any) -> Answer:
    tools = tuple(Tool(each.get("function", each).get("name", "")) for each in body.get("tools") or [])
    said = [each for each in body.get("messages", []) if each.get("role") == "tool"]
    turn = Turn(tools, tuple(_text(each.get("content")) for each in said))
    wish = model.wants(turn)
    if wish is None:
        message: dict[str, Any] = {"role": "assistant", "content": _last_words(turn)}
    else:
        function = {"name": wish.tool.name, "arguments": json.dumps(wish.arguments)}
        call = {"index": 0, "id": wish.id, "type": "function", "function": function}
        message = {"role": "assistant", "content": None, "tool_calls": [call]}
    end = "tool_calls" if wish else "stop"
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    about = {"id": f"chat_{len(turn.results)}", "created": 1, "model": body.get("model", "mock")}
    choice = {"index": 0, "message": message, "finish_reason": end}
    whole = {**about, "object": "chat.completion", "choices": [choice], "usage": usage}
    about["object"] = "chat.completion.chunk"
    first = {"index": 0, "delta": message, "finish_reason": None}
    last = {"index": 0, "delta": {}, "finish_reason": end}
    events = [
        _unnamed({**about, "choices": [first]}),
        _unnamed({**about, "choices": [last], "usage": usage}),
        "data: [DONE]\n\n",
    ]
    return Answer(whole, events)


# OpenAI: POST /v1/responses


def _responses(model: MockModel, body: Any) -> Answer:
    items = body.get("input") if isinstance(body.get("input"), list) else []
    results = [
        _text(each.get("output"))
        for each in items
        if str(each.get("call_id")).startswith(CALL_ID) and "output" in each
    ]
    turn = Turn(tuple(_function_tools(body.get("tools") or [])), tuple(results))
    wish = model.wants(turn)
    if wish is None:
        content = {"type": "output_text", "text": _last_words(turn), "annotations": []}
        item: dict[str, Any] = {"type": "message", "role": "assistant", "content": [content]}
    else:
        item = {"type": "function_call", "call_id": wish.id, "name": wish.tool.name}
        item["arguments"] = json.dumps(wish.arguments)
        if wish.tool.namespace:
            item["namespace"] = wish.tool.namespace
    item |= {"id": f"item_{len(turn.results)}", "status": "completed"}
    usage = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
    usage |= {"input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}}
    response = {
        "id": f"response_{len(turn.results)}",
        "object": "response",
        "created_at": 1,
        "status": "completed",
    }
    response |= {"model": body.get("model", "mock"), "output": [item], "usage": usage}
    begun = {**response, "status": "in_progress", "output": []}
    events = [
        _named({"type": "response.created", "response": begun}),
        _named({"type": "response.output_item.added", "output_index": 0, "item": item}),
        _named({"type": "response.output_item.done", "output_index": 0, "item": item}),
        _named({"type": "response.completed", "response": response}),
    ]
    return Answer(response, events)


def _function_tools(offered: Iterable[Any]) -> Iterator[Tool]:
    for each in offered:
        if each.get("type") == "namespace":
            yield from (Tool(inner.get("name", ""), each["name"]) for inner in each.get("tools", []))
        elif "name" in each:
            yield Tool(each["name"])


# Gemini: POST /v1beta/models/MODEL:generateContent, :streamGenerateContent


def _contents(model: MockModel, body: Any) -> Answer:
    tools = [each for group in body.get("tools") or [] for each in group.get("functionDeclarations", [])]
    parts = [part for content in body.get("contents", []) for part in content.get("parts", [])]
    results = [
        _text(part["functionResponse"].get("response")) for part in parts if "functionResponse" in part
    ]
    turn = Turn(tuple(Tool(each["name"]) for each in tools), tuple(results))
    wish = model.wants(turn)
    part = {"text": _last_words(turn)}
    if wish is not None:
        part = {"functionCall": {"id": wish.id, "name": wish.tool.name, "args": dict(wish.arguments)}}
    candidate = {"content": {"role": "model", "parts": [part]}, "finishReason": "STOP", "index": 0}
    usage = {"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2}
    answer = {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "mock"}
    return Answer(answer, [_unnamed(answer)])


DIALECTS: Mapping[str, Callable[[MockModel, Any], Answer]] = {
    r"/messages$": _messages,
    r"/count_tokens$|:countTokens$": _count_tokens,
    r"/chat/completions$": _chat,
    r"/responses$": _responses,
    r":(stream)?[gG]enerateContent$": _contents,
}


def _last_words(turn: Turn) -> str:
    return PREFIX + turn.results[-1] if turn.results else IDLE


def _named(event: Mapping[str, Any]) -> str:
    return f"event: {event['type']}\n{_unnamed(event)}"


def _unnamed(event: Mapping[str, Any]) -> str:
    return f"data: {json.dumps(event)}\n\n"


def _text(content: Any) -> str:
    """A tool's result as text, in whatever the agent wrapped it."""
    return content if isinstance(content, str) else json.dumps(content)


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
