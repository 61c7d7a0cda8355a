"""Replace and restore entries of a client's file; everything else in its text stays, byte for byte.

# Note [By value]
A file that its client or its user has changed since its enrolment cannot be restored byte for byte.  Its enrolled
entries are found by their URL or command, wherever they are now, and replaced by their originals.  Changes in an
enrolled entry are carried over: keys that were added or changed are kept, keys that were removed stay removed.  Only
the keys of the connection are the original's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from attrs import evolve, field, frozen

from mcpgateway.clientfiles.formats import comments, syntax
from mcpgateway.clientfiles.formats.client_format import (
    TARGET,
    ClientDialect,
    ClientEntry,
    EntryKind,
    KeyPath,
    LocalGateway,
    served_by,
)
from mcpgateway.clientfiles.formats.splices import reverse, splices
from mcpgateway.clientfiles.formats.syntax import BOM
from mcpgateway.config.document import dotted
from mcpgateway.config.edit import edits
from mcpgateway.config.edit.edits import MISSING, Edit, Put, Remove, changed, newline_of, same, spliced
from mcpgateway.config.ours import original_of
from mcpgateway.errors import ConfigError

__all__ = (
    "ReplacedEntry",
    "RestoredText",
    "as_changed",
    "carried",
    "exchange",
    "give_back",
    "replace",
    "reverse",
    "splices",
)


@frozen
class ReplacedEntry:
    """One entry that was replaced.

    :ivar key_path: its key path.
    :ivar former: its original value; None for a new entry.
    :ivar ours: its enrolled value; None where it was removed.
    :ivar written: the original's own text, where it is known; its value may be older than the original's.
    """

    key_path: KeyPath
    title: str
    former: Any = field(repr=False)
    ours: Any = field(repr=False)
    written: str = field(default="", repr=False)


@frozen
class RestoredText:
    """A text that was restored.

    :ivar restored: the titles of the restored entries.
    :ivar key_paths: their key paths when they were enrolled.
    :ivar gone: the titles of entries that the user has removed.
    :ivar modified: the titles of entries that the user has changed into something else.
    :ivar uncommented: the titles of restored entries that could not keep a comment of their user.
    """

    text: str = field(repr=False)
    restored: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    modified: tuple[str, ...] = ()
    key_paths: tuple[KeyPath, ...] = ()
    uncommented: tuple[str, ...] = ()


def replace(
    text: str, file: str, replacements: Sequence[tuple[KeyPath, Any]]
) -> tuple[str, tuple[ReplacedEntry, ...]]:
    """Replace the values of entries; None stands for no entry, before and after.

    :raise ConfigError: the text is malformed, or cannot be changed without changing something else.
    """
    made, replaced, _ = exchange(text, file, replacements, {})
    return made, replaced


def exchange(
    text: str, file: str, replacements: Sequence[tuple[KeyPath, Any]], enrolled: Mapping[KeyPath, str]
) -> tuple[str, tuple[ReplacedEntry, ...], tuple[KeyPath, ...]]:
    """Replace the values of entries, as `replace` does; those that are enrolled keep the comments of their user.

    :param enrolled: the texts of the originals of the entries that are enrolled.
    :return: the text, the replaced entries, and the key paths of those that could not keep a comment.
    :raise ConfigError: the text is malformed, or cannot be changed without changing something else.
    """
    work = _Work(text, file, [key_path[:-1] for key_path, _ in replacements])
    before = work.values
    written = work.put([WantedEntry(key_path, value) for key_path, value in replacements])
    lost = [each for each in enrolled if not work.comment(each, written.get(each, ""), enrolled[each])]
    replaced = (
        ReplacedEntry(
            key_path, key_path[-1], _none(edits.at(before, key_path)), value, written.get(key_path, "")
        )
        for key_path, value in replacements
    )
    return work.whole, tuple(replaced), tuple(lost)


def give_back(
    text: str, file: str, dialect: ClientDialect, base: LocalGateway, replaced: Sequence[ReplacedEntry]
) -> RestoredText:
    """Restore the entries that are still enrolled; see Note [By value].

    :raise ConfigError: the text is malformed, or cannot be changed without changing something else.
    """
    work = _Work(text, file, [*dialect.tables, *(each.key_path[:-1] for each in replaced)])
    verdict = _Verdict(work.values, dialect, base)
    for each in replaced:
        verdict.judge(each)
    wanted = [WantedEntry(key_path, each.former, each.written) for key_path, each in verdict.back.items()]
    ours = work.put(wanted)
    uncommented: dict[str, None] = {}
    for key_path, each in verdict.back.items():
        if isinstance(each.former, Mapping) and isinstance(now := verdict.now[key_path], Mapping):
            work.carry_over(key_path, as_changed(dialect, key_path, each, now))
            if not work.comment(key_path, ours.get(key_path, ""), each.written):
                uncommented[each.title] = None
    titles = {each.title: None for each in verdict.back.values()}
    back = tuple(each.key_path for each in verdict.back.values())
    return RestoredText(
        work.whole, tuple(titles), tuple(verdict.gone), tuple(verdict.modified), back, tuple(uncommented)
    )


def change_entry(text: str, file: str, key_path: KeyPath, value: Mapping[str, Any]) -> str:
    """Return a text with another value of an entry: only the different members of the entry are changed.

    :raise ConfigError: the text is malformed, or cannot be changed without changing something else.
    """
    work = _Work(text, file, [key_path[:-1]])
    work.carry_over(key_path, value)
    return work.whole


def as_changed(
    dialect: ClientDialect, key_path: KeyPath, replaced: ReplacedEntry, now: Mapping[str, Any]
) -> Any:
    """Return the original of an enrolled entry with all changes of that since, those of the command behind ``--`` too.

    :param now: the present value of the entry.
    """
    value = carried(replaced.former, replaced.ours, now)
    return _with_command(dialect, key_path, value, replaced.ours, now)


def carried(former: Mapping[str, Any], ours: Any, now: Mapping[str, Any], depth: int = 0) -> dict[str, Any]:
    """Return an original value with the changes of its enrolled entry since."""
    wrote = ours if isinstance(ours, Mapping) else {}
    made = dict(former)
    for key in {**wrote, **now}:
        if not depth and key in TARGET and not (key in former and same(former[key], wrote.get(key))):
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


def _with_command(
    dialect: ClientDialect, key_path: KeyPath, value: Mapping[str, Any], ours: Any, now: Any
) -> Any:
    """Return a value with the original command that was changed behind the relay's ``--`` since, if any."""
    words = dialect.target_of(key_path, now)
    original = original_of(words) if words else None
    wrote = dialect.target_of(key_path, ours)
    if not original or (wrote and original == original_of(wrote)):
        return value
    return dialect.by_command(ClientEntry(key_path[-1], key_path, value, EntryKind.PROGRAM), original)


