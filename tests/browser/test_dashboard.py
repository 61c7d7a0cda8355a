"""The dashboard in a real Chromium, from a real gateway with servers that work, break, chatter and mean ill."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.dashboard import IN_A_BROWSER, LOOKS, TEXT, Page
from tests.support.dashboard import command as _command
from tests.support.gateway import Gateway, eventually, server
from tests.support.mcp_registry import McpRegistry, package, server_json
from tests.support.protected import several
from tests.support.real_servers import everything, fixture, time
from tests.support.registry import Registry

pytestmark = IN_A_BROWSER
PAGES = ("", "servers", "servers/clock", "servers/broken", "servers/clock/tools", "servers/clock/logs",
         "servers/clock/sessions", "servers/clock/calls", "servers/all/prompts", "servers/evil/settings", "tools",
         "tools/all__get-sum", "calls", "clients", "usage", "access", "gateway", "add", "nothing")  # fmt: skip
EVIL = "<img src=x onerror='document.title=\"run\"'>\u202eevil"
MANY = """window.fetch = (fetch => (url, options) => {
    if (!String(url).includes("follow=true")) return fetch(url, options)
    const call = number => ({
        at: `2026-11-24T01:00:00.${String(number).padStart(6, "0")}Z`, id: `many${number}`, kind: "call",
        server: "clock", method: "tools/call", tool: `tool${number}`, ms: number, outcome: "error", principal: "local"})
    const events = Array.from({length: 10000}, (_, number) => `data: ${JSON.stringify(call(number))}\n\n`).join("")
    return Promise.resolve(new Response(new ReadableStream({
        start(stream) { stream.enqueue(new TextEncoder().encode(events)) }
    })))
})(window.fetch); 0"""
FILLED = "document.querySelector('#argument-text')?.value"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway whose servers work, cannot start, chatter, and have names and descriptions that are scripts."""
    servers = {
        "clock": server(time()),
        "broken": server(["/nowhere/server"]),
        "other": server(fixture()),
        "evil": server(fixture("--hostile-text", EVIL)),
        "all": server(everything()),
    }
    key = {"name": "KEY", "description": "key of the API", "isRequired": True, "isSecret": True}
    mode = {
        "name": "MODE",
        "description": "how it tells",
        "isRequired": True,
        "choices": ["fast", "slow"],
    }
    directory = tmp_path_factory.mktemp("dashboard")
    with McpRegistry() as registry, Registry() as npm:
        npm.publish("teller", "1.0.0")
        teller = package("npm", "teller", "1.0.0", environmentVariables=[key, mode])
        registry.publish(server_json("io.github.o/teller", teller))
        groups = [{"match": "all|evil", "key": "test servers", "title": "Fixtures"}]
        settings = {"registry_url": registry.url, "groups": groups}
        environ = {"npm_config_registry": npm.url, "HOME": str(directory)}
        with Gateway(directory, servers, settings=settings, environ=environ) as made:
            yield made


class LookTests:
    """Looking."""

    def test_is_everything_all_right(self, page: Page) -> None:
        """The first page says what needs the user, and why, before anything is pressed; status says the same."""
        page.show()
        page.sees("1 thing needs you.")
        page.sees("/nowhere/server is not there")
        assert "1 thing needs you" in _command(page.gateway, "status", check=False)
        page.press("Why: broken")
        page.sees("broken is stopped")

    def test_a_call_is_seen(self, page: Page) -> None:
        """The calls of a session are counted on the page a moment later, and its client is named."""
        page.show()
        _command(page.gateway, "tools", "call", "clock__get_current_time", "timezone=UTC")
        page.show("tools", wait="get_current_time")
        page.sees("clock")
        page.show("usage", wait="Time in tools")
        used = page.browser.run(TEXT)
        page.show()
        page.sees("Calls in the last hour")
        calls = re.search(r"(\d+) call", used)
        assert calls is not None
        assert calls[0] in page.browser.run(TEXT)  # the same figure on both pages

    def test_the_stream(self, page: Page) -> None:
        """What happens elsewhere is shown without a press."""
        page.show("servers")
        page.sees("live")
        _operate(page.gateway, "clock", "start")
        page.sees("running")
        _operate(page.gateway, "clock", "stop")
        page.sees_no_more("running")


