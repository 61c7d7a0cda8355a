"""Entries to servers."""

import json

import pytest

from mcpgateway.config.client import read_client
from mcpgateway.config.entry import read_classification
from mcpgateway.config.file_format import read_native, read_servers
from mcpgateway.config.merge import World, assemble
from mcpgateway.config.model import Share
from mcpgateway.config.problems import Problems, Wrong
from mcpgateway.config.read import parse
from mcpgateway.errors import ConfigError

LOGIN = {"HOME": "/u", "PATH": "/bin", "TOKEN": "s3cret", "LANG": "C", "LINES": "a\nb"}
SMALL = {"HOME": "/u", "PATH": "/bin", "LANG": "C"}


def client(servers=None, projects=None):
    """Read the entries of Claude Code's file."""
    value = {
        "mcpServers": servers or {},
        "projects": {key: {"mcpServers": each} for key, each in (projects or {}).items()},
    }
    return read_client(parse(json.dumps(value), "/u/.claude.json"), 0, Problems()).entries


def native(servers):
    """Read the entries of a file of ours."""
    problems = Problems()
    read = read_servers(
        read_native([parse(json.dumps({"servers": servers}), "/g/config.json")], problems), problems
    )
    assert problems == []
    return read


def served(entries, warnings=None, limit=100, **world):
    """Assemble entries, by name."""
    problems = Problems()
    found = assemble(
        entries, World(**{"login": LOGIN, "variables": {}, "home": "/u", **world}), limit, problems
    ).servers
    for each in problems.errors:
        raise Wrong(each)
    if warnings is not None:
        warnings += problems.warnings
    names = [each.name for each in found]
    assert len(set(names)) == len(names)
    return {each.name: each for each in found}


class InstancesTests:
    """Servers with one instance in a cluster."""

    def test_shared(self):
        """Nothing is found out of such a server: all sessions share its one process."""
        found = served(native({"x": {"command": "a", "instances": "one"}}))["x"]
        assert (found.is_sole, found.share) == (True, Share.GLOBAL)

    @pytest.mark.parametrize(
        "said", [{"share": "session"}, {"share": "isolated"}, {"interactive": True}, {"port": 1234}]
    )
    def test_refused(self, said):
        """A process for each session, or one that the gateway does not hold, cannot be the only one."""
        with pytest.raises(ConfigError, match="instances"):
            served(native({"x": {"command": "a", "instances": "one", **said}}))

    def test_elsewhere(self):
        """A server that does not run at the gateway is as it is."""
        warnings = []
        found = served(native({"x": {"url": "http://127.0.0.1:9/mcp", "instances": "one"}}), warnings)
        assert not found["x"].is_sole
        assert "servers.x.instances: has no effect" in warnings[0]


class OrderTests:
    def test_as_written(self):
        """Servers are in the order in which they are written, our own before those of clients."""
        own, theirs = (
            native({"zz": {"command": "1"}, "aa": {"command": "2"}}),
            client({"y": {"command": "3"}}),
        )
        theirs += client({"b": {"command": "4"}}, {"/p": {"d": {"command": "6"}, "c": {"command": "7"}}})
        assert list(served((*theirs, *own))) == ["zz", "aa", "y", "b", "d", "c"]

    def test_added(self):
        """The name of a server that is added behind others does not bring it before them."""
        before = native({"m": {"command": "1"}, "n": {"command": "2"}})
        after = native({"m": {"command": "1"}, "n": {"command": "2"}, "0a": {"command": "3"}})
        assert [*served(before), "0a"] == list(served(after)) == ["m", "n", "0a"]


