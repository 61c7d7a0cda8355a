"""A server of a client's file, changed in the original that the gateway keeps."""

from __future__ import annotations

import json
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.gateway import BIN, LIMIT_S, eventually
from tests.support.terminal import Terminal
from tests.support.user import User

pytestmark = pytest.mark.functional

FIXTURE = ("-I", "-S", str(Path(__file__).parents[1] / "servers" / "fixture.py"))
ENTRY = json.dumps({"command": sys.executable, "args": list(FIXTURE), "env": {"TOKEN": "old-s3cret"}})
FILES = {
    ".claude.json": f'{{\n   "numStartups": 3,\n   "mcpServers": {{"one": {ENTRY}}}\n}}\n',
    ".codex/config.toml": (
        f'# mine\n[mcp_servers.two]  # a comment\ncommand = "{sys.executable}"\nargs = {json.dumps(list(FIXTURE))}\n'
        '\n[mcp_servers.two.env]\nTOKEN = "old-s3cret"  # expires\n\n[profile]\nx = 1\n'
    ),
    "shop/.mcp.json": f'{{"mcpServers": {{"web": {ENTRY}}}}}\n',
    "bar/.mcp.json": f'{{"mcpServers": {{"web": {ENTRY}}}}}\n',
}


@pytest.fixture(params=["--http", "--fail-open", "--single"])
def user(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[User]:
    """A user whose clients' files use the gateway, in each of the ways."""
    with User(tmp_path / "h") as made:
        for name, text in FILES.items():
            made.write(name, text)
        made.mcpgateway("start")
        made.mcpgateway("clients", "apply", "--yes", request.param)
        for project in ("shop", "bar"):
            made.mcpgateway("clients", "apply", "--yes", "--http", "--project", str(made.home / project))
        yield made
    assert "s3cret" not in made.log


def token(user: User, name: str, project: str = "") -> str:
    """Ask a server for the value of its variable, as a client in a project does."""
    params = {"name": "env", "arguments": {"name": "TOKEN"}}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    headers = {"Content-Type": "application/json", "Accept": "application/json", "Mcp-Project-Path": project}
    request = urllib.request.Request(f"{user.url}/{name}/mcp", json.dumps(message).encode(), headers)
    with urllib.request.urlopen(request, timeout=LIMIT_S) as answer:
        return str(json.load(answer))


def texts(user: User) -> dict[str, str]:
    """The present texts of the clients' files."""
    return {name: (user.home / name).read_text() for name in FILES}


class SharedTests:
    """Edits by hand of enrolled entries whose server several clients share."""

    @pytest.mark.parametrize("mode", ["--http", "--fail-open"])
    def test_a_variable(self, tmp_path: Path, mode: str) -> None:
        """A client whose entry has another value gets a server of its own, and a restored file has the value."""
        with User(tmp_path / "h") as user:
            text = f'{{"mcpServers": {{"one": {ENTRY}}}}}'
            for name in (".claude.json", ".cursor/mcp.json"):
                user.write(name, text)
            user.mcpgateway("start")
            user.mcpgateway("clients", "apply", "--yes", mode)
            file = user.home / ".cursor/mcp.json"
            enrolled = json.loads(file.read_text())
            assert "old-s3cret" in token(user, "one")
            enrolled["mcpServers"]["one"]["env"] = {"TOKEN": "new-s3cret"}
            user.write(".cursor/mcp.json", json.dumps(enrolled))
            eventually(lambda: "one-2" in file.read_text(), "the entry leads to a server of its own")
            eventually(lambda: user.serves("one-2"), "the gateway has read it")
            assert ("old-s3cret" in token(user, "one"), "new-s3cret" in token(user, "one-2")) == (True, True)
            assert "one (as one-2)" in user.mcpgateway("clients")
            apart = json.loads(file.read_text())
            apart["mcpServers"]["one"]["env"] = {"TOKEN": "old-s3cret"}
            user.write(".cursor/mcp.json", json.dumps(apart))
            eventually(lambda: "one-2" not in file.read_text(), "the entry leads to the shared server again")
            eventually(lambda: not user.serves("one-2"), "the server of its own is gone")
            again = json.loads(file.read_text())
            again["mcpServers"]["one"]["env"] = {"TOKEN": "new-s3cret"}
            user.write(".cursor/mcp.json", json.dumps(again))
            eventually(lambda: "one-2" in file.read_text(), "the entry leads to a server of its own anew")
            user.mcpgateway("stop")
            entry = json.loads(file.read_text())["mcpServers"]["one"]
            assert entry == {**json.loads(ENTRY), "env": {"TOKEN": "new-s3cret"}}
            assert (user.home / ".claude.json").read_text() == text

    def test_an_argument(self, tmp_path: Path) -> None:
        """The command behind the -- of an enrolled entry counts as it stands there, at once."""
        with User(tmp_path / "h") as user:
            user.write(".claude.json", f'{{"mcpServers": {{"one": {ENTRY}}}}}')
            user.mcpgateway("start")
            user.mcpgateway("clients", "apply", "--yes", "--fail-open")
            file = user.home / ".claude.json"
            changed = file.read_text().replace('fixture.py"', 'fixture.py", "--strict"')
            user.write(".claude.json", changed)
            eventually(lambda: "--strict" in user.mcpgateway("servers", "get", "one"), "the argument counts")
            user.mcpgateway("stop")
            assert json.loads(file.read_text())["mcpServers"]["one"]["args"] == [*FIXTURE, "--strict"]


class CommentTests:
    @pytest.mark.parametrize("mode", ["--http", "--fail-open"])
    def test_a_comment(self, tmp_path: Path, mode: str) -> None:
        """A comment in an enrolled entry is in the file after a stop, and the rest is as before."""
        argv = json.dumps([sys.executable, *FIXTURE])
        text = f'{{\n  "mcp": {{\n    "one": {{\n      "type": "local",\n      "command": {argv}\n    }}\n  }}\n}}\n'
        with User(tmp_path / "h") as user:
            user.write(".config/opencode/opencode.jsonc", text)
            user.mcpgateway("start")
            user.mcpgateway("clients", "apply", "--yes", mode)
            file = user.home / ".config/opencode/opencode.jsonc"
            first, *rest = file.read_text().partition('"one": {\n')[1:]
            head = file.read_text().partition(first)[0]
            file.write_text(f"{head}{first}      // ask Ada\n{''.join(rest)}")
            said = user.mcpgateway("stop")
            assert file.read_text() == text.replace(first, f"{first}      // ask Ada\n")
            assert "one is put back, and the rest of the file stays as it is" in " ".join(said.split())


class OriginalTests:
    @pytest.mark.parametrize(("name", "file"), [("one", ".claude.json"), ("two", ".codex/config.toml")])
    def test_a_token(self, user: User, name: str, file: str) -> None:
        """The running server has the new value, and the restored file differs in that value only."""
        words = ("servers", "set-env", name, "TOKEN=new-s3cret", "--original", "--yes")
        enrolled, before = texts(user), token(user, name)
        said = user.mcpgateway(*words)
        assert f"{name} is changed in ~/{file}; a stop gives the entry back with the change." in " ".join(
            said.split()
        )
        assert ("old-s3cret" in before, "s3cret" in said) == (True, False)
        eventually(lambda: "new-s3cret" in token(user, name), "the server has the new value")
        others = [each for each in FILES if each != file]
        assert [texts(user)[each] for each in others] == [enrolled[each] for each in others]
        assert f"{name} is unchanged: it is so already." in user.mcpgateway(*words)
        user.mcpgateway("stop")
        assert texts(user) == {**FILES, file: FILES[file].replace("old-s3cret", "new-s3cret")}

    def test_a_project(self, user: User) -> None:
        """Of two projects with one name the named one is changed, in its file or over it."""
        first, second = (str(user.home / each) for each in ("shop", "bar"))
        user.mcpgateway(
            "servers", "set-env", "web", "TOKEN=new-s3cret", "--original", "-y", "--project", second
        )
        found = {
            each["project"]: each["name"] for each in user.told("servers", "list")["items"] if each["project"]
        }
        eventually(lambda: "new-s3cret" in token(user, found[second], second), "the server has the new value")
        assert "old-s3cret" in token(user, found[first], first)
        user.mcpgateway("servers", "set-env", "web", "TOKEN=over-s3cret", "--project", first)
        assert "over-s3cret" in token(user, found[first], first)
        assert "new-s3cret" in token(user, found[second], second)
        said = user.mcpgateway(
            "servers", "set-env", "web", "TOKEN=next-s3cret", "--original", "-y", "--project", first
        )
        assert "env.TOKEN is taken out of ~/.mcp-gateway/config.yaml" in " ".join(said.split())
        eventually(lambda: "next-s3cret" in token(user, found[first], first), "the newest value is in force")
        user.mcpgateway("servers", "set", "web", "timeout=3s", "--project", str(user.home), code=1)
        user.mcpgateway("stop")
        assert texts(user) == {
            **FILES,
            "shop/.mcp.json": FILES["shop/.mcp.json"].replace("old-s3cret", "next-s3cret"),
            "bar/.mcp.json": FILES["bar/.mcp.json"].replace("old-s3cret", "new-s3cret"),
        }


class FewTests:
    @pytest.fixture
    def user(self, tmp_path: Path) -> Iterator[User]:
        """A user of one client."""
        with User(tmp_path / "h") as made:
            made.write(".claude.json", FILES[".claude.json"])
            made.mcpgateway("start")
            made.mcpgateway("clients", "apply", "--yes")
            yield made

    def test_refused(self, user: User) -> None:
        """Without a terminal nothing is written unasked; keys that the client does not read are named."""
        before = (user.home / ".claude.json").read_bytes()
        done = user.ran(str(BIN / "mcpgateway"), "servers", "set-env", "one", "TOKEN=x", "--original")
        assert (done.returncode, "nobody can be asked" in done.stderr) == (1, True)
        for words, says in (
            (("set", "one", "share=session"), "Claude Code reads no share"),
            (("set", "one", "disabled=true"), "switched and renamed without --original"),
            (("set-env", "one", "LD_PRELOAD=x"), "LD_PRELOAD"),
            (("set", "nobody", "cwd=/tmp"), "no client's file has an original of nobody"),
        ):
            done = user.ran(str(BIN / "mcpgateway"), "servers", *words, "--original", "--yes")
            assert (done.returncode, says in done.stderr) == (1, True), done.stderr
        assert (user.home / ".claude.json").read_bytes() == before

    def test_in_the_editor(self, user: User) -> None:
        """The original is edited as its client has it, and a key that the client does not read is refused."""
        before = (user.home / ".claude.json").read_bytes()
        said = self.edited(user, "sed -i '$ashare: session'", "--original", "--yes", code=1)
        assert "Claude Code reads no share" in said
        assert (user.home / ".claude.json").read_bytes() == before
        said = self.edited(user, "sed -i s/old-s3cret/new-s3cret/", "--original", "--yes")
        assert "one is changed in ~/.claude.json; a stop gives the entry back with the change." in said
        assert "s3cret" not in said
        eventually(lambda: "new-s3cret" in token(user, "one"), "the server has the new value")
        user.mcpgateway("clients", "undo")
        assert (user.home / ".claude.json").read_text() == FILES[".claude.json"].replace("old-", "new-")

    def test_the_process(self, user: User) -> None:
        """An edit over the entry says whether the process is replaced."""
        token(user, "one")
        for key, says in (
            ("timeout: 30s", "timeout: counts at once, and its process goes on."),
            ("env: {A: b}", "env: its process is replaced, and a new one answers the next call."),
        ):
            assert says in self.edited(user, f"sed -i '$a{key}'")
        user.mcpgateway("stop")
        assert "No gateway runs here" in self.edited(user, "sed -i /^timeout/d")

    def edited(self, user: User, editor: str, *words: str, code: int = 0) -> str:
        """Edit the server with an editor; return what the command says, in one line."""
        done = user.ran("env", f"EDITOR={editor}", str(BIN / "mcpgateway"), "servers", "edit", "one", *words)
        assert done.returncode == code, done.stdout + done.stderr
        return " ".join((done.stdout + done.stderr).split())

    def test_a_draft_over_it(self, user: User) -> None:
        """The draft over an enrolled entry shows that entry without its secrets; left as it is, it changes nothing."""
        file = user.home / ".claude.json"
        before = file.read_text()
        for words, keys in ((), "share: session\n"), (("share=session",), "share: session\n"):
            if words:
                user.mcpgateway("servers", "set", "one", *words)
            done = user.ran("env", "EDITOR=cat", str(BIN / "mcpgateway"), "servers", "edit", "one")
            assert done.returncode == 0, done.stderr
            assert "The entry of ~/.claude.json" in done.stdout
            assert f"#     command: {sys.executable}" in done.stdout
            assert "old-s3cret" not in done.stdout
            assert '#       TOKEN: "***REDACTED***"' in done.stdout
            assert (keys in done.stdout) is bool(words)
            assert "one is unchanged: the draft has no change" in done.stdout
        assert file.read_text() == before

    def test_stopped(self, user: User) -> None:
        """A file that is restored for now is changed, and enrolled with the change at the next start."""
        user.mcpgateway("stop")
        user.mcpgateway("servers", "set-env", "one", "TOKEN=new-s3cret", "--original", "--yes")
        changed = FILES[".claude.json"].replace("old-s3cret", "new-s3cret")
        assert (user.home / ".claude.json").read_text() == changed
        user.mcpgateway("start")
        assert f"{user.url}/one/mcp" in (user.home / ".claude.json").read_text()
        assert "new-s3cret" in token(user, "one")
        user.mcpgateway("clients", "undo")
        assert (user.home / ".claude.json").read_text() == changed

    @pytest.mark.parametrize(
        ("over", "words", "file_has", "shown"),
        [
            (("set-env", "TOKEN=over-s3cret"), ("set-env", "TOKEN=new-s3cret"), "new-s3cret", "env.TOKEN"),
            # The original has that value already, which the gateway's own hides.
            (("set-env", "TOKEN=over-s3cret"), ("set-env", "TOKEN=old-s3cret"), "old-s3cret", "env.TOKEN"),
            (("set-env", "TOKEN=over-s3cret"), ("unset-env", "TOKEN"), "", "env.TOKEN"),
            (("set", "env.TOKEN=over-s3cret"), ("set", 'env={"TOKEN": "new-s3cret"}'), "new-s3cret", "env"),
        ],
    )
    def test_over_it(
        self, user: User, over: tuple[str, str], words: tuple[str, str], file_has: str, shown: str
    ) -> None:
        """A value in the gateway's configuration gives way to the newer one of the original, in one diff."""
        user.mcpgateway(
            "servers", over[0], "one", *over[1:], "MORE=kept" if "env" in over[0] else "timeout=9s"
        )
        assert "over-s3cret" in token(user, "one")
        said = user.mcpgateway("servers", words[0], "one", *words[1:], "--original", "--yes")
        told = " ".join(said.split())
        assert (
            f"{shown} is taken out of ~/.mcp-gateway/config.yaml, so that the value of ~/.claude.json is in force."
            in told
        )
        assert f"--- {user.home}/.mcp-gateway/config.yaml" in said
        assert "s3cret" not in said
        eventually(lambda: "over-s3cret" not in token(user, "one"), "the former value is gone")
        assert file_has in token(user, "one")
        assert ("MORE" in str(user.told("servers", "get", "one"))) is ("env" in over[0])
        assert "is in the gateway only" not in " ".join(user.mcpgateway("stop").split()).replace(
            "MORE is", ""
        )
        assert (user.home / ".claude.json").read_text() == FILES[".claude.json"].replace(
            '"TOKEN": "old-s3cret"', f'"TOKEN": "{file_has}"' if file_has else ""
        )

    def test_over_it_in_the_editor(self, user: User) -> None:
        """Of an overlay only the keys give way that were edited."""
        user.mcpgateway("servers", "set-env", "one", "TOKEN=over-s3cret", "MORE=more-s3cret")
        user.mcpgateway("servers", "set", "one", 'args=["-c", "no"]')
        said = self.edited(user, "sed -i s/old-s3cret/new-s3cret/", "--original", "--yes")
        assert "env.TOKEN is taken out of" in said
        config = (user.home / ".mcp-gateway/config.yaml").read_text()
        assert ("MORE:" in config, "TOKEN:" in config, 'args: ["-c", "no"]' in config) == (True, False, True)
        said = user.mcpgateway(
            "servers", "set", "one", f"args={json.dumps(['-B', *FIXTURE])}", "--original", "--yes"
        )
        assert "args is taken out of" in " ".join(said.split())
        eventually(lambda: "new-s3cret" in token(user, "one"), "the original's arguments run")

    @pytest.mark.parametrize(("answer", "code"), [("y\r", 0), ("\r", 1)])
    def test_on_a_terminal(self, user: User, answer: str, code: int) -> None:
        """The change is shown as a diff without values, and a person is asked once."""
        words = ("servers", "set-env", "one", "MORE=new-s3cret", "--original")
        terminal = Terminal([str(BIN / "mcpgateway"), *words], user.environ)
        assert terminal.shows(r"Write this into ~/\.claude\.json\? \[y/N\]:\s*$"), terminal.screen
        terminal.type(answer)
        assert terminal.ended() == code
        assert '"MORE": "***REDACTED***"' in terminal.text
        assert "s3cret" not in terminal.text
        user.mcpgateway("clients", "undo")
        assert ("MORE" in (user.home / ".claude.json").read_text()) is (code == 0)


class HeaderTests:
    """A header of a server in the user's files."""

    def test_a_header(self, tmp_path: Path) -> None:
        """It is written into the client's file, in the words of its client."""
        url = "http://127.0.0.1:9/mcp"
        with User(tmp_path / "h") as user:
            user.write(".claude.json", json.dumps({"mcpServers": {"far": {"type": "http", "url": url}}}))
            user.write(".codex/config.toml", f'[mcp_servers.off]\nurl = "{url}/2"\n')
            user.mcpgateway("start")
            user.mcpgateway("clients", "apply", "--yes", "--remote")
            for name in ("far", "off"):
                words = ("servers", "set-header", name, "X-Key: new-s3cret", "--original", "--yes")
                assert "s3cret" not in user.mcpgateway(*words)
            user.mcpgateway("stop")
            entry = json.loads((user.home / ".claude.json").read_text())["mcpServers"]["far"]
            assert entry["headers"] == {"X-Key": "new-s3cret"}
            found = (user.home / ".codex/config.toml").read_text()
            assert "http_headers" in found
            assert "new-s3cret" in found


def test_two_files_with_one_server(tmp_path: Path) -> None:
    """A rotated token is written into every client's file that shares the server, which stays one."""
    entry = {"mcpServers": {"one": {**json.loads(ENTRY), "env": {"TOKEN": "old-s3cret"}}}}
    with User(tmp_path / "h", has_service=False) as user:
        paths = [
            user.write(each, json.dumps(entry, indent=2)) for each in (".claude.json", ".cursor/mcp.json")
        ]
        user.mcpgateway("start", "--yes")
        said = user.mcpgateway("servers", "set-env", "one", "TOKEN=new-s3cret", "--original", "--yes")
        assert "one is changed in ~/.claude.json and ~/.cursor/mcp.json" in " ".join(said.split())
        assert "s3cret" not in said
        user.mcpgateway("clients", "undo")
        for path in paths:
            assert path.read_text() == json.dumps(entry, indent=2).replace("old-", "new-")
