"""A server that is added to the gateway, offered to the clients whose files use the gateway."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.gateway import BIN, eventually
from tests.support.terminal import Terminal
from tests.support.user import User

pytestmark = pytest.mark.functional

CLOCK = (sys.executable, "-m", "mcpgateway.demo.clock")
FILES = {
    ".claude.json": json.dumps(
        {"mcpServers": {"clock": {"command": CLOCK[0], "args": list(CLOCK[1:])}}}, indent=3
    ),
    ".codex/config.toml": (
        f'# mine\n[mcp_servers.clock2]\ncommand = "{CLOCK[0]}"\nargs = ["-m", "mcpgateway.demo.clock"]\n'
    ),
    ".gemini/settings.json": (
        f'{{\n  // a comment\n  "mcpServers": {{"clock3": {{"command": "{CLOCK[0]}",'
        ' "args": ["-m", "mcpgateway.demo.clock"]}}\n}\n'
    ),
}


@pytest.fixture
def user(tmp_path: Path) -> Iterator[User]:
    """A user of three clients, two of which use the gateway, each in a way of its own."""
    with User(tmp_path / "h") as made:
        for name, text in FILES.items():
            made.write(name, text)
        made.mcpgateway("start")
        made.mcpgateway("clients", "apply", "--yes", "--client", "claude-code")
        made.mcpgateway("clients", "apply", "--yes", "--fail-open", "--client", "codex")
        yield made


def text(user: User, name: str) -> str:
    """The present text of a client's file."""
    return (user.home / name).read_text()


