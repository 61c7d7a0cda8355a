"""Originals of shortened results: whose they are, how many are kept, and what a bad disk does."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs

from mcpgateway.hub.results.originals import HANDY_BYTES, RECENT_TICKS, URI, UnknownResult, Vault, ref_of
from mcpgateway.system.result_files import ResultFiles
from mcpgateway.truncation.queries import PageQuery

ORIGINAL = json.dumps({"content": [{"type": "text", "text": json.dumps(list(range(500)))}]}).encode()


class Worker:
    """Does work when the test says so."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Deferred[Any], Any, tuple[Any, ...]]] = []

    def __call__(self, function: Any, *args: Any) -> Deferred[Any]:
        done: Deferred[Any] = Deferred()
        self.waiting.append((done, function, args))
        return done

    def work(self) -> None:
        done, function, args = self.waiting.pop(0)
        try:
            done.callback(function(*args))
        except OSError:
            done.errback()


def fired(deferred: Deferred[Any]) -> Any:
    """The result that a Deferred has fired with."""
    results: list[Any] = []
    deferred.addBoth(results.append)
    (result,) = results
    if hasattr(result, "raiseException"):
        result.raiseException()
    return result


class House:
    """A home, and the vaults that were there one after the other."""

    def __init__(self, home: Path) -> None:
        self.directory = home / "results"
        self.clock = Clock()
        self.worker = Worker()
        self.vault = self.again()

    def again(self, keep: int = 100, keep_bytes: int = 10_000_000) -> Vault:
        self.vault = Vault(
            ResultFiles(str(self.directory)), keep, keep_bytes, self.clock.seconds, self.worker
        )
        return self.vault

    def keep(self, original: bytes = ORIGINAL, principal: str = "me") -> str:
        self.clock.advance(1)
        ref = self.vault.new_ref()
        assert fired(self.vault.keep(ref, principal, original, "docs__search")) is True
        return ref

    def files(self) -> list[str]:
        return sorted(os.listdir(self.directory))


@pytest.fixture
def house(tmp_path: Path) -> House:
    """An empty home."""
    return House(tmp_path)


class KeepingTests:
    """Originals that are kept, and the principals that they are kept for."""

    def test_found_again(self, house: House) -> None:
        """An original comes back byte for byte, for whoever it was kept for and for nobody else."""
        ref = house.keep()
        assert house.vault.find(ref, "me") == ORIGINAL
        for whose, name in (("you", ref), ("me", "r_nothing"), ("me", "../../etc/passwd")):
            with pytest.raises(UnknownResult, match="not found or expired"):
                house.vault.find(name, whose)

    def test_references(self, house: House) -> None:
        """No two references are alike, and each is long enough not to be guessed."""
        refs = {house.vault.new_ref() for _ in range(1000)}
        assert len(refs) == 1000
        assert all(len(each) == 18 and each.startswith("r_") for each in refs)

    def test_private_and_small(self, house: House) -> None:
        """The file of an original is compressed, and no other user can read it."""
        ref = house.keep(b"x" * 100_000)
        path = house.directory / f"{ref}.result"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(house.directory.stat().st_mode) == 0o700
        assert path.stat().st_size < 2000

    def test_the_same_again(self, house: House) -> None:
        """The very same result has the reference it had; another principal's has its own."""
        ref = house.keep()
        assert house.vault.known("me", ORIGINAL) == ref
        assert house.vault.known("you", ORIGINAL) is None
        assert house.vault.known("me", ORIGINAL + b" ") is None

    def test_a_restart(self, house: House) -> None:
        """An original that was kept is there for the next gateway; a damaged or half-written file is removed."""
        ref, other = house.keep(), house.keep(b"{}", "you")
        (house.directory / "r_damaged.result").write_bytes(b"\x00nonsense")
        (house.directory / ".r_half.result.7.abc").write_bytes(b"half")
        (house.directory / "somebody's").write_bytes(b"else")
        vault = house.again()
        assert vault.find(ref, "me") == ORIGINAL
        assert vault.find(other, "you") == b"{}"
        assert vault.known("me", ORIGINAL) == ref
        assert house.files() == sorted((f"{ref}.result", f"{other}.result", "somebody's"))

    def test_listed(self, house: House) -> None:
        """Each principal sees its own results as resources, the newest first."""
        first, second = house.keep(), house.keep(b"{}")
        house.keep(b"[]", "you")
        listed = house.vault.resources("me")
        assert [each["uri"] for each in listed] == [URI + second, URI + first]
        assert listed[1]["size"] == len(ORIGINAL)
        assert ref_of(listed[0]["uri"]) == second
        assert ref_of("file:///x") is None

    def test_with_the_token(self, house: House) -> None:
        """The bearer of the token sees the originals of clients that need none, and not the other way."""
        ours, theirs = house.keep(principal="token"), house.keep(principal="local")
        assert house.vault.find(theirs, "token") == ORIGINAL
        assert [each.ref for each in house.vault.listed("token")] == [theirs, ours]
        assert [each.ref for each in house.vault.listed("local")] == [theirs]
        for reader in ("local", "remote"):
            with pytest.raises(UnknownResult):
                house.vault.find(ours, reader)


