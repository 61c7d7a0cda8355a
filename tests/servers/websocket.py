"""An MCP server behind a WebSocket: each connection gets a child of the stdio fixture, or is treated badly.

    python websocket.py [--certificate PEM] [--token TOKEN]      prints its port, then serves until it is killed

What a path asks for: ``/`` the fixture, ``/huge`` a message without end, ``/mute`` nothing at all, ``/slam`` a closed
connection after the first message, ``/binary`` the fixture with binary messages, ``/late?FILE`` the fixture with
messages that wait while there is that file, ``/halves?FILE`` the same after the half of a message.  With the first that
waits, ``FILE.begun`` is made.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ssl
import sys
from pathlib import Path
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.frames import Frame, Opcode

FIXTURE = str(Path(__file__).with_name("fixture.py"))
HUGE = 40 * 2**20
LINE = 64 * 2**20


async def speak(connection: ServerConnection) -> None:
    """Serve one connection."""
    path = connection.request.path if connection.request else "/"
    if path.startswith("/mute"):
        await connection.wait_closed()
    elif path.startswith("/slam"):
        await connection.recv()
        await connection.close(1011, "slammed")
    elif path.startswith("/huge"):
        await connection.recv()
        await connection.send("x" * HUGE)
        await connection.wait_closed()
    else:
        await relay(connection, binary=path.startswith("/binary"))


async def relay(connection: ServerConnection, *, binary: bool) -> None:
    """Pass messages between a connection and a child of its own."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",
        "-S",
        FIXTURE,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=LINE,
    )
    assert child.stdin is not None
    back = asyncio.create_task(answers(child, connection, binary=binary))
    with contextlib.suppress(ConnectionError):
        async for message in connection:
            data = message.encode() if isinstance(message, str) else message
            child.stdin.write(data + b"\n")
            await child.stdin.drain()
    child.stdin.close()
    await child.wait()
    back.cancel()


async def answers(child: Any, connection: ServerConnection, *, binary: bool) -> None:
    """Pass on what a child says."""
    kind, _, hold = (connection.request.path if connection.request else "/").partition("?")
    async for line in child.stdout:
        if kind in ("/late", "/halves"):
            await hesitate(connection, line.strip(), Path(hold), 2 if kind == "/halves" else 0)
        else:
            await connection.send(line.strip() if binary else line.strip().decode())
    await connection.close(1011, "the server has ended")


def is_held(hold: Path) -> bool:
    """Return whether a message waits, and make known that one does."""
    if found := hold.exists():
        hold.with_suffix(".begun").touch()
    return found


async def hesitate(connection: ServerConnection, line: bytes, hold: Path, parts: int) -> None:
    """Send a message in two frames, of which so many quarters are sent at first."""
    frames = [
        Frame(Opcode.TEXT, line[: len(line) // 4], fin=False).serialize(mask=False),
        Frame(Opcode.CONT, line[len(line) // 4 :]).serialize(mask=False),
    ]
    data = b"".join(frames)
    middle = len(data) * parts // 4
    connection.transport.write(data[:middle])
    while is_held(hold):  # noqa: ASYNC110 - another process removes the file
        await asyncio.sleep(0.05)
    connection.transport.write(data[middle:])


async def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--certificate")
    parser.add_argument("--token")
    options = parser.parse_args()
    context = None
    if options.certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options.certificate)

    def check(connection: ServerConnection, request: Any) -> Any:
        if options.token and request.headers.get("Authorization") != f"Bearer {options.token}":
            return connection.respond(401, "who are you?\n")
        return None

    async with serve(
        speak,
        "127.0.0.1",
        0,
        ssl=context,
        process_request=check,
        subprotocols=["mcp"],
        max_size=None,  # type: ignore[list-item]
    ) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()


asyncio.run(main())