class OfferTests:
    def test_without_a_terminal(self, user: User) -> None:
        """The files stay as they are, and the report names the clients that do not have the server."""
        before = text(user, ".claude.json")
        said = user.mcpgateway("servers", "add", "extra", "--", *CLOCK)
        assert "2 tools, about" in said
        assert f"URL: {user.url}/extra/mcp" in said
        told = " ".join(said.split())
        assert "These clients do not have it yet: Claude Code, Codex CLI" in told
        assert "Gemini" not in said
        assert text(user, ".claude.json") == before

    def test_with_yes(self, user: User) -> None:
        """The entries are of the way in which each file uses the gateway, and go with the server, to the byte."""
        before = {name: text(user, name) for name in FILES}
        found = user.told("servers", "add", "extra", "--yes", "--", *CLOCK)
        assert sorted(found["clients"]) == [
            str(user.home / name) for name in (".claude.json", ".codex/config.toml")
        ]
        assert json.loads(text(user, ".claude.json"))["mcpServers"]["extra"]["url"] == f"{user.url}/extra/mcp"
        assert '"connect", "extra"' in text(user, ".codex/config.toml")
        assert text(user, ".gemini/settings.json") == FILES[".gemini/settings.json"]
        said = user.mcpgateway("servers", "remove", "extra", "--yes")
        assert "Its entry is taken out of" in said
        assert {name: text(user, name) for name in FILES} == before
        user.mcpgateway("servers", "add", "extra", "--yes", "--no-test", "--", *CLOCK)
        user.mcpgateway("stop")
        assert {name: text(user, name) for name in FILES} == FILES

    def test_another_name(self, user: User) -> None:
        """A new name of the server is the name in its entries, too, and these still go with it, to the byte."""
        before = {name: text(user, name) for name in FILES}
        user.mcpgateway("servers", "add", "extra", "--yes", "--", *CLOCK)
        said = user.mcpgateway("servers", "rename", "extra", "more")
        assert "So is its entry in ~/.claude.json, ~/.codex/config.toml" in " ".join(said.split())
        servers = json.loads(text(user, ".claude.json"))["mcpServers"]
        assert (servers["more"]["url"], "extra" in servers) == (f"{user.url}/more/mcp", False)
        assert '"connect", "more"' in text(user, ".codex/config.toml")
        assert "extra" not in text(user, ".codex/config.toml")
        assert user.told("status")["ok"]
        user.mcpgateway("clients", "pause")
        user.mcpgateway("servers", "rename", "more", "most")
        user.mcpgateway("clients", "resume")
        assert '"connect", "most"' in text(user, ".codex/config.toml")
        user.mcpgateway("servers", "remove", "most", "--yes")
        assert {name: text(user, name) for name in FILES} == before

    def test_one_client(self, user: User) -> None:
        """A client that is named gets the entry without a question, and no other does."""
        found = user.told("servers", "add", "extra", "--client", "codex", "--", *CLOCK)
        assert found["clients"] == [str(user.home / ".codex/config.toml")]
        assert "extra" not in text(user, ".claude.json")

    @pytest.mark.parametrize(("answer", "is_written"), [("\r", True), ("n\r", False)])
    def test_on_a_terminal(self, user: User, *, answer: str, is_written: bool) -> None:
        """A person is asked once for all files."""
        words = [str(BIN / "mcpgateway"), "servers", "add", "extra", "--", *CLOCK]
        terminal = Terminal(words, user.environ)
        assert terminal.shows(r"\[Y/n/\?\]:\s*$"), terminal.screen
        terminal.type(answer)
        assert terminal.ended() == 0
        assert ("some clients have to be started again" in " ".join(terminal.text.split())) is is_written
        assert ("extra" in text(user, ".claude.json")) is is_written
        assert ("extra" in text(user, ".codex/config.toml")) is is_written
        told = " ".join(terminal.text.split())
        assert ("mcpgateway clients apply --server extra offers it again" in told) is not is_written
        if not is_written:
            said = user.mcpgateway(
                "clients", "apply", "--yes", "--client", "codex", "--client", "claude-code"
            )
            assert "extra" not in said + text(user, ".claude.json") + text(user, ".codex/config.toml")
            assert "not enrolled, as you have said: extra\n" in user.mcpgateway("clients")
            assert "extra" in user.mcpgateway("clients", "apply", "--yes", "--server", "extra")
            assert "as you have said" not in user.mcpgateway("clients")

    def test_what_the_answers_mean(self, user: User) -> None:
        """A question mark explains the answers, and the question is asked again."""
        terminal = Terminal([str(BIN / "mcpgateway"), "servers", "add", "extra", "--", *CLOCK], user.environ)
        assert terminal.shows(r"\[Y/n/\?\]:\s*$"), terminal.screen
        terminal.type("?\r")
        assert terminal.shows(r"leaves their files as they are[\s\S]*\[Y/n/\?\]:\s*$"), terminal.screen
        terminal.type("n\r")
        assert terminal.ended() == 0

    def test_a_declined_one_that_is_gone(self, user: User) -> None:
        """A server that is removed is no longer told of as one that is kept out."""
        user.mcpgateway("servers", "add", "extra", "--", *CLOCK)
        user.mcpgateway("clients", "undo", "--server", "extra")
        assert "as you have said: extra\n" in user.mcpgateway("clients")
        user.mcpgateway("servers", "remove", "extra", "--yes")
        assert "as you have said" not in user.mcpgateway("clients")

    def test_one_entry_for_all(self, user: User) -> None:
        """A client with one entry for all servers has a new one at once."""
        user.mcpgateway("clients", "undo", "--client", "codex")
        user.mcpgateway("clients", "apply", "--yes", "--single", "--client", "codex")
        user.mcpgateway("clients", "undo", "--client", "claude-code")
        said = user.mcpgateway("servers", "add", "extra", "--", *CLOCK)
        assert "These clients have it now: codex." in said
        assert "do not have it yet" not in said

    def test_one_that_does_not_run(self, user: User) -> None:
        """A server that does not run is offered to nobody."""
        said = user.mcpgateway("servers", "add", "broken", "--yes", "--", "/no/such/program", code=1)
        assert "mcpgateway why broken" in said
        assert "mcpgateway servers remove broken takes it away again" in " ".join(said.split())
        user.mcpgateway("clients", "apply", "--yes")
        assert "broken" not in text(user, ".claude.json")


