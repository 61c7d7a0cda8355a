"""The explanation of a server's state: facts of a running gateway, in words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mcpgateway.backends.tape import Tapes
from mcpgateway.config.document import Document
from mcpgateway.config.gateway_settings import Circuit
from mcpgateway.config.merge import World
from mcpgateway.config.model import Lazy, ServerSpec, Share
from mcpgateway.config.problems import Problem, Where
from mcpgateway.config.reach_settings import Remote
from mcpgateway.errors import NeedsAuthorization, UnknownServer
from mcpgateway.hub.health.history import HAPPENINGS, Histories, History
from mcpgateway.hub.health.lives import lives
from mcpgateway.hub.repo_servers import Approvals
from mcpgateway.interfaces import Gone
from mcpgateway.observe.why import Diagnoser
from tests.support.gateway_in_memory import HELLO, MemoryGateway

SECRET = "sk-very-secret-1234567"


def told(gateway: MemoryGateway, name: str = "shared", problems: tuple[Problem, ...] = ()) -> dict[str, Any]:
    """Return the explanation of a server."""
    why = Diagnoser(gateway.dispatcher, gateway.health, gateway.hub.tapes, lambda: problems)
    found: dict[str, Any] = json.loads(json.dumps(why.tell(name)))
    return found


def causes(found: dict[str, Any]) -> list[str]:
    """The causes that are named."""
    return [each["cause"] for each in found["advice"]]


def events(found: dict[str, Any]) -> list[str]:
    """Return the events of a server's history."""
    return [each["event"] for each in found["history"]]


@pytest.fixture
def gateway() -> MemoryGateway:
    """A gateway with one shared and one stateful server."""
    return MemoryGateway()


