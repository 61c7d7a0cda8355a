"""Conclusions from tools' names: whether a server keeps state for its client, and whether a tool only reads.

# Note [A name is a hint]
Most servers describe their tools by nothing but names.  A name decides only where nothing better is known: a server
that seems to keep state gets a child for each session, as it would have without a gateway; a tool that seems to read
only is not queued.  So only words count that hardly any tool has by chance, and a name that holds both a word for
reading and one for changing (``get_or_create_note``) does not count as reading.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")

# Objects that a client chooses for the calls that follow.
_CHOSEN = frozenset(
    "account active browser cluster connection context current cwd database db default defaults device dir directory"
    " environment folder frame kernel namespace notebook org organization page path profile project region repo"
    " repository root schema session simulator tab tenant window workspace".split()
)
_CHOOSING = frozenset(("use", "select", "switch", "activate"))
# Using a tool, or selecting rows, ends with the call.
_WITHIN_A_CALL = frozenset(
    "data from query record records row rows skill sql statement table tables tool tools".split()
)
_CONNECTING = frozenset("disconnect reconnect login logout signin signout".split())
_CONNECTED_TO = frozenset(
    "browser cluster database db device host instance mongodb mysql postgres postgresql server ssh to with".split()
)
_OPENING = frozenset(
    "start stop create new open close end resume kill attach detach launch initialize init".split()
)
_KEPT_OPEN = frozenset("session browser process shell terminal repl kernel debugger".split())
# A server that runs code, and keeps its variables, offers to begin anew: restart_python_worker, reset_kernel.
_RESETTING = frozenset(("restart", "reset", "interrupt"))
_INTERPRETERS = frozenset((*_KEPT_OPEN, "python", "interpreter"))
# Creating a page mostly makes a page of a wiki; a page that is new, or closed, is one of a browser.
_LEAFING = frozenset((verb, thing) for verb in ("new", "close") for thing in ("page", "tab"))
_READING = frozenset(
    "analyze browse check compare count crawl describe diff discover docs echo extract fetch find get grep"
    " history info inspect list lookup map maps ping preview read recommend resolve retrieve scrape search show stat"
    " stats status summarize summary time translate tree validate view weather".split()
)
_CHANGING = frozenset(
    "add allocate append apply approve archive assign cancel change clear clone close commit complete config configure"
    " copy create delete deploy destroy disable done drop edit enable exec execute feedback finish generate import"
    " increment index init insert install invoke kill lock log mark memorize merge modify move mutate new next"
    " note open patch pop post publish purge push put record refresh register release remember remove rename reopen"
    " replace reply request reset restart restore revert rollback run save schedule send set sort split start stop"
    " store submit subscribe sync tag toggle touch transition uninstall unlock unset update upgrade upload upsert"
    " use write".split()
)


def words_of(name: str) -> list[str]:
    """Return the words of a tool's name, in lower case: ``git_setWorkingDir`` has four."""
    return [each.lower() for each in _WORD.findall(name)]


def only_reads(name: str) -> bool:
    """True if a tool's name says that the tool reads, and does nothing else; see Note [A name is a hint]."""
    words = frozenset(words_of(name))
    return bool(words & _READING) and not words & _CHANGING


def state_told_by(names: Iterable[str]) -> str:
    """Return the first tool whose name shows that its server keeps state for the calling client; else empty.

    State is a working directory, a database in use, an open page, a transaction, or a process that takes input.
    """
    found = list(names)
    has_transactions = any(_begins(words_of(each)) for each in found)
    for each in found:
        words = words_of(each)
        if _chooses(words) or _connects(words) or _keeps_open(words) or _drives(words):
            return each
        if has_transactions and (_begins(words) or "rollback" in words):
            return each
    return ""


def _chooses(words: list[str]) -> bool:
    # The verb comes first, or behind the server's own name: set_working_dir, git_set_working_dir, kubectl_context.
    for at, word in enumerate(words[:2]):
        rest = frozenset(words[at + 1 :])
        if word in _CHOOSING and rest and not rest & _WITHIN_A_CALL:
            return True
        if word in ("set", "change") and rest & _CHOSEN and not rest - _CHOSEN - _JOINING:
            return True
    return False


_JOINING = frozenset("the a my to as for working work path name id".split())


def _connects(words: list[str]) -> bool:
    if any(word in _CONNECTING for word in words[:2]) or words[:2] == ["sign", "in"]:
        return True
    if "connect" not in words[:2]:
        return False
    rest = words[words.index("connect") + 1 :]
    return not rest or rest[0] in _CONNECTED_TO


def _keeps_open(words: list[str]) -> bool:
    if words and words[0] == "session" and len(words) > 1:
        return True
    pairs = pairwise(words)
    return any(
        (verb in _OPENING and thing in _KEPT_OPEN)
        or (verb in _RESETTING and thing in _INTERPRETERS)
        or (verb, thing) in _LEAFING
        for verb, thing in pairs
    )


def _drives(words: list[str]) -> bool:
    if words and words[0] == "browser" and len(words) > 1:
        return True
    return any(word in ("navigate", "goto") for word in words[:2])


def _begins(words: list[str]) -> bool:
    return "begin" in words[:2] or ("transaction" in words and bool({"start", "begin", "open"} & {*words}))
