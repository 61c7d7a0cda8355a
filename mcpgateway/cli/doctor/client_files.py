"""Checks of clients' files: the entries that use the gateway, and whether they reach it."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Container, Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from mcpgateway.cli.doctor.context import DoctorContext
from mcpgateway.cli.doctor.finding import Check, DoctorFinding, Repair, counted, fine, note, problem, some
from mcpgateway.cli.local.broken import with_excerpt
from mcpgateway.clientfiles.files import FileContents
from mcpgateway.clientfiles.formats.client_format import URL_KEYS, ClientEntry, EntryKind
from mcpgateway.clientfiles.formats.loopback import LocalGateway, port_of, server_of
from mcpgateway.config.document import visible
from mcpgateway.errors import ConfigError
from mcpgateway.hints import cli
from mcpgateway.system import paths
from mcpgateway.system.files import read_text

LOCK_STALE_S = 60.0
CACHE_BYTES = 2**20

UNROUTED = note(
    "clients.unrouted",
    "A client starts servers of its own that the gateway could share.",
    f"{cli('clients plan')} shows what would change; {cli('clients apply')} does it",
)
UNREADABLE = problem(
    "clients.unreadable",
    "A client's file cannot be read, so nothing in it can be enrolled or restored.",
    "put right what the text names; the client itself may not read it either",
)
WRITABLE = problem(
    "clients.writable",
    "Every user of the machine can change what a client runs.",
    f"{cli('doctor --fix')} takes the right to write from others",
    undo="chmod gives the right back, as in chmod g+w FILE",
)
READABLE = note(
    "clients.readable",
    "Other users can read a client's file that has values of variables or headers in it.",
    "chmod 600, if these are secrets",
)


def clients(world: DoctorContext) -> Iterator[DoctorFinding]:
    """Report for each client's file how many entries use the gateway."""
    for seen in world.seen:
        title, path = seen.site.dialect.title, visible(seen.site.path)
        if seen.trouble:
            yield UNREADABLE.found(
                f"{title}: {seen.trouble}", more=with_excerpt(seen.trouble).splitlines()[1:]
            )
            continue
        counts = seen.counts()
        ours, own = counts["ours"], counts["program"]
        others = sum(counts.values()) - ours - own
        text = f"{title}: {ours} via the gateway, {own} stdio, {others} other ({path})"
        yield fine("clients", text)
        if own and ours:
            titles = some(each.title for each in seen.listed if each.kind is EntryKind.PROGRAM)
            says = f"{title}: {counted(own, 'stdio server')} not routed through the gateway: {titles}"
            # From another directory only the name of the project leads to its file.
            named = cli("clients apply --project {}", seen.site.project) if seen.site.project else ""
            yield UNROUTED.found(says, advice=f"{named} enrols it" if named else "")
        yield from _modes(seen)
    if not world.seen:
        yield fine("clients", "no client's file is here")


def _modes(seen: FileContents) -> Iterator[DoctorFinding]:
    path = os.path.realpath(seen.site.path)
    try:
        found = os.stat(path)
    except OSError:
        return
    mode = stat.S_IMODE(found.st_mode)
    if mode & stat.S_IWOTH:
        repair = Repair(
            f"take the right to write {path} from others", partial(os.chmod, path, mode & ~stat.S_IWOTH)
        )
        yield WRITABLE.found(
            f"{visible(path)} can be written by everybody ({mode:04o})",
            repair=repair if found.st_uid == os.geteuid() else None,
        )
    elif mode & 0o044 and not seen.site.project and any(map(_has_values, seen.listed)):
        yield READABLE.found(f"{visible(path)} can be read by others ({mode:04o})")


def _has_values(listed: ClientEntry) -> bool:
    value = listed.value
    return isinstance(value, Mapping) and any(
        isinstance(held := value.get(key), Mapping) and bool(held)
        for key in ("env", "environment", "envs", "headers")
    )


NONE = note("tools.none", "No AI client has a file here.")


