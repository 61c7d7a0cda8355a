"""Servers over REST: looking, adding, replacing, changing, removing, starting and stopping, on real files."""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from mcpgateway.config.diff import Change
from mcpgateway.config.edit.edits import Put
from mcpgateway.config.read import parse
from mcpgateway.frontends.http.peers import HttpPeer
from mcpgateway.frontends.http.routes import class_of, leading_to
from mcpgateway.frontends.rest.openapi import REFUSALS
from mcpgateway.frontends.rest.schemas import SCHEMAS
from mcpgateway.manage.config_edits import carry_out
from mcpgateway.policy.access import AccessPolicy, Reach, RouteClass
from mcpgateway.policy.secrets.shapes import MASK
from tests.support.gateway_in_memory import HELLO, Answer, MemoryGateway
from tests.support.managed import Managed

ADMIN = {"Authorization": "Bearer admin-token"}
USER = {"Authorization": "Bearer bearer-token"}
SERVERS = "/api/v1/servers"
CONFIG = """\
# mine
servers:
  a:  # the first
    command: run
    env: {TOKEN: "very secret"}
    headers: {X-Key: "also secret"}
  b:
    command: [run, --password, "hush"]
    env: ["MODE=x"]
    disabled: false
"""
THEIRS = '{"mcpServers": {"theirs": {"command": "run"}}}'


class Filed(MemoryGateway):
    """A gateway in memory whose servers stand in files."""

    def __init__(self, home: Path, config: str = CONFIG) -> None:
        super().__init__(policy=AccessPolicy(allow_remote=True))
        source = home.parent / "client.json"
        source.write_text(THEIRS)
        self.managed = Managed(home, config, (str(source),))
        self.reload, self.home = self.managed.reload, str(home)
        self.reload.apply = self._apply
        self.serve(*self.reload.settings.servers)
        self.launcher.hello = {**HELLO, "capabilities": {}}
        self.admin = self.client("a", **ADMIN)

    def _apply(self, change: Change) -> None:
        self.serve(*change.settings.servers)

    @property
    def text(self) -> str:
        """The configuration file."""
        return self.managed.text

    def ask(self, method: str, path: str = "", body: Any = b"", **headers: str) -> Answer:
        """Ask as an administrator."""
        answer = self.client("a", **ADMIN).ask(body, method, f"{SERVERS}{path}", **headers)
        described(method, f"{SERVERS}{path}".partition("?")[0], answer)
        return answer

    def tag(self, name: str) -> str:
        """The tag of an entry."""
        return self.ask("GET", f"/{name}").headers["etag"]

    def runs(self, name: str) -> str:
        """The state of a server."""
        found: str = self.ask("GET", f"/{name}").json["status"]
        return found


def described(method: str, path: str, answer: Answer) -> None:
    """See that an answer is one of those that the description of the API tells of."""
    route = next(each for each in leading_to(path.encode()) if method in each.methods)
    assert answer.status in route.gives or str(answer.status) in REFUSALS
    shape = {"$ref": f"#/components/schemas/{route.gives.get(answer.status, 'Error')}"}
    jsonschema.validate(answer.json, {**shape, "components": {"schemas": SCHEMAS}})


