"""The entries of each client's file, and the entries that replace them."""

import json
import os
import subprocess
import sys
import tempfile
from datetime import date
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.clientfiles.formats import syntax
from mcpgateway.clientfiles.formats.client_format import ClientEntry, EntryKind, LocalGateway, Program
from mcpgateway.clientfiles.formats.clients import DIALECTS
from mcpgateway.clientfiles.formats.rewrite import replace
from mcpgateway.config.expand import expand
from mcpgateway.errors import ConfigError
from tests.support.client_files import (
    BASE,
    NAMES,
    PROGRAMS,
    dialect_of,
    listed_in,
    ours_for,
    programs_in,
    text_of,
    wishes_for,
)


def listed(client, entry, table=None, base=BASE, project=""):
    """Return the listed entries of a client's file with one entry."""
    dialect = DIALECTS[client]
    value = entry
    for step in (*(table or next(iter(dialect.tables))), "x")[::-1]:
        value = {step: value}
    (found,) = dialect.listed(value, base, project)
    return found


class SampleTests:
    """Every client's file."""

    @pytest.mark.parametrize("name", NAMES)
    def test_its_programs(self, name):
        """Programs that could be enrolled are found, without remote, disabled and odd entries."""
        assert [each.title for each in programs_in(name, text_of(name))] == PROGRAMS[name]

    @pytest.mark.parametrize("by_command", [False, True])
    @pytest.mark.parametrize("name", NAMES)
    def test_ours_is_known_again(self, name, by_command):
        """The entry in the place of a program is listed as enrolled, at the same key path, with the right name."""
        text = text_of(name)
        before = listed_in(name, text)
        after, _ = replace(text, name, wishes_for(name, text, by_command=by_command))
        for one, other in zip(before, listed_in(name, after), strict=True):
            if one.kind is EntryKind.PROGRAM:
                assert (other.kind, other.key_path) == (EntryKind.ENROLLED, one.key_path)
                assert other.served == "-".join(one.title.split())
            else:
                assert other == one

    @pytest.mark.parametrize("name", NAMES)
    def test_nothing_of_how_it_was_reached_is_left(self, name):
        """An entry with a URL has no command, no variables and no directory."""
        for each in programs_in(name, text_of(name)):
            ours = ours_for(name, each)
            if "command" not in ours and "cmd" not in ours:
                rest = ours.get("transport", ours)
                assert not {"args", "env", "envs", "environment", "cwd", "env_keys", "env_vars"} & rest.keys()

    def test_every_client_has_a_sample(self):
        """No client is left out."""
        assert {each.partition("/")[0] for each in NAMES} == set(DIALECTS)

    def test_projects(self):
        """Claude Code's entries of one project say which."""
        found = {
            each.title: each
            for each in listed_in("claude-code/.claude.json", text_of("claude-code/.claude.json"))
        }
        assert found["db"].project == "/home/ann/shop"
        assert found["db"].key_path == ("projects", "/home/ann/shop", "mcpServers", "db")
        assert not found["github"].project
        assert (found["gone"].kind, found["gone"].served) == (EntryKind.ENROLLED, "gone")
        assert (found["ours"].kind, found["ours"].served) == (EntryKind.ENROLLED, "ours")


