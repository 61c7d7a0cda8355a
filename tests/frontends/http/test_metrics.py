"""The metrics for Prometheus, read by its own parser."""

from __future__ import annotations

import gc
import re
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families as parse

from mcpgateway.config.model import ServerSpec, Share
from mcpgateway.frontends.http.metrics import FAMILIES, HISTOGRAM, escaped
from mcpgateway.hub.usage import Usage
from mcpgateway.interfaces import Request
from mcpgateway.observe.savings import WEIGH_TICKS
from mcpgateway.protocol import jsonrpc
from mcpgateway.system.usage import UsageFile
from mcpgateway.views.specs import ViewStorage
from tests.support.gateway_in_memory import MemoryGateway
from tests.support.instruments import MemoryWorld

DOCS = Path(__file__).parents[3] / "docs"
Samples = dict[str, dict[tuple[tuple[str, str], ...], float]]


@pytest.fixture
def gateway() -> MemoryGateway:
    """A gateway with one shared and one stateful server."""
    return MemoryGateway()


def scrape(gateway: MemoryGateway) -> Samples:
    """The samples that a scrape finds, by their names and labels."""
    answer = gateway.client().ask(b"", "GET", "/metrics")
    assert (answer.status, answer.headers["content-type"]) == (
        200,
        "text/plain; version=0.0.4; charset=utf-8",
    )
    found: Samples = {}
    for family in parse(answer.body.decode()):
        for sample in family.samples:
            labels = tuple(sorted(sample.labels.items()))
            assert labels not in found.setdefault(sample.name, {}), "told twice"
            found[sample.name][labels] = sample.value
    return found


def call(gateway: MemoryGateway, tool: str, server: str = "shared", number: int = 1) -> None:
    """Let calls of a tool come to their ends, a quarter of a second after they began."""
    text = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":%s}}' % bytes(jsonrpc.raw(tool))
    for _ in range(number):
        made = Request(None, jsonrpc.read_client(text), None, None)
        gateway.hub.meters.of(server).begin(made)
        gateway.clock.advance(0.25)
        made.meter.answered(made, {}, b"")