class EnvironmentTests:
    def test_client(self):
        """A client's server gets the login environment, its directory and its own variables."""
        found = served(client({"x": {"command": "y", "env": {"A": "1", "LANG": "D"}}}))["x"]
        assert found.env == {**LOGIN, "PWD": "/u", "A": "1", "LANG": "D"}

    def test_native(self):
        """Our own servers get what every program needs, and what they ask for."""
        assert served(native({"x": {"command": "y", "env": {"A": "1"}}}))["x"].env == {**SMALL, "A": "1"}

    def test_native_full(self):
        """The policy lifts the limit, for the environment and for values."""
        found = served(native({"x": {"command": "y", "env_policy": "full", "env": {"A": "${TOKEN}"}}}))["x"]
        assert found.env == {**LOGIN, "PWD": "/u", "A": "s3cret"}

    def test_native_values(self):
        """A value of our own files comes from the small environment or our own .env, and from nowhere else."""
        warnings = []
        entries = native({"x": {"command": "y", "env": {"A": "${TOKEN}", "B": "${HOME}", "C": "{env:MINE}"}}})
        found = served(entries, warnings, variables={"MINE": "m"})["x"]
        assert found.env == {**SMALL, "A": "", "B": "/u", "C": "m"}
        assert warnings == [
            "/g/config.json, line 1: servers.x.env.A: the variable TOKEN is not set and is read as empty"
        ]

    def test_own_file_first(self):
        """Our own .env goes before the system's environment as a source, and is not itself handed on."""
        found = served(client({"x": {"command": "${TOKEN}"}}), variables={"TOKEN": "other", "MORE": "m"})["x"]
        assert found.command == ("other",)
        assert "MORE" not in found.env

    def test_client_unset(self):
        """An unset variable in a client's file stays as written, with a warning."""
        warnings = []
        found = served(client({"x": {"command": "y", "args": ["${NOT}", "${NOT:-d}"]}}), warnings)["x"]
        assert found.command == ("y", "${NOT}", "d")
        assert "mcpServers.x.args: the variable NOT is not set and is left as it is written" in warnings[0]

    def test_line_breaks(self):
        """A line break that a variable brings along is refused: in our file an error, in a client's left out."""
        with pytest.raises(ConfigError, match=r"env\.A: the variable BAD holds a line break"):
            served(native({"x": {"command": "y", "env": {"A": "${BAD}"}}}), variables={"BAD": "a\r"})
        with pytest.raises(ConfigError, match=r"env\.A: holds a line break"):
            served(native({"x": {"command": "y", "env": {"A": "a\nb"}}}))
        warnings = []
        assert served(client({"x": {"command": "y", "env": {"A": "${LINES}"}}}), warnings) == {}
        assert "the variable LINES holds a line break or a NUL; this server is left out" in warnings[0]

    def test_key_in_a_client_file(self):
        """A key of several lines that a client's file holds is handed on, as that client does."""
        assert served(client({"x": {"command": "y", "env": {"A": "a\nb"}}}))["x"].env["A"] == "a\nb"

    def test_demanded(self):
        """A value that is demanded and missing stops our file and leaves a client's server out."""
        with pytest.raises(ConfigError, match="NOT: set it"):
            served(native({"x": {"command": "${NOT:?set it}"}}))
        assert served(client({"x": {"command": "${NOT:?}"}, "y": {"command": "z"}})).keys() == {"y"}

    def test_empty_command(self):
        """A command that turns out empty is an error."""
        with pytest.raises(ConfigError, match="the command is empty"):
            served(native({"x": {"command": "${NOT}"}}))

    def test_code_loading(self):
        """Variables that load code are named in a warning, never their values."""
        warnings = []
        served(client({"x": {"command": "y", "env": {"NODE_OPTIONS": "hunter2", "A": "b"}}}), warnings)
        assert len(warnings) == 1
        assert "NODE_OPTIONS" in warnings[0]
        assert "hunter2" not in warnings[0]

    def test_no_values_shown(self):
        """Printing a server never shows its environment."""
        found = served(client({"x": {"command": "y", "env": {"A": "hunter2"}}}))["x"]
        assert "hunter2" not in repr(found)
        assert "s3cret" not in repr(found)


class DirectoryTests:
    @pytest.mark.parametrize(
        ("cwd", "directory"),
        [
            ("/a", "/a"),
            ("~/w", "/u/w"),
            ("~", "/u"),
            ("w", "/g/w"),
            ("./w", "/g/w"),
            (".", "/g"),
            ("${HOME}/z", "/u/z"),
        ],
    )
    def test_native(self, cwd, directory):
        """A directory is absolute, below the home, or relative to the file that names it."""
        assert served(native({"x": {"command": "y", "cwd": cwd}}))["x"].cwd == directory

    def test_default(self):
        """Without a word, servers run in the user's home, and a project's in the project."""
        assert served(native({"x": {"command": "y"}}))["x"].cwd == "/u"
        assert served(client({"x": {"command": "y"}}))["x"].cwd == "/u"
        assert served(client(projects={"/p/shop": {"x": {"command": "y"}}}))["x"].cwd == "/p/shop"
        assert (
            served(client(projects={"/p/shop": {"x": {"command": "y", "cwd": "w"}}}))["x"].cwd == "/p/shop/w"
        )

    def test_program_in_home(self):
        """A program may be named below the user's home."""
        assert served(native({"x": {"command": "~/bin/y"}}))["x"].command == ("/u/bin/y",)


