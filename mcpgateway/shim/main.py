"""The server that a client starts: it finds the gateway and relays, or gives way to the original server."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # the builtin half of signal, which would load enum and more
import posix

from mcpgateway.hints import cli
from mcpgateway.shim import jsontext, locations
from mcpgateway.shim.arguments import Arguments, Mistake, read
from mcpgateway.shim.loop import Loop, Timer
from mcpgateway.shim.messages import Line
from mcpgateway.shim.pipe import Pipe
from mcpgateway.shim.startup import LOG, Starter, last_words
from mcpgateway.shim.stdio import Input, Output, Remarks
from mcpgateway.shim.upgrade import request_of

FAIL_OPEN_S = 1.0  # the wait for the gateway, where an original can be run instead
START_S = 15.0  # the same where there is none
GOODBYE_S = 1.0
PENDING_S = 30.0  # for requests under way when the client has closed stdin
FLUSH_S = 5.0
ASKED_S = 1.0  # a client that has waited for the shim has sent its request long before

# With this variable a gateway marks the environment of its children.
CHILD_OF_A_GATEWAY = "MCPGATEWAY_INSTANCE"

PROGRAM = "mcpgateway"
READY = "__MCP_GATEWAY_STDIO_READY__"  # awaited by wrappers of other gateways; on stderr

NOT_FOUND = 404
UNDECIDED, RELAY, ORIGINAL, FAILED, LEFT = range(5)


def main(argv: list[str], *, ignores_interrupts: bool) -> int:
    """Run the shim, and return its exit code.

    :param ignores_interrupts: SIGINT was ignored when this program was started.
    """
    _signal.signal(_signal.SIGINT, _signal.SIG_IGN)
    original = argv[argv.index("--") + 1 :] if "--" in argv else []
    remarks = Remarks(PROGRAM)
    try:
        arguments = read(argv)
        remarks = Remarks(arguments.server or PROGRAM)
        shim = Shim(arguments, locations.environment(), ignores_interrupts=ignores_interrupts)
        shim.seek()
    except (Mistake, locations.Unusable) as why:
        complaint = str(why)
    except Exception as why:  # noqa: BLE001  # nothing has been read yet, so the original can still serve the client
        complaint = f"{type(why).__name__}: {why}"
    else:
        return shim.run()
    return go_without(original, complaint, remarks, ignores_interrupts=ignores_interrupts)


def go_without(
    original: list[str], complaint: str, remarks: Remarks, *, ignores_interrupts: bool, reason: str = ""
) -> int:
    """Run the original in the shim's place before anything has been read, or tell the client why there is no server.

    :param reason: details beyond the complaint.
    :return: the exit code, where there is no original that can be run.
    """
    code = 1
    whole = f"{complaint}: {reason}" if reason else complaint
    if original:
        from mcpgateway.shim.fallback import become

        remarks.say(f"{whole}; running the original command instead")
        code = become(original, ignores_interrupts=ignores_interrupts)
        remarks.say(f"the original command cannot be run: {original[0]}")
        complaint = whole = f"Cannot run {original[0]}"
    else:
        remarks.say(whole)
    _refuse(complaint, whole)
    return code


def _refuse(complaint: str, whole: str) -> None:
    """Report the missing server once, and as the error of every request that arrives at once."""
    loop = Loop()
    output = Output(loop, _nothing, loop.stop)
    output.say(jsontext.error(jsontext.NULL, complaint, detail="" if whole == complaint else whole))

    def line(text: bytes) -> None:
        try:
            asked = Line(text).ids
        except jsontext.Unreadable:
            return
        for each in asked:
            output.say(jsontext.error(each, whole))
            loop.stop()

    asking = Input(loop, line, loop.stop, loop.stop)
    loop.later(ASKED_S, loop.stop)
    try:
        asking.resume()
        loop.run()
    except OSError:
        return  # stdin cannot be polled
    finally:
        output.flush(FLUSH_S)


def _nothing() -> None:
    """Ignore the event."""


class Shim:
    """One run of the shim for one client."""

    def __init__(self, arguments: Arguments, environ: dict[str, str], *, ignores_interrupts: bool) -> None:
        self._server = arguments.server
        self._original = arguments.original
        self._ignores_interrupts = ignores_interrupts
        self._loop = loop = Loop()
        self._says_ready = arguments.says_ready
        self._remarks = Remarks(arguments.server or PROGRAM)
        url = arguments.url or locations.variable(environ, locations.URL_VARIABLE)
        home = "" if url else locations.gateway_home(environ, arguments.home)
        address = locations.address_of(environ, home, url)
        token = locations.token_of(
            arguments.token_file,
            "" if address.is_own else locations.variable(environ, locations.TOKEN_VARIABLE),
        )
        request = request_of(address, arguments.server, token, arguments.view, arguments.project)
        starter = Starter(home) if address.is_own else None
        self._client = ClientSide(self, loop)
        patience = arguments.patience_s
        # A gateway that its user has stopped does not come back by itself, as one that has failed does.
        stopped = min(patience, FAIL_OPEN_S) if self._original else patience
        self._pipe = self._client.pipe = Pipe(
            loop, address, request, starter, self._client, self._remarks, (patience, stopped)
        )
        self._fate = UNDECIDED
        self._is_signalled = False
        self._complaint = f"Failed to start {self._server or PROGRAM} daemon"
        self._reason = ""
        self._home = home if address.is_own else ""
        self._deadline: Timer | None = None
        self._is_circle = CHILD_OF_A_GATEWAY in environ

    def seek(self) -> None:
        """Find out whether a gateway answers; nothing is read from the client before that is known."""
        self._loop.on_signals((_signal.SIGTERM, _signal.SIGHUP), self._signalled)
        if self._is_circle:
            # A gateway that reads this entry in a client's file starts the original behind it; without an original it
            # would send requests to itself, for ever.
            self._complaint = "This was started by a gateway, and would lead back to it"
            self._decide(ORIGINAL if self._original else FAILED)
        else:
            self._seek()
        if self._fate == UNDECIDED:
            self._loop.run()

    def run(self) -> int:
        """Relay until the client has ended, and return the exit code."""
        if self._fate == RELAY:
            self._client.begin()
            if self._says_ready:
                self._remarks.write(READY)
            self._loop.run()
        return self._end()

    def _seek(self) -> None:
        patience = FAIL_OPEN_S if self._original else START_S
        self._deadline = self._loop.later(patience, self._decide_without)
        self._pipe.seek(0.0)

    def _end(self) -> int:
        if self._fate in (ORIGINAL, FAILED):
            self._pipe.close()
            return go_without(
                self._original,
                self._complaint,
                self._remarks,
                ignores_interrupts=self._ignores_interrupts,
                reason=self._reason,
            )
        if self._client.fallback is not None:
            return self._fallback_ended()
        # A client that has closed stdin may still read; one that has sent a signal does not.
        is_patient = self._client.has_left and not self._is_signalled
        self._client.output.flush(PENDING_S if is_patient else GOODBYE_S)
        return 0

    # The gateway's state

    def found(self) -> None:
        """Record that the gateway answers and knows the server."""
        self._decide(RELAY)

    def refused(self, status: int, why: str) -> None:
        """Record that the gateway answers and refuses the connection."""
        if self._fate == RELAY:
            if status == NOT_FOUND:
                self.deserted()
            return
        self._complaint = f"Unknown server: {self._server}" if status == NOT_FOUND and self._server else why
        self._decide(ORIGINAL if self._original else FAILED)

    def _decide_without(self) -> None:
        if self._home:
            hint = f"see {self._home}/logs/{LOG}, or run: {cli('doctor')}"
            self._reason = "; ".join(filter(None, (last_words(self._home), hint)))
        self._decide(ORIGINAL if self._original else FAILED)

    def _decide(self, fate: int) -> None:
        if self._fate != UNDECIDED:
            return
        self._fate = fate
        if self._deadline is not None:
            self._deadline.cancel()
        self._loop.stop()

    # The end

    def _signalled(self, number: int) -> None:
        self._is_signalled = True
        fallback = self._client.fallback
        if fallback is not None:
            fallback.signal(number)
        elif self._fate == UNDECIDED:
            self._decide(LEFT)
        else:
            self.leave()

    def leave(self) -> None:
        """End the session and the program."""
        if self._fate == LEFT:
            return
        self._fate = LEFT
        self._client.input.pause()
        if self._pipe.leave():
            self._loop.later(GOODBYE_S, self._loop.stop)
        else:
            self._loop.stop()

    def deserted(self) -> None:
        """Let the original replace a gateway that cannot be used any more, where there is an original."""
        if self._original and self._client.fallback is None:
            from mcpgateway.shim.fallback import FallbackProcess

            self._remarks.say(
                "the gateway or its server does not come back; the original command goes on in its place"
            )
            pipe = self._pipe
            lines = pipe.waiting()
            pipe.abandon()
            fallback = FallbackProcess(
                self._loop, self._original, self._client.output, ignores_interrupts=self._ignores_interrupts
            )
            fallback.replay_handshake(pipe.hello, pipe.initialized)
            # The repeated handshake may be waiting for the gateway as well.
            initialized = pipe.initialized if pipe.hello is not None else None
            self._client.replaced(fallback, [each for each in lines if each is not initialized])
            self._loop.stop()

    def _fallback_ended(self) -> int:
        fallback = self._client.fallback
        assert fallback is not None
        status = fallback.run()
        self._client.output.flush(FLUSH_S)
        if posix.WIFSIGNALED(status):
            number = posix.WTERMSIG(status)
            if number != _signal.SIGKILL:
                _signal.signal(number, _signal.SIG_DFL)
            posix.kill(posix.getpid(), number)
        return posix.WEXITSTATUS(status)


TYPE_CHECKING = False
if TYPE_CHECKING:
    from mcpgateway.shim.fallback import FallbackProcess


class ClientSide:
    """The pipe's client: it relays lines both ways, neither faster than the other side reads them.

    :ivar fallback: the original, once it has replaced the gateway.
    :ivar has_left: the client has closed the shim's stdin.
    """

    pipe: Pipe

    def __init__(self, shim: Shim, loop: Loop) -> None:
        self._shim = shim
        self._loop = loop
        self._has_begun = False
        self.has_left = False
        self.fallback: FallbackProcess | None = None
        self.input = Input(loop, self._line, self._too_long, self._ended)
        self.output = Output(loop, self._relieved, self._closed)

    def begin(self) -> None:
        """Begin to read from the client."""
        self._has_begun = True
        self.output.begin()
        self.input.resume()

    def replaced(self, fallback: FallbackProcess, lines: list[Line]) -> None:
        """Pass the client's unanswered and later lines to the original."""
        self.input.pause()
        fallback.take(lines, bytes(self.input.rest))
        self.fallback = fallback

    def say(self, message: bytes) -> None:
        """Send one message to the client."""
        self.output.say(message)
        if self.output.is_behind:
            self.pipe.hold(is_held=True)

    def hold(self, *, is_held: bool) -> None:
        """Pause or resume reading from the client."""
        if self.fallback is not None or not self._has_begun:
            return
        if is_held:
            self.input.pause()
        else:
            self.input.resume()

    def found(self) -> None:
        """Report that the gateway answers and knows the server."""
        self._shim.found()

    def refused(self, status: int, why: str) -> None:
        """Report that the gateway refuses the connection: the server is unknown, or the client is not allowed."""
        self._shim.refused(status, why)

    def idle(self) -> None:
        """End the program if the client has left, since no request is under way."""
        if self.has_left:
            self._shim.leave()

    def deserted(self) -> None:
        """Report that the gateway did not come back in time, or without the server."""
        self._shim.deserted()

    def _line(self, line: bytes) -> None:
        self.pipe.line(line)

    def _too_long(self) -> None:
        self.say(jsontext.error(jsontext.NULL, "Parse error: the line is too long", jsontext.PARSE_ERROR))

    def _ended(self) -> None:
        self.has_left = True
        if self.pipe.is_idle:
            self._shim.leave()
        else:
            self._loop.later(PENDING_S, self._shim.leave)

    def _relieved(self) -> None:
        self.pipe.hold(is_held=False)
        if self.fallback is not None:
            self.fallback.relieved()

    def _closed(self) -> None:
        if self.fallback is not None:
            self.fallback.deserted()
        else:
            self._shim.leave()
