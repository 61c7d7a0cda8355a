"""The overview of the gateway: whether all is well, what needs its user, and the command that helps.

``mcpgateway status``, ``GET /api/v1/overview`` and every page that shows a verdict read it here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Container, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any
from urllib.parse import quote

from msgspec import Struct, field
from msgspec.structs import asdict

from mcpgateway.bounded import Bounded
from mcpgateway.config.document import visible
from mcpgateway.config.model import ClientFile, ServerSpec
from mcpgateway.hints import cli, with_command
from mcpgateway.hub.health.faults import CONFIGURATION, DISABLED, DISK
from mcpgateway.observe.attention import Attention
from mcpgateway.observe.census import Census
from mcpgateway.observe.unreadable_files import UnreadableFile
from mcpgateway.observe.why import Diagnoser
from mcpgateway.policy.access import LOCAL, is_client
from mcpgateway.policy.diagnosis import CRASHES, HELD_BACK, MANY_CRASHES, SIGN_IN, UNKNOWN
from mcpgateway.policy.health import HealthState
from mcpgateway.policy.readiness import login, shown_state
from mcpgateway.records import FrozenRecord

GATEWAY, SERVER, FILE = "gateway", "server", "file"
PAGE = "/ui/"
VALUES = frozenset(("env", "headers"))  # parts of a server's entry that hold values
WISHED = frozenset(("disabled", "switched-off"))
"""The causes that are a user's own will."""

UNREADABLE = "unreadable"
"""The cause of a client's file that cannot be read."""

FOUND_SINCE = "found-since"
"""The cause that has gone by itself: the program of the server could not be used at the last try, and can be now."""

LOST = "unknown-server"
"""The cause that an entry of a client's file leads to a server that the gateway does not have."""

STORE_LOST = "store-lost"
"""The cause that this node of a cluster does not reach the store."""

NAME_SHARED, NODE_REFUSED = "name-shared", "node-refused"
"""The causes that another gateway has this node's name, and that the store is not for this node."""

PAGES = {
    DISK: f"{PAGE}gateway",
    CONFIGURATION: f"{PAGE}gateway",
    LOST: f"{PAGE}add",
    **dict.fromkeys((STORE_LOST, NAME_SHARED, NODE_REFUSED), f"{PAGE}nodes"),
}
"""The pages that help with needs that are not those of a server."""

BROKEN = frozenset((DISK, CONFIGURATION, STORE_LOST, NAME_SHARED, NODE_REFUSED))
_WELL = frozenset(each.value for each in (HealthState.RUNNING, HealthState.ASLEEP, HealthState.STARTING))
_AT_REST = frozenset(each.value for each in (HealthState.IDLE, HealthState.STOPPED))
FINE_LIMIT = 10_000
FINE_S = 30  # until the program and the directory of a server at rest are looked for again


class NeedAction(Struct, frozen=True, omit_defaults=True):
    """What a button of a page does about a need: a request, or another page.

    :ivar label: the words on the button.
    :ivar method: the method of the request; empty for a page.
    :ivar path: its path.
    :ivar page: the path of the page of the dashboard; empty for a request.
    """

    label: str
    method: str = ""
    path: str = ""
    page: str = ""


