"""Faults of the gateway as a whole; those of a server are shown with the server."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import Struct
from msgspec.structs import asdict

from mcpgateway.hints import cli
from mcpgateway.records import FrozenRecord

DISK, CONFIGURATION, RESTART, DISABLED = "disk", "configuration", "restart", "disabled"


class Fault(Struct, frozen=True):
    """A fault of the gateway.

    :ivar code: its name, for programs.
    :ivar message: one sentence that describes it.
    :ivar hint: the remedy.
    """

    code: str
    message: str
    hint: str

    def shown(self) -> dict[str, str]:
        """Return its members in the REST API."""
        return asdict(self)


class Faults(FrozenRecord, frozen=True):
    """Finds the faults of the gateway when called.

    :ivar lack: returns the reason why the home cannot be written to; empty where it can.
    :ivar problems: returns the errors for which the current configuration is not in force; empty where it is.
    :ivar refusal: returns time and reason of the latest restart, if it was refused; empty if it was not.
    :ivar is_disabled: returns True if the gateway is disabled (``mcpgateway clients pause``).
    """

    lack: Callable[[], str]
    problems: Callable[[], Sequence[object]]
    refusal: Callable[[], str]
    is_disabled: Callable[[], bool]

    def __call__(self) -> list[Fault]:
        """Return all faults, the worst first."""
        found = []
        if lack := self.lack():
            found.append(
                Fault(
                    DISK,
                    f"{lack}; sessions, records and logs of the gateway are not kept",
                    f"make room there, or give the gateway its own disk: {cli('--home DIRECTORY start')}",
                )
            )
        if problems := self.problems():
            more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
            found.append(
                Fault(
                    CONFIGURATION,
                    f"the configuration cannot be used, and what runs goes on as before: {problems[0]}{more}",
                    f"{cli('config check')} says all that is wrong with it",
                )
            )
        if refusal := self.refusal():
            found.append(
                Fault(
                    RESTART,
                    f"what runs goes on as before, since a restart was refused on {refusal}",
                    f"mend that, and {cli('restart')} tries again",
                )
            )
        if self.is_disabled():
            found.append(
                Fault(
                    DISABLED,
                    "clients are paused: their files are restored, and the gateway refuses their requests",
                    f"{cli('clients resume')} enrols the clients' files again",
                )
            )
        return found
