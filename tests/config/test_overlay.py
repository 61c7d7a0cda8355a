"""Entries of the gateway's own files that lie over servers of clients' files."""

import json

import pytest

from mcpgateway.config.diff import compare
from mcpgateway.config.load import Circumstances, Files, compose
from mcpgateway.config.merge import World, specialise
from mcpgateway.config.model import Share
from mcpgateway.config.problems import Problems
from mcpgateway.config.reach_settings import Container
from mcpgateway.config.read import parse
from mcpgateway.config.resolve import WorkspaceSpec

LOGIN = {"HOME": "/u", "PATH": "/bin", "TOKEN": "from login"}
GITHUB = {"command": "npx", "args": ["gh"], "env": {"TOKEN": "old", "KEPT": "1"}}
CLIENT = {"github": GITHUB, "other": {"command": "o"}}


def settled(*native, client=None, problems=None, **world):
    """Make settings of files of the gateway, and of a client's own."""
    problems = Problems() if problems is None else problems
    documents = [parse(json.dumps(each), f"/g/{at}.json") for at, each in enumerate(native)]
    source = parse(json.dumps({"mcpServers": CLIENT if client is None else client}), "/u/.claude.json")
    setting = Circumstances(World(**{"login": LOGIN, "variables": {}, "home": "/u", **world}))
    return compose(Files(documents, [source]), setting, problems)


def over(entry, client=None, **world):
    """Return the server ``github`` with an entry over it."""
    found = settled({"servers": {"github": entry}}, client=client, **world)
    return next(each for each in found.servers if each.name == "github")


def test_labels_of_none() -> None:
    """A gateway that is alone says that labels of nodes have no effect, and runs the server."""
    found = settled({"servers": {"x": {"command": "a", "on": ["gpu"]}}})
    assert next(each for each in found.servers if each.name == "x").on == ("gpu",)
    assert [each for each in found.warnings if "servers.x.on: has no effect" in each]


class OverlayTests:
    def test_keys(self):
        """Keys of the overlay outrank those of the client's file, and all else stays."""
        found = over({"share": "session", "timeout": "2m", "lazy": {"idleTimeoutMs": 5000}})
        assert (found.share, found.timeout_s, found.lazy.idle_s) == (Share.SESSION, 120.0, 5.0)
        assert found.command == ("npx", "gh")
        assert found.source == "/u/.claude.json, user scope"

    def test_variables(self):
        """Variables are added to those of the client's file, with the values of the gateway's own files."""
        found = over({"env": {"TOKEN": "new", "MORE": "${X}"}}, variables={"X": "x"})
        assert {name: found.env[name] for name in ("TOKEN", "KEPT", "MORE")} == {
            "TOKEN": "new",
            "KEPT": "1",
            "MORE": "x",
        }

    def test_external_values(self):
        """A value of the keyring counts in an overlay, though not in the client's own file."""
        client = {"github": {**GITHUB, "env": {"THEIRS": "${keyring:a/b}"}}}
        found = over({"env": {"OURS": "${keyring:a/b}"}}, client, outside={"keyring:a/b": "k"})
        assert (found.env["OURS"], found.env["THEIRS"]) == ("k", "${keyring:a/b}")

    def test_switch(self):
        """An overlay switches a server off, and one on that is off in the client's file."""
        assert not over({"disabled": True}).enabled
        assert over({"enabled": True}, {"github": {**GITHUB, "disabled": True}}).enabled

    def test_arguments(self):
        """Arguments of the overlay replace those of the client's file."""
        assert over({"args": ["gh", "--read-only"]}).command == ("npx", "gh", "--read-only")

    def test_command(self):
        """A marked entry replaces the program and keeps what is below it; a list or arguments replace the arguments."""
        assert over({"overlay": True, "command": "/bin/npx"}).command == ("/bin/npx", "gh")
        assert over({"overlay": True, "command": "uvx", "args": ["x"]}).command == ("uvx", "x")
        assert over({"overlay": True, "command": ["uvx", "x"]}).command == ("uvx", "x")
        found = settled({"servers": {"github": {"overlay": True, "command": "b"}}})
        assert [each.name for each in found.servers] == ["github", "other"]
        assert found.servers[0].env["KEPT"] == "1"

    def test_address(self):
        """A marked entry gives a server another address, whose headers stay, and a program one instead of itself."""
        client = {"github": {"type": "http", "url": "http://old/mcp", "headers": {"A": "b"}}}
        native = {"servers": {"github": {"url": "http://old/mcp", "headers": {"A": "b"}}}}
        found = settled(
            native, {"servers": {"github": {"overlay": True, "url": "http://new/mcp"}}}, client=client
        )
        (reach,) = (each.reach for each in found.servers if each.name == "github")
        assert (reach.url, dict(reach.headers)) == ("http://new/mcp", {"A": "b"})
        assert over({"overlay": True, "url": "http://new/mcp"}).reach.url == "http://new/mcp"

    def test_engine(self):
        """Another command of a container keeps its options, its image and its arguments."""
        client = {"github": {"command": "docker", "args": ["run", "-i", "--rm", "-e", "A", "gh/server", "x"]}}
        found = over({"overlay": True, "command": "/opt/bin/podman"}, client)
        assert (found.reach.engine, found.reach.image, found.command) == (
            "/opt/bin/podman",
            "gh/server",
            ("x",),
        )
        assert over({"overlay": True, "command": "serve", "args": ["-v"]}, client).command == ("serve", "-v")

    def test_marked_without_a_server(self):
        """A marked entry over no server is a finding, and starts the gateway itself in no case."""
        problems = Problems()
        found = settled({"servers": {"gone": {"overlay": True, "command": "x"}}}, problems=problems)
        assert [each.name for each in found.servers] == ["github", "other"]
        assert "servers.gone: lies over no server" in str(problems[0])
        itself = {"overlay": True, "command": "mcpgateway", "args": ["connect", "github"]}
        assert settled({"servers": {"github": itself}}, problems=problems) is None

    def test_container(self):
        """A container gets the variable by its name."""
        client = {"github": {"command": "docker", "args": ["run", "-i", "--rm", "gh/server"]}}
        found = over({"env": {"TOKEN": "new"}}, client)
        assert isinstance(found.reach, Container)
        assert found.reach.options[-2:] == ("-e", "TOKEN")
        assert found.env["TOKEN"] == "new"

    def test_workspace(self):
        """A server of a workspace has the overlay, too."""
        settings = settled({"servers": {"github": {"timeout": 7, "env": {"ROOT": "${workspaceFolder}"}}}})
        blueprint = settings.blueprints["github"]
        found = specialise(blueprint, WorkspaceSpec("/w"))
        assert (found.timeout_s, found.env["ROOT"]) == (7.0, "/w")
        assert blueprint.takes_values

    def test_classification(self):
        """An overlay outranks a classification, which holds for what the overlay leaves out."""
        classified = {"github": {"share": Share.GLOBAL, "timeout_s": 3.0}}
        found = over({"share": "session"}, classified=classified)
        assert (found.share, found.timeout_s) == (Share.SESSION, 3.0)

    def test_names(self):
        """No name depends on an overlay, which holds for the very name under which a server is served."""
        projects = {
            "/a": {"mcpServers": {"gh": {"command": "a"}}},
            "/b": {"mcpServers": {"gh": {"command": "b"}}},
        }
        source = parse(json.dumps({"projects": projects}), "/u/.claude.json")
        native = parse(json.dumps({"servers": {"gh-a": {"timeout": 5}}}), "/g/config.json")
        world = Circumstances(World(LOGIN, {}, "/u"))
        found = compose(Files([native], [source]), world, Problems())
        assert {each.name: each.timeout_s for each in found.servers} == {"gh-a": 5.0, "gh-b": 0}


