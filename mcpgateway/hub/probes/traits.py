"""The facts known of each server beyond its entry, from its sources, its own answers and observation; and the verdicts.

A verdict says how widely a server is shared, by what, and what it asks its clients.

Findings are recorded for the server's launch, so that each is made once; see `mcpgateway.policy.known_servers` for the
facts that the gateway brings along, and `mcpgateway.policy.tool_names` for the evidence of tool names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from twisted.logger import Logger

from mcpgateway.config.model import ServerSpec, Share
from mcpgateway.config.reach_settings import Container, Rest
from mcpgateway.errors import GatewayError
from mcpgateway.hub.catalog.fetch import fetch_list
from mcpgateway.interfaces import ISessionStore
from mcpgateway.policy.client_requests import ROOTS
from mcpgateway.policy.concurrency import is_single
from mcpgateway.policy.known_servers import KnownServer, Trait, is_container, known_by_info, known_by_start
from mcpgateway.policy.recorded_answers import HELLO, place_of
from mcpgateway.policy.sharing import launch_digest, may_move, reason_of_state, scope_of
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
BY_ROOTS = "roots"
QUESTIONS_LIMIT = 16  # different ones of one server
_FORMERLY = f"it asked {ROOTS}"  # the verdict of gateways that gave each session a child because of that
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


class SharingVerdicts:
    """The verdicts on all servers.

    :ivar moves: the number of changes of any server's scope, or of its habit to ask.
    :ivar traits: the known properties of servers.
    """

    log = Logger()

    def __init__(self, store: ISessionStore, snapshots: Snapshots | None) -> None:
        self._store = store
        self.traits = Traits(store, snapshots)
        self._reasons: dict[str, str | None] = {}
        self._asking: dict[str, frozenset[str]] = {}
        self.moves = 0

    def forget_verdicts(self, server: ServerSpec) -> None:
        """Read the verdicts on a server that is redefined or removed anew."""
        self._reasons.pop(server.name, None)
        self._asking.pop(server.name, None)
        self.traits.forget(server)
        self.moves += 1

    def scope(self, server: ServerSpec) -> Share:
        """Return the scope of a server's child."""
        return Share.SESSION if self.reason(server) else scope_of(server)

    def reason(self, server: ServerSpec) -> str:
        """Return why a server has one child per session although its entry does not demand it; else empty."""
        return self._found_out(server) or self.traits.state(server)

    def shared_by(self, server: ServerSpec) -> dict[str, Any]:
        """Return, for people, by what the sessions of a server share a child, why, and what it asks them."""
        by_roots = self.goes_by_roots(server)
        return {
            "share": BY_ROOTS if by_roots else self.scope(server).value,
            "share_reason": "it works in the roots of its client" if by_roots else self.reason(server),
            "asked": sorted(self.asks(server)),
        }

    def keeps_state(self, server: ServerSpec) -> bool:
        """True if a server keeps state for each client, by its entry or by its known properties."""
        return server.share is Share.SESSION or bool(self.traits.state(server))

    def keeps_nothing(self, server: ServerSpec) -> bool:
        """True if a server may be stopped between calls: it is known to keep nothing, or its entry has an idle time."""
        return server.lazy.idle_s > 0 or self.traits.is_stateless(server)

    def is_open_question(self, server: ServerSpec) -> bool:
        """True if the scope of a server's child is still to be found out."""
        return may_move(server) and self._found_out(server) is None and not self.traits.state(server)

    def _found_out(self, server: ServerSpec) -> str | None:
        if not may_move(server):
            return None
        if server.name not in self._reasons:
            found = self._store.verdict(launch_digest(server))
            self._reasons[server.name] = None if found == _FORMERLY else found
        return self._reasons[server.name]

    def is_writer(self, server: ServerSpec) -> bool:
        """True if a server is known to write data, by its sources or by observation."""
        return bool(self.traits.writes(server))

    def is_single(self, server: ServerSpec) -> bool:
        """True if a server may have no second child at the same time in its scope.

        That excludes a replica, a child of the other era, and a fresh child beside a stuck one.
        """
        return is_single(server, self.scope(server), is_writer=self.is_writer(server))

    def settle(self, server: ServerSpec) -> None:
        """Record that a server has proved to be shareable."""
        if self._found_out(server) is None:
            self._reasons[server.name] = ""
            self._store.judge(launch_digest(server), "")

    def move(self, server: ServerSpec, why: str) -> None:
        """Give each new session of a server a child of its own from now on, if the server's entry leaves that open."""
        if not may_move(server) or self._found_out(server):
            return
        self._reasons[server.name] = why
        self.moves += 1
        self._store.judge(launch_digest(server), why)
        self.tell_moved(server, why)

    def asks(self, server: ServerSpec) -> frozenset[str]:
        """Return the questions that a server is known to ask: in the middle of a call, or for roots at any time."""
        if server.name not in self._asking:
            self._asking[server.name] = frozenset((self._store.verdict(_asking(server)) or "").split())
        heeds = self.traits.known(server).heeds or ()
        return self._asking[server.name] | ({ROOTS} if "roots" in heeds else set())

    def saw_asking(self, server: ServerSpec, method: str) -> None:
        """Record that a server has sent a question."""
        asked = self.asks(server)
        if method not in asked and len(asked) < QUESTIONS_LIMIT:
            self._asking[server.name] = asked | {method}
            self.moves += 1
            self._store.judge(_asking(server), " ".join(sorted(self._asking[server.name])))

    def goes_by_roots(self, server: ServerSpec) -> bool:
        """True if the sessions of a server share its children by the roots of their clients."""
        if server.concurrency is not None or server.replicas > 1 or server.is_sole or not may_move(server):
            return False
        return ROOTS in self.asks(server) and not self.reason(server)

    def asks_with_each_call(self, server: ServerSpec) -> bool:
        """True if each call of a client without a session goes to a child of the client's roots.

        A child of a server that keeps state has one client, and asks it itself.
        """
        may_have_several = self.goes_by_roots(server) or not self.is_single(server)
        return ROOTS in self.asks(server) and may_have_several and not self.keeps_state(server)

    def tell_moved(self, server: ServerSpec, why: str) -> None:
        """Log that a server has one child for each new session from now on."""
        self.log.warn(
            "{server} gets a child for each new session from now on, because {why}",
            event="server.moved",
            server=server.name,
            why=why,
        )


def _asking(server: ServerSpec) -> str:
    return f"asks {launch_digest(server)}"


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
