"""``mcpgateway uninstall``: clients' files as they were, and nothing left of gateway, socket and home."""

from __future__ import annotations

import fcntl
import json
import os
import sys
from pathlib import Path

import pytest

from mcpgateway.backends.oauth.account_store import AccountBook
from mcpgateway.policy.oauth.client import Grant
from mcpgateway.system.oauth_tokens import OAuthTokenFiles
from tests.support.gateway import BIN
from tests.support.service_managers import Systemctl
from tests.support.terminal import on_a_terminal
from tests.support.user import User

ENTRIES = {"mcpServers": {"clock": {"command": sys.executable, "args": ["-m", "mcpgateway.demo.clock"]}}}

pytestmark = pytest.mark.functional


def test_everything(tmp_path: Path) -> None:
    """With --yes the client's file is restored to the byte, and gateway and home are gone; a second run succeeds."""
    with User(tmp_path / "h", has_service=False) as user:
        file = user.write(".claude.json", json.dumps(ENTRIES, indent=2))
        original = file.read_bytes()
        user.mcpgateway("start", "--adopt", "always")
        assert file.read_bytes() != original
        told = user.told("uninstall", "--yes")
        assert file.read_bytes() == original
        assert not user.answers()
        assert told["home_removed"]
        assert not Path(told["home"]).exists()
        assert [each["restored"] for each in told["clients"]["files"] if each["changed"]] == [["clock"]]
        assert "The program itself stays; it was installed from the directory" in user.mcpgateway(
            "uninstall", "--yes"
        )
        assert not Path(told["home"]).exists()


def test_the_home_stays(tmp_path: Path) -> None:
    """Without a terminal and without --yes the home stays, and the output has the command that removes it.

    An installer that removes the program next gets one that is still there then.
    """
    with User(tmp_path / "h", has_service=False) as user:
        file = user.write(".claude.json", json.dumps(ENTRIES, indent=2))
        original = file.read_bytes()
        user.mcpgateway("start", "--adopt", "always")
        said = user.mcpgateway("uninstall")
        assert file.read_bytes() == original
        assert not user.answers()
        assert "stays, with the configuration and the logs: mcpgateway uninstall --yes removes it" in said
        assert (user.home / ".mcp-gateway" / "logs").is_dir()
        assert not (user.home / ".mcp-gateway" / "gateway.sock").exists()
        again = user.ran("/usr/bin/env", "MCPGATEWAY_REMOVER=dpkg", str(BIN / "mcpgateway"), "uninstall")
        assert again.stdout.endswith(
            "stays, with the configuration and the logs: rm -r ~/.mcp-gateway removes it\n"
        )


def test_a_file_that_cannot_be_restored(tmp_path: Path) -> None:
    """Where an enrolled file has become malformed, `stop` and `uninstall` change no file, and the gateway runs on."""
    with User(tmp_path / "h", has_service=False) as user:
        file = user.write(".claude.json", json.dumps(ENTRIES, indent=2))
        other = user.write(".cursor/mcp.json", json.dumps(ENTRIES, indent=2))
        user.mcpgateway("start", "--adopt", "always")
        enrolled = other.read_text()
        file.write_text('{"mcpServers": ')
        for words, says in ((("uninstall", "--yes"), "stays installed"), (("stop",), "stop --keep-clients")):
            done = user.ran(str(BIN / "mcpgateway"), *words)
            assert done.returncode == 1
            assert says in " ".join(done.stderr.split())
            assert ".claude.json" in done.stdout + done.stderr
            assert user.answers()
            assert file.read_text() == '{"mcpServers": '
            assert other.read_text() == enrolled
        states = {each["path"]: each["state"] for each in user.told("clients", "list")["items"]}
        assert states[str(other)] == "as left"


def test_a_malformed_file_that_was_never_enrolled(tmp_path: Path) -> None:
    """A malformed file that never used the gateway keeps nobody from restoring the others."""
    with User(tmp_path / "h", has_service=False) as user:
        file = user.write(".claude.json", json.dumps(ENTRIES, indent=2))
        original = file.read_bytes()
        user.write(".gemini/settings.json", '{"mcpServers": ')
        user.mcpgateway("start", "--adopt", "always")
        said = " ".join(user.mcpgateway("clients", "undo").split())
        assert "settings.json: stays: it was never enrolled" in said
        assert file.read_bytes() == original
        user.mcpgateway("clients", "apply", "--yes", "--client", "claude-code")
        user.mcpgateway("uninstall", "--yes")
        assert file.read_bytes() == original
        assert not user.answers()


