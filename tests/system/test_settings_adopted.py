"""The settings that clients' enrolled files become."""

import json

import pytest
from attrs import evolve

from mcpgateway.clientfiles.enrolment_records import EnrolledEntry, FileRecord, unwound
from mcpgateway.clientfiles.formats import syntax
from mcpgateway.clientfiles.formats.client_format import EntryKind
from mcpgateway.clientfiles.formats.clients import DIALECTS
from mcpgateway.clientfiles.formats.loopback import LocalGateway
from mcpgateway.clientfiles.formats.rewrite import replace
from mcpgateway.clientfiles.ledger import EditResult, Ledger
from mcpgateway.clientfiles.reader import enrolled_files, read_repository
from mcpgateway.system.approvals import approve, digest_of_bytes
from mcpgateway.system.settings import LoadOptions, examine

PORT = 9100
BASE = LocalGateway(PORT)


class House:
    """A user's home directory, with clients' files that lead to the gateway."""

    def __init__(self, path):
        self.path = path
        self.home = path / ".mcp-gateway"
        self.ledger = Ledger(str(self.home))

    def write(self, name, content):
        """Write a file below the user's home, text or JSON; its path."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content, indent=2))
        return path

    def adopt(self, path, client="claude-code", project="", mode="http", **names):
        """Lead all programs of a file to the gateway, each as it is called or as is said here."""
        dialect = DIALECTS[client]
        self.home.mkdir(mode=0o700, exist_ok=True)

        def edit(text, former):
            value = syntax.read(text, str(path), dialect)
            listed = [each for each in dialect.listed(value, BASE, project) if each.kind is EntryKind.PROGRAM]
            replacements = []
            for each in listed:
                name = names.get(each.title, each.title)
                url = f"http://localhost:{PORT}/{name}/mcp"
                argv = ("mcpgateway", "connect", name, "--", each.program.command, *each.program.args)
                ours = dialect.by_command(each, argv) if mode == "fail-open" else dialect.by_url(each, url)
                replacements.append((each.key_path, ours))
            made, replaced = replace(text, str(path), replacements)
            entries = {
                each.key_path: EnrolledEntry(names.get(each.title, each.title), each) for each in replaced
            }
            return EditResult(made, FileRecord(str(path), client, mode, project, entries))

        self.ledger.change(str(path), edit)

    def suspend(self, path, why="disabled"):
        """Give a file its own text back, for now."""

        def edit(text, adopted):
            original = unwound(adopted, text)
            assert original is not None
            return EditResult(original, evolve(adopted, suspended=why))

        self.ledger.change(str(path), edit)

    def examine(self, **options):
        """Examine the settings as the user's daemon does."""
        options = LoadOptions(**{"home": str(self.home), "enrolled": enrolled_files, **options})
        return examine(options, {"HOME": str(self.path), "PATH": "/bin"})

    def settings(self, **options):
        """The settings, which can be used."""
        found = self.examine(**options)
        assert found.settings is not None, found.problems
        return found.settings

    def served(self, **options):
        """Return the served commands by name."""
        return {each.name: each.command for each in self.settings(**options).servers}


@pytest.fixture
def house(tmp_path):
    """An empty home directory."""
    return House(tmp_path)


CLAUDE = {"mcpServers": {"a": {"command": "run-a", "args": ["1"], "env": {"K": "v"}}}, "numStartups": 3}


