"""The settings that files become."""

import json
import os
import stat
from pathlib import Path

import pytest

from mcpgateway.config.gateway_settings import GatewaySettings
from mcpgateway.config.merge import WorkspaceSpec, specialise
from mcpgateway.config.model import Share
from mcpgateway.errors import ConfigError
from mcpgateway.system.settings import LoadOptions, examine, load, read_workspace

DAEMON = {"PATH": "/bin"}
SHELL = {**DAEMON, "SHLVL": "1", "TERM": "xterm"}


class House:
    """A user's home directory with files in it."""

    def __init__(self, path):
        self.path = path
        self.home = path / ".mcp-gateway"

    def write(self, name, content):
        """Write a file below the user's home, text or JSON."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return str(path)

    def claude(self, servers, **rest):
        """Write Claude Code's file."""
        return self.write(".claude.json", {"mcpServers": servers, **rest})

    def load(self, environ=DAEMON, **options):
        """Load the settings as the user's daemon does."""
        options = LoadOptions(**{"home": str(self.home), **options})
        return load(options, {"HOME": str(self.path), **environ})

    def examine(self, environ=DAEMON, **options):
        """Examine the settings as a user does."""
        return examine(
            LoadOptions(**{"home": str(self.home), **options}), {"HOME": str(self.path), **environ}
        )

    def names(self, **options):
        """Load and return the names of the servers."""
        return [each.name for each in self.load(**options).servers]

    def problem(self, **options):
        """Load and return what is wrong, which is one line."""
        with pytest.raises(ConfigError) as caught:
            self.load(**options)
        assert "\n" not in str(caught.value)
        return str(caught.value)


@pytest.fixture
def house(tmp_path):
    """Make an empty home directory."""
    return House(tmp_path)


