"""The records of enrolled files, as values and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, datetime, time
from typing import Any

from attrs import define, evolve, field, frozen

from mcpgateway.clientfiles.backups import digest_of
from mcpgateway.clientfiles.formats.rewrite import ReplacedEntry, reverse
from mcpgateway.clientfiles.formats.splices import TextSplice
from mcpgateway.errors import ConfigError
from mcpgateway.system.files import bytes_of

KeyPath = tuple[str, ...]
TEXT = "text"
"""The mode of a file for agents, which has no servers."""
TIMES: Mapping[str, type[date | time]] = {"datetime": datetime, "date": date, "time": time}
# A value that JSON has no form for is a mapping with one of these keys alone.
TIME = "$time"
PAIRS = "$pairs"


@frozen
class FileStep:
    """One change of a file by the gateway.

    :ivar before: the digest of the file before the change.
    :ivar after: the digest after it.
    """

    before: str
    after: str
    splices: tuple[TextSplice, ...] = field(repr=False)


@frozen
class EnrolledEntry:
    """An enrolled entry.

    :ivar name: the server's name in the gateway.
    :ivar replaced: its value before and after.
    """

    name: str
    replaced: ReplacedEntry = field(repr=False)


@frozen
class FileRecord:
    """The record of an enrolled file.

    :ivar path: its path as the user named it.
    :ivar dialect: the name of the client.
    :ivar mode: "http", "fail-open" or "single"; "text" of a file for agents, which has an entry for
        each client that reads it.
    :ivar project: the directory of the project it belongs to.
    :ivar entries: its entries, by their key paths. A suspended file does not hold them; they are recorded for their
        names.
    :ivar suspended: the reason for which the file is restored for now: "disabled", "stopped" or "away"; empty while
        it is enrolled.
    :ivar is_watched: entries that are added to it are to be enrolled, too.
    :ivar registered_at: the time of its first enrolment, in seconds since the epoch, set by the ledger; 0 where
        unknown.
    :ivar rerouted: the mode before clients on this machine needed a token; empty where the mode was not changed for
        that.
    :ivar real: its real path, set by the ledger.
    :ivar chain: the gateway's changes of the file since it was last free of enrolled entries, set by the ledger;
        empty where another program has written in between.
    """

    path: str
    dialect: str
    mode: str = "http"
    project: str = ""
    entries: Mapping[KeyPath, EnrolledEntry] = field(factory=dict)
    suspended: str = ""
    is_watched: bool = True
    registered_at: float = 0.0
    rerouted: str = ""
    real: str = ""
    chain: tuple[FileStep, ...] = field(default=(), repr=False)

    @property
    def is_standing(self) -> bool:
        """True if the file holds enrolled entries."""
        return bool(self.entries) and not self.suspended


@frozen
class Intent:
    """A change of a file that was begun.

    :ivar before: the digest of the file before the change.
    :ivar after: the digest after it.
    :ivar record: the record of the file after the change.
    """

    path: str
    before: str
    after: str
    record: FileRecord | None = field(repr=False)


@define
class LedgerContents:
    """The content of the ledger.

    :ivar files: the enrolled files, by their real paths.
    :ivar pending: the changes that were begun and have no outcome yet, by path, in order.
    :ivar opted_out: the names of servers that stay in the clients' files.
    :ivar revision: the number of transactions; 0 for a ledger that was never written.
    """

    files: dict[str, FileRecord] = field(factory=dict)
    pending: dict[str, list[Intent]] = field(factory=dict)
    opted_out: frozenset[str] = frozenset()
    revision: int = 0

    def say(self, path: str, record: FileRecord | None) -> None:
        """Set or remove the record of a file, which settles its intents."""
        self.pending.pop(path, None)
        self.files.pop(path, None)
        if record is not None:
            self.files[path] = record

    def begin(self, intent: Intent) -> None:
        """Add a change that was begun."""
        self.pending.setdefault(intent.path, []).append(intent)


def unwound(record: FileRecord, text: str) -> str | None:
    """Return the exact text of a file before its enrolment; None where another program has written it since."""
    if not record.chain:
        return None
    for step in reversed(record.chain):
        if digest_of(bytes_of(text)) != step.after:
            return None
        try:
            text = reverse(text, step.splices)
        except ConfigError:
            return None
    return text if digest_of(bytes_of(text)) == record.chain[0].before else None


def values_of(record: FileRecord | None) -> Iterator[Mapping[str, Any]]:
    """Iterate over the entries of a record by their titles, as they were and as they are enrolled."""
    for each in record.entries.values() if record is not None else ():
        for value in (each.replaced.former, each.replaced.ours):
            if value is not None:
                yield {each.replaced.title: value}


def written(record: FileRecord) -> dict[str, Any]:
    """Return a record as JSON can hold it."""
    return {
        "path": record.path,
        "real": record.real,
        "dialect": record.dialect,
        "mode": record.mode,
        "project": record.project,
        "suspended": record.suspended,
        "is_watched": record.is_watched,
        "registered_at": record.registered_at,
        "rerouted": record.rerouted,
        "entries": [_written_entry(each) for each in record.entries.values()],
        "chain": [
            [step.before, step.after, [[each.start, each.old, each.new] for each in step.splices]]
            for step in record.chain
        ],
    }


def read(record: Mapping[str, Any]) -> FileRecord:
    """Return the record in the output of `written`.

    :raise KeyError: a key is missing.
    """
    entries = [_read_entry(each) for each in record["entries"]]
    chain = tuple(
        FileStep(before, after, tuple(TextSplice(*each) for each in splices))
        for before, after, splices in record["chain"]
    )
    plain = {
        key: record[key] for key in ("path", "real", "dialect", "mode", "project", "suspended", "is_watched")
    }
    return FileRecord(
        entries={each.replaced.key_path: each for each in entries},
        chain=chain,
        # Unknown to earlier releases.
        registered_at=record.get("registered_at", 0.0),
        rerouted=record.get("rerouted", ""),
        **plain,
    )


def without(record: FileRecord, key_paths: frozenset[KeyPath]) -> FileRecord:
    """Return a record without some of its entries."""
    return evolve(
        record,
        entries={key_path: each for key_path, each in record.entries.items() if key_path not in key_paths},
    )


def _written_entry(entry: EnrolledEntry) -> dict[str, Any]:
    replaced = entry.replaced
    return {
        "name": entry.name,
        "road": list(replaced.key_path),
        "title": replaced.title,
        "former": _plain(replaced.former),
        "ours": _plain(replaced.ours),
        "written": replaced.written,
    }


def _read_entry(record: Mapping[str, Any]) -> EnrolledEntry:
    former, ours = _meant(record["former"]), _meant(record["ours"])
    return EnrolledEntry(
        record["name"], ReplacedEntry(tuple(record["road"]), record["title"], former, ours, record["written"])
    )


def _plain(value: Any) -> Any:
    """Return a value of a JSON, TOML or YAML file as JSON can hold it."""
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
            return kind(value)  # a parser may have types of its own
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