class OriginalsTests:
    def test_same_as_before(self, house):
        """The servers of Claude Code's file are the same before and after it is enrolled."""
        path = house.write(".claude.json", CLAUDE)
        before = house.settings().servers
        house.adopt(path)
        assert "run-a" not in path.read_text()
        assert house.settings().servers == before

    def test_one_of_ours_is_no_server(self, house):
        """An entry of ours is counted neither as a server nor as one that is left to its client."""
        path = house.write(
            ".claude.json", {"mcpServers": {"a": {"command": "x"}, "b": {"url": "https://h/"}}}
        )
        house.adopt(path)
        found = house.settings()
        assert ([each.name for each in found.servers], found.passthrough) == (["a"], 1)

    @pytest.mark.parametrize(
        ("client", "file", "text"),
        [
            (
                "opencode",
                "opencode.jsonc",
                '{"mcp": {"a": {"type": "local", "command": ["x", "-y"]}}} // note',
            ),
            ("codex", "config.toml", '[mcp_servers.a]\ncommand = "x"\nargs = ["-y"]\n'),
            ("continue", "config.yaml", "mcpServers:\n  - name: a\n    command: x\n    args: [-y]\n"),
            (
                "zed",
                "settings.json",
                '{\n  // mine\n  "context_servers": {"a": {"command": "x", "args": ["-y"]}},\n}',
            ),
            ("vscode", "mcp.json", '{"servers": {"a": {"type": "stdio", "command": "x", "args": ["-y"]}}}'),
            ("goose", "goose.yaml", "extensions:\n  a:\n    type: stdio\n    cmd: x\n    args: [-y]\n"),
        ],
    )
    def test_dialects(self, house, client, file, text):
        """Every client's way to write a program is understood, in every form of file."""
        path = house.write(file, text)
        house.adopt(path, client)
        assert path.read_text() != text
        assert house.served() == {"a": ("x", "-y")}

    def test_variables_of_codex(self, house):
        """Variables that Codex passes on are passed on, unset ones are left out, and unexpanded ones stay."""
        text = (
            '[mcp_servers.a]\ncommand = "x"\nargs = ["${HOME}", "{env:HOME}"]\n'
            'env_vars = ["HOME", "NOT"]\nenv = { K = "${env:HOME}" }\n'
        )
        path = house.write(".codex/config.toml", text)
        house.adopt(path, "codex")
        (found,) = house.settings().servers
        assert found.command == ("x", "${HOME}", "{env:HOME}")
        assert (found.env["K"], found.env["HOME"]) == ("${env:HOME}", str(house.path))
        assert "NOT" not in found.env

    def test_variables_of_claude(self, house):
        """Claude Code's own forms are expanded, others' are text, and one that is not set stays as it is written."""
        args = ["${HOME}", "${NOT:-d}", "${NOT}", "{env:HOME}", "${env:HOME}"]
        path = house.write(".claude.json", {"mcpServers": {"a": {"command": "x", "args": args}}})
        house.adopt(path)
        assert house.served() == {"a": ("x", str(house.path), "d", "${NOT}", "{env:HOME}", "${env:HOME}")}

    def test_unset_of_gemini(self, house):
        """Gemini leaves a variable that is not set as it is written, but makes it empty in the environment."""
        entry = {"command": "x", "args": ["$NOT", "<${NOT}>"], "env": {"K": "$HOME", "L": "<$NOT>"}}
        path = house.write(".gemini/settings.json", {"mcpServers": {"a": entry}})
        house.adopt(path, "gemini")
        (found,) = house.settings().servers
        assert found.command == ("x", "$NOT", "<${NOT}>")
        assert (found.env["K"], found.env["L"]) == (str(house.path), "<>")

    def test_left_alone(self, house):
        """A server with a value that only its client knows is not served, and the warning names the value."""
        servers = {
            "a": {"command": "x"},
            "b": {"command": "x", "args": ["${workspaceFolder}/y"]},
            "c": {"command": "x", "cwd": "w"},
        }
        path = house.write(".cursor/mcp.json", {"mcpServers": servers})
        house.adopt(path, "cursor")
        found = house.settings()
        assert [each.name for each in found.servers] == ["a"]
        assert ["only its client can fill in" in each for each in found.warnings] == [True, False]
        assert "its cwd is relative" in found.warnings[1]

    def test_relative_directory_of_a_project(self, house):
        """A directory in a project's file is relative to the project."""
        path = house.write(
            "shop/.gemini/settings.json", {"mcpServers": {"a": {"command": "x", "cwd": "./w"}}}
        )
        house.adopt(path, "gemini", project=str(house.path / "shop"))
        assert [each.cwd for each in house.settings().servers] == [str(house.path / "shop" / "w")]

    def test_behind_a_relay(self, house):
        """The original behind a relay that somebody has put there reads like the client's other entries."""
        relay = {"command": "mcpgateway", "args": ["connect", "a", "--", "x", "{env:HOME}", "${HOME}"]}
        path = house.write(".claude.json", {"mcpServers": {"b": {"command": "y"}}})
        house.adopt(path)
        found = json.loads(path.read_text())
        found["mcpServers"]["a"] = relay
        path.write_text(json.dumps(found))
        assert house.served()["a"] == ("x", "{env:HOME}", str(house.path))
        relay["args"][-1] = "${CLAUDE_PROJECT_DIR}"
        path.write_text(json.dumps(found))
        assert set(house.served()) == {"b"}

    def test_projects_of_claude(self, house):
        """The servers of a project in Claude Code's file are that project's."""
        projects = {"/work/shop": {"mcpServers": {"p": {"command": "./run"}}}}
        path = house.write(".claude.json", {"projects": projects})
        before = house.settings()
        house.adopt(path)
        after = house.settings()
        assert (after.servers, after.projects) == (before.servers, before.projects)
        assert after.blueprints["p"].entry.origin.project == "/work/shop"

    def test_changes_of_ours_count(self, house):
        """An entry of ours that its client has disabled is disabled."""
        path = house.write(".claude.json", CLAUDE)
        house.adopt(path)
        found = json.loads(path.read_text())
        found["mcpServers"]["a"]["disabled"] = True
        path.write_text(json.dumps(found))
        assert [each.enabled for each in house.settings().servers] == [False]

    def test_fail_open(self, house):
        """An entry that starts our relay is as good as one with a URL."""
        path = house.write(".claude.json", CLAUDE)
        house.adopt(path, mode="fail-open", a="pinned")
        assert house.served() == {"pinned": ("run-a", "1")}

    def test_renamed_by_the_user(self, house):
        """An entry of ours with another name is known by where it leads."""
        path = house.write(".claude.json", CLAUDE)
        house.adopt(path)
        path.write_text(path.read_text().replace('"a"', '"mine"'))
        assert house.served() == {"a": ("run-a", "1")}

    def test_another_port(self, house):
        """An entry that leads to a port that the gateway had once is ours all the same."""
        path = house.write(".claude.json", CLAUDE)
        house.adopt(path)
        found = house.settings(port=9200)
        assert [each.name for each in found.servers] == ["a"]
        assert found.passthrough == 0
        assert found.adopted[0].unsettled


