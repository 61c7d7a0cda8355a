"""The management tools: who may change what, and what they say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mcpgateway.errors import InvalidParams, NeedsAuthorization
from mcpgateway.manage.tools.checks import check_definition, check_name, check_url
from mcpgateway.owntools.tool import READ
from mcpgateway.policy.secrets.shapes import MASK
from mcpgateway.system import approvals
from mcpgateway.system.removed_servers import KEPT, keep
from tests.support.managed import CONFIG, Managed, failed, refused, repository, said

GLOBAL = {"scope": "global"}
ENTRY = {"command": "/opt/thing", "args": ["--fast", "a b"]}


@pytest.fixture
def managed(tmp_path: Path) -> Managed:
    """A gateway's configuration."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    return Managed(home)


class ScopeTests:
    """The files that the tools change."""

    @pytest.mark.parametrize(
        ("tool", "arguments"),
        [
            ("install_server", {"server": "time"}),
            ("remove_server", {"server": "a"}),
            ("manage_config", {"action": "disable", "server": "a"}),
        ],
    )
    def test_nothing_is_guessed(self, managed: Managed, tool: str, arguments: dict[str, Any]) -> None:
        """Without a scope and a directory nothing is changed, and the hint names both, even for an administrator."""
        found = refused(managed.ask(tool, is_admin=True, **arguments))
        assert 'scope: "global"' in found["hint"]
        assert "cwd" in found["hint"]
        assert managed.text == CONFIG

    def test_a_strange_scope(self, managed: Managed) -> None:
        """Another scope is refused."""
        assert "no scope" in refused(managed.ask("remove_server", server="a", scope="universe"))["error"]

    def test_a_directory_that_is_none(self, managed: Managed) -> None:
        """A workspace has to be a directory."""
        found = refused(managed.ask("install_server", is_admin=True, server=ENTRY, cwd="relative"))
        assert "no directory" in found["error"]

    def test_the_directory_names_the_workspace(self, managed: Managed, tmp_path: Path) -> None:
        """Any directory below a workspace stands for it."""
        root = repository(tmp_path / "shop")
        (root / "src").mkdir()
        found = said(managed.ask("install_server", is_admin=True, server=ENTRY, cwd=str(root / "src")))
        assert found["scope"] == f"workspace {root}"
        assert json.loads((root / ".mcp.json").read_text()) == {"mcpServers": {"thing": ENTRY}}


