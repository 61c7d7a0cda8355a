"""``config import``: the servers of clients' files, in whatever manner they are written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mcpgateway.clientfiles.enrolment import apply
from mcpgateway.clientfiles.formats.clients import DIALECTS
from mcpgateway.clientfiles.import_servers import take_over
from mcpgateway.clientfiles.plan import EnrolRequest
from mcpgateway.errors import ConfigError
from mcpgateway.system.settings import LoadOptions, examine
from tests.support.clients import House

CLIENTS = [each for each in DIALECTS if each != "custom"]
REMOTE = """\
[mcp_servers.far]
url = "https://far.example/mcp"
http_headers = { "X-Fixed" = "yes" }
env_http_headers = { "X-From" = "FROM" }
bearer_token_env_var = "FAR_TOKEN"
"""


@pytest.fixture
def house(tmp_path: Path) -> House:
    """A user's home with nothing in it."""
    return House(tmp_path)


def taken(house: House, *paths: Path, into: Path | None = None) -> int:
    """Take servers over; the exit code."""
    options = LoadOptions(home=str(house.home), sources=())
    target = str(into) if into else None
    return take_over(options, house.environ, list(map(str, paths)), into=target, is_dry=False)


def served(house: House) -> dict[str, tuple[str, ...]]:
    """Return the servers that the gateway would serve from its own configuration, by name."""
    found = examine(LoadOptions(home=str(house.home), sources=()), house.environ)
    assert found.settings is not None, found.problems
    return {each.name: each.command for each in found.settings.servers}


class FormTests:
    """Every client whose form is known."""

    @pytest.mark.parametrize("client", CLIENTS)
    def test_taken(self, house: House, client: str) -> None:
        """A client's servers are imported as it would run them, from JSON, TOML and YAML, with and without comments."""
        path = house.write_sample(client)
        assert taken(house, path) == 0
        assert served(house) == {"one": ("/bin/echo", "one"), "two": ("/bin/cat",)}

    @pytest.mark.parametrize("client", CLIENTS)
    def test_a_copy(self, house: House, client: str) -> None:
        """The servers of a copy elsewhere are imported; the client is known by the text of the file."""
        path = house.write_sample(client)
        copy = path.rename(house.home.parent / f"saved{path.suffix}")
        assert taken(house, copy) == 0
        assert served(house) == {"one": ("/bin/echo", "one"), "two": ("/bin/cat",)}

    def test_its_variables(self, house: House) -> None:
        """A variable that a client expands is expanded by the gateway, in its own spelling."""
        path = house.write(house.cursor, {"a": {"command": "/bin/echo", "args": ["${env:X}"]}})
        house.environ["X"] = "from outside"
        assert taken(house, path) == 0
        assert served(house) == {"a": ("/bin/echo", "from outside")}

    def test_a_remote_server(self, house: House) -> None:
        """Headers of a remote server are imported, by the names of variables where the client has names."""
        path = house.place("codex")
        path.parent.mkdir()
        path.write_text(REMOTE)
        assert taken(house, path) == 0
        written = (house.home / "config.yaml").read_text()
        for each in (
            "url: https://far.example/mcp",
            "X-Fixed: yes",
            "X-From: ${FROM}",
            "Bearer ${FAR_TOKEN}",
        ):
            assert each in written.replace("'", "").replace('"', "")

    def test_switched_off(self, house: House) -> None:
        """A server that is disabled in its client is imported disabled."""
        path = house.write(house.cursor, {"a": {"command": "/bin/echo", "disabled": True}})
        assert taken(house, path) == 0
        assert "enabled: false" in (house.home / "config.yaml").read_text()


class OwnTests:
    """Entries of the gateway's own."""

    @pytest.mark.parametrize("mode", ["http", "fail-open", "single"])
    @pytest.mark.parametrize("client", ["claude-code", "cursor", "codex", "vscode", "continue"])
    def test_nothing_is_taken(self, house: House, client: str, mode: str, capsys) -> None:
        """A file that uses the gateway has nothing for it: it serves what stood there."""
        path = house.write_sample(client)
        apply(house.machine, EnrolRequest(mode=mode))
        assert taken(house, path) == 0
        said = capsys.readouterr().out
        assert "uses the gateway already" in said
        assert said.endswith("there was no server to take over\n")
        assert not (house.home / "config.yaml").exists()

    def test_a_copy(self, house: House, capsys) -> None:
        """A copy's entries of the gateway, by URL or by program, are not imported, and keys without a meaning are
        named.
        """
        copy = house.root / "saved.json"
        entries = {
            "far": {"url": "https://far.example/mcp", "color": "red", "trust": True},
            "here": {"url": f"http://localhost:{house.machine.base.port}/here/mcp"},
            "relay": {"command": "mcpgateway", "args": ["connect", "relay"]},
        }
        copy.write_text(json.dumps({"mcpServers": entries}, indent=1))
        assert taken(house, copy) == 0
        said = capsys.readouterr().out.splitlines()
        for name in ("here", "relay"):
            assert any(f"mcpServers.{name}: uses the gateway already" in each for each in said), said
        for key in ("color", "trust"):
            (line,) = (each for each in said if f"far.{key}" in each)
            assert line.endswith(f"mcpServers.far.{key}: means nothing to the gateway")

    def test_named_once(self, house: House, capsys) -> None:
        """A file that cannot be read is an error that names it once."""
        path = house.root / "theirs.json"
        path.write_text("{")
        assert taken(house, path) == 1
        said = capsys.readouterr().out
        assert said.startswith(f"error: {path}, line 1, column 2: ")
        assert said.count(str(path)) == 1


class NothingTests:
    """Files without a server to import."""

    @pytest.mark.parametrize("text", ["{", None, "{}"])
    def test_no_file_is_left(self, house: House, text: str | None) -> None:
        """Where nothing could be taken, nothing is written."""
        path, into = house.root / "theirs.json", house.root / "into.yaml"
        if text is not None:
            path.write_text(text)
        assert taken(house, path, into=into) == (0 if text == "{}" else 1)
        assert not into.exists()

    def test_a_configuration_that_would_break(self, house: House, capsys) -> None:
        """A server that would break the configuration is not written, as one with a name that its dialect refuses."""
        into = house.root / "config.json"
        before = '{"gateway": {"http_port": 9100}, "servers": {"a": {"command": "x"}}}'
        into.write_text(before)
        path = house.write(house.cursor, {"b__c": {"url": "https://far.example/mcp"}})
        with pytest.raises(ConfigError, match="nothing is written"):
            taken(house, path, into=into)
        assert into.read_text() == before
