"""Enter the gateway's servers in Claude Code's configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mcpgateway.cli.console import DONE, DRIFT, ROLLED_BACK, answer, fail, say
from mcpgateway.cli.context import Globals
from mcpgateway.hints import cli

if TYPE_CHECKING:
    from mcpgateway.clientfiles.install import Drift, InstallMode, InstallScope

NO_TOKEN = "no entry holds a token, so there is none to refresh"  # noqa: S105 - says so


@click.command("install-claude-code")
@click.option("--mode", type=click.Choice(("aggregate", "proxy", "both")), default="proxy",
              help="One entry for all servers, one for each (the default), or both.")  # fmt: skip
@click.option("--scope", type=click.Choice(("user", "project", "local")), default="user",
              help="For all projects (the default), in .mcp.json here, or for yourself in this project.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Only say what would be written.")
@click.option(
    "--check-only", is_flag=True, help="Only say what is not as it should be; exit code 3 if anything."
)
@click.option("--no-patch", is_flag=True, help="Accepted; no program of anybody's is ever patched.")
@click.option(
    "--refresh-token", is_flag=True, help="Accepted; tokens are never written into a client's file."
)
@click.pass_context
def install(context: click.Context, *, mode: str, scope: str, dry_run: bool, check_only: bool, no_patch: bool,
            refresh_token: bool) -> None:  # fmt: skip
    """Give Claude Code an entry for every server of the gateway.

    To enrol the entries that are there already, use: mcpgateway clients apply --client claude-code. Both
    are undone by: mcpgateway clients undo.

    Exit code 3: --check-only has found a difference. 4: it did not work, and everything is as it was.
    """
    from mcpgateway.clientfiles.install import InstallMode, InstallScope

    del no_patch
    if refresh_token:
        say(NO_TOKEN, err=True)
    context.exit(
        _install(context.obj, InstallMode(mode), InstallScope(scope), is_dry=dry_run, is_check=check_only)
    )


def _install(
    globals_: Globals, mode: InstallMode, scope: InstallScope, *, is_dry: bool, is_check: bool
) -> int:
    import os

    from mcpgateway.clientfiles.install import RolledBack, drift, install, target, wanted
    from mcpgateway.clientfiles.machine import Machine
    from mcpgateway.errors import ConfigError

    machine = Machine(globals_.home, os.environ)
    where = target(machine, scope, os.getcwd())
    try:
        entries = wanted(machine, where, mode)
        look = drift if is_dry or is_check else install
        found = look(machine, where, entries)
    except RolledBack as why:
        fail(str(why), "nothing was changed", ROLLED_BACK)
    except ConfigError as why:
        fail(str(why), why.hint)
    verb = "is missing or different" if is_check else "would be written" if is_dry else "written"
    value = {
        "file": where.site.path,
        "missing": [each.key_path[-1] for each in found.missing],
        "different": [each.key_path[-1] for each in found.different],
        "foreign": [each.key_path[-1] for each in found.foreign],
        "changed": bool(found.changes) and not (is_dry or is_check),
    }
    answer(globals_, value, lambda: _tell(where.site.path, found, verb))
    return DRIFT if is_check and found.changes else DONE


def _tell(path: str, found: Drift, verb: str) -> None:
    for each in found.changes:
        say(f"{each.key_path[-1]}: {verb}")
    for each in found.foreign:
        say(f"{each.key_path[-1]}: is there already and is another server; left as it is", fg="yellow")
    if not found.changes:
        say(f"{path} is as it should be" + (" but for that" if found.foreign else ""))
    elif verb == "written":
        say(f"{path} is written; sessions that begin now use it, and {cli('clients undo')} takes it back")