class BoundTests:
    """Bounds of the originals that are kept."""

    def test_count(self, house: House) -> None:
        """The oldest make room, but for those that have been given out again."""
        vault = house.again(keep=3)
        refs = [house.keep(b"%d" % each) for each in range(3)]
        vault.known("me", b"0")
        house.keep(b"3")
        assert vault.find(refs[0], "me") == b"0"
        with pytest.raises(UnknownResult):
            vault.find(refs[1], "me")
        assert len(house.files()) == 3

    def test_bytes(self, house: House) -> None:
        """All of them take no more than so many bytes, and one that alone takes more is not kept."""
        vault = house.again(keep_bytes=3000)
        refs = [house.keep(os.urandom(1000)) for _ in range(5)]
        assert len(vault.listed("me")) == 2
        assert vault.find(refs[-1], "me")
        assert fired(vault.keep(vault.new_ref(), "me", os.urandom(9000), "")) is False
        assert len(house.files()) == 2
        vault.configure(1, 3000)
        assert len(house.files()) == 1

    def test_none(self, house: House) -> None:
        """Where none are to be kept, none is."""
        vault = house.again(keep=0)
        assert fired(vault.keep(vault.new_ref(), "me", ORIGINAL, "")) is False


class DiskTests:
    """A disk that does not do what it should."""

    def test_it_cannot_be_written(self, house: House) -> None:
        """An original that cannot be written is not kept, which is said once."""
        house.directory.write_text("a file in its place")
        with capturedLogs() as events:
            for _ in range(2):
                assert fired(house.vault.keep(house.vault.new_ref(), "me", ORIGINAL, "")) is False
        assert [each["event"] for each in events] == ["result.unkept"]

    def test_it_cannot_be_read(self, house: House) -> None:
        """An original that cannot be read any more is not found."""
        ref, other = house.keep(), house.keep(b"{}")
        (house.directory / f"{ref}.result").write_bytes(b"{}\nrubbish")
        (house.directory / f"{other}.result").unlink()
        with capturedLogs() as events:
            for each in (ref, other):
                with pytest.raises(UnknownResult):
                    house.vault.find(each, "me")
        assert [each["event"] for each in events] == ["result.lost"] * 2
        assert house.vault.listed("me") == []

    def test_its_file_has_gone(self, house: House) -> None:
        """The very same result has no reference any more when its file has gone, and is kept anew."""
        ref = house.keep()
        (house.directory / f"{ref}.result").unlink()
        with capturedLogs() as events:
            assert house.vault.known("me", ORIGINAL) is None
        assert [each["event"] for each in events] == ["result.lost"]
        again = house.keep()
        assert again != ref
        assert house.vault.known("me", ORIGINAL) == again
        assert house.vault.find(again, "me") == ORIGINAL


class WorkTests:
    """Work that takes its time is done elsewhere."""

    def test_large_ones(self, house: House) -> None:
        """A large original is written, read and paged where that holds nobody up."""
        original = b"[" + b"1," * HANDY_BYTES + b"1]"
        ref = house.vault.new_ref()
        keeping = house.vault.keep(ref, "me", original, "")
        assert house.vault.listed("me") == []
        house.worker.work()
        assert fired(keeping) is True
        fetching = house.vault.fetch(ref, "me")
        house.worker.work()
        assert fired(fetching) == original
        assert fired(house.vault.fetch(ref, "me")) == original  # it is still in memory
        for _ in range(RECENT_TICKS + 1):
            house.vault.tick()
        reading = house.vault.fetch(ref, "me")
        (house.directory / f"{ref}.result").unlink()
        with capturedLogs():
            house.worker.work()
        with pytest.raises(UnknownResult):
            fired(reading)

    def test_page_after_page(self, house: House) -> None:
        """The pages of an original of ten megabytes are read from the disk once."""
        original = json.dumps({"content": [{"type": "text", "text": "0123456789\n" * 1_000_000}]}).encode()
        ref = house.vault.new_ref()
        house.vault.keep(ref, "me", original, "")
        house.worker.work()
        pages = []
        for offset in (0, 10_000, 20_000):
            reading = house.vault.page(ref, "me", PageQuery(offset=offset))
            while house.worker.waiting:
                house.worker.work()
            pages.append(fired(reading))
            (house.directory / f"{ref}.result").unlink(missing_ok=True)
        assert [each["total"] for each in pages] == [11_000_000] * 3
        assert [each["nextOffset"] for each in pages] == [10_000, 20_000, 30_000]

    def test_pages(self, house: House) -> None:
        """A page comes with the reference it is of."""
        ref = house.keep()
        answer = fired(house.vault.page(ref, "me", PageQuery(offset=490)))
        assert (answer["ref"], answer["total"], answer["count"], answer["hasMore"]) == (ref, 500, 10, False)
        with pytest.raises(UnknownResult):
            fired(house.vault.page("r_x", "me", PageQuery()))

    def test_close(self, house: House) -> None:
        """After the end nothing is in memory, and everything on disk."""
        ref = house.keep()
        house.vault.close()
        assert house.vault.find(ref, "me") == ORIGINAL