class ActTests:
    """Changing something."""

    def test_locked(self, page: Page) -> None:
        """Without a session a press asks for one; a wrong code is refused, and a right one lets it happen."""
        page.show("servers")
        page.press("Start clock")
        page.sees("Unlock the dashboard")
        page.type("dialog input[type=password]", "guess")
        page.press("Unlock")
        page.sees("this is no valid code or token")
        page.browser.run("document.querySelector('dialog input[type=password]').value = ''; 0")
        page.type("dialog input[type=password]", _command(page.gateway, "ui", "--code").strip())
        page.press("Unlock")
        page.sees("clock is started")
        page.sees("running")

    def test_signed_in(self, page: Page) -> None:
        """The command signs the dashboard in; its code is gone from the address, and works once."""
        page.sign_in()
        assert "code" not in page.browser.run("location.href + JSON.stringify(history.state)")
        page.show("servers")
        page.press("Switch off other")
        page.sees("other is off")
        page.press("Switch on other")
        page.sees("other is on")
        page.press("Sign out (admin)")
        page.sees_no_more("Sign out")
        assert page.browser.run("sessionStorage.length + localStorage.length") == 0

    def test_a_group(self, page: Page) -> None:
        """A group is one line in its worst state, opened by a click; a button acts on all of its servers."""
        page.sign_in()
        page.show("servers", wait="test servers")
        assert "evil" not in page.browser.run(TEXT)
        page.browser.run("document.querySelector('.group summary').click(); 0")
        page.sees("evil")
        page.press("Switch off test servers")
        page.sees("test servers: 2 servers switched off")
        page.press("Switch on test servers")
        page.sees("test servers: 2 servers switched on")

    def test_a_finding(self, page: Page) -> None:
        """The doctor's findings stand on the page of the gateway; one is repaired with a button, after a question."""
        token = page.gateway.home / "auth.token"
        token.chmod(0o644)
        page.sign_in()
        page.show("gateway", wait="Findings of the doctor")
        page.sees("auth.token")
        page.press(page.browser.run("document.querySelector('button[aria-label^=Fix]').ariaLabel"))
        page.sees("Fix this?")
        page.press("Fix")
        page.sees("Fixed")
        eventually(lambda: token.stat().st_mode & 0o777 == 0o600, "the file is the user's alone")
        page.sees("clock is served at")  # in the gateway's own log, on the same page

    def test_one_entry(self, page: Page) -> None:
        """A client's file can be enrolled by one entry for all servers, which is restored like the others."""
        file = page.gateway.home.parent / ".cursor" / "mcp.json"
        file.parent.mkdir(exist_ok=True)
        before = json.dumps({"mcpServers": {"single": server(fixture())}})
        file.write_text(before)
        page.sign_in()
        page.show("clients", wait=str(file))
        page.choose("main li select", "single")
        page.press("Enrol cursor")
        page.press("Enrol")
        page.sees("cursor uses the gateway from its next start")
        (url,) = [each["url"] for each in json.loads(file.read_text())["mcpServers"].values()]
        assert url.endswith("/mcp")
        assert "single" not in url
        page.sees("by one entry for all servers")
        page.press("Restore cursor")
        page.press("Restore")
        page.sees("cursor has its own servers again")
        assert file.read_text() == before
        file.unlink()

    def test_enrol_and_restore(self, page: Page) -> None:
        """A client's file is enrolled after its change was shown, without its secrets, and restored to the byte."""
        file = page.gateway.home.parent / ".cursor" / "mcp.json"
        file.parent.mkdir(exist_ok=True)
        before = json.dumps({"mcpServers": {"hers": {**server(fixture()), "env": {"TOKEN": "very secret"}}}})
        file.write_text(before)
        page.sign_in()
        page.show("clients", wait=str(file))
        page.choose("label.choice select", "http")
        page.press("Enrol cursor")
        page.sees("hers/mcp")
        assert "very secret" not in page.browser.run("document.documentElement.outerHTML")
        page.press("Enrol")
        page.sees("cursor uses the gateway from its next start")
        assert "hers/mcp" in file.read_text()
        page.sees("by URL")
        enrolled = file.read_text()
        page.press("Restore cursor")
        page.sees("Restore cursor?")
        _sees_diff(page, "hers/mcp", "***REDACTED***")
        assert file.read_text() == enrolled  # a look changes nothing
        page.press("Restore")
        page.sees("has its own servers again")
        assert file.read_text() == before

    def test_history_of_a_file(self, page: Page) -> None:
        """What was done with a file stands below it, with each change as a diff and the way back before it."""
        file = page.gateway.home.parent / ".cursor" / "mcp.json"
        file.parent.mkdir(exist_ok=True)
        before = json.dumps({"mcpServers": {"old": {**server(fixture()), "env": {"TOKEN": "very secret"}}}})
        file.write_text(before)
        _command(page.gateway, "clients", "apply", "--http", "--yes", "--file", str(file))
        enrolled = file.read_text()
        assert enrolled != before
        page.sign_in()
        page.show("clients", wait=str(file))
        page.open("History of cursor")
        page.sees("enrolled, by URL: old")
        newest = json.loads(_command(page.gateway, "--json", "clients", "history"))["items"][0]["version"]
        page.press(f"Diff of change {newest} of cursor")
        _sees_diff(page, "old/mcp", "***REDACTED***")
        page.press("Close")
        file.write_text(json.dumps({"mcpServers": {}}))  # by the client
        page.press(f"Return cursor to before change {newest}")
        page.sees("holds exactly what it held before")
        page.press("Return")
        page.sees(f"cursor is as it was before change {newest}")
        assert file.read_text() == before
        page.sees("Enrol\n")  # the file stands among those that do not use the gateway
        page.open("History of cursor")
        page.sees("restored, by URL")
        page.press(f"Return cursor to before change {newest + 1}")
        page.press("Return")
        page.sees(f"cursor is as it was before change {newest + 1}")
        assert json.loads(file.read_text()) == {"mcpServers": {}}
        assert "very secret" not in page.browser.run("document.documentElement.outerHTML")

    def test_approve_and_refuse(self, page: Page) -> None:
        """A repository's file waits on the overview, and is refused or approved after a look at what it would run."""
        shop = page.gateway.home.parent / "shop"
        (shop / ".git").mkdir(parents=True)
        (shop / ".mcp.json").write_text(json.dumps({"mcpServers": {"shopkeeper": {"command": "/opt/shop"}}}))
        assert "approve" in _initialized(page.gateway, "", "shopkeeper", **{"Mcp-Project-Path": str(shop)})
        page.sign_in()
        page.show(wait="is not approved as it is now")
        page.press(f"Look: {shop}/.mcp.json")
        page.sees("/opt/shop")
        page.press(f"Refuse: {shop}/.mcp.json")
        page.sees("refused, until it changes")
        page.press(f"Withdraw the answer: {shop}/.mcp.json")
        page.sees("waits for your approval")
        page.press(f"Approve: {shop}/.mcp.json")
        page.sees("with all your rights.")
        page.press("Approve")
        page.sees("approved, until it changes")
        page.show()
        page.sees_no_more("is not approved")

    def test_project_files(self, page: Page) -> None:
        """Files of a project are enrolled after a look at the change, and restored to the byte."""
        project = page.gateway.home.parent / "garden"
        (project / ".git").mkdir(parents=True)
        files = [project / each for each in (".mcp.json", ".cursor/mcp.json", ".vscode/mcp.json")]
        keys = ("mcpServers", "mcpServers", "servers")
        for file, key, name in zip(files, keys, ("rake", "hoe", "saw"), strict=True):
            file.parent.mkdir(exist_ok=True)
            file.write_text(json.dumps({key: {name: {**server(fixture()), "env": {"TOKEN": "very secret"}}}}))
        before = [each.read_text() for each in files]
        _initialized(page.gateway, "", "rake", **{"Mcp-Project-Path": str(project)})
        page.sign_in()
        page.show("clients", wait=str(files[2]))
        page.sees("waits for your approval")
        for file, name in zip(files, ("rake", "hoe", "saw"), strict=True):
            page.choose(f'.enrolment:has([aria-label="Enrol {file}"]) select', "http")
            page.press(f"Enrol {file}")
            _sees_diff(page, f"{name}/mcp", "***REDACTED***")
            page.press("Enrol")
            page.sees(f"{file} uses the gateway from its next start")
            assert f"{name}/mcp" in file.read_text()
        for file in files:
            page.press(f"Restore {file}")
            _sees_diff(page, "***REDACTED***")
            page.press("Restore")
            page.sees(f"{file} has its own servers again")
        assert [each.read_text() for each in files] == before
        assert "very secret" not in page.browser.run("document.documentElement.outerHTML")

    def test_switch_tools(self, page: Page) -> None:
        """Selected tools are taken out of the offer, seen as such, and offered again."""
        page.sign_in()
        page.show("servers/clock", wait="clock")
        _operate(page.gateway, "clock", "start")
        page.show("tools", wait="convert_time")
        page.type("input.filter", "clock")
        page.press("Select all shown")
        page.sees("2 selected")
        page.press("Do not offer")
        page.sees("2 tools are not offered")
        page.sees("2 of them not offered")
        assert "tools_off" in page.gateway.config.read_text()
        page.press("Select all shown")
        page.press("Offer")
        page.sees("2 tools are offered")
        page.sees("0 of them not offered")
        page.press("Select all shown")
        page.press("Pin")
        page.sees("2 tools are pinned")
        page.sees("offered, pinned")
        page.press("Select all shown")
        page.press("Unpin")
        page.sees_no_more("offered, pinned")

    def test_read_only(self, page: Page) -> None:
        """A dashboard that may look asks before it changes anything."""
        page.sign_in("--read-only")
        page.show("servers")
        page.press("Start other")
        page.sees("Unlock the dashboard")

    def test_add_and_remove(self, page: Page) -> None:
        """A pasted entry is tried and added; the server is removed after a question."""
        page.sign_in()
        page.show("add")
        page.type("#pasted", json.dumps({"mcpServers": {"added": server(fixture())}}))
        page.press("Try it and add it")
        page.sees("added is added")
        page.show("servers/added", wait="Remove this server")
        page.press("Remove this server: added")
        page.sees("Remove added?")
        page.press("Remove")
        page.sees("added is removed")
        eventually(lambda: "added" not in page.gateway.config.read_text(), "the entry is removed")

    def test_settings(self, page: Page) -> None:
        """A change of settings is tried, shown, written and merged; a secret is replaced unseen."""
        entry = {**server(fixture()), "timeout": "30s", "env": {"TOKEN": "very secret"}}
        config = json.loads(page.gateway.config.read_text())
        config["servers"]["kept"] = entry  # by hand: the command would keep the secret in a file of its own
        page.gateway.config.write_text(json.dumps(config))
        eventually(lambda: "kept" in _command(page.gateway, "servers", "list"), "the entry is followed")
        page.sign_in()
        page.show("servers/kept/settings", wait="set, not shown")
        assert "very secret" not in page.browser.run("document.documentElement.outerHTML")
        page.type_over("#field-timeout", "soon")
        page.press("Save")
        page.press("Write")
        page.sees("servers.kept.timeout: found 'soon'")  # beside the button and on top
        assert page.browser.run("document.activeElement.id") == "field-timeout"
        assert "found 'soon'" in page.browser.run("document.getElementById('field-timeout-hint').innerText")
        page.follow("usage")
        page.sees("Leave the page?")
        page.press("Cancel")
        assert page.browser.run("location.pathname") == "/ui/servers/kept/settings"
        page.type_over("#field-timeout", "20s")
        page.press("Replace TOKEN")
        page.type("input[aria-label='Value of TOKEN']", "another secret")
        page.press("Try it first")
        page.sees("All steps passed, in")
        _command(page.gateway, "servers", "set", "kept", "timeout=10s")
        page.press("Save")
        page.sees("30s → 20s")
        page.press("Write")
        page.sees("Somebody else has changed kept meanwhile")
        page.sees("30s → 10s")
        page.press("Save")
        page.sees("10s → 20s")
        page.sees("The gateway runs, as you,")
        assert "another secret" not in page.browser.run(TEXT)
        page.press("Write")
        page.sees("kept is changed: timeout, env.TOKEN")
        written = json.loads(page.gateway.config.read_text())["servers"]["kept"]
        assert (written["timeout"], written["env"]["TOKEN"]) == ("20s", "another secret")
        page.sees("set, not shown")
        page.browser.run("scrollTo(0, 1000); 0")
        page.follow("usage")
        page.sees("shortened lists and results")  # what is written is left without a question
        assert page.browser.run("[scrollY, document.activeElement.id]") == [0, "main"]

    def test_faults(self, page: Page) -> None:
        """A fault leads to the field that mends it, a try tells its outcome, and a sign-in opens in another tab."""
        wants = """[ "$ACME_KEY" ] || { echo "KeyError: 'ACME_KEY'" >&2; exit 1; }; exec """
        argv = ["sh", "-c", wants + shlex.join(fixture())]
        _command(
            page.gateway, "servers", "add", "keyed", "--definition", json.dumps(server(argv)), check=False
        )
        page.sign_in()
        page.show("servers", wait="keyed")
        page.press("Try now: broken")
        page.sees("broken could not be started: the program /nowhere/server is not there")
        page.press("Set ACME_KEY of keyed")
        page.type("input[aria-label='Value of ACME_KEY']", "anything")
        page.press("Save")
        page.press("Write")
        page.sees("keyed is changed: env.ACME_KEY")
        page.press("Restart keyed")
        page.sees("keyed is started")
        with several() as start:
            page.show("add")
            page.type("#pasted", json.dumps({"mcpServers": {"guarded": {"url": start().url}}}))
            page.press("Try it and add it")
            page.sees("guarded is added: it needs a sign-in.")
            page.press("Sign in at guarded")
            page.sees("The sign-in of guarded is open in another tab")  # where its user has said yes before
            page.show("servers/guarded", wait="ready")
            page.press("Start guarded")
            page.sees("guarded is started")
            _command(page.gateway, "servers", "remove", "guarded", "--yes")

    def test_install(self, page: Page) -> None:
        """A server of the catalogue is found, asks for its inputs, and is installed; its secret is kept apart."""
        page.sign_in()
        page.show("add", wait="Search the catalogue")
        page.type("input[placeholder='browser, database, notes']", "teller")
        page.press("Install io.github.o/teller")
        page.press("Install it")
        page.sees("how it tells")
        page.type("#need-KEY", "hush hush")
        page.choose("#need-MODE", "slow")
        page.press("Install it")
        page.sees("lists its tools, and writes it into its configuration")
        page.press("Install")
        page.sees("teller is installed: 1 tool.")
        entry = json.loads(page.gateway.config.read_text())["servers"]["teller"]
        assert entry["env"] == {"KEY": "${TELLER_KEY}", "MODE": "slow"}

    def test_gateway_settings(self, page: Page) -> None:
        """A setting of the gateway is shown as a change, and written; an error in a file is named with its line."""
        page.sign_in()
        page.show("gateway", wait="Settings of the gateway")
        page.sees("ping_interval")
        page.type_over("#field-ping_interval", "45s")
        page.press("Save")
        page.sees("not set → 45s")
        page.press("Write")
        page.sees("Changed: ping_interval (counts at once)")
        before = page.gateway.config.read_text()
        assert json.loads(before)["gateway"]["ping_interval"] == "45s"
        page.gateway.config.write_text(before.replace('"45s"', '"soon"'))
        page.show("gateway", wait="error: ")
        page.sees("line 1: gateway.ping_interval: found 'soon'")
        page.gateway.config.write_text(before)
        page.show("gateway", wait="Values that count")
        page.sees_no_more("error: ")
        page.sees("Whether the gateway serves its dashboard")
        page.choose("#field-ui", "false")
        page.press("Save")
        page.sees("The dashboard is switched off, and this page with it.")
        page.press("Cancel")
        page.press("Shut down the gateway")
        page.sees("enrolled clients get their own servers back")
        page.press("Cancel")


