"""Diagnosis, records and activity over plain HTTP."""

from __future__ import annotations

import secrets

from mcpgateway.observe.activity import ActivityLog
from mcpgateway.observe.activity_filter import ActivityFilter
from mcpgateway.observe.tracing import Tracer
from tests.support.gateway_in_memory import MemoryGateway
from tests.support.lines import MemoryLines

TOKEN = {"Authorization": "Bearer bearer-token"}


def followed() -> MemoryGateway:
    """A gateway whose calls are written down."""
    gateway = MemoryGateway()
    tracer = Tracer(secrets.token_hex)
    tracer.activity = ActivityLog(MemoryLines(), gateway.clock.seconds, tracer.new_id, str)
    gateway.hub.follow(tracer)
    return gateway


class WhyTests:
    """``GET /api/v1/servers/{name}/why``."""

    def test_story(self) -> None:
        """A caller that may read is told why a server is as it is."""
        gateway = MemoryGateway()
        gateway.launcher.refuses = True
        gateway.client().call(1)
        answer = gateway.client().ask(b"", "GET", "/api/v1/servers/shared/why")
        assert answer.status == 200
        assert answer.json["ok"] is False
        assert answer.json["advice"][0]["cause"] == "found-since"

    def test_unknown(self) -> None:
        """A server that nobody knows is not found, and the nearest name is told."""
        answer = MemoryGateway().client().ask(b"", "GET", "/api/v1/servers/ovn/why")
        assert answer.status == 404
        assert answer.json["hint"] == "did you mean own?"


class RecordTests:
    """``GET /api/v1/servers/{name}/record``."""

    def test_export(self) -> None:
        """An administrator is given what was said; so many lines as are wanted."""
        gateway = MemoryGateway()
        gateway.session()
        client = gateway.client(Authorization="Bearer admin-token")
        answer = client.ask(b"", "GET", "/api/v1/servers/shared/record")
        assert answer.status == 200
        assert answer.json["lines"][-1]["message"]["method"] == "notifications/initialized"
        assert len(client.ask(b"", "GET", "/api/v1/servers/shared/record?limit=1").json["lines"]) == 1
        assert client.ask(b"", "GET", "/api/v1/servers/own/record").json["lines"] == []

    def test_refusals(self) -> None:
        """Other callers are not given the record; an unknown server is 404, a wrong number 400."""
        gateway = MemoryGateway()
        for headers in ({}, {"Authorization": "Bearer bearer-token"}):
            assert gateway.client(**headers).ask(b"", "GET", "/api/v1/servers/shared/record").status == 401
        client = gateway.client(Authorization="Bearer admin-token")
        assert client.ask(b"", "GET", "/api/v1/servers/none/record").status == 404
        assert client.ask(b"", "GET", "/api/v1/servers/shared/record?limit=x").status == 400


