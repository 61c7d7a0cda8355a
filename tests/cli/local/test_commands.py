"""The programs behind ``mcpgateway config``."""

import json
import os
import re

import pytest

from mcpgateway.cli.main import run
from mcpgateway.policy.secrets.masking import MASK, masked
from mcpgateway.system import state
from mcpgateway.system.config_template import template
from mcpgateway.system.settings import LoadOptions, examine

CONFIG = """\
gateway:
  http_port: 9200
servers:
  gh:
    command: npx
    args: [-y, server, --token, s3cret, "--api-key=s3cret", "--url=https://me:s3cret@h/x?k=s3cret", "-e", "A=s3cret"]
    env:
      GITHUB_TOKEN: "${TOK}"
      PLAIN: s3cret
      HOMELY: "at ${HOME}"
  web:
    url: https://h.example/mcp?key=s3cret
    headers: {Authorization: "Bearer s3cret"}
"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A user's home with nothing in it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in (
        "MCPGATEWAY_HOME",
        "MCPGATEWAY_CONFIG",
        "MCP_GATEWAY_CONFIG",
        "MCP_CONFIG_PATH",
        "CLAUDE_CONFIG_DIR",
    ):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def config(home):
    """The configuration of a user."""
    path = home / ".mcp-gateway" / "config.yaml"
    path.parent.mkdir()
    path.write_text(CONFIG)
    (path.parent / ".env").write_text("TOK=s3cret\n")
    return path


def ran(capsys, *words):
    """The exit code and the output of a command."""
    code = run(["config", *words])
    return code, capsys.readouterr().out


class CheckTests:
    """``config check``."""

    def test_it_is_right(self, config, capsys):
        """A configuration that can be used is said to be one."""
        code, out = ran(capsys, "check")
        assert code == 0
        assert out.endswith("no errors, 0 warnings; 2 servers\n")

    def test_as_it_runs(self, config, capsys):
        """The check judges the configuration of the running gateway, at its port: an entry with its URL is no
        server.
        """
        config.write_text("servers:\n  a: {url: 'http://localhost:9333/b/mcp'}\n")
        assert ran(capsys, "check")[0] == 0
        argv = ("twistd", "mcpgateway", "--port", "9333")
        state.write(str(config.parent), state.myself(9333, "1", 0.0, argv, ()))
        code, out = ran(capsys, "check")
        assert code == 1
        assert "this one is the gateway's own" in out
        config.write_text("gateway: {http_port: 9200}\n")
        assert re.search(r"http_port: 9333 +--port\n", ran(capsys, "show")[1])

    def test_all_that_is_wrong(self, config, capsys):
        """Every problem is a line with what is there and what was meant, and below it the line of the file."""
        config.write_text(
            "gateway:\n  http_prt: 1\n  http_port: no\nservers:\n  a: {command: x, timeout: soon}\n"
        )
        code, out = ran(capsys, "check")
        assert code == 1
        lines = [each for each in out.splitlines() if not each.startswith("  ")]
        assert "    a: {command: •, timeout: soon}\n" + " " * 29 + "^\n" in out
        assert f"warning: {config}, line 2: gateway.http_prt: " in lines[0]
        assert "did you mean 'http_port'?" in lines[0]
        assert f"error: {config}, line 3: gateway.http_port: found 'no'; expected " in lines[1]
        assert f"error: {config}, line 5: servers.a.timeout: found 'soon'; expected " in lines[2]
        assert lines[-1] == "2 errors, 1 warning"

    @pytest.mark.parametrize(
        ("text", "dialect", "why", "env"),
        [
            (
                "servers: {a: {command: x}}",
                "mcpgateway",
                "its servers stand under servers",
                "of the allow-list",
            ),
            ("profiles: {p: {env: {}}}", "klipide-mcp-gateway", "it has profiles, and no", "whole login"),
            ("a: {command: x}\ngateway: {expose: meta}", "harshal-mcp-proxy", "at the top", "whole login"),
            ("dialect: clients\nenv_policy: allow-list", "clients", "dialect says so", "of the allow-list"),
        ],
    )
    def test_whose_form(self, config, capsys, text, dialect, why, env):
        """The check says of every file of ours how it is read, why, and which settings its servers get."""
        config.write_text(text)
        lines = ran(capsys, "check")[1].splitlines()
        assert lines[0].startswith(f"{config}: was written for {dialect}, since ")
        assert (why in lines[0], env in lines[0]) == (True, True)
        (told,) = json.loads(ran(capsys, "check", "--json")[1])["read_as"]
        assert (told["file"], told["dialect"]) == (str(config), dialect)

    def test_warnings_alone(self, config, capsys):
        """Warnings keep nobody from using it."""
        config.write_text("gateway:\n  http_prt: 1\n")
        assert ran(capsys, "check")[0] == 0

    def test_for_programs(self, config, capsys):
        """The same as JSON, each part under a name of its own."""
        config.write_text("gateway:\n  http_port: no\n")
        code, out = ran(capsys, "check", "--json")
        said = json.loads(out)
        assert code == 1
        assert said["ok"] is False
        assert str(config) in said["files"]
        (problem,) = said["problems"]
        assert (problem["severity"], problem["file"], problem["line"]) == ("error", str(config), 2)
        assert (problem["key"], problem["found"]) == ("gateway.http_port", "'no'")
        assert problem["allowed"]

    def test_another_file(self, home, capsys):
        """A file that is named is checked, whoever's it is."""
        path = home / "other.json"
        path.write_text('{"servers": {"a": 3}}')
        code, out = ran(capsys, "check", str(path))
        assert code == 1
        assert str(path) in out
        assert ran(capsys, "check", str(home / "no.json"))[0] == 1