def tools(world: DoctorContext) -> Iterator[DoctorFinding]:
    """Report the AI clients on this machine."""
    adopted = world.records.files if world.records is not None else {}
    lines = []
    for each in world.detected:
        for site in each.sites:
            known = adopted.get(os.path.realpath(site.path))
            mark, more = ("◆", f" ({known.suspended or 'adopted'})") if known else ("○", "")
            lines.append(f"{mark} {each.dialect.name}: {visible(site.path)}{more}")
        if not each.sites:
            lines.append(f"○ {each.dialect.name}: no file yet ({visible(each.expected)})")
    if lines:
        names = ", ".join(each.dialect.name for each in world.detected)
        yield fine("tools", f"detected AI tools: {names}", lines)
    else:
        yield NONE.found("no AI tools are detected")


DEAD = problem(
    "wiring.dead",
    "Entries use the gateway's port, and nobody answers there: these servers do not work.",
    f"{cli('start')}; or {cli('clients undo')} restores the client's own entries",
)
ELSEWHERE = problem(
    "wiring.port",
    "An entry of the gateway's leads to a port where nobody listens, as after the gateway's port was changed.",
    f"{cli('clients apply')} writes the port of today",
)
ASLEEP = note(
    "wiring.asleep",
    "An entry leads to a server of another program on this machine, and nobody listens there, as while that program is"
    " not running.",
    "start that program where its server is wanted; the gateway has nothing to do with it",
)
WRITE_ANEW = f"put the server's own entry there, and {cli('clients apply')} enrols it"
NOBODY = problem(
    "wiring.unknown",
    "An entry names a server that the gateway does not have.",
    "add the server to the configuration, or take the entry out of the client's file",
)
MISWRITTEN = problem(
    "wiring.form",
    "An entry is not written as its client wants it, so the client passes over it or speaks something else.",
    f"{cli('clients apply --print CLIENT --server NAME')} prints how it is written",
)
NO_PROGRAM = problem(
    "wiring.program",
    "An entry starts the gateway's program by a path where there is none, as after it was installed anew.",
    f"{cli('clients apply')} writes the path of today",
)
# Clients that accept one form of entries only, and their reaction to others.
STRICT = {
    "claude-code": "passes over a URL without a type",
    "windsurf": "connects to nothing but a serverUrl",
    "antigravity": "connects to nothing but a serverUrl",
    "cline": "takes a URL without a type for SSE",
    "roo": "passes over a URL without a type",
    "opencode": "wants the type remote",
    "goose": "wants a uri and a type",
    "qwen": "takes a url for SSE",
}
SAME = {("type", "http"): ("streamable-http",), ("type", "streamable-http"): ("http",)}
"""Values that Claude Code treats alike."""


def wiring(world: DoctorContext) -> Iterator[DoctorFinding]:
    """Check that each entry that uses the gateway reaches it."""
    number = 0
    bad = False
    for seen in world.seen:
        entries = [each for each in seen.listed if each.kind is EntryKind.ENROLLED]
        number += len(entries)
        for finding in (*_dead(world, seen, entries), *_misled(world, seen)):
            bad = True
            yield finding
        for each in entries:
            for finding in _entry(world, seen, each):
                bad = True
                yield finding
    if not bad:
        yield fine("wiring", f"wiring: {number} of the gateway's entries, all of them in order")


def _dead(world: DoctorContext, seen: FileContents, entries: list[ClientEntry]) -> Iterator[DoctorFinding]:
    dead = [each for each in entries if url_of(each.value)]
    if dead and not world.health.status:
        titles = some([each.title for each in dead])
        text = f"{seen.site.dialect.title}: {titles} of {visible(seen.site.path)} lead to port {world.port}"
        known = _entries_known(world, seen)
        lost = [each.title for each in dead if each.key_path not in known]
        # Entries that are not in the ledger cannot be restored either.
        advice = f"{cli('start')}; where it does not have {some(lost)}, {WRITE_ANEW}" if lost else ""
        yield DEAD.found(f"{text}, where nobody answers", advice=advice)


def _entries_known(world: DoctorContext, seen: FileContents) -> Container[tuple[str, ...]]:
    """Return the paths of a file's entries that the ledger has."""
    files = world.records.files if world.records is not None else {}
    adopted = files.get(os.path.realpath(seen.site.path))
    return adopted.entries if adopted is not None else ()


