"""The overview: its verdict, and what needs the user."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mcpgateway.config.model import ClientFile, ServerSpec, Share
from mcpgateway.errors import NeedsAuthorization
from mcpgateway.observe.overview import FINE_S, NeedAction, OpenNeed, lost_entries, verdict
from tests.support.gateway_in_memory import MemoryGateway
from tests.support.instruments import MemoryWorld

GONE = ServerSpec("gone", ("no-such-program",), {}, "/", share=Share.GLOBAL)
OFF = ServerSpec("off", ("no-such-program",), {}, "/", enabled=False)


def overview(gateway: MemoryGateway) -> dict[str, Any]:
    """The answer of ``GET /api/v1/overview``."""
    answer = gateway.client(Authorization="Bearer admin-token").ask(b"", "GET", "/api/v1/overview")
    assert answer.status == 200
    found: dict[str, Any] = answer.json
    return found


def needs(gateway: MemoryGateway) -> list[tuple[str, str]]:
    """The names and causes of the needs."""
    return [(each["name"], each["cause"]) for each in overview(gateway)["needs"]]


class OverviewTests:
    """``GET /api/v1/overview``."""

    def test_all_is_well(self) -> None:
        """Servers that run, and servers that no request has needed yet, need no user."""
        gateway = MemoryGateway()
        gateway.session()
        found = overview(gateway)
        assert (found["ok"], found["verdict"], found["needs"]) == (True, "everything works", [])
        assert found["status"] == "ok"
        assert {each["name"] for each in found["backends"]} == {"shared", "own"}

    def test_missing_program(self) -> None:
        """A server whose program is not there needs the user before it is ever started; the remedy is named."""
        found = overview(MemoryGateway(more=(GONE,)))
        assert (found["ok"], found["verdict"]) == (False, "1 thing needs you")
        (need,) = found["needs"]
        assert (need["kind"], need["name"], need["cause"]) == ("server", "gone", "command-not-found")
        assert need["says"] == "the program no-such-program is not there"
        assert need["do"].startswith("install it")

    def test_since(self) -> None:
        """A server that fails is shown with the time of its first failure, until it is ready again."""
        gateway = MemoryGateway()
        told: list[str] = []
        hello, gateway.launcher.hello = gateway.launcher.hello, None
        for attempt in range(2):
            gateway.client("shared").call(attempt)
            gateway.child.exit(3)
            told += [each["since"] for each in overview(gateway)["needs"]]
            gateway.tick(2)
        assert len(told) == 2
        assert told[0] == told[1] != ""
        gateway.launcher.hello = hello
        gateway.client("shared").call(3)
        assert overview(gateway)["needs"] == []

    def test_unreadable_file(self, tmp_path: Path) -> None:
        """A client's file that cannot be read needs the user; line and column are named, and it is read anew later."""
        gateway = MemoryGateway()
        gateway.environ["HOME"] = str(tmp_path)
        assert needs(gateway) == []
        file = tmp_path / ".codex" / "config.toml"
        file.parent.mkdir()
        file.write_text('[mcp_servers.clock]\ncommand = "clock\n')
        (need,) = overview(gateway)["needs"]
        assert (need["kind"], need["name"], need["cause"]) == ("file", str(file), "unreadable")
        assert need["says"].startswith(f"{file}, line 2, column ")
        assert need["run"] == "mcpgateway doctor"
        file.write_text('[mcp_servers.clock]\ncommand = "clock"\n')
        assert needs(gateway) == []

    def test_list(self) -> None:
        """The list of servers tells of a missing program with the words of the overview, and of no other fault."""
        gateway = MemoryGateway(more=(GONE,))
        answer = gateway.client(Authorization="Bearer admin-token").ask(b"", "GET", "/api/v1/servers")
        (need,) = overview(gateway)["needs"]
        told = {each["name"]: each.get("need") for each in answer.json}
        assert told == {
            "shared": None,
            "own": None,
            "gone": {key: need[key] for key in ("cause", "says", "do", "run", "action", "key")},
        }
        assert (need["action"], need["key"]) == ("set", "command")
        states = {each["name"]: (each["status"], each["state"]) for each in answer.json}
        assert states["gone"] == ("stopped", "not ready")

    def test_idle(self, tmp_path: Path) -> None:
        """A program that goes away while its server is idle is told of before the next call, within `FINE_S`."""
        program = tmp_path / "program"
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
        server = ServerSpec("brief", (str(program),), {}, "/", share=Share.GLOBAL)
        gateway = MemoryGateway(more=(server,), instruments=MemoryWorld(known={"brief"}).instruments)
        states = {each["name"]: each["status"] for each in overview(gateway)["backends"]}
        assert (states["brief"], needs(gateway)) == ("idle", [])
        program.unlink()
        gateway.health.now += FINE_S
        assert needs(gateway) == [("brief", "command-not-found")]

    def test_found_since(self) -> None:
        """A server that the next call starts, since its program can be used again, is as one without a fault."""
        gateway = MemoryGateway()
        gateway.launcher.refuses = True
        gateway.client().call(1)
        found = overview(gateway)
        assert (found["ok"], found["verdict"], found["needs"]) == (True, "everything works", [])
        assert {each["status"] for each in found["backends"]} == {"stopped"}

    def test_switched_off(self) -> None:
        """A server that its entry or an operator has switched off needs no user, whatever is wrong with it."""
        gateway = MemoryGateway(more=(OFF, GONE))
        gateway.health.disable("gone")
        assert needs(gateway) == []
        states = {each["name"]: each["state"] for each in overview(gateway)["backends"]}
        assert (states["off"], states["gone"]) == ("disabled", "disabled")

    def test_given_up(self) -> None:
        """A server that its circuit breaker has switched off has failed, which is not as if its user did so."""
        gateway = MemoryGateway()
        gateway.session()
        gateway.launcher.hello = None
        gateway.child.exit(1, "KeyError: 'API_KEY'")
        for _ in range(4):
            gateway.tick(overview(gateway)["backends"][0]["next_try_s"])
            gateway.child.exit(1, "KeyError: 'API_KEY'")
        (need,), (shown, _) = overview(gateway)["needs"], overview(gateway)["backends"]
        assert (shown["status"], shown["state"]) == ("disabled", "failed")
        assert (need["action"], need["key"]) == ("set", "env.API_KEY")
        why = gateway.client(Authorization="Bearer admin-token").ask(b"", "GET", "/api/v1/servers/shared/why")
        assert why.json["verdict"].startswith("shared has failed: it wants the environment variable API_KEY")
        assert why.json["advice"][0]["key"] == "env.API_KEY"

    def test_crash(self) -> None:
        """A server that ends unexpectedly needs the user until it runs again."""
        gateway = MemoryGateway()
        gateway.session()
        hello, gateway.launcher.hello = gateway.launcher.hello, None
        gateway.child.exit(1, "ModuleNotFoundError: No module named 'mcp'")
        assert [name for name, _ in needs(gateway)] == ["shared"]
        gateway.launcher.hello = hello
        gateway.tick(60)
        gateway.client().call(1)
        gateway.child.answer(gateway.child.asked("tools/call")[0], {})
        assert needs(gateway) == []

    def test_crashes(self) -> None:
        """A server that runs and crashes again and again needs the user."""
        gateway = MemoryGateway()
        gateway.session()
        for _ in range(3):
            assert needs(gateway) == []
            gateway.child.exit(1, "boom")
            while overview(gateway)["backends"][0]["status"] != "running":
                gateway.tick(overview(gateway)["backends"][0]["next_try_s"] or 1)
        (need,), (shown, _) = overview(gateway)["needs"], overview(gateway)["backends"]
        assert (need["name"], need["cause"], shown["state"]) == ("shared", "crashes", "running")
        assert need["run"] == "mcpgateway logs shared"

    def test_sign_in(self) -> None:
        """A server that demands a sign-in needs the user, and the command for it is named."""
        gateway = MemoryGateway()
        gateway.launcher.refusal = NeedsAuthorization("open https://a.example/authorize")
        gateway.client().call(1)
        (need,) = overview(gateway)["needs"]
        assert (need["name"], need["cause"]) == ("shared", "authorization")
        assert (need["action"], need["key"]) == ("sign-in", "")

    def test_actions(self) -> None:
        """A need has an id that stays, a level, its beginning, and what the buttons of a page do about it."""
        gateway = MemoryGateway(more=(GONE,))
        (first,) = overview(gateway)["needs"]
        gateway.clock.advance(90)
        (need,) = overview(gateway)["needs"]
        assert (need["id"], need["since"], need["level"]) == (first["id"], first["since"], "error")
        why, change, again = need["actions"]
        assert why == {"label": "Why", "page": "/ui/servers/gone"}
        assert change == {"label": "Change command", "page": "/ui/servers/gone/settings?key=command"}
        assert (again["label"], again["method"]) == ("Try now", "POST")
        done = gateway.client(Authorization="Bearer admin-token").ask(b"", "POST", again["path"])
        assert done.json["server"]["name"] == "gone"

    def test_actions_of_others(self) -> None:
        """A sign-in is a request, and what no route mends leads to the page that helps."""
        sign_in = OpenNeed("server", "a b", "authorization", "", "", "", "sign-in")
        assert sign_in.level == "warning"
        assert sign_in.actions()[1] == NeedAction("Sign in", "POST", "/api/v1/servers/a%20b/login")
        secret = OpenNeed("server", "x", "missing", "", "", "", "set", "env.API_KEY")
        assert [each.label for each in secret.actions()] == ["Why", "Set API_KEY", "Try now"]
        unknown = OpenNeed("server", "a b", "failed", "", "", "")
        assert unknown.actions()[1] == NeedAction("Settings", page="/ui/servers/a%20b/settings")
        pages = {
            cause: OpenNeed("gateway", "", cause, "", "", "").actions()[0].page
            for cause in ("configuration", "unknown-server", "not-approved")
        }
        assert pages == {
            "configuration": "/ui/gateway",
            "unknown-server": "/ui/add",
            "not-approved": "/ui/clients",
        }

    def test_page(self) -> None:
        """The page of the overview needs no other route: the hour, the savings and the clients are there."""
        gateway = MemoryGateway()
        client = gateway.client()
        client.initialize(clientInfo={"name": "editor", "version": "1"})
        client.call(1)
        gateway.child.answer(gateway.child.asked("tools/call")[0], {"content": [], "isError": True})
        gateway.session()
        found = overview(gateway)
        assert sum(found["calls60"]["calls"]) == sum(found["calls60"]["failed"]) == 1
        assert len(found["calls60"]["calls"]) == 60
        assert found["saved"]["processes"] == 1
        assert {each["name"]: each["sessions"] for each in found["who"]}["editor"] == 1

    def test_rights(self) -> None:
        """The overview is for the callers that may read servers' diagnoses, and for no others."""
        gateway = MemoryGateway()
        callers = [
            gateway.client(Authorization=f"Bearer {each}")
            for each in ("admin-token", "wrong", "bearer-token")
        ]
        found, why = (
            [caller.ask(b"", "GET", path).status for caller in callers]
            for path in ("/api/v1/overview", "/api/v1/servers/shared/why")
        )
        assert found == why
        assert {200, 401} <= set(found)