class ShowTests:
    """``config show``."""

    def test_where_it_comes_from(self, config, capsys):
        """Each value stands beside the file and line that it is from, or the variable, or the word default."""
        code, out = ran(capsys, "show")
        assert code == 0
        rows = {line.split(":")[0].strip(): line for line in out.splitlines() if ": " in line}
        assert rows["http_port"].endswith(f"{config}:2")
        assert rows["bind_address"].endswith("default")
        assert rows["env.GITHUB_TOKEN"].endswith(f"{config}:8, TOK from the file of values")
        assert rows["env.HOMELY"].endswith("HOME from the environment")
        assert rows["share"].endswith("default")

    def test_overlay(self, config, home, capsys):
        """A server of a client's file has the file of each value, and a secret of neither."""
        entry = {"command": "npx", "args": ["notes"], "env": {"TOKEN": "s3cret"}}
        (home / ".claude.json").write_text(json.dumps({"mcpServers": {"notes": entry}}))
        config.write_text("servers:\n  notes:\n    timeout: 2m\n    env: {TOKEN: newer-s3cret}\n")
        code, out = ran(capsys, "show", "--server", "notes")
        assert code == 0
        rows = {line.split(":")[0].strip(): line for line in out.splitlines() if ": " in line}
        assert rows["command"].endswith(".claude.json:1")
        assert rows["timeout"].endswith(f"{config}:3")
        assert rows["env.TOKEN"].endswith(f"{config}:4")
        code, out = ran(capsys, "explain", "servers.notes.timeout")
        assert out.endswith(f'  now: timeout = "2m", from {config}:3\n')
        code, out = ran(capsys, "explain", "servers.notes.env")
        assert (code, "s3cret" in out) == (0, False)
        assert f"from {config}:4" in out

    def test_no_secret(self, config, capsys):
        """No value of a variable or a header is shown, and none of a query, a token or a key."""
        for words in ((), ("--json",), ("--server", "gh"), ("--server", "web", "--json")):
            code, out = ran(capsys, "show", *words)
            assert code == 0
            assert "s3cret" not in out
            assert MASK in out

    def test_for_programs(self, config, capsys):
        """The same as JSON."""
        said = json.loads(ran(capsys, "show", "--json")[1])
        assert said["gateway"]["http_port"] == {"value": 9200, "from": f"{config}:2"}
        assert said["servers"]["gh"]["env.PLAIN"]["value"] == MASK
        assert "gateway" not in json.loads(ran(capsys, "show", "--json", "--server", "gh")[1])

    def test_an_unknown_server(self, config, capsys):
        """A server that is not there is an error that names the others."""
        assert run(["config", "show", "--server", "x"]) == 1
        assert "Unknown server: x\n  there are: gh, web" in capsys.readouterr().err

    def test_a_wrong_configuration(self, config, capsys):
        """A configuration that cannot be used is not shown."""
        config.write_text("servers: 1\n")
        assert run(["config", "show"]) == 1
        assert "config check lists" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("value", "name", "shown"),
        [
            ("x", "command", "x"),
            ("${TOKEN}", "token", "${TOKEN}"),
            ("x", "client_secret", MASK),
            (["--password", "x", "y"], "args", ["--password", MASK, "y"]),
            (["TOKEN=x"], "args", [f"TOKEN={MASK}"]),
            (["-H", "A: x"], "args", ["-H", f"A:{MASK}"]),
            (["--header=A: x", "--env=B=x"], "args", [f"--header=A:{MASK}", f"--env=B={MASK}"]),
            (
                ["--bearer", "x", "--auth=x", "Authorization: Bearer x"],
                "args",
                ["--bearer", MASK, f"--auth={MASK}", f"Authorization: {MASK}"],
            ),
            (
                ["ghp_0123456789", "task-0123456789", "author=x"],
                "args",
                [MASK, "task-0123456789", "author=x"],
            ),
            ("bearer-required", "auth_mcp_transport", "bearer-required"),
            (["A=x"], "env", [f"A={MASK}"]),
            ({"oauth": {"client_secret": "x"}}, "gh", {"oauth": {"client_secret": MASK}}),
            (["a"], "api_keys", [MASK]),
            ("https://u@h/p?q#f", "url", f"https://{MASK}@h/p?{MASK}"),
            (3, "token_budget", 3),
        ],
    )
    def test_masks(self, value, name, shown):
        """A value with the name of a secret is not shown, wherever it stands."""
        assert masked(value, name) == shown


