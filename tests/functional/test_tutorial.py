"""The tutorial's commands, as its readers run them."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.user import User

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "docs" / "tutorial" / "first-session.sh"
TEN_MINUTES = ROOT / "docs" / "tutorial" / "ten-minutes.sh"
STEP = re.compile(r"^# \[(.*)\]$", re.MULTILINE)

pytestmark = pytest.mark.functional


@pytest.fixture
def gateway_url(tmp_path):
    """A gateway with the demo servers on a free port, run by `twistd` as in ``make run``."""
    source = tmp_path / "claude.json"
    source.write_text('{"mcpServers": {}}')
    twistd = [str(Path(sys.executable).parent / "twistd"), "-n", "--pidfile=", "mcpgateway"]
    options = ["--demo", "--port", "0", "--home", str(tmp_path / "home"), "--source", str(source)]
    gateway = subprocess.Popen([*twistd, *options], stdout=subprocess.PIPE, text=True, cwd=tmp_path)
    try:
        for line in gateway.stdout:
            found = re.search(r"clock is served at (http://localhost:\d+)/clock/mcp", line)
            if found:
                break
        else:
            pytest.fail("the gateway ended before it said where it serves")
        yield found.group(1)
    finally:
        gateway.terminate()
        gateway.communicate(timeout=60)


class TutorialTests:
    """Promises of the tutorial."""

    def test_first_session(self, gateway_url, tmp_path):
        """Every command of the first session is answered as the text says."""
        environ = {"URL": gateway_url, "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
        # With blank output between commands the answers would run together; curl writes no newline.
        script = re.sub(r"^# \[.*\]$", "echo", SCRIPT.read_text(), flags=re.MULTILINE)
        done = subprocess.run(["sh", "-c", script], env=environ, capture_output=True, text=True, check=True)
        tools, now, noted, health, ended = [json.loads(line) for line in done.stdout.split("\n") if line]
        assert [tool["name"] for tool in tools["result"]["tools"]] == ["now", "convert"]
        assert now["id"] == "two"
        assert noted["result"]["content"][0]["text"] == "Kept as note 1."
        assert {each["name"]: len(each["pids"]) for each in health["backends"]} == {"clock": 1, "notebook": 1}
        assert ended == {"ok": True}

    def test_ten_minutes(self, tmp_path):
        """A client is enrolled, twenty sessions with each server share its process, and all is restored."""
        steps = TEN_MINUTES.read_text().partition("# [servers]")[2]  # whose home it is, we say
        script = re.sub("clients apply$", r"\g<0> --yes", steps, flags=re.MULTILINE)
        with User(tmp_path / "h") as user:
            done = user.ran("sh", "-euc", STEP.sub(r"echo '# [\1]'", script), URL=user.url)
            assert done.returncode == 0, done.stdout + done.stderr
            said = dict(zip(STEP.findall(done.stdout), STEP.split(done.stdout)[2::2], strict=True))
            assert "Servers: clock, calendar" in said["start"]
            assert f'"url": "{user.url}/clock/mcp"' in said["plan"]
            assert "k-123" not in said["plan"]
            assert "clock, calendar use the gateway" in said["apply"]
            assert re.search("claude-code +by URL +enrolled +clock, calendar", said["list"])
            assert said["twenty"].count('"isError": false') == 40
            for name in ("clock", "calendar"):
                assert re.search(rf"^{name} +running +global +1 +20 +20$", said["look"], re.MULTILINE)
            assert "The file is as it was." in said["same"]
            assert not user.answers()
