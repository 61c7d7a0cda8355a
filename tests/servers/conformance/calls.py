"""Calls at work, and how each of them asks the client something.

The tools are written once.  How a question gets to the client differs: in the era with a handshake it is a request of
ours (``Pushed``); in the modern era it is the result of the call, which the client repeats with the answers
(``Rounds``); and in a task it waits to be fetched (``tasks.Task``).
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Mapping
from typing import Protocol

from wire import INVALID_PARAMS, MISSING_CAPABILITY, Cancelled, Failed, Pipe, Refused, key

LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")
CAPABILITIES = {  # what a client must have declared to be asked this
    "elicitation/create": "elicitation",
    "sampling/createMessage": "sampling",
    "roots/list": "roots",
}
ANSWER_LIMIT_S = 30  # a client that has not answered our request by then never will
SEAL = b"no secret, so that every process of this server knows its own state again"


class Asks(Protocol):
    """A way to ask the client something; the questions and the answers go by the same keys."""

    def ask(self, questions: Mapping[str, dict]) -> dict[str, dict]:
        """The client's answers."""


class Call:
    """A call of a tool, prompt or resource: its parameters, and what it may do before it is answered.

    :ivar offers: what the client can do.
    :ivar level: the lowest level of messages that it wants to see, or none.
    """

    def __init__(self, pipe: Pipe, params: dict, asks: Asks, offers: Mapping, level: str | None) -> None:
        self.pipe = pipe
        self.params = params
        self.arguments = params.get("arguments") or {}
        self.token = (params.get("_meta") or {}).get("progressToken")
        self.asks = asks
        self.offers = offers
        self.level = level
        self.cancelled = threading.Event()

    def progressed(self, progress: int) -> None:
        """Report progress, if the caller wants to hear of it."""
        if self.token is not None:
            params = {"progressToken": self.token, "progress": progress, "total": 100}
            self.pipe.notify("notifications/progress", params)

    def log(self, level: str, data: str) -> None:
        """Log to the client what it wants to see."""
        if self.level in LEVELS and LEVELS.index(level) >= LEVELS.index(self.level):
            params = {"level": level, "logger": "conformance", "data": data}
            self.pipe.notify("notifications/message", params)

    def pause(self, seconds: float) -> None:
        """Wait, unless the call is cancelled."""
        if self.cancelled.wait(seconds):
            raise Cancelled

    def ask(self, name: str, method: str, **params: object) -> dict:
        """The client's answer to one question."""
        return self.asks.ask({name: {"method": method, "params": params}})[name]

    def needs(self, capability: str) -> None:
        """Refuse to go on for a client that cannot do this."""
        if capability not in self.offers:
            raise missing({capability: {}})


class Calls:
    """The calls at work, each in a thread of its own, since some of them wait."""

    def __init__(self, pipe: Pipe) -> None:
        self.pipe = pipe
        self.at_work: dict[str, Call] = {}

    def start(self, number: object, call: Call, work: Callable[[Call], dict]) -> None:
        """Answer a request with what the work returns."""
        self.at_work[key(number)] = call
        threading.Thread(target=self._run, args=(number, call, work), daemon=True).start()

    def cancel(self, number: object) -> None:
        """Answer this request no more."""
        call = self.at_work.pop(key(number), None)
        if call is not None:
            call.cancelled.set()

    def _run(self, number: object, call: Call, work: Callable[[Call], dict]) -> None:
        try:
            response = {"result": work(call)}
        except Cancelled:
            return
        except Refused as why:
            response = {"error": why.error}
        if self.at_work.pop(key(number), None) is call:
            self.pipe.say(id=number, **response)


class Question:
    """A request of ours that the client has yet to answer."""

    def __init__(self) -> None:
        self.answered = threading.Event()
        self.response: dict = {}