@pytest.fixture
def gateway(tmp_path: Path) -> Filed:
    """A gateway with a configuration file, and a client's own."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    return Filed(home)


class AccessTests:
    """Tokens, and the changes that each is good for."""

    @pytest.mark.parametrize(
        ("method", "path", "expected"),
        [
            ("GET", "", RouteClass.READ),
            ("GET", "/a", RouteClass.READ),
            ("POST", "", RouteClass.ADMIN),
            ("PUT", "/a", RouteClass.ADMIN),
            ("PATCH", "/a", RouteClass.MUTATE),
            ("DELETE", "/a", RouteClass.MUTATE),
            ("POST", "/a/start", RouteClass.MUTATE),
            ("POST", "/a/stop", RouteClass.MUTATE),
            ("POST", "/a/restart", RouteClass.MUTATE),
            ("POST", "/a/reset-circuit", RouteClass.MUTATE),
            ("POST", "/start", RouteClass.MUTATE),
            ("POST", "/stop", RouteClass.MUTATE),
        ],
    )
    def test_classes(self, method: str, path: str, expected: RouteClass) -> None:
        """A request that says which program runs is for administrators; others need the token."""
        assert class_of(method.encode(), (SERVERS + path).encode()) is expected

    @pytest.mark.parametrize("headers", [{}, USER, {"Authorization": "Bearer wrong"}])
    def test_nothing_is_added_without_the_admin_token(self, gateway: Filed, headers: dict[str, str]) -> None:
        """A request without the admin token adds no server, and starts none."""
        body = {"name": "evil", "config": {"command": "run"}}
        assert gateway.client("a", **headers).ask(body, "POST", SERVERS).status == 401
        assert gateway.client("a", **headers).ask(body, "PUT", f"{SERVERS}/evil").status == 401
        assert (gateway.text, gateway.launcher.children) == (CONFIG, [])

    @pytest.mark.parametrize(
        "patch",
        [
            {"add_env": ["A=1"]},
            {"remove_env": ["TOKEN"]},
            {"add_headers": {"A": "1"}},
            {"set": {"command": "other"}},
            {"set": {"timeout": 5, "env.A": "1"}},
            {"unset": ["env"]},
        ],
    )
    def test_values_need_the_admin_token(self, gateway: Filed, patch: dict[str, Any]) -> None:
        """The values that a server is given are as powerful as its program; the answer says which token."""
        answer = gateway.client("a", **USER).ask(patch, "PATCH", f"{SERVERS}/a")
        assert (answer.status, "admin.token" in answer.json["hint"]) == (403, True)
        assert gateway.text == CONFIG

    def test_headers_of_a_program(self, gateway: Filed) -> None:
        """A program is sent no headers, and nothing is changed."""
        answer = gateway.ask("PATCH", "/a", {"add_headers": {"A": "1"}})
        assert (answer.status, "is sent no headers" in answer.json["error"]) == (400, True)
        assert gateway.text == CONFIG

    def test_another_machine(self, gateway: Filed) -> None:
        """A program to run cannot be named from another machine, even with the admin token, unless the
        settings allow it.
        """
        gateway.factory.shared.introduce = lambda transport: HttpPeer(transport.getPeer(), Reach.REMOTE)
        asked: tuple[tuple[str, str, Any], ...] = (
            ("POST", "", {"name": "c", "config": {"command": "run"}}),
            ("POST", "", {"name": "c", "config": {"docker": "image"}}),
            ("PUT", "/a", {"config": {"command": "other"}}),
            ("PATCH", "/a", {"add_env": ["A=1"]}),
        )
        for method, path, body in asked:
            assert gateway.ask(method, path, body, If_Match="*").status == 403
        assert (gateway.text, gateway.launcher.children) == (CONFIG, [])
        far = {"name": "far", "config": {"url": "https://far.example/mcp", "enabled": False}}
        assert gateway.ask("POST", "", far).status == 201
        assert gateway.ask("PATCH", "/far", {"add_headers": {"A": "1"}}).status == 200
        assert gateway.ask("PATCH", "/far", {"set": {"headers.B": "2"}}).status == 200
        assert gateway.ask("PATCH", "/far", {"set": {"command": "run"}, "unset": ["url"]}).status == 403
        gateway.settings = evolve(
            gateway.settings, gateway=evolve(gateway.settings.gateway, remote_commands=True)
        )
        gateway.reload.settings = evolve(gateway.reload.settings, gateway=gateway.settings.gateway)
        assert gateway.ask("POST", "", asked[0][2]).status == 202

    def test_the_token_switches(self, gateway: Filed) -> None:
        """On, off, what only says how it is used, and another name need no more than the token."""
        client = gateway.client("a", **USER)
        assert client.ask({"disabled": True}, "PATCH", f"{SERVERS}/a").status == 200
        assert (
            client.ask({"set": {"timeout": "5s", "disabled": False}}, "PATCH", f"{SERVERS}/a").status == 200
        )
        assert client.ask({"new_name": "c"}, "PATCH", f"{SERVERS}/a").status == 200


class LookTests:
    """Servers as they are shown."""

    def test_all(self, gateway: Filed) -> None:
        """Every server, in the order of the configuration."""
        found = gateway.ask("GET").json
        assert [each["name"] for each in found] == ["a", "b", "theirs"]
        assert found[0]["env_keys"] == ["TOKEN"]
        assert "tools" not in found[0]

    def test_one(self, gateway: Filed) -> None:
        """The answer on a server has its state and its definition."""
        answer = gateway.ask("GET", "/b")
        assert answer.status == 200
        found = answer.json
        assert (found["status"], found["transport"], found["enabled"]) == ("stopped", "stdio", True)
        assert (found["restart_count"], found["env_keys"], found["header_keys"]) == (0, ["MODE"], [])
        assert found["config"]["env"] == [f"MODE={MASK}"]
        assert re.fullmatch(r'"[0-9a-f]{24}"', answer.headers["etag"])

    def test_no_value_is_shown(self, gateway: Filed) -> None:
        """A value is not shown: neither of variables, nor of headers, nor one that looks like a password."""
        for path in ("", "/a", "/b"):
            assert not re.search("secret|hush", gateway.ask("GET", path).body.decode())

    def test_while_it_runs(self, gateway: Filed) -> None:
        """A server that runs has a process."""
        gateway.session("a")
        found = gateway.ask("GET", "/a").json
        assert (found["status"], found["pid"], found["sessions"]) == ("running", 1000, 1)

    def test_none(self, gateway: Filed) -> None:
        """An unknown name is 404, with the one that may be meant."""
        for method, path in (
            ("GET", "/theirz"),
            ("DELETE", "/theirz"),
            ("PATCH", "/theirz"),
            ("POST", "/theirz/stop"),
            ("POST", "/theirz/start"),
            ("POST", "/theirz/restart"),
            ("POST", "/theirz/reset-circuit"),
        ):
            answer = gateway.ask(method, path, {"disabled": True})
            assert answer.status == 404, path
            assert answer.json == {"error": "Unknown server: theirz", "hint": "did you mean theirs?"}


class AddTests:
    """``POST /api/v1/servers``."""

    def test_a_server(self, gateway: Filed) -> None:
        """A server is written to the configuration, started, and can be looked at where the answer says."""
        answer = gateway.ask("POST", "", {"name": "c", "config": {"command": "run", "args": ["x"]}})
        assert answer.status == 202
        assert answer.json["status"] == "accepted"
        assert answer.headers["location"] in answer.json["hint"]
        assert answer.headers["etag"] == gateway.tag("c")
        assert "# the first" in gateway.text
        assert gateway.child.launched is not None
        assert gateway.child.launched.argv == ("run", "x")
        assert gateway.runs("c") == "running"

    def test_one_that_is_off(self, gateway: Filed) -> None:
        """A server that is off is added, and not started."""
        for name, off in (("c", {"disabled": True}), ("d", {"enabled": False})):
            answer = gateway.ask("POST", "", {"name": name, "config": {"command": "run", **off}})
            assert (answer.status, answer.json) == (201, {"status": "added"})
            assert gateway.runs(name) == "disabled"
        assert gateway.launcher.children == []

    def test_one_that_is_there(self, gateway: Filed) -> None:
        """A name is taken once, whoever has it, and however it is defined."""
        for name in ("a", "theirs"):
            answer = gateway.ask("POST", "", {"name": name, "config": {"command": "run"}})
            assert (answer.status, name in answer.json["error"]) == (409, True)
        assert gateway.text == CONFIG

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"[]",
            b"{",
            {"config": {"command": "run"}},
            {"name": "c"},
            {"name": "c", "config": []},
            {"name": "c", "config": {}},
            {"name": 1, "config": {"command": "run"}},
            *(
                {"name": name, "config": {"command": "run"}}
                for name in ("", "-c", "a__b", "../c", "c d", "c\n", "x" * 65, "admin", "api", "gateway", "ü")
            ),
            *(
                {"name": "c", "config": config}
                for config in (
                    {"args": ["x"]},
                    {"command": ""},
                    {"command": "run; rm -rf /"},
                    {"command": "run x"},
                    {"command": "-x"},
                    {"command": "$(x)"},
                    {"command": 1},
                    {"command": []},
                    {"command": "run", "args": "x"},
                    {"command": "run", "args": ["x\0"]},
                    {"command": "run", "url": "http://x/"},
                    {"command": "run", "comand": "x"},
                    {"url": "ftp://x"},
                    {"url": "http://169.254.169.254/"},
                    {"url": "http://2130706433/"},
                    {"url": "http://0x7f.1/"},
                    {"url": "http://user:word@x/"},
                    {"command": "run", "share": "everybody"},
                    {"command": "run", "timeout": "soon"},
                    {"command": "run", "env": {"A": "x\ny"}},
                    {"command": "run", "env": {"A": "x\0"}},
                    {"command": "run", "env": ["A"]},
                    {"command": "run", "env": 7},
                    {"url": "http://x/", "headers": {"X-A": "x\r\nHost: y"}},
                    {"url": "http://x/", "headers": {"Host": "y"}},
                    {"url": "http://x/", "headers": {"Transfer-Encoding": "chunked"}},
                    {"url": "http://x/", "headers": {"X A": "y"}},
                )
            ),
        ],
    )
    def test_nonsense(self, gateway: Filed, body: Any) -> None:
        """A definition that cannot be a server is the caller's mistake; no file is written, and no program started."""
        answer = gateway.ask("POST", "", body)
        assert answer.status == 400, answer.body
        assert answer.json["error"]
        assert (gateway.text, gateway.launcher.children) == (CONFIG, [])

    @pytest.mark.parametrize(
        "name",
        "LD_PRELOAD ld_preload LD_AUDIT DYLD_INSERT_LIBRARIES PYTHONPATH PYTHONSTARTUP NODE_OPTIONS NODE_PATH PATH"
        " SHELL IFS BASH_ENV ENV GIT_SSH_COMMAND PERL5OPT RUBYOPT JAVA_TOOL_OPTIONS GCONV_PATH PS4 SHELLOPTS"
        " npm_config_registry PIP_INDEX_URL".split(),
    )
    def test_variables_that_run_other_code(self, gateway: Filed, name: str) -> None:
        """Variables that run other code (CVE-2026-12940 and its like) are refused in every form, even to
        administrators.
        """
        config = {"command": "run", "env": {name: "x"}}
        answers = [
            gateway.ask("POST", "", {"name": "c", "config": config}),
            gateway.ask("POST", "", {"name": "c", "config": {"command": "run", "env": [f"{name}=x"]}}),
            gateway.ask("POST", "", {"name": "c", "config": {"command": "run", "environment": {name: "x"}}}),
            gateway.ask("PUT", "/c", {"config": config}),
            gateway.ask("PUT", "/a", {"config": config}, If_Match="*"),
            gateway.ask("PATCH", "/a", {"add_env": {name: "x"}}),
            gateway.ask("PATCH", "/b", {"add_env": [f"{name}=x"]}),
        ]
        assert {each.status for each in answers} == {400}
        assert (gateway.text, gateway.launcher.children) == (CONFIG, [])

    def test_a_value_that_nobody_has(self, gateway: Filed) -> None:
        """A variable without a value is told of at once."""
        config = {"command": "run", "env": {"A": "${NOBODY_HAS_IT}"}}
        answer = gateway.ask("POST", "", {"name": "c", "config": config})
        assert (answer.status, "NOBODY_HAS_IT" in answer.json["error"]) == (400, True)

    def test_no_secret_in_an_answer(self, gateway: Filed) -> None:
        """A refused value is not repeated."""
        config = {"command": "run", "env": {"A": "hush-hush"}, "headers": {"Host": "hush-hush"}, "share": 3}
        assert "hush" not in gateway.ask("POST", "", {"name": "c", "config": config}).body.decode()

    def test_waiting(self, gateway: Filed) -> None:
        """A caller that waits is answered when the server runs, and told how it is."""
        gateway.launcher.hello = None
        gateway.admin.send({"name": "c", "config": {"command": "run"}}, "POST", f"{SERVERS}?wait=10s")
        assert gateway.admin.heard is None
        child = gateway.child
        child.answer(child.asked("initialize")[0], {"protocolVersion": "2025-11-25", "capabilities": {}})
        answer = gateway.admin.heard
        assert answer is not None
        assert (answer.status, answer.json["server"]["status"]) == (202, "running")

    def test_waiting_for_nothing(self, gateway: Filed) -> None:
        """The wait is bounded; what is said then is what is known then."""
        gateway.launcher.hello = None
        gateway.admin.send({"name": "c", "config": {"command": "run"}}, "POST", f"{SERVERS}?wait=2s")
        gateway.tick(3)
        answer = gateway.admin.heard
        assert answer is not None
        assert (answer.status, answer.json["server"]["status"]) == (202, "starting")

    def test_waiting_for_one_that_fails(self, gateway: Filed) -> None:
        """A server that fails to start is there all the same, and its state says what is wrong."""
        gateway.launcher.refuses = True
        answer = gateway.ask("POST", "?wait=10s", {"name": "c", "config": {"command": "run"}})
        assert (answer.status, answer.json["server"]["status"]) == (202, "error")
        assert "not found" in answer.json["server"]["last_error"]

    @pytest.mark.parametrize("wait", ["", "soon", "-1s", "1e9", "99999999d", "1s1s"])
    def test_a_strange_wait(self, gateway: Filed, wait: str) -> None:
        """A wait that nobody understands changes nothing."""
        answer = gateway.ask("POST", f"?wait={wait}", {"name": "c", "config": {"command": "run"}})
        assert (answer.status, gateway.text) == (400, CONFIG)


