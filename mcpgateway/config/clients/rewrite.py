"""Entries of a client's file give way to ours and come back; everything else in its text stays, byte for byte.

# Note [By value]
A file that its client or its user has changed since cannot simply be put back.  What is ours in it is found by where
it leads, wherever it is by now, and gives way to what stood there before us.  What was changed in our entry is
carried over: what was added or is different comes along, what was taken away stays away.  Only what says how the
server is reached is the former entry's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from attrs import evolve, field, frozen

from mcpgateway.config import edit
from mcpgateway.config.clients import forms
from mcpgateway.config.clients.dialect import LEAD, Base, Dialect, Kind, Road, served_by
from mcpgateway.config.clients.forms import BOM
from mcpgateway.config.clients.splices import Splice, reverse, splices
from mcpgateway.config.document import dotted
from mcpgateway.config.edit import MISSING, Edit, Put, Remove, changed, newline_of, same, spliced
from mcpgateway.errors import ConfigError

__all__ = ("Given", "Replaced", "Splice", "carried", "give_back", "replace", "reverse", "splices")


@frozen
class Replaced:
    """One entry that gave way.

    :ivar road: where it stood.
    :ivar former: what stood there; None where nothing did.
    :ivar ours: what stands there now; None where nothing does.
    :ivar written: the former's own text, where it can be put back as it was.
    """

    road: Road
    title: str
    former: Any = field(repr=False)
    ours: Any = field(repr=False)
    written: str = field(default="", repr=False)


@frozen
class Given:
    """A text that was given back.

    :ivar restored: the titles of entries that stand as they did before us.
    :ivar gone: those that the user has removed.
    :ivar kept: those that the user has made into something else.
    """

    text: str = field(repr=False)
    restored: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()


def replace(text: str, file: str, wishes: Sequence[tuple[Road, Any]]) -> tuple[str, tuple[Replaced, ...]]:
    """Let entries have other values; None stands for no entry, before and after.

    :raise ConfigError: the text is not of its form, or cannot be changed without changing something else.
    """
    work = _Work(text, file, [road[:-1] for road, _ in wishes])
    before = work.values
    written = work.put([(road, value, "") for road, value in wishes])
    replaced = (
        Replaced(road, road[-1], _none(edit.at(before, road)), value, written.get(road, ""))
        for road, value in wishes
    )
    return work.whole, tuple(replaced)


def give_back(text: str, file: str, dialect: Dialect, base: Base, replaced: Sequence[Replaced]) -> Given:
    """Put back what stood in the place of entries that are still ours; see Note [By value].

    :raise ConfigError: the text is not of its form, or cannot be changed without changing something else.
    """
    work = _Work(text, file, [*dialect.tables, *(each.road[:-1] for each in replaced)])
    verdict = _Verdict(work.values, dialect, base)
    for each in replaced:
        verdict.judge(each)
    verdict.judge_copies()
    work.put([(road, each.former, each.written) for road, each in verdict.back.items()])
    for road, each in verdict.back.items():
        if isinstance(each.former, Mapping) and isinstance(now := verdict.now[road], Mapping):
            work.carry_over(road, carried(each.former, each.ours, now))
    titles = {each.title: None for each in verdict.back.values()}
    return Given(work.whole, tuple(titles), tuple(verdict.gone), tuple(verdict.kept))


def carried(former: Mapping[str, Any], ours: Any, now: Mapping[str, Any], depth: int = 0) -> dict[str, Any]:
    """Return a former value with what was changed in ours since."""
    wrote = ours if isinstance(ours, Mapping) else {}
    made = dict(former)
    for key in {**wrote, **now}:
        if not depth and key in LEAD and not (key in former and same(former[key], wrote.get(key))):
            continue
        if key not in now:
            made.pop(key, None)
        elif key not in wrote or not same(wrote[key], now[key]):
            made[key] = _merged(former.get(key), wrote.get(key), now[key], depth)
    return made


def _merged(former: Any, wrote: Any, now: Any, depth: int) -> Any:
    if isinstance(former, Mapping) and isinstance(now, Mapping):
        return carried(former, wrote, now, depth + 1)
    return now


def _none(value: Any) -> Any:
    return None if value is MISSING else value


class _Verdict:
    """What becomes of each entry.

    :ivar back: where something is put back, and what.
    :ivar now: what stands there now.
    """

    def __init__(self, values: Any, dialect: Dialect, base: Base) -> None:
        self._values = values
        self._dialect = dialect
        self._base = base
        listed = dialect.listed(values, base)
        self._ours = {each.road: each for each in listed if each.kind is Kind.OURS}
        self._judged: list[Replaced] = []
        self.back: dict[Road, Replaced] = {}
        self.now: dict[Road, Any] = {}
        self.gone: dict[str, None] = {}
        self.kept: dict[str, None] = {}

    def judge(self, replaced: Replaced) -> None:
        """Find what stands for an entry now."""
        self._judged.append(replaced)
        there = edit.at(self._values, replaced.road)
        if replaced.ours is None:
            if there is MISSING:
                self._give(replaced.road, replaced)
            else:
                self.kept[replaced.title] = None
        elif there is not MISSING and self._is_still(replaced.road, replaced):
            self._give(replaced.road, replaced)
        elif (renamed := self._renamed(replaced)) is not None:
            self._give(renamed, replaced)
        elif there is MISSING:
            self.gone[replaced.title] = None
        else:
            self.kept[replaced.title] = None

    def judge_copies(self) -> None:
        """An entry of ours that the user has copied leads nowhere either, once we are gone."""
        for road in self._ours:
            if road not in self.back:
                same_as = (
                    each for each in self._judged if each.ours is not None and self._is_still(road, each)
                )
                if (found := next(same_as, None)) is not None:
                    self._give(road, found)

    def _give(self, road: Road, replaced: Replaced) -> None:
        is_named = (
            isinstance(replaced.former, Mapping) and replaced.former.get(edit.NAME) == replaced.road[-1]
        )
        if is_named and road[-1] != replaced.road[-1] and isinstance(replaced.ours, Mapping):
            # Its name is written inside of it, too.
            replaced = evolve(replaced, former={**replaced.former, edit.NAME: road[-1]}, written="")
            replaced = evolve(replaced, ours={**replaced.ours, edit.NAME: road[-1]})
        self.back[road] = replaced
        self.now[road] = edit.at(self._values, road)

    def _is_still(self, road: Road, replaced: Replaced) -> bool:
        """Tell whether an entry leads where ours led."""
        led = self._dialect.leads(replaced.road, replaced.ours)
        if led and self._dialect.leads(road, edit.at(self._values, road)) == led:
            return True
        listed = self._ours.get(road)
        return listed is not None and listed.served == served_by(led, self._base)

    def _renamed(self, replaced: Replaced) -> Road | None:
        claimed = {each.road for each in self._judged} | set(self.back)
        free = [road for road in self._ours if road not in claimed and self._is_still(road, replaced)]
        beside = (road for road in free if road[:-1] == replaced.road[:-1])
        return next(beside, next(iter(free), None))


class _Work:
    """A text that is being changed, and what it holds at some roads."""

    def __init__(self, text: str, file: str, roads: Sequence[Road]) -> None:
        self._file = file
        self._bom = BOM if text.startswith(BOM) else ""
        self._text = text.removeprefix(BOM)
        self._how = forms.how(forms.form_of(file, text))
        self._roads = tuple(dict.fromkeys(roads))
        self.values = self._how.values(self._text, file, self._roads)

    @property
    def whole(self) -> str:
        """The text as it is now."""
        return self._bom + self._text

    def put(self, wanted: Sequence[tuple[Road, Any, str]]) -> dict[Road, str]:
        """Let entries have values, where their text is known with that; the texts that gave way.

        :raise ConfigError: that cannot be done without changing something else.
        """
        there = [each for each in wanted if edit.at(self.values, each[0]) is not MISSING]
        written = self._written([road for road, _, _ in there])
        self._exchange([each for each in there if each[1] is not None])
        for road, value, text in wanted:
            if value is None:
                self._one(Remove(road), "")
            elif edit.at(self.values, road) is MISSING:
                self._one(Put(road, value), "")
                if text:
                    self._exchange([(road, value, text)])
        return written

    def carry_over(self, road: Road, value: Mapping[str, Any]) -> None:
        """Let an entry have another value by changing only what is different in it."""
        for change in list(edit.steps(self.values, Put(road, value))):
            self._one(change, "")

    def _written(self, roads: Sequence[Road]) -> dict[Road, str]:
        """The texts of entries, where each stands in one piece."""
        found = self._parts([Put(road, edit.at(self.values, road)) for road in roads])
        return {
            road: self._text[parts[0].start : parts[0].end]
            for road, parts in zip(roads, found, strict=True)
            if parts is not None and len(parts) == 1
        }

    def _exchange(self, wanted: Sequence[tuple[Road, Any, str]]) -> None:
        """Let entries that are there have other values: all at once, else one after the other."""
        changes: list[Edit] = [Put(road, value) for road, value, _ in wanted]
        texts = [text for _, _, text in wanted]
        ways = [
            None if parts is None else next(self._ways(parts, text))
            for parts, text in zip(self._parts(changes), texts, strict=True)
        ]
        chosen = [each for way in ways for each in way or ()]
        if None in ways or not self._take(chosen, changes):
            for change, text in zip(changes, texts, strict=True):
                self._one(change, text)

    def _parts(self, changes: Sequence[Edit]) -> list[list[edit.Splice] | None]:
        found = self._how.splices(self._text, changes) if changes else []
        return [parts if parts is None else [_trimmed(self._text, each) for each in parts] for parts in found]

    def _one(self, change: Edit, text: str) -> None:
        if not isinstance(change, Put) and edit.at(self.values, change.road) is MISSING:
            return
        parts = self._parts([change])[0]
        if parts is not None and any(self._take(way, [change]) for way in self._ways(parts, text)):
            return
        raise ConfigError(
            f"{self._file}: {dotted(change.road)} cannot be changed without changing something else;"
            " please edit the file by hand"
        )

    def _ways(self, parts: list[edit.Splice], text: str) -> Iterator[list[edit.Splice]]:
        if text and len(parts) == 1:
            yield [evolve(parts[0], text=self._fitting(text))]
        yield parts

    def _fitting(self, text: str) -> str:
        """A text that was kept, with the line ends of the file as it is now."""
        return text.replace("\r\n", "\n").replace("\n", newline_of(self._text))

    def _take(self, parts: Sequence[edit.Splice], changes: Sequence[Edit]) -> bool:
        """Make a change if it means what it should, and nothing else."""
        ordered = sorted(parts, key=lambda each: (each.start, each.end))
        if any(one.end > other.start for one, other in pairwise(ordered)):
            return False
        made = spliced(self._text, ordered)
        wanted = self.values
        for change in changes:
            wanted = changed(wanted, change, self._file)
        try:
            values = self._how.values(made, self._file, self._roads)
        except ConfigError:
            return False
        if not same(values, wanted):
            return False
        self._text, self.values = made, values
        return True


def _trimmed(text: str, part: edit.Splice) -> edit.Splice:
    """A part without the line end that both its texts end with."""
    for end in ("\r\n", "\n"):
        if part.text.endswith(end) and text[part.start : part.end].endswith(end):
            return evolve(part, end=part.end - len(end), text=part.text.removesuffix(end))
    return part
