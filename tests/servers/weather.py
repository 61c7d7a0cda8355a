"""An MCP server on stdio whose every word says whom it is for: the weather of the storm test.

Standard library only and one file, so that it starts in a few milliseconds under ``python -I -S``.  One thread does
everything; what takes time waits in a list of alarms.  Whatever it says unasked bears a mark, which is what the caller
of ``touch``, ``change`` or ``log`` wanted it to be, so that a test can tell whose deed it hears of, and a number that
grows from one such message to the next, also from one process to the next.

It behaves as a good server does: it reports updates of subscribed resources only, keeps to the log level, asks nobody
who has not declared to be askable, and takes a question back when the call that needed the answer is cancelled.
"""

from __future__ import annotations

import contextlib
import heapq
import json
import os
import select
import time
from collections.abc import Callable

REVISIONS = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")
LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")
CAPABILITIES = {
    "logging": {},
    "tools": {"listChanged": True},
    "resources": {"subscribe": True, "listChanged": True},
}
REFUSED = 4711  # the code of errors that were asked for

TOOLS = {
    "echo": {"text": "string"},
    "progress": {"text": "string", "steps": "integer", "ms": "number"},
    "slow": {"text": "string", "ms": "number"},
    "big": {"text": "string", "bytes": "integer"},
    "touch": {"uri": "string", "mark": "string", "bytes": "integer"},
    "change": {"mark": "string"},
    "log": {"level": "string", "mark": "string"},
    "elicit": {"text": "string", "mode": "string"},
    "sample": {"text": "string"},
    "roots": {"text": "string"},
    "whoami": {},
}