class OpenNeed(Struct, frozen=True):
    """Something that needs the gateway's user.

    :ivar kind: ``gateway``, ``server`` or ``file``.
    :ivar name: the name of the server, or the path of the file; empty for the gateway.
    :ivar cause: its name, for programs.
    :ivar says: the cause, in one line.
    :ivar do: the remedy, with the command at its end where there is one; empty where none is known.
    :ivar run: that command.
    :ivar action: the action of a page that helps, as in `mcpgateway.policy.diagnosis.Advice`.
    :ivar key: the key of the server's entry that this action sets.
    """

    kind: str
    name: str
    cause: str
    says: str
    do: str
    run: str
    action: str = ""
    key: str = ""

    @property
    def id(self) -> str:
        """An id that stays the same for as long as the need is there."""
        text = f"{self.kind}\n{self.name}\n{self.cause}\n{self.run}"
        return blake2b(text.encode(), digest_size=6).hexdigest()

    @property
    def level(self) -> str:
        """``error`` for what does not work, ``warning`` for what waits for its user's word."""
        return (
            "error"
            if (self.kind == SERVER and self.action != SIGN_IN and self.cause != HELD_BACK)
            or self.cause in BROKEN
            else "warning"
        )

    def actions(self) -> list[NeedAction]:
        """Return what the buttons of a page do about it, the best first."""
        if self.kind != SERVER:
            return [NeedAction("Look", page=PAGES.get(self.cause, f"{PAGE}clients"))]
        page, route = (
            f"{PAGE}servers/{quote(self.name, safe='')}",
            f"/api/v1/servers/{quote(self.name, safe='')}",
        )
        why = NeedAction("Why", page=page)
        if self.cause == HELD_BACK:
            return [why]
        if self.action == SIGN_IN:
            return [why, NeedAction("Sign in", "POST", f"{route}/login")]
        again = NeedAction("Try now", "POST", f"{route}/restart?reset=true&wait=30s")
        if self.cause == UNKNOWN:
            return [why, NeedAction("Settings", page=f"{page}/settings"), again]
        if not self.key:
            return [why, again]
        kind, _, name = self.key.partition(".")
        label = f"Set {name}" if kind in VALUES and name else f"Change {self.key}"
        return [why, NeedAction(label, page=f"{page}/settings?key={quote(self.key, safe='')}"), again]

    def shown(self, since: str) -> dict[str, Any]:
        """Return it for the REST API."""
        return {**asdict(self), "id": self.id, "level": self.level, "since": since, "actions": self.actions()}


async def _nothing_to_learn() -> None:
    return None


