"""Validate a server before its use: start it, list its tools, ping it, stop it.

# Note [What connecting is]
Connecting begins when the server's program starts, and ends with its first answer; a server that refuses one era is
asked in the other within the same time limit.  The program cannot start before its package or image is there: the
download is a step of its own, which is reported if it takes longer than `FETCH_SHOWN_S`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Coroutine
from typing import Any

from attrs import evolve, field, frozen
from msgspec import Raw
from twisted.internet import defer
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from mcpgateway import __version__
from mcpgateway.backends.conversation import Conversation
from mcpgateway.backends.tape import Tape
from mcpgateway.backends.validation_advice import advice_on
from mcpgateway.config.model import ServerSpec
from mcpgateway.config.reach_settings import Remote, Rest
from mcpgateway.discovery.records import Item, ListKind, read_items
from mcpgateway.discovery.tokens import estimate
from mcpgateway.errors import (
    BackendTimeout,
    GatewayError,
    HandshakeFailed,
    LaunchFailed,
    NeedsAuthorization,
    NotAServer,
    UnknownMethod,
)
from mcpgateway.interfaces import Gone, ILauncher, Launch, Request
from mcpgateway.policy.secrets.masking import secrets_of
from mcpgateway.policy.secrets.redaction import quoted
from mcpgateway.protocol import jsonrpc, legacy, modern, peek
from mcpgateway.protocol.jsonrpc import Envelope
from mcpgateway.protocol.versions import LATEST_MODERN, Era
from mcpgateway.units import duration

CONNECT_S, LIST_S, PING_S, CLOSE_S = 10.0, 5.0, 5.0, 5.0
TIMEOUT_S = 30.0
FETCH_SHOWN_S = 1.0  # a faster download is reported as part of connecting
STDERR_SHOWN = 10  # lines
PAGES_LIMIT = 1000  # of a list that does not end

PROCESS, EXITED, UNREACHABLE, TIMED_OUT, POLLUTED, NEEDS_LOGIN, PROTOCOL = (
    "process error",
    "exited unexpectedly",
    "unreachable",
    "timeout",
    "possible stdout pollution (non-JSON-RPC output detected)",
    "needs login",
    "protocol error",
)
FAULTS = (PROCESS, EXITED, UNREACHABLE, TIMED_OUT, POLLUTED, NEEDS_LOGIN)
"""The first words of the faults that users are told; every other fault counts as one of the protocol."""


@frozen
class ValidationStep:
    """One step of a validation.

    :ivar detail: the finding, or the fault.
    :ivar why: the error of a failed step, if it was one of the gateway's own.
    :ivar fault: kind of the fault; empty for a passed step.
    :ivar advice: the remedy; empty for none.
    """

    name: str
    passed: bool
    elapsed_s: float
    detail: str
    why: GatewayError | None = None
    fault: str = ""
    advice: str = ""


@frozen
class ValidationReport:
    """The steps of a validation, in order; it ends after a failure to connect.

    :ivar tools: the names of the listed tools.
    :ivar items: these tools with their definitions.
    :ivar tool_tokens: the size of their definitions in a model's context.
    :ivar words: the end of the server's output on stderr.
    """

    server: str
    steps: tuple[ValidationStep, ...]
    tools: tuple[str, ...] = ()
    tool_tokens: int = 0
    words: str = field(default="", repr=False)
    items: tuple[Item, ...] = field(default=(), repr=False)

    @property
    def passed(self) -> bool:
        """Return whether all steps have passed."""
        return all(step.passed for step in self.steps)

    def shown(self) -> dict[str, Any]:
        """Return the report as JSON."""
        steps = [
            {
                "step": step.name,
                "passed": step.passed,
                "elapsed_s": round(step.elapsed_s, 3),
                "detail": step.detail,
                **({"class": step.fault} if step.fault else {}),
                **({"advice": step.advice} if step.advice else {}),
            }
            for step in self.steps
        ]
        return {
            "server": self.server,
            "passed": self.passed,
            "steps": steps,
            "tools": list(self.tools),
            "tool_tokens": self.tool_tokens,
            "stderr": self.words.splitlines()[-STDERR_SHOWN:],
        }


def without_secrets(report: ValidationReport, server: ServerSpec) -> ValidationReport:
    """Return a report without the server's secrets; the last lines of its stderr often repeat its environment."""
    reach = server.reach
    headers = dict(reach.headers) if isinstance(reach, Remote | Rest) else {}
    if isinstance(reach, Rest):
        headers |= reach.credentials
    hidden = secrets_of({**server.env, **headers}, server.command)

    def told(step: ValidationStep) -> ValidationStep:
        return evolve(step, detail=quoted(step.detail, hidden), advice=quoted(step.advice, hidden))

    return evolve(report, steps=tuple(map(told, report.steps)), words=quoted(report.words, hidden))


def validate(
    server: ServerSpec,
    launcher: ILauncher,
    clock: IReactorTime,
    timeout_s: float = TIMEOUT_S,
    connect_s: float = CONNECT_S,
) -> Deferred[ValidationReport]:
    """Validate a server of any kind; fires with the report when none of its processes runs, and never fails.

    :param timeout_s: seconds for all steps but the stop; each step has a limit of its own too.
    :param connect_s: seconds for connecting; see Note [What connecting is].
    """
    return Deferred.fromCoroutine(_Trial(server, launcher, clock, timeout_s, connect_s).run())