class KindTests:
    """The kind of an entry."""

    @pytest.mark.parametrize(
        ("entry", "kind"),
        [
            ({"command": "x"}, EntryKind.PROGRAM),
            ({"command": "x", "disabled": True}, EntryKind.OFF),
            ({"command": "x", "enabled": False}, EntryKind.OFF),
            ({"url": "https://x.example/mcp"}, EntryKind.REMOTE),
            ({"type": "sse", "url": "https://x.example/sse", "command": "x"}, EntryKind.REMOTE),
            ({"url": "http://localhost:9100/n/mcp"}, EntryKind.ENROLLED),
            ({"url": "http://localhost:9100/n/mcp", "disabled": True}, EntryKind.ENROLLED),
            ({"command": "mcpgateway", "args": ["connect", "n", "--", "x"]}, EntryKind.ENROLLED),
            ({"command": "npx", "args": ["mcp-remote", "http://localhost:9100/n/mcp"]}, EntryKind.UNUSABLE),
            ({"command": "x", "url": "https://x.example/mcp"}, EntryKind.UNUSABLE),
            ({"type": "builtin"}, EntryKind.UNUSABLE),
            ({}, EntryKind.UNUSABLE),
            ([], EntryKind.UNUSABLE),
            ({"command": "x", "args": "y"}, EntryKind.UNUSABLE),
            ({"command": "x", "args": [None]}, EntryKind.UNUSABLE),
            ({"command": "x", "env": []}, EntryKind.UNUSABLE),
            ({"command": "x", "cwd": 1}, EntryKind.UNUSABLE),
            ({"command": "x", "envFile": "f"}, EntryKind.UNUSABLE),
            ({"command": "x", "since": [{"a": date(2026, 1, 1)}]}, EntryKind.UNUSABLE),
            ({"command": "x", "since": float("inf")}, EntryKind.UNUSABLE),
            ({"command": "x", "env_keys": ["K"]}, EntryKind.UNUSABLE),
            ({"command": "x", "args": ["${input:secret}"]}, EntryKind.UNUSABLE),
        ],
    )
    def test_kinds(self, entry, kind):
        """Entries that can be enrolled are told from those that are left alone, and an odd one has a reason."""
        found = listed("cursor", entry)
        assert found.kind is kind
        assert bool(found.why) == (kind is EntryKind.UNUSABLE)

    def test_no_value_is_shown(self):
        """The reason and the entry show no value that may be a secret."""
        entry = {"command": "x", "args": ["sesame", {}], "env": {"A": "sesame"}}
        assert "sesame" not in repr(listed("cursor", entry))
        entry = {"command": "x", "args": ["sesame"], "env": {"A": "sesame"}}
        assert "sesame" not in repr(listed("cursor", entry))

    @pytest.mark.parametrize(
        ("client", "entry", "program"),
        [
            (
                "cursor",
                {"command": "x", "args": ["a", 1, True], "env": {"A": 1}, "cwd": "/d"},
                Program("x", ("a", "1", "true"), {"A": "1"}, "/d"),
            ),
            (
                "opencode",
                {"type": "local", "command": ["x", "y"], "environment": {"A": "b"}},
                Program("x", ("y",), {"A": "b"}),
            ),
            (
                "goose",
                {"type": "stdio", "cmd": "x", "envs": {"A": "b"}, "env_keys": ["A"]},
                Program("x", (), {"A": "b"}),
            ),
            ("gemini", {"command": "x", "env": {"A": "$B-${C}"}}, Program("x", (), {"A": "${B:-}-${C:-}"})),
            (
                "codex",
                {"command": "x", "env": {"A": "1"}, "env_vars": ["A", "B"]},
                Program("x", (), {"A": "1"}),
            ),
            (
                "zed",
                {"command": {"path": "x", "args": ["y"], "env": {"A": "b"}}},
                Program("x", ("y",), {"A": "b"}),
            ),
            (
                "cline-cli",
                {"transport": {"type": "stdio", "command": "x", "args": ["y"]}},
                Program("x", ("y",)),
            ),
        ],
    )
    def test_programs(self, client, entry, program):
        """Every client's manner of writing a program comes to the same."""
        assert listed(client, entry).program == program

    @pytest.mark.parametrize(
        "value", [None, [], "x", {"mcpServers": None}, {"mcpServers": "x"}, {"projects": [1]}]
    )
    def test_files_without_servers(self, value):
        """A file that holds something else lists nothing."""
        assert DIALECTS["claude-code"].listed(value, BASE) == ()

    def test_items_of_a_list(self):
        """Items are known by their names; those without are nobody's, and of two the first counts."""
        value = {
            "mcpServers": [{"name": "a", "command": "x"}, {"command": "y"}, 1, {"name": "a", "command": "z"}]
        }
        (found,) = DIALECTS["continue"].listed(value, BASE)
        assert (found.key_path, found.program.command) == (("mcpServers", "a"), "x")