class MergeTests:
    def test_scopes(self):
        """One definition in several scopes is one server; ours goes first, and sets the scope of its children."""
        entries = (
            *client({"x": {"command": "y"}}, {"/p/a": {"x": {"type": "stdio", "command": ["y"]}}}),
            *native({"x": {"command": "y", "share": "session"}}),
        )
        found = served(entries)
        assert found.keys() == {"x"}
        assert (found["x"].share, found["x"].source) == (Share.SESSION, "/g/config.json")

    def test_different(self):
        """Different definitions are different servers, and a changed name is said."""
        warnings = []
        found = served(client({"x": {"command": "y"}}, {"/p/shop": {"x": {"command": "z"}}}), warnings)
        assert {name: each.command for name, each in found.items()} == {"x": ("y",), "x-shop": ("z",)}
        assert "is served under the name x-shop" in warnings[0]
        assert (found["x-shop"].title, found["x-shop"].source) == ("x", "/u/.claude.json, project /p/shop")

    def test_environment_is_definition(self):
        """The same program with other variables is another server."""
        entries = client(
            {"x": {"command": "y", "env": {"A": "1"}}}, {"/p/a": {"x": {"command": "y", "env": {"A": "2"}}}}
        )
        assert served(entries).keys() == {"x", "x-a"}

    @pytest.mark.parametrize(
        "server",
        [
            {"command": "y", "args": ["."]},
            {"command": "./run"},
            {"command": "bin/run"},
            {"command": "y", "args": ["../x"]},
            {"command": "y", "cwd": "w"},
        ],
    )
    def test_relative(self, server):
        """A path relative to its project makes another server in another project."""
        assert served(client(projects={"/p/a": {"x": server}, "/p/b": {"x": server}})).keys() == {
            "x-a",
            "x-b",
        }

    def test_absolute_directory(self):
        """An absolute directory makes of a project's entry the same server as of the user's."""
        server = {"command": "y", "args": ["."], "cwd": "/w"}
        assert served(client({"x": server}, {"/p/a": {"x": server}})).keys() == {"x"}

    def test_projects_apart(self):
        """The same entry in two projects is two servers, each of its own; the same as everybody's is everybody's."""
        server, projects = (
            {"command": "y"},
            {"/p/a": {"x": {"command": "y"}}, "/p/b": {"x": {"command": "y"}}},
        )
        apart = served(client(projects=projects))
        assert {name: each.project for name, each in apart.items()} == {"x-a": "/p/a", "x-b": "/p/b"}
        assert {name: each.project for name, each in served(client({"x": server}, projects)).items()} == {
            "x": ""
        }

    def test_switched_off_for_everybody(self):
        """A server that the user's entry switches off, and a project's does not, is served for the project alone."""
        off = {"command": "y", "disabled": True}
        found = served(client({"x": off}, {"/p/a": {"x": {"command": "y"}}}))
        assert {name: (each.enabled, each.project) for name, each in found.items()} == {
            "x": (False, ""),
            "x-a": (True, "/p/a"),
        }

    def test_reserved(self):
        """A name that one of the URLs cannot carry is served, and the warning names the other."""
        warnings = []
        assert served(native({"api": {"command": "y"}, "search": {"command": "y"}}), warnings).keys() == {
            "api",
            "search",
        }
        assert ["use /mcp/api" in warnings[0], "use /search/mcp" in warnings[1]] == [True, True]

    @pytest.mark.parametrize(("share", "warned"), [("global", 1), ("session", 0), ("auto", 0)])
    def test_shared_and_interactive(self, share, warned):
        """A server that asks its clients cannot be shared; an entry that says both is warned about."""
        warnings = []
        served(native({"x": {"command": "y", "share": share, "interactive": True}}), warnings)
        assert ["in spite of share: global" in each for each in warnings] == [True] * warned

    def test_limit(self):
        """Servers beyond the limit are left out, the last ones first, each with a word."""
        warnings = []
        entries = (*client({"a": {"command": "y"}}), *native({"b": {"command": "y"}}))
        assert served(entries, warnings, limit=1).keys() == {"b"}
        assert "mcpServers.a: is left out; gateway.limits.servers allows 1" in warnings[0]


class ClassificationTests:
    def test_read(self):
        """Modes and times are read, and what is broken is passed over with a warning."""
        problems = Problems()
        value = {
            "a": {"mode": "stateful", "requestTimeout": 5000},
            "b": {"mode": "stateless"},
            "c": {"mode": "odd"},
            "d": 3,
            "e": {},
            "f": {"requestTimeout": "x"},
        }
        document = parse(json.dumps(value), "/c.json")
        assert read_classification(document, problems, 120.0) == {
            "a": {"share": Share.SESSION, "timeout_s": 5.0},
            "b": {"share": Share.GLOBAL, "timeout_s": 120.0},
            "e": {"timeout_s": 120.0},
        }
        assert [each.is_error for each in problems] == [False] * 3

    def test_applied(self):
        """A classification counts where the entry itself says nothing, by title or by name."""
        said = {"share": Share.SESSION, "timeout_s": 5.0}
        classified = {"a b": said, "c-d": said, "e": said}
        entries = native(
            {
                "a b": {"command": "y"},
                "c d": {"command": "y"},
                "e": {"command": "y", "share": "auto", "timeout": 0},
            }
        )
        found = served(entries, classified=classified)
        assert {name: (each.share, each.timeout_s) for name, each in found.items()} == {
            "a-b": (Share.SESSION, 5.0),
            "c-d": (Share.SESSION, 5.0),
            "e": (Share.AUTO, 0.0),
        }
