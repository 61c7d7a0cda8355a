"""An MCP server on stdio that does what a test asks of it, good or bad.

Standard library only and one file, so that it starts in a few milliseconds under ``python -I -S``.  It speaks
the revisions up to 2025-11-25.  Requests are read one after the other; what takes time is answered from a
thread, so answers may overtake each other.  Ids, progress tokens and echoed texts go back as the very JSON
text they came in, so that a test sees every byte a gateway changed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
import threading
import time
from json.decoder import scanstring

REVISIONS = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")
GRANDCHILD_LIFE_S = 600  # a grandchild that a failing test forgot ends by itself

DECODE = json.JSONDecoder().raw_decode
WHITE = " \t\r\n"

TOOLS = {
    "echo": {"text": "string"},
    "sleep": {"ms": "number", "text": "string"},
    "progress": {"steps": "integer", "ms": "number"},
    "log": {"level": "string", "n": "integer"},
    "big": {"bytes": "integer"},
    "count": {},
    "die": {"code": "integer"},
    "mute": {},
    "deaf": {"ms": "number"},
    "garbage": {},
    "nonewline": {"bytes": "integer"},
    "flood_stderr": {"bytes": "integer"},
    "badutf8": {},
    "cancelled": {},
    "ask": {"method": "string", "params": "object"},
    "env": {"name": "string"},
    "cwd": {},
    "pid": {},
    "fork": {"kind": "string"},
    "initialized": {},
    "raw_params": {},
    "notify": {"method": "string", "params": "object"},
}

GRANDCHILDREN = {
    # dies of SIGTERM like any program
    "plain": "import time; time.sleep({life})",
    # only SIGKILL ends it
    "stubborn": "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep({life})",
    # in a session of its own, parent gone: no process group and no parent-death signal reaches it
    "double": (
        "import os, signal, time\n"
        "if os.fork(): os._exit(0)\n"
        "os.setsid()\n"
        "if os.fork(): os._exit(0)\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "os.write(1, b'%d' % os.getpid()); os.close(1)\n"
        "time.sleep({life})"
    ),
    # keeps the server's stdout open after the server itself has died
    "holder": "import time; time.sleep({life})",
}


def members(text: str) -> dict[str, str]:
    """The members of a JSON object, each value as the text it was written in."""
    found = {}
    at = skip(text, text.index("{") + 1)
    while text[at] != "}":
        key, at = scanstring(text, at + 1)
        at = skip(text, skip(text, at) + 1)  # over the colon
        _, end = DECODE(text, at)
        found[key] = text[at:end]
        at = skip(text, end)
        if text[at] == ",":
            at = skip(text, at + 1)
    return found


def skip(text: str, at: int) -> int:
    """The first position from ``at`` that is not white space."""
    while text[at] in WHITE:
        at += 1
    return at


class Fixture:
    """One server process."""

    def __init__(self, flags: argparse.Namespace) -> None:
        self.flags = flags
        self.writing = threading.Lock()
        self.counted = 0
        self.questions = 0
        self.cancelled: list[str] = []
        self.handshakes: list[str] = []
        self.notified: list[str] = []
        self.asked: dict[str, tuple[threading.Event, list[str]]] = {}

    def write(self, data: bytes) -> None:
        """Put bytes on stdout, whole, however slowly they are read."""
        with self.writing:
            view = memoryview(data)
            while view:
                view = view[os.write(1, view) :]

    def say(self, text: str) -> None:
        """Write one message."""
        self.write(text.encode() + b"\n")

    def answer(self, number: str, result: str) -> None:
        """Answer the request of that id with a result already in JSON."""
        self.say('{"jsonrpc":"2.0","id":' + number + ',"result":' + result + "}")

    def refuse(self, number: str, code: int, message: str) -> None:
        """Answer the request of that id with an error."""
        error = json.dumps({"code": code, "message": message})
        self.say('{"jsonrpc":"2.0","id":' + number + ',"error":' + error + "}")

    def text(self, number: str, text: str) -> None:
        """Answer a tool call with one text, given as JSON."""
        self.answer(number, '{"content":[{"type":"text","text":' + text + '}],"isError":false}')

    def value(self, number: str, value: object) -> None:
        """Answer a tool call with any value, as JSON inside its text."""
        self.text(number, json.dumps(json.dumps(value)))

    def serve(self) -> None:
        """Read messages until the client closes the pipe."""
        for line in sys.stdin.buffer:
            if line.strip():
                self.received(line.decode())
        if self.flags.stubborn:
            time.sleep(GRANDCHILD_LIFE_S)

    def received(self, line: str) -> None:
        """One message came in."""
        message = members(line)
        if "method" not in message:
            self.answered(message, line)
            return
        method = json.loads(message["method"])
        if "id" not in message:
            self.was_notified(method, message, line)
            return
        number = message["id"]
        params = message.get("params", "{}")
        if method == "tools/call":
            self.call(number, members(params), line)
        elif method == "initialize":
            self.initialize(number, params)
        elif method == "ping":
            self.answer(number, "{}")
        elif method == "tools/list":
            self.answer(number, self.listed())
        elif method == "fixture/echo":
            self.answer(number, '{"echo":' + params + "}")
        elif method == "fixture/error":
            self.say('{"jsonrpc":"2.0","id":' + number + ',"error":' + params + "}")
        else:
            self.refuse(number, -32601, f"Method not found: {method}")

    def answered(self, message: dict[str, str], line: str) -> None:
        """The client answered a request of ours."""
        waiting = self.asked.pop(message.get("id", ""), None)
        if waiting is not None:
            waiting[1].append(line.strip())
            waiting[0].set()

    def was_notified(self, method: str, message: dict[str, str], line: str) -> None:
        """The client notified us."""
        self.notified.append(line.strip())
        if method == "notifications/cancelled":
            self.cancelled.append(members(message["params"])["requestId"])

    def initialize(self, number: str, params: str) -> None:
        """Answer the handshake as the flags say."""
        flags = self.flags
        self.handshakes.append(params)
        if flags.exit_in_handshake:
            sys.stderr.write("fixture: leaving in the handshake, as told\n")
            sys.stderr.flush()
            os._exit(3)
        if flags.mute_handshake:
            return
        if flags.refuse_handshake:
            self.refuse(number, -32602, "Refused, as told")
            return
        asked = json.loads(params).get("protocolVersion")
        result = {
            "protocolVersion": flags.old_version or (asked if asked in REVISIONS else REVISIONS[0]),
            "capabilities": {"tools": {"listChanged": True}, "logging": {}, "resources": {"subscribe": True}},
            "serverInfo": {"name": "fixture", "version": "1"},
            "instructions": "Does what a test asks.",
        }
        self.answer(number, json.dumps(result))

    def listed(self) -> str:
        """All tools, and as many empty ones as the flags ask for."""
        tools = [tool(name, wants) for name, wants in TOOLS.items()]
        tools += [tool(f"filler_{number}", {}) for number in range(self.flags.filler_tools)]
        return json.dumps({"tools": tools})

    def call(self, number: str, params: dict[str, str], line: str) -> None:
        """Do what a tool call asks; each tool is the method ``tool_<name>``."""
        name = json.loads(params.get("name", '""'))
        arguments = members(params.get("arguments", "{}"))
        if name == "echo":  # the one tool that is called a hundred thousand times
            self.text(number, arguments["text"])
        elif name == "raw_params":
            self.text(number, json.dumps(line.rstrip("\n")))
        elif name == "progress":
            token = members(params.get("_meta", "{}")).get("progressToken")
            self.aside(self.progress, number, arguments, token)
        elif name in {"sleep", "ask"}:
            self.aside(getattr(self, f"tool_{name}"), number, arguments)
        elif name in TOOLS:
            getattr(self, f"tool_{name}")(number, arguments)
        else:
            self.refuse(number, -32602, f"Unknown tool: {name}")

    def aside(self, work: object, *args: object) -> None:
        """Do something in a thread, so that the next message is read meanwhile."""
        threading.Thread(target=work, args=args, daemon=True).start()

    def progress(self, number: str, arguments: dict[str, str], token: str | None) -> None:
        """Report each step to the caller's token, then answer."""
        steps = int(arguments.get("steps", "3"))
        for step in range(1, steps + 1):
            time.sleep(float(arguments.get("ms", "0")) / 1000)
            if token is not None:
                self.say(
                    '{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":'
                    f'{token},"progress":{step},"total":{steps}}}}}'
                )
        self.value(number, steps)

    def tool_sleep(self, number: str, arguments: dict[str, str]) -> None:
        """Answer after a while."""
        time.sleep(float(arguments.get("ms", "0")) / 1000)
        self.text(number, arguments.get("text", '"slept"'))

    def tool_log(self, number: str, arguments: dict[str, str]) -> None:
        """Send log messages, then answer."""
        level = arguments.get("level", '"info"')
        for nth in range(int(arguments.get("n", "1"))):
            self.say(
                '{"jsonrpc":"2.0","method":"notifications/message","params":{"level":'
                f'{level},"logger":"fixture","data":{nth}}}}}'
            )
        self.value(number, "logged")

    def tool_big(self, number: str, arguments: dict[str, str]) -> None:
        """Answer with a text of that many bytes."""
        self.text(number, '"' + "x" * int(arguments["bytes"]) + '"')

    def tool_count(self, number: str, _: dict[str, str]) -> None:
        """How often this process was asked to count."""
        self.counted += 1
        self.value(number, self.counted)

    def tool_die(self, _: str, arguments: dict[str, str]) -> None:
        """End at once, without an answer."""
        sys.stderr.write("fixture: dying, as told\n")
        sys.stderr.flush()
        os._exit(int(arguments.get("code", "1")))

    def tool_mute(self, number: str, arguments: dict[str, str]) -> None:
        """Never answer."""

    def tool_deaf(self, number: str, arguments: dict[str, str]) -> None:
        """Read nothing for a while, then answer."""
        time.sleep(float(arguments.get("ms", "0")) / 1000)
        self.value(number, "I can hear you again")

    def tool_garbage(self, number: str, _: dict[str, str]) -> None:
        """Say what is not JSON, and JSON that is not JSON-RPC, before the answer."""
        self.write(b'Server running on stdio\n{"not":"json-rpc"}\n[1,2\n"text"\nnull\n\n')
        self.value(number, "and now the answer")

    def tool_nonewline(self, number: str, arguments: dict[str, str]) -> None:
        """Write that many bytes that are no line, then the answer, if there still is a reader."""
        left = int(arguments["bytes"])
        while left > 0:
            self.write(b"x" * min(left, 65536))
            left -= 65536
        self.write(b"\n")
        self.value(number, "that was long")

    def tool_flood_stderr(self, number: str, arguments: dict[str, str]) -> None:
        """Write that many bytes to stderr, then answer."""
        left = int(arguments["bytes"])
        line = b"fixture: nothing to see here" + b"." * 71 + b"\n"
        while left > 0:
            left -= os.write(2, line * min(600, left // len(line) + 1))
        self.value(number, "said it all")

    def tool_badutf8(self, number: str, _: dict[str, str]) -> None:
        """Answer with a text that is not UTF-8."""
        head = '{"jsonrpc":"2.0","id":' + number + ',"result":{"content":[{"type":"text","text":"'
        self.write(head.encode() + b'\xff\xfe\xc0"}],"isError":false}}\n')

    def tool_cancelled(self, number: str, _: dict[str, str]) -> None:
        """The request ids of every cancellation received, as JSON texts."""
        self.value(number, self.cancelled)

    def tool_ask(self, number: str, arguments: dict[str, str]) -> None:
        """Send the client a request, and answer with the client's response."""
        self.questions += 1
        ours = f'"fixture-{self.questions}"'
        waiting = (threading.Event(), [])
        self.asked[ours] = waiting
        params = arguments.get("params", "{}")
        self.say(
            '{"jsonrpc":"2.0","id":' + ours + ',"method":' + arguments["method"] + ',"params":' + params + "}"
        )
        waiting[0].wait()
        self.text(number, json.dumps(waiting[1][0]))

    def tool_env(self, number: str, arguments: dict[str, str]) -> None:
        """One variable of the environment, or all their names."""
        if "name" in arguments:
            self.value(number, os.environ.get(json.loads(arguments["name"])))
        else:
            self.value(number, sorted(os.environ))

    def tool_cwd(self, number: str, _: dict[str, str]) -> None:
        """Where this process works."""
        self.value(number, os.getcwd())

    def tool_pid(self, number: str, _: dict[str, str]) -> None:
        """Who this process is: pid, process group, session."""
        self.value(number, {"pid": os.getpid(), "pgid": os.getpgid(0), "sid": os.getsid(0)})

    def tool_fork(self, number: str, arguments: dict[str, str]) -> None:
        """Start a program that outlives us unless somebody sees to it; answers with its pid."""
        import subprocess  # slow to import, and most tests never fork

        kind = json.loads(arguments.get("kind", '"plain"'))
        program = GRANDCHILDREN[kind].format(life=GRANDCHILD_LIFE_S)
        stdout = {"double": subprocess.PIPE, "holder": None}.get(kind, subprocess.DEVNULL)
        started = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", program],
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.DEVNULL,
        )
        pid = started.pid
        if kind == "double":
            pid = int(started.stdout.read())
            started.wait()
        self.value(number, {"pid": pid})

    def tool_initialized(self, number: str, _: dict[str, str]) -> None:
        """The handshakes this process has seen, and the notifications it got."""
        told = {"handshakes": [json.loads(each) for each in self.handshakes], "notified": self.notified}
        self.value(number, told)

    def tool_notify(self, number: str, arguments: dict[str, str]) -> None:
        """Send the client a notification, then answer."""
        params = arguments.get("params", "{}")
        self.say('{"jsonrpc":"2.0","method":' + arguments["method"] + ',"params":' + params + "}")
        self.value(number, "notified")


def tool(name: str, wants: dict[str, str]) -> dict[str, object]:
    """A tool as it is listed."""
    properties = {key: {"type": kind} for key, kind in wants.items()}
    schema = {"type": "object", "properties": properties}
    return {"name": name, "description": f"{name}, as told by a test", "inputSchema": schema}


def parsed(argv: list[str]) -> argparse.Namespace:
    """How to misbehave."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--exit-in-handshake", action="store_true", help="exit 3 instead of answering initialize"
    )
    parser.add_argument("--mute-handshake", action="store_true", help="never answer initialize")
    parser.add_argument("--refuse-handshake", action="store_true", help="answer initialize with an error")
    parser.add_argument("--garbage-first", action="store_true", help="write lines that are not JSON at start")
    parser.add_argument("--slow-start", type=float, default=0, metavar="SECONDS", help="do nothing at first")
    parser.add_argument("--old-version", metavar="VERSION", help="agree to this revision, whatever was asked")
    parser.add_argument("--stubborn", action="store_true", help="ignore SIGTERM and the end of stdin")
    parser.add_argument("--filler-tools", type=int, default=0, metavar="N", help="list N more tools")
    return parser.parse_args(argv)


def main() -> None:
    """Serve the client at the other end of stdin and stdout."""
    flags = parsed(sys.argv[1:])
    if flags.stubborn:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if flags.slow_start:
        time.sleep(flags.slow_start)
    fixture = Fixture(flags)
    if flags.garbage_first:
        fixture.write(b"npm notice something is new\n{not json}\n\n")
    with contextlib.suppress(BrokenPipeError, KeyboardInterrupt):
        fixture.serve()
    os._exit(0)  # threads that still sleep have nobody to answer


if __name__ == "__main__":
    main()
