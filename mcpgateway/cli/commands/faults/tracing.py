"""Commands for diagnosis: the reasons of a server's state, and its recorded messages."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from typing import Any

import click

from mcpgateway.cli import shell_path
from mcpgateway.cli.completion_values import server_names
from mcpgateway.cli.console import (
    DONE,
    FAILED,
    answer,
    fail,
    heading,
    in_json,
    local_time,
    paragraph,
    remedy,
    say,
    shortened,
    show,
)
from mcpgateway.cli.context import Globals
from mcpgateway.cli.lazy import SuggestingGroup
from mcpgateway.cli.queries import ask, sharing
from mcpgateway.hints import cli
from mcpgateway.units import duration

EXPORT_S = 30.0
HISTORY = 20  # events that are shown to a person
DIRECTORIES = 4  # of a PATH that are shown to a person
WORDS = 8  # lines of stderr that are shown to a person
MISSING = "command-not-found"  # the cause of a program that the gateway does not find
GOOD = frozenset(("child.ready", "server.enabled", "server.reset", "server.passed"))
BAD = frozenset(("child.start_failed", "child.gone", "server.given_up", "server.disabled", "server.stuck"))


@click.command()
@click.argument("server", required=False, shell_complete=server_names)
@click.option("--all", "is_whole", is_flag=True, help="All that is kept of its history, and of its stderr.")
@click.pass_obj
def why(globals_: Globals, server: str | None, *, is_whole: bool) -> int:
    """Tell why a server is as it is: how it is started, what has happened, and what helps.

    Without a name it explains each server that needs its user. Exit code 1 where something is wrong.
    """
    if server is None:
        return _explain_all(globals_, is_whole=is_whole)
    found = _diagnosis(globals_, server)
    answer(globals_, found, lambda: _tell(_told_here(globals_, found), is_whole=is_whole))
    return DONE if found.get("ok") is True else FAILED


def _diagnosis(globals_: Globals, server: str) -> dict[str, Any]:
    found: dict[str, Any] = ask(globals_, "/api/v1/servers/{name}/why", name=server, has="verdict")
    return found


def _explain_all(globals_: Globals, *, is_whole: bool) -> int:
    needs = ask(globals_, "/api/v1/overview", has="needs")["needs"]
    found = [_diagnosis(globals_, each["name"]) for each in needs if each.get("kind") == "server"]
    others = len(needs) - len(found)

    def tell() -> None:
        for number, each in enumerate(found):
            if number:
                say()
            _tell(_told_here(globals_, each), is_whole=is_whole)
        if others:
            say(f"{cli('status')} shows {others} other thing{'' if others == 1 else 's'} that need you.")
        elif not found:
            say("Nothing is wrong with any server.")

    answer(globals_, {"items": found}, tell)
    return FAILED if needs else DONE


@click.group(cls=SuggestingGroup, bare=None, context_settings={"help_option_names": ["-h", "--help"]})
def record() -> None:
    """The flight recorder: the latest lines that were said to a server, and by it."""


@record.command()
@click.argument("server", shell_complete=server_names)
@click.option(
    "--output",
    "-o",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Write to a file that only you can read.",
)
@click.option("--last", type=click.IntRange(1), metavar="N", help="Only so many of the latest lines.")
@click.option(
    "--exact", "is_exact", is_flag=True, help="With secrets, for an administrator; needed to replay them."
)
@click.pass_obj
def export(globals_: Globals, server: str, output: str | None, last: int | None, *, is_exact: bool) -> None:
    """Print what was said to a server and by it, without secrets: one JSON object on each line."""
    lines = ask(
        globals_,
        "/api/v1/servers/{name}/record",
        name=server,
        params={"limit": last, "exact": "true" if is_exact else None},
        is_admin=True,
        limit_s=EXPORT_S,
        has="lines",
    )["lines"]
    text = "".join(in_json(each, indent=None) + "\n" for each in lines)
    if output is None:
        show(text, nl=False)
        return
    _write_privately(output, text)
    answer(
        globals_, {"file": output, "lines": len(lines)}, lambda: say(f"{len(lines)} lines are in {output}")
    )


def _write_privately(path: str, text: str) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    try:
        with open(os.open(path, flags, 0o600), "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(text)
    except OSError as why:
        fail(f"{path} cannot be written: {why.strerror}")


def _told_here(globals_: Globals, found: dict[str, Any]) -> dict[str, Any]:
    """Return the diagnosis, with the remedy for a program that this shell finds, and the gateway does not."""
    if not (do := shell_path.remedy_of(globals_, found)):
        return found
    here = {"do": f"{do}: {shell_path.RESTART}", "run": shell_path.RESTART}
    advice = [{**each, **(here if each.get("cause") == MISSING else {})} for each in found["advice"]]
    return {**found, "advice": advice}


def _tell(found: Mapping[str, Any], *, is_whole: bool) -> None:
    paragraph(str(found["verdict"]), fg="green" if found.get("ok") else "red")
    _tell_advice(found.get("advice") or ())
    if found.get("login_url"):
        heading("Where to sign in")
        say(f"  {cli('servers login {}', found.get('server'))}, or open")
        say(f"  {found['login_url']}")
    _tell_launch(found, is_whole=is_whole)
    _tell_breaker(found)
    _tell_history(found.get("history") or (), None if is_whole else HISTORY)
    words = found.get("stderr") or ()
    if words:
        heading("Its last words on stderr")
        for line in words if is_whole else words[-WORDS:]:
            say(f"  {line}", is_foreign=True)


def _tell_advice(advice: Any) -> None:
    troubles = [each for each in advice if each.get("trouble")]
    notes = [each for each in advice if not each.get("trouble")]
    if troubles:
        heading("What is wrong, and what helps")
    for number, each in enumerate(troubles, 1):
        paragraph(f"  {number}. {each.get('says')}")
        key = str(each.get("key") or "")
        remedy(str(each.get("do") or ""), str(each.get("run") or ""), "     ", "-> ", key=key)
    if notes:
        heading("Worth knowing")
    for each in notes:
        paragraph(f"  - {each.get('says')}" + (f"; {each.get('do')}" if each.get("do") else ""))


def _tell_launch(found: Mapping[str, Any], *, is_whole: bool) -> None:
    launch = found.get("launch")
    if not isinstance(launch, dict):
        return
    is_missing = "program" in launch and not launch.get("program")
    path = str(launch.get("path") or "").split(":") if is_missing else []
    looked_in = ", ".join(map(shortened, path))
    if len(path) > DIRECTORIES and not is_whole:
        looked_in = f"the {len(path)} directories of its PATH, which --all shows"
    heading("How it is reached" if launch.get("url") else "How it is started")
    rows = {
        "address": launch.get("url"),
        "image": launch.get("image"),
        "command": _line(launch.get("command")),
        "started as": _line(launch.get("started_as")),
        "start": launch.get("start"),
        "program": shortened(str(launch.get("program") or ""))
        or ("not found" if "program" in launch else None),
        "looked in": looked_in,
        "directory": shortened(str(launch.get("cwd") or "")),
        "entry": shortened(str(found.get("source") or "")),
        "share": sharing(found),
        "has asked": ", ".join(map(str, found.get("asked") or ())),
        "at once": _at_once(found),
        "processes": ", ".join(map(str, found.get("pids") or ())),
    }
    for name, value in rows.items():
        if value:
            say(f"  {name:<11} {value}")


def _line(words: Any) -> str:
    return shlex.join(map(str, words)) if words else ""


def _at_once(found: Mapping[str, Any]) -> str:
    calls = found.get("concurrency")
    if not isinstance(calls, dict) or (calls.get("limit") == "none" and not calls.get("reason")):
        return ""
    if calls.get("watched") and not calls.get("waiting"):
        return ""  # of a server that has hardly been used, which concerns nobody
    limit = {
        "none": "any number of calls",
        "writes": "one call that may change something, and any number of others",
    }.get(str(calls.get("limit")), f"{calls.get('limit')} calls")
    waiting = f"; {calls['waiting']} wait" if calls.get("waiting") else ""
    return f"{limit}: {calls.get('reason')}{waiting}"


def _tell_breaker(found: Mapping[str, Any]) -> None:
    breaker = found.get("breaker")
    if not isinstance(breaker, dict) or not (breaker.get("open") or breaker.get("failed_starts")):
        return
    heading("Its circuit breaker")
    limit, window = breaker.get("limit"), float(breaker.get("window_seconds") or 0)
    paragraph(f"  {breaker.get('why') or 'closed'}")
    say(f"  {breaker.get('failed_starts')} of {limit} failed starts in a row")
    say(f"  {breaker.get('restarts_in_window')} of {limit} unexpected ends within {duration(window)}")
    if breaker.get("tries_in_seconds") is not None:
        when = duration(breaker["tries_in_seconds"])
        say(f"  tried again in {when}; should that fail, the wait doubles up to an hour")


def _tell_history(history: Any, most: int | None) -> None:
    if not history:
        return
    heading("What has happened")
    shown = history[-most:] if most else history
    if len(shown) < len(history):
        say(f"  ... {len(history) - len(shown)} earlier ones: --all", dim=True)
    for each in shown:
        event = str(each.get("event"))
        mark = "+" if event in GOOD else "!" if event in BAD else " "
        times = f" ({each['times']} times)" if (each.get("times") or 1) > 1 else ""
        paragraph(
            f"  {local_time(str(each.get('at')))} {mark} {each.get('text')}{times}",
            fg="green" if mark == "+" else "red" if mark == "!" else None,
        )
