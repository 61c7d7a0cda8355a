"""The JSON of every command that lists, with the members that its schema has."""

import json
import sys
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from mcpgateway.cli.listings import LISTS
from tests.functional.test_operating_by_scripts import INITIALIZE
from tests.support import forkserver
from tests.support.gateway import BIN, LIMIT_S, Gateway, server

pytestmark = pytest.mark.functional

MORE = {
    "servers search": ("--recipes", "git"),
    "tools search": ("time",),
}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway with something in each of its lists."""
    clock = server((sys.executable, "-m", "mcpgateway.demo.clock"), env={"MODE": "fast"})
    broken = server(("/no/such/program",))
    with Gateway(tmp_path_factory.mktemp("lists"), {"clock": clock, "broken": broken}) as running:
        cursor = running.directory / ".cursor" / "mcp.json"
        cursor.parent.mkdir()
        cursor.write_text(json.dumps({"mcpServers": {"theirs": {"command": "/no/such/program"}}}))
        said(running, "clients", "apply", "--yes")
        said(running, "instructions", "install", "--client", "cursor")
        body = json.dumps(INITIALIZE).encode()
        headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
        request = urllib.request.Request(f"{running.url}/clock/mcp", body, headers)
        with urllib.request.urlopen(request, timeout=LIMIT_S):
            pass
        said(running, "servers", "start", "broken")
        said(running, "tools", "call", "clock__now")
        said(running, "token", "create", "reviewer", "--server", "clock")
        yield running


def said(gateway: Gateway, *words: str) -> Any:
    """The answer of a command to a program."""
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(gateway.directory), "LANG": "C.UTF-8"}
    done = forkserver.ran(
        [BIN / "mcpgateway", "--home", gateway.home, "--json", *words], env=environ, has_ended=False
    )
    return json.loads(done.stdout)


@pytest.mark.parametrize("words", LISTS)
def test_members(gateway: Gateway, words: str) -> None:
    """A list has items, each with the members of the schema, and beside them what the schema says."""
    schema = LISTS[words]
    more = MORE.get(words, ())
    if words == "debug trace":
        more = (said(gateway, "debug", "activity")["items"][0]["id"],)
    found = said(gateway, *words.split(), *more)
    assert set(found) == {"items", *schema.more}
    assert found["items"]
    for each in found["items"]:
        assert set(schema.members) <= set(each)
        assert set(each) <= {*schema.members, *schema.optional}
