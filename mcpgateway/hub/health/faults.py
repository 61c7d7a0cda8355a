"""What is wrong with the gateway as a whole; what is wrong with single servers is told of each of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import asdict, field, frozen

DISK, CONFIGURATION, DISABLED = "disk", "configuration", "disabled"


@frozen
class Fault:
    """Something that is wrong.

    :ivar code: what it is, for programs.
    :ivar message: a sentence.
    :ivar hint: what helps.
    """

    code: str
    message: str
    hint: str

    def shown(self) -> dict[str, str]:
        """All of it, for programs."""
        return asdict(self)


@frozen
class Faults:
    """Finds out what is wrong, when somebody asks.

    :ivar lack: why nothing can be written to the home; empty where it can.
    :ivar problems: why the configuration as it is now is not in force; empty where it is.
    :ivar is_disabled: whether the gateway is switched off softly.
    """

    lack: Callable[[], str] = field(repr=False)
    problems: Callable[[], Sequence[object]] = field(repr=False)
    is_disabled: Callable[[], bool] = field(repr=False)

    def __call__(self) -> list[Fault]:
        """All of it, the worst first."""
        found = []
        if lack := self.lack():
            found.append(
                Fault(
                    DISK,
                    f"{lack}; sessions, records and logs of the gateway are not kept",
                    "make room there, or give the gateway its own disk: mcpgateway --home DIRECTORY start",
                )
            )
        if problems := self.problems():
            more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
            found.append(
                Fault(
                    CONFIGURATION,
                    f"the configuration cannot be used, and what runs goes on as before: {problems[0]}{more}",
                    "mcpgateway config check says all that is wrong with it",
                )
            )
        if self.is_disabled():
            found.append(
                Fault(
                    DISABLED,
                    "the gateway is switched off: clients' files are restored, and no server is served",
                    "mcpgateway enable enrols the clients' files again",
                )
            )
        return found