def _misled(world: DoctorContext, seen: FileContents) -> Iterator[DoctorFinding]:
    known = _entries_known(world, seen)
    for each in seen.listed:
        url = url_of(each.value)
        port = port_of(url) if each.kind is EntryKind.REMOTE else None
        if not port or world.holders(port):
            continue
        text = f"{seen.site.dialect.title}: {visible(each.title)} leads to port {port} of this machine"
        served = server_of(url, LocalGateway(port))
        if served is not None and each.key_path in known:
            yield ELSEWHERE.found(f"{text}, where nobody listens")
        elif served and served in (world.served or ()):
            # `clients apply` rewrites only entries that the ledger has.
            advice = f"{cli('restart --port {}', port)} serves it there; else {WRITE_ANEW}"
            yield ELSEWHERE.found(
                f"{text}, where nobody listens, and the gateway has such a server", advice=advice
            )
        else:
            yield ASLEEP.found(f"{text}, where nobody listens")


def _entry(world: DoctorContext, seen: FileContents, listed: ClientEntry) -> Iterator[DoctorFinding]:
    title, name = seen.site.dialect.title, visible(listed.title)
    known = world.served
    if listed.served and known is not None and listed.served not in known:
        yield NOBODY.found(
            f"{title}: {name} leads to the server {visible(listed.served)}, which does not exist"
        )
    url = url_of(listed.value)
    if url and (why := STRICT.get(seen.site.dialect.name)):
        wrong = _wrong(seen, listed, url)
        if wrong:
            yield MISWRITTEN.found(
                f"{title}: {name} has no {some(wrong)}; {title} {why}",
                advice=cli(
                    "clients apply --print {} --server {}", seen.site.dialect.name, listed.served or "NAME"
                )
                + " prints how it is written",
            )
    program = _program(listed.value) if not url else ""
    if os.path.isabs(program) and not os.access(program, os.X_OK):
        yield NO_PROGRAM.found(f"{title}: {name} starts {visible(program)}, which does not exist")


def _wrong(seen: FileContents, listed: ClientEntry, url: str) -> list[str]:
    """Return the properties that the client requires and the entry lacks."""
    try:
        wanted = seen.site.dialect.by_url(listed, url)
    except ConfigError:
        return []
    return [_setting_text(key, each) for key, each in wanted.items() if not _has(listed.value, key, each)]


def _has(value: Any, key: str, wanted: Any) -> bool:
    if not isinstance(value, Mapping) or key not in value:
        return False
    return value[key] == wanted or value[key] in SAME.get(
        (key, wanted) if isinstance(wanted, str) else ("", ""), ()
    )


def _setting_text(key: str, value: Any) -> str:
    return f"{key}: {value}" if key == "type" else key


def url_of(value: Any) -> str:
    """Return the URL of an entry, which may be nested one level deeper; empty if it has none."""
    if not isinstance(value, Mapping):
        return ""
    inner = value.get("transport")
    for each in (value, inner if isinstance(inner, Mapping) else {}):
        for key in URL_KEYS:
            if isinstance(each.get(key), str):
                return str(each[key])
    return ""


def _program(value: Any) -> str:
    if not isinstance(value, Mapping):
        return ""
    command = value.get("command", value.get("cmd"))
    if isinstance(command, list) and command:
        command = command[0]
    return command if isinstance(command, str) else ""


NEEDS_AUTH = problem(
    "claude.auth",
    "Claude Code believes that a server of the gateway wants a login, and headless sessions skip it unasked.",
    "in a session: /mcp, then the server, then Reconnect; or take its name out of mcp-needs-auth-cache.json",
)
CLAUDE_LOCK = note(
    "claude.lock",
    "The lock of Claude Code's file was left behind.",
    f"{cli('doctor --fix')} removes it",
    undo="nothing is lost: Claude Code makes the lock anew",
)
UNAPPROVED = note(
    "claude.approval",
    "A project's .mcp.json uses the gateway, and Claude Code has not asked its user yet whether it may use the servers"
    f" in it. That question is Claude Code's own: {cli('config approve PATH')} does not answer it.",
    "run claude in that directory, and say yes there; claude -p connects without",
)


