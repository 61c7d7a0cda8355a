"""Tools and discovery at the command line, with a gateway and without one."""

import json
import os
import secrets
import sys
from pathlib import Path

import pytest

from tests.support import forkserver
from tests.support.gateway import BIN, MARKER, Gateway, server
from tests.support.processes import bearing

pytestmark = pytest.mark.functional

FIXTURE = (sys.executable, "-I", "-S", str(Path(__file__).parents[1] / "servers" / "fixture.py"))
SERVERS = {
    "fx": server(FIXTURE),
    "modern": server((*FIXTURE, "--era=modern")),
    "clock": server((sys.executable, "-m", "mcpgateway.demo.clock")),
}


def ran(home, *words, stdin="", **environ):
    """Run a command; its code, and what it said."""
    done = forkserver.ran(
        [BIN / "mcpgateway", "--home", home, *words],
        given=stdin,
        env={"PATH": os.environ["PATH"], "HOME": str(Path(home).parent), "LANG": "C.UTF-8", **environ},
        has_ended=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """The home of a gateway that runs."""
    with Gateway(tmp_path_factory.mktemp("cli"), SERVERS) as running:
        yield running.home


class ToolsTests:
    """``mcpgateway tools``."""

    def test_list(self, home):
        """Tools are listed as a table, and for programs as JSON."""
        code, out, _ = ran(home, "tools", "list", "--server", "clock")
        assert code == 0
        assert [line.split()[0] for line in out.splitlines()] == ["TOOL", "clock__now", "clock__convert"]
        found = json.loads(ran(home, "tools", "list", "--json")[1])["items"]
        assert {"fx__echo", "modern__echo", "clock__now"} <= {each["name"] for each in found}

    def test_as_mcp_ctl_lists(self, home, tmp_path):
        """Under the name of mcp-ctl, lists are as mcp-ctl prints them."""
        program = tmp_path / "mcp-ctl"
        program.symlink_to(BIN / "mcpgateway")
        for words in (("servers", "list"), ("tools", "list")):
            done = forkserver.ran(
                [program, "--home", home, *words, "--json"],
                env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LANG": "C.UTF-8"},
            )
            assert {"name", "description" if words[0] == "tools" else "restart_count"} <= set(
                json.loads(done.stdout)[0]
            )

    def test_search(self, home):
        """The words of what somebody wants find tools."""
        ran(home, "tools", "list")
        code, out, _ = ran(home, "tools", "search", "current", "time", "--limit", "1")
        assert code == 0
        assert "clock__" in out.splitlines()[1]

    def test_search_without_a_fit(self, home):
        """Where no tool fits, the output says where else one could be."""
        code, out, _ = ran(home, "tools", "search", "xylophone", "zzz")
        assert code == 1
        assert out.startswith("No tool fits.\n  mcpgateway tools list shows all tools\n")
        assert "mcpgateway servers search 'xylophone zzz' looks for servers" in out

    def test_offers(self, home):
        """A tool is taken out of the offer and offered again; the endpoints tell what they list."""
        assert ran(home, "tools", "off", "fx", "echo")[:2] == (0, "Not offered any more: fx__echo.\n")
        assert "fx__echo" not in ran(home, "tools", "list")[1]
        before = json.loads(ran(home, "tools", "views", "--json")[1])["items"]
        assert ran(home, "tools", "on", "fx__echo")[:2] == (0, "Offered: fx__echo.\n")
        assert "fx__echo" in ran(home, "tools", "list")[1]
        after = json.loads(ran(home, "tools", "views", "--client", "cursor", "--json")[1])["items"]
        of_all = {each["path"]: each["all_tools"] for each in before}
        assert {each["path"]: each["all_tools"] for each in after}["/mcp/full"] == of_all["/mcp/full"] + 1
        assert {"cut"} <= after[0].keys()
        assert "/mcp/full" in ran(home, "tools", "views")[1]
        assert ran(home, "tools", "off", "fx__nothing")[0] == 1

    def test_lists_of_what_waits(self, home):
        """The calls in the background, the dashboards and the files that wait each have a list, here an empty one."""
        for words, none in (
            (("tools", "jobs"), "No call runs in the background"),
            (("sessions", "dashboards"), "No dashboard is signed in"),
            (("config", "approvals"), "No file of a repository"),
        ):
            code, out, _ = ran(home, *words)
            assert (code, none in out) == (0, True)
            assert json.loads(ran(home, *words, "--json")[1])["items"] == []
        assert ran(home, "tools", "jobs", "--cancel", "none")[0] == 1
        assert ran(home, "sessions", "dashboards", "--end", "none")[0] == 1

    def test_describe(self, home):
        """A tool is shown with its arguments."""
        code, out, _ = ran(home, "tools", "describe", "clock/convert")
        assert code == 0
        assert out.startswith("clock__convert\n")
        assert "to_timezone" in out
        assert "NEEDED" in out
        assert "…" not in out

    def test_call(self, home):
        """The answer of a tool is printed, and no more; arguments come one by one, or all together."""
        assert ran(home, "tools", "call", "fx__echo", "--arg", "text=süß = 1")[:2] == (0, "süß = 1\n")
        assert ran(home, "tools", "call", "fx__echo", "--json-args", '{"text": "x"}')[1] == "x\n"
        assert ran(home, "tools", "call", "fx__echo", "--json-args", "-", stdin='{"text": "y"}')[1] == "y\n"
        code, out, _ = ran(home, "tools", "call", "fx__echo", "--arg", "text=z", "--json")
        assert (code, json.loads(out)["content"][0]["text"]) == (0, "z")

    def test_names(self, home):
        """A tool is named by its name alone, or by it and its server, in any order; JSON has all arguments."""
        assert ran(home, "tools", "call", "now", "timezone=UTC")[1].endswith("+00:00\n")
        assert ran(home, "tools", "call", "fx", "echo", '{"text": "x"}')[1] == "x\n"
        assert ran(home, "tools", "describe", "clock", "convert")[1].startswith("clock__convert\n")
        assert ran(home, "tools", "call", "echo", "fx", "text=x")[1] == "x\n"
        code, _, err = ran(home, "tools", "call", "echo", "text=x")
        assert (code, err) == (
            1,
            "mcpgateway: 2 servers have a tool echo\n  name one of them: fx__echo, modern__echo\n",
        )
        assert "did you mean clock__now?" in ran(home, "tools", "call", "clock", "noww")[2]
        assert ran(home, "tools", "describe", "now", "text")[0] == 64

    def test_missing_arguments(self, home):
        """An argument that is missing is named with its type, before the server is asked."""
        code, out, err = ran(home, "tools", "call", "clock__convert", "timezone=UTC")
        assert (code, out) == (1, "")
        assert err.startswith("mcpgateway: clock__convert needs time, to_timezone\n  time=string")
        assert "mcpgateway tools describe clock__convert" in err
        code, _, err = ran(home, "tools", "call", "clock__convert", "--json-args", '{"time": "09:30"}')
        assert (code, "clock__convert needs to_timezone" in err) == (1, True)
        assert ran(home, "tools", "call", "fx__echo", "text")[0] == 1

    def test_types(self, home):
        """An argument is text, unless the tool takes a number there."""
        assert ran(home, "tools", "call", "fx__echo", "text=1")[:2] == (0, "1\n")
        assert len(ran(home, "tools", "call", "fx__big", "bytes=300")[1]) == 301
        assert len(ran(home, "tools", "call", "fx__big", "--arg", "bytes=3000")[1]) == 3001

    def test_a_failure(self, home):
        """A tool that does not end in time, or is not there, is an error that says what to do."""
        code, _, err = ran(home, "tools", "call", "fx__mute", "--timeout", "300ms")
        assert (code, "300 ms" in err) == (1, True)
        code, _, err = ran(home, "tools", "call", "clock__noww")
        assert (code, "clock__now" in err) == (1, True)

    def test_completion(self, home):
        """A shell completes the ids of tools."""
        ran(home, "tools", "list")
        words = {"COMP_WORDS": f"mcpgateway --home {home} tools describe clock__c", "COMP_CWORD": "5"}
        code, out, err = ran(home, _MCPGATEWAY_COMPLETE="bash_complete", **words)
        assert "clock__convert" in out, (code, err)
        for begun, ends in (
            ("call convert to_", {"to_timezone="}),
            ("call clock c", {"convert"}),
            ("describe clock c", {"convert"}),
            ("call clock convert to_", {"to_timezone="}),
            ("call clock__convert time=12:00 t", {"to_timezone="}),
            ("call clock convert time=12:00 t", {"to_timezone="}),
        ):
            typed = f"mcpgateway --home {home} tools {begun}"
            words = {"COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split()) - 1)}
            out = ran(home, _MCPGATEWAY_COMPLETE="bash_complete", **words)[1]
            assert {line.partition(",")[2] for line in out.splitlines()} == ends, begun

    def test_status(self, home):
        """The one address for all servers is shown."""
        assert "/mcp" in ran(home, "status")[1]
        assert "all tools" in ran(home, "health")[1]

    def test_discover(self, home):
        """The gateway that runs asks its servers."""
        code, out, _ = ran(home, "discover", "--server", "clock")
        assert code == 0
        assert out.splitlines()[1].split()[:2] == ["clock", "2"]
        assert out.splitlines()[-1] == "2 tools of 1 server"


class AloneTests:
    """Without a gateway."""

    @pytest.fixture
    def home(self, tmp_path):
        """A home with servers, one of which cannot be started; whatever is started here ends."""
        mark = secrets.token_hex(8)
        path = tmp_path / "home"
        path.mkdir(mode=0o700)
        servers = {**SERVERS, "broken": server(("/nonexistent/program",))}
        marked = {name: {**each, "env": {MARKER: mark}} for name, each in servers.items()}
        (path / "config.json").write_text(json.dumps({"gateway": {"http_port": 0}, "servers": marked}))
        yield path
        assert bearing(f"{MARKER}={mark}") == []

    def test_tools_need_one(self, home):
        """Tools are asked of a gateway; where none runs, the exit code is 2 and it is said how one is started."""
        code, _, err = ran(home, "tools", "list")
        assert (code, "mcpgateway start" in err) == (2, True)

    def test_discover(self, home):
        """Servers are asked by the program itself; one that fails makes the exit code 1."""
        code, out, err = ran(home, "discover")
        assert code == 1, (out, err)
        rows = {line.split()[0]: line for line in out.splitlines()[1:-1]}
        assert rows["clock"].split()[1] == "2"
        assert "/nonexistent/program" in rows["broken"]
        assert {each.name for each in (home / "catalogs").iterdir()} >= {
            "clock.json",
            "fx.json",
            "modern.json",
        }

    def test_search_with_nothing_running(self, home):
        """A discovered tool is found by a gateway that has started no child."""
        assert ran(home, "--discover", "--server", "clock", "--server", "fx")[0] == 0
        started = ran(home, "start", "--port", "0", "--adopt", "never")
        assert started[0] == 0, started
        try:
            assert "clock__now" in ran(home, "tools", "search", "current time", "--server", "clock")[1]
            backends = json.loads(ran(home, "health", "--json")[1])["backends"]
            assert {each["name"]: each["pids"] for each in backends}["clock"] == []
        finally:
            assert ran(home, "stop")[0] == 0

    def test_no_such_server(self, home):
        """A name that is not there is an error that names the nearest."""
        code, _, err = ran(home, "discover", "--server", "clok")
        assert (code, "did you mean clock?" in err) == (1, True)