class ScrapeTests:
    """Metrics of calls, servers and children."""

    def test_calls(self, gateway: MemoryGateway) -> None:
        """Calls are told by tool and outcome, and their durations by server."""
        call(gateway, "echo", number=3)
        client = gateway.session()
        client.call(1, name="echo")
        gateway.child.exit(1)
        found = scrape(gateway)
        calls = {
            dict(labels)["outcome"]: value for labels, value in found["mcpgateway_tool_calls_total"].items()
        }
        assert calls == {"ok": 3, "error": 1}
        assert list(found["mcpgateway_tool_seconds_total"].values()) == [0.75]
        requests = {
            dict(labels)["outcome"]: value for labels, value in found["mcpgateway_requests_total"].items()
        }
        assert requests == {"ok": 3, "error": 1, "cancelled": 0}
        buckets = {
            dict(labels)["le"]: value
            for labels, value in found["mcpgateway_request_duration_seconds_bucket"].items()
        }
        assert (buckets["0.1"], buckets["0.5"], buckets["+Inf"]) == (1, 4, 4)
        assert list(found["mcpgateway_request_duration_seconds_count"].values()) == [4]

    def test_lives(self, gateway: MemoryGateway) -> None:
        """The lives of servers are told, too."""
        gateway.session()
        gateway.tick()
        gateway.child.exit(1)
        gateway.tick(60)
        found = scrape(gateway)

        def of(name: str, server: str = "shared") -> float:
            """The number of one server."""
            return next(value for labels, value in found[name].items() if dict(labels)["server"] == server)

        assert of("mcpgateway_server_up") == 1
        assert of("mcpgateway_server_up", "own") == 0
        assert of("mcpgateway_server_starts_total") == 2
        assert of("mcpgateway_server_restarts_total") == 1
        assert of("mcpgateway_server_sessions") == 1
        assert of("mcpgateway_server_mtbf_seconds") > 0
        assert of("mcpgateway_server_last_crash_timestamp_seconds") > 1_700_000_000

    def test_every_family(self, tmp_path: Path) -> None:
        """The metrics are those of the table of families, no more and no less, and of their kinds."""

        class Counting(MemoryGateway):
            storage = ViewStorage(usage=lambda: Usage(UsageFile(str(tmp_path / "usage.json")), lambda: 0.0))

        world = MemoryWorld(sizes=dict.fromkeys((1000, 1001), 5_000_000))
        gateway = Counting(instruments=world.instruments)
        gateway.session()
        gateway.child.exit(1)
        gateway.tick(60)
        call(gateway, "echo")
        scrape(gateway)
        gateway.tick(WEIGH_TICKS)
        text = gateway.client().ask(b"", "GET", "/metrics").body.decode()
        told = {each.name: each for each in parse(text)}
        declared = {each.name.removesuffix("_total"): each for each in FAMILIES}
        assert told.keys() == declared.keys()
        for name, family in told.items():
            assert (family.type, family.documentation) == (declared[name].kind, declared[name].what)
            for sample in family.samples:
                assert sample.labels.keys() - {"le"} == set(declared[name].labels)
                assert sample.name == declared[name].name or declared[name].kind == HISTOGRAM

    def test_sizes(self) -> None:
        """The memory of children is looked at between scrapes, for as long as they go on."""
        gateway = MemoryGateway(
            instruments=MemoryWorld(sizes=dict.fromkeys((1000, 1001), 5_000_000)).instruments
        )
        gateway.session()
        assert "mcpgateway_server_memory_bytes" not in {
            name for name, each in scrape(gateway).items() if 5e6 in each.values()
        }
        gateway.tick(WEIGH_TICKS)
        assert 5_000_000 in scrape(gateway)["mcpgateway_server_memory_bytes"].values()

    def test_head(self, gateway: MemoryGateway) -> None:
        """HEAD is answered too, and anything else refused."""
        client = gateway.client()
        answer = client.ask(b"", "HEAD", "/metrics")
        assert (answer.status, answer.body) == (200, b"")
        assert client.ask({}, "POST", "/metrics").status in (404, 405)

    def test_documented(self) -> None:
        """The reference page is made from the table."""
        assert ".. metrics::" in (DOCS / "reference/metrics.rst").read_text()


class NameTests:
    """Names come from strangers."""

    @given(st.text(min_size=1, max_size=40))
    def test_any_tool(self, name: str) -> None:
        """A tool of any name has one sample under that name."""
        gateway = MemoryGateway()
        call(gateway, name)
        told = [dict(each)["tool"] for each in scrape(gateway)["mcpgateway_tool_seconds_total"]]
        assert told == [name]

    def test_lone_halves(self) -> None:
        """Half a character, which no encoding has, breaks nothing."""
        assert escaped('a\ud800\n\\"b') == 'a?\\n\\\\\\"b'

    def test_every_line(self, gateway: MemoryGateway) -> None:
        """No name makes a line of its own."""
        call(gateway, 'x"} 1\nevil{a="b')
        text = gateway.client().ask(b"", "GET", "/metrics").body.decode()
        assert not [
            line
            for line in text.splitlines()
            if not re.match(r"(# (HELP|TYPE) )?(mcpgateway|process)_", line)
        ]


class SpeedTests:
    """Scrapes, for which all callers wait."""

    def test_nine_thousand_lines(self) -> None:
        """A scrape of nine thousand lines is quick; the figure is for those who read it, and decides nothing."""
        servers = tuple(
            ServerSpec(f"s{number}", ("run",), {}, "/", share=Share.GLOBAL, title=f"s{number}")
            for number in range(60)
        )
        gateway = MemoryGateway(more=servers)
        for server in servers:
            for number in range(40):
                call(gateway, f"tool{number}", server.name)
        scrape(gateway)
        client = gateway.client()
        gc.collect()
        spent = []
        for _ in range(5):
            before = time.process_time()
            answer = client.ask(b"", "GET", "/metrics")
            spent.append(time.process_time() - before)
        lines = answer.body.count(b"\n")
        print(f"{lines} lines, {len(answer.body)} bytes: {min(spent) * 1000:.1f} ms")
        assert lines > 8_500