class PutTests:
    """``PUT /api/v1/servers/{name}``."""

    NEW = {"config": {"command": "run", "args": ["new"]}}

    def test_a_new_one(self, gateway: Filed) -> None:
        """A new server is added as by POST; the same once more changes nothing."""
        answer = gateway.ask("PUT", "/c", self.NEW)
        assert (answer.status, answer.json["status"]) == (202, "accepted")
        text = gateway.text
        answer = gateway.ask("PUT", "/c", self.NEW)
        assert (answer.status, answer.json) == (200, {"status": "unchanged"})
        assert gateway.text == text
        assert len(gateway.launcher.children) == 1

    def test_another(self, gateway: Filed) -> None:
        """A caller that knows the entry replaces it; comments around it stay."""
        answer = gateway.ask("PUT", "/a", self.NEW, If_Match=gateway.tag("a"))
        assert (answer.status, answer.json["status"]) == (200, "updated")
        assert "# the first" in gateway.text
        assert "very secret" not in gateway.text
        assert answer.headers["etag"] == gateway.tag("a")

    def test_retried(self, gateway: Filed) -> None:
        """A request whose answer was lost may be sent once more: the change has been made already."""
        tag = gateway.tag("a")
        assert gateway.ask("PUT", "/a", self.NEW, If_Match=tag).json["status"] == "updated"
        assert gateway.ask("PUT", "/a", self.NEW, If_Match=tag).json["status"] == "unchanged"

    def test_unsaid(self, gateway: Filed) -> None:
        """A caller does not replace an entry that he has not seen, unless he says so."""
        answer = gateway.ask("PUT", "/a", self.NEW)
        assert (answer.status, "If-Match" in answer.json["hint"]) == (428, True)
        assert gateway.text == CONFIG
        assert gateway.ask("PUT", "/a", self.NEW, If_Match="*").status == 200

    def test_outdated(self, gateway: Filed) -> None:
        """A caller that has seen another entry is told so, and nothing is changed."""
        tag = gateway.tag("a")
        carry_out(gateway.reload, Put(("a", "timeout"), 7))
        text = gateway.text
        for method, body in (("PUT", self.NEW), ("PATCH", {"disabled": True}), ("DELETE", b"")):
            assert gateway.ask(method, "/a", body, If_Match=tag).status == 412, method
        assert gateway.ask("PUT", "/nobody", self.NEW, If_Match=tag).status == 412
        assert gateway.ask("PUT", "/a", self.NEW, If_None_Match="*").status == 412
        assert gateway.ask("PUT", "/a", self.NEW, If_Match="nonsense").status == 400
        assert gateway.text == text

    def test_a_clients_own(self, gateway: Filed) -> None:
        """An entry in a client's file stays: another definition lies over it, and it is not removed."""
        answer = gateway.ask("DELETE", "/theirs", b"", If_Match="*")
        assert (answer.status, "client.json" in answer.json["error"]) == (409, True)
        answer = gateway.ask("PUT", "/theirs", self.NEW, If_Match="*")
        assert (answer.status, "client.json" in answer.json["hint"]) == (200, True)
        answer = gateway.ask("PATCH", "/theirs", {"add_env": ["A=1"]}, If_Match="*")
        assert (answer.status, "for all clients that use theirs" in answer.json["hint"]) == (200, True)
        assert Path(gateway.home).parent.joinpath("client.json").read_text() == THEIRS

    def test_a_name_that_is_another(self, gateway: Filed) -> None:
        """The path and the body do not contradict each other."""
        assert gateway.ask("PUT", "/c", {"name": "d", **self.NEW}).status == 400