class VerdictTests:
    """The verdict in one sentence."""

    @pytest.mark.parametrize(
        ("number", "servers", "sentence"),
        [
            (0, 3, "everything works"),
            (0, 0, "no server is configured"),
            (1, 3, "1 thing needs you"),
            (2, 0, "2 things need you"),
        ],
    )
    def test_sentence(self, number: int, servers: int, sentence: str) -> None:
        """The number of needs comes before everything else."""
        assert verdict([object()] * number, servers) == sentence


class LostEntryTests:
    """Entries of clients' files for servers that the gateway does not have."""

    def test_one(self) -> None:
        """Such an entry needs the user, who learns its file and the command that takes it out."""
        file = ClientFile("cursor", "Cursor", "/h/.cursor/mcp.json", "fail-open", servers=("clock", "think"))
        (need,) = lost_entries([file], {"clock"})
        assert (need.kind, need.cause) == ("gateway", "unknown-server")
        assert "/h/.cursor/mcp.json has an entry for think" in need.says
        assert need.run == "mcpgateway clients undo --server think --client cursor"

    def test_others(self) -> None:
        """A file that is restored for now, or that belongs to a project, leads nowhere that needs the user."""
        project = ClientFile("claude-code", "Claude Code", "/p/.mcp.json", "http", "/p", ("think",))
        restored = ClientFile("cursor", "Cursor", "/h/m.json", "http", servers=("think",), suspended="away")
        assert list(lost_entries([project, restored], ())) == []
