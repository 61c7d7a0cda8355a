"""Diagnosis, records and activity over plain HTTP."""

from __future__ import annotations

import secrets

from mcpgateway.observe.activity import ActivityLog
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

    def test_refusals(self) -> None:
        """Other callers do not read the activity; where it is not written down there is none."""
        gateway = MemoryGateway()
        assert gateway.client(**TOKEN).ask(b"", "GET", "/api/v1/activity").status == 401
        admin = gateway.client(Authorization="Bearer admin-token")
        assert admin.ask(b"", "GET", "/api/v1/activity").status == 404