class VariableTests:
    """The variables in an entry, as its server gets them."""

    VALUES = MappingProxyType({"HOME": "/u", "TOKEN": "t", "EMPTY": ""})

    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("${workspaceFolder}/a", "${workspaceFolder}"),
            ("${input:api-key}", "${input:api-key}"),
            ("${config:hush hush}", "${config}"),
        ],
    )
    def test_named_in_full(self, text: str, shown: str) -> None:
        """A variable that only its client can fill in is named as it is written, without a value in it."""
        found = listed("vscode", {"command": "x", "args": [text]})
        assert found.why == f"it has {shown}, which only its client can fill in"

    def run(self, client, text):
        """Return a text as an argument, a variable and a command; None where the entry is left alone."""
        words = DIALECTS[client].tables[next(iter(DIALECTS[client].tables))].words
        entry = {**words.command_of([text, text]), words.env: {"A": text}}
        found = listed(client, entry)
        if found.program is None:
            assert found.kind is EntryKind.UNUSABLE
            assert "which only its client can fill in" in found.why
            return None
        said = {found.program.command, *found.program.args, *found.program.env.values()}
        (became,) = {expand(each, self.VALUES, keep_unset=True).text for each in said}
        return became

    @pytest.mark.parametrize(
        ("client", "text", "became"),
        [
            ("claude-code", "<${TOKEN}>", "<t>"),
            ("claude-code", "${NOT:-d}", "d"),
            ("claude-code", "${NOT}", "${NOT}"),
            ("claude-code", "$${TOKEN}", "$t"),
            ("cursor", "${env:TOKEN}", "t"),
            ("cursor", "${env:NOT}", "${env:NOT}"),
            ("cursor", "${userHome}${/}x${pathSeparator}", "/u/x/"),
            ("vscode", "${userHome}/x", "/u/x"),
            ("vscode", "${env:NOT}", ""),
            ("windsurf", "${env:TOKEN}", "t"),
            ("roo", "${env:TOKEN}", "t"),
            ("gemini", "$TOKEN-${TOKEN}", "t-t"),
            ("qwen", "<$TOKEN>", "<t>"),
            ("opencode", "{env:TOKEN}{env:NOT}", "t"),
            ("kilo", "{env:TOKEN}", "t"),
            ("pi", "${TOKEN}", "t"),
            ("kiro", "${TOKEN}", "t"),
            ("copilot", "${TOKEN}", "t"),
            ("mcporter", "${NOT:-d}", "d"),
            ("custom", "${TOKEN}", "t"),
        ],
    )
    def test_its_own(self, client, text, became):
        """A client's own forms stand for what it would have filled in."""
        assert self.run(client, text) == became

    def test_not_set(self):
        """Gemini hands on what is not set as it is written, but in the environment it is empty (seen in 0.61)."""
        text = "<$NOT-${NOT}>"
        found = listed("gemini", {"command": "x", "args": [text], "env": {"A": text}}).program
        (argument,) = found.args
        assert expand(argument, self.VALUES, keep_unset=True).text == text
        assert expand(found.env["A"], self.VALUES, keep_unset=True).text == "<->"

    @pytest.mark.parametrize(
        ("client", "text"),
        [
            *(
                (client, text)
                for client in ("codex", "claude-desktop", "cline", "cline-cli", "zed", "goose")
                for text in (
                    "${TOKEN}",
                    "${TOKEN:-d}",
                    "$TOKEN",
                    "{env:TOKEN}",
                    "${env:TOKEN}",
                    "${/}",
                    "{file:a}",
                )
            ),
            *(
                ("claude-code", each)
                for each in ("{env:HOME}", "${env:HOME}", "$TOKEN", "${TOKEN:?m}", "${:-x}")
            ),
            *((each, "${TOKEN}") for each in ("cursor", "vscode", "windsurf", "roo", "continue", "opencode")),
            *((each, "{env:TOKEN}") for each in ("cursor", "vscode", "windsurf", "gemini")),
            ("opencode", "${TOKEN:-d}"),
            ("copilot", "$TOKEN"),
        ],
    )
    def test_of_others(self, client, text):
        """The forms of other clients are text like any other."""
        assert self.run(client, text) == text

    @pytest.mark.parametrize(
        ("client", "text"),
        [
            *(
                (client, f"a${{{name}}}")
                for client in ("cursor", "vscode", "roo")
                for name in (
                    *("workspaceFolder", "workspaceFolder:a", "workspaceFolderBasename", "cwd", "file"),
                    *("fileBasename", "input:a", "command:a.b", "config:c", "env:PWD", "execPath", "env:A B"),
                )
            ),
            *(
                ("claude-code", each)
                for each in (
                    *("${PWD}", "${PWD:-x}", "${CLAUDE_PROJECT_DIR}", "${CLAUDE_PLUGIN_ROOT}/x"),
                    "${workspaceFolder}",
                )
            ),
            *((each, "${PWD}") for each in ("gemini", "copilot", "pi", "mcporter", "kiro", "custom")),
            ("gemini", "$PWD"),
            ("gemini", "${TOKEN:-d}"),
            ("opencode", "{env:PWD}"),
            ("opencode", "{file:~/.secret}"),
            ("windsurf", "${file:/x}"),
            ("continue", "${{ secrets.KEY }}"),
            ("antigravity", "${TOKEN}"),
            ("junie", "${TOKEN}"),
            ("custom", "${input:a}"),
            ("custom", "{env:TOKEN}"),
        ],
    )
    def test_only_the_client_knows(self, client, text):
        """An entry with something that only its client knows, or may know, is left alone."""
        assert self.run(client, text) is None

    @given(st.text("${}:-envAB/?", max_size=20))
    def test_nothing_is_lost(self, text):
        """Where a client expands nothing every text arrives as it is written."""
        assert self.run("claude-desktop", f"x{text}") == f"x{text}"


