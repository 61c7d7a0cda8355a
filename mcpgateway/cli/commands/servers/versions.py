"""Versions of servers' packages, and tools that are held back."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Any

import click

from mcpgateway.cli.commands.servers.servers import API, SERVER, of_name
from mcpgateway.cli.completion_values import held_tool_names, server_names
from mcpgateway.cli.console import DONE, FAILED, answer, confirm, fail, paragraph, say
from mcpgateway.cli.context import Globals
from mcpgateway.cli.queries import TableQuery, ask, text
from mcpgateway.hints import cli

INSTALL_S = 400.0  # a version has to be fetched, and started beside the one in use
NO_VERSIONS = (
    "No server with a package of npx, uvx, bunx or pipx has run so far; its first start locks the version."
)
VERSIONS = TableQuery(
    API,
    {"NAME": text("name"), "VERSION": text("version"), "NEWER": text("newer_version", "-")},
    none=NO_VERSIONS,
)
_yes = click.option("--yes", "-y", is_flag=True, help="Do not ask.")


@click.command()
@click.argument("name", metavar="[NAME]", required=False, shell_complete=server_names)
@click.option("--check", is_flag=True, help="Only compare: nothing is switched.")
@click.option("--to", "version", metavar="VERSION", default="", help="This version, in place of the newest.")
@click.option("--rollback", is_flag=True, help="Go back to the version before the upgrade.")
@_yes
@click.pass_obj
def upgrade(
    globals_: Globals, name: str | None, *, check: bool, version: str, rollback: bool, yes: bool
) -> int:
    """Compare a newer version of a server's package with the one in use, and give it to new sessions.

    Without NAME: the versions of all servers. The newer version is started beside the one in use, which no client
    notices, and the lists of tools are compared. Sessions that are open keep the former version until they end.
    """
    if name is None:
        if check or version or rollback or yes:
            raise click.UsageError("name a server")
        found = VERSIONS.ask(globals_, {"tools": "false"})
        found = [each for each in VERSIONS.rows(found) if each.get("version")]
        VERSIONS.answer(globals_, found, lambda: VERSIONS.tell(found))
        return DONE
    if rollback:
        found = _post(globals_, name, "rollback", {}, f"going back with {name}")
        answer(globals_, found, lambda: paragraph(f"New sessions of {name} get {found['version']} again."))
        return DONE
    found = _post(
        globals_, name, "check-upgrade", {"version": version} if version else {}, f"comparing {name}"
    )
    newer = found.get("newer")
    if check or newer is None:
        answer(globals_, found, lambda: _tell_comparison(name, found))
        return FAILED if newer and newer["fault"] and not newer["compared"] else DONE
    if not globals_.as_json:
        _tell_comparison(name, found)
    _ask_first(f"Give new sessions of {name} {newer['version']}?", f"{name} is not upgraded", yes=yes)
    done = _post(globals_, name, "upgrade", {"version": newer["version"]}, f"upgrading {name}")
    answer(globals_, done, lambda: _tell_upgrade(name, found["version"], done["version"]))
    return DONE


@click.command()
@of_name
@click.argument("tools", metavar="[TOOL]...", nargs=-1, shell_complete=held_tool_names)
@_yes
@click.pass_obj
def approve(globals_: Globals, name: str, tools: tuple[str, ...], *, yes: bool) -> None:
    """Show the tools of a server that are held back because they have changed, and offer them again."""
    lock = ask(globals_, SERVER, name=name, has="name").get("lock") or {}
    held = {each["tool"]: each for each in lock.get("held", ())}
    if unknown := [each for each in tools if each not in held]:
        fail(
            f"{unknown[0]} of {name} is not held back",
            f"{cli('servers approve {}', name)} shows those that are",
        )
    chosen = [held[each] for each in tools or held]
    if not chosen:
        answer(globals_, lock, lambda: paragraph(f"No tool of {name} is held back."))
        return
    if not globals_.as_json:
        _tell_changes(chosen)
    _ask_first(
        f"Offer {'this tool' if len(chosen) == 1 else 'these tools'} again?", "nothing is approved", yes=yes
    )
    digests = {each["tool"]: each["digest"] for each in chosen}
    found = _post(globals_, name, "approve", {"tools": digests}, "approving")
    answer(globals_, found, lambda: paragraph(f"{name} offers {', '.join(digests)} again."))


def _post(globals_: Globals, name: str, verb: str, body: Mapping[str, Any], waits: str) -> dict[str, Any]:
    found: dict[str, Any] = ask(
        globals_,
        f"{SERVER}/{verb}",
        method="POST",
        body=body,
        limit_s=INSTALL_S,
        waits=waits,
        is_admin=True,
        has="version",
        name=name,
    )
    return found


def _ask_first(question: str, left: str, *, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        fail(f"{left}: nobody can be asked", "--yes goes on without asking")
    if not confirm(question, err=True):
        fail(left)


def _tell_comparison(name: str, found: Mapping[str, Any]) -> None:
    newer, version = found.get("newer"), found["version"]
    if newer is None:
        paragraph(f"{name} runs {version}, and its package has no newer version.")
        return
    say(f"{found['package']}: {version} is in use, {newer['version']} is there", bold=True)
    if newer["fault"]:
        paragraph(f"  not compared: {newer['fault']}")
    elif newer["changes"]:
        _tell_changes(newer["changes"])
    else:
        paragraph("  All tools are the same.")


def _tell_changes(changes: Iterable[Mapping[str, Any]]) -> None:
    for each in changes:
        paragraph(f"  {each['words']}")
        for title, words in (("was", each["before"]), ("is", each["after"])):
            if words:
                paragraph(f"    {title:<4}", words)


def _tell_upgrade(name: str, before: str, after: str) -> None:
    kept = f"those that are open keep {before} until they end, if two processes may run"
    paragraph(f"New sessions of {name} get {after}; {kept}.")
    paragraph(f"  {cli('servers upgrade {} --rollback', name)} goes back.")