class RoundTripTests:
    """Entries as they are shown, sent back."""

    def test_a_mask_is_no_value(self, gateway: Filed) -> None:
        """A mask in place of a secret is refused wherever it is sent, and the answer names its keys."""
        for name, keys in (("a", ("env.TOKEN", "headers.X-Key")), ("b", ("env.MODE", "command[2]"))):
            shown = gateway.ask("GET", f"/{name}").json["config"]
            for method, path, body in (
                ("PUT", f"/{name}", {"config": shown}),
                ("POST", "", {"name": "c", "config": shown}),
                ("PATCH", f"/{name}", {"set": shown}),
                ("PATCH", f"/{name}", {"add_env": [f"{keys[0].removeprefix('env.')}={MASK}"]}),
            ):
                answer = gateway.ask(method, path, body, If_Match="*")
                assert answer.status == 400
                assert any(each in answer.json["error"] for each in keys)
            answer = gateway.ask("PUT", f"/{name}", {"config": shown}, If_Match="*")
            assert all(each in answer.json["error"] for each in keys)
        assert gateway.text == CONFIG

    def test_without_secrets(self, tmp_path: Path) -> None:
        """Where all secrets are named by reference, what is shown is all there is."""
        entry = """\
  c:
    command: [run, --token, "${TOKEN}", "--key=${KEY}"]
    env: {A: "${A}", B: "{env:B}", C: "${keyring:service/name}", D: ""}
    rest_url: http://localhost:1/
    headers: {Authorization: "Bearer ${KEY}", X-Key: "${KEY}"}
    lazy: {idleTimeoutMs: 5}
"""
        (tmp_path / "home").mkdir()
        gateway = Filed(tmp_path / "home", CONFIG + entry)
        shown = gateway.ask("GET", "/c").json["config"]
        assert shown == parse(entry, "f.yaml").value["c"]
        (tmp_path / "home" / ".env").write_text("TOKEN=t\nKEY=k\nA=a\nB=b\n")
        answer = gateway.ask("PUT", "/c", {"config": shown})
        assert (answer.status, answer.json) == (200, {"status": "unchanged"})
        assert gateway.text == CONFIG + entry

    def test_one_key(self, gateway: Filed) -> None:
        """A key of an entry that was seen is changed, and the rest stays as it is, secrets and comments too."""
        tag = gateway.tag("a")
        body = {"set": {"timeout": "30s", "lazy.idleTimeoutMs": 60000, "env.B": "${B}"}, "unset": ["headers"]}
        answer = gateway.ask("PATCH", "/a", body, If_Match=tag)
        assert (answer.status, answer.headers["etag"]) == (200, gateway.tag("a"))
        expected = CONFIG.replace('env: {TOKEN: "very secret"}', 'env: {TOKEN: "very secret", B: "${B}"}')
        expected = expected.replace('    headers: {X-Key: "also secret"}\n', "")
        entry = parse(gateway.text, "f.yaml").value["servers"]["a"]
        assert entry == {
            "command": "run",
            "env": {"TOKEN": "very secret", "B": "${B}"},
            "timeout": "30s",
            "lazy": {"idleTimeoutMs": 60000},
        }
        assert gateway.text.startswith(
            "# mine\nservers:\n  a:  # the first\n    command: run\n    env: {TOKEN: "
        )
        assert gateway.text[gateway.text.index("  b:") :] == CONFIG[CONFIG.index("  b:") :]
        assert gateway.ask("PATCH", "/a", {"set": {"timeout": 5}}, If_Match=tag).status == 412
        assert gateway.ask("PATCH", "/a", {"unset": ["timeout", "lazy", "cwd"]}).status == 200
        assert gateway.ask("PATCH", "/a", {"unset": ["env.B"]}).status == 200
        assert gateway.text == CONFIG.replace('    headers: {X-Key: "also secret"}\n', "")

    @pytest.mark.parametrize(
        ("body", "why"),
        [
            ({"set": {"timeuot": 1}}, "timeuot"),
            ({"set": {"lazy.enabeld": True}}, "enabeld"),
            ({"set": {"timeout": "soon"}}, "timeout"),
            ({"set": {"command.x": 1}}, "command"),
            ({"set": {"env.A": 1}}, "env.A"),
            ({"set": {"env.A": "x\ny"}}, "env.A"),
            ({"set": {"env.PATH": "/tmp"}}, "PATH"),
            ({"set": {"env": {"LD_PRELOAD": "x"}}}, "LD_PRELOAD"),
            ({"set": {"headers.Host": "x"}}, "Host"),
            ({"set": {"headers.X-A": "x"}}, "is sent no headers"),
            ({"set": {"env.A": "${cmd:id}"}}, "cmd"),
            ({"set": {"command": "sh -c x"}}, "more than a program"),
            ({"set": {"name": "z"}}, "name"),
            ({"set": {"timeout": None}}, "timeout"),
            ({"set": {"env": {}, "env.A": "x"}}, "env.A"),
            ({"set": {"env.A": "x"}, "add_env": {"A": "y"}}, "env.A"),
            ({"set": {"disabled": True}, "enabled": True}, "different things"),
            ({"set": {"timeout": 1}, "unset": ["timeout"]}, "timeout"),
            ({"unset": ["command"]}, "nothing was changed"),
            ({"unset": "command"}, "unset"),
            ({"set": ["timeout"]}, "set"),
        ],
    )
    def test_refused(self, gateway: Filed, body: Any, why: str) -> None:
        """A value that cannot stand there is refused by its name, and nothing is changed."""
        answer = gateway.ask("PATCH", "/a", body)
        assert (answer.status, gateway.text) == (400, CONFIG)
        assert why in answer.json["error"] + answer.json.get("hint", "")

    def test_a_value_that_is_no_mapping(self, gateway: Filed) -> None:
        """A single value of an entry is changed as a whole, and the answer says so."""
        assert gateway.ask("PATCH", "/a", {"set": {"lazy": False}}).status == 200
        answer = gateway.ask("PATCH", "/a", {"set": {"lazy.prewarm": True}})
        assert (answer.status, answer.json["hint"]) == (400, "set lazy as a whole")

    @pytest.mark.parametrize("file", ["config.local.yaml", "config.d/more.json", "config.d/flow.yaml"])
    def test_where_it_stands(self, tmp_path: Path, file: str) -> None:
        """The change goes to the file that defines the server: an overlay or a drop-in, each in its own form."""
        home = tmp_path / "home"
        (home / "config.d").mkdir(parents=True, mode=0o700)
        texts = {
            "config.local.yaml": "# local\nservers:\n  o:\n    command: run  # here\n    env: {S: hush}\n",
            "config.d/more.json": json.dumps(
                {"mcpServers": {"o": {"command": "run", "env": {"S": "hush"}}}}, indent=1
            ),
            "config.d/flow.yaml": "servers: {o: {command: run, env: {S: hush}}} # flow\n",
        }
        (home / file).write_text(texts[file])
        gateway = Filed(home)
        assert gateway.ask("PATCH", "/o", {"set": {"timeout": 7}}).status == 200
        made = (home / file).read_text()
        (held,) = parse(made, file).value.values()
        assert held["o"] == {"command": "run", "env": {"S": "hush"}, "timeout": 7}
        assert gateway.text == CONFIG
        assert gateway.ask("PATCH", "/o", {"unset": ["timeout"]}).status == 200
        assert (home / file).read_text() == texts[file]