class NameTests:
    def test_pinned(self, house):
        """A server is served under the name that its client's file leads to, whatever else is called so."""
        path = house.write(".cursor/mcp.json", {"mcpServers": {"a": {"command": "x"}}})
        house.adopt(path, "cursor", a="a-2")
        assert house.served() == {"a-2": ("x",)}
        house.write(".mcp-gateway/config.yaml", "servers: {a-2: {command: y}}")
        assert house.served() == {"a-2": ("x",), "a-2-2": ("y",)}

    def test_shared(self, house):
        """One definition in several clients is one server."""
        cursor = house.write(".cursor/mcp.json", {"mcpServers": {"a": {"command": "x"}}})
        house.write(".claude.json", {"mcpServers": {"a": {"command": "x"}}})
        house.adopt(cursor, "cursor", a="pinned")
        assert house.served() == {"pinned": ("x",)}

    def test_suspended(self, house):
        """Names stay what they are while clients have their own entries back."""
        path = house.write(".claude.json", CLAUDE)
        house.adopt(path, a="pinned")
        house.suspend(path)
        assert json.loads(path.read_text()) == CLAUDE
        found = house.settings()
        assert [each.name for each in found.servers] == ["pinned"]
        assert found.is_disabled
        assert found.adopted[0].unsettled == ()


