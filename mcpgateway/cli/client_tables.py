"""Tables and sentences of the commands for clients' files."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from attrs import evolve

from mcpgateway.cli.console import local_time, say, shortened, table
from mcpgateway.clientfiles.formats.client_format import ELSEWHERE, EntryKind
from mcpgateway.clientfiles.plan import WHY, UntouchedEntry
from mcpgateway.clientfiles.report import AS_LEFT, DRIFTED, EDITED, RESTORED, difference
from mcpgateway.config.document import visible
from mcpgateway.config.load import DISABLED
from mcpgateway.hints import cli
from mcpgateway.units import duration

if TYPE_CHECKING:
    from mcpgateway.clientfiles.deadman import DeadmanState
    from mcpgateway.clientfiles.enrol_edit import ChangedEntry
    from mcpgateway.clientfiles.plan import FilePlan
    from mcpgateway.clientfiles.report import FileReport, Report

GIT_S = 2.0  # a repository on a slow disk is not waited for
COLOURS = {"+": "green", "-": "red", "@": "cyan"}
PLAN_COLUMNS = ("FILE", "CLIENT", "SERVERS THAT USE THE GATEWAY", "HOW")
HOW = {"http": "by URL", "fail-open": "by command", "single": "one entry for all"}
HOW_IT_WORKS = {
    "fail-open": "the entry runs a command of the gateway, which runs the server itself where no gateway answers.",
    "http": "the entry has the address of the gateway, and works only while the gateway runs.",
}
AT_LOGIN = f"{cli('service install')} starts the gateway at every login, for the entries by URL."
STATES = {AS_LEFT: "enrolled", EDITED: "enrolled, edited since", DRIFTED: "partly enrolled"}
RESTORED_SINCE = {
    DISABLED: "by the pause",
    "stopped": "when the gateway was stopped",
    "away": "when no gateway answered",
}
NO_FILES = f"No client has a file with servers; {cli('servers add NAME URL')} adds one for installed clients."
NEW_SESSIONS = "New sessions of these clients use the gateway; sessions that run keep their servers."
KINDS = {"program": "programs", "ours": "enrolled", "remote": "URLs", "off": "off", "odd": "unusable"}


def tell_detected(found: Sequence[Mapping[str, Any]]) -> None:
    """Print a line for each file of each client."""
    rows: list[list[str]] = []
    for client in found:
        for file in client["files"]:
            counts = [str(file["servers"].get(kind, 0) or "-") for kind in KINDS]
            rows.append([client["tool"], *counts, _path(file["path"]) + (" (!)" if file["error"] else "")])
        if not client["files"]:
            rows.append([client["tool"], *("-" for _ in KINDS), f"{_path(client['expected'])} (none yet)"])
    if not rows:
        say("no client that is known has a file on this machine")
        return
    table(["CLIENT", *(each.upper() for each in KINDS.values()), "FILE"], rows)
    for client in found:
        for file in client["files"]:
            if file["error"]:
                say(f"(!) {_path(file['error'])}", fg="yellow")


def tell_listed(found: Mapping[str, Any]) -> None:
    """Print a line for each file that uses the gateway."""
    rows = [
        [
            each["client"],
            HOW.get(mode, mode),
            _state(each, found["paused_until"]),
            ", ".join(names) or "-",
            _path(each["path"]),
        ]
        for each in found["files"]
        for mode, names in _by_mode(each).items()
    ]
    if rows:
        table(["CLIENT", "HOW", "STATE", "SERVERS", "FILE"], rows)
        for each in found["files"]:
            _tell_left(each["path"], [UntouchedEntry(**one) for one in each["left"]])
    else:
        say(f"no client uses the gateway; {cli('clients plan')} shows what {cli('clients apply')} would do")
    if found["opted_out"]:
        out = [each.rpartition(":")[2] for each in found["opted_out"]]
        say(f"Servers that are not enrolled, as you have said: {', '.join(map(visible, found['opted_out']))}")
        name = out[0] if len(set(out)) == 1 else "NAME"
        say(
            f"  {cli('clients apply --server {}', name)} enrols {'it' if len(out) == 1 else 'one of them'}",
            dim=True,
        )
    for each in found["problems"]:
        say(visible(each), fg="yellow")


def _by_mode(file: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the names of the servers of a file by the way in which their entries use the gateway."""
    found: dict[str, list[str]] = {}
    for name, mode in dict.fromkeys((_named(each), each["mode"]) for each in file["entries"]):
        found.setdefault(mode, []).append(name)
    return found or {file["mode"]: []}