class WhyTests:
    """The explanation of a server."""

    def test_never_started(self, gateway: MemoryGateway) -> None:
        """A server that nobody has needed yet is well, and has no history."""
        found = told(gateway)
        assert (found["ok"], found["state"], found["history"]) == (True, "stopped", [])
        assert causes(found) == ["never-started"]

    def test_running(self, gateway: MemoryGateway) -> None:
        """A server that runs is told with its process and how it came about."""
        gateway.session()
        found = told(gateway)
        assert (found["ok"], found["state"], found["pids"], found["advice"]) == (True, "running", [1000], [])
        assert events(found) == ["child.launching", "child.ready"]
        assert found["launch"]["command"] == ["true"]
        assert found["history"][0]["at"] == "2023-11-14T22:13:20+00:00"

    def test_session_has_ended(self, gateway: MemoryGateway) -> None:
        """A server whose only session has ended is not said never to have been started."""
        client = gateway.session("own")
        assert told(gateway, "own")["starts"] == 1
        client.send(b"", "DELETE")
        gateway.tick(60)
        found = told(gateway, "own")
        assert (found["ok"], found["pids"], causes(found), found["starts"]) == (True, [], [], 1)
        assert events(found)[:2] == ["child.launching", "child.ready"]
        (life,) = [each for each in lives(gateway.dispatcher, gateway.health) if each.server.name == "own"]
        assert life.starts == 1  # a counter of the metrics, which never falls

    def test_crash_loop(self, gateway: MemoryGateway) -> None:
        """Ends, waits and the breaker's opening are told in their order, with what the program printed last."""
        gateway.session()
        gateway.launcher.hello = None
        gateway.child.exit(1, "ModuleNotFoundError: No module named 'mcp'")
        for _ in range(4):
            gateway.tick(told(gateway)["next_try_s"])
            gateway.child.exit(1, "ModuleNotFoundError: No module named 'mcp'")
        found = told(gateway)
        assert (found["ok"], found["state"]) == (False, "failed")
        assert causes(found)[0] == "missing-module"
        assert "circuit-open" in causes(found)
        assert found["breaker"]["open"]
        assert found["breaker"]["failed_starts"] == 5
        assert found["breaker"]["tries_in_seconds"] == 300
        assert found["next_try_s"] == 300
        assert found["last_end"] == {
            "code": 1,
            "signal": None,
            "text": "exit code 1",
            "stderr": found["stderr"],
        }
        assert found["stderr"] == ["ModuleNotFoundError: No module named 'mcp'"]
        assert events(found)[:5] == [
            "child.launching",
            "child.ready",
            "child.gone",
            "server.restarting",
            "child.launching",
        ]
        assert events(found)[-1] == "server.given_up"
        assert "mcp" in found["verdict"]

    def test_missing_program(self) -> None:
        """A program that is not there is told by its name, with where was looked, before its server is needed too."""
        gateway = MemoryGateway(more=(ServerSpec("gone", ("no-such-program",), {}, "/", share=Share.GLOBAL),))
        assert causes(told(gateway, "gone")) == ["command-not-found", "never-started"]
        gateway.launcher.refuses = True
        gateway.client("gone").call(1)
        found = told(gateway, "gone")
        assert causes(found)[0] == "command-not-found"
        assert found["launch"]["program"] is None
        assert found["launch"]["path"]

    def test_silent_start(self, gateway: MemoryGateway) -> None:
        """A server that prints a banner instead of an answer is explained by the banner."""
        gateway.launcher.hello = None
        gateway.client().call(1)
        gateway.child._receiver.line_received(b"Welcome to my server!")
        gateway.tick(31)
        found = told(gateway)
        assert causes(found)[:2] == ["stdout-pollution", "handshake-timeout"]
        assert "Welcome to my server!" in found["advice"][0]["says"]
        assert found["stderr"] == ["last words"]

    def test_it_runs_again(self, gateway: MemoryGateway) -> None:
        """A server that runs again is well, whatever its past."""
        gateway.launcher.refuses = True
        gateway.client().call(1)
        gateway.launcher.refuses = False
        gateway.session()
        found = told(gateway)
        assert found["ok"]
        assert (
            events(found)
            == ["child.launching", "child.start_failed", "server.restarting"][:2] + events(found)[2:]
        )

    def test_crashes(self, gateway: MemoryGateway) -> None:
        """What has ended unexpectedly in the last hour stays visible while it runs again; often it is a trouble."""
        gateway.session()
        for number in range(1, 4):
            gateway.child.exit(3, f"first\nboom {number}")
            while told(gateway)["state"] != "running":
                gateway.tick(told(gateway)["next_try_s"] or 1)
            found = told(gateway)
            (advice,) = [each for each in found["advice"] if each["cause"].startswith("crash")]
            assert found["crashes"][-1]["line"] == f"boom {number}"
            assert f"(exit code 3: boom {number})" in advice["says"]
            assert (len(found["crashes"]), found["ok"]) == (number, number < 3)
        assert (advice["cause"], found["crashes"][0]["code"]) == ("crashes", 3)
        gateway.health.reset("shared")
        assert (told(gateway)["ok"], told(gateway)["crashes"]) == (True, [])

    def test_operator(self, gateway: MemoryGateway) -> None:
        """The reason why a server is disabled is shown: an operator, or its entry."""
        gateway.session()
        gateway.health.disable("shared")
        found = told(gateway)
        assert causes(found) == ["switched-off"]
        assert events(found)[-2:] == ["server.disabled", "server.stopped"]
        off = MemoryGateway(more=(ServerSpec("off", ("true",), {}, "/", enabled=False, source="a.yaml"),))
        assert causes(told(off, "off")) == ["disabled"]
        assert "a.yaml" in told(off, "off")["advice"][0]["says"]

    def test_authorization(self, gateway: MemoryGateway) -> None:
        """Where a user has to let the gateway in, that is said and where."""
        gateway.launcher.refusal = NeedsAuthorization("open https://a.example/authorize")
        gateway.client().call(1)
        found = told(gateway)
        assert causes(found)[0] == "authorization"
        assert "https://a.example/authorize" in found["advice"][0]["says"]

    def test_stopped_for_a_reason(self) -> None:
        """A stop on purpose says what for."""
        spec = ServerSpec("idle", ("true",), {}, "/", share=Share.GLOBAL, lazy=Lazy(idle_s=10))
        gateway = MemoryGateway(more=(spec,))
        gateway.client("idle").call(1)
        gateway.child.answer(gateway.child.asked("tools/call")[0], {})
        gateway.tick(100)
        found = told(gateway, "idle")
        assert found["ok"]
        assert found["history"][-1]["text"].startswith("it is stopped: ")

    def test_secrets(self) -> None:
        """Values of variables and headers, and what stands in queries of URLs, are not told."""
        gateway = MemoryGateway(
            more=(
                ServerSpec(
                    "leaky", ("run", "--token", SECRET), {"API_TOKEN": SECRET}, "/", share=Share.GLOBAL
                ),
                ServerSpec(
                    "far", (), {}, "/", reach=Remote(f"https://h/mcp?key={SECRET}", headers={"A": SECRET})
                ),
            )
        )
        gateway.launcher.hello = None
        gateway.client("leaky").call(1)
        gateway.child.say({"jsonrpc": "2.0", "id": 1, "error": {"code": 1, "message": f"bad {SECRET}"}})
        found = told(gateway, "leaky")
        assert found["launch"]["env"] == ["API_TOKEN"]
        assert SECRET not in str(found)
        assert told(gateway, "far")["launch"]["url"].startswith("https://h/mcp?")
        assert SECRET not in str(told(gateway, "far"))

    def test_unknown(self, gateway: MemoryGateway) -> None:
        """An unknown name is answered with the nearest one."""
        with pytest.raises(UnknownServer) as why:
            told(gateway, "sharde")
        assert why.value.hint == "did you mean shared?"

    def test_problems(self, gateway: MemoryGateway) -> None:
        """Problems of an entry are shown, also of one that is not served for them; those of others are not."""
        problems = (
            Problem(Where("a.yaml", 3, "servers.shared.command"), "nothing", "a program"),
            Problem(Where("a.yaml", 9, "servers.lost"), "no command"),
        )
        found = told(gateway, "shared", problems)
        assert causes(found)[0] == "configuration"
        assert "a.yaml, line 3" in found["advice"][0]["says"]
        assert "line 9" not in str(found)
        assert causes(told(gateway, "lost", problems)) == ["configuration"]

    def test_a_repository(self, gateway: MemoryGateway, tmp_path: Path) -> None:
        """A server that a repository defines is told to wait for its user's approval, and how that is given."""
        file = tmp_path / ".mcp.json"
        file.write_text(json.dumps({"mcpServers": {"db": {"command": "/opt/db"}}}))
        scopes, home = gateway.dispatcher.scopes, tmp_path / "home"
        home.mkdir(mode=0o700)
        world = World({"PATH": "/bin"}, {}, str(tmp_path))
        scopes.repositories = Approvals(
            str(home), world, scopes.workspace, gateway.dispatcher.servers.keys, lambda: 0.0
        )
        scopes.repositories.projects = (str(tmp_path),)
        found = told(gateway, "db")
        assert (found["ok"], found["state"], causes(found)) == (False, "not approved", ["not-approved"])
        assert f"mcpgateway config approve {file}" in found["advice"][0]["do"]

    def test_everything_is_redacted(self, gateway: MemoryGateway) -> None:
        """Every text goes through the redactor."""
        why = Diagnoser(
            gateway.dispatcher,
            gateway.health,
            gateway.hub.tapes,
            tuple,
            lambda text: text.replace("true", "•"),
        )
        found = why.tell("shared")
        assert found["launch"]["command"] == ["•"]

    def test_an_overlay_that_switches_off(self) -> None:
        """The file of the overlay is named, not that of the entry below it."""
        off = ServerSpec("off", ("run",), {}, "/", share=Share.GLOBAL, enabled=False)
        gateway = MemoryGateway(more=(off,))
        document = Document("/home/u/config.yaml", {"servers": {"off": {"disabled": True}}}, lambda _: 1)
        over = document.root().at("servers").at("off")
        why = Diagnoser(
            gateway.dispatcher, gateway.health, gateway.hub.tapes, tuple, overlays=lambda _: (over,)
        )
        assert "its entry in /home/u/config.yaml switches it off" in why.tell("off")["verdict"]

    def test_the_name_of_its_entry(self) -> None:
        """A server that is served by another name is found by that of its entry, too."""
        shop = ServerSpec("files-shop", ("run",), {}, "/", share=Share.GLOBAL, title="files")
        assert told(MemoryGateway(more=(shop,)), "files")["server"] == "files-shop"

    def test_a_try_of_the_breaker(self) -> None:
        """The story of a breaker that let a try through is told to its end."""
        gateway = MemoryGateway(circuit=Circuit(restarts=1, open_s=60))
        gateway.session()
        gateway.launcher.hello = None
        gateway.child.exit(1)
        gateway.tick(5)
        gateway.child.exit(1)
        assert told(gateway)["state"] == "failed"
        gateway.launcher.hello = HELLO
        gateway.tick(61)
        found = told(gateway)
        assert found["ok"]
        assert events(found)[-3:] == ["server.half_open", "child.launching", "child.ready"]


