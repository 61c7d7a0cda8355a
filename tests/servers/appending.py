"""An MCP server that must run once: it appends a line (time, fence, pid, word) to a file all the time, and on calls.

It is run as ``python appending.py FILE``.  A server that runs twice at once writes two fences in turn.  Its tools:
``append`` writes a word and returns fence and pid, ``slow`` returns them after some seconds.
"""

import json
import os
import sys
import threading
import time

PAUSE_S = 0.01
FILE = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
FENCE = os.environ.get("MCPGATEWAY_FENCE", "0")
TOOLS = [
    {"name": "append", "inputSchema": {"type": "object", "properties": {"word": {"type": "string"}}}},
    {"name": "slow", "inputSchema": {"type": "object", "properties": {"seconds": {"type": "number"}}}},
]


def write(word: str) -> None:
    """Append one line at once."""
    now = time.clock_gettime(time.CLOCK_BOOTTIME)
    os.write(FILE, f"{now:.6f} {FENCE} {os.getpid()} {word}\n".encode())


def keep_writing() -> None:
    """Append lines for ever."""
    while True:
        write("-")
        time.sleep(PAUSE_S)


def send(message: object) -> None:
    """Send one message."""
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def call(identifier: object, name: str, arguments: dict) -> None:
    """Answer a call."""
    if name == "slow":
        time.sleep(arguments.get("seconds", 1))
    else:
        write(arguments.get("word", "call"))
    text = f"{FENCE} {os.getpid()}"
    send({"jsonrpc": "2.0", "id": identifier, "result": {"content": [{"type": "text", "text": text}]}})


def answer(message: dict) -> None:
    """Answer one request."""
    method, params = message["method"], message.get("params", {})
    match method:
        case "initialize":
            result = {
                "protocolVersion": params["protocolVersion"],
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "appending", "version": "1"},
            }
        case "tools/list":
            result = {"tools": TOOLS}
        case "tools/call":
            work = (message["id"], params["name"], params.get("arguments", {}))
            threading.Thread(target=call, args=work, daemon=True).start()
            return
        case _:
            result = {}
    send({"jsonrpc": "2.0", "id": message["id"], "result": result})


threading.Thread(target=keep_writing, daemon=True).start()
for line in sys.stdin:
    received = json.loads(line)
    if "id" in received and "method" in received:
        answer(received)
