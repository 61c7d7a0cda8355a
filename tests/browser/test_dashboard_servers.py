"""The pages of servers in a real Chromium: what a look at them costs, and what they tell of a server."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.support.dashboard import IN_A_BROWSER, Page, command
from tests.support.gateway import Gateway, eventually, server
from tests.support.real_servers import fixture

pytestmark = IN_A_BROWSER
SECRET = "hush-hush-1234"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway with a server for all clients, one of which each session has a process, and one that nobody asks."""
    servers = {
        "shared": server(fixture()),
        "own": server(fixture(), share="session"),
        "other": server(fixture()),
        "memory": server(fixture(), enabled=False, env={"API_TOKEN": SECRET}),
        "pair-well": server(fixture()),
        "pair-ill": server(["/nowhere/server"]),
    }
    settings = {"registry_url": "", "groups": [{"match": "pair-.*", "key": "pair"}]}
    with Gateway(tmp_path_factory.mktemp("servers"), servers, settings=settings) as made:
        command(made, "discover", "own")
        command(made, "servers", "start", "shared")
        yield made


class LookTests:
    """Looking, which starts nothing."""

    def test_tools(self, page: Page) -> None:
        """The known tools are shown without a session and without a process, also of a server that runs."""
        page.sign_in()
        before = _lives(page.gateway)
        for name in ("shared", "own"):
            page.show(f"servers/{name}/tools", wait="echo")
            page.show(f"tools/{name}__echo", wait="Arguments")
        page.show("servers/other/tools", wait="not asked for its tools yet")
        page.show("tools/other__echo", wait="Ask its server")
        assert _lives(page.gateway) == before
        page.press("Ask its server")
        page.sees("Arguments")
        assert _lives(page.gateway)["other"] != before["other"]

    def test_a_call(self, page: Page) -> None:
        """The session of a call ends when its page is left, by a link and for another page, and its process with it."""
        page.sign_in()
        for leave in (lambda: page.follow("servers"), lambda: page.browser.go("about:blank")):
            page.show("tools/own__echo", wait="Arguments")
            page.type("#argument-text", "x")
            page.press("Call")
            page.agree()
            page.sees("Answered after")
            assert _lives(page.gateway)["own"][:2] == (1, 1)
            leave()
            eventually(lambda: _lives(page.gateway)["own"][:2] == (0, 0), "the session has ended")


class AddTests:
    """The page that adds a server."""

    def test_from_clients(self, page: Page) -> None:
        """The servers of clients' files are found there, and their file is enrolled after a look at the change."""
        file = page.gateway.directory / ".cursor" / "mcp.json"
        file.parent.mkdir()
        file.write_text(json.dumps({"mcpServers": {"hers": server(fixture())}}))
        page.sign_in()
        page.show("add", wait="1 server of its own")
        page.press("Enrol cursor")
        page.sees("connect")
        page.press("Enrol")
        page.sees("cursor uses the gateway from its next start")
        assert "connect" in file.read_text()
        command(page.gateway, "clients", "undo", "cursor")

    def test_a_trial(self, page: Page) -> None:
        """A trial tells how long it took, and the tools with their size."""
        page.sign_in()
        page.show("add", wait="From a text")
        page.type("#pasted", " ".join(fixture()))
        page.press("Try it first")
        page.sees("All steps passed, in")
        page.sees("The definitions of 25 tools take about")

    def test_installed(self, page: Page) -> None:
        """A recipe whose server is there already says so."""
        page.show("add", wait="Search the catalogue")
        page.type("input[placeholder='browser, database, notes']", "memory")
        page.sees("Installed already: memory")


class OutcomeTests:
    """What came of a press."""

    def test_a_group(self, page: Page) -> None:
        """The outcome of each member of a group is told: one that cannot start keeps no other from it."""
        page.sign_in()
        page.show("servers", wait="pair")
        page.press("Restart pair")
        page.sees(
            "pair: pair-well is restarted; pair-ill could not be started: the program /nowhere/server is not there"
        )
        assert _lives(page.gateway)["pair-well"][1] == 1

    def test_settings(self, page: Page) -> None:
        """A change with which a server does not start is written, and told as what it is."""
        page.sign_in()
        page.show("servers/pair-well/settings", wait="command")
        page.type_over("#field-command", "/nowhere/else")
        page.press("Save")
        page.press("Write")
        page.sees(
            "pair-well is changed: command; pair-well could not be started: the program /nowhere/else is not there"
        )


