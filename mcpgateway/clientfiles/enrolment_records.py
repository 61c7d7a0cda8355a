"""What is known of users' files with entries of ours in them, as values and as they are written down."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, time
from typing import Any

from attrs import define, evolve, field, frozen

from mcpgateway.clientfiles.backups import digest_of
from mcpgateway.clientfiles.formats.rewrite import Replaced, reverse
from mcpgateway.clientfiles.formats.splices import TextSplice
from mcpgateway.errors import ConfigError

Road = tuple[str, ...]
TIMES: Mapping[str, type[date | time]] = {"datetime": datetime, "date": date, "time": time}
# What JSON cannot say is a mapping with one of these keys alone.
TIME = "$time"
PAIRS = "$pairs"


@frozen
class Step:
    """One change of a file by us.

    :ivar before: the digest of the file.
    """

    before: str
    after: str
    splices: tuple[TextSplice, ...] = field(repr=False)


@frozen
class Enrolled:
    """An entry that was replaced.

    :ivar name: as which the gateway serves it.
    :ivar replaced: what it was and what it became.
    """

    name: str
    replaced: Replaced = field(repr=False)


@frozen
class Adopted:
    """A file with entries of ours in it.

    :ivar path: as it was named.
    :ivar dialect: the name of the client's way to write it.
    :ivar mode: "http", "fail-open" or "single".
    :ivar project: the directory of the project it belongs to.
    :ivar entries: by the roads at which they stand. Those of a suspended file stand there no more, and are kept for
        their names.
    :ivar suspended: why the originals are back for now: "disabled", "stopped" or "away"; empty while they are not.
    :ivar registered_at: when it was first enrolled, in seconds since the epoch, filled in by the ledger; 0 where that
        was not written down.
    :ivar rerouted: the mode before clients on this machine needed a token; empty where that has changed nothing.
    :ivar real: its real path, filled in by the ledger.
    :ivar chain: our changes of it since it last held nothing of ours, filled in by the ledger; empty when somebody
        else has written in between.
    """

    path: str
    dialect: str
    mode: str = "http"
    project: str = ""
    entries: Mapping[Road, Enrolled] = field(factory=dict)
    suspended: str = ""
    is_watched: bool = True
    registered_at: float = 0.0
    rerouted: str = ""
    real: str = ""
    chain: tuple[Step, ...] = field(default=(), repr=False)

    @property
    def is_standing(self) -> bool:
        """Whether entries of ours stand in the file."""
        return bool(self.entries) and not self.suspended


@frozen
class Intent:
    """A change of a file that was begun.

    :ivar before: the digest of the file.
    :ivar adopted: the record of the file once it is changed.
    """

    path: str
    before: str
    after: str
    adopted: Adopted | None = field(repr=False)


@define
class Contents:
    """Everything that the ledger holds.

    :ivar files: the enrolled files, by their real paths.
    :ivar pending: the changes that were begun and have no outcome yet, by path, in order.
    :ivar revision: how many transactions there were; 0 for a ledger that was never written.
    """

    files: dict[str, Adopted] = field(factory=dict)
    pending: dict[str, list[Intent]] = field(factory=dict)
    opted_out: frozenset[str] = frozenset()
    revision: int = 0

    def say(self, path: str, adopted: Adopted | None) -> None:
        """Record a file, or forget it; its intents are settled by that."""
        self.pending.pop(path, None)
        self.files.pop(path, None)
        if adopted is not None:
            self.files[path] = adopted

    def begin(self, intent: Intent) -> None:
        """Record a change that was begun."""
        self.pending.setdefault(intent.path, []).append(intent)


def unwound(adopted: Adopted, text: str) -> str | None:
    """The text of a file before all our changes of it, byte for byte; None where it is not what we left."""
    if not adopted.chain:
        return None
    for step in reversed(adopted.chain):
        if digest_of(text.encode()) != step.after:
            return None
        try:
            text = reverse(text, step.splices)
        except ConfigError:
            return None
    return text if digest_of(text.encode()) == adopted.chain[0].before else None


def written(adopted: Adopted) -> dict[str, Any]:
    """What is said of a file, as JSON can hold it."""
    return {
        "path": adopted.path,
        "real": adopted.real,
        "dialect": adopted.dialect,
        "mode": adopted.mode,
        "project": adopted.project,
        "suspended": adopted.suspended,
        "is_watched": adopted.is_watched,
        "registered_at": adopted.registered_at,
        "rerouted": adopted.rerouted,
        "entries": [_written_entry(each) for each in adopted.entries.values()],
        "chain": [
            [step.before, step.after, [[each.start, each.old, each.new] for each in step.splices]]
            for step in adopted.chain
        ],
    }


def read(said: Mapping[str, Any]) -> Adopted:
    """The same backwards.

    :raise KeyError: it was not written so.
    """
    entries = [_read_entry(each) for each in said["entries"]]
    chain = tuple(
        Step(before, after, tuple(TextSplice(*each) for each in splices))
        for before, after, splices in said["chain"]
    )
    plain = {
        key: said[key] for key in ("path", "real", "dialect", "mode", "project", "suspended", "is_watched")
    }
    return Adopted(
        entries={each.replaced.road: each for each in entries},
        chain=chain,
        # Unknown to earlier releases.
        registered_at=said.get("registered_at", 0.0),
        rerouted=said.get("rerouted", ""),
        **plain,
    )


def without(adopted: Adopted, roads: frozenset[Road]) -> Adopted:
    """The same file without some of its entries."""
    return evolve(
        adopted, entries={road: each for road, each in adopted.entries.items() if road not in roads}
    )


def _written_entry(entry: Enrolled) -> dict[str, Any]:
    replaced = entry.replaced
    return {
        "name": entry.name,
        "road": list(replaced.road),
        "title": replaced.title,
        "former": _plain(replaced.former),
        "ours": _plain(replaced.ours),
        "written": replaced.written,
    }


def _read_entry(said: Mapping[str, Any]) -> Enrolled:
    former, ours = _meant(said["former"]), _meant(said["ours"])
    return Enrolled(said["name"], Replaced(tuple(said["road"]), said["title"], former, ours, said["written"]))


def _plain(value: Any) -> Any:
    """A value of a JSON, TOML or YAML file, as JSON can hold it."""
    match value:
        case Mapping():
            if all(isinstance(key, str) for key in value) and not value.keys() & {TIME, PAIRS}:
                return {key: _plain(each) for key, each in value.items()}
            return {PAIRS: [[_plain(key), _plain(each)] for key, each in value.items()]}
        case list() | tuple():
            return [_plain(each) for each in value]
        case datetime():
            return {TIME: ["datetime", value.isoformat()]}
        case date():
            return {TIME: ["date", value.isoformat()]}
        case time():
            return {TIME: ["time", value.isoformat()]}
        case bool() | None:
            return value
    for kind in (str, int, float):
        if isinstance(value, kind):
            return kind(value)  # a parser may have kinds of its own
    raise ConfigError(f"an entry holds a value of the kind '{type(value).__name__}', which cannot be kept")


def _meant(value: Any) -> Any:
    match value:
        case {"$time": [str(kind), str(at)]}:
            return TIMES[kind].fromisoformat(at)
        case {"$pairs": [*pairs]}:
            return {_meant(key): _meant(each) for key, each in pairs}
        case dict():
            return {key: _meant(each) for key, each in value.items()}
        case list():
            return [_meant(each) for each in value]
    return value