class Weather:
    """A server process."""

    def __init__(self) -> None:
        self.handshakes: list[dict] = []
        self.is_ready = False
        self.level = LEVELS[0]
        self.subscribed: set[str] = set()
        self.running: set[str] = set()  # ids of calls that are under way, as JSON text
        self.alarms: list[tuple[float, int, str, Callable[[], None]]] = []
        self.alarms_set = 0
        self.questions = 0
        self.number = 0
        self.asked: dict[int, tuple[object, str]] = {}  # the call that each question belongs to, and its text

    def say(self, message: dict) -> None:
        """Write one message, whole, however slowly it is read."""
        view = memoryview(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
        while view:
            view = view[os.write(1, view) :]

    def notify(self, method: str, params: dict) -> None:
        """Say something unasked."""
        self.say({"method": method, "params": params})

    def answer(self, number: object, result: dict) -> None:
        """Answer a request."""
        self.running.discard(json.dumps(number))
        self.say({"id": number, "result": result})

    def refuse(self, number: object, code: int, message: str) -> None:
        """Answer a request with an error."""
        self.running.discard(json.dumps(number))
        self.say({"id": number, "error": {"code": code, "message": message}})

    def text(self, number: object, text: str) -> None:
        """Answer a tool call with one text."""
        self.answer(number, {"content": [{"type": "text", "text": text}], "isError": False})

    def value(self, number: object, value: object) -> None:
        """Answer a tool call with any value, as JSON inside its text."""
        self.text(number, json.dumps(value))

    def after(self, ms: float, number: object, work: Callable[[], None]) -> None:
        """Do something later, unless that call is cancelled until then."""
        self.alarms_set += 1
        at = time.monotonic() + ms / 1000
        heapq.heappush(self.alarms, (at, self.alarms_set, json.dumps(number), work))

    def serve(self) -> None:
        """Read messages until the client closes the pipe."""
        rest = b""
        while True:
            wait = max(0, self.alarms[0][0] - time.monotonic()) if self.alarms else None
            if select.select([0], [], [], wait)[0]:
                chunk = os.read(0, 65536)
                if not chunk:
                    return
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    self.received(json.loads(line))
            while self.alarms and self.alarms[0][0] <= time.monotonic():
                _, _, number, work = heapq.heappop(self.alarms)
                if number in self.running:
                    work()

    def received(self, message: dict) -> None:
        """Take a message."""
        method, params = message.get("method"), message.get("params", {})
        if method is None:
            self.was_answered(message)
        elif "id" not in message:
            self.was_notified(method, params)
        elif method == "initialize":
            self.initialize(message["id"], params)
        elif method == "ping":
            self.answer(message["id"], {})
        elif not self.is_ready:
            self.refuse(message["id"], -32600, f"{method} came before notifications/initialized")
        else:
            self.requested(message["id"], method, params)

    def requested(self, number: object, method: str, params: dict) -> None:
        """A request came in."""
        if method == "tools/call":
            name = params["name"]
            if name not in TOOLS:
                self.refuse(number, -32602, f"Unknown tool: {name}")
                return
            self.running.add(json.dumps(number))
            token = params.get("_meta", {}).get("progressToken")
            getattr(self, f"tool_{name}")(number, token, **params.get("arguments", {}))
        elif method == "tools/list":
            self.answer(number, {"tools": [tool(name, wants) for name, wants in TOOLS.items()]})
        elif method == "resources/subscribe":
            self.subscribed.add(params["uri"])
            self.answer(number, {})
        elif method == "resources/unsubscribe":
            self.subscribed.discard(params["uri"])
            self.answer(number, {})
        elif method == "logging/setLevel":
            self.level = params["level"]
            self.answer(number, {})
        elif method == "weather/refuse":
            self.refuse(number, REFUSED, params["text"])
        else:
            self.refuse(number, -32601, f"Method not found: {method}")

    def initialize(self, number: object, params: dict) -> None:
        """Answer the handshake."""
        self.handshakes.append(params)
        wanted = params.get("protocolVersion")
        result = {
            "protocolVersion": wanted if wanted in REVISIONS else REVISIONS[0],
            "capabilities": CAPABILITIES,
            "serverInfo": {"name": "weather", "version": "1"},
        }
        self.answer(number, result)

    def was_notified(self, method: str, params: dict) -> None:
        """The client notified us."""
        if method == "notifications/initialized":
            self.is_ready = True
        elif method == "notifications/cancelled":
            self.running.discard(json.dumps(params["requestId"]))
            for question, (number, _) in list(self.asked.items()):
                if json.dumps(number) == json.dumps(params["requestId"]):
                    del self.asked[question]
                    self.notify("notifications/cancelled", {"requestId": question, "reason": "not needed"})

    def was_answered(self, message: dict) -> None:
        """The client answered a question of ours; what it said is what the call was for."""
        number, text = self.asked.pop(message["id"], (None, ""))
        if number is not None:
            said = {key: message[key] for key in ("result", "error") if key in message}
            self.value(number, {"text": text, "said": said})

    def next_number(self) -> int:
        """The number of the next message that is said unasked; the machine has one such clock."""
        self.number = max(self.number + 1, time.monotonic_ns())
        return self.number

    def ask(self, number: object, text: str, method: str, params: dict) -> None:
        """Ask the client something; questions are numbered from 1, so that those of two processes collide."""
        capability = {"elicitation/create": "elicitation", "sampling/createMessage": "sampling"}.get(
            method, "roots"
        )
        if capability not in self.handshakes[-1].get("capabilities", {}):
            self.refuse(number, REFUSED, f"this client has not declared {capability}")
            return
        self.questions += 1
        self.asked[self.questions] = (number, text)
        self.say({"id": self.questions, "method": method, "params": params})

    def tool_echo(self, number: object, _: object, text: str) -> None:
        """Answer with the same text."""
        self.text(number, text)

    def tool_progress(self, number: object, token: object, text: str, steps: int, ms: float) -> None:
        """Report each step to the caller's token, then answer."""

        def report(step: int) -> None:
            if step > steps:
                self.text(number, text)
                return
            if token is not None:
                told = {"progressToken": token, "progress": step, "total": steps, "message": f"{text} {step}"}
                self.notify("notifications/progress", told)
            self.after(ms, number, lambda: report(step + 1))

        report(1)

    def tool_slow(self, number: object, _: object, text: str, ms: float) -> None:
        """Answer after a while."""
        self.after(ms, number, lambda: self.text(number, text))

    def tool_big(self, number: object, _: object, text: str, **size: int) -> None:
        """Answer with a text that is followed by that many more bytes."""
        self.text(number, text + "x" * size["bytes"])

    def tool_touch(self, number: object, _: object, uri: str, mark: str, **size: int) -> None:
        """Report, in a message of that many bytes, that a resource has changed; tells whether anybody is subscribed."""
        said = {"mark": mark, "number": self.next_number(), "much": "x" * size.get("bytes", 0)}
        if uri in self.subscribed:
            self.notify("notifications/resources/updated", {"uri": uri, "_meta": said})
        self.value(number, {"said": uri in self.subscribed, "number": said["number"]})

    def tool_change(self, number: object, _: object, mark: str) -> None:
        """Report that the list of tools has changed."""
        said = {"mark": mark, "number": self.next_number()}
        self.notify("notifications/tools/list_changed", {"_meta": said})
        self.value(number, {"said": True, "number": said["number"]})

    def tool_log(self, number: object, _: object, level: str, mark: str) -> None:
        """Send a log message; tells whether the level admitted it."""
        data = {"mark": mark, "number": self.next_number()}
        is_said = LEVELS.index(level) >= LEVELS.index(self.level)
        if is_said:
            self.notify("notifications/message", {"level": level, "logger": "weather", "data": data})
        self.value(number, {"said": is_said, "number": data["number"]})

    def tool_elicit(self, number: object, _: object, text: str, mode: str = "form") -> None:
        """Ask the user something; answers with what the client said."""
        params: dict = {"message": text}
        if mode == "url":
            params |= {
                "mode": "url",
                "elicitationId": text,
                "url": "https://weather.test/" + text.replace("#", "-"),
            }
        else:
            params["requestedSchema"] = {"type": "object", "properties": {"answer": {"type": "string"}}}
        self.ask(number, text, "elicitation/create", params)

    def tool_sample(self, number: object, _: object, text: str) -> None:
        """Ask the model something; answers with what the client said."""
        content = {"role": "user", "content": {"type": "text", "text": text}}
        self.ask(number, text, "sampling/createMessage", {"messages": [content], "maxTokens": 9})

    def tool_roots(self, number: object, _: object, text: str) -> None:
        """Ask for the roots; answers with what the client said."""
        self.ask(number, text, "roots/list", {"_meta": {"mark": text}})

    def tool_whoami(self, number: object, _: object) -> None:
        """The process as a value, and what it was told."""
        told = {"pid": os.getpid(), "handshakes": self.handshakes, "subscribed": sorted(self.subscribed)}
        self.value(number, {**told, "level": self.level})


def tool(name: str, wants: dict[str, str]) -> dict[str, object]:
    """A tool as it is listed."""
    properties = {key: {"type": kind} for key, kind in wants.items()}
    return {"name": name, "inputSchema": {"type": "object", "properties": properties}}


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError, KeyboardInterrupt):
        Weather().serve()
    os._exit(0)  # alarms that are still set have nobody to wake