class AccessTests:
    """Who may."""

    def test_a_token(self, page: Page) -> None:
        """A token is shown once and is good for the servers that were chosen; revoked, it is good for nothing."""
        page.sign_in()
        page.show("access")
        page.press("New token")
        page.type("#token-name", "build")
        page.browser.run("document.querySelector('fieldset input[value=clock]').click()")
        page.press("Make the token")
        page.sees("The token is shown only now")
        token = page.browser.run("document.querySelector('dialog code').innerText")
        page.press("Done")
        page.sees_no_more(token)
        page.sees("build")
        assert "mcp-time" in _initialized(page.gateway, token, "clock")
        assert "this token may not use other" in _initialized(page.gateway, token, "other")
        page.press("Revoke the token build")
        page.press("Revoke")
        page.sees("build is revoked")
        assert _initialized(page.gateway, token, "clock") == "401"

    def test_not_an_administrator(self, page: Page) -> None:
        """Others are told who is shown it, and may unlock."""
        page.sign_in("--read-only")
        page.show("access")
        page.sees("Tokens and sign-ins are shown to administrators.")


class HostileTests:
    """Servers that mean ill."""

    def test_texts_are_texts(self, page: Page) -> None:
        """A script in a server's texts is shown, with its hidden characters, and never run."""
        _operate(page.gateway, "evil", "start")
        page.sign_in()
        for tab in ("tools", "logs", "status", "sessions"):
            page.show(f"servers/evil/{tab}", wait="evil")
        page.show("tools", wait="Select all shown")
        page.press(page.browser.run("[...document.querySelectorAll('tbody th a')].find("
                                    "each => each.href.includes('evil__')).innerText.trim()"))  # fmt: skip
        page.sees("Copy as JSON-RPC")
        assert page.browser.run("document.querySelectorAll('img, script:not([src])').length") == 0
        page.show("servers/evil/tools", wait="onerror")
        shown = page.browser.run(TEXT)
        assert "<img src=x" in shown
        assert "\\u{202e}" in shown
        assert "\u202e" not in shown
        assert page.browser.run("document.querySelectorAll('img, script:not([src])').length") == 0
        assert page.browser.run("document.title") != "run"

    def test_no_script_of_another(self, page: Page) -> None:
        """The policy of the page refuses scripts in its text, and strings that become code."""
        page.show()
        refused = """(() => { try { document.body.innerHTML = "<b>x</b>"; return false } catch { return true } })()"""
        assert page.browser.run(refused) is True

    def test_no_frame(self, page: Page, tmp_path: Path) -> None:
        """Another page cannot show the dashboard in a frame."""
        frame = tmp_path / "frame.html"
        frame.write_text(f"<iframe src='{page.gateway.url}/ui/'></iframe>")
        page.browser.go(frame.as_uri())
        found = "(() => { try { return document.querySelector('iframe').contentDocument } catch { return null } })()"
        assert page.browser.run(found) is None