class ActivityTests:
    """``GET /api/v1/activity``."""

    def test_what_was_done(self) -> None:
        """Calls and changes are found by what they are about, by an administrator."""
        gateway = followed()
        client = gateway.session()
        client.call(1, name="echo")
        gateway.child.answer(gateway.child.asked("tools/call")[0], {"content": []})
        ended = gateway.client(**TOKEN).ask(b"", "DELETE", "/sessions/none")
        admin = gateway.client(Authorization="Bearer admin-token")
        answer = admin.ask(b"", "GET", "/api/v1/activity?kind=management")
        assert answer.status == 200
        (record,) = answer.json["records"]
        assert record["id"] == ended.headers["x-request-id"]
        assert (record["request"], record["operation"]) == ("DELETE /sessions/{id}", "sessions.end")
        (call,) = admin.ask(b"", "GET", "/api/v1/activity?tool=echo&outcome=ok&limit=1").json["records"]
        assert call["server"] == "shared"

    def test_client(self) -> None:
        """A record names its client, in either era, and its process; it is found by that name."""
        gateway = followed()
        client = gateway.client()
        client.initialize(clientInfo={"name": "editor\x1b[1m", "version": "1"})
        client.call(1, name="echo")
        gateway.child.answer(gateway.child.asked("tools/call")[0], {"content": []})
        admin = gateway.client(Authorization="Bearer admin-token")
        (record,) = admin.ask(b"", "GET", "/api/v1/activity?kind=call").json["records"]
        assert record["client"] == "editor\\x1b[1m"
        assert admin.ask(b"", "GET", "/api/v1/activity?client=other").json["records"] == []

    def test_client_that_leaves(self) -> None:
        """A call that is cancelled because its client ends the session is recorded with the name of that client."""
        gateway = followed()
        client = gateway.client()
        client.initialize(clientInfo={"name": "editor", "version": "1"})
        client.call(1, name="echo")
        ended = {name.title(): value for name, value in client.headers.items()}
        gateway.client(**ended).ask(b"", "DELETE")
        admin = gateway.client(Authorization="Bearer admin-token")
        (record,) = admin.ask(b"", "GET", "/api/v1/activity?kind=call").json["records"]
        assert (record["client"], record["outcome"]) == ("editor", "cancelled")

    def test_stream(self) -> None:
        """A stream has the latest records and then new ones, as far as they are wanted; it can be continued."""
        gateway = followed()
        reader = gateway.client(Authorization="Bearer admin-token")
        gateway.client(**TOKEN).ask(b"", "DELETE", "/sessions/first")
        client = gateway.session()
        answer = reader.ask(b"", "GET", "/api/v1/activity?follow=true&kind=call&limit=1")
        assert answer.headers["content-type"] == "text/event-stream"
        assert answer.events == []
        for number in (1, 2):
            gateway.clock.advance(1)
            client.call(number, name=f"tool{number}")
            gateway.child.answer(gateway.child.asked("tools/call")[-1], {"content": []})
        tracer = gateway.hub.tracer
        assert tracer is not None
        tracer.tick()
        assert reader.heard is not None
        first, second = reader.heard.events
        assert [first["tool"], second["tool"]] == ["tool1", "tool2"]
        again = gateway.client(Authorization="Bearer admin-token")
        path = "/api/v1/activity?follow=true&kind=call"
        (missed,) = again.ask(b"", "GET", path, Last_Event_ID=f"{first['at']}/{first['id']}").events
        assert missed == second

    def test_refusals(self) -> None:
        """Other callers do not read the activity; where it is not written down there is none."""
        gateway = MemoryGateway()
        assert gateway.client(**TOKEN).ask(b"", "GET", "/api/v1/activity").status == 401
        admin = gateway.client(Authorization="Bearer admin-token")
        assert admin.ask(b"", "GET", "/api/v1/activity").status == 404
        client = followed().client(Authorization="Bearer admin-token")
        for query in ("since=yesterday", "follow=maybe", "slower_than=fast"):
            assert client.ask(b"", "GET", f"/api/v1/activity?{query}").status == 400


class SameCallsTests:
    """The same choice of calls, as rows and as figures."""

    def test_filters(self) -> None:
        """The usage counts the calls that the activity has, of more than a page, for every choice."""
        gateway = followed()
        client = gateway.client()
        client.initialize(clientInfo={"name": "editor", "version": "1"})
        for number in range(1, 1203):
            client.call(number, name=f"tool{number % 2}")
            sent = gateway.child.asked("tools/call")[-1]
            gateway.child.answer(sent, {"content": [], "isError": number % 3 == 0})
        gateway.clock.advance(1)
        admin = gateway.client(Authorization="Bearer admin-token")

        def rows(query: str) -> int:
            """The number of records that pages of the activity have."""
            many, before = 0, ""
            while True:
                path = f"/api/v1/activity?kind=call&limit=1000&minutes=60&{query}&before={before}"
                found = admin.ask(b"", "GET", path).json["records"]
                if not found:
                    return many
                many, before = many + len(found), f"{found[0]['at']}/{found[0]['id']}"

        for query, calls in (
            ("", 1202),
            ("tool=tool1", 601),
            ("outcome=error", 400),
            ("failed=true&tool=tool0", 200),
            ("client=editor&outcome=ok", 802),
            ("client=other", 0),
            ("text=SHARED%20tool1", 601),
            ("text=nothing", 0),
            ("outcome=timeout", 0),
            ("slower_than=100000", 0),
        ):
            found = admin.ask(b"", "GET", f"/api/v1/usage?minutes=60&{query}").json
            assert (found["calls"], rows(query)) == (calls, calls), query
        stats = admin.ask(b"", "GET", "/api/health/stats").json
        assert sum(each["calls"] for each in stats["timeline"]) == 1202

    def test_timeout(self) -> None:
        """Calls that were not answered in time are chosen among those that have failed."""
        activity = ActivityFilter({"outcome": "error"}, is_timed_out=True)
        assert activity.takes({"outcome": "error", "error": "timed out"})
        assert not activity.takes({"outcome": "error", "error": "broken"})

    def test_words_are_private(self) -> None:
        """Who may see figures only does not find out single calls by words, ids or principals."""
        client = followed().client(**TOKEN)
        assert client.ask(b"", "GET", "/api/v1/usage?client=editor").status == 200
        for query in ("text=secret", "principal=local", "id=abc", "by=token"):
            assert client.ask(b"", "GET", f"/api/v1/usage?{query}").status == 403


