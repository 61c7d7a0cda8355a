"""An MCP server on stdio that does what a test asks of it, good or bad.

Standard library only and one file, which ``fixture.py`` starts in a few milliseconds under ``python -I -S``.  The
server speaks the revisions up to 2025-11-25, or 2026-07-28, or either.  Requests are read one after the other; what
takes time is answered from a thread, so answers may overtake each other.  Ids, progress tokens and echoed texts go back
as the very JSON text they came in, so that a test sees every byte a gateway changed.

# Note [One era for life]
A process speaks the era that it was told to.  One that may speak both is bound by its first request for the rest of its
life, and refuses the other era from then on; ``server/discover`` alone does not bind it.
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
from collections.abc import Callable
from json.decoder import scanstring

REVISIONS = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")
MODERN = "2026-07-28"
LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")

PREFIX = "io.modelcontextprotocol/"
VERSION = PREFIX + "protocolVersion"
OFFERS = PREFIX + "clientCapabilities"
LEVEL = PREFIX + "logLevel"
SUBSCRIPTION = PREFIX + "subscriptionId"
TASKS = PREFIX + "tasks"
GRANDCHILD_LIFE_S = 600  # a grandchild that a failing test forgot ends by itself

DECODE = json.JSONDecoder().raw_decode
WHITE = " \t\r\n"

TOOLS = {
    "echo": {"text": "string"},
    "sleep": {"ms": "number", "text": "string"},
    "progress": {"steps": "integer", "ms": "number"},
    "log": {"level": "string", "n": "integer"},
    "big": {"bytes": "integer"},
    "grow": {"bytes": "integer"},
    "count": {},
    "die": {"code": "integer"},
    "mute": {},
    "deaf": {"ms": "number"},
    "garbage": {"lines": "integer"},
    "twice": {"text": "string"},
    "close_stdout": {},
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

MODERN_TOOLS = {
    "ask": {
        "method": "string",
        "params": "object",
        "rounds": "integer",
        "state": "string",
        "requests": "object",
    },
    "log": {"level": "string", "n": "integer", "force": "boolean"},
    "notify": {"method": "string", "params": "object", "forced": "boolean", "bare": "boolean"},
    "missing": {"capabilities": "object"},
    "listens": {},
    "end_listens": {"how": "string"},
    "asked": {},
    "meta": {},
    "task": {"ms": "number", "requests": "object", "fails": "boolean"},
    "headers": {"region": "string", "limit": "integer", "dry_run": "boolean"},
}
LEGACY_TOOLS = {"initialized"}  # there is no handshake to tell of in the other era
HEADERS = {"region": "Region", "limit": "Limit", "dry_run": "Dry-Run"}  # arguments that travel as headers too

RESOURCES = ("fixture:///text", "fixture:///other", "fixture:///ask")
PROMPTS = ("text", "ask")
QUESTION = {"method": '"roots/list"', "params": "{}"}  # what the resource and the prompt ask

# What a listen must have asked for, or named, to be told of this.
FLAGS = {
    "notifications/tools/list_changed": "toolsListChanged",
    "notifications/prompts/list_changed": "promptsListChanged",
    "notifications/resources/list_changed": "resourcesListChanged",
}
NAMED = {
    "notifications/resources/updated": ("resourceSubscriptions", "uri"),
    "notifications/tasks": ("taskIds", "taskId"),
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


def inside(text: str, name: str) -> dict[str, str]:
    """The members of one member of a JSON object, if that is an object too."""
    found = members(text).get(name, "")
    return members(found) if found.startswith("{") else {}


class Fixture:
    """A server process."""

    def __init__(self, flags: argparse.Namespace) -> None:
        self.flags = flags
        self.writing = threading.Lock()
        self.counted = 0
        self.kept: list[bytes] = []
        self.questions = 0
        self.cancelled: list[str] = []
        self.handshakes: list[str] = []
        self.notified: list[str] = []
        self.era = flags.era
        self.modern = Modern(self)
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

    def refuse(self, number: str, code: int, message: str, data: object = None) -> None:
        """Answer the request of that id with an error."""
        error = json.dumps({"code": code, "message": message} | ({} if data is None else {"data": data}))
        self.say('{"jsonrpc":"2.0","id":' + number + ',"error":' + error + "}")

    def error(self, number: str, error: str) -> None:
        """Answer the request of that id with an error already in JSON."""
        self.say('{"jsonrpc":"2.0","id":' + number + ',"error":' + error + "}")

    def text(self, number: str, text: str) -> None:
        """Answer a tool call with one text, given as JSON."""
        kind = '"resultType":"complete",' if self.era == "modern" else ""
        self.answer(number, "{" + kind + '"content":[{"type":"text","text":' + text + '}],"isError":false}')

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
        """Take a message."""
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
        era = self.era_of(method, params)
        if era == "refused":
            self.refuse(number, -32600, "This connection was opened with a handshake")
        elif era == "modern":
            self.modern.requested(number, method, params, line)
        else:
            self.requested(number, method, params, line)

    def era_of(self, method: str, params: str) -> str:
        """The era in which a request is served, see Note [One era for life]."""
        if self.flags.era != "dual":
            return self.flags.era
        is_enveloped = method != "initialize" and VERSION in inside(params, "_meta")
        if self.era == "dual":
            if method == "server/discover" or (is_enveloped and self.modern.flaw(params)):
                return "modern"  # what is refused binds nobody
            self.era = "modern" if is_enveloped else "legacy"
        return "refused" if self.era == "legacy" and is_enveloped else self.era

    def requested(self, number: str, method: str, params: str, line: str) -> None:
        """Answer a request of the era with a handshake."""
        if method == "tools/call":
            self.call(number, members(params), line)
        elif method == "initialize":
            self.initialize(number, params)
        elif method in {"ping", "logging/setLevel"}:
            self.answer(number, "{}")
        elif method == "tools/list":
            self.answer(number, self.listed())
        elif method == "fixture/echo":
            self.answer(number, '{"echo":' + params + "}")
        elif method == "fixture/error":
            self.error(number, params)
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
            number = members(message["params"])["requestId"]
            self.cancelled.append(number)
            self.modern.cancelled(number)

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
        tools += (
            [{**tool("hostile", {}), "description": self.flags.hostile_text}]
            if self.flags.hostile_text
            else []
        )
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

    def tool_grow(self, number: str, arguments: dict[str, str]) -> None:
        """Take that many bytes of memory, and keep them."""
        self.kept.append(b"x" * int(arguments["bytes"]))
        self.value(number, len(self.kept))

    def tool_count(self, number: str, _: dict[str, str]) -> None:
        """Answer how often this process was asked to count."""
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

    def tool_garbage(self, number: str, arguments: dict[str, str]) -> None:
        """Say what is not JSON, and JSON that is not JSON-RPC, and as many lines more, before the answer."""
        self.write(b'Server running on stdio\n{"not":"json-rpc"}\n[1,2\n"text"\nnull\n\n')
        self.write(b"still running\n" * int(arguments.get("lines", "0")))
        self.value(number, "and now the answer")

    def tool_twice(self, number: str, arguments: dict[str, str]) -> None:
        """Answer, and answer the same request once more, with something else."""
        self.text(number, arguments["text"])
        self.value(number, "the second answer")

    def tool_close_stdout(self, _: str, __: dict[str, str]) -> None:
        """Close stdout for good, and live on."""
        os.close(1)
        os.open(os.devnull, os.O_WRONLY)  # as 1: what is said from now on goes nowhere

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
        """Answer with a variable of the environment, or all their names."""
        if "name" in arguments:
            self.value(number, os.environ.get(json.loads(arguments["name"])))
        else:
            self.value(number, sorted(os.environ))

    def tool_cwd(self, number: str, _: dict[str, str]) -> None:
        """Where this process works."""
        self.value(number, os.getcwd())

    def tool_pid(self, number: str, _: dict[str, str]) -> None:
        """The process as a value: pid, process group, session."""
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


class Modern:
    """The fixture in the era without a handshake; tools that are not here are those of the other era."""

    def __init__(self, fixture: Fixture) -> None:
        self.fixture = fixture
        self.flags = fixture.flags
        self.listening = threading.Lock()
        self.listens: dict[str, str] = {}  # the filter of each, as it was asked for
        self.counting = threading.Lock()
        self.counts: dict[str, int] = {}
        self.tasks: dict[str, Task] = {}
        self.works = {
            "resources/read": self.read,
            "prompts/get": self.get,
            "subscriptions/listen": self.listen,
            "tasks/get": self.show_task,
            "tasks/update": self.update_task,
            "tasks/cancel": self.cancel_task,
            "fixture/echo": self.echo,
            "fixture/error": fixture.error,
        }
        self.lists = {
            "server/discover": self.discover,
            "tools/list": self.tools,
            "resources/list": lambda _: {"resources": [{"uri": uri, "name": uri} for uri in RESOURCES]},
            "resources/templates/list": lambda _: {"resourceTemplates": []},
            "prompts/list": lambda _: {"prompts": [{"name": name} for name in PROMPTS]},
        }

    def flaw(self, params: str) -> tuple[int, str, object] | None:
        """The error in a request's words about its client; None where there is none."""
        meta = inside(params, "_meta")
        version = meta.get(VERSION, "null")
        if not version.startswith('"'):
            return (-32602, f"_meta must have {VERSION}", None)
        if json.loads(version) != MODERN:
            return unsupported(json.loads(version))
        if not meta.get(OFFERS, "").startswith("{"):
            return (-32602, f"_meta must have {OFFERS}", None)
        return None

    def requested(self, number: str, method: str, params: str, line: str) -> None:
        """Answer a request."""
        flaw = self.flaw(params)
        if method == "initialize":
            flaw = unsupported(json.loads(params).get("protocolVersion"))
        if flaw is not None:
            self.fixture.refuse(number, *flaw)
        elif method in self.works:
            self.works[method](number, params)
        elif method == "tools/call":
            self.call(number, params, line)
        elif method in self.lists:
            result = self.lists[method](self.counted(method))
            if method != "server/discover" or not self.flags.mute_discover:
                self.answer(number, result, is_cacheable=True)
        else:
            self.fixture.refuse(number, -32601, f"Method not found: {method}")

    def answer(self, number: str, result: dict, *, is_cacheable: bool = False) -> None:
        """Answer a request; the flags say for how long and by whom the answer may be kept."""
        kept = {"ttlMs": self.flags.ttl_ms, "cacheScope": self.flags.cache_scope} if is_cacheable else {}
        self.fixture.answer(number, json.dumps({"resultType": "complete", **result, **kept}))

    def counted(self, what: str) -> int:
        """Count a list or a read, and say how often it was asked for by now."""
        with self.counting:
            self.counts[what] = self.counts.get(what, 0) + 1
            return self.counts[what]

    def discover(self, _: int) -> dict:
        """The fixture as discovery describes it."""
        return {
            "supportedVersions": [MODERN],
            "capabilities": {
                "tools": {"listChanged": True},
                "prompts": {"listChanged": True},
                "resources": {"listChanged": True, "subscribe": True},
                "logging": {},
                "extensions": {TASKS: {}},
            },
            "instructions": "Does what a test asks.",
            "_meta": {PREFIX + "serverInfo": {"name": "fixture", "version": "1"}},
        }

    def tools(self, _: int) -> dict:
        """All tools, and as many empty ones as the flags ask for."""
        wanted = {name: each for name, each in (TOOLS | MODERN_TOOLS).items() if name not in LEGACY_TOOLS}
        listed = [tool(name, wants) for name, wants in wanted.items()]
        for each in listed:
            if each["name"] == "headers":
                for name, header in HEADERS.items():
                    each["inputSchema"]["properties"][name]["x-mcp-header"] = header
        listed += [tool(f"filler_{number}", {}) for number in range(self.flags.filler_tools)]
        return {"tools": listed}

    def read(self, number: str, params: str) -> None:
        """A resource that says how often it was read, or one that asks for the roots first."""
        uri = json.loads(members(params).get("uri", '""'))
        if uri not in RESOURCES:
            self.fixture.refuse(number, -32602, "Resource not found", {"uri": uri})
        elif uri.endswith("ask") and not self.answered(params):
            self.ask(number, QUESTION, 0)
        else:
            text = self.given(params) if uri.endswith("ask") else str(self.counted(f"resources/read {uri}"))
            contents = [{"uri": uri, "mimeType": "text/plain", "text": text}]
            self.answer(number, {"contents": contents}, is_cacheable=not uri.endswith("ask"))

    def get(self, number: str, params: str) -> None:
        """A prompt that says its arguments, or one that asks for the roots first."""
        name = json.loads(members(params).get("name", '""'))
        if name not in PROMPTS:
            self.fixture.refuse(number, -32602, f"Unknown prompt: {name}")
        elif name == "ask" and not self.answered(params):
            self.ask(number, QUESTION, 0)
        else:
            text = self.given(params) if name == "ask" else members(params).get("arguments", "{}")
            content = {"type": "text", "text": text}
            self.answer(number, {"messages": [{"role": "user", "content": content}]})

    def call(self, number: str, params: str, line: str) -> None:
        """Do what a tool call asks, as told here or as in the other era."""
        called = members(params)
        name = json.loads(called.get("name", '""'))
        if name in MODERN_TOOLS:
            getattr(self, f"tool_{name}")(number, inside(params, "arguments"), params)
        elif name in LEGACY_TOOLS:
            self.fixture.refuse(number, -32602, f"Unknown tool: {name}")
        else:
            self.fixture.call(number, called, line)

    def tool_log(self, number: str, arguments: dict[str, str], params: str) -> None:
        """Send log messages, if the request wants to see them or if we are to send them all the same."""
        wanted = json.loads(inside(params, "_meta").get(LEVEL, "null"))
        level = json.loads(arguments.get("level", '"info"'))
        if (wanted and LEVELS.index(level) >= LEVELS.index(wanted)) or arguments.get("force") == "true":
            self.fixture.tool_log(number, arguments)
        else:
            self.fixture.value(number, "logged")

    def tool_ask(self, number: str, arguments: dict[str, str], params: str) -> None:
        """Ask something in that many rounds, then answer with the answers to the last of them."""
        asked = self.answered(params)
        if asked < int(arguments.get("rounds", "1")):
            self.ask(number, arguments, asked)
        else:
            self.fixture.text(number, json.dumps(self.given(params)))

    def ask(self, number: str, arguments: dict[str, str], asked: int) -> None:
        """Have the client repeat its request with an answer to a question, or to none."""
        question = '{"method":' + arguments.get("method", '"roots/list"')
        question += ',"params":' + arguments.get("params", "{}") + "}"
        requests = arguments.get("requests", '{"q' + str(asked + 1) + '":' + question + "}")
        result = '{"resultType":"input_required"'
        result += "" if requests == "null" else ',"inputRequests":' + requests
        result += ',"requestState":' + arguments["state"] if "state" in arguments else ""
        self.fixture.answer(number, result + "}")

    def answered(self, params: str) -> int:
        """Return the number of rounds behind a request; our own questions are numbered."""
        got = inside(params, "inputResponses")
        numbered = [int(name[1:]) for name in got if name[0] == "q" and name[1:].isdigit()]
        return max(numbered, default=int(bool(got) or "requestState" in members(params)))

    def given(self, params: str) -> str:
        """The answers and the state that a request brings, as it brings them."""
        got = members(params)
        parts = [f'"{name}":{got[name]}' for name in ("inputResponses", "requestState") if name in got]
        return "{" + ",".join(parts) + "}"

    def tool_missing(self, number: str, arguments: dict[str, str], _: str) -> None:
        """Refuse the client for want of capabilities, whatever it has."""
        needed = json.loads(arguments.get("capabilities", '{"sampling":{}}'))
        data = {"requiredCapabilities": needed}
        self.fixture.refuse(number, -32021, "The client lacks a required capability", data)

    def tool_meta(self, number: str, _: dict[str, str], params: str) -> None:
        """The ``_meta`` of the request, as the text it came in."""
        self.fixture.text(number, json.dumps(members(params)["_meta"]))

    def tool_headers(self, number: str, _: dict[str, str], params: str) -> None:
        """The arguments, as the text they came in."""
        self.fixture.text(number, json.dumps(members(params).get("arguments", "{}")))

    def tool_asked(self, number: str, _: dict[str, str], __: str) -> None:
        """Answer how often each list was asked for, each resource read, and the server discovered."""
        with self.counting:
            self.fixture.value(number, self.counts)

    def echo(self, number: str, params: str) -> None:
        """Answer with the parameters, as the text they came in."""
        self.fixture.answer(number, '{"resultType":"complete","echo":' + params + "}")

    def listen(self, number: str, params: str) -> None:
        """Acknowledge a listen, and tell it what it wants from then on."""
        wanted = members(params).get("notifications", "{}")
        with self.listening:
            self.listens[number] = wanted
            self.tell(
                number, '"notifications/subscriptions/acknowledged"', '{"notifications":' + wanted + "}"
            )

    def cancelled(self, number: str) -> None:
        """Tell a listen nothing more."""
        with self.listening:
            self.listens.pop(number, None)

    def tell(self, number: str, method: str, params: str) -> None:
        """Notify one listen."""
        rest = params.strip()[1:]
        comma = "" if rest.lstrip() == "}" else ","
        meta = '{"_meta":{"' + SUBSCRIPTION + '":' + number + "}" + comma
        self.fixture.say('{"jsonrpc":"2.0","method":' + method + ',"params":' + meta + rest + "}")

    def told(self, method: str, params: str, *, forced: bool = False) -> int:
        """Notify all listens that want it, or all; the answer is how many."""
        with self.listening:
            wanting = [
                number
                for number, wanted in self.listens.items()
                if forced or is_wanted(wanted, json.loads(method), params)
            ]
            for number in wanting:
                self.tell(number, method, params)
        return len(wanting)

    def tool_notify(self, number: str, arguments: dict[str, str], _: str) -> None:
        """Notify the listens that want it, or all of them, or nobody in particular; then say how many."""
        params = arguments.get("params", "{}")
        if arguments.get("bare") == "true":
            self.fixture.say('{"jsonrpc":"2.0","method":' + arguments["method"] + ',"params":' + params + "}")
            self.fixture.value(number, 0)
        else:
            forced = arguments.get("forced") == "true"
            self.fixture.value(number, self.told(arguments["method"], params, forced=forced))

    def tool_listens(self, number: str, _: dict[str, str], __: str) -> None:
        """The open listens: their ids as JSON texts, and their filters."""
        with self.listening:
            shown = [
                {"id": each, "notifications": json.loads(wanted)} for each, wanted in self.listens.items()
            ]
        self.fixture.value(number, shown)

    def tool_end_listens(self, number: str, arguments: dict[str, str], _: str) -> None:
        """End all listens with a result, with a cancellation, or with both; then say how many there were."""
        how = json.loads(arguments.get("how", '"result"'))
        with self.listening:
            ended = list(self.listens)
            self.listens.clear()
        for each in ended:
            if how in {"cancelled", "both"}:
                method = '"notifications/cancelled"'
                self.fixture.say(
                    '{"jsonrpc":"2.0","method":' + method + ',"params":{"requestId":' + each + "}}"
                )
            if how in {"result", "both"}:
                meta = '{"resultType":"complete","_meta":{"' + SUBSCRIPTION + '":' + each + "}}"
                self.fixture.answer(each, meta)
        self.fixture.value(number, len(ended))

    def tool_task(self, number: str, arguments: dict[str, str], _: str) -> None:
        """Answer with a task that works for a while, may ask something, and then is completed or fails."""
        task = Task(self, f"task-{os.getpid()}-{len(self.tasks) + 1}", arguments)
        self.tasks[task.number] = task
        self.fixture.answer(number, json.dumps({"resultType": "task", **task.shown()}))
        self.fixture.aside(task.run)

    def show_task(self, number: str, params: str) -> None:
        """All about a task."""
        self.with_task(number, params, Task.shown)

    def update_task(self, number: str, params: str) -> None:
        """Take answers to the questions of a task."""
        answers = json.loads(members(params).get("inputResponses", "{}"))
        self.with_task(number, params, lambda task: task.update(answers))

    def cancel_task(self, number: str, params: str) -> None:
        """End a task early."""
        self.with_task(number, params, Task.cancel)

    def with_task(self, number: str, params: str, does: Callable[[Task], dict | None]) -> None:
        """Do something with the task that a request names."""
        task = self.tasks.get(json.loads(members(params).get("taskId", '""')))
        if task is None:
            self.fixture.refuse(number, -32602, "Task not found")
        else:
            self.answer(number, does(task) or {})


