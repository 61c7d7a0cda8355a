"""The words of names and of prose, as they are indexed and as they are asked for."""

from __future__ import annotations

import re
from collections.abc import Iterator

from attrs import frozen

# Underscores part words, as everything else does that is neither letter nor digit; lone surrogates are neither.
_WHOLE = re.compile(r"[^\W_]+")
_ASCII_PARTS = re.compile(r"[A-Z]+s?(?![a-z])|[A-Z]?[a-z]+(?:[0-9]+[a-z]*)*|[0-9]+[a-z]*|[A-Z]+")
# Scripts without spaces: Han, kana and Thai are indexed letter by letter, and asked for as phrases.
_UNSPACED = re.compile("([\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff])")


@frozen
class Word:
    """A word as somebody wrote it.

    :ivar whole: in small letters.
    :ivar parts: what it is made of, where capitals in its midst or its script say so; otherwise empty.
    """

    whole: str
    parts: tuple[str, ...] = ()


def words(text: str) -> Iterator[Word]:
    """The words of a text in their order: ``readFile`` is one of two parts, ``read_file`` is two words."""
    for written in _WHOLE.findall(text):
        if written.islower() or (written.isascii() and (written.isupper() or written.istitle())):
            parts = ()
        else:
            parts = _parts(written)
        yield Word(written.lower(), parts)


def indexed(text: str) -> str:
    """What is indexed of a text: its words, and the parts of those that have any."""
    found: list[str] = []
    for word in words(text):
        found += word.parts
        if len(word.parts) != 1:
            found.append(word.whole)
    return " ".join(found)


def _parts(written: str) -> tuple[str, ...]:
    if written.isascii():
        parts = tuple(part.lower() for part in _ASCII_PARTS.findall(written))
    else:
        parts = tuple(part.lower() for part in _UNSPACED.sub(r" \1 ", written).split())
    return parts if len(parts) > 1 else ()