class ListTests:
    """Servers that stand in lists."""

    @pytest.mark.parametrize("key", ["servers", "daemons", ""])
    def test_a_life(self, tmp_path: Path, key: str) -> None:
        """Servers in a list are changed, renamed, added and removed like all others; a bare list gets no new ones."""
        (tmp_path / "home").mkdir()
        items = "- name: a  # first\n  command: run\n- {name: b, command: run}\n"
        gateway = Filed(tmp_path / "home", f"{key}:\n{items}" if key else items)
        assert gateway.ask("PATCH", "/a", {"set": {"timeout": 5}, "new_name": "z"}).status == 200
        assert "- name: z  # first\n  command: run\n  timeout: 5\n- {name: b, command: run}\n" in gateway.text
        assert gateway.ask("PUT", "/b", {"config": {"command": "other"}}, If_Match="*").status == 200
        assert gateway.ask("POST", "", {"name": "c", "config": {"command": "run"}}).status == 202
        assert {each["name"] for each in gateway.ask("GET").json} == {"z", "b", "c", "theirs"}
        assert (tmp_path / "home" / "config.local.yaml").exists() is (not key)
        for name in "zbc":
            assert gateway.ask("DELETE", f"/{name}").status == 200
        assert [each["name"] for each in gateway.ask("GET").json] == ["theirs"]