class FilesTests:
    def test_nothing(self, house):
        """The defaults hold without any file: no servers, and no warnings."""
        found = house.load()
        assert (found.gateway, found.servers, found.passthrough, found.warnings) == (
            GatewaySettings(),
            (),
            0,
            (),
        )
        assert not house.home.exists()

    def test_default_source(self, house):
        """Claude Code's own file is read when no other is named."""
        house.claude({"a": {"command": "x"}, "b": {"type": "http", "url": "https://h/"}})
        found = house.load()
        assert ([each.name for each in found.servers], found.passthrough) == (["a"], 1)

    def test_claude_config_dir(self, house):
        """Claude Code's file is found where CLAUDE_CONFIG_DIR says."""
        house.write("else/.claude.json", {"mcpServers": {"a": {"command": "x"}}})
        found = house.load({**DAEMON, "CLAUDE_CONFIG_DIR": str(house.path / "else")})
        assert [each.name for each in found.servers] == ["a"]

    def test_named_sources(self, house):
        """Named sources are read instead, each once."""
        house.claude({"a": {"command": "x"}})
        path = house.write("one.json", {"mcpServers": {"b": {"command": "x"}}})
        assert house.names(
            sources=(path, path, house.write("two.json", {"servers": {"c": {"command": "x"}}}))
        ) == ["b", "c"]
        assert house.names(sources=()) == []

    def test_missing(self, house):
        """A configuration that is named and missing is an error."""
        assert house.problem(config="/none.yaml") == "/none.yaml: there is no such file"

    def test_broken(self, house):
        """A configuration that cannot be parsed is an error."""
        path = house.write(".mcp-gateway/config.json", "{")
        assert house.problem().startswith(f"{path}, line 1, column 2: is not valid JSON")

    @pytest.mark.parametrize("text", ["{", "[]", '"x"', "\xff", None])
    def test_an_unreadable_source(self, house, text):
        """A client's file that cannot be read, or is not there, is a warning, and all else is served."""
        house.write(".mcp-gateway/config.json", {"servers": {"own": {"command": "x"}}})
        path = str(house.path / "theirs.json")
        if text is not None:
            Path(path).write_bytes(text.encode("latin-1"))
        found = house.load(sources=(path,))
        assert [each.name for each in found.servers] == ["own"]
        (warning,) = found.warnings
        assert warning.startswith(path)
        assert warning.endswith("its servers are left out until it can be read")

    def test_a_source_that_is_being_written(self, house):
        """The last readable list of a client's file counts until the file can be read again."""
        path = house.write("theirs.json", {"mcpServers": {"a": {"command": "x"}}, "history": ["much"]})
        options = LoadOptions(sources=(path,), home=str(house.home))
        assert [each.name for each in load(options, {**DAEMON, "HOME": str(house.path)}).servers] == ["a"]
        house.write("theirs.json", '{"mcpServers": {"a": {"comm')
        found = load(options, {**DAEMON, "HOME": str(house.path)})
        assert [each.name for each in found.servers] == ["a"]
        assert found.warnings[0].endswith("the servers that it listed before are served until it can be read")
        house.write("theirs.json", {"mcpServers": {}})
        assert load(options, {**DAEMON, "HOME": str(house.path)}).servers == ()

    def test_config_order(self, house):
        """The command line goes first, then the variables in order, then the home."""
        named = {key: house.write(f"{key}.yaml", f"servers: {{{key}: {{command: x}}}}") for key in "abcd"}
        house.write(".mcp-gateway/config.json", {"servers": {"e": {"command": "x"}}})
        environ = dict(DAEMON)
        assert [each.name for each in house.load(environ).servers] == ["e"]
        for key, variable in (
            ("d", "MCP_CONFIG_PATH"),
            ("c", "MCP_GATEWAY_CONFIG"),
            ("b", "MCPGATEWAY_CONFIG"),
        ):
            environ[variable] = named[key]
            assert [each.name for each in house.load(environ).servers] == [key]
        assert [each.name for each in house.load(environ, config=named["a"]).servers] == ["a"]

    def test_of_harshal_mcp_proxy(self, house):
        """Where nothing is named and the home defines no servers, those of harshal-mcp-proxy are served."""
        theirs = house.write(
            ".config/harshal-mcp-proxy/config.json",
            {"h": {"type": "local", "command": ["x", "-v"], "environment": {"A": "b"}}},
        )
        house.write(".mcp-gateway/config.yaml", "gateway: {http_port: 5}")
        found = house.load()
        assert [(each.name, each.command, each.source) for each in found.servers] == [
            ("h", ("x", "-v"), theirs)
        ]
        assert found.gateway.http_port == 5
        assert house.load(config=house.write("named.yaml", "gateway: {http_port: 6}")).servers == ()
        house.write(".config/harshal-mcp-proxy/config.json", "{")
        assert house.load().servers == ()
        house.write(".mcp-gateway/config.yaml", "servers: {y: {command: x}}")
        assert house.names() == ["y"]

    def test_home_order(self, house):
        """YAML goes before JSON in the home."""
        house.write(".mcp-gateway/config.json", {"servers": {"j": {"command": "x"}}})
        house.write(".mcp-gateway/config.yaml", "servers: {y: {command: x}}")
        assert house.names() == ["y"]

    def test_beside(self, house):
        """Drop-ins go over the file in their order, and the local file goes over all."""
        house.write(
            ".mcp-gateway/config.yaml",
            "gateway: {http_port: 1}\nservers: {a: {command: base}, b: {command: base}}",
        )
        house.write(".mcp-gateway/config.d/20.json", {"servers": {"a": {"command": "twenty"}}})
        house.write(
            ".mcp-gateway/config.d/10.yml",
            "gateway: {http_port: 2}\nservers: {a: {command: ten}, c: {command: ten}}",
        )
        house.write(".mcp-gateway/config.d/notes.txt", "not read")
        house.write(
            ".mcp-gateway/config.local.yaml", "gateway: {http_port: 3}\nservers: {b: {command: local}}"
        )
        found = house.load()
        assert found.gateway.http_port == 3
        assert {each.name: each.command[0] for each in found.servers} == {
            "a": "twenty",
            "b": "local",
            "c": "ten",
        }

    def test_beside_without_file(self, house):
        """Drop-ins and the local file count without a main file."""
        house.write(".mcp-gateway/config.d/a.yaml", "servers: {a: {command: x}}")
        house.write(".mcp-gateway/config.local.json", {"gateway": {"http_port": 5}})
        found = house.load()
        assert ([each.name for each in found.servers], found.gateway.http_port) == (["a"], 5)

    def test_client_file_as_config(self, house):
        """A client's own file that is named as our configuration is read as a source, and said so."""
        house.claude({"a": {"command": "x"}})
        path = house.write(
            "mine.json", {"mcpServers": {"b": {"command": "x", "env": {"K": 3}}, "c": {"command": 4}}}
        )
        found = house.load(config=path)
        assert [each.name for each in found.servers] == ["b"]
        assert "is a client's own file; its servers are read as with --source" in found.warnings[0]

    def test_both(self, house):
        """Our own file and the client's are served together, and ours keeps a name that both want."""
        house.claude({"a": {"command": "x"}, "b": {"command": "x"}})
        house.write(".mcp-gateway/config.yaml", "mcpServers: {a: {command: y}}")
        assert {each.name: each.command[0] for each in house.load().servers} == {
            "a": "y",
            "a-2": "x",
            "b": "x",
        }

    def test_port(self, house):
        """A port on the command line goes before the file's."""
        house.write(".mcp-gateway/config.yaml", "gateway: {http_port: 1}")
        assert house.load(port=0).gateway.http_port == 0

    @pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
    def test_own_entries(self, house, host):
        """An entry that points at us is neither served nor counted."""
        house.claude(
            {
                "a": {"type": "http", "url": f"http://{host}:9100/a/mcp"},
                "b": {"type": "http", "url": f"http://{host}:1/"},
            }
        )
        assert house.load().passthrough == 1
        assert house.load(port=1).passthrough == 1

    def test_odd_urls(self, house):
        """A URL that is none is counted like any other."""
        house.claude(
            {
                "a": {"type": "http", "url": "http://[/"},
                "b": {"type": "http", "url": "http://h:99999/"},
                "c": {"type": "http"},
            }
        )
        assert house.load().passthrough == 3

    def test_remote_address(self, house):
        """An address that others can reach is refused unless it is meant."""
        house.write(".mcp-gateway/config.yaml", "gateway: {bind_address: 0.0.0.0}")
        assert "allow_remote" in house.problem()

    def test_unreadable_drop_ins(self, house):
        """A directory that cannot be listed is one clear line."""
        house.write(".mcp-gateway/config.yaml", "{}")
        (house.home / "config.d").symlink_to(house.home / "config.d")
        assert "config.d: cannot be read" in house.problem()


