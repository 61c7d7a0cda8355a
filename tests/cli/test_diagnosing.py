"""The commands that diagnose, generate and teach, as a person and a program see them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from mcpgateway.cli.doctor.examination import kinds
from mcpgateway.cli.doctor.finding import documentation
from mcpgateway.cli.main import run
from mcpgateway.clientfiles.machine import Machine
from mcpgateway.system.gateway_health import GatewayHealth
from mcpgateway.system.service_files import service_file


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user whose gateway has one server, and does not run."""
    user = tmp_path / "user"
    home = user / ".mcp-gateway"
    home.mkdir(parents=True, mode=0o700)
    config = home / "config.json"
    config.write_text(json.dumps({"gateway": {"http_port": 1}, "servers": {"x": {"command": "sh"}}}))
    config.chmod(0o600)
    for name in list(os.environ):
        if name.startswith(("MCP", "CLAUDE", "XDG", "CODEX", "COPILOT")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(user))
    monkeypatch.chdir(tmp_path)
    return home


class DoctorTests:
    """``mcpgateway doctor``."""

    def test_words(self, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """A person gets the findings that name a remedy, each remedy once, and a sum; a pipe gets no colour."""
        assert run(["doctor"]) == 0
        text = capsys.readouterr().out
        assert text.count("      → mcpgateway start\n") == 1
        assert " passed, 0 issues\n" in text
        assert "✓" not in text
        assert "\x1b" not in text

    def test_verbose(self, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """With ``--verbose`` there is a line for every check, in their order, and tips."""
        assert run(["doctor", "-v"]) == 0
        text = capsys.readouterr().out
        assert "  ✓ configuration: 1 server\n" in text
        assert text.count("      → mcpgateway start\n") > 1
        assert "Tips:\n" in text

    def test_worst_first(self, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Problems stand before notes."""
        home.chmod(0o755)
        run(["doctor"])
        text = capsys.readouterr().out
        assert text.startswith("  ✗ ")
        assert "✗" not in text[text.index("○") :]

    def test_explain(self, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """``--explain`` says what a finding means, without any check; a wrong id leads to the nearest one."""
        assert run(["doctor", "--explain", "permissions.open"]) == 0
        said = capsys.readouterr().out
        assert said.startswith("permissions.open\n  Cause:    Other users can enter")
        assert "\n  Remedy:   mcpgateway doctor --fix takes their rights away" in said
        assert "\n  Way back: chmod gives rights back" in said
        assert "\n  Documentation: howto/trouble\n" in said
        assert run(["doctor", "--explain", "clients.unreadable"]) == 0
        assert "mcpgateway doctor --fix leaves this to you" in capsys.readouterr().out
        assert run(["doctor", "--explain", "all", "--json"]) == 0
        told = json.loads(capsys.readouterr().out)["findings"]
        assert {each["id"] for each in told} == {each.id for each in kinds()}
        assert run(["doctor", "--explain", "permission.open"]) == 1
        assert "did you mean permissions.open?" in capsys.readouterr().err

    def test_published_documentation(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The address in the package's metadata makes each finding's page a link."""
        metadata = tmp_path / "mcpgateway-9.dist-info" / "METADATA"
        metadata.parent.mkdir()
        metadata.write_text(
            "Metadata-Version: 2.1\nName: mcpgateway\nVersion: 9\nProject-URL: Documentation, https://docs.test/en/\n"
        )
        monkeypatch.syspath_prepend(tmp_path)
        documentation.cache_clear()
        try:
            assert run(["doctor", "--explain", "permissions.open"]) == 0
        finally:
            documentation.cache_clear()
        assert "  Documentation: https://docs.test/en/howto/trouble.html\n" in capsys.readouterr().out

    def test_a_problem(self, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """A problem is exit code 1."""
        home.chmod(0o755)
        assert run(["doctor"]) == 1
        text = capsys.readouterr().out
        assert "  ✗ others have rights in the home: . (0755)  [permissions.open]\n" in text
        assert ", 1 issue\n" in text

    def test_json(self, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """A program gets every finding with its id and level."""
        home.chmod(0o755)
        assert run(["doctor", "--json"]) == 1
        told = json.loads(capsys.readouterr().out)
        assert (told["ok"], told["issues"]) == (False, 1)
        (found,) = [each for each in told["findings"] if each["level"] == "problem"]
        assert (found["id"], found["fixable"]) == ("permissions.open", True)

    def test_fix(self, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Each repair is told before and after it; a dry run changes nothing."""
        home.chmod(0o755)
        assert run(["doctor", "--fix", "--dry-run"]) == 1
        assert "This would be done:\n  take the rights of others from 1 path" in capsys.readouterr().out
        assert home.stat().st_mode & 0o777 == 0o755
        assert run(["doctor", "--fix"]) == 0
        text = capsys.readouterr().out
        assert "This is done now:\n  take the rights of others" in text
        assert "  ✓ take the rights of others" in text
        assert home.stat().st_mode & 0o777 == 0o700
        assert run(["doctor", "--fix", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["repairs"] == []

    def test_mistakes(self, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Options that make no sense together, and clients that are not known, are told of."""
        assert run(["doctor", "--dry-run"]) == 64
        assert "--dry-run goes with --fix" in capsys.readouterr().err
        assert run(["doctor", "--client", "emacs"]) == 1
        assert "expected one of claude-code" in capsys.readouterr().err


class GenerateTests:
    """``generate-config``, ``snippet`` and ``install-claude-code``."""

    def test_to_the_terminal(self, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """The output is the file, and nothing else."""
        assert run(["generate-config"]) == 0
        entry = json.loads(capsys.readouterr().out)["mcpServers"]["x"]
        assert entry["args"] == ["connect", "x"]
        assert run(["generate-config", "--form", "proxy", "--client", "cursor"]) == 0
        assert json.loads(capsys.readouterr().out)["mcpServers"]["x"]["args"] == ["proxy", "--target", "x"]

    def test_to_a_file(self, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """A file that was there is copied before."""
        (tmp_path / "mcp.json").write_text("{}")
        assert run(["generate-config", "--output", "mcp.json", "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert Path(told["backup"]).read_text() == "{}"
        assert told["backup"].startswith(str(tmp_path / "mcp.json.backup."))
        assert set(json.loads((tmp_path / "mcp.json").read_text())["mcpServers"]) == {"x"}

    def test_refusals(self, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """A configuration that cannot be generated is an error."""
        assert run(["generate-config", "--client", "claude-desktop", "--form", "http"]) == 1
        assert "takes no URL" in capsys.readouterr().err
        assert run(["snippet", "cursor", "--server", "z"]) == 1
        assert "Unknown server: z" in capsys.readouterr().err

    def test_snippet(self, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """The text to paste is on stdout; the file that it belongs into is named beside it."""
        assert run(["snippet", "windsurf"]) == 0
        out, err = capsys.readouterr()
        assert json.loads(out)["mcpServers"]["x"]["args"] == ["connect", "x"]
        assert ".codeium/windsurf/mcp_config.json" in err
        assert run(["snippet", "windsurf", "--form", "http"]) == 0
        out, _ = capsys.readouterr()
        assert json.loads(out) == {"mcpServers": {"x": {"serverUrl": "http://localhost:1/x/mcp"}}}

    def test_install(self, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Drift is exit code 3, a refusal 1, a failure that changed nothing 4."""
        file = home.parent / ".claude.json"
        assert run(["install-claude-code", "--check-only"]) == 3
        assert run(["install-claude-code", "--dry-run"]) == 0
        assert not file.exists()
        assert run(["install-claude-code", "--no-patch", "--refresh-token"]) == 0
        assert "no entry holds a token" in capsys.readouterr().err
        assert run(["install-claude-code", "--check-only", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["changed"] is False
        assert run(["install-claude-code", "--mode", "both"]) == 0
        assert set(json.loads(file.read_text())["mcpServers"]) == {"mcpgateway", "x"}
        file.write_text("{")
        assert run(["install-claude-code", "--mode", "both"]) == 4

    def test_another_port(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Entries that there were none of before are led to another port like all others, and go when given back."""
        file = home.parent / ".claude.json"
        service = Path(service_file({"HOME": str(home.parent)}))
        service.parent.mkdir(parents=True)
        service.touch()
        assert run(["install-claude-code"]) == 0
        config = home / "config.json"
        config.write_text(config.read_text().replace('"http_port": 1}', '"http_port": 2}'))
        monkeypatch.setattr(Machine, "answer", property(lambda _: GatewayHealth({"aggregate": True})))
        assert run(["clients", "apply", "--client", "claude-code", "--yes"]) == 0
        assert json.loads(file.read_text())["mcpServers"]["x"]["url"] == "http://localhost:2/x/mcp"
        assert run(["clients", "undo", "--client", "claude-code"]) == 0
        assert "x" not in json.loads(file.read_text()).get("mcpServers", {})

    def test_an_install_that_fails(
        self, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Where the file cannot be written everything is as it was."""
        (tmp_path / ".mcp.json").symlink_to(tmp_path / ".mcp.json")
        assert run(["install-claude-code", "--scope", "project"]) == 4
        assert "nothing was changed" in capsys.readouterr().err


class InstructionTests:
    """``mcpgateway instructions``."""

    def test_printed(self, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """The text names the port; the prompt for setting up is another."""
        assert run(["instructions"]) == 0
        assert "http://localhost:1/" in capsys.readouterr().out
        assert run(["instructions", "setup"]) == 0
        assert "mcpgateway clients plan" in capsys.readouterr().out

    def test_installed(
        self, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The text goes into the file of a project once, is listed, and comes out without a trace."""
        project = tmp_path / "project"
        (project / "inside").mkdir(parents=True)
        (project / ".git").mkdir()
        file = project / "CLAUDE.md"
        file.write_text("# Mine")
        monkeypatch.chdir(project / "inside")
        words = ["--client", "claude-code", "--project"]
        assert run(["instructions", "install", *words]) == 0
        assert "CLAUDE.md (claude-code): written" in capsys.readouterr().out
        assert run(["instructions", "install", *words]) == 0
        assert capsys.readouterr().out == "All files are up to date.\n"
        assert run(["instructions", "list"]) == 0
        assert "CLAUDE.md (claude-code): up to date" in capsys.readouterr().out
        assert run(["instructions", "uninstall", *words]) == 0
        assert file.read_text() == "# Mine"
        assert sorted(each.name for each in project.iterdir()) == [".git", "CLAUDE.md", "inside"]

    @pytest.mark.parametrize(
        ("words", "code", "said"),
        [
            (["--client", "emacs"], 64, "--client emacs: expected one of claude-code"),
            (["--client", "claude-plugin", "--project"], 64, "the plugin is for all projects"),
            (["--client", "qwen", "--template", "none"], 64, "does not exist"),
        ],
    )
    def test_mistakes(
        self, home: Path, words: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Options that cannot be fulfilled are errors that say why."""
        assert run(["instructions", "install", *words]) == code
        assert said in " ".join(capsys.readouterr().err.split())