class SchemaTests:
    """``config schema``."""

    def test_it_is_a_schema(self, capsys):
        """The printed schema is the JSON Schema that editors take."""
        code, out = ran(capsys, "schema")
        assert code == 0
        assert "servers" in json.loads(out)["properties"]


class InitTests:
    """``config init``."""

    def test_it_is_written(self, home, capsys):
        """The file explains everything and changes nothing; one that is there is only replaced by force."""
        path = home / ".mcp-gateway" / "config.yaml"
        assert ran(capsys, "init") == (0, f"{path}\n")
        assert path.read_bytes() == template()
        assert ran(capsys, "check")[1].endswith("\nno errors, 0 warnings; 0 servers\n")
        path.write_text("mine")
        assert run(["config", "init"]) == 1
        assert "--force" in capsys.readouterr().err
        assert path.read_text() == "mine"
        assert run(["config", "init", "--force"]) == 0
        assert path.read_bytes() == template()

    def test_another_place(self, home, capsys):
        """The template goes to the file that is named, or the command says why it cannot."""
        path = home / "x.yaml"
        assert ran(capsys, "init", "--config", str(path)) == (0, f"{path}\n")
        assert run(["config", "init", "--config", str(home / "no" / "x.yaml")]) == 1
        assert "cannot be written" in capsys.readouterr().err

    def test_every_example_is_right(self, home):
        """The template without its comment marks is a valid configuration."""
        path = home / "all.yaml"
        path.write_text(re.sub(r"(?m)^( *)#(?=\S)", r"\1", template().decode()))
        found = examine(LoadOptions(str(path), home=str(home)), {"HOME": str(home)})
        assert [str(each) for each in found.problems] == []
        assert len(found.settings.servers) == 3