class Task:
    """A call that was answered before it is done."""

    def __init__(self, modern: Modern, number: str, arguments: dict[str, str]) -> None:
        self.modern = modern
        self.number = number
        self.work_s = float(arguments.get("ms", "0")) / 1000
        self.fails = arguments.get("fails") == "true"
        self.questions = json.loads(arguments.get("requests", "{}"))
        self.answers: dict[str, object] = {}
        self.status = "working"
        self.changed = threading.Condition()

    def run(self) -> None:
        """Work, ask, and end, unless cancelled."""
        with self.changed:
            self.changed.wait_for(lambda: self.status == "cancelled", self.work_s)
        if self.questions:
            self.became("input_required")
            with self.changed:
                self.changed.wait_for(lambda: self.status == "cancelled" or not self.questions)
        self.became("failed" if self.fails else "completed")

    def became(self, status: str) -> None:
        """Get a new status, and tell the listens that name this task; nothing follows a cancellation."""
        with self.changed:
            if self.status == "cancelled":
                return
            self.status = status
            self.changed.notify_all()
        self.modern.told('"notifications/tasks"', json.dumps(self.shown()))

    def cancel(self) -> None:
        """End early, if it has not ended."""
        if self.status not in {"completed", "failed"}:
            self.became("cancelled")

    def update(self, answers: dict[str, object]) -> None:
        """Take answers to questions."""
        with self.changed:
            self.answers |= answers
            for name in answers:
                self.questions.pop(name, None)
            self.changed.notify_all()

    def shown(self) -> dict[str, object]:
        """All that a client is told of it."""
        with self.changed:
            began = {"createdAt": "2026-07-28T00:00:00Z", "lastUpdatedAt": "2026-07-28T00:00:00Z"}
            shown = {
                "taskId": self.number,
                "status": self.status,
                **began,
                "ttlMs": None,
                "pollIntervalMs": 20,
            }
            if self.status == "input_required":
                shown["inputRequests"] = dict(self.questions)
            elif self.status == "completed":
                content = [{"type": "text", "text": json.dumps(self.answers)}]
                shown["result"] = {"content": content, "isError": False}
            elif self.status == "failed":
                shown["error"] = {"code": -32603, "message": "Failed, as told"}
            return shown