class PlaygroundTests:
    """Trying a tool, as a client of the server's endpoint."""

    def test_call(self, page: Page) -> None:
        """A form is filled in and called without a sign-in; the result, its size and the messages are shown."""
        page.show("servers/all", wait="all")
        _operate(page.gateway, "all", "start")
        page.show("servers/all/tools", wait="get-sum")
        page.press("get-sum")
        page.sees("First number")
        page.press("Call")
        page.sees("This value is needed")
        page.type("#argument-a", "2")
        page.type("#argument-b", "40")
        page.press("Call")
        page.agree()
        page.sees("The sum of 2 and 40 is 42.")
        page.sees("tokens")
        page.press("JSON")
        assert json.loads(page.browser.run("document.querySelector('form textarea').value")) == {
            "a": 2,
            "b": 40,
        }
        page.show("tools/all__get-sum", wait="Earlier calls in this browser")
        page.sees('{"a":2,"b":40}')

    def test_image(self, page: Page) -> None:
        """A picture of a result is drawn from a blob, and HTML is shown as its source."""
        page.show("tools/all__get-tiny-image", wait="takes no arguments")
        page.press("Call")
        page.agree()
        page.sees("the image you requested")
        drawn = "document.querySelector('img.result')?.naturalWidth > 0"
        eventually(lambda: page.browser.run(drawn) is True, "the picture is drawn")

    def test_elicitation(self, page: Page) -> None:
        """A server's question is a form: its answer, and a refusal, reach the server."""
        _play(page, "all__trigger-elicitation-request", "takes no arguments")
        page.press("Call")
        page.agree()
        page.sees("The server asks you")
        page.type("form.asked input", "Ada")
        page.press("Accept")
        page.sees("User provided the requested information")
        page.sees("Ada")
        page.press("Call")
        page.sees("The server asks you")
        page.press("Decline")
        page.sees("declined to provide")

    def test_tools_for_clients_that_answer(self, page: Page) -> None:
        """Tools that a server lists only for clients that it can ask back are found, and one that is a task is run."""
        _command(page.gateway, "discover", "all")
        page.sign_in()
        page.show("servers/all/tools", wait="get-sum")
        page.press("Ask it now: the tools of all")
        page.sees("trigger-elicitation-request")
        page.sees("only for clients that answer questions")
        page.show("tools", wait="List them, too")
        page.press("List them, too")
        page.sees("trigger-sampling-request")
        _play(page, "all__simulate-research-query", "runs as a task")
        page.type("#argument-topic", "tides")
        page.press("Call")
        page.agree()
        page.sees("Research Report: tides")

    def test_sampling(self, page: Page) -> None:
        """A server's prompt for a model is shown and answered by hand, or refused."""
        _play(page, "all__trigger-sampling-request", "prompt")
        page.type("#argument-prompt", "Say a number")
        page.press("Call")
        page.agree()
        page.sees("Say a number")
        page.type("form.asked textarea", "Forty-two")
        page.press("Send")
        page.sees("Forty-two")
        page.press("Call")
        page.sees("answer in its place")
        page.press("Refuse")
        page.sees("The user refuses")

    def test_progress_and_cancel(self, page: Page) -> None:
        """A long call shows its progress, and ends when it is cancelled."""
        page.show("tools/all__trigger-long-running-operation", wait="duration")
        page.press("Call")
        page.agree()
        page.sees(" of 5")
        page.press("Cancel")
        page.sees("the user has cancelled it")
        page.type("input[placeholder=none]", "1")
        page.press("Call")
        page.sees("The call took longer than 1 s, and was cancelled")

    def test_resources_and_prompts(self, page: Page) -> None:
        """A server's resources are listed and read, and prompts got with their arguments."""
        page.show("servers/all/resources", wait="List resources")
        page.press("List resources")
        page.sees("architecture.md")
        page.press("Read architecture.md")
        page.sees("text/markdown, as text")
        page.show("servers/all/prompts", wait="List prompts")
        page.press("List prompts")
        page.sees("args-prompt")
        page.press("Get args-prompt")
        page.sees("This value is needed")
        page.type("#prompt-args-prompt-city", "Rome")
        page.press("Get args-prompt")
        page.sees("Rome?")

    def test_completion(self, page: Page) -> None:
        """What is typed into an argument of a prompt is completed by the server; a template's variables are fields."""
        page.show("servers/all/prompts", wait="List prompts")
        page.press("List prompts")
        page.sees("completable-prompt")
        page.type("#prompt-completable-prompt-department", "E")
        values = "[...document.querySelectorAll('#prompt-completable-prompt-department-values option')]"
        eventually(
            lambda: page.browser.run(f"{values}.map(each => each.value)") == ["Engineering"],
            "the value is completed",
        )
        page.show("servers/all/resources", wait="List resources")
        page.press("List resources")
        page.sees("demo://resource/dynamic/text/{resourceId}")
        page.type("#template-Dynamic\\ Text\\ Resource-resourceId", "7")
        page.sees("demo://resource/dynamic/text/7")
        page.press("Read Dynamic Text Resource")
        page.sees("Resource 7")

    def test_a_session_that_may_not(self, page: Page) -> None:
        """A browser whose token is not valid is told so in place of a result."""
        page.show("tools/all__echo", wait="message")
        page.browser.run("sessionStorage.setItem('mcpgateway-session', '{\"token\": \"mcpgd_wrong\"}')")
        page.browser.run("window.fetch = (fetch => (url, options) => String(url).endsWith('/mcp') ? fetch(url, "
                         "{...options, headers: {...options.headers, Authorization: 'Bearer mcpgd_wrong'}})"
                         " : fetch(url, options))(window.fetch); 0")  # fmt: skip
        page.type("#argument-message", "x")
        page.press("Call")
        page.agree()
        page.sees("the token is not valid")