class LaterTests:
    """A server of the gateway that clients did not get when it was added."""

    def test_after_an_interrupt(self, user: User) -> None:
        """A person who interrupts the question learns how to add the server later, and is asked then."""
        words = [str(BIN / "mcpgateway"), "servers", "add", "extra", "--", *CLOCK]
        terminal = Terminal(words, user.environ)
        assert terminal.shows(r"\[Y/n/\?\]:\s*$"), terminal.screen
        # A signal between the text of a question and its wait for an answer waits for the answer, too.
        eventually(lambda: terminal.is_waiting, "it waits for the answer")
        time.sleep(0.3)
        terminal.type("\x03")
        assert terminal.ended() != 0
        assert "mcpgateway clients apply --server extra offers it again" in " ".join(terminal.text.split())
        terminal = Terminal([str(BIN / "mcpgateway"), "clients", "apply", "--server", "extra"], user.environ)
        assert terminal.shows(r"\[y/N\]:\s*$"), terminal.screen
        terminal.type("y\r")
        assert terminal.ended() == 0
        assert json.loads(text(user, ".claude.json"))["mcpServers"]["extra"]["url"] == f"{user.url}/extra/mcp"
        assert '"connect", "extra"]' in text(user, ".codex/config.toml")
        assert text(user, ".gemini/settings.json") == FILES[".gemini/settings.json"]
        assert "nothing had to be changed" in user.mcpgateway(
            "clients", "apply", "--server", "extra", "--yes"
        )

    def test_with_all(self, user: User) -> None:
        """The plan shows it for each file, and apply writes it; a server that is kept out stays out."""
        user.mcpgateway("servers", "add", "extra", "--", *CLOCK)
        plans = {each["client"]: each["adopted"] for each in user.told("clients", "plan")["files"]}
        assert plans == {
            "claude-code": {"extra": "extra"},
            "codex": {"extra": "extra"},
            "gemini": {"clock3": "clock3", "extra": "extra"},
        }
        user.mcpgateway("clients", "apply", "--yes")
        assert all("extra" in text(user, name) for name in FILES)
        user.mcpgateway("clients", "undo", "--server", "extra")
        user.mcpgateway("clients", "apply", "--yes")
        assert not any("extra" in text(user, name) for name in FILES)
        user.mcpgateway("stop")
        assert {name: text(user, name) for name in FILES} == FILES


class ReturnTests:
    """Added entries, while their files are restored for now."""

    @pytest.mark.parametrize("ways", [(("clients", "pause"), ("clients", "resume")), (("stop",), ("start",))])
    def test_come_back(self, user: User, ways: tuple[tuple[str, ...], ...]) -> None:
        """Added entries leave with the enrolment, and come back with it, as their client has left them."""
        user.mcpgateway("servers", "add", "extra", "--yes", "--", *CLOCK)
        user.mcpgateway("servers", "add", "more", "--yes", "--", *CLOCK)
        path = user.home / ".claude.json"
        path.write_text(path.read_text().replace('/extra/mcp"', '/extra/mcp",\n"alwaysAllow": ["now"]'))
        before = {name: json.loads(text(user, name)) for name in (".claude.json",)}
        codex = text(user, ".codex/config.toml")
        away, back = ways
        user.mcpgateway(*away)
        assert {name: "extra" in text(user, name) for name in FILES} == dict.fromkeys(FILES, False)
        user.mcpgateway(*back)
        assert {name: json.loads(text(user, name)) for name in before} == before
        assert text(user, ".codex/config.toml") == codex
        user.mcpgateway("clients", "undo")
        assert text(user, ".codex/config.toml") == FILES[".codex/config.toml"]
        assert json.loads(text(user, ".claude.json")) == json.loads(FILES[".claude.json"])

    def test_removed_meanwhile(self, user: User) -> None:
        """The entry of a server that is removed during a pause stays away."""
        user.mcpgateway("servers", "add", "extra", "--yes", "--", *CLOCK)
        user.mcpgateway("servers", "add", "more", "--yes", "--", *CLOCK)
        user.mcpgateway("clients", "pause")
        user.mcpgateway("servers", "remove", "extra", "--yes")
        user.mcpgateway("clients", "resume")
        there = json.loads(text(user, ".claude.json"))["mcpServers"]
        assert sorted(there) == ["clock", "more"]

    def test_other_ways(self, user: User) -> None:
        """An added entry follows its file from one way to another, and leads to its server in each."""
        user.mcpgateway("servers", "add", "extra", "--yes", "--", *CLOCK)
        servers = json.loads(text(user, ".claude.json"))["mcpServers"]
        for way in ("--single", "--fail-open", "--single", "--http"):
            user.mcpgateway("clients", "apply", "--yes", way, "--client", "claude-code")
            user.mcpgateway("clients", "pause")
            user.mcpgateway("clients", "resume")
            there = json.loads(text(user, ".claude.json"))["mcpServers"]
            if way == "--fail-open":
                assert there["extra"]["args"][-2:] == ["connect", "extra"]
            assert sorted(there) == (["mcpgateway"] if way == "--single" else ["clock", "extra"])
        assert there["extra"] == servers["extra"]
        user.mcpgateway("stop")
        assert text(user, ".claude.json") == FILES[".claude.json"]
