"""A client on stdio, as far as a test needs one: it starts the shim, says lines, and hears lines."""

import json
import os
import queue
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

from tests.support.gateway import LIMIT_S

PROGRAM = Path(__file__).parents[2] / "mcpgateway" / "shim" / "shim_main.py"
SHIM = (sys.executable, "-I", "-S", str(PROGRAM), "default")
INITIALIZE = {
    "protocolVersion": "2025-11-25",
    "capabilities": {},
    "clientInfo": {"name": "t", "version": "1"},
}
MODERN = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}


class Shim:
    """A shim and its client.

    :ivar process: the shim.
    """

    def __init__(self, *arguments, cwd, shim=SHIM, environ=None, listens=True, **more):
        self._number = 0
        self._lines = queue.Queue()
        self._stderr = Path(cwd) / f"stderr-{id(self)}"
        usual = {"PATH": os.environ["PATH"], "HOME": str(cwd), "LANG": "C.UTF-8"}
        with self._stderr.open("wb") as stderr:
            self.process = subprocess.Popen(
                [*shim, *map(str, arguments)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                cwd=cwd,
                env={**usual, **(environ or {})},
                **more,
            )
        if listens:
            threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        with suppress(ValueError, OSError):
            for line in self.process.stdout:
                self._lines.put(line)
        self._lines.put(None)

    @property
    def stderr(self):
        """The remarks of the shim on its stderr."""
        return self._stderr.read_text(errors="replace")

    def say(self, message):
        """Say one message, or bytes as they are."""
        data = message if isinstance(message, bytes) else json.dumps(message).encode() + b"\n"
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def notify(self, method, **params):
        """Say a notification."""
        self.say({"jsonrpc": "2.0", "method": method, "params": params})

    def begin(self, method, **params):
        """Send a request; return its id."""
        self._number += 1
        self.say({"jsonrpc": "2.0", "id": self._number, "method": method, "params": params})
        return self._number

    def hear(self):
        """The next message; None when there will be none."""
        line = self._lines.get(timeout=LIMIT_S)
        if line is None:
            return None
        assert line.endswith(b"\n"), line
        return json.loads(line)

    def answer(self, number):
        """The answer to a request; what comes before it is passed over."""
        while True:
            message = self.hear()
            assert message is not None, self.stderr
            if message.get("id") == number and "method" not in message:
                return message

    def ask(self, method, **params):
        """Say a request, and hear its answer."""
        return self.answer(self.begin(method, **params))

    def call(self, tool, **arguments):
        """Call a tool; the text of its answer."""
        answer = self.ask("tools/call", name=tool, arguments=arguments)
        assert "result" in answer, answer
        return answer["result"]["content"][0]["text"]

    def open(self, **params):
        """Begin a session."""
        answer = self.ask("initialize", **{**INITIALIZE, **params})
        assert "result" in answer, answer
        self.notify("notifications/initialized")
        return answer["result"]

    def end(self):
        """Close the shim's stdin and wait for its end; return the exit code."""
        self.process.stdin.close()
        return self.process.wait(LIMIT_S)

    def __enter__(self):
        return self

    def __exit__(self, *why):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(LIMIT_S)
        for each in (self.process.stdin, self.process.stdout):
            with suppress(OSError):
                each.close()
