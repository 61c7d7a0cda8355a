"""The overview of the gateway: whether all is well, what needs its user, and the command that helps.

``mcpgateway status``, ``GET /api/v1/overview`` and every page that shows a verdict read it here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict

from mcpgateway.observe.census import Census
from mcpgateway.observe.why import Diagnoser
from mcpgateway.policy.access import LOCAL
from mcpgateway.policy.health import HealthState
from mcpgateway.policy.readiness import login
from mcpgateway.records import FrozenRecord

GATEWAY = "gateway"
WISHED = frozenset(("disabled", "switched-off"))
"""The causes that are a user's own will."""

_WELL = frozenset(each.value for each in (HealthState.RUNNING, HealthState.IDLE, HealthState.STARTING))


class OpenNeed(Struct, frozen=True):
    """Something that needs the gateway's user.

    :ivar kind: ``gateway``, ``server`` or ``file``.
    :ivar name: the name of the server, or the path of the file; empty for the gateway.
    :ivar cause: its name, for programs.
    :ivar says: the cause, in one line.
    :ivar do: the remedy, a command where there is one; empty where none is known.
    """

    kind: str
    name: str
    cause: str
    says: str
    do: str


class Overview(FrozenRecord, frozen=True):
    """Makes the overview on request.

    :ivar redact: removes all secrets from a text.
    """

    census: Census
    why: Diagnoser
    redact: Callable[[str], str] = str

    def tell(self, principal: str = LOCAL) -> dict[str, Any]:
        """Return the numbers of `Census.health`, with the verdict and the needs.

        :param principal: the caller; only the gateway's own user gets that user's sign-in addresses.
        """
        found = self.census.health(principal)
        needs = list(self._needs(found))
        return {
            "ok": not needs,
            "verdict": verdict(needs, found["servers"]),
            "needs": [asdict(each) for each in needs],
            **found,
        }

    def _needs(self, found: Mapping[str, Any]) -> Iterator[OpenNeed]:
        for fault in found["problems"]:
            yield OpenNeed(GATEWAY, "", fault["code"], self.redact(fault["message"]), fault["hint"])
        for file in found["approvals"]:
            names = ", ".join(file["servers"])
            yield OpenNeed(
                "file",
                file["path"],
                "not-approved",
                f"it defines {names}, and is not approved of as it is now",
                f"mcpgateway config approve {file['path']}",
            )
        for server in found["backends"]:
            yield from self._needs_of(server)

    def _needs_of(self, server: Mapping[str, Any]) -> Iterator[OpenNeed]:
        name = server["name"]
        if server["status"] in _WELL and not server["last_error"]:
            return
        if server["status"] == HealthState.NEEDS_LOGIN.value:
            yield OpenNeed("server", name, "authorization", "it needs a sign-in", login(name))
            return
        troubles = [each for each in self.why.tell(name)["advice"] if each["trouble"]]
        if troubles and troubles[0]["cause"] not in WISHED:
            first = troubles[0]
            yield OpenNeed(
                "server", name, first["cause"], first["says"], first["do"] or f"mcpgateway why {name}"
            )


def verdict(needs: Sequence[object], servers: int) -> str:
    """Return in one sentence whether all is well."""
    if needs:
        return f"{len(needs)} thing{' needs' if len(needs) == 1 else 's need'} you"
    return "everything works" if servers else "no server is configured"