class SecretTests:
    """Secrets that are written into files."""

    WAYS: tuple[tuple[str, str, Any], ...] = (
        ("POST", "", {"name": "c", "config": {"command": "run", "env": {"KEY": "hush-hush"}}}),
        ("PUT", "/a", {"config": {"command": "run", "args": ["--token=hush-hush"]}}),
        ("PATCH", "/b", {"add_env": ["KEY=hush-hush"]}),
        ("PATCH", "/b", {"set": {"env.KEY": "hush-hush"}}),
    )

    @pytest.mark.parametrize(("method", "path", "body"), WAYS)
    def test_own(self, gateway: Filed, method: str, path: str, body: Any) -> None:
        """The file is its owner's alone from then on."""
        gateway.managed.file.chmod(0o664)
        assert gateway.ask("PATCH", "/b", {"set": {"timeout": 5}}).status == 200
        assert stat.S_IMODE(gateway.managed.file.stat().st_mode) == 0o664
        assert gateway.ask(method, path, body, If_Match="*").status in (200, 202)
        assert stat.S_IMODE(gateway.managed.file.stat().st_mode) == 0o600

    @pytest.mark.parametrize(("method", "path", "body"), WAYS)
    def test_not_ours(self, gateway: Filed, method: str, path: str, body: Any) -> None:
        """Behind a link nothing is written, and the answer says why and what to do instead."""
        kept = Path(gateway.home).parent / "dotfiles.yaml"
        gateway.managed.file.rename(kept)
        gateway.managed.file.symlink_to(kept)
        answer = gateway.ask(method, path, body, If_Match="*")
        assert (answer.status, "symbolic link" in answer.json["error"]) == (409, True)
        assert "${NAME}" in answer.json["hint"]
        assert gateway.text == CONFIG
        assert gateway.ask("PATCH", "/b", {"set": {"timeout": 5}}).status == 200