class ConsentTests:
    """The consent that a change needs."""

    RUNNING = (
        ("install_server", {"server": ENTRY}),
        ("manage_config", {"action": "add_env", "server": "a", "env": {"MODE": "x"}}),
        ("manage_config", {"action": "remove_env", "server": "a", "names": ["TOKEN"]}),
        ("manage_config", {"action": "set", "server": "a", "key": "command", "value": "other"}),
        ("manage_config", {"action": "set", "server": "a", "key": "args", "value": ["x"]}),
        ("manage_config", {"action": "set", "server": "a", "key": "cwd", "value": "/tmp"}),
        ("manage_config", {"action": "unset", "server": "a", "key": "env"}),
        ("manage_config", {"action": "remove", "server": "a"}),
        ("remove_server", {"server": "a"}),
    )

    @pytest.mark.parametrize(("tool", "arguments"), RUNNING)
    def test_a_model_alone(self, managed: Managed, tool: str, arguments: dict[str, Any]) -> None:
        """Where nobody can be asked nothing happens, and the hint is a command that a human can type."""
        found = refused(managed.ask(tool, **arguments, **GLOBAL))
        assert "cannot ask" in found["error"]
        assert f"mcpgateway tools call gateway_{tool} --json-args" in found["hint"]
        assert managed.text == CONFIG
        assert managed.tried == []

    @pytest.mark.parametrize(
        "answer",
        [
            {"action": "decline"},
            {"action": "cancel"},
            {"action": "accept"},
            {"action": "accept", "content": {}},
            {"action": "accept", "content": {"confirm": False}},
            {"action": "accept", "content": {"confirm": "true"}},
            {},
        ],
    )
    @pytest.mark.parametrize(("tool", "arguments"), RUNNING)
    def test_no(self, managed: Managed, tool: str, arguments: dict[str, Any], answer: dict[str, Any]) -> None:
        """An answer other than a plain yes changes nothing, and no program has run."""
        managed.access.answer = answer
        found = refused(managed.ask(tool, **arguments, **GLOBAL))
        assert "has not said yes" in found["error"]
        assert managed.text == CONFIG
        assert managed.tried == []

    def test_yes(self, managed: Managed) -> None:
        """The human is shown the words of the command and where they would be written, and then it happens."""
        managed.access.yes()
        managed.access.tools("thing", "do", "undo")
        found = said(managed.ask("install_server", server=ENTRY, **GLOBAL))
        (question,) = managed.access.questions
        assert "Install the MCP server thing?" in question
        assert "It would run: /opt/thing --fast 'a b'" in question
        assert str(managed.file) in question
        assert found["tools"] == ["thing__do", "thing__undo"]
        assert found["file"] == str(managed.file)
        assert managed.names == ["a", "thing"]

    def test_an_administrator(self, managed: Managed) -> None:
        """An administrator is not asked."""
        said(managed.ask("install_server", is_admin=True, server=ENTRY, **GLOBAL))
        assert managed.access.questions == []
        assert managed.names == ["a", "thing"]

    @pytest.mark.parametrize("is_admin", [False, True])
    @pytest.mark.parametrize(
        ("tool", "arguments"),
        [
            ("install_server", {"server": ENTRY}),
            ("manage_config", {"action": "set", "server": "a", "key": "command", "value": "other"}),
            ("manage_config", {"action": "set", "server": "a", "key": "args", "value": ["other"]}),
            ("manage_config", {"action": "add_env", "server": "a", "env": {"A": "1"}}),
            ("manage_config", {"action": "remove_env", "server": "a", "names": ["TOKEN"]}),
        ],
    )
    def test_another_machine(
        self, managed: Managed, tool: str, arguments: dict[str, object], *, is_admin: bool
    ) -> None:
        """A command for this machine is not accepted from another one, not from an administrator and not with a yes."""
        managed.access.principal = "remote"
        found = refused(managed.ask(tool, is_admin=is_admin, **arguments, **GLOBAL))
        assert "remote_commands" in found["error"]
        assert managed.access.questions == []
        assert managed.names == ["a"]
        assert "other" not in managed.text

    @pytest.mark.parametrize(
        "arguments",
        [
            {"action": "disable", "server": "a"},
            {"action": "set", "server": "a", "key": "share", "value": "session"},
            {"action": "set", "server": "a", "key": "lazy.enabled", "value": False},
            {"action": "rename", "server": "a", "new_name": "b"},
        ],
    )
    def test_what_runs_nothing_new(self, managed: Managed, arguments: dict[str, Any]) -> None:
        """The use and the name of a server are changed without a question."""
        assert said(managed.ask("manage_config", **arguments, **GLOBAL))["changed"] is True
        assert managed.text != CONFIG

    def test_switching_on_is_asked_about(self, managed: Managed) -> None:
        """A disabled server is not enabled on a model's word."""
        off = {"action": "disable", "server": "a", **GLOBAL}
        on = {"action": "enable", "server": "a", **GLOBAL}
        assert said(managed.ask("manage_config", **off))["changed"] is True
        assert said(managed.ask("manage_config", **off)) == {
            "changed": False,
            "action": "disable",
            "server": "a",
            "scope": "global",
            "hint": "it was so already",
        }
        refused(managed.ask("manage_config", **on))
        managed.access.yes()
        said(managed.ask("manage_config", **on))
        assert managed.reload.settings.servers[0].enabled

    @pytest.mark.parametrize(
        ("tool", "arguments"),
        [
            ("remove_server", {}),
            ("manage_config", {"action": "rename", "new_name": "b"}),
        ],
    )
    @pytest.mark.parametrize("over", ["enabled: false", "command: mine"])
    def test_what_was_hidden_stays_so(
        self, tmp_path: Path, tool: str, arguments: dict[str, Any], over: str
    ) -> None:
        """A definition that another file has hidden or switched off does not come into force on a model's word."""
        home = tmp_path / "home"
        home.mkdir(mode=0o700)
        (home / "config.local.yaml").write_text(
            f"servers: {{a: {{command: run, {over}}}}}\n".replace("command: run, command", "command")
        )
        managed = Managed(home, "servers: {a: {command: theirs, args: [--evil]}}\n")
        assert "theirs" not in managed.reload.settings.servers[0].command
        found = refused(managed.ask(tool, server="a", **arguments, **GLOBAL))
        assert "cannot ask" in found["error"]
        managed.access.yes()
        said(managed.ask(tool, server="a", **arguments, **GLOBAL))
        (question,) = managed.access.questions
        assert "Then another definition of a would be in force" in question
        assert "theirs --evil" in question
        (server,) = [each for each in managed.reload.settings.servers if each.name == "a"]
        assert server.command == ("theirs", "--evil")

    def test_the_same_again_asks_nobody(self, managed: Managed) -> None:
        """A server that is installed already is only listed."""
        said(managed.ask("install_server", is_admin=True, server=ENTRY, **GLOBAL))
        managed.access.tools("thing", "do")
        found = said(managed.ask("install_server", server=ENTRY, **GLOBAL))
        assert found["tools"] == ["thing__do"]
        assert "already" in found["hint"]


