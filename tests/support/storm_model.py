"""The messages that each session of a storm may get, must get, and has got.

# Note [Two moments for each deed]
A server sends the messages of a call before it answers the call, so a message was sent, and passed on to its sessions,
between the sending of the call and the arrival of the answer.  A session's own state changes in the same way between a
request and its answer.  With both as intervals of the test's one clock, no judgement needs a margin:

- an update was *allowed* if the session may have been subscribed at some moment of the deed, and *owed* if it surely
  was at each moment of it.  So an update is allowed however late it is read, as long as its touch began before the
  answer to ``unsubscribe`` had come; and one whose touch began later is wrong on any stream;
- a log message was allowed if some level that may have been in force at some moment of the deed admits it, and the
  session may have had a call under way; nothing else tells whose it is;
- a change is owed to every session that is served by the same process.

If a crash has destroyed the answer of a request, the effect of the request stays possible until the next is answered.

# Note [What is owed]
Only sessions whose GET stream was open all the time are owed messages.  With event ids that includes times without a
connection, since the stream is resumed where it ended; without them, and when the gateway is killed, messages under way
are lost, and are owed no more.

While a connection is away one message for each topic (a resource, a list) waits for its return, so a later one on the
same topic pays the debt.  A session with an open stream at each moment of the deed is owed that very message.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from math import inf
from typing import Any

from attrs import Factory, define, field, frozen

from tests.support.harness.model import Model, clock

LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")
RESUMABLE = "2025-11-25"  # the first revision whose streams bear event ids
CHANGED = "notifications/tools/list_changed"
CHANGES = (CHANGED, "notifications/resources/list_changed")  # of what the server has declared
QUESTIONS = {"elicit": "elicitation/create", "sample": "sampling/createMessage", "roots": "roots/list"}
BACK = "list_changed after the restart"


@define(eq=False)
class Span:
    """From the request that began something to the answer that ended it."""

    asked: float
    answered: float = inf
    unasked: float = inf
    ended: float = inf


@define(eq=False)
class Setting:
    """One ``logging/setLevel``."""

    level: str
    asked: float
    answered: float = inf


@define(eq=False)
class Deed:
    """A touch, a change or a log message: something that a call makes the server tell.

    :ivar what: the resource that is touched, or the level of what is logged.
    :ivar topic: those who are away hear only the latest on it; empty if they hear all.
    :ivar number: grows from one message of the server's to the next.
    """

    mark: str
    doer: Member = field(repr=False)
    what: str
    topic: str
    begun: float
    done: float = inf
    number: int = 0


@frozen
class Debt:
    """Something that a session must hear.

    :ivar topic: where it is not empty, a message on it with a higher number will do.
    """

    since: float
    topic: str = ""
    number: int = 0


@define(eq=False)
class Call:
    """One request of a session, and what has come of it.

    :ivar id: as JSON has it, so that ``1`` and ``"1"`` are two.
    :ivar text: what its answer, its progress and its question have to name.
    :ivar judge: complains about a result, or returns nothing.
    :ivar may_fail: why an error is as good as a result, as far as anybody knows.
    :ivar epoch: of the gateway that it was sent to.
    :ivar begun: when it was sent.
    :ivar done: since when nothing more comes of it.
    """

    id: Any
    kind: str
    text: str
    judge: Callable[[Call, Any], str | None]
    token: Any = None
    steps: int = 0
    progress: int = 0
    answers: int = 0
    result: Any = None
    error: Any = None
    may_fail: str = ""
    question: str = ""
    epoch: int = 0
    begun: float = -inf
    done: float = inf

    @property
    def is_over(self) -> bool:
        """True once its answer has come."""
        return self.answers > 0


@define(eq=False)
class SessionsModel(Model):
    """All sessions of a storm.

    :ivar epoch: odd while the gateway is being killed, one more after it, so that a call knows what it lived through.
    """

    epoch: int = 0
    members: list[Member] = Factory(list)
    deeds: dict[str, Deed] = Factory(dict)
    questions: dict[str, Member] = Factory(dict)
    pids: dict[tuple[int, int], str] = Factory(dict)

    @property
    def kills(self) -> int:
        """The number of times that the gateway was killed."""
        return (self.epoch + 1) // 2

    def complain(self, who: str, what: str) -> None:
        """Note that something is wrong, and how often the gateway was killed until then."""
        super().complain(f"[{self.kills} kills] {who}", what)

    def is_explained(self, epoch: int) -> bool:
        """Return whether a request begun in that epoch may have been lost with a gateway."""
        return epoch != self.epoch or epoch % 2 == 1

    def killed(self) -> None:
        """The gateway is about to be killed: what is under way may be lost."""
        self.epoch += 1
        self.counts["kills"] += 1
        self.questions.clear()
        for each in self.members:
            each.interrupted()
            each.served_since = inf
            if each.is_here:
                each.owed[BACK] = Debt(clock())

    def begin(self, doer: Member, mark: str, *, what: str = "", topic: str = "") -> Deed:
        """Note that a client makes a server send a notification."""
        deed = self.deeds[mark] = Deed(mark, doer, what, topic, clock())
        return deed

    def touched(self, deed: Deed, number: int, *, is_said: bool) -> None:
        """A touch was answered; the server says whether anybody is subscribed there."""
        deed.done, deed.number = clock(), number
        near = [each for each in self.members if each.child == deed.doer.child]
        sure = [each for each in near if each.is_subscribed(deed.what, deed.begun, deed.done)]
        if sure and not is_said:
            self.complain(
                sure[0].name, f"is subscribed to {deed.what}, and its server does not know: {deed.mark}"
            )
        if is_said and not any(each.may_hear(deed.what, deed.begun, deed.done) for each in near):
            self.complain(deed.doer.child, f"is subscribed to {deed.what}, and no session is: {deed.mark}")
        for each in sure:
            each.owe(deed)

    def changed(self, deed: Deed, number: int, *, is_said: bool) -> None:
        """A change was answered."""
        deed.done, deed.number = clock(), number
        for each in self.members:
            if each.child == deed.doer.child:
                each.owe(deed)

    def logged(self, deed: Deed, number: int, *, is_said: bool) -> None:
        """A log message was answered; the server says whether its level admitted it."""
        deed.done, deed.number = clock(), number
        level = deed.doer.sure_level(deed.begun, deed.done)
        if level is None or LEVELS.index(level) > LEVELS.index(deed.what):
            return
        if not is_said:
            deed.doer.complain(f"has set {level}, and its server does not know: {deed.mark} at {deed.what}")
        else:
            deed.doer.owe(deed)


@define(eq=False)
class Member:
    """One session as the model sees it.

    :ivar child: who serves it: the name of a shared server, or its own name.
    :ivar is_here: from the answer to ``initialize`` until it wants to end.
    :ivar open_since: since when nothing can have been lost on its GET stream.
    :ivar there_since: since when that stream has been connected.
    :ivar served_since: since when the gateway, as it was started last, knows of it.
    :ivar owed: what it must hear, by its mark.
    :ivar latest: the number of the latest message on each topic that it has heard.
    :ivar resets: how often it has heard that a list may have changed because the server is another.
    :ivar busy: what is being changed, and must not be changed a second time meanwhile.
    :ivar pid: the process that served it last, and after how many kills that was.
    """

    model: SessionsModel = field(repr=False)
    name: str
    server: str
    is_own: bool
    version: str
    is_here: bool = False
    open_since: float = inf
    there_since: float = inf
    served_since: float = inf
    owed: dict[str, Debt] = Factory(dict)
    latest: dict[str, int] = Factory(dict)
    calls: dict[str, Call] = Factory(dict)
    spans: dict[str, list[Span]] = Factory(dict)
    settings: list[Setting] = Factory(list)
    heard: set[str] = Factory(set)
    resets: Counter[str] = Factory(Counter)
    event_ids: set[str] = Factory(set)
    questions: dict[str, str] = Factory(dict)
    taken_back: set[str] = Factory(set)
    born: float = field(init=False)
    born_after: int = field(init=False)
    pid: tuple[int, int] = (0, 0)
    busy: set[str] = Factory(set)

    def __attrs_post_init__(self) -> None:
        self.born, self.born_after = clock(), self.model.kills
        self.model.members.append(self)

    @property
    def child(self) -> str:
        """Which process serves it, by name."""
        return self.name if self.is_own else self.server

    @property
    def uris(self) -> tuple[str, str]:
        """Resources that no other session subscribes to."""
        return f"weather://{self.name}/a", f"weather://{self.name}/b"

    @property
    def is_resumable(self) -> bool:
        """True if its streams have event ids."""
        return self.version >= RESUMABLE

    def complain(self, what: str) -> None:
        """Something is wrong with this session."""
        self.model.complain(f"{self.name} ({self.server}, {self.version})", what)

    # What it is owed.

    def owe(self, deed: Deed) -> None:
        """Require the notification of an action, unless the session has it or could not get it."""
        if not self.is_here or deed.mark in self.heard or self.open_since > deed.begun:
            return
        topic = deed.topic if self.there_since > deed.begun else ""
        if not topic or self.latest.get(topic, 0) < deed.number:
            self.owed[deed.mark] = Debt(clock(), topic, deed.number)

    def opened(self) -> None:
        """A GET stream is open."""
        self.open_since = min(self.open_since, clock())
        self.there_since = min(self.there_since, clock())

    def away(self) -> None:
        """The connection of its GET stream is cut; what is said meanwhile is kept if the stream can be taken up."""
        self.there_since = inf
        if not self.is_resumable:
            self.interrupted()

    def interrupted(self) -> None:
        """Permit the loss of messages under way to it."""
        self.open_since = self.there_since = inf
        self.owed.clear()

    def was_served(self, epoch: int) -> None:
        """A gateway of that epoch has answered it."""
        if epoch == self.model.epoch:
            self.served_since = min(self.served_since, clock())

    # What it has said.

    def subscribes(self, uri: str) -> Span:
        """A ``resources/subscribe`` is sent."""
        span = Span(clock())
        self.spans.setdefault(uri, []).append(span)
        return span

    def unsubscribes(self, uri: str) -> list[Span]:
        """A ``resources/unsubscribe`` is sent; the spans that its answer ends."""
        still = [span for span in self.spans.get(uri, ()) if span.ended == inf]
        for span in still:
            span.unasked = min(span.unasked, clock())
        return still

    def ended(self) -> None:
        """Note that the end of the session was answered."""
        for spans in self.spans.values():
            for span in spans:
                span.ended = min(span.ended, clock())

    def ends(self) -> None:
        """Note that the end of the session is asked for."""
        self.is_here = False
        self.owed.clear()
        for uri in self.spans:
            self.unsubscribes(uri)

    def may_hear(self, uri: str, begun: float, done: float) -> bool:
        """Return whether it may have been subscribed at some moment."""
        return any(span.asked <= done and begun <= span.ended for span in self.spans.get(uri, ()))

    def is_subscribed(self, uri: str, begun: float, done: float) -> bool:
        """Return whether it was certainly subscribed at each moment."""
        return self.served_since <= begun and any(
            span.answered <= begun and done <= span.unasked for span in self.spans.get(uri, ())
        )

    def levels(self, begun: float, done: float) -> list[Setting]:
        """The settings one of which may have been in force at some moment; none stands for none so far."""
        sent = [each for each in self.settings if each.asked <= done]
        settled = [at for at, each in enumerate(sent) if each.answered <= begun]
        return sent[settled[-1] :] if settled else [Setting(LEVELS[0], -inf), *sent]

    def sure_level(self, begun: float, done: float) -> str | None:
        """The level that surely was in force at each moment, if it has ever set one."""
        levels = self.levels(begun, done)
        return levels[0].level if len(levels) == 1 and levels[0].answered <= begun else None

    def is_busy(self, begun: float, done: float) -> bool:
        """Return whether it may have had a call under way at some moment."""
        return any(call.begun <= done and begun <= call.done for call in self.calls.values())

    def served_by(self, pid: int, epoch: int) -> None:
        """A process of that id served it, with a gateway of that epoch."""
        kills, before = self.pid
        self.pid = (epoch // 2, pid)
        if self.pid[0] == kills and before not in {0, pid}:
            self.complain(f"was served by {before} and is served by {pid}, without a restart")
        if self.pid[0] > kills and before == pid:
            self.complain(f"is served by {pid}, that has survived the gateway")
        whose = self.model.pids.setdefault(self.pid, self.child)
        if whose != self.child:
            self.complain(f"is served by {pid}, as {whose} is")

    # What it hears.

    def hears(self, message: Any, call: Call | None, epoch: int) -> None:
        """Judge a message that a gateway of that epoch sent on the stream of a call, or on the GET stream."""
        self.model.counts[message.get("method", "answer")] += 1
        if message.get("jsonrpc") != "2.0":
            self.complain(f"heard what is no JSON-RPC: {message}")
        elif call is not None and call.is_over:
            self.complain(f"heard more after the answer to {call.text}: {message}")
        elif "method" not in message:
            self._hears_answer(message, call)
        elif "id" in message:
            self._hears_question(message)
        else:
            self._hears_notice(message["method"], message.get("params", {}), message, call)
        if message.get("method") == CHANGED and epoch == self.model.epoch:
            self.owed.pop(BACK, None)

    def _hears_answer(self, message: Any, call: Call | None) -> None:
        if call is None:
            self.complain(f"heard an answer on its GET stream: {message}")
            return
        call.answers += 1
        if json.dumps(message.get("id")) != json.dumps(call.id):
            self.complain(f"asked {call.text} as {call.id!r} and was answered {message}")
        elif "error" in message:
            call.error = message["error"]
            self._hears_error(call)
        else:
            call.result = message["result"]
            if call.progress != call.steps:
                self.complain(f"heard {call.progress} of {call.steps} steps of {call.text} before its answer")
            complaint = call.judge(call, call.result)
            if complaint:
                self.complain(f"asked {call.text} ({call.kind}) and was answered {complaint}")

    def _hears_error(self, call: Call) -> None:
        code, text = call.error.get("code"), call.error.get("message")
        if call.kind == "refuse" and (code, text) == (4711, call.text):
            return
        if self.model.is_explained(call.epoch) and text:
            return
        self.model.counts["calls cancelled"] += call.may_fail == "cancelled" and code == -32800
        if call.may_fail == "cancelled" and code != -32800:
            self.complain(f"cancelled {call.text} and was answered {call.error}")
        elif not call.may_fail or not text:
            self.complain(f"asked {call.text} ({call.kind}) and was answered {call.error}")

    def _hears_question(self, message: Any) -> None:
        method, number = message["method"], json.dumps(message["id"])
        text = question_text(message)
        call = self.calls.get(text)
        if call is None or QUESTIONS.get(call.kind) != method or not self.is_own:
            self.complain(f"was asked what it has no part in: {message}")
        elif call.question:
            self.complain(f"was asked a second time for {text}: {message}")
        elif number in self.questions:
            self.complain(f"was asked under the id of an earlier question: {message}")
        elif call.is_over and not call.may_fail:
            self.complain(f"was asked after the answer to {text}: {message}")
        else:
            call.question = number
        if self.model.questions.setdefault(number, self) is not self:
            self.complain(
                f"was asked under the id of a question to {self.model.questions[number].name}: {message}"
            )
        self.questions[number] = text

    def _hears_notice(self, method: str, params: Any, message: Any, call: Call | None) -> None:
        if method == "notifications/progress":
            self._hears_progress(params, message, call)
        elif method == "notifications/resources/updated":
            self._hears_deed(params.get("_meta", {}).get("mark"), message, self._may_update)
        elif method == "notifications/message":
            self._hears_deed((params.get("data") or {}).get("mark"), message, self._may_log)
        elif method == CHANGED and "_meta" in params:
            self._hears_deed(params["_meta"].get("mark"), message, self._may_know)
        elif method in CHANGES:
            self._hears_reset(method)
        elif method == "notifications/cancelled" and self.is_own:
            self.taken_back.add(json.dumps(params.get("requestId")))
        else:
            self.complain(f"heard {message}")

    def _hears_progress(self, params: Any, message: Any, call: Call | None) -> None:
        if call is None or json.dumps(call.token) != json.dumps(params.get("progressToken")):
            self.complain(f"heard progress that is not of {call and call.text}: {message}")
            return
        if params["progress"] < 1:
            return  # the gateway's own: the call waits for its turn
        call.progress += 1
        if (params["progress"], params["message"]) != (call.progress, f"{call.text} {call.progress}"):
            self.complain(f"heard {message} as step {call.progress} of {call.text}")

    def _hears_deed(self, mark: str, message: Any, may: Callable[[Deed, Any], bool]) -> None:
        deed = self.model.deeds.get(mark)
        if deed is None or deed.doer.child != self.child:
            self.complain(f"heard what nobody of its server has done: {message}")
        elif mark in self.heard:
            self.complain(f"heard twice: {message}")
        elif not may(deed, message["params"]):
            self.complain(
                f"heard what it may not: {message}, of {deed}, with {self.spans} and {self.settings}"
            )
        self.heard.add(mark)
        self.owed.pop(mark, None)
        if deed is not None and deed.topic:
            self._knows(deed.topic, number_of(message))

    def _knows(self, topic: str, number: int) -> None:
        self.latest[topic] = max(number, self.latest.get(topic, 0))
        for mark, debt in list(self.owed.items()):
            if debt.topic == topic and debt.number <= number:
                del self.owed[mark]

    def _may_update(self, deed: Deed, params: Any) -> bool:
        until = min(deed.done, clock())
        return params["uri"] == deed.what and self.may_hear(deed.what, deed.begun, until)

    def _may_log(self, deed: Deed, params: Any) -> bool:
        until = min(deed.done, clock())
        levels, rank = self.levels(deed.begun, until), LEVELS.index(deed.what)
        # Where the doer is leaving, nobody's call may have been under way when it was said, and all hear it then.
        is_near = self.is_busy(deed.begun, until) or not deed.doer.is_here
        is_admitted = any(LEVELS.index(each.level) <= rank for each in levels)
        return params["level"] == deed.what and is_near and is_admitted

    def _may_know(self, deed: Deed, params: Any) -> bool:
        return deed.topic == CHANGED and deed.done >= self.born

    def _hears_reset(self, method: str) -> None:
        self.resets[method] += 1
        self.model.counts["resets"] += 1
        self.model.counts["sessions that went on"] += self.resets.total() == 1
        kills = self.model.kills - self.born_after
        if self.resets[method] > kills:
            self.complain(f"heard {self.resets[method]} times {method} without a change, after {kills} kills")

    def hears_event(self, identifier: str) -> None:
        """Judge the id of an event."""
        if identifier in self.event_ids:
            self.complain(f"heard the event {identifier} twice")
        self.event_ids.add(identifier)

    def last_words(self) -> None:
        """Judge what can only be judged in the end."""
        for number in self.taken_back - set(self.questions):
            self.complain(f"was told that a question is cancelled that it was never asked: {number}")
        for call in self.calls.values():
            if not call.is_over and not call.may_fail:
                self.complain(f"was never answered {call.text} ({call.kind})")


def number_of(message: Any) -> int:
    """The number of what a server says unasked, or 0."""
    params = message.get("params", {})
    return int((params.get("_meta") or params.get("data") or {}).get("number", 0))


def question_text(message: Any) -> str:
    """Which call a server's question names."""
    params = message.get("params", {})
    if message["method"] == "sampling/createMessage":
        return str(params["messages"][0]["content"]["text"])
    return str(params.get("message") or params.get("_meta", {}).get("mark"))
