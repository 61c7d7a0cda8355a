"""Views, profiles and jobs over REST, at a gateway that runs."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.functional.test_config_rest import FIXTURE, Said, ask
from tests.support.gateway import LIMIT_S, Gateway, eventually, server

pytestmark = pytest.mark.functional


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway with two servers."""
    with Gateway(
        tmp_path_factory.mktemp("views"), {"one": server(FIXTURE), "two": server(FIXTURE)}
    ) as running:
        assert ask(running, "GET", "/tools").status == 200
        yield running


@pytest.fixture
def profile(gateway: Gateway) -> Iterator[Said]:
    """A profile of one server, without one of its tools."""
    made = ask(
        gateway, "PUT", "/profiles/office", {"include": ["one"], "tools_off": ["echo"], "description": "x"}
    )
    yield made
    ask(gateway, "DELETE", "/profiles/office")


def view(gateway: Gateway, name: str, more: str = "") -> dict[str, Any]:
    """A view, with its tools."""
    found: dict[str, Any]
    (found,) = ask(gateway, "GET", f"/views?view={name}{more}").value["items"]
    return found


class ViewTests:
    """The endpoints for several servers."""

    def test_all(self, gateway: Gateway) -> None:
        """Each view has its endpoint and its numbers: the whole list costs more than the tools that find the others."""
        found = {each["name"]: each for each in ask(gateway, "GET", "/views").value["items"]}
        assert [each["path"] for each in found.values()] == ["/mcp", "/mcp/full", "/mcp/search", "/mcp/admin"]
        assert found["mcp/full"]["servers"] == ["one", "two"]
        assert found["mcp/full"]["all_tools"] == found["mcp/search"]["all_tools"] > 10
        assert found["mcp/full"]["tokens"] > found["mcp/search"]["tokens"] > 0
        assert found["mcp/full"]["unknown"] == []

    def test_a_clients_limit(self, gateway: Gateway) -> None:
        """A client that takes ten tools is without the others, which are named."""
        every = view(gateway, "mcp/full")["listed"]
        found = view(gateway, "mcp/full", "&most=10")
        assert found["listed"] == every[:10]
        assert found["beyond"] == every[10:]

    def test_a_client_by_name(self, gateway: Gateway) -> None:
        """The limit of a known client can be asked for by its name, for one view or for all."""
        assert len(view(gateway, "mcp/full", "&client=cursor")["listed"]) <= 40
        for each in ask(gateway, "GET", "/views?client=cursor").value["items"]:
            assert each["cut"] == max(0, each["tools"] - 40)
        assert ask(gateway, "GET", "/views?most=3").value["items"][1]["cut"] > 0
        assert ask(gateway, "GET", "/views?client=nobody").status == 400

    def test_where_tools_are_listed(self, gateway: Gateway) -> None:
        """A tool tells the endpoints that list it; those that do not are found there by search."""
        tools = ask(gateway, "GET", "/tools?asked=false").value
        assert {each["server"] for each in tools} == {"one", "two"}
        for each in tools:
            assert "/mcp/full" in each["listed_on"]
            assert "/mcp/search" not in each["listed_on"]

    def test_unknown(self, gateway: Gateway) -> None:
        """A view that does not exist is told with those that do."""
        refused = ask(gateway, "GET", "/views?view=mcp/p/none")
        assert refused.status == 404
        assert "mcp/full" in refused.value["hint"]


