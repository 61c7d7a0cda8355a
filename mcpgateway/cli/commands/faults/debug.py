"""The commands that look inside of the gateway."""

from __future__ import annotations

import click

from mcpgateway.cli.lazy import CommandInfo, LazyGroup

WORDS = {
    "dump": CommandInfo("faults.dump:dump", "Print the whole state of the gateway, without secrets."),
    "activity": CommandInfo(
        "faults.activity:activity", "Show the latest calls and changes, and who made them."
    ),
    "trace": CommandInfo("faults.activity:trace", "Show what belongs to one trace, session or call."),
    "events": CommandInfo("faults.logs:events", "Follow the events of the gateway."),
    "record": CommandInfo("faults.tracing:record", "Export the latest messages to and from a server."),
    "replay": CommandInfo("faults.replay:replay", "Send a server what was said to it before, and compare."),
    "manhole": CommandInfo("faults.manhole:manhole", "Open a Python prompt inside of the running gateway."),
}


@click.group(cls=LazyGroup, table=WORDS, context_settings={"help_option_names": ["-h", "--help"]})
def debug() -> None:
    """Look inside of the gateway: its state, calls, events and messages."""
