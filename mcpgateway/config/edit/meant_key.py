"""The key that is meant by a word that is no key: by its parts, by its spelling, or by the documentation of the key."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from difflib import SequenceMatcher

NEAR = 0.8  # of the likeness of a mistyped word to a key
PARTS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
PASSED_OVER = frozenset("gateway http limit max min mb ms name server setting".split())
SYNONYMS = {
    "address": "url",
    "age": "uptime",
    "argument": "arg",
    "autostart": "prewarm",
    "cert": "ca",
    "certificate": "ca",
    "cmd": "command",
    "connection": "connect",
    "container": "docker",
    "dir": "cwd",
    "directory": "cwd",
    "eager": "prewarm",
    "endpoint": "url",
    "environ": "env",
    "executable": "command",
    "host": "bind",
    "instance": "replica",
    "isolation": "share",
    "keepalive": "idle",
    "lifetime": "uptime",
    "mem": "ram",
    "memory": "ram",
    "parallel": "concurrency",
    "parameter": "arg",
    "preload": "prewarm",
    "process": "replica",
    "program": "command",
    "sharing": "share",
    "ssl": "tls",
    "start": "connect",
    "startup": "connect",
    "ttl": "idle",
    "uri": "url",
    "var": "env",
    "variable": "env",
    "verbosity": "level",
    "warm": "prewarm",
    "workdir": "cwd",
    "worker": "replica",
}
"""Parts of the keys of other programs, and the parts of ours."""


def meant_key(word: str, keys: Mapping[str, str]) -> str:
    """Return the dotted key that is meant by a word, or "".

    :param keys: the documentation of all keys, the likeliest first.
    """
    ways: tuple[Callable[[str, Mapping[str, str]], Iterator[str]], ...] = (
        lambda word, keys: _with_parts({SYNONYMS.get(each, each) for each in _parts(word)}, keys),
        lambda word, keys: _with_parts(_parts(word), keys),
        _spelled,
        _documented,
    )
    return next((found for way in ways for found in way(word, keys)), "")


def _parts(word: str) -> set[str]:
    """Return the parts of a key, each in the singular."""
    parts = {each.lower().removesuffix("s") for each in PARTS.findall(word)}
    return parts - PASSED_OVER or parts


def _with_parts(wanted: set[str], keys: Mapping[str, str]) -> Iterator[str]:
    """Yield the keys that have all of these parts, those with the fewest others first."""
    found = [(len(parts), each) for each in keys if wanted and wanted <= (parts := _parts(each))]
    yield from (each for _, each in sorted(found, key=lambda pair: pair[0]))


def _spelled(word: str, keys: Mapping[str, str]) -> Iterator[str]:
    """Yield the keys that are spelled alike, the nearest first: as a whole, or in their last word."""
    likeness = SequenceMatcher(b=word.lower())

    def near(text: str) -> float:
        likeness.set_seq1(text.lower())
        return likeness.ratio()

    found = [(max(near(each), near(each.rpartition(".")[2])), each) for each in keys]
    yield from (
        each for ratio, each in sorted(found, key=lambda pair: pair[0], reverse=True) if ratio >= NEAR
    )


def _documented(word: str, keys: Mapping[str, str]) -> Iterator[str]:
    """Yield the keys that have a part of the word in their names, and the others in their documentation."""
    wanted = _parts(word)
    for each, says in keys.items():
        parts = _parts(each)
        if wanted & parts and wanted <= parts | _parts(says):
            yield each
