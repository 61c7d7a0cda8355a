"""The page on each client: its commands do with each client's file what the page shows."""

from __future__ import annotations

import json
import re
import shlex
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from mcpgateway.clientfiles.formats.clients import DIALECTS
from mcpgateway.clientfiles.formats.locations import user_files
from tests.support.gateway import BIN, LIMIT_S, eventually
from tests.support.user import User

ROOT = Path(__file__).resolve().parents[2]
HOWTO = ROOT / "docs" / "howto"
PAGE = HOWTO / "each-client.rst"

sys.path.insert(0, str(ROOT / "docs" / "_ext"))
import client as pages  # noqa: E402 - the extension of Sphinx that puts the pages together

pytestmark = pytest.mark.functional


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    """A user whose gateway runs; the clients come one after the other."""
    with User(tmp_path_factory.mktemp("user")) as made:
        made.mcpgateway("start")
        yield made
        made.mcpgateway("stop")


def file_of(name: str, user: User) -> Path:
    """Where the page says that a client's file is."""
    if name == pages.CUSTOM:
        return user.home / pages.CUSTOM_FILE
    return Path(user_files(DIALECTS[name], sys.platform, user.environ, str(user.home))[0])


def called(url: str) -> str:
    """The answer of the clock behind an address."""
    asked = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "now", "arguments": {}}}
    headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    request = urllib.request.Request(url, json.dumps(asked).encode(), headers)
    with urllib.request.urlopen(request, timeout=LIMIT_S) as answer:
        body = json.load(answer)
    return str(body["result"]["content"][0]["text"])


# One of each form in every run; the pages of the others are the same but for their files.
OFTEN = frozenset(("claude-code", "codex", "continue", "cursor", "opencode", "vscode"))
STEPS = [each if each in OFTEN else pytest.param(each, marks=pytest.mark.soak) for each in DIALECTS]


class PageTests:
    """The page shows what happens."""

    @pytest.mark.parametrize("name", STEPS)
    def test_the_steps(self, name: str, user: User) -> None:
        """Each command does what the page says, the server is served, and the file is the same again in the end."""
        file = file_of(name, user)
        original = pages.example(name).read_bytes()
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(original)
        steps = pages.steps(name)
        try:
            said = self.run(user, steps["detect"])
            assert name in said or name == pages.CUSTOM, said
            assert file.read_bytes() == original, "it was only looked at"
            self.run(user, steps["apply"])
            assert file.read_text() == pages.adopted(name, user.port, str(BIN / "mcpgateway"))
            eventually(lambda: user.serves("clock"), "the gateway serves what it has adopted")
            assert called(f"{user.url}/clock/mcp").startswith("20")
            said = self.run(user, steps["look"])
            assert f"~/{file.relative_to(user.home)}" in said
            self.run(user, steps["undo"])
            assert file.read_bytes() == original
        finally:
            file.unlink()

    def run(self, user: User, commands: str) -> str:
        """Run commands as a reader does, who agrees to everything; their output."""
        script = re.sub(r"(clients apply .*)$", r"\1 --yes", commands, flags=re.MULTILINE)
        lines = [shlex.split(each) for each in script.splitlines()]
        assert {program for program, *_ in lines} == {"mcpgateway"}, commands
        return "".join([user.mcpgateway(*words) for _, *words in lines])

    def test_every_client_has_a_section(self) -> None:
        """The page has a section for each client that is known, with its anchor, and no other."""
        text = PAGE.read_text()
        assert set(re.findall(r"^\.\. client:: (\S+)$", text, re.MULTILINE)) == set(DIALECTS)
        assert set(re.findall(r"^\.\. _client-(\S+):$", text, re.MULTILINE)) == set(DIALECTS)
