"""The report on changes of clients' files."""

from __future__ import annotations

import json
from pathlib import Path

from mcpgateway.clientfiles.machine import Machine
from mcpgateway.clientfiles.plan import UntouchedEntry
from mcpgateway.clientfiles.report import FileReport, Report, in_projects, together


class ProjectTests:
    """The clients' files of projects."""

    def test_found(self, tmp_path: Path) -> None:
        """All files of the projects around the directories are told once, and those of the user are not."""
        home, project = tmp_path / "home", tmp_path / "home/shop"
        (project / ".git").mkdir(parents=True)
        (project / "src").mkdir()
        (project / ".cursor").mkdir()
        (home / ".cursor").mkdir()
        entry = {"mcpServers": {"a": {"command": "a", "env": {"TOKEN": "hush"}}}}
        for each in (project / ".mcp.json", project / ".cursor/mcp.json", home / ".cursor/mcp.json"):
            each.write_text(json.dumps(entry))
        machine = Machine(str(tmp_path / "gateway"), {"HOME": str(home)})
        found = in_projects(machine, [str(project / "src"), str(project), str(tmp_path / "gone")])
        assert [(each["path"], each["client"], each["mode"]) for each in found["files"]] == [
            (str(project / ".cursor/mcp.json"), "cursor", ""),
            (str(project / ".mcp.json"), "claude-code", ""),
        ]
        assert {each["project"] for each in found["files"]} == {str(project)}
        assert found["files"][0]["servers"]["program"] == 1
        assert "hush" not in json.dumps(found)


WEB = UntouchedEntry("web", "is reached by a URL already")


class TogetherTests:
    """Steps that follow one another."""

    def test_told_once(self) -> None:
        """An entry that a later step leaves as it is is reported once, and a change stays in the report."""
        led = FileReport("/f", "cursor", "Cursor", changed=True, adopted={"a": "a"}, left=(WEB,))
        again = FileReport("/f", "cursor", "Cursor", left=(WEB, UntouchedEntry("b", "is off")))
        (found,) = together([Report((led,), ("w",)), Report((again,), ("w", "v"))])
        assert found.is_changed
        assert [each.left for each in found.files] == [(), again.left]
        assert found.warnings == ("w", "v")

    def test_taken_back(self) -> None:
        """A step that was taken back stands by itself, and so does a single one."""
        reports = [Report(), Report(rolled_back="disk full")]
        assert together(reports) == reports
        assert together(reports[:1]) == reports[:1]