class ServerTests:
    """The page of a server."""

    def test_where_and_how_much(self, page: Page) -> None:
        """The page names the line of the entry, the calls of the last hour, and the numbers of tools and sessions."""
        command(page.gateway, "tools", "call", "shared__echo", "text=x")
        page.show("servers/shared", wait=f"{page.gateway.config}:1;")
        page.sees("1 of them in the last hour (95 % within")
        page.sees("Tools 25")
        page.sees("Sessions 0")
        page.show("servers/pair-ill", wait="is not there")
        copied = """new Promise(resolve => {
            navigator.clipboard.writeText = text => resolve(text)
            document.querySelector('[aria-label="Copy the causes"]').click()
        })"""
        assert "the program /nowhere/server is not there" in page.browser.run(copied)

    def test_tools_off(self, page: Page) -> None:
        """A tool is taken out of the offer, and offered again, on the page of its server."""
        page.sign_in()
        page.show("servers/shared/tools", wait="echo")
        page.press("Do not offer shared__echo")
        page.sees("shared__echo is not offered")
        assert '"echo"' in page.gateway.config.read_text()
        page.press("Offer shared__echo")
        page.sees("shared__echo is offered")
        assert '"echo"' not in page.gateway.config.read_text()

    def test_rename(self, page: Page) -> None:
        """A server is called by another name, and its page is that of the new one."""
        page.sign_in()
        page.show("servers/other/settings", wait="Rename")
        page.type_over('[aria-label="New name"]', "another")
        page.press("Rename")
        page.press("Rename it")
        page.sees("other is called another now")
        page.sees("/another/mcp")

    def test_the_file_of_a_client(self, page: Page) -> None:
        """The former versions of a client's file stand at the servers that it defines."""
        file = page.gateway.directory / ".codeium" / "windsurf" / "mcp_config.json"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps({"mcpServers": {"wind": server(fixture())}}))
        command(page.gateway, "clients", "apply", "windsurf", "--yes")
        page.sign_in()
        page.show("servers/wind/settings", wait="Changes of its file")
        page.open("History of windsurf")
        page.sees("enrolled, by command: wind")
        command(page.gateway, "clients", "undo", "windsurf")

    def test_log(self, page: Page) -> None:
        """The lines of a log are filtered by their level and their text."""
        page.show("gateway", wait="is served at")
        page.choose('[aria-label="Level"]', "errors")
        page.sees("No line matches.")
        page.choose('[aria-label="Level"]', "")
        page.type('[aria-label="Filter lines"]', "own is served")
        page.sees_no_more("shared is served at")


class AccessTests:
    """The pages of access and of the gateway itself."""

    def test_a_token(self, page: Page) -> None:
        """A token is limited to tools, and shown with the entry for a client's file."""
        page.sign_in()
        page.show("access", wait="Other machines may connect")
        page.press("New token")
        page.type("#token-name", "reader")
        page.type("#token-tools", "get_* own__echo")
        page.press("Make the token")
        page.sees('"Authorization": "Bearer mcpg_')
        page.press("Done")
        page.sees("all servers; tools get_*, own__echo")

    def test_a_bundle(self, page: Page) -> None:
        """The support bundle has the findings, the state, the settings and the log, and no secret."""
        page.sign_in()
        page.show("gateway", wait=f"127.0.0.1:{page.gateway.port}")
        page.browser.run("URL.createObjectURL = blob => { window.kept = blob.text(); return '#' }; 0")
        page.press("Support bundle")
        page.sees("The support bundle is saved")
        kept = page.browser.run("window.kept")
        found = json.loads(kept)
        assert set(found) == {"made_at", "overview", "doctor", "config", "dump", "log"}
        assert any("own is served at" in each for each in found["log"])
        assert found["doctor"]["findings"]
        assert (page.gateway.home / "auth.token").read_text().strip() not in kept
        assert SECRET not in kept


def _lives(gateway: Gateway) -> dict[str, tuple[int, int, int]]:
    """Return the sessions, the processes and the starts of each server."""
    backends = gateway.health()["backends"]
    return {each["name"]: (each["sessions"], len(each["pids"]), each["starts"]) for each in backends}