class HistoryTests:
    """The kept history."""

    def test_bounds(self) -> None:
        """The latest happenings are kept, each text cut, and what repeats itself is one."""
        history = History(lambda: 1.0)
        for number in range(HAPPENINGS + 10):
            history.add("event", f"{number}" + "x" * 1000)
        assert len(history.happenings()) == HAPPENINGS
        assert all(len(each.text) <= 400 for each in history.happenings())
        history.add("same", "again")
        history.add("same", "again")
        assert history.happenings()[-1].times == 2

    def test_an_hour(self) -> None:
        """A crash is told of for an hour; an address that does not answer is none."""
        now = 0.0
        history = History(lambda: now)
        history.crashed(Gone(is_unreachable=True), "away")
        history.crashed(Gone(signal=9), "killed")
        now = 3599
        assert [(each.text, each.signal) for each in history.crashes()] == [("killed by signal 9", 9)]
        now = 3600
        assert history.crashes() == []

    def test_so_many_servers(self) -> None:
        """The histories of the first servers give way where names come and go without end."""
        histories = Histories(lambda: 1.0)
        first = histories.of("first")
        for number in range(600):
            histories.of(str(number))
        assert histories.of("599") is histories.of("599")
        assert histories.of("first") is not first


class TapesTests:
    """Where nothing is recorded."""

    def test_off(self, gateway: MemoryGateway) -> None:
        """The story is told without what was printed on stdout."""
        why = Diagnoser(gateway.dispatcher, gateway.health, Tapes(lambda: 0.0, 0), tuple)
        assert why.tell("shared")["ok"]