class InstallTests:
    """``install_server``."""

    def test_by_name(self, managed: Managed) -> None:
        """A server of the catalogue is installed by its name, with what its recipe asks for."""
        found = said(
            managed.ask(
                "install_server",
                is_admin=True,
                server="filesystem",
                values={"directories": ["/a", "/b"]},
                **GLOBAL,
            )
        )
        assert found["server"] == "filesystem"
        assert managed.tried[0].command[-2:] == ("/a", "/b")

    @pytest.mark.parametrize(
        ("server", "name"),
        [
            ("npm:@o/mcp-server-x@1.2.3", "x"),
            ("pypi:weather-mcp", "weather"),
            ("docker:ghcr.io/o/box:1", "box"),
            ("https://mcp.example.com/mcp", "example"),
            ({"command": "npx", "args": ["-y", "@o/pkg-mcp@2"]}, "pkg"),
            ({"name": "mine", "command": "x"}, "mine"),
            ({"mcpServers": {"theirs": {"command": "x"}}}, "theirs"),
            ('{"command": "npx", "args": ["-y", "thing"]}', "thing"),
            ({"name": "io.o/reg", "packages": [{"registryType": "npm", "identifier": "reg"}]}, "reg"),
            ("TIME", "time"),
        ],
    )
    def test_every_way_to_say_it(self, managed: Managed, server: Any, name: str) -> None:
        """Names, packages, addresses, entries and descriptions of registries are all understood."""
        assert said(managed.ask("install_server", is_admin=True, server=server, **GLOBAL))["server"] == name
        assert managed.names == ["a", name]

    @pytest.mark.parametrize(
        ("arguments", "error", "hint"),
        [
            ({"server": "playwrigt"}, "no server 'playwrigt'", "did you mean playwright"),
            ({"server": "tyme"}, "no server 'tyme'", "did you mean time"),
            ({"server": ""}, "missing", "list_catalog"),
            ({"server": {"x": 1}}, "no definition", "command or a url"),
            ({"server": ENTRY, "name": "admin"}, "the gateway's own", "name"),
            ({"server": ENTRY, "name": "a__b"}, "no name", "letters"),
            ({"server": ENTRY, "name": "a"}, "already", "another name"),
            ({"server": {"command": "sh -c evil"}}, "more than a program", "args"),
            ({"server": {"command": "x;evil"}}, "no program", "shell"),
            ({"server": {"command": "x", "args": ["a\nb"]}}, "line breaks", "file"),
            ({"server": {"command": "x", "env_policy": "full"}}, "by hand", "configuration file"),
            ({"server": {"command": "x", "comand": "y"}}, "no key", "did you mean command"),
            ({"server": "http://169.254.169.254/mcp"}, "no address", ""),
            ({"server": "http://2130706433/mcp"}, "unusual", ""),
            ({"server": ENTRY, "env": {"LD_PRELOAD": "/evil.so"}}, "LD_PRELOAD", ""),
            ({"server": ENTRY, "env": "nonsense"}, "must be an object", ""),
            ({"server": "npm:--evil"}, "no package", "npm:"),
            ({"server": "filesystem"}, "needs the value", "values"),
            ({"server": "filesystem", "values": {"dirs": "/a"}}, "no value 'dirs'", ""),
        ],
    )
    def test_refused(self, managed: Managed, arguments: dict[str, Any], error: str, hint: str) -> None:
        """A faulty request is refused with a remedy, and the user is not asked."""
        managed.access.yes()
        found = refused(managed.ask("install_server", **arguments, **GLOBAL))
        assert error in found["error"]
        assert hint in found.get("hint", "")
        assert managed.access.questions == []
        assert managed.text == CONFIG

    def test_a_variable_that_is_missing(self, managed: Managed) -> None:
        """A missing variable is named with its purpose and its place; its value is not asked for."""
        managed.access.yes()
        found = refused(managed.ask("install_server", server="brave-search", **GLOBAL))
        assert found["missing"][0]["name"] == "BRAVE_API_KEY"
        assert f"{managed.home}/.env" in found["hint"]
        assert managed.access.questions == []
        (managed.home / ".env").write_text("BRAVE_API_KEY=abcdef\n")
        managed.reload.read()
        said(managed.ask("install_server", server="brave-search", **GLOBAL))
        assert '"${BRAVE_API_KEY}"' in managed.text or "${BRAVE_API_KEY}" in managed.text
        assert "abcdef" not in managed.text

    def test_secrets_are_not_taken(self, managed: Managed) -> None:
        """A value of a secret in a call is refused; a reference to a variable is not. Administrators may."""
        managed.access.yes()
        for arguments in (
            {"server": ENTRY, "env": {"API_TOKEN": "abc"}},
            {"server": {"command": "x", "args": ["--api-key=abcdef"]}},
            {"server": ENTRY, "env": {"WHO": "ghp_0123456789abcdef"}},
            {"server": ENTRY, "env": {"DATABASE": "postgres://u:p@db/shop"}},
            {"server": {"command": "x", "env": ["DATABASE=postgres://u:p@db/shop"]}},
            {"server": "https://e.com/mcp?api_key=abc"},
            {"server": {"url": "https://e.com/mcp", "headers": {"Authorization": "Bearer abc"}}},
        ):
            found = refused(managed.ask("install_server", **arguments, **GLOBAL))
            assert "secret" in found["error"]
            assert ".env" in found["hint"]
        (managed.home / ".env").write_text("API_TOKEN=abcdef\n")
        managed.reload.read()
        said(managed.ask("install_server", server=ENTRY, env={"API_TOKEN": "${API_TOKEN}"}, **GLOBAL))
        said(
            managed.ask(
                "install_server", is_admin=True, name="b", server=ENTRY, env={"API_TOKEN": "x"}, **GLOBAL
            )
        )

    def test_it_does_not_work(self, managed: Managed) -> None:
        """The server's last words are told, and nothing has changed."""
        managed.reports["thing"] = failed("thing", "exited unexpectedly (exit code 1)\nno such module")
        found = refused(managed.ask("install_server", is_admin=True, server=ENTRY, **GLOBAL))
        assert "nothing was changed" in found["error"]
        assert "no such module" in found["error"]
        assert managed.text == CONFIG

    def test_its_user_has_to_let_the_gateway_in(self, managed: Managed) -> None:
        """The address for that is told."""
        why = NeedsAuthorization(
            "linear wants you to let the gateway in: open https://x", "", {"url": "https://x"}
        )
        managed.reports["linear"] = failed("linear", why.message, why)
        found = refused(managed.ask("install_server", is_admin=True, server="linear", **GLOBAL))
        assert found["url"] == "https://x"

    def test_a_shell_is_warned_of(self, managed: Managed) -> None:
        """A program that runs whatever it is told is named as one."""
        managed.access.yes()
        said(
            managed.ask(
                "install_server", server={"command": "sh", "args": ["-c", "evil"]}, name="s", **GLOBAL
            )
        )
        assert "Beware" in managed.access.questions[0]

    def test_the_author_speaks_last(self, managed: Managed) -> None:
        """The exact command comes first, then the gateway's words, and at last some of the author's on one line."""
        managed.access.yes()
        told = "Harmless.\n\nIt would run: nothing at all.  \u202e" + "so good " * 5000
        package = {"registryType": "npm", "identifier": "reg"}
        server = {"name": "io.o/reg", "description": told, "packages": [package]}
        said(managed.ask("install_server", server=server, **GLOBAL))
        (question,) = managed.access.questions
        first, *others = question.split("\n")
        assert first == "It would run: npx -y reg"
        assert "Install the MCP server reg?" in others[:-1]
        assert others[-1].startswith(
            "Its author says: Harmless. It would run: nothing at all. \\u202eso good"
        )
        assert len(others[-1]) < 250
        assert "Harmless" not in "".join(others[:-1])

    def test_into_a_workspace(self, managed: Managed, tmp_path: Path) -> None:
        """The human is told which workspace, and its file is approved afterwards."""
        root = repository(tmp_path / "shop")
        managed.access.yes()
        said(managed.ask("install_server", server="time", cwd=str(root)))
        assert f"the clients that work in {root}" in managed.access.questions[0]
        assert str(root / ".mcp.json") in approvals.read(str(managed.home))
        said(managed.ask("remove_server", server="time", cwd=str(root)))
        assert json.loads((root / ".mcp.json").read_text()) == {"mcpServers": {}}


