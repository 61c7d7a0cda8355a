"""Clients' files are led here and given back by real programs: killed, two at a time, and with a real gateway."""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.clients import PROGRAM, House
from tests.support.far import Pipe, Server
from tests.support.gateway import IS_SOAK, LIMIT_S, Gateway, eventually

pytestmark = pytest.mark.functional

OTHER = {"command": "/bin/cat"}
NOTES = {"command": sys.executable, "args": ["-P", "-m", "mcpgateway.demo.notebook"]}
CLIENTS = ["claude-code", "cursor", "vscode", "codex", "continue", "opencode"]
APPLY = ("clients", "apply", "--yes", "--fail-open")  # which needs no gateway
KILLS = 12 if IS_SOAK else 2  # every operation has its turn elsewhere


@pytest.fixture
def house(tmp_path: Path) -> House:
    """A user's home with files of six clients in it, as people write them."""
    made = House(tmp_path)
    for each in CLIENTS:
        made.write_sample(each)
    return made


def contents(house: House) -> dict[str, bytes]:
    """The contents of all files."""
    return {each: house.place(each).read_bytes() for each in CLIENTS}


def leftovers(house: House) -> list[str]:
    """The files that programs have left beside the clients'."""
    return [
        name for each in CLIENTS for name in os.listdir(house.place(each).parent) if ".mcpgateway-" in name
    ]


class CommandTests:
    """The commands as programs."""

    def test_there_and_back(self, house: House) -> None:
        """All files lead here, a second time writes nothing, and they come back to the byte."""
        before = contents(house)
        code, out, err = house.ran(*APPLY, "--json")
        assert code == 0, err
        assert {each["client"] for each in json.loads(out)["files"] if each["adopted"]} == set(CLIENTS)
        led, written = contents(house), [house.place(each).stat().st_ino for each in CLIENTS]
        assert all(led[each] != before[each] for each in CLIENTS)
        assert house.ran(*APPLY)[0] == 0
        assert [house.place(each).stat().st_ino for each in CLIENTS] == written
        assert house.ran("clients", "undo")[0] == 0
        assert contents(house) == before
        assert leftovers(house) == []

    @pytest.mark.parametrize(
        "command", ["apply", *(pytest.param(each, marks=pytest.mark.soak) for each in ("undo", "disable"))]
    )
    def test_killed(self, house: House, command: str) -> None:
        """Killed at any moment, every file is one of the two, and undo gives back what was there before."""
        before = contents(house)
        house.ran(*APPLY)
        led = contents(house)
        if command == "apply":
            house.ran("clients", "undo")
        words = {"apply": [*APPLY], "undo": ["clients", "undo"], "disable": ["disable"]}[command]
        begins = time.monotonic()
        house.ran(*words)
        takes_s = time.monotonic() - begins
        dice = random.Random(7)
        for _ in range(KILLS):
            house.ran(*APPLY)
            if command == "apply":
                house.ran("clients", "undo")
            with house.started(*words) as process:
                with_limit = takes_s * dice.uniform(0.3, 1.0)
                try:
                    process.wait(with_limit)
                except subprocess.TimeoutExpired:
                    process.kill()
                process.communicate(timeout=LIMIT_S)
            found = contents(house)
            assert all(found[each] in (before[each], led[each]) for each in CLIENTS)
            code, _, err = house.ran("clients", "undo")
            assert code == 0, err
            assert contents(house) == before
            assert leftovers(house) == []

    def test_two_at_once(self, house: House) -> None:
        """Two that begin at the same time do it once, and both are content."""
        before = contents(house)
        one, other = (house.started(*APPLY, "--json") for _ in range(2))
        with one, other:
            answers = [json.loads(each.communicate(timeout=LIMIT_S)[0]) for each in (one, other)]
        assert [one.returncode, other.returncode] == [0, 0]
        assert sorted(each["changed"] for each in answers) == [False, True]
        assert house.ran("clients", "undo")[0] == 0
        assert contents(house) == before

    def test_writer_meanwhile(self, house: House) -> None:
        """The lines that a client writes while its file is led here and given back are all there afterwards."""
        house.write(house.claude, {"one": PROGRAM}, counted=[])
        code = (
            "import json, os, sys, time\n"
            "path = sys.argv[1]\n"
            "for n in range(60):\n"
            "    found = json.load(open(path))\n"
            "    found['counted'].append(n)\n"
            "    with open(path + '.own', 'w') as file:\n"
            "        json.dump(found, file)\n"
            "    os.replace(path + '.own', path)\n"
            "    time.sleep(0.05)\n"
        )
        with subprocess.Popen([sys.executable, "-c", code, str(house.claude)]) as writer:
            while writer.poll() is None:
                house.ran(*APPLY, "--client", "claude-code")
                house.ran("clients", "undo", "--client", "claude-code")
        house.ran("clients", "undo")
        found = json.loads(house.claude.read_text())
        assert found["mcpServers"] == {"one": PROGRAM}
        assert found["counted"] == list(range(60))


