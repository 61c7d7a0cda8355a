"""Forms and lists of the dashboard in a real Chromium: their layout, trials before changes, and ways back."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

import pytest

from tests.support.dashboard import IN_A_BROWSER, TEXT, Page, command
from tests.support.gateway import Gateway, eventually, server
from tests.support.real_servers import everything, fixture, time

pytestmark = IN_A_BROWSER
FAILS = [sys.executable, "-c", "import sys; sys.stderr.write('no key\\n'); sys.exit(3)"]
BOX = (
    "(({x, y, width, height}) => [x, y, width, height])(document.querySelector('%s').getBoundingClientRect())"
)
# The middle of each box and that of its label's text, in pixels.
LABELS = """[...document.querySelectorAll("dialog fieldset label")].map(label => {
    const box = label.querySelector("input").getBoundingClientRect()
    const range = document.createRange()
    range.selectNodeContents(label.lastChild)
    const text = range.getBoundingClientRect()
    return Math.abs(box.y + box.height / 2 - text.y - text.height / 2)
})"""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway with servers that work, and one that ends at once."""
    servers = {
        "clock": server(time()),
        "exits": server(FAILS),
        "other": server(fixture()),
        "all": server(everything()),
    }
    with Gateway(tmp_path_factory.mktemp("forms"), servers) as made:
        command(made, "tools", "call", "clock__get_current_time", "timezone=UTC")
        yield made


class LayoutTests:
    """The places of things, and the files of the first page."""

    def test_files(self, page: Page) -> None:
        """The first page names each file that its script imports, so that the browser asks for all of them at once."""
        page.show()
        named = "[...document.querySelectorAll('script, link[rel=modulepreload]')].map(each => each.src || each.href)"
        loaded = "performance.getEntriesByType('resource').map(each => each.name).filter(each => each.endsWith('.js'))"
        assert sorted(page.browser.run(loaded)) == sorted(page.browser.run(named))

    def test_playground(self, page: Page) -> None:
        """The result of a call stands beside its form in a wide window, and below it in others."""
        page.show("tools/clock__get_current_time", wait="The result of the call is shown here.")
        form, result = (page.browser.run(BOX % each) for each in ("form.draft", ".answered"))
        assert form[0] + form[2] <= result[0]
        assert abs(form[1] - result[1]) < form[3]
        page.look(820, "light")
        form, result = (page.browser.run(BOX % each) for each in ("form.draft", ".answered"))
        assert form[1] + form[3] <= result[1]

    def test_boxes(self, page: Page) -> None:
        """A box to check stands on the line of its label."""
        page.sign_in()
        page.show("access", wait="New token")
        page.press("New token")
        page.sees("Servers; without a choice all")
        assert max(page.browser.run(LABELS)) < 3

    def test_one_call_in_a_line(self, page: Page) -> None:
        """A client with a single call has it in the line of its calls over time."""
        page.show("usage", wait="Over time")
        eventually(
            lambda: page.browser.run(
                "[...document.querySelectorAll('.spark rect')].some(each => each.getBoundingClientRect().height > 1)"
            ),
            "the call is drawn",
        )
        assert page.browser.run("getComputedStyle(document.querySelector('.spark rect')).fill") != "none"
        page.sees("1 call")

    def test_times_of_a_log(self, page: Page) -> None:
        """The lines of a log have the times of the browser's time zone."""
        page.browser.ask("Emulation.setTimezoneOverride", timezoneId="Asia/Kathmandu")  # 5:45 h before UTC
        page.show("servers/clock/logs", wait="clock is served at")
        line = page.browser.run("document.querySelector('pre.log').innerText.split('\\n')[0]")
        text = command(page.gateway, "logs", "clock", "--json").splitlines()[0]
        hour = page.browser.run(
            f"new Date({json.dumps(json.loads(text)['time'])}).toLocaleTimeString(undefined,"
            " {hour: '2-digit', minute: '2-digit', second: '2-digit', fractionalSecondDigits: 3})"
        )
        assert line.startswith(hour)


class TrialTests:
    """A server that is added."""

    def test_a_failed_trial(self, page: Page) -> None:
        """A server whose trial fails is not added unless the user says so, and is added once."""
        page.sign_in()
        page.show("add")
        page.type("#pasted", json.dumps({"mcpServers": {"hasty": server(FAILS)}}))
        page.press("Try it and add it")
        page.sees("The trial has failed, so nothing is added.")
        assert "hasty" not in page.gateway.config.read_text()
        page.press("Add it all the same")
        page.sees("hasty is added")
        assert "hasty" in page.gateway.config.read_text()
        assert page.browser.run("document.querySelector('form.draft button[type=submit]').disabled")
        assert (
            page.browser.run("document.querySelector('form.draft button[type=submit]').innerText") == "Added"
        )
        page.show(wait="hasty")
        page.press("Settings: hasty")
        page.sees("args")
        command(page.gateway, "servers", "remove", "hasty", "--yes")