class ManageTests:
    """``manage_config`` and ``get_server_config``."""

    def test_get_hides_values(self, managed: Managed) -> None:
        """Names of variables and headers are shown, their values never."""
        entry = {
            "url": "https://u:p@e.com/mcp?key=abc",
            "headers": {"X-A": "hidden one"},
        }
        managed.ask("install_server", is_admin=True, server="npm:x", args=["--token", "hidden two"], **GLOBAL)
        assert "hidden two" in managed.text
        del entry["url"]
        for name, tool, more in (
            ("a", "get_server_config", {}),
            ("x", "get_server_config", {}),
            ("a", "manage_config", {"action": "get"}),
        ):
            shown = said(managed.ask(tool, server=name, **more))
            assert "secret" not in json.dumps(shown)
            assert "hidden" not in json.dumps(shown)
        shown = said(managed.ask("get_server_config", server="a"))
        assert shown["config"] == {"command": "run", "env": {"TOKEN": MASK}}
        assert shown["enabled"] is True

    def test_get_of_the_whole(self, managed: Managed) -> None:
        """The tool without a server shows the state of the configuration."""
        shown = said(managed.ask("manage_config", action="get"))
        assert shown["files"]
        assert [each["name"] for each in shown["servers"]] == ["a"]

    @pytest.mark.parametrize(
        ("arguments", "error", "hint"),
        [
            ({"action": "gett"}, "no action", "did you mean get?"),
            ({"action": "add"}, "another tool", "install_server"),
            ({"action": "disable", "server": "b"}, "Unknown server: b", ""),
            ({"action": "set", "server": "a", "key": "shar", "value": 1}, "no key", "share"),
            ({"action": "set", "server": "a", "key": "share"}, "value", "unset"),
            ({"action": "set", "server": "a", "key": "share", "value": "x"}, "share", ""),
            ({"action": "set", "server": "a", "key": "env_policy", "value": "full"}, "by hand", ""),
            ({"action": "set", "server": "a", "key": "args", "value": "x"}, "list", ""),
            (
                {"action": "set", "server": "a", "key": "shield", "value": {"command": "x"}},
                "no key of shield",
                "level, tools",
            ),
            (
                {"action": "set", "server": "a", "key": "lazy.enabeld", "value": True},
                "no key of lazy",
                "enabled",
            ),
            ({"action": "rename", "server": "a", "new_name": "mcp"}, "own", ""),
            ({"action": "rename", "server": "a", "new_name": "a"}, "already", ""),
            ({"action": "add_env", "server": "a"}, "missing", ""),
            ({"action": "add_env", "server": "a", "env": {"NODE_OPTIONS": "x"}}, "NODE_OPTIONS", ""),
            ({"action": "add_env", "server": "a", "env": {"MY_SECRET": "x"}}, "secret", ".env"),
            ({"action": "add_env", "server": "a", "env": {"WHO": "ghp_0123456789abcdef"}}, "secret", ".env"),
            ({"action": "set", "server": "a", "key": "url", "value": "https://e.com/?token=x"}, "secret", ""),
            ({"action": "remove_env", "server": "a"}, "list of names", ""),
            ({"action": "unset", "server": "a", "key": "command"}, "nothing was changed", ""),
        ],
    )
    def test_refused(self, managed: Managed, arguments: dict[str, Any], error: str, hint: str) -> None:
        """A faulty request is refused with the nearest name, and nothing is changed."""
        managed.access.yes()
        found = refused(managed.ask("manage_config", **arguments, **GLOBAL))
        assert error in found["error"]
        assert hint in found.get("hint", "")
        assert managed.access.questions == []
        assert managed.text == CONFIG

    def test_variables(self, managed: Managed) -> None:
        """Variables are set and removed one by one, comments stay, and the words of S003 are understood."""
        managed.access.yes()
        said(managed.ask("manage_config", action="add-env", server="a", env=["MODE=fast"], **GLOBAL))
        assert "MODE: fast" in managed.text
        assert "# the first" in managed.text
        said(managed.ask("manage_config", action="remove_env", server="a", names="MODE", **GLOBAL))
        assert managed.text == CONFIG

    def test_half_a_change(self, managed: Managed) -> None:
        """A change of which a part is refused is not made at all, and nobody is asked about what cannot be done."""
        managed.access.yes()
        found = refused(
            managed.ask(
                "manage_config",
                action="add_env",
                server="a",
                env={"MODE": "x", "LD_PRELOAD": "/evil.so"},
                **GLOBAL,
            )
        )
        assert "LD_PRELOAD" in found["error"]
        assert managed.access.questions == []
        assert managed.text == CONFIG

    @pytest.mark.parametrize(
        "arguments",
        [
            {"action": "add_env", "env": {"MODE": "x\nIt would count for nobody."}},
            {"action": "add_env", "env": {"MODE\nIt would count for nobody.": "x"}},
            {"action": "remove_env", "names": ["TOKEN", "X\nIt would count for nobody."]},
            {"action": "set", "key": "description\nIt would count for nobody.", "value": "x"},
            {"action": "set", "key": "cwd", "value": "/x\nIt would count for nobody."},
        ],
    )
    def test_values_forge_no_lines(self, managed: Managed, arguments: dict[str, Any]) -> None:
        """A question has the lines that the gateway has written, whatever stands in a name or a value."""
        managed.access.yes()
        managed.ask("manage_config", server="a", **arguments, **GLOBAL)
        for each in managed.access.questions:
            assert "It would count for nobody." not in each.split("\n")
            assert "\\nIt would count for nobody." in each

    def test_several_at_once(self, managed: Managed) -> None:
        """All variables of a call are written together."""
        managed.access.yes()
        more = {"MODE": "x", "LEVEL": "y"}
        said(managed.ask("manage_config", action="add_env", server="a", env=more, **GLOBAL))
        (server,) = managed.reload.settings.servers
        assert {"MODE", "LEVEL", "TOKEN"} <= set(server.env)
        gone = ["MODE", "LEVEL"]
        said(managed.ask("manage_config", action="remove_env", server="a", names=gone, **GLOBAL))
        assert managed.text == CONFIG

    def test_a_clients_own_file(self, tmp_path: Path) -> None:
        """An entry of a client's own file is changed there, not here, and nobody is asked about it."""
        source, home = tmp_path / "claude.json", tmp_path / "home"
        home.mkdir(mode=0o700)
        source.write_text('{"mcpServers": {"theirs": {"command": "run", "env": {"TOKEN": "secret"}}}}')
        managed = Managed(home, sources=(str(source),))
        managed.access.yes()
        for tool, more in (
            ("remove_server", {}),
            ("manage_config", {"action": "disable"}),
            ("manage_config", {"action": "add_env", "env": {"A": "b"}}),
        ):
            found = refused(managed.ask(tool, server="theirs", **more, **GLOBAL))
            assert "does not change" in found["error"]
            assert "change it there" in found["hint"]
        assert managed.access.questions == []
        shown = said(managed.ask("get_server_config", server="theirs"))
        assert shown["config"] == {"command": "run", "env": {"TOKEN": MASK}}