class PatchTests:
    """``PATCH /api/v1/servers/{name}``."""

    def test_variables(self, gateway: Filed) -> None:
        """Variables are set and taken away, however the entry has them; what runs is started anew with them."""
        gateway.session("b")
        answer = gateway.ask("PATCH", "/b", {"add_env": ["NEW=1"], "remove_env": ["MODE"]})
        assert answer.json == {"status": "updated", "changed": ["env"], "restarts": True}
        assert gateway.ask("GET", "/b").json["env_keys"] == ["NEW"]
        assert gateway.launcher.children[0].is_stopping
        assert gateway.child.launched is not None
        assert gateway.child.launched.env["NEW"] == "1"
        assert answer.headers["etag"] == gateway.tag("b")

    def test_one_that_does_not_run(self, gateway: Filed) -> None:
        """A server that does not run is not started for an edit, unless the caller waits for it."""
        gateway.ask("PATCH", "/a", {"add_env": ["A=1"]})
        assert gateway.launcher.children == []
        answer = gateway.ask("PATCH", "/a?wait=5s", {"add_env": ["A=2"]})
        assert answer.json["server"]["status"] == "running"

    def test_the_same_twice(self, gateway: Filed) -> None:
        """An edit that changes nothing is not written."""
        gateway.ask("PATCH", "/a", {"add_env": ["A=1"], "disabled": True})
        text = gateway.text
        assert gateway.ask("PATCH", "/a", {"add_env": ["A=1"], "disabled": True}).status == 200
        assert gateway.text == text

    def test_off_and_on(self, gateway: Filed) -> None:
        """Off, its children are stopped and none is started; on, the next who needs it has it."""
        gateway.session("a")
        gateway.ask("PATCH", "/a", {"disabled": True})
        assert (gateway.runs("a"), gateway.child.is_stopping) == ("disabled", True)
        assert gateway.ask("POST", "/a/start").status == 409
        gateway.ask("PATCH", "/a", {"disabled": False})
        assert gateway.runs("a") == "stopped"
        gateway.session("a")
        assert gateway.runs("a") == "running"

    def test_a_clients_own_is_switched(self, gateway: Filed) -> None:
        """A server of a client's file is switched off by an overlay, and the file stays as it is."""
        answer = gateway.ask("PATCH", "/theirs", {"disabled": True})
        assert (answer.status, "for all clients that use theirs" in answer.json["hint"]) == (200, True)
        assert Path(gateway.home).parent.joinpath("client.json").read_text() == THEIRS
        assert gateway.runs("theirs") == "disabled"
        gateway.ask("PATCH", "/theirs", {"disabled": False})
        assert gateway.runs("theirs") == "stopped"

    def test_another_name(self, gateway: Filed) -> None:
        """A server with another name keeps its definition."""
        answer = gateway.ask("PATCH", "/a", {"new_name": "z"})
        said = {"status": "patched", "old_name": "a", "new_name": "z"}
        files = {"client_files": [], "client_errors": ["there is no helper program here"]}
        assert answer.json == {**said, **files}
        assert gateway.ask("GET", "/z").json["env_keys"] == ["TOKEN"]
        assert gateway.ask("GET", "/a").status == 404

    def test_all_at_once(self, gateway: Filed) -> None:
        """Or nothing at all."""
        body = {"new_name": "z", "add_env": ["A=1"], "disabled": True}
        assert gateway.ask("PATCH", "/a", {**body, "new_name": "b"}).status == 409
        assert gateway.ask("PATCH", "/a", {**body, "new_name": "a__b"}).status == 400
        assert gateway.ask("PATCH", "/a", {**body, "add_env": ["PATH=/tmp"]}).status == 400
        assert gateway.text == CONFIG
        assert gateway.ask("PATCH", "/a", body).status == 200
        found = gateway.ask("GET", "/z").json
        assert (found["env_keys"], found["status"]) == (["A", "TOKEN"], "disabled")

    def test_nonsense(self, gateway: Filed) -> None:
        """A request that is no change is refused."""
        for body in (b"", b"[]", {}, {"command": "x"}, {"disabled": 1}):
            assert gateway.ask("PATCH", "/a", body).status == 400
        assert gateway.text == CONFIG


class RemoveTests:
    """``DELETE /api/v1/servers/{name}``."""

    def test_it_is_gone(self, gateway: Filed) -> None:
        """The children of a removed server are stopped, and its entry is kept."""
        gateway.session("a")
        answer = gateway.ask("DELETE", "/a", If_Match=gateway.tag("a"))
        assert (answer.status, answer.json["status"]) == (200, "removed")
        kept = json.loads(Path(answer.json["kept"]).read_text())
        assert kept["mcpServers"]["a"]["env"] == {"TOKEN": "very secret"}
        assert gateway.child.is_stopping
        assert gateway.ask("DELETE", "/a").status == 404

    def test_the_next_of_that_name(self, gateway: Filed) -> None:
        """A server that takes the name of a removed one is not disabled because that one was."""
        gateway.health.disable("a")
        gateway.ask("DELETE", "/a")
        gateway.ask("POST", "?wait=1s", {"name": "a", "config": {"command": "run"}})
        assert gateway.runs("a") == "running"


