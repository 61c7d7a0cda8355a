"""The configuration over REST: what counts and why, changes by key, and servers that are tried before they count."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jsonschema
import pytest

from tests.support.gateway import BIN, LIMIT_S, Gateway, eventually, server

pytestmark = pytest.mark.functional

FIXTURE = (sys.executable, "-I", "-S", str(Path(__file__).parents[1] / "servers" / "fixture.py"))
CLIENTS = {
    "mcpServers": {
        "theirs": {"command": FIXTURE[0], "args": list(FIXTURE[1:]), "env": {"THEIRS": "sekret-12345"}}
    }
}


class Said(NamedTuple):
    """An answer."""

    status: int
    headers: Any
    value: Any


def ask(
    gateway: Gateway, method: str, path: str, body: Any = None, token: str = "admin", **more: str
) -> Said:
    """Ask over TCP, with the token of that name."""
    headers = {name.replace("_", "-"): value for name, value in more.items()}
    if token:
        headers["Authorization"] = f"Bearer {(gateway.home / f'{token}.token').read_text().strip()}"
    data = None
    if body is not None:
        data, headers["Content-Type"] = json.dumps(body).encode(), "application/json"
    url = f"{gateway.url}/{'' if path.startswith('clients/') else 'api/v1'}{path}"
    request = urllib.request.Request(url, data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=LIMIT_S) as answer:
            return Said(answer.status, answer.headers, json.load(answer))
    except urllib.error.HTTPError as refusal:
        return Said(refusal.code, refusal.headers, json.load(refusal))


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway with a server of its own and one of a client's file."""
    directory = tmp_path_factory.mktemp("config")
    theirs = directory / "theirs.json"
    theirs.write_text(json.dumps(CLIENTS))
    settings = {"registry_url": "", "limits": {"spawns": 3}}
    own = {"fx": server(FIXTURE, env={"TOKEN": "very secret"}, timeout="30s")}
    with Gateway(directory, own, settings=settings, options=("--source", str(theirs))) as running:
        yield running
        assert "very secret" not in running.log