class EnvironmentTests:
    def test_dotenv(self, house):
        """The home's .env is a source of values."""
        house.write(".mcp-gateway/.env", "TOKEN='t'\n")
        house.write(".mcp-gateway/config.yaml", "servers: {a: {command: x, env: {T: '${TOKEN}'}}}")
        assert house.load().servers[0].env["T"] == "t"

    def test_broken_dotenv(self, house):
        """A broken .env is an error that shows nothing of it."""
        path = house.write(".mcp-gateway/.env", "hunter2\n")
        assert house.problem() == f"{path}, line 1: found something else; expected KEY=VALUE"

    def test_kept(self, house):
        """The environment of a shell is kept privately, and given to children where there is no shell."""
        house.claude({"a": {"command": "x"}})
        house.load({**SHELL, "PATH": "/mine:/bin", "MCP_GATEWAY_AUTH_TOKEN": "s", "TOKEN": "t"})
        path = house.home / "environment.json"
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
        assert "AUTH_TOKEN" not in path.read_text()
        env = house.load().servers[0].env
        assert (env["PATH"], env["TOKEN"]) == ("/mine:/bin", "t")
        for _ in range(2):
            assert house.load({**SHELL, "PATH": "/new"}).servers[0].env["PATH"] == "/new"
        assert house.load().servers[0].env["PATH"] == "/new"

    def test_not_kept(self, house):
        """A service without a shell keeps nothing and uses what it has."""
        house.claude({"a": {"command": "x"}})
        assert house.load().servers[0].env["PATH"] == "/bin"
        assert not (house.home / "environment.json").exists()

    def test_broken_kept(self, house):
        """A kept environment that is broken is a warning, and the next shell mends it."""
        house.write(".mcp-gateway/environment.json", "{")
        assert "it is ignored" in house.load().warnings[0]
        house.load(SHELL)
        assert house.load().warnings == ()

    def test_cannot_keep(self, house):
        """A home that cannot be written is a warning here."""
        house.write(".mcp-gateway", "a file")
        assert "the login environment is not kept" in house.load(SHELL).warnings[0]

    def test_odd_bytes(self, house):
        """A variable that is no UTF-8 survives being kept."""
        house.claude({"a": {"command": "x"}})
        house.load({**SHELL, "ODD": "a\udcff"})
        assert house.load().servers[0].env["ODD"] == "a\udcff"