def _named(entry: Mapping[str, Any]) -> str:
    title, name = visible(entry["title"]), visible(entry["name"])
    return name if title == name else f"{title} (as {name})"


def _state(file: Mapping[str, Any], paused_until: str | None) -> str:
    """Return the state of a file for people; the reasons for its entries are told below the table."""
    state, suspended = str(file["state"]), file["suspended"]
    if state == RESTORED:
        until = f" until {local_time(paused_until)}" if paused_until and suspended == DISABLED else ""
        return f"restored {RESTORED_SINCE.get(suspended, suspended)}{until}"
    why = f" ({visible(file['why'])})" if file["why"] and not file["left"] else ""
    words = "not enrolled any more" if file["left"] and not file["entries"] else STATES.get(state, state)
    return words + why


def tell_changes(plans: Sequence[FilePlan], *, has_service: bool = False) -> None:
    """Print a line for each file that changes, and one more for each project in it and each way into the gateway.

    :param has_service: the gateway is installed as a service, so that it runs whenever its user is there.
    """
    rows = [
        [_place(each.site.path, project), each.site.dialect.name, ", ".join(servers), HOW.get(mode, mode)]
        for each in plans
        if each.is_change
        for mode, changes in _modes(each.changes).items()
        for project, servers in _by_project(changes).items()
    ]
    if rows:
        table(PLAN_COLUMNS, rows)
    whys = {
        one.name: one.why_name for each in plans if each.is_change for one in each.changes if one.why_name
    }
    for name, why in whys.items():
        say(f"as {visible(name)}: {_path(why)}.", dim=True)
    tell_tracked(each.site.path for each in plans if each.is_change)
    modes = {mode for each in plans if each.is_change for mode in _modes(each.changes)}
    for how in sorted(modes & HOW_IT_WORKS.keys()):
        say(f"{HOW[how]}: {HOW_IT_WORKS[how]}", dim=True)
    if "http" in modes and not has_service:
        say(AT_LOGIN, fg="yellow")


def tell_need(report: Report) -> None:
    """Warn of entries that were enrolled by URL where no service starts the gateway."""
    named = [visible(one.title) for each in report.files for one in _modes(each.changes).get("http", ())]
    if named:
        verb = "works" if len(named) == 1 else "work"
        say(f"{', '.join(named)}: enrolled by URL, so {verb} only while the gateway runs.", fg="yellow")
        say(AT_LOGIN, fg="yellow")


def tell_tracked(paths: Iterable[str]) -> None:
    """Warn of files that belong to a git repository: a change in them is in the next commit of their user."""
    for path in filter(_is_tracked, paths):
        say(
            f"{_path(path)} is tracked by git: a commit of it would give others an entry with a path of this machine.",
            fg="yellow",
        )
        folder, name = os.path.split(path)
        keep = shlex.join(("git", "-C", folder, "update-index", "--skip-worktree", name))
        say(f"  {keep} keeps the change out of commits.", fg="yellow")


def _is_tracked(path: str) -> bool:
    """Return whether git is there, and tracks a file."""
    folder, name = os.path.split(path)
    above = folder
    while not os.path.lexists(os.path.join(above, ".git")):
        if above == (above := os.path.dirname(above)):
            return False
    # Without the repository's own programs.
    argv = ("git", "-C", folder, "-c", "core.fsmonitor=false", "ls-files", "--error-unmatch", "--", name)
    try:
        return not subprocess.run(argv, check=False, capture_output=True, timeout=GIT_S).returncode
    except (OSError, subprocess.TimeoutExpired):
        return False


def tell_remotes(left: Mapping[str, Sequence[UntouchedEntry]]) -> None:
    """Print in one line which entries stay because they have the URL of a server, and the command that enrols them.

    :param left: the entries that stay, by the path of their file.
    """
    named = [
        f"{visible(each.title)} ({_path(path)})"
        for path, entries in left.items()
        for each in entries
        if each.why == WHY[EntryKind.REMOTE]
    ]
    if named:
        stay = "stays as it is, since it is" if len(named) == 1 else "stay as they are, since they are"
        say(
            f"{', '.join(named)} {stay} reached by URL; {cli('clients apply --remote')} enrols such entries, too.",
            dim=True,
        )