class CallTests:
    """``GET /api/v1/activity/{id}``."""

    def test_one(self) -> None:
        """A call has its phases, the questions that it has caused, and its messages, and no other's."""
        gateway = followed()
        client = gateway.client()
        client.initialize(capabilities={"elicitation": {}}, clientInfo={"name": "editor", "version": "1"})
        for number in (1, 2):
            client.call(number, name=f"tool{number}")
            if number == 2:
                question = {
                    "method": "elicitation/create",
                    "params": {"message": "Sure?", "requestedSchema": {}},
                }
                gateway.child.say({"jsonrpc": "2.0", "id": 9, **question})
                asked = client.heard
                assert asked is not None
                client_id = asked.events[-1]["id"]
                other = gateway.client(**client.headers)
                other.ask({"jsonrpc": "2.0", "id": client_id, "result": {"action": "accept"}})
            gateway.child.answer(gateway.child.asked("tools/call")[-1], {"content": []})
        admin = gateway.client(Authorization="Bearer admin-token")
        first, second = admin.ask(b"", "GET", "/api/v1/activity?kind=call").json["records"]
        found = admin.ask(b"", "GET", f"/api/v1/activity/{second['id']}").json
        assert found["record"] == second
        assert "upstream" in [each["name"] for each in found["phases"]]
        assert [each["method"] for each in found["questions"]] == ["elicitation/create"]
        sent, asked, told, answered = (each["message"] for each in found["messages"])
        assert (sent["params"]["name"], asked["id"], told["result"]) == ("tool2", 9, {"action": "accept"})
        assert answered["result"] == {"content": []}
        assert found["is_recorded"] is True
        former = admin.ask(b"", "GET", f"/api/v1/activity/{first['id']}").json
        assert [each["direction"] for each in former["messages"]] == ["to-server", "from-server"]
        assert former["record"]["sent_bytes"] == former["messages"][0]["bytes"]
        assert former["questions"] == []

    def test_others(self) -> None:
        """A change has no phases; an id that is not there is not found; other callers are refused."""
        gateway = followed()
        ended = gateway.client(**TOKEN).ask(b"", "DELETE", "/sessions/none")
        admin = gateway.client(Authorization="Bearer admin-token")
        found = admin.ask(b"", "GET", f"/api/v1/activity/{ended.headers['x-request-id']}").json
        assert (found["phases"], found["messages"], found["is_recorded"]) == ([], [], False)
        assert admin.ask(b"", "GET", "/api/v1/activity/none").status == 404
        assert gateway.client(**TOKEN).ask(b"", "GET", "/api/v1/activity/none").status == 401


class OverviewTests:
    """The overview, for pages that ask often."""

    def test_unchanged(self) -> None:
        """A page that has the overview is told 304 until something but the time changes."""
        gateway = MemoryGateway()
        client = gateway.client("x")
        first = client.ask(b"", "GET", "/api/v1/overview")
        tag = first.headers["etag"].replace("w/", "W/")  # the client reads headers in lower case
        assert first.json["verdict"] == "everything works"
        gateway.clock.advance(7)
        again = client.ask(b"", "GET", "/api/v1/overview", If_None_Match=tag)
        assert (again.status, again.body, again.headers["etag"]) == (304, b"", tag.lower())
        gateway.session()
        changed = client.ask(b"", "GET", "/api/v1/overview", If_None_Match=tag)
        assert (changed.status, changed.json["sessions"]) == (200, 1)


class UsageTests:
    """``GET /api/v1/usage``."""

    def test_counted(self) -> None:
        """A caller that may read sees the calls of clients, an administrator those of principals, too."""
        gateway = followed()
        gateway.session().call(1, name="echo")
        gateway.child.answer(gateway.child.asked("tools/call")[0], {"content": []})
        reader = gateway.client(**TOKEN)
        found = reader.ask(b"", "GET", "/api/v1/usage?by=tool").json
        assert [(each["name"], each["server"], each["calls"]) for each in found["items"]] == [
            ("echo", "shared", 1)
        ]
        assert sum(each["calls"] for each in found["series"]) == found["calls"] == 1
        assert reader.ask(b"", "GET", "/api/v1/usage?server=own").json["calls"] == 0
        assert reader.ask(b"", "GET", "/api/v1/usage?by=principal").status == 403
        admin = gateway.client(Authorization="Bearer admin-token")
        assert admin.ask(b"", "GET", "/api/v1/usage?by=principal").json["calls"] == 1

    def test_refusals(self) -> None:
        """Other kinds of rows, and spans that no log covers, are refused; without a log there is nothing to count."""
        reader = followed().client(**TOKEN)
        for query in ("by=colour", "minutes=0", "minutes=x", "minutes=99999999"):
            assert reader.ask(b"", "GET", f"/api/v1/usage?{query}").status == 400
        assert MemoryGateway().client(**TOKEN).ask(b"", "GET", "/api/v1/usage").status == 404