def _none(value: Any) -> Any:
    return None if value is MISSING else value


class _Verdict:
    """The fate of each entry.

    :ivar back: the entries to restore, by key path.
    :ivar now: the present values at these key paths.
    """

    def __init__(self, values: Any, dialect: ClientDialect, base: LocalGateway) -> None:
        self._values = values
        self._dialect = dialect
        self._base = base
        listed = dialect.listed(values, base)
        self._ours = {each.key_path: each for each in listed if each.kind is EntryKind.ENROLLED}
        self._judged: list[ReplacedEntry] = []
        self.back: dict[KeyPath, ReplacedEntry] = {}
        self.now: dict[KeyPath, Any] = {}
        self.gone: dict[str, None] = {}
        self.modified: dict[str, None] = {}

    def judge(self, replaced: ReplacedEntry) -> None:
        """Find the present place of an enrolled entry."""
        self._judged.append(replaced)
        there = edits.at(self._values, replaced.key_path)
        if replaced.ours is None:
            if there is MISSING:
                self._give(replaced.key_path, replaced)
            else:
                self.modified[replaced.title] = None
        elif there is not MISSING and self._is_still(replaced.key_path, replaced):
            self._give(replaced.key_path, replaced)
        elif (renamed := self._renamed(replaced)) is not None:
            self._give(renamed, replaced)
        elif there is MISSING:
            self.gone[replaced.title] = None
        else:
            self.modified[replaced.title] = None

    def _give(self, key_path: KeyPath, replaced: ReplacedEntry) -> None:
        is_named = (
            isinstance(replaced.former, Mapping) and replaced.former.get(edits.NAME) == replaced.key_path[-1]
        )
        if is_named and key_path[-1] != replaced.key_path[-1] and isinstance(replaced.ours, Mapping):
            # Its name is also a member of the value.
            replaced = evolve(replaced, former={**replaced.former, edits.NAME: key_path[-1]}, written="")
            replaced = evolve(replaced, ours={**replaced.ours, edits.NAME: key_path[-1]})
        self.back[key_path] = replaced
        self.now[key_path] = edits.at(self._values, key_path)

    def _is_still(self, key_path: KeyPath, replaced: ReplacedEntry) -> bool:
        """True if an entry has the URL or command of an enrolled one."""
        target = self._dialect.target_of(replaced.key_path, replaced.ours)
        if target and self._dialect.target_of(key_path, edits.at(self._values, key_path)) == target:
            return True
        listed = self._ours.get(key_path)
        return listed is not None and listed.served == served_by(target, self._base)

    def _renamed(self, replaced: ReplacedEntry) -> KeyPath | None:
        claimed = {each.key_path for each in self._judged} | set(self.back)
        free = [
            key_path
            for key_path in self._ours
            if key_path not in claimed and self._is_still(key_path, replaced)
        ]
        beside = (key_path for key_path in free if key_path[:-1] == replaced.key_path[:-1])
        return next(beside, next(iter(free), None))


