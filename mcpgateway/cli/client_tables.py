"""Tables and sentences of the commands for clients' files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mcpgateway.cli.console import say, table
from mcpgateway.clientfiles.report import difference
from mcpgateway.config.document import visible

if TYPE_CHECKING:
    from mcpgateway.clientfiles.deadman import DeadmanState
    from mcpgateway.clientfiles.plan import FilePlan, UntouchedEntry
    from mcpgateway.clientfiles.report import FileReport, Report

COLOURS = {"+": "green", "-": "red", "@": "cyan"}
KINDS = {"program": "programs", "ours": "enrolled", "remote": "URLs", "off": "off", "odd": "unusable"}


def tell_detected(found: Sequence[Mapping[str, Any]]) -> None:
    """Print a line for each file of each client."""
    rows: list[list[str]] = []
    for client in found:
        for file in client["files"]:
            counts = [str(file["servers"].get(kind, 0) or "-") for kind in KINDS]
            rows.append([client["tool"], *counts, visible(file["path"]) + (" (!)" if file["error"] else "")])
        if not client["files"]:
            rows.append([client["tool"], *("-" for _ in KINDS), f"{visible(client['expected'])} (none yet)"])
    if not rows:
        say("no client that is known has a file on this machine")
        return
    table(["client", *KINDS.values(), "file"], rows)
    for client in found:
        for file in client["files"]:
            if file["error"]:
                say(f"(!) {visible(file['error'])}", fg="yellow")


def tell_listed(found: Mapping[str, Any]) -> None:
    """Print a line for each file that uses the gateway."""
    rows = [
        [
            each["client"],
            each["mode"],
            each["state"] + (f" ({visible(each['why'])})" if each["why"] else ""),
            ", ".join(visible(name) for name in dict.fromkeys(each["servers"].values())) or "-",
            visible(each["path"]),
        ]
        for each in found["files"]
    ]
    if rows:
        table(["client", "mode", "file is", "servers", "file"], rows)
    else:
        say("no client uses the gateway; mcpgateway clients plan shows what apply would do")
    if found["opted_out"]:
        say(f"stay their clients' own: {', '.join(map(visible, found['opted_out']))}")
    for each in found["problems"]:
        say(visible(each), fg="yellow")


def tell_planned(plans: Sequence[FilePlan], behind: Mapping[str, Sequence[str]]) -> None:
    """Print a diff of each file, and below it the entries that stay as they are.

    :param behind: the titles of the entries that another gateway has left, by the path of their file.
    """
    restored = {(path, title) for path, titles in behind.items() for title in titles}
    for path, title in sorted(restored):
        what = "is restored from the backup of immorterm-mcp-gateway, and uses the gateway"
        say(f"{visible(path)}: {visible(title)} {what}")
    for each in plans:
        for line in difference(each):
            say(line, fg=COLOURS.get(line[:1]) if line[:3] not in ("+++", "---") else None)
        if each.trouble:
            say(visible(each.trouble), fg="red")
        _tell_left(each.site.path, [one for one in each.left if (each.site.path, one.title) not in restored])
    if not restored and not any(each.is_change for each in plans):
        say("nothing would change")


def tell_report(report: Report) -> None:
    """Print the changes of each file."""
    if report.rolled_back:
        say(f"all is as it was before: {visible(report.rolled_back)}", fg="red", err=True)
    for each in report.files:
        for line in _lines(each):
            say(line)
        if each.error and each.error != report.rolled_back:
            say(visible(each.error), fg="red", err=True)
        _tell_left(each.path, each.left)
    if not (report.is_changed or report.rolled_back or report.errors):
        say("nothing had to be changed")


def tell_watched(found: DeadmanState) -> None:
    """Print how long the gateway has been away, and the changes that followed."""
    if found.is_there:
        say("the gateway answers")
    elif found.away_s:
        say(f"no gateway has answered for {found.away_s:.0f} s")
    if found.report is not None:
        tell_report(found.report)


def _lines(each: FileReport) -> Iterator[str]:
    path = visible(each.path)
    for title, name in {**each.adopted, **each.renewed}.items():
        yield f"{path}: {visible(title)} uses the gateway, as {name}"
    if each.restored:
        exactly = ", to the byte" if each.exact else ""
        yield f"{path}: as before{exactly}: {', '.join(map(visible, each.restored))}"
    for title, source in each.rebuilt.items():
        yield f"{path}: {visible(title)} was put together again from {visible(source)}"
    if each.gone:
        yield f"{path}: stays removed: {', '.join(map(visible, each.gone))}"
    if each.kept:
        yield f"{path}: was changed by its user and is left: {', '.join(map(visible, each.kept))}"
    if each.in_place:
        yield f"{path}: was written in place, since {each.in_place}"


def _tell_left(path: str, left: Sequence[UntouchedEntry]) -> None:
    for each in left:
        title = f" {visible(each.title)}" if each.title else ""
        say(f"{visible(path)}:{title} stays: {visible(each.why)}", dim=True)
        if each.hint:
            say(f"  {visible(each.hint)}", dim=True)