class CallsTests:
    """The calls of all clients, for an administrator."""

    def test_locked(self, page: Page) -> None:
        """A browser that may look sees numbers, and why it sees no more."""
        page.show("calls", wait="is for an administrator")
        page.sees("calls in the last hour")
        page.press("Unlock the calls")
        page.sees("Unlock the dashboard")

    def test_live(self, page: Page) -> None:
        """A call is there by itself a second after its end, and on its server's page; its page tells all of it."""
        page.sign_in()
        page.show("calls", wait="Slower than")
        _call(page.gateway, "clock__get_current_time", "timezone=Asia/Tokyo")
        page.sees("get_current_time")
        _call(page.gateway, "clock__get_current_time", "timezone=Nowhere")
        page.sees("the tool says that it has failed")
        page.press("Pause")
        page.sees("paused")
        page.press("Pause")
        page.choose("[data-name=Outcome]", "failed")
        failed = (
            "[...document.querySelectorAll('tbody tr')].map(each => each.innerText.includes('has failed'))"
        )
        eventually(lambda: set(page.browser.run(failed)) == {True}, "only failed calls are shown")
        page.show("servers/clock/calls", wait="get_current_time")
        page.browser.run("document.querySelectorAll('tbody th a')[1].click(); 0")
        for each in ("Where its time went", "upstream", "was with the server"):
            page.sees(each)
        page.sees("To the server: tools/call")
        page.sees("Asia/Tokyo")
        page.press("Do it again")
        page.sees("current time")
        page.sees("Earlier calls in this browser")
        page.sees('{"timezone":"Asia/Tokyo"}')

    def test_again(self, page: Page) -> None:
        """A call is filled in again without its secrets; one that is too long to be kept says so."""
        page.sign_in()
        secret = _latest_call(page.gateway, "other__echo", "text=hello", "api_key=very-secret-1")
        page.show(f"calls/{secret}", wait="Secrets are typed again there, since nothing keeps them: api_key.")
        page.press("Do it again")
        eventually(lambda: page.browser.run(FILLED) == "hello", "the argument is filled in")
        assert "Answered after" not in page.browser.run(TEXT)
        long = _latest_call(page.gateway, "other__echo", f"text={'x' * 100_000}")
        page.show(f"calls/{long}", wait="The gateway has not kept the arguments of this call")
        page.press("Open the tool in the playground")
        page.sees("Copy as curl")

    def test_questions(self, page: Page) -> None:
        """A question that a call has caused stands in its waterfall, below the time with the server."""
        page.sign_in()
        _play(page, "all__trigger-elicitation-request", "takes no arguments")
        page.press("Call")
        page.agree()
        page.sees("The server asks you")
        page.press("Decline")
        page.sees("declined to provide")
        page.press("Call")
        page.sees("The server asks you")
        page.press("Decline")
        page.sees_no_more("The server asks you")
        page.show("calls", wait="trigger-elicitation-request")
        page.browser.run("document.querySelector('tbody th a').click(); 0")
        page.sees("elicitation/create")
        page.sees("waited for the client")
        names = page.browser.run(
            "[...document.querySelectorAll('.waterfall tbody th')].map(each => each.innerText)"
        )
        assert names.index("elicitation/create") == names.index("upstream") + 1
        page.sees("mcpgateway-dashboard")
        page.sees("Calls of the same session")

    def test_hostile(self, page: Page) -> None:
        """A server's texts are texts here, too."""
        _operate(page.gateway, "evil", "start")
        request = urllib.request.Request(
            f"{page.gateway.url}/api/v1/servers/evil/call",
            json.dumps({"tool": EVIL}).encode(),
            {"Authorization": f"Bearer {(page.gateway.home / 'auth.token').read_text().strip()}"},
        )
        with contextlib.suppress(urllib.error.HTTPError):
            urllib.request.urlopen(request, timeout=60).close()
        page.sign_in()
        page.show("calls", wait="evil")
        page.browser.run("document.querySelector('tbody th a').click(); 0")
        page.sees("Where its time went")
        assert "\u202e" not in page.browser.run(TEXT)
        assert page.browser.run("document.querySelectorAll('img').length") == 0
        assert page.browser.run("document.title") != "run"

    def test_many(self, page: Page) -> None:
        """Of ten thousand calls a few rows are drawn, and keys step through them."""
        page.sign_in()
        page.show("calls", wait="Slower than")
        page.browser.run(MANY)
        page.choose("[data-name=Outcome]", "failed")
        rows = "document.querySelector('table')?.getAttribute('aria-rowcount')"
        eventually(lambda: page.browser.run(rows) == "10001", "all calls are rows")
        assert page.browser.run("document.querySelectorAll('tbody tr').length") < 200
        page.browser.run("document.querySelector('.rows').scrollTop = 200000; 0")
        page.sees("tool3939")  # the row at that height
        page.browser.run("document.querySelector('.rows').focus(); 0")
        for _ in range(2):
            page.browser.ask("Input.dispatchKeyEvent", type="keyDown", key="j", text="j")
        assert page.browser.run("document.activeElement.pathname").startswith("/ui/calls/many")


