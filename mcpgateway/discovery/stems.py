"""The stems of English words, by the algorithm of M. F. Porter ("An algorithm for suffix stripping", 1980)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

REMEMBERED = 1024  # words, as those of the latest queries and their synonyms
SHORTEST, LONGEST = 3, 64  # letters of a word that has a stem

_NOUNS = {
    "ational": "ate",
    "tional": "tion",
    "enci": "ence",
    "anci": "ance",
    "izer": "ize",
    "logi": "log",
    "bli": "ble",
    "alli": "al",
    "entli": "ent",
    "eli": "e",
    "ousli": "ous",
    "ization": "ize",
    "ation": "ate",
    "ator": "ate",
    "alism": "al",
    "iveness": "ive",
    "fulness": "ful",
    "ousness": "ous",
    "aliti": "al",
    "iviti": "ive",
    "biliti": "ble",
}
_ADJECTIVES = {
    "icate": "ic",
    "ative": "",
    "alize": "al",
    "iciti": "ic",
    "ical": "ic",
    "ful": "",
    "ness": "",
}
_LAST = dict.fromkeys(
    "al ance ence er ic able ible ant ement ment ent ion ou ism ate iti ous ive ize".split(), ""
)
_STEPS = tuple(
    (endings, tuple(sorted(endings, key=len, reverse=True)), least)
    for endings, least in ((_NOUNS, 1), (_ADJECTIVES, 1), (_LAST, 2))
)


@lru_cache(maxsize=REMEMBERED)
def stem(word: str) -> str:
    """Return the stem of a word in lower case: ``listing`` and ``lists`` have that of ``list``."""
    if not SHORTEST <= len(word) <= LONGEST:
        return word
    word = _without_tense(_without_plural(word))
    if word[-1] == "y" and b"v" in _shape(word[:-1]):
        word = word[:-1] + "i"
    for endings, longest_first, least in _STEPS:
        if word.endswith(longest_first):
            word = _without_ending(word, endings, longest_first, least)
    if word[-1] == "e" and _is_long_enough_without_e(word[:-1]):
        word = word[:-1]
    if word.endswith("ll") and _measure(word[:-1]) > 1:
        word = word[:-1]
    return word


def _without_plural(word: str) -> str:
    if word[-1] != "s" or word[-2] == "s":
        return word
    return word[:-2] if word.endswith(("ies", "sses")) and word not in ("ies", "sses") else word[:-1]


def _without_tense(word: str) -> str:
    if word.endswith("eed") and len(word) > 3:
        return word[:-1] if _measure(word[:-3]) else word
    ending = 2 if word.endswith("ed") else 3 if word.endswith("ing") else 0
    root = word[:-ending]
    if not root or b"v" not in _shape(root):
        return word
    if root.endswith(("at", "bl", "iz")) and len(root) > 2:
        return root + "e"
    if root[-1] == root[-2:-1] and root[-1] not in "aeioulsz":
        return root[:-1]
    return root + "e" if _measure(root) == 1 and _is_short_syllable(root) else root


def _without_ending(word: str, endings: Mapping[str, str], longest_first: tuple[str, ...], least: int) -> str:
    ending = next(each for each in longest_first if word.endswith(each))
    root = word[: -len(ending)]
    if _measure(root) < least or (ending == "ion" and root[-1] not in "st"):
        return word
    return root + endings[ending]


def _is_long_enough_without_e(root: str) -> bool:
    measure = _measure(root)
    return measure > 1 or (measure == 1 and not _is_short_syllable(root))


def _measure(word: str) -> int:
    """Return Porter's m, the number of vowels that consonants follow."""
    return _shape(word).count(b"vc")


def _is_short_syllable(word: str) -> bool:
    return word[-1:] not in ("w", "x", "y") and _shape(word).endswith(b"cvc")


def _shape(word: str) -> bytes:
    """Return a ``v`` for each vowel and a ``c`` for each consonant; y is a vowel after a consonant."""
    shape = word.encode().translate(_SHAPES)
    while (at := shape.find(b"y")) >= 0:
        shape = shape[:at] + (b"v" if shape[at - 1 : at] == b"c" else b"c") + shape[at + 1 :]
    return shape


_SHAPES = bytes(ord("v" if chr(each) in "aeiou" else "y" if chr(each) == "y" else "c") for each in range(256))