class ServerTests:
    """Keys of one server."""

    @pytest.mark.parametrize("share", ["global", "session"])
    def test_a_new_server(self, gateway: Gateway, share: str) -> None:
        """The tools of a new server are known in the answer, where that waits for the server."""
        name = f"new-{share}"  # the counts of a name outlive its server
        body = {"name": name, "config": server(FIXTURE, share=share)}
        said = ask(gateway, "POST", "/servers?wait=30s", body)
        assert said.value["server"]["tool_count"] > 1
        assert (
            ask(gateway, "POST", f"/servers/{name}/call", {"tool": "echo", "arguments": {"text": "x"}}).status
            == 200
        )
        shown = ask(gateway, "GET", f"/servers/{name}").value
        assert [shown[each] for each in ("calls_1h", "errors_1h", "reason")] == [1, 0, ""]
        assert shown["p95_ms"] > 0
        lines = gateway.config.read_text().splitlines()
        assert name in lines[shown["source_line"] - 1]
        assert (
            ask(gateway, "GET", f"/servers/{name}").value["tool_count"] == said.value["server"]["tool_count"]
        )
        assert ask(gateway, "DELETE", f"/servers/{name}").status == 200

    def test_what_a_trial_tells(self, gateway: Gateway) -> None:
        """A trial tells the tools, their size and the last output, without secrets."""
        config = server(FIXTURE, env={"FIXTURE_SAYS": "x"})
        found = ask(gateway, "POST", "/servers/validate", {"name": "tried", "config": config}).value
        assert found["passed"]
        assert "echo" in found["tools"]
        assert found["tool_tokens"] > len(found["tools"])
        assert isinstance(found["stderr"], list)

    def test_scopes_of_an_installation(self, gateway: Gateway) -> None:
        """An installation is for all clients; another scope, or a word that it does not know, is refused."""
        for body in ({"scope": "project"}, {"scop": "global"}):
            said = ask(gateway, "POST", "/catalog/time/install", body)
            assert (said.status, "scop" in said.value["error"]) == (400, True)

    def test_what_a_change_does(self, gateway: Gateway) -> None:
        """The answer names the changed keys, and whether the server restarts; secrets are set and never shown."""
        assert ask(gateway, "POST", "/servers/fx/start?wait=30s").value["server"]["status"] == "running"
        tag = ask(gateway, "GET", "/servers/fx").headers["ETag"]
        said = ask(gateway, "PATCH", "/servers/fx", {"set": {"timeout": "20s"}}, If_Match=tag)
        assert (said.value["changed"], said.value["restarts"]) == (["timeout"], False)
        assert ask(gateway, "PATCH", "/servers/fx", {"set": {"timeout": "9s"}}, If_Match=tag).status == 412
        body = {"set": {"env.KEY": "a new secret"}, "unset": ["env.TOKEN"]}
        said = ask(gateway, "PATCH", "/servers/fx?wait=30s", body, If_Match=said.headers["ETag"])
        assert (said.value["changed"], said.value["restarts"]) == (["env.KEY", "env.TOKEN"], True)
        env = json.loads(gateway.config.read_text())["servers"]["fx"]["env"]
        assert (env["KEY"], "TOKEN" in env) == ("a new secret", False)
        assert "a new secret" not in json.dumps(ask(gateway, "GET", "/servers/fx").value)
        said = ask(gateway, "PATCH", "/servers/fx", {"set": {"env.KEY": "•••"}})
        assert said.status == 400

    def test_of_a_client(self, gateway: Gateway) -> None:
        """A server of a client's file is changed by an overlay; its file stays as it is, and the values say so."""
        said = ask(gateway, "PATCH", "/servers/theirs", {"set": {"timeout": "7s"}})
        assert said.value["changed"] == ["timeout"], said.value
        assert json.loads((gateway.config.parent / "theirs.json").read_text()) == CLIENTS
        found = ask(gateway, "GET", "/config?server=theirs", token="").value
        assert found["servers"]["theirs"]["timeout"]["value"] == "7s"
        assert found["servers"]["theirs"]["timeout"]["from"].startswith(str(gateway.config))
        assert "theirs.json:1" in found["servers"]["theirs"]["command"]["from"]
        assert "sekret-12345" not in json.dumps(found)
        assert "gateway" not in found

    def test_tried_first(self, gateway: Gateway) -> None:
        """A definition, and a change of a server, are tried in the steps of servers test; no file is changed."""
        before = gateway.config.read_text()
        body = {"name": "new", "config": {"command": FIXTURE[0], "args": list(FIXTURE[1:])}}
        said = ask(gateway, "POST", "/servers/validate", body)
        assert (said.status, said.value["passed"]) == (200, True), said.value
        assert [each["step"] for each in said.value["steps"]] == ["connect", "list_tools", "ping", "close"]
        broken = {"name": "fx", "set": {"command": "/nowhere/program"}}
        said = ask(gateway, "POST", "/servers/validate", broken)
        assert said.value["passed"] is False
        assert "/nowhere/program" in said.value["steps"][0]["detail"]
        assert ask(gateway, "POST", "/servers/validate", {"name": "theirs", "set": {"env.A": "b"}}).value[
            "passed"
        ]
        assert ask(gateway, "POST", "/servers/validate", {"name": "nobody"}).status == 404
        assert ask(gateway, "POST", "/servers/validate", {**body, "name": "a b"}).status == 400
        assert ask(gateway, "POST", "/servers/validate", body, token="auth").status == 401
        assert gateway.config.read_text() == before


