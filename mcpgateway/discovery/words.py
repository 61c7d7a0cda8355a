"""Split names and prose into words, for the index and for queries."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

from attrs import frozen

from mcpgateway.discovery.stopwords import SAYS_NOTHING

LONGEST_QUERY = 1000  # characters; a typed query has a tenth
MOST_WORDS = 24  # different ones; each costs a few look-ups
REMEMBERED = 2048  # words whose parts are known: the tools of one server have many words in common

# Underscores separate words, as all characters do that are neither letters nor digits; lone surrogates are neither.
_WHOLE = re.compile(r"[^\W_]+")
_SPACED = {code: " " for code in range(128) if not chr(code).isalnum()}
_ASCII_PARTS = re.compile(r"[A-Z]+s?(?![a-z])|[A-Z]?[a-z]+(?:[0-9]+[a-z]*)*|[0-9]+[a-z]*|[A-Z]+")
# Scripts without spaces: Han, kana and Thai are indexed letter by letter, and searched as phrases.
_UNSPACED = re.compile("([\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff])")


@frozen
class Word:
    """A word as it was written.

    :ivar whole: in lower case.
    :ivar parts: its parts, if capitals or its script separate them; otherwise empty.
    """

    whole: str
    parts: tuple[str, ...] = ()


@frozen
class Indexed:
    """Texts in the form for the index, whose tokenizer splits words in the same way.

    :ivar words: all indexed words, in lower case.
    """

    texts: tuple[str, ...]
    words: set[str]


def words(text: str) -> list[Word]:
    """Return the words of a text in their order: ``readFile`` is one of two parts, ``read_file`` is two words."""
    return [Word(written.lower(), _parts(written)) for written in _whole(text)]


def indexed(texts: Sequence[str]) -> Indexed:
    """Return the indexed form of texts: each as it is, and then the parts of its words."""
    everything = " ".join(texts)
    different = suspects = set(_whole(everything))
    if everything.isascii():
        known = set(_whole(everything.lower()))
        suspects = different - known  # a word without capitals has no parts
    else:
        known = {written.lower() for written in different}
    odd = {written: parts for written in suspects if (parts := _parts(written))}
    known.update(*odd.values())
    if not odd:
        return Indexed(tuple(texts), known)
    return Indexed(tuple(_with_parts(text, odd) for text in texts), known)


def _with_parts(text: str, odd: Mapping[str, Sequence[str]]) -> str:
    if not any(written in text for written in odd):
        return text  # most texts have no such words, which are slower to process
    return " ".join([text, *(part for written in _whole(text) for part in odd.get(written, ()))])


def _whole(text: str) -> list[str]:
    # The short way takes a third of the time, and is sufficient for nearly all texts.
    return text.translate(_SPACED).split() if text.isascii() else _WHOLE.findall(text)


@lru_cache(maxsize=REMEMBERED)
def _parts(written: str) -> tuple[str, ...]:
    if not written.isascii():
        parts = _UNSPACED.sub(r" \1 ", written).lower().split()
    elif written.islower() or written.isupper() or written.istitle():
        return ()
    else:
        parts = [part.lower() for part in _ASCII_PARTS.findall(written)]
    return tuple(parts) if len(parts) > 1 else ()


def asked(query: str) -> list[Word]:
    """Return the different significant words of a query; all of them if none is significant."""
    found = list({word.whole: word for word in words(query[:LONGEST_QUERY])}.values())
    telling = [word for word in found if word.whole not in SAYS_NOTHING]
    return (telling or found)[:MOST_WORDS]
