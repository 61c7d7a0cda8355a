"""The sessions on record: what is kept, what a file survives, and that nothing stops the gateway."""

from __future__ import annotations

import os
import sqlite3
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import define, evolve, field
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.logger import capturedLogs

from mcpgateway.interfaces import PARAMS_LIMIT, ISessionStore, SessionRecord
from mcpgateway.policy.routing import LEVELS
from mcpgateway.system.journal import (
    ENDED_LIMIT,
    FORMAT,
    LIVE_LIMIT,
    PRUNE_EVERY,
    RETRY_S,
    URIS_BYTES_LIMIT,
    URIS_LIMIT,
    VERDICT_S,
    Journal,
)

START = 1_700_000_000
SECRET = b'{"clientInfo":{"name":"a secret"}}'


def record(number: int = 1, **more: Any) -> SessionRecord:
    """Return the record of an ordinary session."""
    given = {"server": "memory", "principal": "local", "version": "2025-11-25", "params": b"{}", **more}
    return SessionRecord(number.to_bytes(16, "big"), **given)


@pytest.fixture
def clock() -> Clock:
    """A clock of the test's own."""
    clock = Clock()
    clock.advance(START)
    return clock


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Where a journal may be."""
    return str(tmp_path / "journal.db")


@pytest.fixture
def journal(path: str, clock: Clock) -> Iterator[Journal]:
    """A journal in a file."""
    journal = Journal(path, clock.seconds)
    yield journal
    journal.close()


def in_memory() -> Journal:
    """A journal without a file."""
    return Journal(":memory:", lambda: float(START))


FORMAT_1 = """
CREATE TABLE sessions (
    serial BLOB PRIMARY KEY, server TEXT NOT NULL, principal TEXT NOT NULL, version TEXT NOT NULL,
    params BLOB NOT NULL, level TEXT, owner INTEGER, issued INTEGER NOT NULL, seen INTEGER NOT NULL,
    ended INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX by_age ON sessions (ended, seen);
CREATE TABLE subscriptions (serial BLOB, uri TEXT, PRIMARY KEY (serial, uri)) WITHOUT ROWID;
CREATE TABLE facts (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE verdicts (launch TEXT PRIMARY KEY, why TEXT NOT NULL, at INTEGER NOT NULL) WITHOUT ROWID;
PRAGMA user_version = 1;
"""


def of_format_1(path: str, count: int) -> None:
    """Leave a file as the first release did, with that many sessions."""
    with sqlite3.connect(path) as file:
        file.executescript(FORMAT_1)
        for number in range(count):
            row = (
                record(number).serial,
                "memory",
                "local",
                "2025-11-25",
                b"{}" + b" " * 500,
                "error",
                7,
                START,
                START,
            )
            file.execute("INSERT INTO sessions VALUES (?,?,?,?,?,?,?,?,?,0)", row)
    file.close()


def torn(data: bytes) -> bytes:
    """A file some pages of which the disk has lost."""
    return data[: 4096 * 6] + b"\xa5" * 4096 * 9 + data[4096 * 15 :]


def events(logs: list[Any]) -> list[Any]:
    """The names of what was logged."""
    return [event.get("event") for event in logs]


class RecordTests:
    """The record of a session."""

    def test_is_a_store(self, journal: Journal) -> None:
        """The journal is a session store with all that the sessions need."""
        store: ISessionStore = journal
        assert store.floor == journal.floor

    @given(
        st.binary(min_size=1, max_size=16),
        st.text(st.characters(codec="utf-8"), max_size=20),
        st.binary(max_size=100),
        st.none() | st.sampled_from(LEVELS),
        st.none() | st.integers(1, 2**31),
        st.integers(0, 2**40 - 1),
    )
    def test_what_is_kept_is_found(
        self, serial: bytes, text: str, params: bytes, level: str | None, owner: int | None, issued: int
    ) -> None:
        """Every member comes back as it was."""
        journal = in_memory()
        kept = SessionRecord(serial, text, text, "2025-11-25", params, level, owner)
        journal.keep(kept, issued)
        assert journal.find(serial) == kept
        assert journal.find(serial + b"x") is None
        journal.close()

    def test_the_next_program_finds_it_in_the_log(self, journal: Journal, path: str, clock: Clock) -> None:
        """A journal that is followed at once is not merged with its log, which has what was recorded."""
        kept = record(server="in-the-log")
        journal.keep(kept, START)
        journal.close(is_followed=True)
        assert b"in-the-log" not in Path(path).read_bytes()
        followed = Journal(path, clock.seconds)
        assert followed.find(kept.serial) == kept
        followed.close()

    def test_what_changes(self, journal: Journal) -> None:
        """Level and owner follow the session; what its client said in the beginning and its resources stay."""
        journal.keep(record(params=SECRET), START)
        journal.subscribe(record().serial, "a:1")
        journal.keep(record(params=b"", level="error", owner=7), START)
        journal.keep(record(params=b"", level="debug", owner=8), START)
        assert journal.find(record().serial) == record(params=SECRET, level="debug", owner=8, uris=("a:1",))

    @pytest.mark.parametrize("size", [PARAMS_LIMIT, PARAMS_LIMIT + 1])
    def test_long_params(self, journal: Journal, size: int) -> None:
        """Parameters beyond the limit are left out; the session is on record all the same."""
        journal.keep(record(params=b"x" * size), START)
        found = journal.find(record().serial)
        assert found is not None
        assert len(found.params) == (size if size <= PARAMS_LIMIT else 0)

    def test_resources(self, journal: Journal) -> None:
        """A resource is on record from its subscription to its farewell, once however often it is subscribed to."""
        journal.keep(record(1), START)
        journal.keep(record(2), START)
        for uri in ("a:2", "a:1", "a:1", "a:é"):
            journal.subscribe(record(1).serial, uri)
        journal.unsubscribe(record(1).serial, "a:2")
        journal.unsubscribe(record(1).serial, "a:9")
        journal.unsubscribe(record(2).serial, "a:1")
        assert journal.find(record(1).serial) == record(1, uris=("a:1", "a:é"))
        assert journal.find(record(2).serial) == record(2)

    def test_too_many_resources(self, journal: Journal) -> None:
        """The subscriptions of one session have a limit, those of another their own."""
        for number in (1, 2):
            journal.keep(record(number), START)
        for number in range(URIS_LIMIT + 5):
            journal.subscribe(record(1).serial, f"a:{number}")
        journal.subscribe(record(2).serial, "a:1")
        uris = [found.uris for number in (1, 2) if (found := journal.find(record(number).serial))]
        assert [len(each) for each in uris] == [URIS_LIMIT, 1]
        journal.unsubscribe(record(1).serial, "a:0")
        journal.subscribe(record(1).serial, "b:1")
        found = journal.find(record(1).serial)
        assert found is not None
        assert "b:1" in found.uris


class EndTests:
    """The record of a session that has ended for good."""

    def test_only_that_it_has_ended(self, journal: Journal, path: str) -> None:
        """The id of an ended session stays, so that its signature alone does not revive it; nothing else of it does."""
        journal.keep(record(params=SECRET, level="error", owner=7), START)
        journal.subscribe(record().serial, "a:secret")
        journal.end(record().serial, START)
        found = journal.find(record().serial)
        assert found is not None
        assert found.is_ended
        assert (found.params, found.level, found.owner, found.uris) == (b"", None, None, ())
        assert (found.server, found.principal) == ("", "")

    def test_for_good(self, journal: Journal) -> None:
        """A session that has ended stays ended, whatever is recorded of it later."""
        journal.keep(record(), START)
        journal.end(record().serial, START)
        journal.keep(record(params=SECRET, level="error"), START)
        journal.end(record().serial, START)
        found = journal.find(record().serial)
        assert found is not None
        assert found.is_ended
        assert (found.params, found.level) == (b"", None)

    def test_never_on_record(self, journal: Journal) -> None:
        """A session of which only the id is known can be ended too."""
        journal.end(record().serial, START)
        found = journal.find(record().serial)
        assert found is not None
        assert found.is_ended

    def test_no_other(self, journal: Journal) -> None:
        """Records of other sessions are left alone."""
        journal.keep(record(2), START)
        journal.subscribe(record(2).serial, "a:1")
        journal.end(record(1).serial, START)
        assert journal.find(record(2).serial) == record(2, uris=("a:1",))


@define
class Model:
    """A journal as a dictionary."""

    kept: dict[bytes, SessionRecord] = field(factory=dict)

    def keep(self, told: SessionRecord) -> None:
        found = self.kept.get(told.serial)
        if found is None:
            self.kept[told.serial] = told
        elif not found.is_ended:
            self.kept[told.serial] = evolve(found, level=told.level, owner=told.owner)

    def subscribe(self, serial: bytes, uri: str, *, is_on: bool) -> None:
        found = self.kept.get(serial)
        if found is not None and not found.is_ended:
            uris = {*found.uris, uri} if is_on else {*found.uris} - {uri}
            self.kept[serial] = evolve(found, uris=tuple(sorted(uris)))

    def end(self, serial: bytes) -> None:
        version = self.kept[serial].version if serial in self.kept else ""
        self.kept[serial] = SessionRecord(serial, "", "", version, is_ended=True)


numbers = st.integers(1, 3)
levels = st.none() | st.sampled_from(LEVELS)
deeds = st.one_of(
    st.tuples(st.just("keep"), numbers, levels),
    st.tuples(st.just("subscribe"), numbers, st.sampled_from(["a:1", "a:2"])),
    st.tuples(st.just("unsubscribe"), numbers, st.sampled_from(["a:1", "a:2"])),
    st.tuples(st.just("end"), numbers, st.none()),
    st.tuples(st.just("reopen"), numbers, st.none()),
    st.tuples(st.just("look from beside"), numbers, st.none()),
)


class ReopenTests:
    """Records that outlive the gateway."""

    def test_everything(self, path: str, clock: Clock) -> None:
        """The file has sessions, their resources, ends, verdicts and the floor."""
        first = Journal(path, clock.seconds)
        first.keep(record(1, params=SECRET, level="error", owner=7), START)
        first.subscribe(record(1).serial, "a:1")
        first.end(record(2).serial, START)
        first.judge("launch", "it asks")
        first.close()
        second = Journal(path, clock.seconds)
        assert second.find(record(1).serial) == record(
            1, params=SECRET, level="error", owner=7, uris=("a:1",)
        )
        ended = second.find(record(2).serial)
        assert ended is not None
        assert ended.is_ended
        assert second.verdict("launch") == "it asks"
        second.close()

    def test_without_a_farewell(self, path: str, clock: Clock) -> None:
        """A record is in the file at once, even if the writer never closes it."""
        first = Journal(path, clock.seconds)
        first.keep(record(1), START)
        second = Journal(path, clock.seconds)
        assert second.find(record(1).serial) == record(1)
        second.end(record(1).serial, START)
        found = first.find(record(1).serial)
        assert found is not None
        assert found.is_ended
        first.close()
        second.close()

    @given(st.lists(deeds, max_size=25))
    def test_any_history(self, history: list[tuple[str, int, Any]]) -> None:
        """The journal knows what a dictionary knows, after any history and however often it is reopened."""
        with tempfile.TemporaryDirectory() as home:
            path = f"{home}/journal.db"
            journal, model = Journal(path, lambda: float(START)), Model()
            for deed, number, what in history:
                serial = record(number).serial
                if deed == "keep":
                    journal.keep(record(number, level=what), START)
                    model.keep(record(number, level=what))
                elif deed in {"subscribe", "unsubscribe"} and serial in model.kept:
                    getattr(journal, deed)(serial, what)
                    model.subscribe(serial, what, is_on=deed == "subscribe")
                elif deed == "end":
                    journal.end(serial, START)
                    model.end(serial)
                elif deed == "reopen":
                    journal.close()
                    journal = Journal(path, lambda: float(START))
                beside = Journal(path, lambda: float(START)) if deed == "look from beside" else journal
                for each in (1, 2, 3):
                    found = beside.find(record(each).serial)
                    known = model.kept.get(record(each).serial)
                    if known is not None and known.is_ended:
                        assert found is not None
                        assert found.is_ended
                    else:
                        assert found == known
                if beside is not journal:
                    beside.close()
            journal.close()


class VerdictTests:
    """The verdicts on servers."""

    def test_told_and_untold(self, journal: Journal) -> None:
        """A verdict is a reason, or nothing where a server can be shared; of other servers nothing is known."""
        journal.judge("one", "it asks for roots/list")
        journal.judge("two", "")
        assert journal.verdict("one") == "it asks for roots/list"
        assert journal.verdict("two") == ""
        assert journal.verdict("three") is None
        journal.judge("one", "")
        assert journal.verdict("one") == ""

    def test_for_a_while(self, journal: Journal, clock: Clock) -> None:
        """A verdict is believed for a week, from the last time that it was found out."""
        journal.judge("one", "why")
        journal.judge("two", "why")
        clock.advance(VERDICT_S - 1)
        assert journal.verdict("one") == "why"
        journal.judge("two", "why")
        clock.advance(1)
        assert journal.verdict("one") is None
        assert journal.verdict("two") == "why"

    def test_a_verdict_that_is_too_old_is_not_kept(self, journal: Journal, clock: Clock, path: str) -> None:
        """A verdict that is too old is removed when the next one is recorded."""
        journal.judge("one", "why")
        clock.advance(VERDICT_S)
        journal.judge("two", "why")
        with sqlite3.connect(path) as file:
            assert file.execute("SELECT launch FROM verdicts").fetchall() == [("two",)]
        file.close()


class BoundTests:
    """The bounds of the journal, and the signed ids that replace the rest."""

    def test_sessions(self, clock: Clock) -> None:
        """The sessions in latest use are kept; of others only the signed id is known, and that they lived."""
        journal = Journal(":memory:", clock.seconds)
        journal.keep(record(0), START)
        journal.subscribe(record(0).serial, "a:1")
        for number in range(1, LIVE_LIMIT + PRUNE_EVERY + 1):
            clock.advance(1)
            journal.keep(record(number), START)
        kept = [n for n in range(LIVE_LIMIT + PRUNE_EVERY + 1) if journal.find(record(n).serial) is not None]
        assert LIVE_LIMIT <= len(kept) <= LIVE_LIMIT + PRUNE_EVERY
        assert kept[-1] == LIVE_LIMIT + PRUNE_EVERY
        assert kept == list(range(kept[0], kept[-1] + 1))
        assert journal.floor == 0
        journal.keep(record(0), START)
        assert journal.find(record(0).serial) == record(0)

    def test_the_floor(self, path: str, clock: Clock) -> None:
        """When there are too many ended sessions the oldest go, and no id as old as they is good by itself again."""
        journal = Journal(path, clock.seconds)
        assert journal.floor == 0
        journal._file.execute("BEGIN")  # so many transactions would take seconds
        for number in range(ENDED_LIMIT + 10):
            journal.end(record(number).serial, START + number)
        journal._file.execute("COMMIT")
        journal.keep(
            record(10**6), START
        )  # the first of a gateway's life, and then every so many, looks at the bounds
        assert START + 9 <= journal.floor < START + 10 + PRUNE_EVERY
        for number in [*range(20), *range(20, ENDED_LIMIT, 501), ENDED_LIMIT + 9]:
            ended = journal.find(record(number).serial)
            assert (ended is not None and ended.is_ended) or START + number <= journal.floor
        assert journal.find(record(10**6).serial) == record(10**6)
        floor = journal.floor
        journal.close()
        journal = Journal(path, clock.seconds)
        assert journal.floor == floor
        journal.keep(record(10**6 + 1), START)
        assert journal.floor == floor
        journal.close()

    def test_the_floor_rises_with_its_record_or_not_at_all(self, clock: Clock) -> None:
        """A floor that cannot be recorded is not raised, and the sessions that it would stand for stay."""
        journal = Journal(":memory:", clock.seconds)
        for number in range(5):
            journal.end(record(number).serial, START + number)
        journal._file.execute(
            "CREATE TEMP TRIGGER full BEFORE INSERT ON facts BEGIN SELECT RAISE(ABORT, 'no room'); END"
        )
        with pytest.raises(sqlite3.Error, match="no room"):
            journal._prune(0, 2)
        assert journal.floor == 0
        assert all((journal.find(record(number).serial) or record()).is_ended for number in range(5))

    def test_a_full_file(self) -> None:
        """When the file is full the sessions that have been silent for longest make room, and the log says so."""
        clock = Clock()
        journal = Journal(":memory:", clock.seconds)
        with capturedLogs() as logs:
            for number in range(5000):
                clock.advance(1)
                journal.keep(record(number, params=b"x" * PARAMS_LIMIT), START)
                assert journal.find(record(number).serial) is not None
        assert set(events(logs)) == {"journal.full"}
        assert journal.find(record(0).serial) is None
        assert journal.find(record(4998).serial) is not None
        assert journal.floor == 0

    def test_who_fills_it(self) -> None:
        """A session's long subscriptions are bounded, and give way before those of another session."""
        clock = Clock()
        journal = Journal(":memory:", clock.seconds)
        journal.keep(record(0, params=SECRET, level="error"), START)
        journal.subscribe(record(0).serial, "a:1")
        with capturedLogs() as logs:
            for number in range(1, 300):
                clock.advance(1)
                journal.keep(record(number), START)
                for nth in range(40):
                    journal.subscribe(record(number).serial, f"a:{nth}:{'x' * 8000}")
        assert set(events(logs)) == {"journal.full"}
        assert journal.find(record(0).serial) == record(0, params=SECRET, level="error", uris=("a:1",))
        assert all(journal.find(record(number).serial) is not None for number in range(300))
        last = journal.find(record(299).serial)
        assert last is not None
        assert 0 < sum(map(len, last.uris)) < URIS_BYTES_LIMIT + 8192

    def test_ends_in_a_full_file(self) -> None:
        """A session can be ended however full the file is, and stays so."""
        clock = Clock()
        journal = Journal(":memory:", clock.seconds)
        for number in range(4500):
            clock.advance(1)
            journal.keep(record(number, params=b"x" * PARAMS_LIMIT), START)
            if number % 10 == 0:
                journal.end(record(10**6 + number).serial, START)
        ended = [journal.find(record(10**6 + number).serial) for number in range(0, 4500, 10)]
        assert all(each is not None and each.is_ended for each in ended)


class OnDiskTests:
    """The file, and what else may be found in its place."""

    def test_private(self, journal: Journal, path: str) -> None:
        """The journal and its files are private, whatever the process lets others read by default."""
        journal.keep(record(params=SECRET), START)
        parts = [path, f"{path}-wal", f"{path}-shm"]
        assert [stat.S_IMODE(os.stat(part).st_mode) for part in parts] == [0o600] * 3

    def test_private_under_any_mask(self, path: str, clock: Clock) -> None:
        """A process that masks nothing, or a file that others could read, makes no difference."""
        before = os.umask(0)
        try:
            Path(path).touch(0o666)
            journal = Journal(path, clock.seconds)
            journal.keep(record(), START)
        finally:
            os.umask(before)
        parts = [path, f"{path}-wal", f"{path}-shm"]
        assert [stat.S_IMODE(os.stat(part).st_mode) for part in parts] == [0o600] * 3
        journal.close()

    def test_nothing_beside_it(self, journal: Journal, path: str, tmp_path: Path) -> None:
        """A journal that was closed in order is one file."""
        journal.keep(record(), START)
        journal.close()
        assert os.listdir(tmp_path) == [os.path.basename(path)]

    def test_closed_twice(self, journal: Journal) -> None:
        """Closing is for ever, and what comes later is lost without harm."""
        journal.close()
        journal.close()
        with capturedLogs() as logs:
            journal.keep(record(), START)
            journal.end(record().serial, START)
            journal.judge("launch", "why")
            assert journal.find(record().serial) is None
            assert journal.verdict("launch") is None
        assert events(logs) == ["journal.failed"]

    def test_nothing_is_shown(self, journal: Journal) -> None:
        """No record shows what a client said, nor what could be made into its id."""
        journal.keep(record(params=SECRET), START)
        shown = repr(journal) + repr(journal.find(record().serial))
        assert "secret" not in shown
        assert "\\x00" not in shown

    @pytest.mark.parametrize(
        "damage", ["no database", "half of it is missing", "its head is gone", "a page is torn"]
    )
    def test_damaged(self, path: str, clock: Clock, damage: str) -> None:
        """A damaged file is kept aside as it was, what can be read of it is saved, and the log says so."""
        journal = Journal(path, clock.seconds)
        for number in range(300):
            journal.keep(record(number, params=b"x" * 500), START)
        journal.end(record(299).serial, START)
        journal.close()
        data = Path(path).read_bytes()
        spoilt = {
            "no database": b"something else" * 1000,
            "half of it is missing": data[: len(data) // 2],
            "its head is gone": bytes(100) + data[100:],
            "a page is torn": torn(data),
        }[damage]
        Path(path).write_bytes(spoilt)
        with capturedLogs() as logs:
            journal = Journal(path, clock.seconds)
        saved = ["journal.salvaged"] if damage == "a page is torn" else []
        assert events(logs) == ["journal.damaged", *saved]
        assert Path(logs[0]["aside"]).read_bytes() == spoilt
        assert "\n" not in logs[0]["why"]
        found = journal.find(record(299).serial)
        assert bool(saved) is (found is not None and found.is_ended)
        assert bool(saved) is (journal.find(record(298).serial) is not None)
        journal.end(record(1).serial, START)
        assert (journal.find(record(1).serial) or record(1)).is_ended
        journal.keep(record(1), START)
        journal.close()
        assert stat.S_IMODE(os.stat(logs[0]["aside"]).st_mode) == 0o600
        with capturedLogs() as logs:
            journal = Journal(path, clock.seconds)
        assert events(logs) == []
        assert (journal.find(record(1).serial) or record(1)).is_ended
        journal.close()

    def test_damaged_with_what_was_written_last(self, path: str, clock: Clock, tmp_path: Path) -> None:
        """The log that a killed gateway left beside a damaged file is kept with it."""
        first = Journal(path, clock.seconds)
        for number in range(300):
            first.keep(record(number, params=b"x" * 500), START)
        first.close()
        first = Journal(path, clock.seconds)
        first.keep(record(1000, params=b"the last words"), START)
        data, log = Path(path).read_bytes(), Path(f"{path}-wal").read_bytes()
        assert b"the last words" in log
        first.close()
        Path(path).write_bytes(torn(data))
        Path(f"{path}-wal").write_bytes(log)
        with capturedLogs() as logs:
            journal = Journal(path, clock.seconds)
        assert events(logs) == ["journal.damaged", "journal.salvaged"]
        kept = [part.read_bytes() for part in tmp_path.glob("*.damaged-*")]
        assert any(b"the last words" in each for each in kept)
        assert journal.find(record(1000).serial) == record(1000, params=b"the last words")
        journal.close()

    def test_damaged_and_of_the_first_format(self, path: str, clock: Clock) -> None:
        """Readable records of a damaged file of the first format are saved as well."""
        of_format_1(path, 300)
        Path(path).write_bytes(torn(Path(path).read_bytes()))
        journal = Journal(path, clock.seconds)
        found = journal.find(record(298).serial)
        assert found is not None
        assert (found.level, found.workspace) == ("error", "")
        journal.close()

    def test_damaged_and_immovable(self, path: str, clock: Clock, tmp_path: Path) -> None:
        """A damaged file that cannot be moved stays, and the records are kept in memory."""
        Path(path).write_bytes(b"something else" * 1000)
        (tmp_path / f"journal.db.damaged-{START}").mkdir()
        with capturedLogs() as logs:
            journal = Journal(path, clock.seconds)
        assert events(logs) == ["journal.damaged"]
        journal.keep(record(), START)
        assert journal.find(record().serial) == record()
        assert Path(path).read_bytes() == b"something else" * 1000
        journal.close()

    def test_newer(self, path: str, clock: Clock) -> None:
        """A file of a later format is left alone; until that program is back, the records are kept in memory."""
        with sqlite3.connect(path) as file:
            file.execute("CREATE TABLE sessions (something TEXT)")
            file.execute(f"PRAGMA user_version = {FORMAT + 1}")
        file.close()
        before = Path(path).read_bytes()
        with capturedLogs() as logs:
            journal = Journal(path, clock.seconds)
        assert events(logs) == ["journal.newer"]
        assert logs[0]["found"] == FORMAT + 1
        journal.keep(record(), START)
        assert journal.find(record().serial) == record()
        journal.close()
        assert Path(path).read_bytes() == before

    def test_cannot_be_there(self, tmp_path: Path, clock: Clock) -> None:
        """Where no file can be, the records are kept in memory, and the log says so once."""
        (tmp_path / "file").write_bytes(b"")
        (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
        (tmp_path / "directory").mkdir()
        for place in ("none/journal.db", "file/journal.db", "link", "directory"):
            with capturedLogs() as logs:
                journal = Journal(str(tmp_path / place), clock.seconds)
                journal.keep(record(), START)
                journal.judge("launch", "why")
            assert events(logs) == ["journal.failed"]
            assert journal.find(record().serial) == record()
            journal.close()
        assert not (tmp_path / "elsewhere").exists()

    @pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only to the superuser")
    def test_a_home_that_cannot_be_written_to(self, path: str, clock: Clock, tmp_path: Path) -> None:
        """The records of a read-only home are kept in memory, and its file stays as it is."""
        Journal(path, clock.seconds).close()
        os.chmod(path, 0o400)
        os.chmod(tmp_path, 0o500)
        try:
            with capturedLogs() as logs:
                journal = Journal(path, clock.seconds)
        finally:
            os.chmod(tmp_path, 0o700)
        assert events(logs) == ["journal.failed"]
        journal.keep(record(), START)
        assert journal.find(record().serial) == record()
        journal.close()

    def test_locked_by_another(self, journal: Journal, path: str, clock: Clock) -> None:
        """While another process holds the file changes wait, without waiting for them; what is read is good."""
        journal.keep(record(1), START)
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with capturedLogs() as logs:
            journal.keep(record(2, params=SECRET), START)
            journal.subscribe(record(2).serial, "a:1")
            journal.end(record(1).serial, START)
        assert events(logs) == ["journal.failed"]
        assert SECRET.decode() not in repr(journal.__dict__)
        assert journal.find(record(1).serial) == record(1)
        other.execute("ROLLBACK")
        other.close()
        clock.advance(RETRY_S)
        with capturedLogs() as logs:
            journal.settle()
        assert events(logs) == ["journal.settled"]
        assert journal.find(record(2).serial) == record(2, params=SECRET, uris=("a:1",))
        assert (journal.find(record(1).serial) or record(1)).is_ended

    def test_locked_to_the_end(self, journal: Journal, path: str) -> None:
        """Records that waited are written when the gateway ends, if that is possible by then."""
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        journal.keep(record(1), START)
        other.execute("ROLLBACK")
        other.close()
        journal.close()
        again = Journal(path, lambda: 0.0)
        assert again.find(record(1).serial) == record(1)
        again.close()

    def test_locked_at_the_start(self, path: str, clock: Clock) -> None:
        """A gateway that starts while another one writes is not put off: the records are there."""
        first = Journal(path, clock.seconds)
        first.keep(record(), START)
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with capturedLogs() as logs:
            second = Journal(path, clock.seconds)
        assert events(logs) == []
        assert second.find(record().serial) == record()
        other.execute("ROLLBACK")
        for each in (other, first, second):
            each.close()

    def test_locked_while_it_is_made(self, path: str, clock: Clock) -> None:
        """Where another process holds a file that is not a journal yet, the records are kept in memory."""
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        with capturedLogs() as logs:
            journal = Journal(path, clock.seconds)
        assert events(logs) == ["journal.failed"]
        journal.keep(record(), START)
        assert journal.find(record().serial) == record()
        other.close()
        journal.close()


class FormatTests:
    """Files of earlier releases."""

    def test_first(self, path: str, clock: Clock) -> None:
        """The sessions of the first format are there, in no workspace, and new ones can have one."""
        of_format_1(path, 3)
        for nth in (10, 11):
            with capturedLogs() as logs:
                journal = Journal(path, clock.seconds)
            assert events(logs) == []
            assert [bool(journal.find(record(each).serial)) for each in range(4)] == [True, True, True, False]
            assert journal.find(record(1).serial) == record(
                1, params=b"{}" + b" " * 500, level="error", owner=7, workspace=""
            )
            journal.keep(record(nth, workspace="/shop"), START)
            assert journal.find(record(nth).serial) == record(nth, workspace="/shop")
            journal.end(record(nth).serial, START)
            assert getattr(journal.find(record(nth).serial), "workspace", None) == ""
            journal.close()
        with sqlite3.connect(path) as file:
            assert file.execute("PRAGMA user_version").fetchone() == (FORMAT,)
        file.close()

    def test_interrupted(self, path: str, clock: Clock) -> None:
        """A file that has its new column but not its new number is brought up to date as well."""
        of_format_1(path, 1)
        with sqlite3.connect(path) as file:
            file.execute("ALTER TABLE sessions ADD COLUMN workspace TEXT NOT NULL DEFAULT ''")
        file.close()
        journal = Journal(path, clock.seconds)
        assert journal.find(record(0).serial) is not None
        journal.close()

    def test_a_workspace_stays(self, path: str, clock: Clock) -> None:
        """The workspace of a session does not change with its other members."""
        journal = Journal(path, clock.seconds)
        journal.keep(record(1, workspace="/shop"), START)
        journal.keep(record(1, workspace="/elsewhere", level="debug"), START)
        assert journal.find(record(1).serial) == record(1, workspace="/shop", level="debug")
        journal.close()
