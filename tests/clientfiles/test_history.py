"""The history of enrolled files: what was changed, and the version before each change."""

from __future__ import annotations

import json
import os
import shutil
import stat
from pathlib import Path

import pytest

from mcpgateway.clientfiles import enrolment, report
from mcpgateway.clientfiles.enrolment_records import FileStep
from mcpgateway.clientfiles.formats.splices import forward, splices
from mcpgateway.clientfiles.history import KEPT_VERSIONS, FileHistory, FileVersion
from mcpgateway.clientfiles.machine import Machine
from mcpgateway.clientfiles.plan import EnrolRequest
from mcpgateway.errors import ConfigError
from tests.support.adoption import ORIGINAL, Scene


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """A home and a client's file, which was enrolled, restored for a stop, and enrolled again with another server."""
    made = Scene(tmp_path / "scene")
    made.adopter().apply("git")
    made.adopter().suspend()
    made.adopter().apply("git", "time")
    return made


@pytest.fixture
def machine(scene: Scene) -> Machine:
    """The machine of that home."""
    return Machine(scene.home, {"HOME": str(scene.folder)})


class HistoryTests:
    """The changes."""

    def test_listed(self, scene: Scene, machine: Machine) -> None:
        """Each change says what was done to which file, the latest first."""
        found = report.remembered(machine)["versions"]
        assert [each["act"] for each in found] == [
            "enrolled again",
            "restored at the gateway's stop",
            "enrolled",
        ]
        assert {(each["path"], each["client"], each["kept"]) for each in found} == {
            (scene.path, "claude-code", True)
        }
        assert found[0]["servers"] == ["git", "time"]
        assert report.remembered(machine, scene.path)["versions"] == found
        assert report.remembered(machine, "/another")["versions"] == []

    def test_ends(self, scene: Scene, machine: Machine) -> None:
        """A file that is restored for good is so in the history, too."""
        scene.adopter().undo()
        assert report.remembered(machine)["versions"][0]["act"] == "restored"

    def test_diff(self, machine: Machine) -> None:
        """One change is shown as a diff, without secrets."""
        found = report.remembered_one(machine, 1)
        text = "\n".join(found["diff"])
        assert '+    "git": {"type": "http", "url": "http://localhost:9100/git/mcp"' in text
        assert "hush-token" not in json.dumps(found)

    def test_private(self, machine: Machine) -> None:
        """What is kept may hold secrets, and is its owner's alone."""
        directory = machine.ledger.history.directory
        modes = {
            stat.S_IMODE(os.stat(os.path.join(directory, each)).st_mode) for each in os.listdir(directory)
        }
        assert (stat.S_IMODE(os.stat(directory).st_mode), modes) == (0o700, {0o600})

    def test_bounded(self, tmp_path: Path) -> None:
        """Of each file the latest changes are kept, whatever another one does."""
        history = FileHistory(str(tmp_path))
        step = FileStep("a", "b", ())
        history.add(FileVersion("/other", 0.0, step, None, None))
        for at in range(KEPT_VERSIONS + 5):
            history.add(FileVersion("/file", float(at), step, None, None))
        assert [each.real for each in history.listed()].count("/other") == 1
        assert [each.at for each in history.listed("/file")][-1] == 5.0
        assert len(list(history.listed("/file"))) == KEPT_VERSIONS

    @pytest.mark.parametrize("text", ["", "{", "[]", '{"real": 1}', '{"step": 1}', "\0"])
    def test_damaged(self, machine: Machine, text: str) -> None:
        """A damaged record is left out, and the others are told."""
        directory = Path(machine.ledger.history.directory)
        (directory / "00000002.json").write_text(text)
        (directory / "README").write_text("not a change")
        assert [each["version"] for each in report.remembered(machine)["versions"]] == [3, 1]
        with pytest.raises(ConfigError, match="no change 2"):
            report.remembered_one(machine, 2)

    def test_not_written(self, scene: Scene, machine: Machine) -> None:
        """A file is changed although its change cannot be put into the history."""
        shutil.rmtree(machine.ledger.history.directory)
        Path(machine.ledger.history.directory).write_text("in the way")
        scene.adopter().undo()
        assert scene.text == ORIGINAL
        assert report.remembered(machine)["versions"] == []


class ReturnTests:
    """The return of a file to what it was before a change."""

    def test_original(self, scene: Scene, machine: Machine) -> None:
        """Before its first change a file was not enrolled, and it is so again, to the byte."""
        shown = enrolment.restoration(machine, EnrolRequest(), 1)
        assert "hush-token" not in json.dumps(shown)
        assert '-    "git": {"type": "http"' in "\n".join(shown["files"][0]["diff"])
        assert scene.text != ORIGINAL  # a look changes nothing
        found = enrolment.undo(machine, EnrolRequest(), 1)
        assert [each.exact for each in found.files] == [True]
        assert scene.text == ORIGINAL
        assert scene.said is None

    def test_enrolled(self, scene: Scene, machine: Machine) -> None:
        """A file returns to an enrolled version with the record of its originals, so that it can be restored."""
        scene.adopter().undo()
        enrolment.undo(machine, EnrolRequest(), 2)
        assert "9100/git/mcp" in scene.text
        assert {each.name for each in scene.said.entries.values()} == {"git"}
        enrolment.undo(Machine(scene.home, machine.environ), EnrolRequest())
        assert scene.text == ORIGINAL

    def test_whatever_it_holds(self, scene: Scene, machine: Machine) -> None:
        """What another program has written since is replaced, and is a version of its own."""
        Path(scene.path).write_text("{}")
        enrolment.undo(machine, EnrolRequest(), 1)
        assert scene.text == ORIGINAL
        enrolment.undo(Machine(scene.home, machine.environ), EnrolRequest(), 4)
        assert scene.text == "{}"

    def test_not_kept(self, scene: Scene, machine: Machine) -> None:
        """A version that is no longer kept is said to be so, and the file stays."""
        shutil.rmtree(machine.ledger.backups.directory)
        now = scene.text
        assert not report.remembered(machine)["versions"][0]["kept"]
        assert report.remembered_one(machine, 1)["diff"] == []
        with pytest.raises(ConfigError, match="no longer kept"):
            enrolment.undo(machine, EnrolRequest(), 1)
        assert scene.text == now

    def test_restoration(self, scene: Scene, machine: Machine) -> None:
        """The change of a restoration is shown before it is made, without secrets."""
        now = scene.text
        (file,) = enrolment.restoration(machine, EnrolRequest())["files"]
        assert file["changed"]
        assert '-    "git": {"type": "http"' in "\n".join(file["diff"])
        assert "hush-token" not in json.dumps(file)
        assert scene.text == now


@pytest.mark.parametrize(
    ("before", "after"), [("", "a"), ("a", ""), ("abc" * 50, "abc" * 20 + "x" + "abc" * 30)]
)
def test_forward(before: str, after: str) -> None:
    """The replacements lead from the former text to the latter."""
    assert forward(before, splices(before, after)) == after