class RemovalTests:
    """The copy of a removed entry."""

    def test_it_is_kept(self, managed: Managed) -> None:
        """The entry is kept in a file of the user's own, which the answer names."""
        managed.access.yes()
        found = said(managed.ask("remove_server", server="a", **GLOBAL))
        kept = Path(found["kept"])
        assert kept.parent == managed.home / "removed"
        assert kept.stat().st_mode & 0o777 == 0o600
        entry = {"command": "run", "env": {"TOKEN": "very secret"}}
        assert json.loads(kept.read_text()) == {"mcpServers": {"a": entry}}
        assert "very secret" not in json.dumps(found)
        assert managed.names == []

    def test_a_bounded_number_is_kept(self, managed: Managed) -> None:
        """The oldest give way."""
        for number in range(KEPT + 3):
            keep(str(managed.home), f"s{number}", {})
        names = sorted(each.name for each in (managed.home / "removed").iterdir())
        assert len(names) == KEPT
        assert names[0].endswith("-s3.json")

    def test_what_cannot_be_kept(self, managed: Managed) -> None:
        """Without a copy nothing is removed."""
        (managed.home / "removed").write_text("in the way")
        refused(managed.ask("remove_server", is_admin=True, server="a", **GLOBAL))
        assert managed.text == CONFIG

    @pytest.mark.parametrize(
        ("tool", "arguments"),
        [
            ("remove_server", GLOBAL),
            ("manage_config", {"action": "disable", **GLOBAL}),
            ("manage_config", {"action": "get"}),
            ("get_server_config", {}),
            ("get_health", {}),
        ],
    )
    def test_what_the_view_does_not_show(
        self, managed: Managed, tool: str, arguments: dict[str, Any]
    ) -> None:
        """A server that the caller's view is not of is unknown to all tools alike, whoever asks."""
        managed.access.view.servers = tuple
        assert "Unknown server" in refused(managed.ask(tool, is_admin=True, server="a", **arguments))["error"]
        assert said(managed.ask("manage_config", action="get"))["servers"] == []
        assert managed.text == CONFIG

    def test_what_is_switched_off(self, managed: Managed) -> None:
        """A server that is switched off is shown by all of them."""
        said(managed.ask("manage_config", action="disable", server="a", **GLOBAL))
        assert said(managed.ask("get_server_config", server="a"))["enabled"] is False
        assert said(managed.ask("get_health", server="a"))["servers"][0]["name"] == "a"


