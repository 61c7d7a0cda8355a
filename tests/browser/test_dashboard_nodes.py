"""The page Nodes of the dashboard in a real Chromium, at two real nodes of a cluster with a real store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.browser import Browser
from tests.support.cluster import LONG, Client, Cluster
from tests.support.dashboard import IN_A_BROWSER, LOOKS, TEXT, Page
from tests.support.gateway import Gateway, eventually, server
from tests.support.postgres import Postgres
from tests.support.real_servers import fixture

pytestmark = IN_A_BROWSER
STATES = """Object.fromEntries([...document.querySelectorAll("tbody tr")].map(
    row => [row.dataset.id, row.querySelector(".state").innerText.trim().split(" ").pop()]))"""
SOLE = "document.querySelector('tr[data-id=b] [data-title=\"Runs for all\"]')?.innerText.trim()"
PLACES = """Object.fromEntries([...document.querySelectorAll("tbody tr")].map(
    row => [row.dataset.id, row.querySelector("[data-title=Nodes]").innerText]))"""
FACTS = """Object.fromEntries([...document.querySelectorAll("dl.facts dt")].map(
    each => [each.innerText, each.nextElementSibling.innerText]))"""
WIDEST_AND_NARROWEST = [(width, mode) for width, mode in LOOKS if width != 820]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, postgres: Postgres) -> Iterator[Cluster]:
    """Two nodes that know each other."""
    servers = {
        "fix": server(fixture()),
        "one": server(fixture(), instances="one"),
        "large": server(fixture(), on=["gpu"]),
    }
    made = Cluster(tmp_path_factory.mktemp("nodes"), postgres.database(), servers)
    try:
        made.add("a", cluster={"labels": ["gpu", "big"]}).start()
        made.start("b")
        yield made
    finally:
        made.close()


@pytest.fixture
def page(cluster: Cluster, tmp_path: Path) -> Iterator[Page]:
    """A browser that is signed in at the first node, and sees both."""
    with Browser(tmp_path) as browser:
        made = Page(browser, cluster.nodes["a"])
        made.look(1440, "light")
        made.sign_in()
        made.show("nodes")
        await_states(made, a="serving", b="serving")
        yield made


def await_states(page: Page, **wanted: str) -> None:
    """Wait until the page shows the nodes in these states."""
    eventually(lambda: page.browser.run(STATES) == wanted, f"the page shows {wanted}")


class NodesTests:
    """The nodes of a cluster."""

    def test_list(self, page: Page, cluster: Cluster) -> None:
        """It shows the nodes with their addresses, labels and releases, and marks the one that answers."""
        text = page.browser.run(TEXT)
        for name in ("a", "b"):
            assert f"127.0.0.1:{cluster.nodes[name].port}" in text
            assert f"127.0.0.1:{cluster.nodes[name].cluster_port}" in text
        assert "a (this one)" in text
        assert "gpu, big" in text
        page.follow("")
        page.sees("Who is here")
        page.follow("nodes")
        page.sees("2 nodes take clients.")

    def test_drain(self, page: Page) -> None:
        """A drain is asked about first; a node drains, also another one than that of the page, until that is undone."""
        for name in ("b", "a"):
            page.press(f"Drain {name}")
            page.sees(f"Drain {name}?")
            page.press("Cancel")
            await_states(page, a="serving", b="serving")
            page.press(f"Drain {name}")
            page.press("Drain")
            page.sees(f"{name} is drained")
            await_states(page, **{"a": "serving", "b": "serving", name: "draining"})
            page.sees("1 node takes clients.")
            page.press(f"Let {name} take clients again")
            await_states(page, a="serving", b="serving")

    def test_servers(self, page: Page, cluster: Cluster) -> None:
        """It shows which servers a node runs for all; the pages of servers and calls show their nodes."""
        client = Client(cluster.nodes["b"], "one")
        assert client.call(cluster.nodes["b"], "echo", text="x") == "x"
        eventually(lambda: page.browser.run(SOLE) == "one", "the other node tells what it runs")
        page.show("servers/one", wait="at one node: b now")
        page.show("servers/large", wait="at nodes with gpu: a")
        page.show("servers/fix", wait="shared: ")
        assert "at one node" not in page.browser.run(TEXT)
        page.show("servers", wait="Nodes")
        eventually(
            lambda: page.browser.run(PLACES) == {"fix": "each", "large": "a", "one": "b"}, "their nodes"
        )
        client = Client(cluster.nodes["a"], "large")
        assert client.call(cluster.nodes["a"], "echo", text="x") == "x"
        page.show("calls", wait="echo")
        assert page.browser.run("document.querySelector('tbody [data-title=Node]').innerText") == "a"
        page.browser.run("document.querySelector('tbody a').click(); 0")
        page.sees("Where its time went")
        assert page.browser.run(FACTS)["Node"] == "a"

    @pytest.mark.parametrize(("width", "mode"), WIDEST_AND_NARROWEST)
    def test_everyone(self, page: Page, width: int, mode: str) -> None:
        """It has no fault that axe finds, and is as wide as the window."""
        page.look(width, mode)
        assert page.faults("nodes") == {}

    def test_store_lost(self, page: Page, postgres: Postgres) -> None:
        """While the store is gone the page says since when, and what waits; the first page, that it needs the user."""
        postgres.kill()
        try:
            page.sees("a does not reach the store of the cluster since")
            page.sees("edits of the configuration")
            page.sees("the node refuses the tokens that it knows")
            page.press("Drain b")
            page.press("Drain")
            page.sees("The store of the cluster cannot be reached")
            for width, mode in WIDEST_AND_NARROWEST:
                page.look(width, mode)
                assert page.faults("nodes") == {}
            page.show()
            page.sees("the store of the cluster cannot be reached; edits, new tokens")
            page.browser.run("document.querySelector('.needs a[href$=\"/ui/nodes\"]').click(); 0")
            page.sees("a does not reach the store of the cluster since")
        finally:
            postgres.start()
        page.sees_no_more("does not reach the store")
        await_states(page, a="serving", b="serving")

    @LONG
    def test_gone(self, page: Page, cluster: Cluster) -> None:
        """A node that is killed is shown as gone, with the time at which it was seen last."""
        cluster.nodes["b"].kill()
        await_states(page, a="serving", b="gone")
        page.sees(" s ago")
        page.sees("1 node takes clients.")
        assert page.browser.run("!document.querySelector('[aria-label=\"Drain b\"]')")


def test_alone(tmp_path: Path) -> None:
    """A gateway that is alone has no such page in its navigation."""
    with Gateway(tmp_path) as gateway, Browser(tmp_path) as browser:
        page = Page(browser, gateway)
        page.show()
        assert page.browser.run("document.querySelector('nav.pages a[href$=\"/nodes\"]') === null")
        page.show("nodes")
        page.sees("This gateway is no node of a cluster.")