class GatewayTests:
    """With a gateway that runs."""

    def test_started(self, tmp_path: Path) -> None:
        """Entries with the gateway's URL are only written when a gateway answers there, so it is started."""
        house = House(tmp_path)
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            house.configure(f"gateway: {{http_port: {port}}}\n")
            house.write(house.cursor, {"notes": NOTES})
            before = house.cursor.read_bytes()
            code, out, err = house.ran("clients", "apply", "--yes")
            assert (code, out) == (1, "")
            assert f"port {port}: it is in use" in err
            assert house.cursor.read_bytes() == before
        try:
            code, out, err = house.ran("clients", "apply", "--yes")
            assert (code, "The gateway was started" in out) == (0, True), out + err
            assert "notebook" in _initialized(house.servers(house.cursor)["notes"]["url"])
        finally:
            assert house.ran("stop")[0] == 0
        assert house.cursor.read_bytes() == before

    def test_served_and_followed(self, tmp_path: Path) -> None:
        """A server of a file is served at its URL, a new one is led here within a second; the whole file comes back."""
        with Gateway(tmp_path) as gateway:
            house = House(tmp_path)
            house.home = gateway.home
            house.write(house.cursor, {"notes": NOTES})
            before = house.cursor.read_bytes()
            home = ("--home", str(gateway.home))
            code, out, err = house.ran("clients", "apply", "--yes", *home)
            assert (code, "no gateway answers" in err) == (0, False), out + err
            url = house.servers(house.cursor)["notes"]["url"]
            assert url == f"http://localhost:{gateway.port}/notes/mcp"
            eventually(lambda: "notes" in _backends(gateway), "the gateway serves it")
            assert "notebook" in _initialized(url)
            house.write(house.cursor, {**house.servers(house.cursor), "more": NOTES})
            eventually(lambda: "url" in house.servers(house.cursor)["more"], "what was added leads here")
            eventually(lambda: "more" in _backends(gateway), "the gateway serves that, too")
            assert house.ran("clients", "undo", "--server", "more", *home)[0] == 0
            assert house.ran("clients", "undo", *home)[0] == 0
            assert house.servers(house.cursor) == {"notes": NOTES, "more": NOTES}
            assert json.loads(before)["mcpServers"] == {"notes": NOTES}

    def test_remote(self, tmp_path: Path) -> None:
        """With --remote the gateway reaches a server with a URL with the client's headers, which leave the file."""
        with Server.python() as server, closing(Pipe(server.port)) as pipe, Gateway(tmp_path) as gateway:
            house = House(tmp_path)
            house.home = gateway.home
            far = {
                "type": "http",
                "url": f"http://127.0.0.1:{pipe.port}/mcp",
                "headers": {"Authorization": "Bearer hush-hush"},
            }
            open_to_all = {"url": server.url}
            house.write(house.claude, {"far": far, "open": open_to_all})
            before = house.claude.read_bytes()
            home = ("--home", str(gateway.home))
            code, out, err = house.ran("clients", "apply", "--yes", *home)
            assert (code, house.claude.read_bytes()) == (0, before), out + err
            stays = " stay as they are, since they are reached by URL; mcpgateway clients apply --remote"
            assert stays in " ".join(out.split())
            assert "clients apply --remote" in out
            code, out, err = house.ran("clients", "plan", "--remote", "--diff", *home)
            assert (code, "hush-hush" in out + err, "far, open" in out) == (0, False, True), out + err
            code, out, err = house.ran("clients", "apply", "--remote", "--fail-open", "--yes", *home)
            assert code == 0, out + err
            # Only the one without a credential may have been signed in at by its client.
            assert "mcpgateway servers login open signs the gateway in" in err
            assert "login far" not in err
            url = f"http://localhost:{gateway.port}/far/mcp"
            assert house.servers(house.claude)["far"] == {"type": "http", "url": url}
            eventually(lambda: {"far", "open"} <= set(_backends(gateway)), "the gateway serves them")
            assert '"serverInfo"' in _initialized(url)
            assert b"bearer hush-hush" in bytes(pipe.seen).lower()
            code, out, err = house.ran("clients", "undo", *home)
            assert (code, house.claude.read_bytes()) == (0, before), out + err
            eventually(lambda: "far" not in _backends(gateway), "the gateway serves them no more")


def _backends(gateway: Gateway) -> list[str]:
    return [each["name"] for each in gateway.health()["backends"]]


def _initialized(url: str) -> str:
    params = {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "t", "version": "1"},
    }
    body = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}
    request = urllib.request.Request(
        url.replace("localhost", "127.0.0.1"),
        json.dumps(body).encode(),
        {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"},
    )
    with urllib.request.urlopen(request, timeout=LIMIT_S) as answer:
        return answer.read().decode()
