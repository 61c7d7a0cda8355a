"""The overview of the gateway: whether all is well, what needs its user, and the command that helps.

``mcpgateway status``, ``GET /api/v1/overview`` and every page that shows a verdict read it here.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict

from mcpgateway.config.document import visible
from mcpgateway.config.model import ClientFile
from mcpgateway.hints import cli, with_command
from mcpgateway.hub.health.faults import DISABLED
from mcpgateway.observe.census import Census
from mcpgateway.observe.unreadable_files import UnreadableFile
from mcpgateway.observe.why import Diagnoser
from mcpgateway.policy.access import LOCAL
from mcpgateway.policy.diagnosis import CRASHES, MANY_CRASHES, SIGN_IN
from mcpgateway.policy.health import HealthState
from mcpgateway.policy.readiness import login, shown_state
from mcpgateway.records import FrozenRecord

GATEWAY, FILE = "gateway", "file"
WISHED = frozenset(("disabled", "switched-off"))
"""The causes that are a user's own will."""

UNREADABLE = "unreadable"
"""The cause of a client's file that cannot be read."""

FOUND_SINCE = "found-since"
"""The cause that has gone by itself: the program of the server could not be used at the last try, and can be now."""

LOST = "unknown-server"
"""The cause that an entry of a client's file leads to a server that the gateway does not have."""

_WELL = frozenset(each.value for each in (HealthState.RUNNING, HealthState.STARTING))


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


class Overview(FrozenRecord, frozen=True):
    """Makes the overview on request.

    :ivar redact: removes all secrets from a text.
    :ivar unreadable: returns the clients' files that cannot be read.
    """

    census: Census
    why: Diagnoser
    redact: Callable[[str], str] = str
    unreadable: Callable[[], Iterable[UnreadableFile]] = tuple

    def tell(self, principal: str = LOCAL) -> dict[str, Any]:
        """Return the numbers of `Census.health`, with the verdict and the needs.

        :param principal: the caller; only the gateway's own user gets that user's sign-in addresses.
        """
        found = self.census.health(principal)
        judged = [self.judged(each) for each in found["backends"]]
        needs = [*self._needs(found), *(need for _, need in judged if need is not None)]
        return {
            "ok": not needs,
            "verdict": verdict(needs, found["servers"], is_paused=found["disabled"]),
            "needs": [asdict(each) for each in needs],
            **found,
            "backends": [
                {**numbers, **words} for numbers, (words, _) in zip(found["backends"], judged, strict=True)
            ],
        }

    def _needs(self, found: Mapping[str, Any]) -> Iterator[OpenNeed]:
        for fault in found["problems"]:
            if fault["code"] == DISABLED:
                continue  # a user's own will
            yield OpenNeed(GATEWAY, "", fault["code"], self.redact(fault["message"]), fault["hint"], "")
        for file in found["approvals"]:
            says = f"it defines {', '.join(file['servers'])}, and is not approved of as it is now"
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
        status = server["status"]
        if status in _WELL and not server["last_error"] and server["crashes_1h"] < MANY_CRASHES:
            return {"status": status, "state": status}, None
        name, troubles = server["name"], self.why.troubles(server["name"])
        first = troubles[0] if troubles else None
        need = None
        is_signed_out = status == HealthState.NEEDS_LOGIN.value
        if is_signed_out and not (first and "login" not in first["do"]):
            need = OpenNeed(
                "server", name, "authorization", "it needs a sign-in", login(name), login(name), SIGN_IN
            )
        elif first and first["cause"] == FOUND_SINCE and not first["run"]:
            status = HealthState.STOPPED.value  # the next call starts it, as any other
        elif first and first["cause"] not in WISHED:
            do = first["do"] or cli("why {}", name)
            run = first["run"] if first["do"] else do
            action, key = first["action"], first["key"]
            need = OpenNeed("server", name, first["cause"], first["says"], do, run, action, key)
        # A server that crashes again and again is started by its next call all the same.
        is_faulty = need is not None and need.cause != CRASHES
        return {"status": status, "state": shown_state(status, is_faulty=is_faulty)}, need


def lost_entries(files: Sequence[ClientFile], served: Container[str]) -> Iterator[OpenNeed]:
    """Yield the entries of enrolled files that lead to servers which the gateway does not have.

    The file of a project is left out: its servers are there once its user has approved of it.

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