class UndoTests:
    """What was done to several at once."""

    def test_servers(self, page: Page) -> None:
        """Servers that were switched off together are switched on again by one button."""
        page.sign_in()
        page.show("servers", wait="other")
        page.browser.run("document.querySelector('thead input').click(); 0")
        page.press("Switch off the selected")
        page.sees("4 servers switched off")
        page.press("Undo")
        page.sees("4 servers switched on")
        states = {each["name"]: each["status"] for each in page.gateway.health()["backends"]}
        assert "disabled" not in states.values(), states

    def test_tools(self, page: Page) -> None:
        """Tools that were taken out of the offer together are offered again by one button."""
        page.sign_in()
        page.show("tools", wait="convert_time")
        page.press("Select all shown")
        page.press("Do not offer")
        page.sees("tools are not offered")
        page.press("Undo")
        page.sees("The tools are offered as before")
        servers = json.loads(page.gateway.config.read_text())["servers"]
        assert not any(each.get("tools_off") for each in servers.values())

    def test_never_called(self, page: Page) -> None:
        """Tools that nobody has called are taken out of the offer on the page Usage, and offered again."""
        page.sign_in()
        page.show("tools", wait="convert_time")
        page.show("usage", wait="Cost in a model")
        page.press("Do not offer the tools of clock that were never called")
        page.sees("The page Tools offers them again.")
        page.press("Do not offer")
        page.sees("of clock not offered any more")
        assert '"convert_time"' in page.gateway.config.read_text()
        page.press("Undo")
        page.sees("The tools are offered as before")
        assert '"convert_time"' not in page.gateway.config.read_text()
        page.press("Do not offer the tools of clock that were never called")  # the table has them again
        page.press("Cancel")

    def test_palette(self, page: Page) -> None:
        """What was done to one of several is told by its name, and the palette takes it back, too."""
        page.sign_in()
        page.show("servers", wait="other")
        page.browser.run("document.querySelector('[aria-label=\"Select other\"]').click(); 0")
        page.press("Switch off the selected")
        page.sees("other is switched off")
        page.strike("k", is_control=True)
        page.type("dialog input", "undo")
        page.sees("Undo: other is switched off")
        page.strike("Enter")
        page.sees("other is switched on")


class AgainTests:
    """A call that is done again."""

    def test_a_tool_for_clients_that_answer(self, page: Page) -> None:
        """A call of a tool that no list names for the gateway itself is done again by one button."""
        page.sign_in()
        page.show("tools/all__get-roots-list", wait="Ask its server")
        page.press("Ask its server")
        page.press("Call")
        page.sees("Answered after")
        page.show("calls", wait="get-roots-list")  # a new page, which has asked no server
        page.browser.run(
            "[...document.querySelectorAll('tbody td a')].find(each => each.innerText === 'get-roots-list').click(); 0"
        )
        page.press("Do it again")
        page.sees("Answered after")


class SignedInTests:
    """The dashboards that are signed in."""

    def test_names(self, page: Page) -> None:
        """Each has the name of its browser and system, and its machine."""
        page.sign_in()
        page.show("access", wait="Dashboards that are signed in")
        page.sees(" on Linux")
        page.sees("from this machine")
        page.sees("Authorization server")


class AwayTests:
    """A gateway that has stopped."""

    def test_pages_never_visited(self, page: Page, tmp_path_factory: pytest.TempPathFactory) -> None:
        """A page that is opened for the first time says that the gateway is away, and what starts it."""
        with Gateway(tmp_path_factory.mktemp("away"), {"clock": server(time())}) as gateway:
            own = Page(page.browser, gateway)
            own.sign_in()
            own.show("add", wait="Add a server")  # the part with the rarer pages is loaded
            gateway.kill()
            own.sees("stale")
            for path in ("servers", "tools", "clients", "usage", "access", "gateway"):
                own.follow(path)
                own.sees("The gateway is away; this is shown as soon as it answers.")
                own.sees("mcpgateway start")
                text = own.browser.run(TEXT)
                assert "written nothing yet" not in text
                assert text.count("The gateway does not answer") == 1
            gateway.start()
            own.sees_no_more("The gateway is away")

    def test_killed(self, page: Page, tmp_path_factory: pytest.TempPathFactory) -> None:
        """A server that had failed before the gateway was killed needs its user still, and its page says since when."""
        with Gateway(tmp_path_factory.mktemp("killed"), {"exits": server(FAILS)}) as gateway:
            own = Page(page.browser, gateway)
            command(gateway, "servers", "start", "exits", check=False)
            own.show(wait="1 thing needs you.")
            eventually((gateway.home / "failures.json").exists, "the failure is kept")
            gateway.kill()
            gateway.start()
            own.show(wait="1 thing needs you.")
            own.sees("exits ended during the handshake (exit code 3): no key")
            own.press("Why: exits")
            own.sees("it has not been tried since")
