"""Values of overlays when clients' files are restored: the files have the former ones, which is told."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.hints import told
from tests.support.user import User

pytestmark = pytest.mark.functional

FIXTURE = ("-I", "-S", str(Path(__file__).parents[1] / "servers" / "fixture.py"))
ENTRY = {"command": sys.executable, "args": list(FIXTURE), "env": {"TOKEN": "old-s3cret"}}
ORIGINAL = "servers set-env one TOKEN --original"


@pytest.fixture
def user(tmp_path: Path) -> Iterator[User]:
    """A user whose client uses the gateway, and whose token has been rotated there."""
    with User(tmp_path / "h") as made:
        made.write(".claude.json", json.dumps({"mcpServers": {"one": ENTRY, "two": {**ENTRY, "args": []}}}))
        made.mcpgateway("start")
        made.mcpgateway("clients", "apply", "--yes", "--http")
        said = made.mcpgateway("servers", "set-env", "one", "TOKEN=new-s3cret")
        assert ORIGINAL in told(said)
        yield made
    assert "s3cret" not in made.log


def test_stop(user: User) -> None:
    """The command that `stop` names writes the value into the restored file, also without a gateway."""
    said = user.mcpgateway("stop")
    assert [each for each in told(said) if "--original" in each] == [ORIGINAL]
    assert "one: TOKEN has a value in the gateway only, which ~/.claude.json lacks." in " ".join(said.split())
    assert "s3cret" not in said
    file = user.home / ".claude.json"
    assert "old-s3cret" in file.read_text()
    user.mcpgateway(*shlex.split(ORIGINAL.replace("TOKEN", "TOKEN=new-s3cret")), "--yes")
    assert json.loads(file.read_text())["mcpServers"]["one"]["env"]["TOKEN"] == "new-s3cret"


@pytest.mark.parametrize("words", [("clients", "undo"), ("clients", "pause")])
def test_restored(user: User, words: tuple[str, ...]) -> None:
    """Other commands that restore the file say so, too, and the named command writes the value."""
    assert ORIGINAL in told(user.mcpgateway(*words))
    user.mcpgateway(*shlex.split(ORIGINAL.replace("TOKEN", "TOKEN=new-s3cret")), "--yes")
    file = user.home / ".claude.json"
    assert json.loads(file.read_text())["mcpServers"]["one"]["env"]["TOKEN"] == "new-s3cret"


def test_nothing_over_it(user: User) -> None:
    """Without a value over the entry nothing is said."""
    user.mcpgateway("servers", "unset-env", "one", "TOKEN")
    assert "--original" not in user.mcpgateway("stop")


def test_read_only(tmp_path: Path) -> None:
    """A file that is read and not enrolled takes the value by the named command, too."""
    with User(tmp_path / "h") as user:
        file = user.write(".claude.json", json.dumps({"mcpServers": {"one": ENTRY}}))
        user.mcpgateway("start")
        assert ORIGINAL in told(user.mcpgateway("servers", "set-env", "one", "TOKEN=new-s3cret"))
        user.mcpgateway(*shlex.split(ORIGINAL.replace("TOKEN", "TOKEN=new-s3cret")), "--yes")
        assert json.loads(file.read_text())["mcpServers"]["one"]["env"]["TOKEN"] == "new-s3cret"


def test_get(user: User) -> None:
    """`servers get` names the overlay and what it changes, without secrets."""
    user.mcpgateway("servers", "set", "one", "timeout=2m")
    shown = " ".join(user.mcpgateway("servers", "get", "one").split())
    assert "changed in ~/.mcp-gateway/config.yaml: env.TOKEN, timeout=2m" in shown
    assert "s3cret" not in shown
    assert "changed in" not in user.mcpgateway("servers", "get", "two")


def test_other_server(tmp_path: Path) -> None:
    """A server of the same title in another file is not told of, nor a file that has the value already."""
    with User(tmp_path / "h") as user:
        user.write(".claude.json", json.dumps({"mcpServers": {"one": ENTRY}}))
        user.write(
            ".cursor/mcp.json", json.dumps({"mcpServers": {"one": {**ENTRY, "env": {"TOKEN": "b-s3cret"}}}})
        )
        user.mcpgateway("start")
        user.mcpgateway("clients", "apply", "--yes", "--http")
        user.mcpgateway("servers", "set-env", "one", "TOKEN=new-s3cret")
        said = " ".join(user.mcpgateway("stop").split())
        assert "one: TOKEN has a value in the gateway only, which ~/.claude.json lacks." in said
        file = user.home / ".claude.json"
        user.mcpgateway("start")
        user.mcpgateway("clients", "pause")
        file.write_text(file.read_text().replace("old-s3cret", "new-s3cret"))
        user.mcpgateway("clients", "resume")
        assert "in the gateway only" not in " ".join(user.mcpgateway("stop").split())


def test_several_files(tmp_path: Path) -> None:
    """A value that several files lack is told in one line, with all these files."""
    with User(tmp_path / "h") as user:
        text = json.dumps({"mcpServers": {"one": ENTRY}})
        for name in (".claude.json", ".cursor/mcp.json", ".gemini/settings.json"):
            user.write(name, text)
        user.mcpgateway("start")
        user.mcpgateway("clients", "apply", "--yes", "--http")
        user.mcpgateway("servers", "set-env", "one", "TOKEN=new-s3cret")
        user.mcpgateway("servers", "add", "extra", "--no-test", "--", sys.executable, *FIXTURE)
        user.mcpgateway("clients", "apply", "--yes", "--http")
        found = json.loads((user.home / ".claude.json").read_text())
        user.write(".claude.json", json.dumps({**found, "theme": "dark"}))
        said = user.mcpgateway("clients", "undo")
        words = " ".join(said.split())
        assert [each for each in told(said) if "--original" in each] == [ORIGINAL]
        assert (
            "TOKEN has a value in the gateway only, which 3 files lack:"
            " ~/.claude.json, ~/.cursor/mcp.json, ~/.gemini/settings.json." in words
        )
        assert "~/.claude.json: one is put back, and the rest of the file stays as it is" in words
        assert "~/.claude.json: extra is taken out, since the gateway had added it" in words
        assert "~/.cursor/mcp.json: as before, to the byte: one" in words
        assert json.loads((user.home / ".claude.json").read_text()) == {
            "mcpServers": {"one": ENTRY},
            "theme": "dark",
        }
        assert (user.home / ".cursor/mcp.json").read_text() == text


def test_added(user: User) -> None:
    """The secret of a server that is added stands in the file of values, and the entry refers to it; others stay."""
    words = ("servers", "add", "extra", "-e", "API_TOKEN=s3cret-2", "-e", "LEVEL=7", "--no-test")
    said = user.mcpgateway(*words, "--", sys.executable, *FIXTURE)
    assert "API_TOKEN (as EXTRA_API_TOKEN): the value is in ~/.mcp-gateway/.env" in " ".join(said.split())
    definition = (user.gateway_home / "config.yaml").read_text()
    assert ("s3cret" in definition, 'API_TOKEN: "${EXTRA_API_TOKEN}"' in definition) == (False, True)
    assert 'LEVEL: "7"' in definition
    user.mcpgateway("servers", "start", "extra")
    found = user.told("tools", "call", "extra__env", "name=API_TOKEN")
    assert "s3cret-2" in json.dumps(found) or "removed" in json.dumps(found)
    replaced = ["s3cret-3" if each == "API_TOKEN=s3cret-2" else each for each in words]
    replaced[replaced.index("s3cret-3")] = "API_TOKEN=s3cret-3"
    user.mcpgateway(*replaced, "--replace", "--", sys.executable, *FIXTURE)
    values = (user.gateway_home / ".env").read_text()
    assert ("s3cret-2" in values, "s3cret-3" in values) == (False, True)
    user.mcpgateway(*words, "--", sys.executable, *FIXTURE, code=1)
    assert "s3cret-2" not in (user.gateway_home / ".env").read_text()


def test_written_into_the_file(user: User) -> None:
    """A pause and a stop say nothing of values that the file has since a change by --original."""
    user.mcpgateway("servers", "set-env", "one", "TOKEN=newer-s3cret", "--original", "--yes")
    user.mcpgateway("servers", "set", "two", "command=uxv")
    user.mcpgateway("servers", "set", "two", "command=uvx", "--original", "--yes")
    for words in (("clients", "pause"), ("clients", "resume"), ("stop",)):
        said = " ".join(user.mcpgateway(*words).split())
        assert ("in the gateway only" in said, "--original" in said) == (False, False)
    entries = json.loads((user.home / ".claude.json").read_text())["mcpServers"]
    assert (entries["one"]["env"]["TOKEN"], entries["two"]["command"]) == ("newer-s3cret", "uvx")
