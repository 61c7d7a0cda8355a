"""Split names and prose into words, for the index and for queries."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from attrs import frozen

from mcpgateway.discovery.stopwords import SAYS_NOTHING

LONGEST_QUERY = 1000  # characters; a typed query has a tenth
MOST_WORDS = 24  # different ones; each costs a few look-ups
REMEMBERED = 2048  # words whose parts are known: the tools of one server have many words in common

# Underscores separate words, as all characters do that are neither letters nor digits; lone surrogates are neither.
_WHOLE = re.compile(r"[^\W_]+")
_SPACED = bytes(code if chr(code).isalnum() else ord(" ") for code in range(256))
_ASCII_PARTS = re.compile(r"[A-Z]+s?(?![a-z])|[A-Z]?[a-z]+(?:[0-9]+[a-z]*)*|[0-9]+[a-z]*|[A-Z]+")
_CAPITAL_WITHIN = re.compile(
    "[A-Z](?:(?<=[a-z0-9].)|[A-Z0-9]+[a-z])"
)  # all words with parts have one, but few others
# Scripts without spaces: Han, kana and Thai are indexed letter by letter, and searched as phrases.
_UNSPACED = re.compile("([\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff])")
_ACCENTS = re.compile("[\u0300-\u036f]")
_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]+")


@frozen
class Word:
    """A word as it was written.

    :ivar whole: in lower case.
    :ivar parts: its parts, if capitals or its script separate them; otherwise empty.
    """

    whole: str
    parts: tuple[str, ...] = ()


def words(text: str) -> list[Word]:
    """Return the words of a text in their order: ``readFile`` is one of two parts, ``read_file`` is two words."""
    return [Word(written.lower(), _parts(written)) for written in _whole(_plain(text))]


def indexed(text: str) -> list[str]:
    """Return the words of a text in lower case, in their order; then the parts of those that have some."""
    text = _plain(text)
    if text.isascii() and not _CAPITAL_WITHIN.search(text):
        return _whole(text.lower())
    written = _whole(text)
    lower = [each.lower() for each in written]
    odd = {each: parts for each in set(written).difference(lower) if (parts := _parts(each))}
    if not text.isascii():
        odd |= {each: parts for each in set(written) if not each.isascii() and (parts := _parts(each))}
    return lower + [part for each in written for part in odd.get(each, ())] if odd else lower


def _plain(text: str) -> str:
    """Return a text without accents, and in ASCII where it has no other letters."""
    if text.isascii():
        return text
    others = "".join(_BEYOND_ASCII.findall(text))
    if not (any(map(str.isalnum, others)) or _ACCENTS.search(others)):
        return text.encode("ascii", "replace").decode()
    return unicodedata.normalize("NFC", _ACCENTS.sub("", unicodedata.normalize("NFD", text)))


def _whole(text: str) -> list[str]:
    # The short way takes a fraction of the time, and is sufficient for nearly all texts.
    return text.encode().translate(_SPACED).decode().split() if text.isascii() else _WHOLE.findall(text)


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