class GoneTests:
    """A gateway that ends under the page."""

    def test_killed(self, page: Page, tmp_path_factory: pytest.TempPathFactory) -> None:
        """The page says that its figures are stale, and is live again by itself."""
        with Gateway(tmp_path_factory.mktemp("killed"), {"clock": server(time())}) as gateway:
            own = Page(page.browser, gateway)
            own.show()
            own.sees("live")
            gateway.kill()
            own.sees("stale")
            own.follow("clients")
            own.sees("The gateway does not answer")
            gateway.start()
            own.sees_no_more("stale")
            own.sees("live")
            own.sees("No client has a session now.")  # the page asks again by itself
            own.sees_no_more("The gateway does not answer")
            own.sign_in()
            own.show("gateway")
            own.press("Restart the gateway")
            own.sees("Servers are stopped, and start again with their next request")
            own.press("Restart")
            own.sees("The gateway restarts")


class EveryoneTests:
    """All pages, for people who use a screen reader, a keyboard or a telephone."""

    @pytest.mark.parametrize(("width", "mode"), LOOKS)
    def test_every_page(self, page: Page, width: int, mode: str) -> None:
        """A page is as wide as the window at most, axe finds nothing, and the browser's console is empty."""
        page.sign_in()
        page.look(width, mode)
        assert page.faults(*PAGES, f"calls/{_latest_call(page.gateway)}") == {}

    @pytest.mark.parametrize("width", [1440, 390])
    def test_forced_colours_and_still(self, page: Page, width: int) -> None:
        """With the system's own colours and without motion, a page has no fault either."""
        page.sign_in()
        page.look(width, "dark", ("forced-colors", "active"), ("prefers-reduced-motion", "reduce"))
        assert page.faults("", "servers", "tools", "usage") == {}
        moving = "document.getAnimations().filter(each => each.playState === 'running').length"
        assert page.browser.run(moving) == 0

    def test_keys(self, page: Page) -> None:
        """A page is opened, and a table filtered, by keys; a letter in a field is a letter."""
        page.show()
        for key in "gs":
            page.browser.ask("Input.dispatchKeyEvent", type="keyDown", key=key, text=key)
        page.sees("Switch off")
        page.browser.ask("Input.dispatchKeyEvent", type="keyDown", key="/", text="/")
        page.browser.ask("Input.insertText", text="clo")
        for key in "go":
            page.browser.ask("Input.dispatchKeyEvent", type="keyDown", key=key, text=key)
        page.sees("No server matches.")
        assert page.browser.run("location.pathname") == "/ui/servers"


