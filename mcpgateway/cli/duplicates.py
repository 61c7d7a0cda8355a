"""Find and end servers that running clients have started themselves, and that the gateway serves now.

A client reads its file when it starts, and keeps its servers until it ends.  A duplicate is a process whose command
line is that of an entry that uses the gateway now, and whose parent is a client.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Mapping, Sequence
from time import monotonic, sleep
from typing import NamedTuple

from mcpgateway.cli.console import say, table
from mcpgateway.cli.context import Globals
from mcpgateway.hints import cli
from mcpgateway.system.process.procfs import (
    command_of,
    is_alive,
    is_own,
    parent,
    pids,
    resident_kib,
    start_time,
)
from mcpgateway.units import KB, size

CLIENTS = frozenset(
    "claude claude-code claude-desktop cline code code-insiders codex codium continue copilot crush cursor"
    " gemini gemini-cli goose kiro opencode pi qwen roo vscode windsurf zed".split()
)
"""Names of clients' programs, and of their packages."""

SUFFIXES = (".exe", ".js", ".mjs", ".cjs", ".py", ".sh", ".cmd")
RUNNERS = frozenset(("npx", "pnpx", "bunx"))
HOW_TO_END = (
    f"{cli('start --end-duplicates')} ends them; their clients use the gateway when they are started anew."
)
END_S = 5.0
POLL_S = 0.05


class Duplicate(NamedTuple):
    """A server process that is not needed.

    :ivar began: start time of the process, which identifies it together with its number.
    :ivar title: title of the entry whose command it runs.
    :ivar client: the client process that has started it.
    :ivar tree: the process and all its descendants.
    """

    pid: int
    began: int
    title: str
    client: str
    tree: tuple[int, ...]
    rss_kib: int


def tell(globals_: Globals, *, ends: bool) -> dict[str, object]:
    """Search for duplicates, and end them or name the command that does; return the outcome for programs."""
    found = duplicates(_commands(globals_.home))
    rows = [
        {"pid": each.pid, "server": each.title, "client": each.client, "rss_kib": each.rss_kib}
        for each in found
    ]
    if found and not globals_.as_json:
        _tell(found)
    if found and ends:
        end(found)
    if found and not globals_.as_json:
        say(f"Ended {len(found)}." if ends else HOW_TO_END, dim=not ends)
    return {"found": rows, "ended": bool(found) and ends}


def _tell(found: Sequence[Duplicate]) -> None:
    total = sum(each.rss_kib for each in found) * KB
    say(f"Running clients have servers of their own that the gateway serves now ({size(total)}):")
    table(
        ("PID", "SERVER", "CLIENT", "MEMORY"),
        [(str(each.pid), each.title, each.client, size(each.rss_kib * KB)) for each in found],
    )


def duplicates(commands: Mapping[str, Sequence[str]]) -> list[Duplicate]:
    """Return the processes that run one of these commands for a client.

    :param commands: program and arguments, by the title of the entry.
    """
    parents = {pid: above for pid in pids() if (above := parent(pid))}
    found = []
    for pid, above in parents.items():
        words = command_of(pid)
        title = next((title for title, argv in commands.items() if runs(words, argv)), "")
        client = client_of(command_of(above)) if title else ""
        if client and is_own(pid):
            tree = _tree(pid, parents)
            found.append(Duplicate(pid, start_time(pid), title, client, tree, sum(map(resident_kib, tree))))
    return found


def runs(words: Sequence[str], argv: Sequence[str]) -> bool:
    """Return whether a process runs the command of an entry, directly or through an interpreter."""
    if not words or not argv:
        return False
    program, arguments = argv[0], list(argv[1:])
    for at in (0, 1):
        if list(words[at + 1 :]) == arguments and _is_same(words[at : at + 1], program):
            return True
    if _stem(program) in RUNNERS:
        # npm sets its process title to one word with the command that it runs, without npm's own options.
        rest = [each for each in arguments if each not in ("-y", "--yes", "-q", "--quiet")]
        return " ".join(words).rstrip() == " ".join(("npm", "exec", *rest))
    return False


def _is_same(word: Sequence[str], program: str) -> bool:
    if not word:
        return False
    if "/" in program and os.path.isabs(word[0]):
        return os.path.realpath(word[0]) == os.path.realpath(os.path.expanduser(program))
    return _stem(word[0]) in (_stem(program), f"{_stem(program)}-cli")


def _stem(path: str) -> str:
    name = os.path.basename(path)
    for suffix in SUFFIXES:
        name = name.removesuffix(suffix)
    return name


def client_of(words: Sequence[str]) -> str:
    """Return the client that a process is, by its name or its package; "" if it is none."""
    for word in words[:2]:
        for part in reversed(word.split("/")):
            name = _stem(part).lower()
            if name in CLIENTS:
                return name
    return ""


def _tree(pid: int, parents: Mapping[int, int]) -> tuple[int, ...]:
    tree = [pid]
    for each in tree:
        tree += [child for child, above in parents.items() if above == each and child not in tree]
    return tuple(tree)


def end(found: Iterable[Duplicate]) -> None:
    """End the duplicates with all their descendants: by TERM, then by KILL."""
    living = [
        (pid, start_time(pid)) for each in found if start_time(each.pid) == each.began for pid in each.tree
    ]
    for number in (signal.SIGTERM, signal.SIGKILL):
        ends = monotonic() + END_S
        for pid, began in living:
            _kill(pid, began, number)
        while living and monotonic() < ends:
            sleep(POLL_S)
            living = [(pid, began) for pid, began in living if is_alive(pid) and start_time(pid) == began]


def _kill(pid: int, began: int, number: signal.Signals) -> None:
    if start_time(pid) == began:
        try:
            os.kill(pid, number)
        except OSError:
            return


def _commands(home: str) -> dict[str, tuple[str, ...]]:
    """Return the original commands of enrolled entries, by their titles."""
    if not os.path.isdir(os.path.join(home, "ledger")):
        return {}
    from mcpgateway.clientfiles.formats.clients import DIALECTS
    from mcpgateway.clientfiles.formats.loopback import LocalGateway
    from mcpgateway.clientfiles.ledger import Ledger
    from mcpgateway.config.expand import unescaped
    from mcpgateway.errors import ConfigError

    try:
        files = Ledger(home).read().files.values()
    except ConfigError:
        return {}
    found = {}
    for file in files:
        dialect = DIALECTS.get(file.dialect)
        if dialect is None or file.suspended:
            continue
        for key_path, enrolled in file.entries.items():
            value = enrolled.replaced.former
            for step in reversed(key_path):
                value = {step: value}
            for each in dialect.listed(value, LocalGateway(0, frozenset()), file.project):
                if each.program is not None:
                    words = (each.program.command, *each.program.args)
                    found[each.title] = tuple(os.path.expandvars(unescaped(word)) for word in words)
    return found
