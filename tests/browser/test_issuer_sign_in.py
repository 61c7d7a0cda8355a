"""A user of the dashboard signs in at an authorization server, in a real browser."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.functional.test_access import NOTEBOOK
from tests.support.browser import Browser
from tests.support.dashboard import AXE, IN_A_BROWSER, TEXT, VIOLATIONS, Page
from tests.support.gateway import Gateway, server
from tests.support.issuer import LiveIssuer

pytestmark = IN_A_BROWSER


@pytest.fixture(scope="module")
def issuer() -> Iterator[LiveIssuer]:
    """An authorization server."""
    with LiveIssuer() as live:
        live.granting = {"scope": "mcpgateway:admin"}
        yield live


@pytest.fixture(scope="module")
def gateway(issuer: LiveIssuer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway whose dashboard has a sign-in there."""
    made = Gateway(tmp_path_factory.mktemp("issuer"))
    oauth = {
        "issuer": issuer.url,
        "audience": ["https://mcp.example"],
        "dashboard": {"client_id": "dashboard"},
    }
    whole = json.loads(made.configured({"notes": server(NOTEBOOK)}))
    whole["settings"] = {"security": {"oauth": oauth}}
    made.config.write_text(json.dumps(whole))
    with made:
        yield made


def click(browser: Browser, name: str) -> None:
    """Click a link with the mouse, as only a user can: a script opens no tab."""
    at = json.loads(
        browser.run(f"""(() => {{
            const link = [...document.querySelectorAll("a")].find(each => each.innerText === {json.dumps(name)})
            const box = link.getBoundingClientRect()
            return JSON.stringify({{x: box.x + box.width / 2, y: box.y + box.height / 2}})
        }})()""")
    )
    for kind in ("mousePressed", "mouseReleased"):
        browser.ask("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **at)


class SignInTests:
    """The page stays as it is while another tab signs its user in."""

    def test_an_act(self, page: Page, issuer: LiveIssuer) -> None:
        """A press that needs rights is carried out after the sign-in, and other tabs learn no token."""
        name = f"Sign in at {issuer.url.removeprefix('http://')}"
        page.show("servers", wait="notes")
        page.press("Start notes")
        page.sees(name)
        page.browser.run(AXE.read_text() + "; 0")
        assert page.browser.run(VIOLATIONS) == []
        click(page.browser, name)
        page.sees("notes is started")
        page.sees("Sign out (admin)")
        page.show("access", wait=f"at {issuer.url}")
        page.sees(f"{issuer.url} whose tokens let clients in, and where users of the dashboard sign in")
        page.press("Sign out (admin)")
        page.sees_no_more("Sign out")

    def test_no_right(self, page: Page, issuer: LiveIssuer) -> None:
        """A user without rights is told so where the sign-in was begun."""
        name = f"Sign in at {issuer.url.removeprefix('http://')}"
        issuer.granting = {"scope": "openid"}
        page.show("servers", wait="notes")
        page.press("Unlock")
        page.sees(name)
        click(page.browser, name)
        page.sees("this account has no rights at the dashboard")
        assert "Sign out" not in page.browser.run(TEXT)

    def test_an_answer_of_another(self, page: Page) -> None:
        """The address of a sign-in that no page here has begun signs nobody in."""
        url = f"http://localhost:{page.gateway.port}/ui/signed-in?code=x&state=y"
        page.browser.go(url)
        page.sees("No open page of this browser has begun this sign-in")
        assert "code" not in page.browser.run("location.href")
        assert page.browser.run("sessionStorage.length") == 0
