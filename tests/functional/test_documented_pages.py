"""The how-to pages: their commands run, one after the other, at a gateway with the servers that the pages name."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.pages import DOCS, ROOT, commands
from tests.support.user import User

CLOCK = [sys.executable, "-m", "mcpgateway.demo.clock"]
SERVER = {"command": CLOCK[0], "args": CLOCK[1:]}
GITHUB = {"command": sys.executable, "args": ["-m", "tests.servers.recorded", "github"], "cwd": str(ROOT)}
CLIENT = {"mcpServers": {"github": GITHUB, "time": SERVER}}
PAGES = {
    "observe": "",
    "security": "",
    "service": ".. _operate:",
    "servers": "",
    "trouble": "",
    "clients": "",
}
# A test has no such server, session, database or approval, and other tests run those that never end or install.
ELSEWHERE = re.compile(
    r"^(?!mcpgateway )|--follow|wait github playwright|sessions kill|import-kdbx|config import .*old-gateway"
    r"|servers upgrade notes|servers approve hub|servers set (?:browser|reminders)|--server notes-next"
    r"|gateway_install_server|servers (?:search|install)|config approve|=-|--env-file|servers set NAME|--past"
)
CODES = {
    "mcpgateway wait --no-start github linear": {12},  # there is no linear
    "mcpgateway config init": {1},  # the user has a configuration
    "mcpgateway debug trace": {1},  # nothing has such a trace
    "mcpgateway doctor": {0, 1},  # the machine of the test may have a problem of its own
}

pytestmark = pytest.mark.functional


@pytest.fixture
def user(tmp_path: Path) -> Iterator[User]:
    """A user whose gateway serves github, time and notes."""
    with User(tmp_path / "h") as made:
        made.write(".claude.json", json.dumps(CLIENT))
        made.write(".cursor/mcp.json", json.dumps({"mcpServers": {"github": GITHUB}}))
        made.mcpgateway("start", "--adopt", "never")
        yield made


class PageTests:
    """The commands of each page."""

    @pytest.mark.parametrize("page", PAGES)
    def test_commands(self, page: str, user: User) -> None:
        """Each command ends with the exit code that its page tells."""
        typed = commands(DOCS / "howto" / f"{page}.rst", start=PAGES[page])
        run = [each for each in typed if not ELSEWHERE.search(each)]
        assert run
        if page in ("observe", "trouble"):
            user.mcpgateway("servers", "add", "notes", "--", *CLOCK)
            user.mcpgateway("wait", "notes", "github")
        for shown in run:
            command = shown.replace("npx -y notes-mcp", shlex.join(CLOCK))
            command = re.sub(r"(clients apply(?! .*--print).*)$", r"\1 --yes", command)
            done = user.ran("sh", "-euc", command)
            codes = next((each for begin, each in CODES.items() if shown.startswith(begin)), {0})
            assert done.returncode in codes, f"{command}\n{done.returncode}\n{done.stdout}\n{done.stderr}"
