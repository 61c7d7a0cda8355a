"""Servers of other kinds than plain processes on stdin and stdout, over a restart of the gateway in place."""

import json
import sys

import pytest

from tests.support.far import Server
from tests.support.home import Home
from tests.support.real_servers import ROOT
from tests.support.restarting import Client, hung_up, renewed

pytestmark = pytest.mark.functional

SESSIONS = str(ROOT / "tests" / "servers" / "sessions.py")


def again(home):
    """Restart the gateway; it is the same process."""
    before = hung_up(home)
    assert renewed(home, before)["pid"] == before["pid"]
    assert "Traceback" not in home.log, home.log


def begun(home):
    """Start the gateway, detached; its home."""
    home.json("start", "--adopt", "never")
    return home


class RemoteTests:
    """Sessions at servers that are reached by URL."""

    @pytest.mark.parametrize(("options", "known"), [((), {}), (("--events",), {"type": "http"})])
    def test_session_is_kept(self, tmp_path, options, known):
        """The session goes on at the server, with its state: it is neither begun anew nor ended."""
        with Server([sys.executable, SESSIONS, "PORT", *options]) as remote:
            servers = {"far": {"url": remote.url, "share": "session", **known}}
            with Home(tmp_path, servers) as home:
                begun(home)
                clients = [Client(home.port, "/far/mcp") for _ in range(2)]
                assert [each.said("count") for each in clients] == ["1", "1"]
                before = [json.loads(each.said("facts")) for each in clients]
                again(home)
                assert [each.said("count") for each in clients] == ["2", "2"]
                after = [json.loads(each.said("facts")) for each in clients]
                assert [each["session"] for each in after] == [each["session"] for each in before]
                assert after[-1]["seen"].count("initialize") == before[-1]["seen"].count("initialize")
                assert "DELETE" not in after[-1]["seen"]
                home.run("stop")