@pytest.mark.parametrize("words", [("uninstall", "--yes"), ("clients", "undo"), ("stop",)])
def test_a_malformed_file_of_others(tmp_path: Path, words: tuple[str, ...]) -> None:
    """A client's file that was malformed from the beginning, and never enrolled, keeps nothing from its end."""
    with User(tmp_path / "h", has_service=False) as user:
        file = user.write(".claude.json", json.dumps(ENTRIES, indent=2))
        before = file.read_bytes()
        other = user.write(".gemini/settings.json", '{"mcpServers": {"a": {"command": "b"')
        user.mcpgateway("start", "--adopt", "always")
        assert file.read_bytes() != before
        user.mcpgateway(*words)
        assert (file.read_bytes(), other.read_text()[-3:]) == (before, '"b"')


def test_a_home_with_the_users_files(tmp_path: Path) -> None:
    """A home that is the user's own directory is not removed, and nothing is changed."""
    with User(tmp_path / "h", has_service=False) as user:
        kept = user.write("letter.txt", "mine")
        done = user.ran(str(BIN / "mcpgateway"), "--home", str(user.home), "uninstall", "--yes")
        assert done.returncode == 1
        assert "nothing is changed: your own files are in it" in done.stderr
        assert kept.read_text() == "mine"


def test_own_work(tmp_path: Path) -> None:
    """Before the question the names of all that only the home has are listed, without values; Enter keeps it."""
    with User(tmp_path / "h", has_service=False) as user:
        user.write(".claude.json", json.dumps(ENTRIES, indent=2))
        project = user.write("p/.mcp.json", json.dumps(ENTRIES))
        command = (sys.executable, "-m", "mcpgateway.demo.clock")
        user.mcpgateway("start", "--adopt", "always")
        user.mcpgateway("servers", "set-env", "clock", "API_TOKEN=s3cret-value", "PLAIN=s3cret-too")
        for name in ("mine", "gone"):
            user.mcpgateway("servers", "add", name, "--no-test", "--", *command)
        user.mcpgateway("servers", "remove", "gone", "--yes")
        user.mcpgateway("token", "create", "ci")
        user.mcpgateway("config", "set", "gateway.log_level=debug")
        user.mcpgateway("config", "approve", str(project.parent), "--yes")
        home = user.home / ".mcp-gateway"
        grants = AccountBook(OAuthTokenFiles(str(home)))
        grants.keep(json.dumps(["notion", "https://notion.example/mcp", "", []]), "", Grant("s3cret"), None)
        code, said = on_a_terminal([str(BIN / "mcpgateway"), "uninstall"], user.environ, keys="y\n\n")
        assert code == 0
        assert home.is_dir()
        for line in (
            "Only ~/.mcp-gateway has these, which are lost when it is removed:",
            "servers of the gateway's own configuration: mine",
            "changes of clients' servers: clock (env.API_TOKEN, env.PLAIN)",
            "gateway.log_level",
            "values in .env: CLOCK_API_TOKEN",
            "sign-ins at servers: notion",
            "tokens of agents: ci",
            "approved files: ~/p/.mcp.json",
            "definitions of removed servers: gone",
            "clock: API_TOKEN, PLAIN have values in the gateway only, which ~/.claude.json lacks.",
        ):
            assert line in " ".join(said.split()), line
        assert "s3cret" not in said
        assert said.index("definitions of removed") < said.index("Remove ~/.mcp-gateway, too")
        told = user.told("uninstall")
        assert (told["home_removed"], told["home_content"]["tokens"]) == (False, ["ci"])
        assert "tokens of agents: ci" in user.mcpgateway("uninstall", "--yes")
        assert not home.exists()
        assert user.told("uninstall", "--yes")["home_content"] == {}


def test_progress(tmp_path: Path) -> None:
    """On a terminal the file at work is named where it takes a while, as while its client holds a lock."""
    with User(tmp_path / "h", has_service=False) as user:
        held = user.write(".claude.json", json.dumps(ENTRIES, indent=2))
        user.mcpgateway("start", "--adopt", "never")
        Path(f"{held}.lock").mkdir()
        for words, verb in ((("clients", "apply", "--yes"), "enrolling"), (("stop",), "restoring")):
            code, said = on_a_terminal([str(BIN / "mcpgateway"), *words], user.environ)
            assert (code, f"{verb} ~/.claude.json" in said) == (0, True), said


