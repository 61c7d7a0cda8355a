"""Clients, fronts and servers: which pairs exist, which do not and why, and which are refused."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from attrs import field, frozen

from tests.clients.fronts import Front
from tests.clients.job import Job
from tests.clients.libraries import (
    AUTO,
    LEGACY,
    PINNED,
    Run,
    fastmcp,
    inspector,
    mcp_remote,
    python_sdk_1,
    python_sdk_2,
    typescript_sdk_1,
    typescript_sdk_2,
)
from tests.support import real_servers
from tests.support.gateway import server

SESSIONS, STATELESS = "sessions", "stateless"
"""The two eras: the revisions up to 2025-11-25, and 2026-07-28."""

BOTH = frozenset({SESSIONS, STATELESS})
OLD, NEW = frozenset({SESSIONS}), frozenset({STATELESS})

NO_SOCKET = "its HTTP knows no Unix sockets"
ON_STDIO = "it is itself what clients on stdio start"
NO_SESSIONS = "HTTP+SSE is sessions, of which a client that is pinned to 2026-07-28 knows nothing"


@frozen
class Client:
    """A client in one of its modes.

    :ivar eras: what it can speak.
    :ivar lacks: the fronts that it cannot take, and why.
    :ivar asks: whether it asks for the stateless era, and leaves where that is not offered.
    :ivar says: a pattern of what its error says, in lower case, when it is refused.
    :ivar calls: the servers that it calls.
    """

    run: Run
    eras: frozenset[str]
    lacks: Mapping[Front, str]
    asks: bool = False
    says: str = "protocol version"
    calls: Collection[str] = field(factory=lambda: SERVERS)


@frozen
class Server:
    """A server behind the gateway.

    :ivar entry: how it is configured.
    :ivar eras: what it can speak by itself.
    :ivar job: a call for one who gives a word and a number of his own; its answer holds what nobody else's does.
    :ivar bridge: whether the gateway translates for it.
    """

    entry: Callable[[], Mapping[str, Any]]
    eras: frozenset[str]
    job: Callable[[str, str, int], Job]
    bridge: str = "auto"


def _echo(name: str, word: str, number: int) -> Job:
    return Job(name, "echo", {"text": word}, word)


def _echo_message(name: str, word: str, number: int) -> Job:
    return Job(name, "echo", {"message": word}, f"Echo: {word}")


def _time(name: str, word: str, number: int) -> Job:
    hour, minute = divmod(number % (15 * 60), 60)  # so that it is the same day in Tokyo
    asked = {"source_timezone": "UTC", "time": f"{hour:02}:{minute:02}", "target_timezone": "Asia/Tokyo"}
    return Job(name, "convert_time", asked, f"T{hour + 9:02}:{minute:02}:00+09:00")


def _fixture(era: str, eras: frozenset[str], bridge: str = "auto") -> Server:
    argv = real_servers.fixture("--era", era)
    return Server(lambda: server(argv, bridge=bridge), eras, _echo, bridge)


SERVERS: Mapping[str, Server] = {
    "legacy": _fixture("legacy", OLD),
    "modern": _fixture("modern", NEW),
    "dual": _fixture("dual", BOTH),
    "dual-python": Server(lambda: server(real_servers.dual_python()), BOTH, _echo),
    "dual-node": Server(lambda: server(real_servers.dual_node()), BOTH, _echo),
    "everything": Server(lambda: server(real_servers.everything()), OLD, _echo_message),
    "time": Server(lambda: server(real_servers.time()), BOTH, _time),
    "legacy-always": _fixture("legacy", OLD, "always"),
    "legacy-alone": _fixture("legacy", OLD, "off"),
    "modern-alone": _fixture("modern", NEW, "off"),
}

# For a client that is a program of its own for each request, and takes a second or two to start.
FEW = ("legacy", "modern", "dual", "legacy-alone", "modern-alone")

_WITHOUT_SOCKET = {Front.UNIX: NO_SOCKET}
_WITHOUT_SESSIONS = {Front.SSE: NO_SESSIONS}

CLIENTS: Mapping[str, Client] = {
    # Of an answer with status 400 it tells the status only.
    "python-sdk-1": Client(python_sdk_1, OLD, {}, says="protocol version|400 bad request"),
    "python-sdk-2-legacy": Client(python_sdk_2(LEGACY), OLD, {}),
    "python-sdk-2-auto": Client(python_sdk_2(AUTO), BOTH, {}),
    "python-sdk-2-pinned": Client(python_sdk_2(PINNED), NEW, _WITHOUT_SESSIONS),
    "fastmcp": Client(fastmcp(AUTO), BOTH, {}),
    "typescript-sdk-1": Client(typescript_sdk_1, OLD, _WITHOUT_SOCKET),
    "typescript-sdk-2-legacy": Client(typescript_sdk_2(LEGACY), OLD, _WITHOUT_SOCKET),
    "typescript-sdk-2-auto": Client(typescript_sdk_2(AUTO), BOTH, _WITHOUT_SOCKET),
    "typescript-sdk-2-pinned": Client(
        typescript_sdk_2(PINNED), NEW, _WITHOUT_SOCKET | _WITHOUT_SESSIONS, asks=True
    ),
    "inspector-legacy": Client(inspector("legacy"), OLD, _WITHOUT_SOCKET, calls=FEW),
    "inspector-modern": Client(
        inspector("modern"), NEW, _WITHOUT_SOCKET | _WITHOUT_SESSIONS, asks=True, calls=FEW
    ),
    # It ends without a word.
    "mcp-remote": Client(mcp_remote, OLD, _WITHOUT_SOCKET | {Front.STDIO: ON_STDIO}, says=""),
}


def pairs() -> Iterator[tuple[str, Front]]:
    """Every client with every front that it can take."""
    for name, client in CLIENTS.items():
        for front in Front:
            if front not in client.lacks:
                yield name, front


def spoken(client: str, front: Front) -> frozenset[str]:
    """The eras that a client can speak through a front."""
    return CLIENTS[client].eras & (OLD if front is Front.SSE else BOTH)


def refusal(client: str, front: Front, server: str) -> str:
    """Return the reason why the gateway has to refuse; empty where it serves."""
    there = SERVERS[server]
    if spoken(client, front) & there.eras or there.bridge == "always":
        return ""
    if there.bridge == "off":
        return "they have no era in common, and the gateway is not to translate"
    if CLIENTS[client].asks and STATELESS not in there.eras:
        return "it asks just like a client that can fall back to sessions, which is better off without translation"
    return ""