class DirectoryTests:
    """Where a program runs."""

    @pytest.mark.parametrize("cwd", ["w", "./w", "..", "${NOT}/w"])
    def test_relative(self, cwd):
        """A relative directory is relative to a project, and unknown where there is none."""
        entry = {"command": "x", "cwd": cwd}
        found = listed("codex", entry)
        assert (found.kind, found.program) == (EntryKind.UNUSABLE, None)
        assert "its cwd is relative" in found.why
        assert listed("codex", entry, project="/p").kind is EntryKind.PROGRAM

    def test_of_a_project_of_claude(self):
        """A project in Claude Code's file is one."""
        found = listed("claude-code", {"command": "x", "cwd": "w"}, ("projects", "/p", "mcpServers"))
        assert found.program == Program("x", cwd="w")

    @pytest.mark.parametrize("cwd", ["/w", "~/w", "$HOME/w", "${HOME}"])
    def test_absolute(self, cwd):
        """An absolute directory is used."""
        assert listed("gemini", {"command": "x", "cwd": cwd}).kind is EntryKind.PROGRAM


class UrlTests:
    """Which URLs are ours."""

    @pytest.mark.parametrize(
        ("url", "served"),
        [
            ("http://localhost:9100/github/mcp", "github"),
            ("http://127.0.0.1:9100/mcp/github", "github"),
            ("http://[::1]:9100/github/sse", "github"),
            ("http://[::ffff:127.0.0.1]:9100/github/sse/", "github"),
            ("HTTP://LOCALHOST.:9100/github/mcp?x=1", "github"),
            ("http://127.0.1.1:9100/a%20b/mcp", "a b"),
            ("http://0.0.0.0:9100/github/mcp", "github"),
            ("http://box.lan:9100/github/mcp", "github"),
            ("http://localhost:9100/mcp", ""),
            ("http://localhost:9100/", ""),
            ("http://localhost:9100/mcp/full", ""),
            ("http://localhost:9100/mcp/p/shop", ""),
            ("http://localhost:9100/mcp/github", "github"),
            ("http://localhost:9101/github/mcp", None),
            ("http://example.com:9100/github/mcp", None),
            ("http://localhost.example.com:9100/github/mcp", None),
            ("ws://localhost:9100/github/mcp", None),
            ("http://localhost:9100/github/other", None),
            ("http://localhost:x/github/mcp", None),
            ("http://[::1/github/mcp", None),
        ],
    )
    def test_urls(self, url, served):
        """A URL is ours with any name of this machine and our port, and the roads that are served."""
        found = listed("cursor", {"url": url}, base=LocalGateway(9100, frozenset(("box.lan",))))
        assert (found.kind is EntryKind.ENROLLED) == (served is not None)
        assert found.served == (served or "")

    @pytest.mark.parametrize(
        ("argv", "served"),
        [
            (["mcpgateway", "connect", "n"], "n"),
            (["/opt/bin/mcpg", "--home", "/h", "connect", "--patience=3", "n", "--", "x", "connect"], "n"),
            (["mcp-ctl", "proxy", "--target", "n"], "n"),
            (["mcpgateway", "stdio", "--server=n"], "n"),
            (["mcpgateway", "stdio"], ""),
            (["mcpgateway", "serve"], None),
            (["npx", "connect", "n"], None),
        ],
    )
    def test_programs(self, argv, served):
        """Our own program is known by its name and what it is told to do."""
        found = listed("cursor", {"command": argv[0], "args": argv[1:]})
        assert (found.kind is EntryKind.ENROLLED) == (served is not None)
        assert found.served == (served or "")


