"""The facts known of each server beyond its entry: from its sources, its own answers, and observation.

Findings are recorded for the server's launch, so that each is made once; see `mcpgateway.policy.known_servers` for the
facts that the gateway brings along, and `mcpgateway.policy.tool_names` for the evidence of tool names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from mcpgateway.config.model import ServerSpec, Share
from mcpgateway.config.reach_settings import Container, Rest
from mcpgateway.errors import GatewayError
from mcpgateway.hub.catalog.fetch import fetch_list
from mcpgateway.interfaces import ISessionStore
from mcpgateway.policy.known_servers import KnownServer, Trait, is_container, known_by_info, known_by_start
from mcpgateway.policy.recorded_answers import HELLO, place_of
from mcpgateway.policy.sharing import launch_digest, reason_of_state, scope_of
from mcpgateway.policy.tool_names import state_told_by
from mcpgateway.protocol import jsonrpc, modern, peek
from mcpgateway.protocol.jsonrpc import Envelope
from mcpgateway.records import Record

if TYPE_CHECKING:
    from msgspec import Raw
    from twisted.internet.defer import Deferred

    from mcpgateway.hub.catalog.recorded import Snapshots

LIST_TOOLS = "tools/list"
PAGES_LIMIT = 50
KEPT_LIMIT = 1000  # servers, each counted once for each workspace
NAME_CHARS = 128
IN_CONTAINER = "it runs in a container, where it cannot be seen what it writes"
NO_SIGHT = "this system does not tell what programs write"
TOLD = "its tool {tool} keeps something for the client that calls it"


class _Record(Record):
    """The facts known of one launch; None stands for a fact that is not known yet.

    :ivar why: the reason why it keeps state for each client, by all that is known; empty where there is none.
    :ivar state: the same, by its tools alone.
    :ivar info: the name in its ``serverInfo``.
    :ivar writes: a description of its writing; empty where it was watched and did not write.
    """

    server: ServerSpec
    digest: str
    state: str | None
    info: str
    writes: str | None
    why: str = ""

    def conclude(self) -> None:
        """Set ``why`` by all that is known now."""
        known = known_by_info(self.info)
        reason = known.reason if Trait.STATE in known.traits else self.state or ""
        self.why = reason_of_state(self.server) or reason


class Traits:
    """The facts known of all servers.

    :param snapshots: the recorded answers of servers; None where none are kept.
    :ivar looks: True if the gateway watches writing; servers that cannot be watched then count as writing.
    :ivar sees: True if this system tells the bytes that programs write.
    """

    def __init__(self, store: ISessionStore, snapshots: Snapshots | None = None) -> None:
        self._store = store
        self._snapshots = snapshots
        self.looks = False
        self.sees = True
        self._records: dict[tuple[str, str], _Record] = {}

    def _of(self, server: ServerSpec) -> _Record:
        # Needed with every request, so the record is kept for the same definition; another one is another launch.
        key = (server.name, server.workspace)
        found = self._records.get(key)
        if found is None or found.server is not server:
            digest = launch_digest(server)
            if found is not None and found.digest == digest:
                found.server = server
                return found
            if len(self._records) >= KEPT_LIMIT:
                self._records.clear()  # all of it is recorded on disk
            found = self._records[key] = self._read(server, digest)
        return found

    def _read(self, server: ServerSpec, digest: str) -> _Record:
        verdict = self._store.verdict
        found = _Record(
            server,
            digest,
            verdict(f"state {digest}"),
            verdict(f"info {digest}") or "",
            verdict(f"writes {digest}"),
        )
        found.conclude()
        if found.state is None and self._snapshots is not None and _is_open(server):
            self._recall(found, self._snapshots)
        return found

    def _recall(self, record: _Record, snapshots: Snapshots) -> None:
        # The recorded answers of a server spare a start where no finding is recorded.
        name, place = record.server.name, place_of(record.server)
        hello, tools = (snapshots.newest(name, place, each) for each in (HELLO, LIST_TOOLS))
        if hello is not None:
            self._introduce(record, jsonrpc.read_object(hello.pages[0], HELLO))
        if tools is not None:
            self._judge(record, tools.pages)

    def forget(self, server: ServerSpec) -> None:
        """Forget a server that is redefined or removed."""
        for key in [each for each in self._records if each[0] == server.name]:
            del self._records[key]

    # Reading

    def known(self, server: ServerSpec) -> KnownServer:
        """Return the facts known of a server from its sources, by its command or its own name."""
        found = known_by_start(server)
        return found if found.traits else known_by_info(self._of(server).info)

    def state(self, server: ServerSpec) -> str:
        """Return the reason why a server keeps state for each client; empty if none is known or its entry decides."""
        return self._of(server).why if server.share is Share.AUTO else ""

    def is_stateless(self, server: ServerSpec) -> bool:
        """True if a server is known to keep nothing of one client that another could meet."""
        return Trait.STATELESS in self.known(server).traits

    def writes(self, server: ServerSpec) -> str | None:
        """Return a description of a server's writing; empty if it was seen not to write, None where unknown."""
        known = self.known(server)
        if Trait.WRITES in known.traits:
            return known.reason
        seen = self._of(server).writes
        return seen or (self._unseen(server) if self.looks else "") or seen

    def _unseen(self, server: ServerSpec) -> str:
        """Return the reason why a server's writing cannot be watched; empty where it can, or need not."""
        if isinstance(server.reach, Container) or is_container(server.command):
            return IN_CONTAINER
        return "" if self.sees or server.reach is not None else NO_SIGHT

    def is_unknown(self, server: ServerSpec) -> bool:
        """True if a server's tools have to be read before several sessions share it."""
        record = self._of(server)
        return record.state is None and not record.why and _is_open(server)

    # Findings

    def introduced(self, server: ServerSpec, hello: Envelope) -> None:
        """Take a child's answer to the handshake."""
        self._introduce(self._of(server), hello)

    def _introduce(self, record: _Record, hello: Envelope) -> None:
        info = peek.members(hello, "serverInfo") or peek.members(
            peek.members(hello, "_meta"), modern.SERVER_INFO_KEY
        )
        name = peek.text(info, "name", NAME_CHARS) or ""
        if name and name != record.info:
            record.info = name
            record.conclude()
            self._store.judge(f"info {record.digest}", name)

    def listed(self, server: ServerSpec, pages: Iterable[Raw]) -> str:
        """Take a server's list of tools; return a new reason why it keeps state for each client, else empty."""
        record = self._of(server)
        if not _is_open(server) or record.state:
            return ""
        self._judge(record, pages)
        return record.state or ""

    def _judge(self, record: _Record, pages: Iterable[Raw]) -> None:
        tool = state_told_by(tool_names(each for page in pages for each in tools_in(page)))
        state = TOLD.format(tool=tool) if tool else ""
        if state != record.state:
            record.state = state
            record.conclude()
            self._store.judge(f"state {record.digest}", state)

    def unsee(self, server: ServerSpec) -> None:
        """Forget a server's writing; the record on disk stays until the next finding."""
        self._of(server).writes = None

    def saw(self, server: ServerSpec, writes: str) -> None:
        """Record a description of a server's writing; empty where it does not write."""
        record = self._of(server)
        if writes != record.writes:
            record.writes = writes
            self._store.judge(f"writes {record.digest}", writes)