class FileTests:
    def test_several_files(self):
        """Of several overlays the later file outranks the former, key by key."""
        found = settled(
            {"servers": {"github": {"timeout": 5, "share": "session", "env": {"A": "1", "B": "1"}}}},
            {"servers": {"github": {"timeout": 6, "env": {"B": "2"}}}},
        ).servers[0]
        assert (found.timeout_s, found.share) == (6.0, Share.SESSION)
        assert (found.env["A"], found.env["B"]) == ("1", "2")

    def test_own_servers(self):
        """An overlay lies over a server of a former file, and a whole entry replaces all before it."""
        own, overlay = {"servers": {"x": {"command": "y"}}}, {"servers": {"x": {"timeout": 5}}}
        assert [each.timeout_s for each in settled(own, overlay, client={}).servers] == [5.0]
        assert [each.timeout_s for each in settled(overlay, own, client={}).servers] == [0]

    def test_no_server(self):
        """An overlay over no server is a finding with its place, and refuses no file."""
        problems = Problems()
        assert settled({"servers": {"githu": {"timeout": 5}}}, problems=problems) is not None
        assert [str(each) for each in problems] == [
            (
                "/g/0.json, line 1: servers.githu: has no command and no url, and lies over no server: no file has a"
                " server of that name; did you mean 'github'?"
            )
        ]

    def test_forgotten_command(self):
        """An entry with arguments, no command and no server below it refuses the file, and its server runs on."""
        problems = Problems()
        settled({"servers": {"gitlab": {"args": []}}}, problems=problems)
        assert "has no command and no url" in str(problems.errors[0])
        assert settled({"servers": {"github": {"args": []}}}) is not None

    def test_no_effect(self):
        """Headers over a program are reported."""
        problems = Problems()
        settled({"servers": {"github": {"headers": {"A": "b"}}}}, problems=problems)
        assert "servers.github.headers: has no effect" in str(problems[0])

    @pytest.mark.parametrize("entry", [{"share": "all"}, {"env": 3}, {"type": "stdio"}, {"transport": "sse"}])
    def test_wrong(self, entry):
        """A mistake in an overlay is an error of the gateway's own file."""
        problems = Problems()
        assert settled({"servers": {"github": entry}}, problems=problems) is None
        assert problems[0].where.file == "/g/0.json"

    def test_where(self):
        """A problem with a value names the file in which the value stands."""
        problems = Problems()
        settled({"servers": {"github": {"env": {"A": "${NOT}"}}}}, problems=problems)
        assert [str(each) for each in problems] == [
            "/g/0.json, line 1: servers.github.env.A: the variable NOT is not set and is read as empty"
        ]


class ChangeTests:
    def test_a_change(self):
        """A changed overlay changes its server only; a new value needs a new process, and a new limit none."""
        before = settled({"servers": {"github": {"timeout": 5}}})
        (slight,) = compare(before, settled({"servers": {"github": {"timeout": 6}}})).changed
        assert (slight.after.name, slight.restarts) == ("github", False)
        (changed,) = compare(before, settled({"servers": {"github": {"env": {"TOKEN": "n"}}}})).changed
        assert changed.restarts