class Pushed:
    """Asks with requests of our own, as one does in the era with a handshake."""

    def __init__(self, pipe: Pipe) -> None:
        self.pipe = pipe
        self.client: dict = {}
        self.counting = threading.Lock()
        self.counted = 0
        self.asked: dict[str, Question] = {}

    def ask(self, questions: Mapping[str, dict]) -> dict[str, dict]:
        """The client's answers, asked for one after the other."""
        return {name: self._ask(each["method"], each["params"]) for name, each in questions.items()}

    def _ask(self, method: str, params: dict) -> dict:
        capability = CAPABILITIES[method]
        if capability not in self.client:
            raise Failed(f"The client does not support {capability}.")
        question = Question()
        with self.counting:
            self.counted += 1
            number = f"conformance-{self.counted}"
            self.asked[number] = question
        self.pipe.say(id=number, method=method, params=params)
        if not question.answered.wait(ANSWER_LIMIT_S):
            self.asked.pop(number, None)
            raise Failed(f"The client did not answer {method}.")
        if "error" in question.response:
            raise Failed(f"The client refused {method}: {question.response['error'].get('message')}")
        return question.response.get("result", {})

    def answered(self, message: dict) -> None:
        """The client answered a request of ours."""
        question = self.asked.pop(message.get("id"), None)
        if question is not None:
            question.response = message
            question.answered.set()


class InputRequired(Exception):
    """The call has to be repeated with answers to these questions."""

    def __init__(self, questions: Mapping[str, dict], state: str | None) -> None:
        super().__init__(*questions)
        self.result = {"resultType": "input_required", "inputRequests": dict(questions)}
        if state is not None:
            self.result["requestState"] = state


class Rounds:
    """Asks with the result of the call, which the client repeats with the answers.

    What was answered in earlier rounds travels in the state, sealed together with the name of what was called.

    :ivar sealed: whether there is a state even when nothing was answered yet.
    """

    def __init__(self, params: dict, offers: Mapping) -> None:
        self.called = params.get("name") or params.get("uri") or ""
        self.offers = offers
        self.sealed = False
        self.answers = self._opened(params.get("requestState"))
        given = params.get("inputResponses", {})
        if not isinstance(given, dict):
            raise Refused(INVALID_PARAMS, "inputResponses must be an object")
        self.given = given

    def ask(self, questions: Mapping[str, dict]) -> dict[str, dict]:
        """The client's answers, if it has sent them; what it cannot answer is refused."""
        lacking = {CAPABILITIES[each["method"]]: {} for each in questions.values()}
        lacking = {name: each for name, each in lacking.items() if name not in self.offers}
        if lacking:
            raise missing(lacking)
        for name, each in questions.items():
            if is_answer(each["method"], self.given.get(name)):
                self.answers[name] = self.given[name]
        open_ones = {name: each for name, each in questions.items() if name not in self.answers}
        if open_ones:
            raise InputRequired(open_ones, self._state())
        return {name: self.answers[name] for name in questions}

    def _state(self) -> str | None:
        if not self.sealed and not self.answers:
            return None
        body = base64.urlsafe_b64encode(json.dumps(self.answers).encode()).decode()
        return f"{body}.{self._seal(body)}"

    def _opened(self, state: object) -> dict[str, dict]:
        if state is None:
            return {}
        body, _, seal = str(state).partition(".")
        if seal != self._seal(body):
            raise Refused(INVALID_PARAMS, "requestState is not as it was given out")
        return json.loads(base64.urlsafe_b64decode(body))

    def _seal(self, body: str) -> str:
        import hmac  # slow to import, and most calls have no state

        return hmac.new(SEAL, f"{self.called}\n{body}".encode(), "sha256").hexdigest()


def is_answer(method: str, answer: object) -> bool:
    """Return whether a client may answer such a question so."""
    if not isinstance(answer, dict):
        return False
    if method == "elicitation/create":
        return answer.get("action") in {"accept", "decline", "cancel"}
    return ("content" if method == "sampling/createMessage" else "roots") in answer


def missing(capabilities: dict) -> Refused:
    """Return the refusal of a client that lacks capabilities."""
    data = {"requiredCapabilities": capabilities}
    return Refused(MISSING_CAPABILITY, "The client lacks a required capability", data)