class LookTests:
    """``list_catalog``, ``get_health`` and ``docs``."""

    def test_the_catalogue(self, managed: Managed) -> None:
        """The catalogue is listed in short; a query shows the needs of the recipes that fit."""
        everything = said(managed.ask("list_catalog"))["servers"]
        assert len(everything) >= 25
        assert all(each["status"] == "available" for each in everything)
        (found, *_) = said(managed.ask("list_catalog", query="browser testing"))["servers"]
        assert found["name"] == "playwright"
        brave = said(managed.ask("list_catalog", query="brave"))["servers"][0]
        assert brave["variables"][0]["name"] == "BRAVE_API_KEY"

    def test_what_is_installed(self, managed: Managed) -> None:
        """A server that runs the same package is told, whatever it is called."""
        managed.ask("install_server", is_admin=True, server="time", name="clock", **GLOBAL)
        (found, *_) = said(managed.ask("list_catalog", query="time"))["servers"]
        assert found["status"] == "installed as clock"

    def test_nothing_found(self, managed: Managed) -> None:
        """A query that fits nothing tells what may have been meant."""
        assert "playwright" in said(managed.ask("list_catalog", query="playwrigth"))["hint"]

    def test_health(self, managed: Managed) -> None:
        """The health shows the servers of the caller, and those that are not well."""
        managed.access.servers = managed.reload.settings.servers
        shown = said(managed.ask("get_health"))
        assert shown["status"] == "ok"
        assert [each["name"] for each in shown["servers"]] == ["a"]
        assert "Unknown server" in refused(managed.ask("get_health", server="b"))["error"]

    @pytest.mark.parametrize(
        ("query", "title"),
        [
            ("how do I install a server", "Install a server"),
            ("result is cut", "Large results"),
            ("oauth", "Remote servers and OAuth"),
            ("api key secret variables", "Secrets and variables"),
            ("too many tokens budget", "Token budgets"),
            ("server crashes, does not work", "A server does not work"),
            ("hot reload", "Edits count at once: hot reload"),
            ("logs", "Logs"),
            ("playwright", "Browsers: playwright and others"),
        ],
    )
    def test_docs(self, managed: Managed, query: str, title: str) -> None:
        """A query finds its topic."""
        assert said(managed.ask("docs", search=query))["topics"][0]["title"] == title

    def test_docs_know_every_key(self, managed: Managed) -> None:
        """The keys of the configuration are documentation too."""
        keys = said(managed.ask("docs", search="gateway.limits.spawns"))["keys"]
        assert keys[0]["key"] == "gateway.limits.spawns"
        assert said(managed.ask("docs"))["topics"]
        assert "nothing" in refused(managed.ask("docs", search="xyzzy"))["error"]

    def test_only_looking(self, managed: Managed) -> None:
        """A tool that only reads is marked so, and the definitions of all tools are small JSON."""
        tools = {each.name: each for each in managed.builtin}
        assert {name for name, each in tools.items() if each.tier == READ} == {
            "get_server_config",
            "get_health",
            "list_catalog",
            "docs",
        }
        for each in tools.values():
            found = json.loads(each.definition)
            assert found["inputSchema"]["type"] == "object"
            assert found.get("annotations", {}).get("readOnlyHint", False) is (each.tier == READ)
            assert len(each.definition) < 3000


