"""Remarks on the version of a server's package, and on its tools that are held back."""

from __future__ import annotations

from collections.abc import Iterator

from mcpgateway.config.model import ServerSpec
from mcpgateway.hints import cli
from mcpgateway.hub.catalog.quarantine import Quarantine
from mcpgateway.policy.diagnosis import HELD_BACK, Advice


def notes_of(server: ServerSpec, quarantine: Quarantine | None) -> Iterator[Advice]:
    """Yield the remarks on a server, held-back tools first."""
    known = quarantine.lock.servers.get(server.name) if quarantine is not None else None
    if known is None or quarantine is None:
        return
    if held := quarantine.held(server):
        words = "; ".join(each.change.words for each in held.values())
        run = cli("servers approve {}", server.name)
        says = f"tools are held back, since no upgrade explains: {words}"
        yield Advice(HELD_BACK, says, "look at the changes", False, run)
    if known.republished:
        says = f"{known.current.version} of {known.package} has other files than when it was first run"
        do = "ask its publisher before you go on with it: a version is published once"
        yield Advice("republished", says, do, False)
    if known.newer is not None:
        run = cli("servers upgrade {}", server.name)
        says = f"{known.newer.version} of {known.package} is there, and {known.current.version} is in use"
        yield Advice("newer-version", says, "to compare them, and to switch", False, run)
