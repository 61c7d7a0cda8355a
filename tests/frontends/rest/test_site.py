"""Answers of the control plane, whatever the operation."""

from __future__ import annotations

import gzip
import json

import pytest

from tests.support.gateway_in_memory import Answer, MemoryGateway

LARGE, SMALL = "/api/v1/openapi.json", "/api/v1/version"


@pytest.fixture
def gateway() -> MemoryGateway:
    """A gateway."""
    return MemoryGateway()


def get(gateway: MemoryGateway, path: str, accepted: str) -> Answer:
    """The answer for a client that accepts these encodings."""
    return gateway.client().ask(b"", "GET", path, **{"Accept-Encoding": accepted})


class CompressionTests:
    """Large answers."""

    def test_compressed(self, gateway: MemoryGateway) -> None:
        """A large answer is sent compressed to a client that accepts it, and is the same."""
        plain, packed = get(gateway, LARGE, ""), get(gateway, LARGE, "gzip, br")
        assert packed.headers["content-encoding"] == "gzip"
        assert packed.headers["vary"] == plain.headers["vary"] == "accept-encoding"
        assert int(packed.headers["content-length"]) == len(packed.body) < len(plain.body) / 4
        assert json.loads(gzip.decompress(packed.body)) == plain.json

    @pytest.mark.parametrize(("path", "accepted"), [(SMALL, "gzip"), (LARGE, "br"), (LARGE, "gzip;q=0")])
    def test_as_it_is(self, gateway: MemoryGateway, path: str, accepted: str) -> None:
        """A small answer is sent as it is, and so is a large one to a client that does not accept gzip."""
        found = get(gateway, path, accepted)
        assert found.status == 200
        assert "content-encoding" not in found.headers


class SeriesTests:
    """``GET /api/v1/series``."""

    def test_minutes(self, gateway: MemoryGateway) -> None:
        """Each minute has the requests and the sizes; those before the start have no sizes."""
        client = gateway.session()
        client.call(1)
        gateway.child.answer(gateway.child.asked("tools/call")[0], {"content": []})
        found = gateway.client().ask(b"", "GET", "/api/v1/series?minutes=3").json
        assert (found["step_s"], len(found["items"])) == (60, 3)
        first, *_, last = found["items"]
        assert (first["requests"], first["memory_mb"], first["sessions"]) == (0, None, None)
        assert (last["calls"], last["errors"], last["sessions"]) == (1, 0, 1)
        assert last["memory_mb"] > 1

    def test_one_server(self, gateway: MemoryGateway) -> None:
        """Of one server there are the requests only."""
        client = gateway.session()
        client.call(1)
        gateway.child.answer(gateway.child.asked("tools/call")[0], {"content": []})
        rows = gateway.client().ask(b"", "GET", "/api/v1/series?server=shared&minutes=1").json["items"]
        assert rows[0]["requests"] >= 1
        assert rows[0]["calls"] is None
        (other,) = gateway.client().ask(b"", "GET", "/api/v1/series?server=none&minutes=1").json["items"]
        assert other["requests"] == 0
