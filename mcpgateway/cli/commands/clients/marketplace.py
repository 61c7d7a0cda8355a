"""Remove directories that mcp-ctl has left among the plugins of Claude Code."""

from __future__ import annotations

import os
import shutil
import stat
import time

import click

from mcpgateway.cli.console import DONE, FAILED, answer, fail, say
from mcpgateway.cli.context import Globals
from mcpgateway.cli.lazy import SuggestingGroup

BACKUP = ".bak"
DAY_S = 86_400.0


@click.group(cls=SuggestingGroup, context_settings={"help_option_names": ["-h", "--help"]})
def marketplace() -> None:
    """Clear up what mcp-ctl has left in the marketplaces of Claude Code; this gateway has none there."""


@marketplace.command()
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@click.option(
    "--max-age",
    type=click.IntRange(0),
    default=7,
    show_default=True,
    metavar="DAYS",
    help="Leave younger ones.",
)
@click.option(
    "--root",
    type=click.Path(),
    metavar="DIRECTORY",
    help="Where they are (default: ~/.claude/plugins/marketplaces).",
)
@click.pass_obj
def cleanup(globals_: Globals, *, dry_run: bool, max_age: int, root: str | None) -> int:
    """Remove the directories NAME.bak that are older than some days.

    mcp-ctl has left one whenever it replaced a marketplace, and Claude Code reads them all at each start.
    """
    where = root or os.path.expanduser("~/.claude/plugins/marketplaces")
    found = _stale(where, time.time() - max_age * DAY_S)
    failed = {} if dry_run else {path: why for path in found if (why := _remove(path))}
    removed = [] if dry_run else [path for path in found if path not in failed]
    value = {"root": where, "stale": found, "removed": removed, "failed": failed}

    def tell() -> None:
        if not found:
            say(f"There is nothing to remove in {where}.")
        for path in found:
            verb = (
                "would be removed" if dry_run else f"stays: {failed[path]}" if path in failed else "removed"
            )
            say(f"{path}: {verb}")

    answer(globals_, value, tell)
    return FAILED if failed else DONE


def _stale(root: str, before: float) -> list[str]:
    try:
        names = sorted(each for each in os.listdir(root) if each.endswith(BACKUP))
    except FileNotFoundError:
        return []
    except OSError as why:
        fail(f"{root}: cannot be read: {why.strerror}")
    return [path for name in names if _is_stale(path := os.path.join(root, name), before)]


def _is_stale(path: str, before: float) -> bool:
    try:
        found = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_mtime <= before


def _remove(path: str) -> str:
    try:
        shutil.rmtree(path)
    except OSError as why:
        return why.strerror or str(why)
    return ""