class GatewayTests:
    """The configuration as a whole."""

    def test_the_schema(self, gateway: Gateway) -> None:
        """The schema is that of the file, which fits it."""
        schema = ask(gateway, "GET", "/config/schema", token="").value
        jsonschema.Draft202012Validator(schema).validate(json.loads(gateway.config.read_text()))

    def test_what_counts(self, gateway: Gateway) -> None:
        """Each value has its source; files and problems are named with their lines, and no secret is shown."""
        found = ask(gateway, "GET", "/config", token="").value
        assert found["gateway"]["limits.spawns"]["value"] == 3
        assert found["gateway"]["limits.spawns"]["from"].startswith(f"{gateway.config}:")
        assert found["gateway"]["bind_address"] == {"value": "127.0.0.1", "from": "default"}
        assert {"path": str(gateway.config), "exists": True} in found["files"]
        assert "very secret" not in json.dumps(found)

    def test_a_setting(self, gateway: Gateway) -> None:
        """A setting is changed where it stands, under the tag that was seen; a wrong one leaves the file as it was."""
        seen = ask(gateway, "GET", "/config").headers["ETag"]
        body = {"set": {"limits.spawns": 5, "http_port": 0}}
        said = ask(gateway, "PATCH", "/config/gateway", body, If_Match=seen)
        assert said.status == 200, said.value
        assert {"key": "limits.spawns", "file": str(gateway.config), "counts": "at once"} in said.value[
            "changed"
        ]
        assert json.loads(gateway.config.read_text())["gateway"]["limits"]["spawns"] == 5
        before = gateway.config.read_text()
        assert ask(gateway, "PATCH", "/config/gateway", body, If_Match=seen).status == 412
        assert ask(gateway, "PATCH", "/config/gateway", body).value["status"] == "unchanged"
        for wrong in (
            {"set": {"limits.spawns": "many"}},
            {"set": {"limits.nothing": 1}},
            {"set": {"limits": {}}},
            {"set": {"registry_url": None}},
            {"set": {"public_url": "•••"}},
            {"set": {"http_port": 1}, "unset": ["http_port"]},
            {"other": 1},
            {"unset": [1]},
            {},
        ):
            said = ask(gateway, "PATCH", "/config/gateway", wrong)
            assert said.status == 400, (wrong, said.value)
            assert gateway.config.read_text() == before
        assert ask(gateway, "PATCH", "/config/gateway", body, token="auth").status == 401
        said = ask(gateway, "PATCH", "/config/gateway", {"unset": ["limits.spawns"]})
        assert said.value["changed"][0]["key"] == "limits.spawns"
        assert ask(gateway, "GET", "/config").value["gateway"]["limits.spawns"]["from"] == "default"

    def test_groups(self, gateway: Gateway) -> None:
        """Servers are in the group that a rule assigns them to, in every list; a slow rule is refused."""
        slow = {"set": {"groups": [{"match": "(f+)+x", "key": "a"}]}}
        said = ask(gateway, "PATCH", "/config/gateway", slow)
        assert (said.status, "too many ways" in str(said.value)) == (400, True)
        rule = {"match": "(?P<letter>[a-z]).*", "key": "letter {letter}", "title": "Letters"}
        said = ask(gateway, "PATCH", "/config/gateway", {"set": {"groups": [rule]}})
        assert said.status == 200, said.value
        found = {each["name"]: each for each in ask(gateway, "GET", "/servers").value}
        assert (found["fx"]["group"], found["theirs"]["group"]) == ("letter f", "letter t")
        assert found["fx"]["group_title"] == "Letters"
        told = _told(gateway, "status", "--json")
        assert json.loads(told)["groups"][0]["servers"] == ["fx"]
        assert "letter f (1 server)" in _told(gateway, "status")
        assert "GROUP" in _told(gateway, "servers", "list")
        assert "Letters: letter f" in _told(gateway, "servers", "get", "fx")
        assert ask(gateway, "GET", "/debug/dump").status == 200
        ask(gateway, "PATCH", "/config/gateway", {"unset": ["groups"]})
        assert "GROUP" not in _told(gateway, "servers", "list")

    def test_the_doctor(self, gateway: Gateway) -> None:
        """The findings are those of the command; one that needs no decision is repaired, by an administrator only."""
        token = gateway.home / "auth.token"
        token.chmod(0o644)
        found = ask(gateway, "GET", "/doctor").value
        (finding,) = [each for each in found["findings"] if each["id"].startswith("permissions.")]
        assert "auth.token" in finding["text"]
        assert finding["repair"]
        fix = f"/doctor/{finding['id']}/fix"
        assert ask(gateway, "POST", fix, token="auth").status == 401
        assert token.stat().st_mode & 0o777 == 0o644
        said = ask(gateway, "POST", fix)
        assert (said.status, said.value["repairs"][0]["why"]) == (200, "")
        assert token.stat().st_mode & 0o777 == 0o600
        assert finding["id"] not in {each["id"] for each in said.value["findings"]}
        for nothing in (finding["id"], "--home", "home"):
            assert ask(gateway, "POST", f"/doctor/{nothing}/fix").status == 404

    def test_one_client(self, gateway: Gateway, tmp_path: Path) -> None:
        """A file of a client is planned, enrolled by command and restored by an administrator; words are checked."""
        file = tmp_path / "mcp.json"
        before = json.dumps({"mcpServers": {"hers": {"command": "run", "env": {"TOKEN": "very secret"}}}})
        file.write_text(before)
        body = {"tool": "cursor", "configPath": str(file), "mode": "fail-open"}
        assert ask(gateway, "POST", "clients/plan", body, token="auth").status == 401
        said = ask(gateway, "POST", "clients/plan", body)
        assert (said.status, file.read_text()) == (200, before)
        diff = "\n".join(said.value["files"][0]["diff"])
        assert "connect" in diff
        assert "very secret" not in diff
        assert ask(gateway, "POST", "clients/apply", body).status == 200
        assert "connect" in file.read_text()
        assert ask(gateway, "POST", "clients/undo", body).status == 200
        assert file.read_text() == before
        for wrong in ({"mode": "soon"}, {"tool": "nobody"}, {"configPath": "mcp.json"}):
            assert ask(gateway, "POST", "clients/plan", {**body, **wrong}).status == 400

    def test_as_the_command_does(self, gateway: Gateway) -> None:
        """A user's file is planned as the command line plans it: as no project's, with the gateway's own servers."""
        file = gateway.directory / ".cursor" / "mcp.json"
        file.parent.mkdir()
        file.write_text(json.dumps({"mcpServers": {"hers": {"command": "run"}}}, indent=2))
        body = {"tool": "cursor", "configPath": str(file)}
        environ = {"PATH": os.environ["PATH"], "HOME": str(gateway.directory)}
        for flags, more in (
            ((), {}),
            (("--http",), {"mode": "http"}),
            (("--fail-open",), {"mode": "fail-open"}),
        ):
            words = ["clients", "plan", "cursor", "--json", "--home", str(gateway.home), *flags]
            ran = subprocess.run(
                [str(BIN / "mcpgateway"), *words],
                env=environ,
                capture_output=True,
                check=True,
                timeout=LIMIT_S,
            )
            (planned,) = json.loads(ran.stdout)["files"]
            (found,) = ask(gateway, "POST", "clients/plan", {**body, **more}).value["files"]
            assert found["diff"] == planned["diff"]
            assert "fx" in "".join(found["diff"])
        ask(gateway, "POST", "clients/apply", {**body, "mode": "http"})
        assert list(json.loads(file.read_text())["mcpServers"]) == ["hers", "fx"]
        assert "mcp-project" not in file.read_text().lower()
        assert ask(gateway, "POST", "clients/undo", body).status == 200

    def test_the_log(self, gateway: Gateway) -> None:
        """The gateway's own log is read as those of servers are: its last lines, and those after a given one."""

        def lines(**headers: str) -> list[str]:
            token = (gateway.home / "auth.token").read_text().strip()
            headers = {"Authorization": f"Bearer {token}", **headers}
            asked = urllib.request.Request(f"{gateway.url}/api/v1/log?follow=false", headers=headers)
            with urllib.request.urlopen(asked, timeout=LIMIT_S) as answer:
                return [
                    each for each in answer.read().decode().splitlines() if each.startswith(("id:", "data:"))
                ]

        found = lines()
        assert any("fx is served at" in each for each in found)
        last = found[-2].removeprefix("id: ")
        assert ask(gateway, "POST", "/servers/fx/restart?wait=30s").status == 200
        later = lines(**{"Last-Event-ID": last})
        assert later
        assert all(each.removeprefix("id: ") > last for each in later[::2])
        assert "very secret" not in "".join(found + later)

    def test_a_problem(self, gateway: Gateway) -> None:
        """A problem is named with file and line while the former settings count, and nothing is changed meanwhile."""
        before = gateway.config.read_text()
        gateway.config.write_text(before.replace('"30s"', '"soon"').replace('"20s"', '"soon"'))
        found = ask(gateway, "GET", "/config").value
        (problem,) = [each for each in found["problems"] if each["level"] == "error"]
        assert (problem["file"], problem["key"]) == (str(gateway.config), "servers.fx.timeout")
        assert problem["line"] > 0
        assert found["ok"] is False
        assert ask(gateway, "PATCH", "/config/gateway", {"set": {"ping_interval": "9s"}}).status == 409
        gateway.config.write_text(before)
        assert ask(gateway, "GET", "/config").value["ok"] is True

    def test_the_dashboard(self, gateway: Gateway) -> None:
        """Switched off, it has no page, nobody signs in, and who was signed in is refused; it comes back."""
        code = ask(gateway, "POST", "/ui/codes").value["code"]
        signed = ask(gateway, "POST", "/ui/sessions", {"secret": code}, token="").value["token"]
        bearer = {"Authorization": f"Bearer {signed}"}
        assert ask(gateway, "GET", "/tokens", token="", **bearer).status == 200
        assert _page(gateway) != 404
        ask(gateway, "PATCH", "/config/gateway", {"set": {"ui": False}})
        assert _page(gateway) == 404
        assert ask(gateway, "GET", "/tokens", token="", **bearer).status == 401
        said = ask(gateway, "POST", "/ui/codes")
        assert (said.status, "gateway.ui=true" in said.value["hint"]) == (404, True)
        ask(gateway, "PATCH", "/config/gateway", {"unset": ["ui"]})
        assert _page(gateway) != 404

    def test_restarted(self, gateway: Gateway) -> None:
        """The gateway restarts within its process, and answers again; its usual token does not suffice."""
        assert ask(gateway, "POST", "/restart", token="auth").status == 401
        before = ask(gateway, "GET", "/health").value["started_at"]
        assert ask(gateway, "POST", "/restart").value == {"status": "restarting"}
        eventually(lambda: ask(gateway, "GET", "/health").value["started_at"] != before, "it has restarted")


def _page(gateway: Gateway) -> int:
    try:
        with urllib.request.urlopen(f"{gateway.url}/ui/", timeout=LIMIT_S) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refusal:
        return refusal.code


def _told(gateway: Gateway, *words: str) -> str:
    argv = [str(BIN / "mcpgateway"), "--home", str(gateway.home), *words]
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=LIMIT_S).stdout