class Overview(FrozenRecord, frozen=True):
    """Makes the overview on request.

    :ivar redact: removes all secrets from a text.
    :ivar unreadable: returns the clients' files that cannot be read.
    :ivar attention: knows since when each need is there.
    :ivar figures: returns the other numbers that the page of the overview shows.
    :ivar fine: the servers at rest without troubles: their definition, and until when nothing is looked for again.
    :ivar more: returns the needs of other parts of the gateway, such as of a node of a cluster.
    :ivar learn: counts the calls before the start from the activity log, for `figures`.
    """

    census: Census
    why: Diagnoser
    redact: Callable[[str], str] = str
    unreadable: Callable[[], Iterable[UnreadableFile]] = tuple
    attention: Attention | None = None
    figures: Callable[[], dict[str, Any]] = dict
    learn: Callable[[], Awaitable[None]] = _nothing_to_learn
    more: Callable[[], Iterable[OpenNeed]] = tuple
    fine: Bounded[str, tuple[ServerSpec | None, float]] = field(default_factory=lambda: Bounded(FINE_LIMIT))

    def tell(self, principal: str = LOCAL) -> dict[str, Any]:
        """Return the numbers of `Census.health`, with the verdict and the needs.

        :param principal: the caller; only the gateway's own user gets that user's sign-in addresses.
        """
        found = self.census.health(principal)
        needs, words = self._all(found)
        return {
            "ok": not needs,
            "verdict": verdict(needs, found["servers"], is_paused=found["disabled"]),
            "needs": self._shown(needs),
            **found,
            **({} if is_client(principal) else {"listeners": list(self.census.listens())}),
            "backends": [
                {**numbers, **state} for numbers, state in zip(found["backends"], words, strict=True)
            ],
            **self.figures(),
        }

    def _all(self, found: Mapping[str, Any]) -> tuple[list[OpenNeed], list[dict[str, str]]]:
        """Return all needs, and the words for the state of each server."""
        judged = [self.judged(each) for each in found["backends"]]
        return (
            [*self._needs(found), *(need for _, need in judged if need is not None)],
            [words for words, _ in judged],
        )

    def look(self) -> None:
        """Find the needs, for those who are told when they change."""
        self._shown(self._all(self.census.health())[0])

    def _shown(self, needs: Sequence[OpenNeed]) -> list[dict[str, Any]]:
        now = self.why.health.wall()
        began = {each.id: self._began(each, now) for each in needs}
        since = began if self.attention is None else self.attention.dated(began)
        return [each.shown(_written(since[each.id])) for each in needs]

    def _began(self, need: OpenNeed, now: float) -> float:
        history = self.why.health.histories.find(need.name) if need.kind == SERVER else None
        return history.ill_since or now if history is not None else now

    def _needs(self, found: Mapping[str, Any]) -> Iterator[OpenNeed]:
        for fault in found["problems"]:
            if fault["code"] == DISABLED:
                continue  # a user's own will
            yield OpenNeed(GATEWAY, "", fault["code"], self.redact(fault["message"]), fault["hint"], "")
        yield from self.more()
        for file in found["approvals"]:
            says = f"it defines {', '.join(file['servers'])}, and is not approved as it is now"
            run = cli("config approve {}", file["path"])
            yield OpenNeed(FILE, file["path"], "not-approved", says, run, run)
        for each in self.unreadable():
            do = "put that right: until then the gateway can neither enrol the file nor restore it"
            run = cli("doctor")
            yield OpenNeed(FILE, each.path, UNREADABLE, self.redact(each.trouble), with_command(do, run), run)
        yield from lost_entries(self.census.clients(), {each["name"] for each in found["backends"]})

    def judged(self, server: Mapping[str, Any]) -> tuple[dict[str, str], OpenNeed | None]:
        """Return the words for the state of a server, and what it needs of its user, or None.

        ``status`` is that of a server that works again by itself, and ``state`` tells a failed one from one that is
        switched off.

        :param server: the numbers of `Census.server`.
        """
        status, name = server["status"], server["name"]
        held = self._held_back(name)
        if status in _WELL and not server["last_error"] and server["crashes_1h"] < MANY_CRASHES:
            return {"status": status, "state": status}, held
        now, definition = self.why.health.now, self.why.dispatcher.servers.get(name)
        rests = status in _AT_REST and not server["last_error"] and not server["crashes_1h"]
        if rests and (fine := self.fine.get(name)) and fine[0] is definition and now < fine[1]:
            return {"status": status, "state": shown_state(status, is_faulty=False)}, held
        troubles = self.why.troubles(name)
        first = troubles[0] if troubles else None
        need = None
        is_signed_out = status == HealthState.NEEDS_LOGIN.value
        if is_signed_out and not (first and "login" not in first["do"]):
            need = OpenNeed(
                SERVER, name, "authorization", "it needs a sign-in", login(name), login(name), SIGN_IN
            )
        elif first and first["cause"] == FOUND_SINCE and not first["run"]:
            status = HealthState.STOPPED.value  # the next call starts it, as any other
        elif first and first["cause"] not in WISHED:
            do = first["do"] or cli("why {}", name)
            run = first["run"] if first["do"] else do
            action, key = first["action"], first["key"]
            need = OpenNeed(SERVER, name, first["cause"], first["says"], do, run, action, key)
        if rests and need is None:
            self.fine[name] = (definition, now + FINE_S)
        # A server that crashes again and again is started by its next call all the same.
        is_faulty = need is not None and need.cause != CRASHES
        return {"status": status, "state": shown_state(status, is_faulty=is_faulty)}, need or held

    def _held_back(self, name: str) -> OpenNeed | None:
        held = next((each for each in self.why.notes(name) if each.cause == HELD_BACK), None)
        return OpenNeed(SERVER, name, HELD_BACK, held.says, held.remedy, held.run) if held else None


def lost_entries(files: Sequence[ClientFile], served: Container[str]) -> Iterator[OpenNeed]:
    """Yield the entries of enrolled files that lead to servers which the gateway does not have.

    The file of a project is left out: its servers are there once its user has approved it.

    :param served: the names of the gateway's servers.
    """
    for file in files:
        if file.project or file.suspended:
            continue
        for name in file.servers:
            if name not in served:
                says = visible(
                    f"{file.path} has an entry for {name}, and the gateway has no server of that name"
                )
                run = cli("clients undo --server {} --client {}", name, file.client)
                yield OpenNeed(GATEWAY, "", LOST, says, f"add that server, or take the entry out: {run}", run)


def verdict(needs: Sequence[object], servers: int, *, is_paused: bool = False) -> str:
    """Return in one sentence whether all is well."""
    if needs:
        return f"{len(needs)} thing{' needs' if len(needs) == 1 else 's need'} you"
    if is_paused:
        return "clients are paused"
    return "everything works" if servers else "no server is configured"


def _written(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