class ClassificationTests:
    def test_both_files(self, house):
        """The two classification files are read, and our own goes first."""
        house.claude({"a": {"command": "x"}, "b": {"command": "x"}, "c": {"command": "x"}})
        house.write(
            ".immorterm/mcp-gateway/classification.json",
            {"a": {"mode": "stateful"}, "b": {"mode": "stateful"}},
        )
        house.write(".mcp-gateway/classification.json", {"b": {"mode": "stateless", "requestTimeout": 1000}})
        assert [(each.share, each.timeout_s) for each in house.load().servers] == [
            *((Share.SESSION, 120.0), (Share.GLOBAL, 1.0), (Share.AUTO, 0.0))
        ]

    def test_broken(self, house):
        """A broken file is a warning."""
        house.write(".mcp-gateway/classification.json", "[]")
        assert "it is ignored" in house.load().warnings[0]


class DemoTests:
    def test_added(self, house):
        """Two servers are added, one shared and one per session, and they make room for the user's."""
        house.claude({"clock": {"command": "x"}})
        found = {each.name: each for each in house.load(demo=True).servers}
        assert found.keys() == {"clock", "clock-2", "notebook"}
        assert found["clock"].command == ("x",)
        assert (found["clock-2"].share, found["notebook"].share) == (Share.GLOBAL, Share.SESSION)