class InPlaceTests:
    """The entry in the place of a program."""

    URL = "http://localhost:9100/x/mcp"

    @pytest.mark.parametrize(
        ("client", "entry", "ours"),
        [
            (
                "claude-code",
                {"type": "stdio", "command": "x", "timeout": 5},
                {"type": "http", "url": URL, "timeout": 5},
            ),
            ("cursor", {"command": "x", "args": [], "note": 1}, {"url": URL, "note": 1}),
            ("vscode", {"command": "x"}, {"type": "http", "url": URL}),
            (
                "windsurf",
                {"command": "x", "disabledTools": ["a"]},
                {"serverUrl": URL, "disabledTools": ["a"]},
            ),
            ("antigravity", {"command": "x"}, {"serverUrl": URL}),
            (
                "cline",
                {"command": "x", "alwaysAllow": ["a"]},
                {"type": "streamableHttp", "url": URL, "alwaysAllow": ["a"]},
            ),
            (
                "cline-cli",
                {"transport": {"type": "stdio", "command": "x"}, "timeout": 3},
                {"transport": {"type": "streamableHttp", "url": URL}, "timeout": 3},
            ),
            ("continue", {"name": "x", "command": "x"}, {"name": "x", "type": "streamable-http", "url": URL}),
            ("zed", {"source": "custom", "command": "x"}, {"source": "custom", "url": URL}),
            (
                "codex",
                {"command": "x", "env": {"A": "b"}, "tool_timeout_sec": 5},
                {"url": URL, "tool_timeout_sec": 5},
            ),
            ("gemini", {"command": "x", "trust": True}, {"httpUrl": URL, "trust": True}),
            ("qwen", {"command": "x"}, {"httpUrl": URL}),
            (
                "opencode",
                {"type": "local", "command": ["x"], "enabled": True},
                {"type": "remote", "url": URL, "enabled": True},
            ),
            ("kilo", {"type": "local", "command": ["x"]}, {"type": "remote", "url": URL}),
            ("pi", {"command": "x", "lifecycle": "lazy"}, {"url": URL, "lifecycle": "lazy"}),
            (
                "goose",
                {"type": "stdio", "cmd": "x", "name": "x", "enabled": True},
                {"type": "streamable_http", "uri": URL, "name": "x", "enabled": True},
            ),
            ("roo", {"command": "x"}, {"type": "streamable-http", "url": URL}),
            ("kiro", {"command": "x", "autoApprove": ["a"]}, {"url": URL, "autoApprove": ["a"]}),
            (
                "copilot",
                {"type": "local", "command": "x", "tools": ["*"]},
                {"type": "http", "url": URL, "tools": ["*"]},
            ),
            ("mcporter", {"command": "x"}, {"baseUrl": URL}),
            ("custom", {"command": "x"}, {"type": "http", "url": URL}),
        ],
    )
    def test_urls(self, client, entry, ours):
        """A client gets the keys that it reads, and keeps those that do not say how a server is reached."""
        made = DIALECTS[client].by_url(listed(client, entry), self.URL)
        assert made == ours
        assert list(made) == list(ours)

    PROJECT = "/p/my ${shop} %20é"
    SAID = "/p/my%20%24%7Bshop%7D%20%2520%C3%A9"

    @pytest.mark.parametrize("client", [each.name for each in DIALECTS.values() if each.project])
    @pytest.mark.parametrize("helper", [True, False])
    def test_projects(self, client, helper):
        """An entry for a project says so in a header, in characters that no client reads as anything else."""
        dialect = DIALECTS[client]
        try:
            made = dialect.by_url(
                listed(client, {"command": "x"}), self.URL, helper=helper, project=self.PROJECT
            )
        except ConfigError:
            made = dialect.by_command(
                listed(client, {"command": "x"}), ["g", "connect", "x", "--project", self.PROJECT]
            )
        else:
            key_path = {"codex": ["http_headers"], "continue": ["requestOptions", "headers"]}.get(
                client, ["headers"]
            )
            held = made
            for key in key_path:
                held = held[key]
            assert held["Mcp-Project-Path"] == self.SAID
        key_path = listed(client, {}).key_path
        assert dialect.names_project(key_path, made, self.PROJECT)
        assert not dialect.names_project(key_path, made, "/p")
        assert not dialect.names_project(key_path, "odd", "/p")

    def test_headers_stay(self):
        """Headers that an entry has already stay beside it."""
        entry = {
            "command": "x",
            "headers": {"A": "b"},
            "requestOptions": {"headers": {"C": "d"}, "timeout": 3},
        }
        made = DIALECTS["cursor"].by_url(listed("cursor", entry), self.URL, project="/p")
        assert made["headers"] == {"A": "b", "Mcp-Project-Path": "/p"}
        made = DIALECTS["continue"].by_url(listed("continue", entry), self.URL, project="/p")
        assert made["requestOptions"] == {"headers": {"C": "d", "Mcp-Project-Path": "/p"}, "timeout": 3}

    def test_project_of(self):
        """Where Claude Code keeps servers for single projects, the place of an entry says for which."""
        claude = DIALECTS["claude-code"]
        assert claude.project_of(("projects", "/p/shop", "mcpServers", "x")) == "/p/shop"
        assert claude.project_of(("mcpServers", "x")) == ""

    @pytest.mark.parametrize("client", ["claude-desktop", "junie", "amazon-q"])
    def test_no_urls(self, client):
        """A client that takes no URLs is said so, and what helps."""
        with pytest.raises(ConfigError, match=f"{DIALECTS[client].title} takes no URL.*--fail-open"):
            DIALECTS[client].by_url(listed(client, {"command": "x"}), self.URL)

    @pytest.mark.parametrize(
        ("client", "entry", "ours"),
        [
            (
                "cursor",
                {"type": "stdio", "command": "x", "args": ["y"], "env": {"A": "b"}},
                {"type": "stdio", "command": "g", "args": ["connect"], "env": {"A": "b"}},
            ),
            (
                "opencode",
                {"type": "local", "command": ["x"], "environment": {}},
                {"type": "local", "command": ["g", "connect"], "environment": {}},
            ),
            ("goose", {"type": "stdio", "cmd": "x"}, {"type": "stdio", "cmd": "g", "args": ["connect"]}),
            (
                "cline-cli",
                {"transport": {"type": "stdio", "command": "x"}},
                {"transport": {"type": "stdio", "command": "g", "args": ["connect"]}},
            ),
            (
                "zed",
                {"command": {"path": "x", "env": {"A": "b"}}},
                {"command": "g", "args": ["connect"], "env": {"A": "b"}},
            ),
        ],
    )
    def test_commands(self, client, entry, ours):
        """A command of ours takes the place of the other, and all that is about it stays."""
        assert DIALECTS[client].by_command(listed(client, entry), ["g", "connect"]) == ours

    @pytest.mark.parametrize("client", sorted(set(DIALECTS) - {"claude-desktop", "junie", "amazon-q"}))
    def test_a_new_entry(self, client):
        """An entry for all servers is known as ours in every client."""
        dialect = DIALECTS[client]
        new = dialect.fresh("mcpgateway")
        found = listed(client, dialect.by_url(new, "http://localhost:9100/mcp"))
        assert (found.kind, found.served) == (EntryKind.ENROLLED, "")
        found = listed(client, dialect.by_command(new, ["mcpgateway", "stdio"]))
        assert (found.kind, found.served) == (EntryKind.ENROLLED, "")

    def test_goose_gets_all_it_needs(self):
        """A new entry has what its client does not do without."""
        dialect = DIALECTS["goose"]
        assert dialect.by_command(dialect.fresh("g"), ["mcpgateway", "stdio"]) == {
            "type": "stdio",
            "cmd": "mcpgateway",
            "args": ["stdio"],
            "name": "g",
            "enabled": True,
            "timeout": 300,
        }

    def test_who_calls(self):
        """Claude Code tells its process and its project, where that is asked for; a helper of the user's stays."""
        dialect = DIALECTS["claude-code"]
        found = listed("claude-code", {"command": "x"})
        assert "headersHelper" not in dialect.by_url(found, self.URL)
        assert "X-Client-Pid" in dialect.by_url(found, self.URL, helper=True)["headersHelper"]
        found = listed("claude-code", {"command": "x", "headersHelper": "mine"})
        assert dialect.by_url(found, self.URL, helper=True)["headersHelper"] == "mine"

    def test_the_helper_writes_json(self):
        """The program for Claude Code prints the headers as JSON, for a directory of any name."""
        helper = DIALECTS["claude-code"].tables["mcpServers",].helper["headersHelper"]
        with tempfile.TemporaryDirectory(suffix=' "a\\b') as directory:
            program = (
                "import subprocess, sys; subprocess.run(['/bin/sh', '-c', sys.argv[1]], cwd='/', check=True)"
            )
            made = subprocess.run(
                [sys.executable, "-c", program, helper],
                cwd=directory,
                capture_output=True,
                check=True,
                timeout=30,
            )
            said = json.loads(made.stdout)
            assert said["X-Client-Cwd"] == os.path.realpath(directory)
            assert int(said["X-Client-Pid"]) > 1

    def test_a_value_that_is_no_mapping(self):
        """An entry that is not understood can still be replaced, if somebody asks for that."""
        odd = ClientEntry("x", ("mcpServers", "x"), None, EntryKind.UNUSABLE)
        assert DIALECTS["cursor"].by_url(odd, self.URL) == {"url": self.URL}