class ProfileTests:
    """Profiles, and the endpoints that show them."""

    def test_made(self, gateway: Gateway, profile: Said) -> None:
        """A new profile is in the file, has an endpoint with its server, and is without the tool."""
        assert (profile.status, profile.value["servers"]) == (201, ["one"])
        assert '"tools_off"' in gateway.config.read_text()
        listed = view(gateway, "mcp/p/office")["listed"]
        assert "one__echo" not in listed
        assert any(each.startswith("one__") for each in listed)
        assert not any(each.startswith("two__") for each in listed)
        (shown,) = ask(gateway, "GET", "/profiles").value["items"]
        assert shown == profile.value

    def test_changed(self, gateway: Gateway, profile: Said) -> None:
        """A profile gets what a request names and loses what it does not, if its tag is the present one."""
        tag = profile.headers["ETag"]
        body = {"include": ["one", "two"]}
        assert ask(gateway, "PUT", "/profiles/office", body, If_Match='"other"').status == 412
        changed = ask(gateway, "PUT", "/profiles/office", body, If_Match=tag)
        assert (changed.status, changed.value["include"], changed.value["tools_off"]) == (
            200,
            ["one", "two"],
            [],
        )
        assert changed.value["description"] == ""
        assert "two__echo" in view(gateway, "mcp/p/office")["listed"]

    def test_emptied(self, gateway: Gateway, profile: Said) -> None:
        """A profile without anything stays, as an endpoint without servers."""
        assert ask(gateway, "PUT", "/profiles/office", {}).value["servers"] == []
        assert view(gateway, "mcp/p/office")["servers"] == []

    @pytest.mark.parametrize(
        ("name", "body", "says"),
        [
            ("a", {"include": ["onne"]}, "no server onne"),
            ("a", {"include": "one"}, "a list of texts"),
            ("a", {"servers": {}}, "no key of a profile"),
            ("a", {"tools_off": [""]}, "a pattern is a name"),
            ("a", {"description": 1}, "must be a text"),
            ("a%20b", {}, "is named by letters"),
        ],
    )
    def test_refused(self, gateway: Gateway, name: str, body: Any, says: str) -> None:
        """A wrong value is refused with the reason, and no file is changed."""
        before = gateway.config.read_bytes()
        refused = ask(gateway, "PUT", f"/profiles/{name}", body)
        assert refused.status == 400
        assert says in refused.value["error"]
        assert gateway.config.read_bytes() == before

    def test_rights(self, gateway: Gateway) -> None:
        """A profile is changed by administrators only."""
        assert ask(gateway, "PUT", "/profiles/a", {}, token="auth").status in (401, 403)
        assert ask(gateway, "DELETE", "/profiles/a", token="").status == 401

    def test_deleted(self, gateway: Gateway, profile: Said) -> None:
        """A deleted profile has no endpoint, and is not deleted again."""
        assert ask(gateway, "DELETE", "/profiles/office").value == {"deleted": "office"}
        assert ask(gateway, "GET", "/views?view=mcp/p/office").status == 404
        assert ask(gateway, "DELETE", "/profiles/office").status == 404


class JobTests:
    """Calls in the background."""

    def test_listed_and_cancelled(self, gateway: Gateway) -> None:
        """A job is listed while it runs, is cancelled by its id, and stays in the list with its end."""
        begun = ask(
            gateway,
            "POST",
            "/tools/gateway_invoke_async/call",
            {"arguments": {"id": "one__sleep", "args": {"ms": 60000}}},
        )
        assert begun.status == 200, begun.value

        def running() -> bool:
            jobs = ask(gateway, "GET", "/jobs").value["items"]
            return [each["status"] for each in jobs] == ["running"]

        eventually(running, "the job runs")
        (job,) = ask(gateway, "GET", "/jobs?limit=5").value["items"]
        assert job["tool"] == "one__sleep"
        assert job["created_at"] <= job["started_at"]
        assert ask(gateway, "DELETE", f"/jobs/{job['id']}").value["status"] == "cancelled"
        (ended,) = ask(gateway, "GET", "/jobs").value["items"]
        assert (ended["status"], ended["finished_at"] is not None) == ("cancelled", True)
        assert ask(gateway, "DELETE", "/jobs/job_1_xxxxxxxxxxxxxxxxxxxx").status == 404


class EventTests:
    """Events of sessions."""

    def test_whose(self, gateway: Gateway) -> None:
        """A session's events name it by the handle of the list, and its client when it begins."""
        params = {
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": {"name": "me", "version": "1"},
        }
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}).encode()
        accept = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
        begin = urllib.request.Request(f"{gateway.url}/one/mcp", body, accept, method="POST")
        with urllib.request.urlopen(begin, timeout=LIMIT_S) as answer:
            session = {"Mcp-Session-Id": answer.headers["Mcp-Session-Id"]}
        end = urllib.request.Request(f"{gateway.url}/one/mcp", headers=session, method="DELETE")
        urllib.request.urlopen(end, timeout=LIMIT_S).close()
        token = (gateway.home / "admin.token").read_text().strip()
        request = urllib.request.Request(
            f"{gateway.url}/api/v1/events?follow=false&kind=session",
            headers={"Authorization": f"Bearer {token}"},
        )
        with urllib.request.urlopen(request, timeout=LIMIT_S) as answer:
            lines = answer.read().decode().splitlines()
        events = [json.loads(each.removeprefix("data: ")) for each in lines if each.startswith("data: ")]
        begun = [each for each in events if each["event"] == "session.opened" and each["server"] == "one"]
        ended = [each for each in events if each["event"] == "session.ended" and each["server"] == "one"]
        assert begun[-1]["session"] == ended[-1]["session"] != ""
        assert begun[-1]["client"] == "me"