class ExamineTests:
    """The problems of all files, with the files that were read."""

    def problems(self, house, **options):
        """Examine the settings; return what is wrong, line by line."""
        found = house.examine(**options)
        assert (found.settings is None) == any(each.is_error for each in found.problems)
        return [str(each) for each in found.problems]

    def test_all_files(self, house):
        """A single reading finds the problems of every file."""
        main = house.write(
            ".mcp-gateway/config.yaml", "gateway: {http_port: x}\nservers: {a: {command: 3}}\n"
        )
        house.write(".mcp-gateway/config.d/a.json", '{"gateway": {"ping_interval": "x"},\n "gateway": {}}')
        house.write(".mcp-gateway/config.d/b.yaml", "a: b: c\n")
        house.write(".mcp-gateway/config.local.yaml", "clients: {adopt: 0}\n")
        house.write(".mcp-gateway/.env", "hunter2\n")
        house.write(".claude.json", "{")
        house.write(".mcp-gateway/classification.json", "{")
        found = self.problems(house)
        assert [each.removeprefix(f"{house.path}/").partition(": ")[0] for each in found] == [
            ".mcp-gateway/config.yaml, line 1",
            ".mcp-gateway/config.yaml, line 2",
            ".mcp-gateway/config.d/a.json, line 2",
            ".mcp-gateway/config.d/b.yaml, line 1, column 5",
            ".mcp-gateway/config.local.yaml, line 1",
            ".claude.json, line 1, column 2",
            ".mcp-gateway/.env, line 1",
            ".mcp-gateway/classification.json, line 1, column 2",
        ]
        assert "hunter2" not in "".join(found)
        assert house.problem().startswith(
            f"{main}, line 1: gateway.http_port: found 'x'; expected a whole number"
        )
        assert house.problem().endswith("; and 5 more; mcpgateway config check lists them")

    def test_files(self, house):
        """Every file and directory that counts is named, whether or not it is there."""
        house.write("more/x.yaml", "servers: {a: {command: b}}")
        house.write(
            ".mcp-gateway/config.yaml",
            f"include: [{house.path}/more/*.yaml]\nworkspaces: {{w: {{path: {house.path}/shop}}}}\n",
        )
        found = {each.removeprefix(f"{house.path}/") for each in house.examine().files}
        assert found == {
            *(".mcp-gateway/config.yaml", ".mcp-gateway/config.yml", ".mcp-gateway/config.json"),
            *(f".mcp-gateway/config.local.{each}" for each in ("yaml", "yml", "json")),
            *(".mcp-gateway/config.d", ".mcp-gateway/.env", ".mcp-gateway/classification.json"),
            *(
                ".claude.json",
                ".immorterm/mcp-gateway/classification.json",
                "more",
                "more/x.yaml",
                "shop/.env",
                ".mcp-gateway/ledger/ledger.db",
                ".mcp-gateway/paused-until",
            ),
        }

    def test_files_of_a_named_one(self, house):
        """Files beside a named file count, and those in the home do not."""
        path = house.write("else/mine.json", {"gateway": {"env_file": "values"}, "servers": {}})
        house.write("else/values", "A=b")
        found = {each.removeprefix(f"{house.path}/") for each in house.examine(config=path, sources=()).files}
        assert found >= {"else/mine.json", "else/mine.d", "else/mine.local.yaml", "else/values"}
        assert ".mcp-gateway/config.yaml" not in found
        assert ".claude.json" not in found

    def test_writes_nothing(self, house):
        """Examining from a shell keeps nothing."""
        house.claude({"a": {"command": "x"}})
        assert house.examine(SHELL).settings is not None
        assert not house.home.exists()

    def test_server_limit(self, house):
        """The number of servers beyond the limit is an error in a file of ours, and a warning in a client's."""
        house.write(
            ".mcp-gateway/config.yaml",
            "gateway: {limits: {servers: 1}}\nservers: {a: {command: x}, b: {command: x}}",
        )
        assert "servers.b: is left out; gateway.limits.servers allows 1" in house.problem()
        house.write(".mcp-gateway/config.yaml", "gateway: {limits: {servers: 1}}")
        house.claude({"a": {"command": "x"}, "b": {"command": "x"}})
        assert house.names() == ["a"]

    def test_address_with_its_place(self, house):
        """An address that others can reach is refused where it is written."""
        path = house.write(".mcp-gateway/config.yaml", "gateway:\n  bind_address: 0.0.0.0\n")
        assert house.problem() == (
            f"{path}, line 2: gateway.bind_address: found '0.0.0.0'; expected a loopback address,"
            " or gateway.allow_remote: true"
        )