def _sees_diff(page: Page, *texts: str) -> None:
    page.sees("@@")
    shown = page.browser.run("document.querySelector('dialog .diff').innerText")
    assert [each for each in texts if each not in shown] == [], shown


def _call(gateway: Gateway, tool: str, *arguments: str) -> None:
    _command(gateway, "tools", "call", tool, *arguments, check=False)


def _latest_call(gateway: Gateway, tool: str = "clock__get_current_time", *arguments: str) -> str:
    _call(gateway, tool, *(arguments or ("timezone=UTC",)))
    found: str = json.loads(_command(gateway, "--json", "logs", "--calls"))["items"][-1]["id"]
    return found


def _initialized(gateway: Gateway, token: str, name: str, **more: str) -> str:
    """The answer to a first request with a token, or the status of its refusal."""
    params = {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "t", "version": "1"},
    }
    message = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}
    headers = {
        **({"Authorization": f"Bearer {token}"} if token else {}),
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        **more,
    }
    request = urllib.request.Request(f"{gateway.url}/{name}/mcp", json.dumps(message).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return str(answer.read())
    except urllib.error.HTTPError as why:
        return str(why.code)


def _play(page: Page, tool: str, wait: str) -> None:
    """Show a tool in the playground; its server is asked for one that it lists only for clients that answer."""
    page.show(f"tools/{tool}")
    ask = "Ask its server"
    eventually(lambda: _seen(page, wait, ask), f"{wait}, or {ask}")
    if _seen(page, ask):
        page.press(ask)
    page.sees(wait)


def _seen(page: Page, *words: str) -> list[str]:
    found = page.browser.run(TEXT)
    return [each for each in words if each in found]


def _operate(gateway: Gateway, name: str, operation: str) -> None:
    _command(gateway, "servers", operation, name)