class OperateTests:
    """Starting and stopping."""

    def test_start(self, gateway: Filed) -> None:
        """A server that is started runs without a session."""
        answer = gateway.ask("POST", "/a/start?wait=5s")
        assert (answer.status, answer.json["server"]["status"]) == (200, "running")
        assert gateway.ask("POST", "/a/start").status == 202
        assert len(gateway.launcher.children) == 1
        assert len(gateway.sessions) == 0

    def test_one_for_each_session(self, tmp_path: Path) -> None:
        """A server of which each session has its own is started to see that it works, and left again."""
        home = tmp_path / "home"
        home.mkdir()
        gateway = Filed(home, "servers: {own: {command: run, share: session}}\n")
        assert gateway.ask("POST", "/own/start?wait=5s").status == 200
        assert gateway.child.is_stopping
        assert gateway.ask("POST", "/start").json["servers"] == ["theirs"]

    def test_stop(self, gateway: Filed) -> None:
        """A stopped server has no child, until a client needs it."""
        client = gateway.session("a")
        assert gateway.ask("POST", "/a/stop").json == {"status": "stopped"}
        assert gateway.runs("a") == "stopped"
        gateway.tick(100)
        assert len(gateway.launcher.children) == 1
        client.call(1)
        assert gateway.runs("a") == "running"

    def test_stop_waits_for_the_end(self, gateway: Filed) -> None:
        """The answer comes when nothing runs any more."""
        gateway.session("a")
        lingers: Deferred[None] = Deferred()
        gateway.child.lingers = lingers
        gateway.admin.send(b"", "POST", f"{SERVERS}/a/stop")
        assert gateway.admin.heard is None
        gateway.child.exit()
        lingers.callback(None)
        assert gateway.admin.heard is not None
        assert gateway.admin.heard.status == 200

    def test_stop_one_that_is_to_be_tried_again(self, gateway: Filed) -> None:
        """A server that has crashed and is stopped is not tried again unasked."""
        gateway.session("a")
        gateway.child.exit(1)
        assert gateway.runs("a") == "restarting"
        gateway.ask("POST", "/a/stop")
        gateway.tick(400)
        assert (gateway.runs("a"), len(gateway.launcher.children)) == ("stopped", 1)

    def test_all(self, gateway: Filed) -> None:
        """All at once; those that are switched off stay so."""
        gateway.ask("PATCH", "/b", {"disabled": True})
        assert gateway.ask("POST", "/start").json["servers"] == ["a", "theirs"]
        assert gateway.runs("theirs") == "running"
        assert gateway.ask("POST", "/stop").json == {"status": "stopped", "servers": ["a", "theirs"]}
        assert [gateway.runs(each) for each in ("a", "b", "theirs")] == ["stopped", "disabled", "stopped"]

    def test_restart(self, gateway: Filed) -> None:
        """A restart puts another child there for the same sessions, and no crash is counted."""
        client = gateway.session("a")
        answer = gateway.ask("POST", "/a/restart?wait=5s")
        assert (answer.status, answer.json["status"]) == (200, "restarted")
        assert answer.json["server"]["status"] == "running"
        assert (answer.json["server"]["restart_count"], len(gateway.launcher.children)) == (0, 2)
        client.call(1)
        assert gateway.child.asked("tools/call")

    def test_restart_of_one_that_does_not_run(self, gateway: Filed) -> None:
        """A restart of a server that does not run starts it."""
        assert gateway.ask("POST", "/a/restart").json == {"status": "restarted"}
        assert gateway.runs("a") == "running"

    def test_reset_circuit(self, gateway: Filed) -> None:
        """A server that was given up may be started again."""
        gateway.launcher.refuses = True
        for _ in range(5):
            gateway.ask("POST", "/a/start?wait=1s")
        assert gateway.runs("a") == "disabled"
        answer = gateway.ask("POST", "/a/start")
        assert (answer.status, "reset" in answer.json["hint"]) == (409, True)
        assert gateway.ask("POST", "/a/restart").status == 409
        gateway.launcher.refuses = False
        assert gateway.ask("POST", "/a/reset-circuit").json == {"status": "circuit reset"}
        assert gateway.ask("POST", "/a/start?wait=1s").json["server"]["status"] == "running"


@given(
    st.sampled_from(["POST", "PUT", "PATCH"]),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=6,
    ),
    st.dictionaries(
        st.sampled_from(["command", "args", "env", "url", "headers", "cwd", "share", "docker"]), st.text()
    ),
)
def test_anything(
    tmp_path_factory: pytest.TempPathFactory, method: str, body: Any, config: dict[str, Any]
) -> None:
    """The answer to any request is a documented one, with a reason, and the file can still be read."""
    home = tmp_path_factory.mktemp("any") / "home"
    home.mkdir()
    gateway = Filed(home)
    for said in (body, {"name": "c", "config": config}, {"name": "c", "config": body}):
        path = "" if method == "POST" else "/a"
        answer = gateway.ask(method, path, json.dumps(said).encode(), If_Match="*")
        assert answer.status in (200, 201, 202, 400, 409), (said, answer.body)
        assert answer.status < 400 or answer.json["error"]
    gateway.reload.read()
    assert gateway.reload.state.problems == ()