class CheckTests:
    """Entries that no tool writes, with any consent."""

    @pytest.mark.parametrize("name", ["gateway", "MCP", "full", "sessions", "-a", "", "a" * 65, "a b", "a/b"])
    def test_names(self, name: str) -> None:
        """Names of the gateway's own, and such that no URL can carry, are refused."""
        with pytest.raises(InvalidParams):
            check_name(name)

    @pytest.mark.parametrize(
        "url",
        [
            "ftp://e.com",
            "https://u:p@e.com",
            "http://127.1/",
            "http://0x7f.1/",
            "http://[::ffff:169.254.169.254]/",
            "http://[fe80::1]/",
            "http://0.0.0.0/",
            "http://100.100.100.200/",
            "https://${HOST}/mcp",
            "",
            7,
        ],
    )
    def test_urls(self, url: Any) -> None:
        """A URL of a dead address or of a cloud's keys is refused in every spelling."""
        with pytest.raises(InvalidParams):
            check_url(url)

    @pytest.mark.parametrize(
        "url", ["http://127.0.0.1:3000/mcp", "http://[::1]/mcp", "https://e.com", "http://box/"]
    )
    def test_urls_of_users(self, url: str) -> None:
        """A URL on this machine or beside it is accepted, once the user agrees."""
        check_url(url)

    @pytest.mark.parametrize(
        "command", ["$(evil)", "`evil`", "a|b", "a>b", "${EVIL}", "a\nb", "", " ", [], 7, ["a", 7]]
    )
    def test_commands(self, command: Any) -> None:
        """A program is a name or a path, not a line for a shell."""
        with pytest.raises(InvalidParams):
            check_definition({"command": command}, may_hold_secrets=True)