def tool_names(tools: Iterable[Any]) -> list[str]:
    """Return the names of tools; entries without one are left out."""
    return [each["name"] for each in tools if isinstance(each.get("name"), str)]


def tools_in(page: Raw) -> list[dict[str, Any]]:
    """Return the tools in one page of a list; none if the page is malformed."""
    try:
        tools = jsonrpc.value(jsonrpc.read_object(page, "result").get("tools", jsonrpc.NULL), list)
    except GatewayError:
        return []
    return [each for each in tools if isinstance(each, dict)]


async def all_tools(
    ask: Callable[[str, dict[str, Any]], Deferred[Envelope]], most: int = PAGES_LIMIT
) -> tuple[Raw, ...]:
    """Fetch a server's list of tools, ``most`` pages at most.

    :raise GatewayError: the server does not answer.
    """

    async def page(cursor: str | None) -> Raw | None:
        reply = await ask(LIST_TOOLS, {} if cursor is None else {"cursor": cursor})
        return reply.get("result")

    return (await fetch_list(page, most=most)).pages


def _is_open(server: ServerSpec) -> bool:
    # The tools of a REST API are made by the gateway, and each is one request.
    is_open = server.share is Share.AUTO and scope_of(server) is Share.GLOBAL
    return is_open and not (server.view or isinstance(server.reach, Rest))