def tell_untouched(left: Mapping[str, Sequence[UntouchedEntry]]) -> None:
    """Print which entries stay as they are, each with its file and the reason.

    :param left: the entries that stay, by the path of their file.
    """
    for path, entries in left.items():
        _tell_left(path, entries)
    tell_remotes(left)
    tell_elsewhere(left)


def tell_elsewhere(left: Mapping[str, Sequence[UntouchedEntry]]) -> None:
    """Print in one line for each other gateway which entries stay because they lead to it, and how to take them over.

    :param left: the entries that stay, by the path of their file.
    """
    found: dict[tuple[str, str], list[str]] = {}
    for path, entries in left.items():
        for each in entries:
            if each.why.startswith(ELSEWHERE):
                found.setdefault((each.why, each.hint), []).append(f"{visible(each.title)} ({_path(path)})")
    for (why, hint), named in found.items():
        say(f"{', '.join(named)}: stays as it is, since it {_path(why)}.", dim=True)
        say(f"  {visible(hint)}", dim=True)


def tell_differences(plans: Sequence[FilePlan]) -> None:
    """Print a diff of each file that changes, without secrets."""
    for each in plans:
        _tell_diff(difference(each))


def _tell_diff(lines: Iterable[str]) -> None:
    for line in lines:
        colour = COLOURS.get(line[:1]) if line[:3] not in ("+++", "---") else None
        say(line, fg=colour, is_foreign=True)


def tell_restoration(found: Mapping[str, Any]) -> None:
    """Print a diff of each file that a restoration would change."""
    for each in found["files"]:
        _tell_diff(each["diff"])
        if each["error"]:
            say(_path(each["error"]), fg="red")
    if not found["changed"]:
        say("nothing would change")


def tell_history(versions: Sequence[Mapping[str, Any]]) -> None:
    """Print a table of changes of clients' files."""
    if not versions:
        say("The gateway has changed no client's file yet.")
        say(f"  {cli('clients plan')} shows what it would change.", dim=True)
        return
    rows = [
        [
            str(each["version"]),
            local_time(each["at"]),
            each["act"],
            HOW.get(each["mode"], each["mode"]),
            ", ".join(map(visible, each["servers"])) or "-",
            _path(each["path"]),
        ]
        for each in versions
    ]
    table(["NUMBER", "TIME", "CHANGE", "HOW", "SERVERS", "FILE"], rows)
    say(f"{cli('clients undo --version NUMBER')} returns a file to what it was before a change.", dim=True)


def tell_version(found: Mapping[str, Any]) -> None:
    """Print a change of a client's file as a diff, without secrets."""
    say(f"{local_time(found['at'])}: {_path(found['path'])}, {found['act']}")
    _tell_diff(found["diff"])
    if not found["diff"]:
        say("its text is no longer kept", dim=True)


def tell_left_behind(behind: Mapping[str, Sequence[str]]) -> None:
    """Print the entries that another gateway has left.

    :param behind: the titles of these entries, by the path of their file.
    """
    for path, title in sorted((path, title) for path, titles in behind.items() for title in titles):
        what = "is restored from the backup of immorterm-mcp-gateway, and uses the gateway"
        say(f"{_path(path)}: {visible(title)} {what}")


def tell_planned(
    plans: Sequence[FilePlan],
    behind: Mapping[str, Sequence[str]],
    *,
    is_diff: bool = False,
    has_service: bool = False,
) -> None:
    """Print a line for each file that changes, and below all of them the entries that stay as they are.

    :param behind: the titles of the entries that another gateway has left, by the path of their file.
    :param is_diff: print a diff of each file, too.
    :param has_service: the gateway is installed as a service.
    """
    restored = {(path, title) for path, titles in behind.items() for title in titles}
    tell_changes(plans, has_service=has_service)
    tell_left_behind(behind)
    for each in plans:
        if is_diff:
            tell_differences([each])
        if each.trouble:
            say(_path(each.trouble), fg="red")
        _tell_left(each.site.path, [one for one in each.left if (each.site.path, one.title) not in restored])
    tell_remotes({each.site.path: each.left for each in plans})
    tell_elsewhere({each.site.path: each.left for each in plans})
    if not restored and not any(each.is_change for each in plans):
        say("nothing would change" if any(each.before or each.trouble for each in plans) else NO_FILES)


