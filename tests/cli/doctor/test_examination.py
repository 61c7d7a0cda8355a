"""All checks together."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from mcpgateway.cli.doctor.context import DoctorContext
from mcpgateway.cli.doctor.examination import CHECKS, as_json, examine, kinds, mend, verdict
from mcpgateway.cli.doctor.finding import Check, DoctorFinding, Repair, fine, problem
from mcpgateway.errors import ConfigError
from tests.support.doctoring import world

ROOT = Path(__file__).parents[3]
HERE = Path(__file__).parent
BAD = problem("x.bad", "It is bad.", "do better", undo="nothing is lost")


class CheckTests:
    """The rules that every check keeps to."""

    def test_names(self) -> None:
        """No two checks have one name, and no two things that can be found one id."""
        names = [each.name for each in CHECKS]
        found = [each.id for each in kinds()]
        assert (len(set(names)), len(set(found))) == (len(names), len(found))
        assert all(re.fullmatch(r"[a-z]+\.[a-z]+", each) for each in found)

    def test_each_says_what_it_means(self) -> None:
        """The docs can tell of everything what it means, and of every problem what to do."""
        for each in kinds():
            assert each.means.endswith("."), each.id
            assert each.advice or each.level.value == "note", each.id
            assert not each.advice.endswith("."), each.id

    @pytest.mark.parametrize("name", [each.id for each in kinds() if each.id != "doctor.broken"])
    def test_each_is_tried(self, name: str) -> None:
        """Every kind of finding is tested."""
        folders = (ROOT / "tests" / "cli", ROOT / "tests" / "clientfiles")
        texts = [path.read_text() for folder in folders for path in folder.rglob("test_*.py")]
        tail = name.partition(".")[2]
        assert any(f'"{name}"' in text or f'"{tail}")' in text for text in texts)

    def test_the_order(self) -> None:
        """The checks of what everything else needs come first."""
        names = [each.name for each in CHECKS]
        assert names[:9] == [
            *("lock", "state", "health", "ledger", "clients", "launches", "classification", "logs", "tools"),
        ]

    def test_the_docs_have_the_table(self) -> None:
        """The page on trouble has the table that is made from the checks."""
        assert ".. findings::" in (ROOT / "docs" / "howto" / "trouble.rst").read_text()


class ExamineTests:
    """The run of all checks."""

    def test_one_that_breaks(self, tmp_path: Path) -> None:
        """A check that breaks is a finding, and the others are made all the same."""

        def broken(_: DoctorContext) -> Iterator[DoctorFinding]:
            yield fine("a", "before")
            raise RuntimeError("boom\nsecret")

        checks = [Check("a", "a thing", broken), Check("b", "b", lambda _: [fine("b", "after")])]
        found = list(examine(world(tmp_path), checks))
        assert [each.id for each in found] == ["a", "doctor.broken", "b"]
        assert found[1].text == "a thing could not be looked at: RuntimeError: boom"

    def test_an_empty_machine(self, tmp_path: Path) -> None:
        """A machine that has never seen a gateway has nothing wrong, and no check breaks there."""
        found = list(examine(world(tmp_path, holders=lambda _: ())))
        assert [each for each in found if each.level.value == "problem"] == []
        assert as_json(found)["ok"]

    def test_the_sum(self) -> None:
        """Passed checks and problems are counted; notes are neither."""
        assert verdict([fine("a", ""), fine("b", ""), BAD.found("")]) == (2, 1)


class MendTests:
    """Putting things right."""

    def test_what_works(self) -> None:
        """A repair is made, unless it is only tried out."""
        done: list[str] = []
        finding = BAD.found("x", repair=Repair("mend x", lambda: done.append("x")))
        (tried,) = mend([finding, fine("a", "")], is_dry=True)
        assert (done, tried.why) == ([], "")
        list(mend([finding], is_dry=False))
        assert done == ["x"]

    @pytest.mark.parametrize("trouble", [OSError(13, "Permission denied"), ConfigError("no")])
    def test_what_does_not(self, trouble: Exception) -> None:
        """A repair that fails gives its reason, and the next one is made all the same."""
        done: list[str] = []

        def fail() -> None:
            raise trouble

        findings = [
            BAD.found("x", repair=Repair("x", fail)),
            BAD.found("y", repair=Repair("y", lambda: done.append("y"))),
        ]
        first, second = mend(findings, is_dry=False)
        assert (bool(first.why), second.why, done) == (True, "", ["y"])