class _Failed(Exception):
    """A step has failed; the text says how."""


class _Trial:
    """One server under validation; its own messages are ignored."""

    def __init__(
        self,
        server: ServerSpec,
        launcher: ILauncher,
        clock: IReactorTime,
        timeout_s: float,
        connect_s: float,
    ) -> None:
        self._server = server
        self._launcher = launcher
        self._clock = clock
        self._ends = clock.seconds() + timeout_s
        self._connect_s = connect_s
        self._connect_ends = math.inf
        self._steps: list[ValidationStep] = []
        self._conversation: Conversation | None = None
        self._hello: Envelope = {}
        self._gone: Gone | None = None
        self._tape: Tape | None = None
        self._tools: list[str] = []
        self._tokens = 0
        self._pages: list[Raw] = []
        self._words = ""

    async def run(self) -> ValidationReport:
        """Run the steps; return the report."""
        fetched = await self._step("fetch", self._fetch)
        if fetched and self._steps[0].elapsed_s < FETCH_SHOWN_S:
            self._steps.clear()
        passed = fetched and await self._step("connect", self._connect)
        if passed:
            await self._step("list_tools", self._list_tools)
            await self._step("ping", self._ping)
            self._words = self._said()
            await self._step("close", self._close)
        else:
            await self._leave()
        return ValidationReport(
            self._server.name,
            tuple(self._steps),
            tuple(self._tools),
            self._tokens,
            self._words,
            read_items(self._server.name, ListKind.TOOL, self._pages),
        )

    def _said(self) -> str:
        backend = self._conversation.backend if self._conversation is not None else None
        return backend.stderr_tail() if backend is not None else ""

    async def _step(self, name: str, work: Callable[[], Any]) -> bool:
        began = self._clock.seconds()
        error: GatewayError | None = None
        advice = ""
        try:
            passed, detail = True, await work()
        except _Failed as why:
            passed, detail = False, str(why)
        except GatewayError as why:
            passed, detail, error = False, self._explained(why), why
            if name == "connect":
                advice = self._advice(why)
        fault = "" if passed else next((each for each in FAULTS if detail.startswith(each)), PROTOCOL)
        self._steps.append(
            ValidationStep(name, passed, self._clock.seconds() - began, detail, error, fault, advice)
        )
        return passed

    async def _within(self, limit_s: float, wait: Deferred[Any]) -> Any:
        left = max(0.0, min(limit_s, self._ends - self._clock.seconds()))
        wait.addTimeout(left, self._clock)
        try:
            return await wait
        except (defer.TimeoutError, defer.CancelledError):
            raise BackendTimeout(f"{TIMED_OUT}: no answer within {duration(left)}") from None

    # The steps.

    async def _fetch(self) -> str:
        server = self._server
        launch = Launch(server.name, server.command, server.env, server.cwd, server.reach)
        prepared = await self._within(math.inf, self._launcher.prepare(launch))
        return f"{prepared.argv[0]} is there" if prepared.argv != launch.argv else ""

    async def _connect(self) -> str:
        self._connect_ends = self._clock.seconds() + self._connect_s
        chosen = self._server.protocol
        if chosen is not None:
            return await self._meet(chosen)
        try:
            return await self._meet(Era.LEGACY)
        except NotAServer:
            raise
        except HandshakeFailed as why:  # the server has answered, if only with an error for an unknown method
            first = why.message
        try:
            await self._connecting(_waited(self._leave()))
            return await self._meet(Era.MODERN)
        except GatewayError as why:
            second = self._explained(why)
            is_told = second.startswith(FAULTS)  # a named fault says more than a refusal, and comes first
            reasons = (
                f"{second}; in the other era: {first}" if is_told else f"{first}; in the other era: {second}"
            )
            raise _Failed(reasons) from why

    async def _connecting(self, wait: Deferred[Any]) -> Any:
        return await self._within(self._connect_ends - self._clock.seconds(), wait)

    async def _leave(self) -> None:
        if self._conversation is not None and self._conversation.backend is not None:
            await self._conversation.backend.stop()

    async def _meet(self, era: Era) -> str:
        server = self._server
        self._gone = None
        self._conversation = None
        launch = Launch(server.name, server.command, server.env, server.cwd, server.reach, era)
        launch = await self._connecting(self._launcher.prepare(launch))
        self._tape = Tape(self._clock.seconds)
        self._conversation = conversation = Conversation(server.name, self, self._ended, era, self._tape)
        conversation.backend = self._launcher.launch(launch, conversation)
        is_legacy = era is Era.LEGACY
        greeting = legacy.shared_params(__version__) if is_legacy else modern.own_meta(__version__)
        self._hello = await self._connecting(conversation.handshake(greeting))
        return self._introduced(era)

    def _introduced(self, era: Era) -> str:
        hello = self._hello
        if era is Era.LEGACY:
            revision, info = peek.text(hello, "protocolVersion"), peek.members(hello, "serverInfo")
        else:
            revision = LATEST_MODERN
            info = peek.members(peek.members(hello, "_meta"), modern.SERVER_INFO_KEY)
        name, version = peek.text(info, "name") or "a server without a name", peek.text(info, "version") or ""
        strays = self._conversation.strays if self._conversation is not None else 0
        polluted = f"; {strays} lines on stdout that are not JSON-RPC" if strays else ""
        return f"{name} {version}".strip() + f", protocol {revision}{polluted}"

    async def _list_tools(self) -> str:
        if "tools" not in legacy.capabilities(self._hello):
            return "0 tools (it offers none)"
        ends = self._clock.seconds() + LIST_S
        cursor = None
        for _ in range(PAGES_LIMIT):
            params: dict[str, Any] = {} if cursor is None else {"cursor": cursor}
            result = await self._asked("tools/list", params, ends - self._clock.seconds())
            try:
                listed = jsonrpc.read_list(result["tools"], "tools")
            except (KeyError, GatewayError):
                raise _Failed("the answer to tools/list has no list of tools") from None
            self._pages.append(jsonrpc.raw(result))
            names = (peek.text(peek.members({"tool": each}, "tool"), "name") for each in listed)
            self._tools += [each or "" for each in names]
            self._tokens += sum(estimate(bytes(each)) for each in listed)
            cursor = result.get("nextCursor")
            if cursor is None or bytes(cursor) == b"null":
                return f"{len(self._tools)} tools"
        raise _Failed(f"the list of tools does not end within {PAGES_LIMIT} pages")

    async def _ping(self) -> str:
        is_modern = self._conversation is not None and self._conversation.era is Era.MODERN
        method = modern.DISCOVER if is_modern else "ping"
        await self._asked(method, {}, PING_S)
        return method if is_modern else ""

    async def _asked(self, method: str, params: dict[str, Any], limit_s: float) -> Envelope:
        assert self._conversation is not None
        reply = await self._within(limit_s, self._conversation.ask(method, params))
        if "error" in reply:
            raise _Failed(f"{method} was answered with an error: {legacy.error_text(reply['error'])}")
        try:
            return jsonrpc.read_object(reply["result"], "result")
        except GatewayError:
            raise _Failed(f"{method} was answered with something that is no result") from None

    async def _close(self) -> str:
        assert self._conversation is not None
        assert self._conversation.backend is not None
        if self._gone is not None:
            await self._conversation.backend.stop()
            return "it had ended already"
        began = self._clock.seconds()
        await self._conversation.backend.stop()
        if self._clock.seconds() - began > CLOSE_S:
            raise _Failed(f"it did not end within {CLOSE_S:g} s and was killed")
        return str(self._gone) if self._gone is not None else ""

    # What goes wrong.

    def _explained(self, why: GatewayError) -> str:
        conversation, gone = self._conversation, self._gone
        hint = (
            f"; {gone.error.hint}" if gone is not None and gone.error is not None and gone.error.hint else ""
        )
        if gone is not None and isinstance(gone.error, NeedsAuthorization):
            return f"{NEEDS_LOGIN}: {gone}{hint}"
        if gone is not None and (gone.is_unreachable or gone.error is not None):
            return f"{UNREACHABLE} ({gone}){hint}"  # not started by the gateway, so it has no exit code
        if gone is not None:
            tail = "\n".join(gone.last_words.splitlines()[-STDERR_SHOWN:])
            return f"{EXITED} ({gone})" + (f"\n{tail}" if tail else "")
        if isinstance(why, LaunchFailed):
            return f"{PROCESS}: {why.message}"
        if isinstance(why, BackendTimeout) and conversation is not None and conversation.strays:
            return f"{POLLUTED}; {why.message}"
        return why.message

    def _advice(self, why: GatewayError) -> str:
        if self._server.reach is not None:
            return ""  # an address, whose errors have advice of their own
        stray = self._tape.stray().decode(errors="replace").strip() if self._tape is not None else ""
        return advice_on(self._server, why, self._gone, stray)

    def _ended(self, conversation: Conversation, why: Gone) -> None:
        if conversation is self._conversation:
            self._gone = why

    # Messages of the server that are no answers.

    def noticed(self, backend: Any, method: str, message: Envelope) -> None:
        """Ignore a notification."""

    def asked(self, backend: Any, method: str, message: Envelope) -> None:
        """Refuse a question: there is no client."""
        backend.reply(message, UnknownMethod(f"Method not found: {method}"))

    def progressed(self, backend: Any, number: int, params: Envelope, message: Envelope) -> None:
        """Ignore progress."""

    def refused(self, backend: Any, request: Request, error: Raw) -> None:
        """An error that `_asked` reports."""

    def failed(self, backend: Any, result: Raw) -> None:
        """Ignore a failed tool: none is called."""


def _waited(work: Coroutine[Any, Any, None]) -> Deferred[None]:
    # A step that has exceeded its time limit goes on in the background.
    done: Deferred[None] = Deferred()
    Deferred.fromCoroutine(work).addBoth(done.callback)
    return done
