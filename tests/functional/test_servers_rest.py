"""Servers over REST with real processes: written back byte for byte, waited for, raced for, and guarded."""

from __future__ import annotations

import json
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.support.gateway import LIMIT_S, Gateway, eventually, server
from tests.support.processes import command_line

pytestmark = pytest.mark.functional

FIXTURE = (sys.executable, "-I", "-S", str(Path(__file__).parents[1] / "servers" / "fixture.py"))
CLOCK = (sys.executable, "-m", "mcpgateway.demo.clock")
SERVERS = "/api/v1/servers"


class Said(NamedTuple):
    """An answer."""

    status: int
    headers: Any
    value: Any


def ask(
    gateway: Gateway, method: str, path: str = "", body: Any = None, token: str = "admin", **more: str
) -> Said:
    """Ask over TCP, with the token of that name."""
    headers = {name.replace("_", "-"): value for name, value in more.items()}
    if token:
        headers["Authorization"] = f"Bearer {(gateway.home / f'{token}.token').read_text().strip()}"
    data = None
    if body is not None:
        data, headers["Content-Type"] = json.dumps(body).encode(), "application/json"
    request = urllib.request.Request(f"{gateway.url}{SERVERS}{path}", data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=LIMIT_S) as answer:
            return Said(answer.status, answer.headers, json.load(answer))
    except urllib.error.HTTPError as refusal:
        return Said(refusal.code, refusal.headers, json.load(refusal))


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    """A gateway with one server."""
    with Gateway(tmp_path, {"fx": server(FIXTURE, env={"TOKEN": "very secret"})}) as running:
        yield running
        assert "very secret" not in running.log


class WholeTests:
    """The life of a server, by requests."""

    def test_a_life(self, gateway: Gateway) -> None:
        """Added and seen to run, changed, switched, restarted, renamed, removed; the file is as before at the end."""
        before = gateway.config.read_text()
        config = {"command": CLOCK[0], "args": list(CLOCK[1:])}
        said = ask(gateway, "POST", "?wait=30s", {"name": "clock", "config": config})
        assert (said.status, said.value["server"]["status"]) == (202, "running")
        eventually(
            lambda: len(ask(gateway, "GET", "/clock").value.get("tools", ())) == 2, "its tools are listed"
        )
        assert {each["name"] for each in ask(gateway, "GET").value} == {"fx", "clock"}
        (pid,) = ask(gateway, "GET", "/clock").value["pids"]
        said = ask(gateway, "PATCH", "/clock?wait=30s", {"add_env": ["A=1"]})
        assert said.value["server"]["pid"] != pid
        assert ask(gateway, "POST", "/clock/restart?wait=30s").value["server"]["status"] == "running"
        assert ask(gateway, "PATCH", "/clock", {"disabled": True}).status == 200
        eventually(lambda: ask(gateway, "GET", "/clock").value["pids"] == [], "it is stopped")
        assert ask(gateway, "PATCH", "/clock", {"new_name": "watch", "disabled": False}).status == 200
        assert ask(gateway, "POST", "/watch/start?wait=30s").value["server"]["status"] == "running"
        assert ask(gateway, "DELETE", "/watch").status == 200
        assert json.loads(gateway.config.read_text()) == json.loads(before)

    def test_a_race(self, gateway: Gateway) -> None:
        """Of many who change what they have all seen, one does, and the others are told so."""
        tag = ask(gateway, "GET", "/fx").headers["ETag"]
        statuses: list[int] = []

        def change(number: int) -> None:
            patch = {"add_env": [f"N{number}=x"]}
            statuses.append(ask(gateway, "PATCH", "/fx", patch, If_Match=tag).status)

        threads = [threading.Thread(target=change, args=(each,)) for each in range(8)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert sorted(statuses) == [200, *[412] * 7]
        entry = json.loads(gateway.config.read_text())["servers"]["fx"]
        assert len([name for name in entry["env"] if name.startswith("N")]) == 1

    def test_an_edit_by_hand(self, gateway: Gateway) -> None:
        """An edit of the file meanwhile is not overwritten: the tag is that of the file as it is."""
        tag = ask(gateway, "GET", "/fx").headers["ETag"]
        config = json.loads(gateway.config.read_text())
        config["servers"]["fx"]["timeout"] = 7
        gateway.config.write_text(json.dumps(config))
        assert ask(gateway, "PATCH", "/fx", {"disabled": True}, If_Match=tag).status == 412
        assert json.loads(gateway.config.read_text()) == config

    def test_the_tag_outlives_the_gateway(self, gateway: Gateway) -> None:
        """The tag stands for the entry in the file, also after a restart, and does not let its values be guessed."""
        tag = ask(gateway, "GET", "/fx").headers["ETag"]
        gateway.stop()
        gateway.start()
        assert ask(gateway, "GET", "/fx").headers["ETag"] == tag

    def test_a_broken_file(self, gateway: Gateway) -> None:
        """While the file has an error, nothing is written into it; what runs goes on."""
        gateway.config.write_text('{"servers": {')
        eventually(lambda: gateway.health()["config"]["problems"], "the error is seen")
        said = ask(gateway, "PATCH", "/fx", {"disabled": True})
        assert (said.status, "mend that first" in said.value["error"]) == (409, True)
        assert gateway.config.read_text() == '{"servers": {'
        assert ask(gateway, "POST", "/fx/start?wait=30s").value["server"]["status"] == "running"


class GuardTests:
    """Access to changes of servers."""

    @pytest.mark.parametrize(
        "headers",
        [
            {},
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Sec_Fetch_Site": "cross-site"},
            {"Host": "evil.example"},
            {"Host": "127.0.0.1.nip.io"},
        ],
    )
    @pytest.mark.parametrize(
        ("method", "path"), [("POST", ""), ("PUT", "/evil"), ("PATCH", "/fx"), ("DELETE", "/fx")]
    )
    def test_a_web_page_adds_nothing(
        self, gateway: Gateway, tmp_path: Path, headers: dict[str, str], method: str, path: str
    ) -> None:
        """CVE-2025-49596 and its like: without a token, whatever the page says of itself, nothing is run."""
        proof = tmp_path / "proof"
        body = {"name": "evil", "config": {"command": "touch", "args": [str(proof)]}, "disabled": True}
        before = gateway.config.read_text()
        assert ask(gateway, method, path, body, token="", **headers).status in (401, 403)
        assert gateway.config.read_text() == before
        assert not proof.exists()

    def test_no_token_stands_anywhere(self, gateway: Gateway) -> None:
        """Neither tokens nor values are in the gateway's command line, or those of its children."""
        ask(gateway, "POST", "/fx/start?wait=30s")
        secrets = [(gateway.home / f"{each}.token").read_text().strip() for each in ("auth", "admin")]
        for pid in (gateway.pid, *gateway.children()):
            words = command_line(pid).decode()
            assert not any(each in words for each in (*secrets, "very secret"))