class ExplainTests:
    """``config explain``."""

    @pytest.mark.parametrize(
        ("key", "said"),
        [
            ("gateway.limits.spawns", ["gateway.limits.spawns", "takes: a whole number", "default: 5"]),
            ("gateway.limits.spawns", ["an edit counts at once"]),
            ("gateway.http_port", ["an edit counts when the gateway starts again"]),
            ("spawns", ["gateway.limits.spawns"]),
            ("servers.github.share", ["servers.NAME.share", 'default: "auto"']),
            ("lazy.prewarm", ["servers.NAME.lazy.prewarm", "takes: true or false"]),
            ("gateway", ["keys: http_port"]),
        ],
    )
    def test_said(self, key, said, capsys):
        """The explanation has the key's purpose, its values and its default."""
        code, out = ran(capsys, "explain", key)
        assert code == 0
        assert all(each in out for each in said)

    def test_no_such_key(self, capsys):
        """An unknown key is answered with the nearest known one."""
        assert run(["config", "explain", "gateway.limits.spawn"]) == 1
        assert "did you mean 'gateway.limits.spawns'?" in capsys.readouterr().err


class ImportTests:
    """``config import``."""

    CLIENT = {
        "numStartups": 1,
        "mcpServers": {
            "gh": {"command": "npx", "args": ["gh"], "env": {"A": "b"}, "autoApprove": ["x"]},
            "led": {"command": "mcpgateway", "args": ["connect", "led", "--", "node", "x.js"]},
        },
        "projects": {
            "/p/shop": {"mcpServers": {"gh": {"command": "node"}, "rel": {"command": "x", "cwd": "sub"}}}
        },
    }

    def test_a_clients_file(self, home, config, capsys):
        """A client's servers are added with all that they need to run; keys without a meaning here are named."""
        path = home / "claude.json"
        path.write_text(json.dumps(self.CLIENT))
        code, out = ran(capsys, "import", str(path))
        assert code == 0
        assert "gh: another one is there already, and is kept" in out
        assert "autoApprove: means nothing to the gateway" in out
        assert config.read_text().startswith(CONFIG)
        found = examine(LoadOptions(home=str(config.parent)), {"HOME": str(home), "TOK": ""})
        assert [str(each) for each in found.problems] == []
        servers = {each.name: each for each in found.settings.servers}
        assert servers["led"].command == ("node", "x.js")
        assert servers["gh-shop"].command == ("node",)
        assert servers["gh-shop"].cwd == "/p/shop"
        assert servers["rel"].cwd == "/p/shop/sub"
        assert "env_policy: full" in config.read_text()
        assert "is there already" in ran(capsys, "import", str(path))[1]

    def test_nothing_runs(self, home, config, capsys):
        """A text in a client's file runs no command, and asks no keyring, once it is imported."""
        path = home / "claude.json"
        texts = {"A": "${cmd:id}", "B": "x${keyring:a/b}"}
        path.write_text(
            json.dumps({"mcpServers": {"s": {"command": "x", "args": ["${cmd:id}"], "env": texts}}})
        )
        assert ran(capsys, "import", str(path))[0] == 0
        found = examine(LoadOptions(), dict(os.environ))
        assert found.wanted == ()
        server = {each.name: each for each in found.settings.servers}["s"]
        assert server.command == ("x", "${cmd:id}")
        assert server.env.items() >= texts.items()

    def test_remote_servers(self, home, config, capsys):
        """Servers that are reached by a URL are taken with all that is said of them, but none that leads back here."""
        path = home / "opencode.json"
        remote = {"type": "remote", "url": "https://x.example/mcp", "headers": {"K": "${V}"}}
        back = {"type": "http", "url": "http://localhost:9200/gh/mcp"}
        bad = {"type": "http", "url": 5}
        path.write_text(json.dumps({"mcpServers": {"rem": remote, "back": back, "bad": bad}}))
        code, out = ran(capsys, "import", str(path))
        assert code == 0
        assert "rem: taken from" in out
        assert "mcpServers.back: uses the gateway already" in out
        assert "mcpServers.bad.url: found a number" in out
        rem = {each.name: each for each in examine(LoadOptions(), dict(os.environ)).settings.servers}["rem"]
        assert rem.reach.url == "https://x.example/mcp"
        assert "back" not in config.read_text()

    def test_what_is_relative(self, home, config, capsys):
        """A program that is named by a relative path is run where the file lies that names it."""
        path = home / "shop" / ".mcp.json"
        path.parent.mkdir()
        path.write_text(
            json.dumps({"mcpServers": {"r": {"command": "node", "args": ["./x.js"]}, "s": {"command": "y"}}})
        )
        assert ran(capsys, "import", str(path))[0] == 0
        found = {each.name: each for each in examine(LoadOptions(), dict(os.environ)).settings.servers}
        assert (found["r"].cwd, found["s"].cwd) == (str(home / "shop"), str(home))

    def test_a_file_of_ours(self, home, capsys):
        """Settings of a file of ours are imported as well; without a file yet, the commented template is the
        beginning.
        """
        path = home / "other.json"
        path.write_text(
            json.dumps(
                {
                    "gateway": {"http_port": 9300},
                    "servers": {"a": {"command": ["x", "y"], "scope": "session"}},
                }
            )
        )
        code, out = ran(capsys, "import", str(path))
        assert code == 0
        assert "gateway.http_port: taken" in out
        written = home / ".mcp-gateway" / "config.yaml"
        assert written.read_text().startswith(template().decode())
        found = examine(LoadOptions(home=str(written.parent)), {"HOME": str(home)})
        assert found.settings.gateway.http_port == 9300
        assert found.settings.servers[0].command == ("x", "y")
        assert found.settings.servers[0].share.value == "session"

    def test_dry(self, home, config, capsys):
        """A rehearsal prints what would be added, without secrets, and writes nothing."""
        path = home / "claude.json"
        path.write_text(json.dumps({"mcpServers": {"new": {"command": "x", "env": {"K": "hush-1"}}}}))
        code = run(["config", "import", str(path), "--dry-run"])
        out, err = capsys.readouterr()
        assert code == 0
        assert out.startswith("servers:\n  new:\n    command: x\n")
        assert "hush-1" not in out
        assert "new: taken from" in err
        assert config.read_text() == CONFIG

    def test_into(self, home, capsys):
        """The entries go into the file that is named, in its own language."""
        path, into = home / "claude.json", home / "into.json"
        path.write_text(json.dumps({"mcpServers": {"new": {"command": "x"}}}))
        assert ran(capsys, "import", str(path), "--into", str(into))[0] == 0
        assert json.loads(into.read_text())["servers"]["new"] == {"command": "x", "env_policy": "full"}

    def test_what_cannot_be_read(self, home, config, capsys):
        """A file that cannot be read is told of, and the others are taken all the same."""
        broken, path = home / "broken.json", home / "claude.json"
        broken.write_text("{")
        path.write_text(json.dumps({"mcpServers": {"new": {"command": "x"}}}))
        code, out = ran(capsys, "import", str(home / "no.json"), str(broken), str(path))
        assert code == 1
        assert "no.json: there is no such file" in out
        assert "broken.json" in out
        assert "new: taken from" in out


class MistakeTests:
    """Command lines that cannot be understood."""

    @pytest.mark.parametrize("words", [["config", "chck"], ["config", "check", "--colour"]])
    def test_one_line(self, words, capsys):
        """A mistake is one line, and exit code 1."""
        assert run(words) == 64
        assert len(capsys.readouterr().err.splitlines()) == 1
