"""The command that opens the dashboard."""

from __future__ import annotations

import click

from mcpgateway.cli.browser import opened
from mcpgateway.cli.client import GatewayClient, NoGateway
from mcpgateway.cli.console import answer, fail, say
from mcpgateway.cli.context import Globals
from mcpgateway.hints import cli

CODES = "/api/v1/ui/codes"
PAGES, NOT_BUILT = "/ui/", 503
EXAMPLES = f"""\b
Examples:
  {cli("ui")}                  open the dashboard, signed in
  {cli("ui --read-only")}      open it to look, not to change anything
  {cli("ui --code")}           print a code for a browser on another machine
"""


@click.command(epilog=EXAMPLES)
@click.option("--no-open", is_flag=True, help="Print the address, and open no browser.")
@click.option("--read-only", is_flag=True, help="Let the dashboard look, not change anything.")
@click.option("--code", "is_code", is_flag=True, help="Print only a code to paste into the dashboard.")
@click.pass_obj
def ui(globals_: Globals, *, no_open: bool, read_only: bool, is_code: bool) -> None:
    """Open the dashboard in a browser, signed in.

    The address holds a code that is valid once, for a minute.
    """
    rights = "look" if read_only else "admin"
    client = GatewayClient(globals_)
    if _status(client) == NOT_BUILT:
        fail(
            "the gateway was installed without the dashboard: npm, which builds it, was missing",
            "install npm, and install the gateway again from its checkout (with pipx: pipx install --force .)",
        )
    found = client.fetch(CODES, method="POST", body={"rights": rights})
    base = (globals_.url or found["url"]).rstrip("/")
    url = f"{base}/ui/#code={found['code']}"
    if is_code:
        answer(
            globals_, {"code": found["code"], "expires_in": found["expires_in"]}, lambda: say(found["code"])
        )
        return
    is_opened = not no_open and opened(url)

    def tell() -> None:
        if is_opened:
            say(f"The dashboard is open in your browser: {base}/ui/")
        else:
            if not no_open:
                say("There is no browser here that can be opened. The address of the dashboard is", dim=True)
            say(url)
            say(f"Open it within {found['expires_in']} s; it is valid once.", dim=True)

    answer(globals_, {"url": url, "expires_in": found["expires_in"], "opened": is_opened}, tell)


def _status(client: GatewayClient) -> int:
    """Return the status of the dashboard's page."""
    try:
        return client.ask(PAGES).status
    except NoGateway as why:
        client.unreachable(why)