class IncludeTests:
    def test_relative(self, house):
        """Files are found beside the file that includes them, and it outranks them."""
        house.write(
            ".mcp-gateway/config.yaml", "include: [team/*.yaml, ~/mine.json]\nservers: {a: {command: main}}"
        )
        house.write(".mcp-gateway/team/1.yaml", "servers: {a: {command: one}, b: {command: one}}")
        house.write(".mcp-gateway/team/2.yaml", "servers: {b: {command: two}}")
        house.write("mine.json", {"daemons": [{"name": "c", "command": "mine", "port": 1}]})
        assert {each.name: each.command[0] for each in house.load().servers} == {
            "a": "main",
            "b": "two",
            "c": "mine",
        }

    def test_of_a_client(self, house):
        """A client's own file that is included is read as a source."""
        house.write(".mcp-gateway/config.yaml", "include: cursor.json")
        house.write(
            ".mcp-gateway/cursor.json", {"mcpServers": {"a": {"command": "x"}, "b": {"url": "http://h/"}}}
        )
        found = house.load()
        assert ([each.name for each in found.servers], found.passthrough) == (["a"], 1)
        assert found.servers[0].source.endswith("cursor.json, user scope")

    def test_missing(self, house):
        """A file that is not there is an error that names the place."""
        house.write(".mcp-gateway/config.yaml", "include:\n  - gone.yaml\n")
        assert "line 2: include[0]: found 'gone.yaml'; expected a file that is there" in house.problem()


class EnvFileTests:
    def test_order(self, house):
        """The command line goes first, then the variables, then the file, then the home."""
        for name in "abcd":
            house.write(f"{name}.env", f"A={name}\n")
        house.write(".mcp-gateway/.env", "A=home\n")
        text = "servers: {x: {command: y, env: {A: '${A}'}}}\n"
        house.write(".mcp-gateway/config.yaml", text)

        def value(environ=DAEMON, **options):
            return house.load(environ, **options).servers[0].env["A"]

        assert value() == "home"
        house.write(".mcp-gateway/config.yaml", f"gateway: {{env_file: ../a.env}}\n{text}")
        assert value() == "a"
        assert value({**DAEMON, "MCP_GATEWAY_ENV_FILE": f"{house.path}/b.env"}) == "b"
        assert value({**DAEMON, "MCPGATEWAY_ENV_FILE": "~/c.env"}) == "c"
        assert value(env_file=f"{house.path}/d.env") == "d"

    def test_missing(self, house):
        """A file of values that is named has to be there."""
        assert house.problem(env_file="/none") == "/none: there is no such file of values"
        house.write(".mcp-gateway/config.yaml", "gateway:\n  env_file: none\n")
        assert "line 2: gateway.env_file: there is no such file of values" in house.problem()


class WorkspaceTests:
    def test_read(self, house):
        """A directory has its .env and the profiles that are given to it, or those that its .env names."""
        house.write(
            ".mcp-gateway/config.yaml",
            "profiles: {a: {env: {T: a}}, b: {}}\nworkspaces: {w: {path: ~/shop, profiles: [a]}}\n"
            "servers: {x: {command: y, env: {T: '${T}', U: '${U}'}, share: workspace}}\n",
        )
        path = str(house.path / "shop")
        settings = house.load()
        assert read_workspace(path, settings) == WorkspaceSpec(path, {}, ("a",))
        house.write("shop/.env", "U=u\n")
        made = specialise(settings.blueprints["x"], read_workspace(path, settings))
        assert (made.env["T"], made.env["U"], made.cwd) == ("a", "u", path)
        house.write("shop/.env", "MCP_PROFILE='b, a'\n")
        assert read_workspace(path, settings).profiles == ("b", "a")
        house.write("shop/.env", "hunter2\n")
        with pytest.raises(ConfigError) as caught:
            read_workspace(path, settings)
        assert "hunter2" not in str(caught.value)
        assert read_workspace("/nowhere", settings) == WorkspaceSpec("/nowhere")

    def test_real_paths(self, house):
        """A workspace is known by its real path."""
        house.write("shop/x", "")
        (house.path / "link").symlink_to(house.path / "shop")
        house.write(".mcp-gateway/config.yaml", "workspaces: {w: {path: ~/link}}")
        assert house.load().workspaces[0].path == str(house.path / "shop")

    def test_blueprints_are_light(self, house):
        """Blueprints of servers do not hold the files that they come from."""
        house.claude({"a": {"command": "x"}}, history=["long"])
        assert house.load().blueprints["a"].entry.place is None