class MomentsTests:
    @pytest.mark.parametrize(
        "text", ["", "{", " \n", "{}", '{"numStartups": 1}', '{"mcpServers": {"a": {"com']
    )
    def test_half_written(self, house, text):
        """A file that is being written lists what it listed before, with a warning."""
        path = house.write(".claude.json", CLAUDE)
        house.adopt(path)
        path.write_text(text)
        found = house.examine()
        assert [each.name for each in found.settings.servers] == ["a"]
        assert any(str(path) in each for each in found.settings.warnings)
        assert found.settings.adopted[0].unsettled == ()

    def test_missing(self, house):
        """A file that is missing at the moment keeps its servers, also where it was named."""
        path = house.write("named.json", CLAUDE)
        house.adopt(path)
        path.unlink()
        assert house.served(sources=(str(path),)) == {"a": ("run-a", "1")}

    def test_removed_by_the_user(self, house):
        """An entry that its user has removed is served no more, unless another file has it."""
        path = house.write(".claude.json", CLAUDE)
        other = house.write(".cursor/mcp.json", {"mcpServers": CLAUDE["mcpServers"]})
        house.adopt(path)
        house.adopt(other, "cursor")
        other.write_text('{"mcpServers": {}}')
        assert house.served() == {"a": ("run-a", "1")}
        path.write_text('{"mcpServers": {}, "numStartups": 4}')
        found = house.settings()
        assert found.servers == ()
        assert all(each.unsettled for each in found.adopted)

    def test_added_by_the_user(self, house):
        """An added entry is served at once, and waits to be enrolled, unless it was opted out."""
        path = house.write(".claude.json", CLAUDE)
        house.adopt(path)
        settled = house.settings()
        assert settled.adopted[0].unsettled == ()
        found = json.loads(path.read_text())
        found["mcpServers"]["b"] = {"command": "run-b", "env": {"TOKEN": "s3cret-of-mine"}}
        path.write_text(json.dumps(found))
        added = house.settings()
        assert [each.name for each in added.servers] == ["a", "b"]
        assert len(added.adopted[0].unsettled) == 1
        assert "s3cret" not in repr(added)
        house.write(".mcp-gateway/config.yaml", "clients: {opt_out: [b]}")
        assert house.settings().adopted[0].unsettled == ()

    def test_watched(self, house):
        """The ledger and every file in it are among the files whose changes are noticed."""
        before = house.examine()
        assert str(house.home / "ledger" / "ledger.db") in before.files
        path = house.write("deep/mcp.json", CLAUDE)
        house.adopt(path)
        assert str(path) in house.examine().files

    def test_newer_ledger(self, house):
        """A ledger that cannot be used is a warning, and everything else is served."""
        house.write(".claude.json", CLAUDE)
        house.write(".mcp-gateway/ledger/ledger.db", "what is this\n")
        found = house.settings()
        assert [each.name for each in found.servers] == ["a"]
        assert found.warnings


class RepositoryTests:
    def shop(self, house, **servers):
        """A repository whose servers lead to the gateway."""
        path = house.write("shop/.mcp.json", {"mcpServers": servers})
        house.adopt(path, project=str(path.parent))
        return path

    def test_served(self, house):
        """The servers of a repository's file that was led here are served to everybody, as of that project."""
        path = self.shop(house, a={"command": "x"})
        found = house.settings()
        assert [(each.name, each.cwd) for each in found.servers] == [("a", str(path.parent))]
        assert str(path.parent) in found.projects

    def test_digest(self, house):
        """An approval holds for the file with its original entries, so our own change of it is none."""
        text = json.dumps({"mcpServers": {"a": {"command": "x"}}}, indent=2)
        path = self.shop(house, a={"command": "x"})
        assert path.read_text() != text
        found = read_repository(str(path), str(house.home))
        assert found.digest == digest_of_bytes(text.encode())
        assert found.entries == ()

    def test_foreign_change(self, house):
        """A program that somebody else has put into it is inert until its user approves the file."""
        path = self.shop(house, a={"command": "x"}, b={"command": "y"})
        found = json.loads(path.read_text())
        found["mcpServers"]["a"] = {"command": "evil"}
        found["mcpServers"]["c"] = {"command": "evil"}
        path.write_text(json.dumps(found, indent=2))
        inert = house.settings()
        assert [each.name for each in inert.servers] == ["b"]
        assert not any("evil" in each for each in inert.adopted[0].unsettled)
        repository = read_repository(str(path), str(house.home))
        assert [each.title for each in repository.entries] == ["a", "c"]
        before = len(inert.adopted[0].unsettled)
        approve(str(house.home), str(path), repository.digest, 0.0)
        assert len(house.settings().adopted[0].unsettled) > before

    def test_foreign_change_of_a_relay(self, house):
        """A relay of ours with another program or other variables behind it runs nothing but the original."""
        path = house.write("shop/.mcp.json", {"mcpServers": {"a": {"command": "x", "env": {"K": "v"}}}})
        house.adopt(path, project=str(path.parent), mode="fail-open")
        found = json.loads(path.read_text())
        found["mcpServers"]["a"]["env"] = {"NODE_OPTIONS": "--require ./evil.js"}
        found["mcpServers"]["d"] = {"command": "mcpgateway", "args": ["connect", "d", "--", "evil"]}
        path.write_text(json.dumps(found, indent=2))
        assert house.served() == {}