def tell_report(report: Report, unchanged: str = "nothing had to be changed") -> None:
    """Print the changes of each file.

    :param unchanged: the sentence where no file changes.
    """
    if report.rolled_back:
        say(f"all is as it was before: {_path(report.rolled_back)}", fg="red", err=True)
    for each in report.files:
        for line in _lines(each):
            say(line)
        if each.error and each.error != report.rolled_back:
            say(_path(each.error), fg="red", err=True)
        _tell_left(each.path, each.left)
    tell_remotes({each.path: each.left for each in report.files})
    tell_elsewhere({each.path: each.left for each in report.files})
    if not (report.is_changed or report.rolled_back or report.errors):
        say(unchanged)


def tell_watched(found: DeadmanState) -> None:
    """Print how long the gateway has been away, and the changes that followed."""
    if found.is_there:
        say("the gateway answers")
    elif found.away_s:
        say(f"no gateway has answered for {duration(found.away_s)}")
    if found.report is not None:
        tell_report(found.report)


def _modes(changes: Sequence[ChangedEntry]) -> dict[str, list[ChangedEntry]]:
    """Return changed entries by the way in which they use the gateway."""
    found: dict[str, list[ChangedEntry]] = {}
    for each in changes:
        found.setdefault(each.mode, []).append(each)
    return found


def _by_project(changes: Sequence[ChangedEntry]) -> dict[str, list[str]]:
    """Return the servers of changed entries, by the project in the file that they are for."""
    found: dict[str, list[str]] = {}
    for each in changes:
        title = visible(each.title)
        found.setdefault(each.project, []).append(
            title if each.title == each.name else f"{title} (as {each.name})"
        )
    return found


def _place(path: str, project: str) -> str:
    return f"{_path(path)} (project {_path(project)})" if project else _path(path)


def _path(text: str) -> str:
    """Return a path, or a sentence that begins with one, with ``~`` for the home directory."""
    return visible(shortened(text))


def _lines(each: FileReport) -> Iterator[str]:
    path = _path(each.path)
    for project, servers in _by_project(each.changes).items():
        verb = "uses" if len(servers) == 1 else "use"
        yield f"{_place(each.path, project)}: {', '.join(servers)} {verb} the gateway"
    put_back = [evolve(one, name=one.title) for one in each.restored_entries if one.title not in each.removed]
    for project, servers in _by_project(put_back).items():
        listed = ", ".join(servers)
        done = (
            f"as before, to the byte: {listed}"
            if each.exact
            else f"{listed} {'is' if len(servers) == 1 else 'are'} put back, and the rest of the file stays as it is"
        )
        yield f"{_place(each.path, project)}: {done}"
    if each.removed:
        verb, which = ("is", "it") if len(each.removed) == 1 else ("are", "them")
        removed = ", ".join(map(visible, each.removed))
        yield f"{path}: {removed} {verb} taken out, since the gateway had added {which}"
    for title, source in each.rebuilt.items():
        yield f"{path}: {visible(title)} was put together again from {visible(source)}"
    if each.gone:
        yield f"{path}: stays removed: {', '.join(map(visible, each.gone))}"
    if each.kept:
        yield f"{path}: was changed by its user and is left: {', '.join(map(visible, each.kept))}"
    if each.uncommented:
        titles = ", ".join(map(visible, each.uncommented))
        yield f"{path}: a comment in {titles} had no place in the new text; {cli('clients history')} has the old one"
    if each.in_place:
        yield f"{path}: was written in place, since {each.in_place}"


def _tell_left(path: str, left: Sequence[UntouchedEntry]) -> None:
    for each in left:
        if each.why == WHY[EntryKind.REMOTE] or each.why.startswith(ELSEWHERE):
            continue  # told once for all files
        title = f" {visible(each.title)}" if each.title else ""
        stays = "" if each.why.startswith("stays ") else " stays:"
        say(f"{_path(path)}:{title}{stays} {visible(each.why)}", dim=True)
        if each.hint:
            say(f"  {visible(each.hint)}", dim=True)