def claude(world: DoctorContext) -> Iterator[DoctorFinding]:
    """Check that Claude Code's own records do not disable the gateway's servers."""
    found = [*_needs_auth(world), *_claude_lock(world), *_unapproved(world)]
    yield from found or [fine("claude", "Claude Code has nothing against the gateway's servers")]


def _needs_auth(world: DoctorContext) -> Iterator[DoctorFinding]:
    chosen = world.environ.get("CLAUDE_CONFIG_DIR") or os.path.join(world.user_home, ".claude")
    path = os.path.join(paths.absolute(chosen, world.environ), "mcp-needs-auth-cache.json")
    marked = _object(path)
    for seen in world.seen:
        if seen.site.dialect.name == "claude-code":
            for each in seen.listed:
                if each.kind is EntryKind.ENROLLED and each.title in marked:
                    yield NEEDS_AUTH.found(f"{visible(each.title)} is marked in {visible(path)}")


def _claude_lock(world: DoctorContext) -> Iterator[DoctorFinding]:
    path = paths.claude_file(world.environ) + ".lock"
    if _is_stale(path, world.now):
        repair = Repair(f"remove the directory {path}", partial(_remove_lock, path, world.now))
        yield CLAUDE_LOCK.found(f"{visible(path)} has not been touched for a minute", repair=repair)


def _is_stale(path: str, now: float) -> bool:
    try:
        found = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and now - found.st_mtime > LOCK_STALE_S


def _remove_lock(path: str, now: float) -> None:
    if _is_stale(path, now):
        with suppress(FileNotFoundError):
            os.rmdir(path)


def _unapproved(world: DoctorContext) -> Iterator[DoctorFinding]:
    if (
        _object(os.path.join(world.user_home, ".claude", "settings.json")).get("enableAllProjectMcpServers")
        is True
    ):
        return
    projects = _object(paths.claude_file(world.environ)).get("projects")
    for seen in world.seen:
        directory = seen.site.project
        if not directory or os.path.basename(seen.site.path) != ".mcp.json":
            continue
        project = projects.get(directory) if isinstance(projects, dict) else None
        local = _object(os.path.join(directory, ".claude", "settings.local.json"))
        enabled = {*_names(project), *_names(local)}
        waiting = [
            each.title
            for each in seen.listed
            if each.kind is EntryKind.ENROLLED and each.title not in enabled
        ]
        if waiting:
            yield UNAPPROVED.found(
                f"{visible(seen.site.path)}: Claude Code waits for its user to allow {some(map(visible, waiting))}"
            )


def _names(held: Any) -> list[str]:
    named = held.get("enabledMcpjsonServers") if isinstance(held, dict) else None
    return [each for each in named if isinstance(each, str)] if isinstance(named, list) else []


def _object(path: str) -> dict[str, Any]:
    try:
        found = json.loads(read_text(path, CACHE_BYTES * 512))
    except (ConfigError, OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


WAITING = note(
    "approvals.waiting",
    "The gateway does not run servers of a repository's .mcp.json before its user has approved the file, and again"
    " after a change.",
    f"{cli('config approve PATH')} shows what they run, and asks",
)


def approvals(world: DoctorContext) -> Iterator[DoctorFinding]:
    """Report the repositories that wait for the user's approval."""
    waiting = [each for each in world.socket.body.get("approvals", ()) if isinstance(each, dict)]
    for each in waiting:
        path = visible(str(each.get("path") or each.get("file") or "?"))
        yield WAITING.found(
            f"the gateway waits for your approval of {path}", advice=cli("config approve {}", path)
        )
    if not waiting:
        yield fine("approvals", "no repository waits for the gateway's approval")


FIRST = (Check("clients", "clients' files", clients, (UNROUTED, UNREADABLE, WRITABLE, READABLE)),)
SECOND = (Check("tools", "AI clients", tools, (NONE,)),)
CHECKS = (
    Check(
        "wiring",
        "entries of the gateway's",
        wiring,
        (DEAD, ELSEWHERE, ASLEEP, NOBODY, MISWRITTEN, NO_PROGRAM),
    ),
    Check("claude", "what Claude Code thinks", claude, (NEEDS_AUTH, CLAUDE_LOCK, UNAPPROVED)),
    Check("approvals", "repositories", approvals, (WAITING,)),
)