def is_wanted(wanted: str, method: str, params: str) -> bool:
    """Return whether a listen with this filter gets that notification."""
    asked = json.loads(wanted)
    if method in FLAGS:
        return asked.get(FLAGS[method]) is True
    name, parameter = NAMED.get(method, ("", ""))
    return json.loads(params).get(parameter) in asked.get(name, [])


def unsupported(asked: object) -> tuple[int, str, object]:
    """The error for a revision that the modern era does not speak."""
    data = {"supported": [MODERN], "requested": asked}
    return (-32022, f"Unsupported protocol version: {asked}", data)


def tool(name: str, wants: dict[str, str]) -> dict[str, object]:
    """A tool as it is listed."""
    properties = {key: {"type": kind} for key, kind in wants.items()}
    schema = {"type": "object", "properties": properties}
    return {"name": name, "description": f"{name}, as told by a test", "inputSchema": schema}


def parsed(argv: list[str]) -> argparse.Namespace:
    """Read the command line, which says how to misbehave."""
    # With a width of its own it does not ask a terminal for one, by modules that take longer than all else here.
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        formatter_class=lambda prog: argparse.HelpFormatter(prog, width=100),
    )
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
    parser.add_argument(
        "--hostile-text", default="", help="list a tool of this description, and print it to stderr"
    )
    parser.add_argument("--era", choices=["legacy", "modern", "dual"], default="legacy", help="what to speak")
    parser.add_argument(
        "--ttl-ms", type=int, default=0, metavar="N", help="how long lists and reads may be kept"
    )
    parser.add_argument("--cache-scope", choices=["public", "private"], default="private", help="and by whom")
    parser.add_argument("--mute-discover", action="store_true", help="never answer server/discover")
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
