"""Settings with values from outside of all files: who may have them, and who is told."""

import json
import os

import pytest

from mcpgateway.cli.local.show import show
from mcpgateway.config.merge import WorkspaceSpec, specialise
from mcpgateway.errors import ConfigError
from mcpgateway.system.settings import LoadOptions, examine, load, read_workspace
from tests.support.keyrings import keyring

OURS = """\
secrets: {allow_cmd: true}
servers:
  a:
    command: run
    env:
      TOKEN: "${keyring:github/ada}"
      MORE: "x${cmd:sh -c 'echo ran >> ran; echo made-by-cmd'}"
  b:
    url: "https://b.example/${keyring:github/ada}"
    headers: {X-Key: "${keyring:github/ada}"}
"""


class House:
    """A user with a keyring and files."""

    def __init__(self, path):
        self.path = path
        self.environ = {"HOME": str(path), "PATH": os.environ["PATH"], "SHLVL": "1", "TERM": "xterm"}
        self.environ |= keyring(path, **{"github|ada": "from-keyring"})
        self.options = LoadOptions(home=str(path / "home"))
        self.write("home/config.yaml", OURS)

    def write(self, name, text):
        """Write a file."""
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def load(self):
        """Load the settings, as the daemon does at its start."""
        return load(self.options, self.environ)

    @property
    def runs(self):
        """Return how often the command has run."""
        file = self.path / "ran"
        return file.read_text().count("ran") if file.exists() else 0


@pytest.fixture
def house(tmp_path):
    """A user."""
    return House(tmp_path)


class LoadTests:
    def test_values(self, house):
        """A file of ours has external values, each fetched once."""
        a, b = house.load().servers
        assert (a.env["TOKEN"], a.env["MORE"]) == ("from-keyring", "xmade-by-cmd")
        assert b.reach.headers == {"X-Key": "from-keyring"}
        assert b.reach.url == "https://b.example/from-keyring"
        assert house.runs == 1

    def test_keys(self, house):
        """Keys of clients can be had from there; where nobody has asked yet, none of them opens anything."""
        auth = (
            "settings: {security: {auth: {enabled: true, api_keys: ['a-long-key-${keyring:github/ada}']}}}\n"
        )
        house.write("home/config.yaml", auth + OURS)
        assert house.load().gateway.security.api_keys == ("a-long-key-from-keyring",)
        found = examine(house.options, house.environ)
        assert found.problems == ()
        assert found.settings.gateway.security.api_keys == ("a-long-key-${keyring:github/ada}",)

    def test_credential(self, house):
        """A server with another secret has another credential."""
        before = house.load().servers[0].credential
        house.environ |= keyring(house.path, **{"github|ada": "another"})
        assert house.load().servers[0].credential != before

    def test_only_looked_at(self, house, capsys):
        """A command that only reads the configuration runs nothing, and takes a value not known yet for no mistake."""
        found = examine(house.options, house.environ)
        assert found.settings is not None
        assert found.problems == ()
        assert sorted(each.partition(":")[0] for each in found.wanted) == ["cmd", "keyring"]
        assert show(house.options, house.environ, as_json=False) == 0
        out = capsys.readouterr().out
        assert '"${keyring:github/ada}"' in out
        assert "from the keyring" in out
        assert "what a command prints" in out
        assert "made-by-cmd" not in out
        assert "from-keyring" not in out
        assert house.runs == 0

    def test_not_allowed(self, house):
        """Without leave no command runs, which is an error that names the place."""
        house.write("home/config.yaml", OURS.replace("true", "false"))
        with pytest.raises(
            ConfigError, match=r"config\.yaml, line 7: servers\.a\.env\.MORE: takes what a command prints"
        ):
            house.load()
        assert house.runs == 0

    def test_failure(self, house):
        """A value that cannot be fetched is an error that names its place, and shows nothing."""
        house.write("home/config.yaml", OURS.replace("github/ada", "github/eve"))
        with pytest.raises(
            ConfigError, match=r"line 6: servers\.a\.env\.TOKEN: the keyring has no such entry; and 2 more$"
        ) as caught:
            house.load()
        assert "made-by-cmd" not in str(caught.value)

    def test_line_break(self, house):
        """A value with a line break is an error that shows neither it nor the command."""
        house.write("home/config.yaml", OURS.replace("echo made-by-cmd", "printf a; echo; printf hunter2"))
        with pytest.raises(ConfigError, match="holds a line break") as caught:
            house.load()
        assert "hunter2" not in str(caught.value)


class StrangersTests:
    """Files that have no say in the commands that run."""

    ENTRY = {"command": "x", "env": {"T": "${cmd:sh -c 'echo ran >> ran'}"}}

    def test_clients(self, house):
        """A client's file, of the user or of a project, has it as it is written."""
        servers = {"mcpServers": {"c": self.ENTRY}, "projects": {"/p": {"mcpServers": {"d": self.ENTRY}}}}
        house.write(".claude.json", json.dumps(servers))
        settings = house.load()
        by_name = {each.name: each for each in settings.servers}
        assert by_name["c"].env["T"] == self.ENTRY["env"]["T"] == by_name["d"].env["T"]
        assert any(
            "${cmd:…} counts in the gateway's own configuration only" in each for each in settings.warnings
        )
        assert house.runs == 1  # of our own entry

    def test_included(self, house):
        """A repository's file that is read with ours is no file of ours."""
        house.write("repo/.mcp.json", json.dumps({"mcpServers": {"e": self.ENTRY}}))
        house.write("home/config.yaml", f"include: {house.path}/repo/.mcp.json\n{OURS}")
        by_name = {each.name: each for each in house.load().servers}
        assert by_name["e"].env["T"] == self.ENTRY["env"]["T"]
        assert house.runs == 1

    def test_workspace(self, house):
        """A value of a workspace's or of the home's .env is never looked at again."""
        house.write(
            "home/config.yaml",
            OURS.replace("x$", "${HERE}$").replace("command: run", "command: run\n    share: workspace"),
        )
        house.write("w/.env", "HERE='${cmd:sh -c \"echo ran >> ran\"}'\n")
        settings = house.load()
        workspace = read_workspace(str(house.path / "w"), settings)
        assert isinstance(workspace, WorkspaceSpec)
        spec = specialise(settings.blueprints["a"], workspace)
        assert spec.env["MORE"] == '${cmd:sh -c "echo ran >> ran"}made-by-cmd'
        assert house.runs == 1

    def test_environment(self, house):
        """A variable of such a name in the environment stands for nothing."""
        house.environ["keyring:github/ada"] = "forged"
        house.write("home/config.yaml", f"env_policy: full\n{OURS}")
        assert house.load().servers[0].env["TOKEN"] == "from-keyring"