@frozen
class WantedEntry:
    """The wanted value of an entry.

    :ivar value: the value; None for no entry.
    :ivar text: its former text, where that is known.
    """

    key_path: KeyPath
    value: Any = field(repr=False)
    text: str = field(default="", repr=False)


class _Work:
    """A text that is being changed, and its values at some key paths."""

    def __init__(self, text: str, file: str, key_paths: Sequence[KeyPath]) -> None:
        self._file = file
        self._bom = BOM if text.startswith(BOM) else ""
        self._text = text.removeprefix(BOM)
        self._form = syntax.form_of(file, text)
        self._newline = newline_of(text)
        self._has_lines = "\n" in text
        self._key_paths = tuple(dict.fromkeys(key_paths))
        self._opened = syntax.opened(self._text, file, self._form, self._key_paths)
        self.values = self._opened.value

    @property
    def whole(self) -> str:
        """The present text, with its byte order mark."""
        return self._bom + self._text

    def put(self, wanted: Sequence[WantedEntry]) -> dict[KeyPath, str]:
        """Set the values of entries, with their former text where that is known; return the replaced texts.

        :raise ConfigError: the text cannot be changed without changing something else.
        """
        there = [each for each in wanted if edits.at(self.values, each.key_path) is not MISSING]
        written = self._exchange(there)
        for each in wanted:
            if each.value is None:
                self._one(Remove(each.key_path), "")
            elif edits.at(self.values, each.key_path) is MISSING:
                self._one(Put(each.key_path, each.value), "")
                if each.text:
                    self._exchange([each])
            if each.text and isinstance(each.value, Mapping):
                self._take_older(each.key_path, each.value, each.text)
        return written

    def _take_older(self, key_path: KeyPath, value: Mapping[str, Any], text: str) -> None:
        """Write an entry as its text of a former value, with the members that are different now changed in that."""
        parts = self._parts(Put(key_path, {})) or []
        if len(parts) != 1 or self._text[parts[0].start : parts[0].end] == self._fitting(text):
            return
        before = self._text, self._opened, self.values
        made = spliced(self._text, [evolve(parts[0], text=self._fitting(text))])
        try:
            opened = syntax.opened(made, self._file, self._form, self._key_paths)
            if edits.at(opened.value, key_path) is MISSING:
                return
            wanted = changed(self.values, Put(key_path, edits.at(opened.value, key_path)), self._file)
            if not same(opened.value, wanted):
                return
            self._text, self._opened, self.values = made, opened, opened.value
            self.carry_over(key_path, value)
        except ConfigError:
            self._text, self._opened, self.values = before

    def carry_over(self, key_path: KeyPath, value: Mapping[str, Any]) -> None:
        """Set the value of an entry by changing only its different members."""
        for change in list(edits.steps(self.values, Put(key_path, value))):
            self._one(change, "")

    def comment(self, key_path: KeyPath, former: str, known: str) -> bool:
        """Give an entry the comments of its former text; False where one of them has no place in it.

        :param known: a text of the entry whose comments are none of these.
        """
        kept = True
        for each in comments.added(former, self._form, known):
            is_there = edits.at(self.values, key_path) is not MISSING
            parts = (self._parts(Put(key_path, {})) if is_there else None) or []
            regions = [(part.start, part.end) for part in parts]
            place = comments.place(self._text, self._form, regions, each, self._newline) if regions else None
            kept = place is not None and self._take([place], []) and kept
        return kept

    def _exchange(self, wanted: Sequence[WantedEntry]) -> dict[KeyPath, str]:
        """Replace the values of existing entries: all at once, else one after the other."""
        written: dict[KeyPath, str] = {}
        ways: list[list[edits.Splice] | None] = []
        changes: list[tuple[Edit, str]] = []
        for each in wanted:
            change: Edit = Put(each.key_path, {} if each.value is None else each.value)
            parts = self._parts(change)
            if parts:
                written[each.key_path] = self._replaced_text(parts)
            if each.value is not None:
                ways.append(None if parts is None else next(self._ways(parts, each.text)))
                changes.append((change, each.text))
        chosen = [each for way in ways for each in way or ()]
        if None in ways or not self._take(chosen, [change for change, _ in changes]):
            for one, text in changes:
                self._one(one, text)
        return written

    def _replaced_text(self, parts: Sequence[edits.Splice]) -> str:
        """Return the replaced text; that of an entry in several places as if it stood in one."""
        first, *rest = (self._text[each.start : each.end] for each in parts)
        return (self._newline * 2).join((first, *(each.strip("\r\n") for each in rest)))

    def _parts(self, change: Edit) -> list[edits.Splice] | None:
        found = self._opened.change(change)
        return None if found is None else [_trimmed(self._text, each) for each in found]

    def _one(self, change: Edit, text: str) -> None:
        if not isinstance(change, Put) and edits.at(self.values, change.key_path) is MISSING:
            return
        parts = self._parts(change)
        if parts is not None and any(self._take(way, [change]) for way in self._ways(parts, text)):
            return
        raise ConfigError(
            f"{self._file}: {dotted(change.key_path)} cannot be changed without changing something else;"
            " please edit the file by hand"
        )

    def _ways(self, parts: list[edits.Splice], text: str) -> Iterator[list[edits.Splice]]:
        if text and len(parts) == 1:
            yield [evolve(parts[0], text=self._fitting(text))]
        yield parts

    def _fitting(self, text: str) -> str:
        """Return a recorded text with the present line ends of the file."""
        return text.replace("\r\n", "\n").replace("\n", self._newline) if self._has_lines else text

    def _take(self, parts: Sequence[edits.Splice], changes: Sequence[Edit]) -> bool:
        """Make changes if the result has the wanted content and no other difference."""
        ordered = sorted(parts, key=lambda each: (each.start, each.end))
        if any(one.end > other.start for one, other in pairwise(ordered)):
            return False
        if not ordered:
            return not changes
        made = spliced(self._text, ordered)
        wanted = self.values
        for change in changes:
            wanted = changed(wanted, change, self._file)
        try:
            opened = syntax.opened(made, self._file, self._form, self._key_paths)
            if not same(opened.value, wanted) and not same(opened.value, _without_empty(wanted, changes)):
                return False
        except ConfigError:
            return False
        self._text, self._opened, self.values = made, opened, opened.value
        return True


def _without_empty(value: Any, changes: Sequence[Edit]) -> Any:
    """Return a value without its empty tables, which do not exist in TOML."""
    for change in changes:
        key_path = change.key_path[:-1] if isinstance(change, Remove) else ()
        while key_path and edits.at(value, key_path) == {}:
            value = changed(value, Remove(key_path), "")
            key_path = key_path[:-1]
    return value


def _trimmed(text: str, part: edits.Splice) -> edits.Splice:
    """Return a splice without the line end that both its texts end with."""
    for end in ("\r\n", "\n"):
        if part.text.endswith(end) and text[part.start : part.end].endswith(end):
            return evolve(part, end=part.end - len(end), text=part.text.removesuffix(end))
    return part
