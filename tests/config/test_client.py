"""Servers out of clients' own files."""

import json

from mcpgateway.config.client import read_client, read_project
from mcpgateway.config.entry import Scope
from mcpgateway.config.problems import Problems
from mcpgateway.config.read import parse


def found(value, warnings=None, file="/u/.claude.json"):
    """Read a client's file."""
    problems = Problems()
    read = read_client(parse(json.dumps(value, indent=1), file, strict=False), 0, problems)
    assert problems.errors == []
    if warnings is not None:
        warnings += problems.warnings
    return read


class ReadClientTests:
    def test_stdio_with_and_without_type(self):
        """An entry with a command is a stdio server, whether or not it says so."""
        servers = {
            "a": {"command": "x"},
            "b": {"type": "stdio", "command": "x"},
            "c": {"type": "local", "command": ["x"]},
        }
        assert [each.title for each in found({"mcpServers": servers}).entries] == ["a", "b", "c"]

    def test_remotes(self):
        """Entries with a URL are left to the client, and counted."""
        servers = {
            "a": {"type": "http", "url": "http://h/"},
            "b": {"type": "sse", "url": "http://h/sse"},
            "c": {"url": "http://h/c"},
            "d": {"type": "ws", "url": "ws://h/"},
            "e": {"httpUrl": "http://h/e"},
            "f": {"type": "http", "url": "http://h/", "command": "x"},
        }
        read = found({"mcpServers": servers})
        assert (len(read.entries), len(read.remotes)) == (0, 6)

    def test_entries_that_lead_here(self):
        """The original behind an entry with our own program is served; an entry without one is not."""
        servers = {
            "a": {"command": "mcpgateway", "args": ["connect", "a", "--", "npx", "-y", "a"]},
            "b": {
                "command": "/opt/bin/mcpg",
                "args": ["--home", "/h", "proxy", "--target", "b", "--", "b", "--", "x"],
            },
            "c": {"command": "mcp-ctl", "args": ["connect", "c"]},
            "d": {"command": "mcpgateway", "args": ["version", "--", "x"]},
            "e": {"command": "other", "args": ["connect", "e", "--", "x"]},
        }
        read = {each.title: each.argv for each in found({"mcpServers": servers}).entries}
        assert read == {
            "a": ("npx", "-y", "a"),
            "b": ("b", "--", "x"),
            "d": ("mcpgateway", "version", "--", "x"),
            "e": ("other", "connect", "e", "--", "x"),
        }

    def test_projects(self):
        """The servers of every project are read, with the project they belong to."""
        read = found(
            {
                "projects": {
                    "/p/shop": {"mcpServers": {"a": {"command": "x"}}},
                    "/p/b": {"history": []},
                    "/p/c": 3,
                }
            }
        )
        assert [(each.origin.scope, each.origin.project) for each in read.entries] == [
            (Scope.PROJECT, "/p/shop")
        ]

    def test_bad_entries(self):
        """An entry that cannot be used is left out with a line that names it, and the others stay."""
        servers = {
            "a": {"command": 3},
            "b": "x",
            "c": {},
            "d": {"type": "stdio"},
            "e": {"command": "x", "args": "y"},
            "f": {"command": "x", "env": {"K": {"hunter2": 1}}},
            "g": {"command": " "},
            "ok": {"command": "x"},
            "h": {"command": "x", "disabled": "no"},
            "i": {"command": "x", "cwd": 3},
        }
        warnings = []
        assert [each.title for each in found({"mcpServers": servers}, warnings).entries] == ["ok"]
        assert len(warnings) == 9
        assert warnings[0].startswith("/u/.claude.json, line 4: mcpServers.a.command: found 3; expected")
        assert "hunter2" not in "".join(warnings)

    def test_switched_off(self):
        """An entry that is switched off is kept as such; what is reached by URL is then not even counted."""
        servers = {
            "a": {"command": "x", "disabled": True},
            "b": {"command": "x", "enabled": False},
            "c": {"url": "http://h/", "disabled": True},
        }
        warnings = []
        read = found({"mcpServers": servers}, warnings)
        assert ([each.enabled for each in read.entries], read.remotes, warnings) == ([False, False], (), [])

    def test_odd_shapes(self):
        """A file of another shape has no servers and is no fault."""
        warnings = []
        for value in (
            {},
            {"mcpServers": None},
            {"projects": []},
            {"projects": {"relative": {"mcpServers": {"a": {}}}}},
        ):
            assert found(value, warnings).entries == ()
        assert warnings == []
        assert found({"mcpServers": []}, warnings).entries == ()
        assert "found a list; expected a mapping; it is ignored" in warnings[0]

    def test_file_of_a_project(self):
        """The servers of a file that lies in a project are that project's."""
        problems = Problems()
        document = parse(
            '{"mcpServers": {"a": {"command": "./x"}, "b": {"url": "http://h/"}, "c": 3}}', "/p/.mcp.json"
        )
        read = read_project(document, "/p", 2, problems)
        (entry,) = read.entries
        assert (entry.origin.scope, entry.origin.project, entry.origin.rank) == (Scope.PROJECT, "/p", 2)
        assert (entry.env_policy.is_full, read.remotes, len(problems)) == (True, ("http://h/",), 1)

    def test_other_clients(self):
        """The keys of other clients' files are known."""
        assert found({"servers": {"a": {"command": "x"}}}).entries[0].argv == ("x",)
        read = found({"mcp": {"a": {"type": "local", "command": ["x", "y"], "environment": {"A": "1"}}}})
        assert (read.entries[0].argv, read.entries[0].env) == (("x", "y"), {"A": "1"})
