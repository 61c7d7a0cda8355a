"""What was done with clients' files, for people and programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import asdict, evolve, field, frozen


@frozen
class Left:
    """An entry that is as it was, and why.

    :ivar hint: what to do about it.
    """

    title: str
    why: str
    hint: str = ""


@frozen
class FileReport:
    """What was done with one file.

    :ivar client: the name of the client.
    :ivar changed: whether the file is another than before.
    :ivar mode: how its entries use the gateway.
    :ivar adopted: what uses the gateway and did not before: as what it is served, by title.
    :ivar renewed: the same of what uses the gateway in another way than before.
    :ivar restored: the titles of what is as it was before us.
    :ivar rebuilt: of what was put together again from elsewhere, and from where.
    :ivar gone: of what the user had removed, and has stayed away.
    :ivar kept: of what the user had made into something else, and was left.
    :ivar error: why the file could not be used.
    :ivar exact: the file is what it was before us, to the byte.
    :ivar in_place: why a reader may have seen half of it for a moment.
    """

    path: str
    client: str
    title: str
    changed: bool = False
    mode: str = ""
    adopted: Mapping[str, str] = field(factory=dict)
    renewed: Mapping[str, str] = field(factory=dict)
    restored: tuple[str, ...] = ()
    rebuilt: Mapping[str, str] = field(factory=dict)
    gone: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    left: tuple[Left, ...] = ()
    error: str = ""
    exact: bool = False
    in_place: str = ""


@frozen
class Report:
    """What was done.

    :ivar warnings: what the user should know besides.
    :ivar rolled_back: why all that was changed has been restored; "" where nothing was.
    """

    files: tuple[FileReport, ...] = ()
    warnings: tuple[str, ...] = ()
    rolled_back: str = ""

    @property
    def is_changed(self) -> bool:
        """Whether any file is another than before."""
        return any(each.changed for each in self.files)

    @property
    def errors(self) -> tuple[str, ...]:
        """What could not be done."""
        return tuple(each.error for each in self.files if each.error)

    def as_json(self) -> dict[str, Any]:
        """For programs; there is nothing in it that is secret."""
        return {"changed": self.is_changed, **asdict(self)}


def together(reports: Sequence[Report]) -> list[Report]:
    """Tell steps that follow one another as one: what a later one leaves as it is, too, is told once.

    A step that was taken back is told by itself, as all are then.
    """
    if len(reports) < 2 or any(each.rolled_back for each in reports):
        return list(reports)
    files: list[FileReport] = []
    for report in reversed(reports):
        later = {(each.path, left) for each in files for left in each.left}
        files[:0] = [
            evolve(each, left=tuple(left for left in each.left if (each.path, left) not in later))
            for each in report.files
        ]
    return [Report(tuple(files), tuple(dict.fromkeys(each for one in reports for each in one.warnings)))]
