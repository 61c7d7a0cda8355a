"""Run another command with a named configuration: the meaning of a file in place of a command."""

from __future__ import annotations

import os

import click

from mcpgateway.cli import entry
from mcpgateway.cli.console import fail
from mcpgateway.cli.context import Globals
from mcpgateway.cli.lazy import RawCommand
from mcpgateway.hints import cli

CONFIG_VARIABLE = "MCPGATEWAY_CONFIG"


@click.command("with", cls=RawCommand)
@click.pass_context
def with_(context: click.Context) -> object:
    """Run COMMAND so that what it starts reads FILE: with FILE COMMAND"""
    file, *words = context.args
    globals_: Globals = context.obj
    _check(globals_, file)
    os.environ[CONFIG_VARIABLE] = file
    home = ["--home", globals_.named_home] if globals_.named_home else []
    if words[0] in entry.SHIM:
        entry.relay([*home, *words])
    program = context.find_root().command
    as_json = ["--json"] if globals_.as_json else []
    return program.main([*home, *as_json, *words], "mcpgateway", standalone_mode=False)


def _check(globals_: Globals, file: str) -> None:
    """Check that no gateway of the home runs with another configuration, which the command would use instead."""
    from mcpgateway.cli.client import GatewayClient, NoGateway

    try:
        health = GatewayClient(globals_).ask("/health").value
    except NoGateway:
        return
    config = health.get("config") if isinstance(health, dict) else None
    files = config.get("files", ()) if isinstance(config, dict) else ()
    if files and os.path.realpath(file) not in {os.path.realpath(str(each)) for each in files}:
        fail(
            f"the gateway that runs does not read {file}",
            f"have it do so ({cli('restart --config {}', file)}), name {file} under include in its own"
            " configuration, or give this one a home of its own with --home",
        )