@pytest.mark.parametrize(("says", "is_removed"), [("y\n", True), ("n\n", False)])
def test_the_question(tmp_path: Path, says: str, *, is_removed: bool) -> None:
    """On a terminal the command asks before it begins, and before it removes the home."""
    with User(tmp_path / "h", has_service=False) as user:
        user.mcpgateway("start")
        home = user.home / ".mcp-gateway"
        code, said = on_a_terminal([str(BIN / "mcpgateway"), "uninstall"], user.environ, keys=f"y\n{says}")
        assert code == 0, said
        assert "Remove " in said
        assert home.exists() is not is_removed
        assert not user.answers()


def test_a_no_at_first(tmp_path: Path) -> None:
    """A no to the first question changes nothing, and so does one to that of `clients undo`."""
    with User(tmp_path / "h", has_service=False) as user:
        file = user.write(".claude.json", json.dumps(ENTRIES, indent=2))
        user.mcpgateway("start")
        user.mcpgateway("clients", "apply", "--yes")
        enrolled = file.read_bytes()
        code, said = on_a_terminal([str(BIN / "mcpgateway"), "uninstall"], user.environ, keys="\n")
        assert (code, "[y/N]" in said, file.read_bytes()) == (1, True, enrolled)
        for words in (("uninstall",), ("clients", "undo")):
            code, said = on_a_terminal([str(BIN / "mcpgateway"), *words], user.environ, keys="n\n")
            assert (code, "Restore " in said) == (1, True), said
            assert file.read_bytes() == enrolled
            assert user.answers()
        assert on_a_terminal([str(BIN / "mcpgateway"), "clients", "undo"], user.environ, keys="y\n")[0] == 0
        assert file.read_bytes() != enrolled


@pytest.mark.skipif(sys.platform != "linux", reason="systemd is Linux's")
def test_the_service(tmp_path: Path) -> None:
    """The units of the service are removed, and the manager starts them no more."""
    manager = Systemctl(tmp_path / "bin")
    path = f"{manager.directory}:{os.environ['PATH']}"
    with User(tmp_path / "h", has_service=False) as user:
        program = str(BIN / "mcpgateway")
        done = user.ran(program, "service", "install", "--no-start", PATH=path)
        assert done.returncode == 0, done.stderr
        units = user.home / ".config" / "systemd" / "user"
        assert manager.enabled()
        done = user.ran(program, "--json", "uninstall", "--yes", PATH=path)
        assert done.returncode == 0, done.stderr
        assert len(json.loads(done.stdout)["service"]) == 3
        assert list(units.iterdir()) == []
        assert manager.enabled() == set()


def test_a_file_that_is_held(tmp_path: Path) -> None:
    """A read-only client's file is named with its remedy by each command, and the others are written; a lock is no bar.

    The lock of a client is waited for, and stays its own.
    """
    remedy = "~/.claude.json: is read-only; make it writable (chmod u+w) and try again"
    with User(tmp_path / "h", has_service=False) as user:
        held = user.write(".claude.json", json.dumps(ENTRIES, indent=2))
        other = user.write(".cursor/mcp.json", json.dumps(ENTRIES, indent=2))
        original = held.read_bytes()
        user.mcpgateway("start", "--adopt", "never")
        held.chmod(0o444)
        done = user.ran(str(BIN / "mcpgateway"), "clients", "apply", "--yes")
        assert (done.returncode, remedy in done.stderr) == (1, True)
        assert held.read_bytes() == original != other.read_bytes()
        held.chmod(0o644)
        user.mcpgateway("clients", "apply", "--yes")
        enrolled = held.read_bytes()
        assert enrolled != original
        held.chmod(0o444)
        enrolled_other = other.read_bytes()
        for words in (("stop",), ("uninstall", "--yes")):
            done = user.ran(str(BIN / "mcpgateway"), *words)
            assert (done.returncode, remedy in done.stderr) == (1, True), words
            assert held.read_bytes() == enrolled
            assert other.read_bytes() == enrolled_other, words
            assert user.answers()
        held.chmod(0o644)
        lock = Path(f"{held}.lock")
        lock.mkdir()
        with held.open() as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            user.mcpgateway("uninstall", "--yes")
        assert lock.is_dir()
        assert held.read_bytes() == other.read_bytes() == original
