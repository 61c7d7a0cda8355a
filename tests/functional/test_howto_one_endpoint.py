"""The page on one endpoint for all servers: its commands run, and its configurations are understood."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from tests.support.user import User

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "howto" / "one-endpoint.rst").read_text(encoding="utf-8")
PORT = "http://localhost:9100"
MARK = re.compile(r"^# \[\d+\]$", re.MULTILINE)

GITHUB = {"command": sys.executable, "args": ["-m", "tests.servers.recorded", "github"], "cwd": str(ROOT)}
CLOCK = {"command": sys.executable, "args": ["-m", "mcpgateway.demo.clock"]}

pytestmark = pytest.mark.functional


def blocks(language: str) -> list[str]:
    """The code of the page that is in a language, without its margin."""
    found = re.findall(rf"^\.\. code-block:: {language}\n\n((?:   .*\n|\n)+)", PAGE, re.MULTILINE)
    return [re.sub(r"^   ", "", each, flags=re.MULTILINE) for each in found]


def commands() -> list[str]:
    """The commands that readers type, one after the other; the output is left out."""
    typed: list[str] = []
    is_open = False
    for line in "\n".join(blocks("console")).splitlines():
        if line.startswith("$ "):
            typed.append(line.removeprefix("$ "))
        elif is_open:
            typed[-1] += f"\n{line}"
        is_open = line.endswith("\\")
    return typed


def ran(user: User, typed: list[str]) -> dict[str, str]:
    """Run commands in one shell, as a reader does who agrees to everything; what each of them says."""
    agreed = [re.sub(r"(clients apply .*)$", r"\1 --yes", each).replace(PORT, user.url) for each in typed]
    script = "\n".join(f"{each}\necho; echo '# [{number}]'" for number, each in enumerate(agreed))
    done = user.ran("sh", "-euc", script)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{user.log}"
    return dict(zip(typed, MARK.split(done.stdout), strict=False))


class PageTests:
    """The page shows what happens."""

    @pytest.mark.parametrize("text", blocks("yaml"))
    def test_configurations(self, text: str, tmp_path: Path) -> None:
        """Each configuration is one without a mistake."""
        with User(tmp_path / "h") as user:
            file = user.write("example.yaml", text)
            said = user.mcpgateway("config", "check", str(file))
            assert "no errors, 0 warnings" in said, said

    def test_commands(self, tmp_path: Path) -> None:
        """Every command ends well, and those that look for something find it."""
        with User(tmp_path / "h") as user:
            entries = json.dumps({"mcpServers": {"clock": CLOCK, "github": GITHUB}})
            for name in (".claude.json", ".cursor/mcp.json"):
                user.write(name, entries)
            user.mcpgateway("start", "--adopt", "never")
            said = ran(user, commands())
            user.mcpgateway("stop")

        def of(part: str) -> str:
            return next(text for command, text in said.items() if part in command)

        assert "/mcp" in of("clients plan --single")
        assert "28 tools of 2 servers" in of("tools refresh")
        assert "github__create_pull_request" in of("tools search")
        assert "18:30" in of("tools call clock__convert")
        assert "Shortened: gateway_get_result" in of("grep _note")
        assert "issue 250" in of("path=")
        assert '"count":300' in of("aggregate=count")
        assert '"status":"completed"' in of("gateway_invoke_status")
        assert '"isError": false' in of("servers/clock/call")
        assert '"isError": false' in of("clock__now/call")