class FormTests:
    """The syntax of a file."""

    @pytest.mark.parametrize(
        ("file", "text", "form"),
        [
            ("a.json", "", "JSON"),
            ("C:\\x\\a.JSONC", "", "JSON"),
            ("a.toml", "", "TOML"),
            ("a.yml", "{}", "YAML"),
            ("a", "\ufeff{}", "JSON"),
            ("a", "// c\n{}", "JSON"),
            ("a", "# c\n[x]\n", "TOML"),
            ("a.conf", "x = 1", "TOML"),
            ("a", "x: 1", "YAML"),
        ],
    )
    def test_forms(self, file, text, form):
        """The syntax of a file is known by its extension, else by its look."""
        assert syntax.form_of(file, text).name == form

    def test_not_utf_8(self):
        """A file in another encoding is refused, and the line is named."""
        with pytest.raises(ConfigError, match=r"f\.json, line 2: is not in UTF-8"):
            syntax.decoded(b"{\n\xff}", "f.json")

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("claude-code/x.json", '{"mcpServers": {},}'),
            ("claude-code/x.json", '{"mcpServers": '),
            ("codex/x.toml", "[mcp_servers\n"),
            ("goose/x.yaml", "extensions: [\n"),
        ],
    )
    def test_not_of_its_form(self, name, text):
        """A file that its client could not read is refused, by name."""
        with pytest.raises(ConfigError, match=name):
            listed_in(name, text)

    def test_only_what_is_asked_for(self):
        """The history in a file of Claude Code is passed over."""
        name = "claude-code/.claude.json"
        value = syntax.read(text_of(name), name, dialect_of(name))
        assert set(value) == {"mcpServers", "projects"}
        assert set(value["projects"]["/home/ann/shop"]) == {"mcpServers"}
