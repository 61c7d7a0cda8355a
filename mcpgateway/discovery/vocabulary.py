"""The indexed words, and the search for those that a misspelt word may mean."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field

SHORTEST = 4  # letters of a misspelt word; shorter ones are similar to too many others
LONGEST = 24  # letters; a longer word is an identifier, which is not typed letter by letter
TWICE_FROM = 8  # letters; a word of this length may have two errors


@define
class KnownWords:
    """Finds the known words that are similar to a misspelt one."""

    # By length; the value is the set of a word's letters as bits, which excludes most others at once.
    _letters: dict[int, dict[str, int]] = field(factory=dict)

    def add(self, word: str) -> None:
        """Learn a word."""
        if SHORTEST - 1 <= len(word) <= LONGEST:
            self._letters.setdefault(len(word), {})[word] = _letters(word)

    def remove(self, word: str) -> None:
        """Forget a word."""
        self._letters.get(len(word), {}).pop(word, None)

    def near(self, word: str, count: Callable[[str], int], most: int = 4) -> list[str]:
        """Return known words that differ by one error, or two in a long word; the nearest and most frequent first.

        :param count: returns how frequent a word is.
        """
        if not SHORTEST <= len(word) <= LONGEST or word.isdigit():
            return []
        reach = 2 if len(word) >= TWICE_FROM else 1
        letters = _letters(word)
        found = [
            (slips, -count(known), known)
            for length in range(len(word) - reach, len(word) + reach + 1)
            for known, others in self._letters.get(length, {}).items()
            # An error changes at most two of the occurring letters.
            if (letters ^ others).bit_count() <= 2 * reach
            and (slips := slips_between(word, known, reach)) <= reach
        ]
        found.sort()
        return [known for slips, _, known in found if slips == found[0][0]][:most]


def slips_between(one: str, other: str, most: int) -> int:
    """Return the number of letters left out, added, replaced or swapped with the next; ``most + 1`` if more.

    (The optimal string alignment distance, by H. Hyyrö, "A bit-vector algorithm for computing Levenshtein and Damerau
    edit distances", 2003: a number holds a column of the matrix, a bit for each row.)
    """
    places: dict[str, int] = {}
    for at, letter in enumerate(one):
        places[letter] = places.get(letter, 0) | 1 << at
    distance, last = len(one), 1 << len(one) >> 1
    # The rows that are greater by one than the row above, those that are less, those that are equal to the diagonal.
    greater, less, equal, before = -1, 0, 0, 0
    for letter in other:
        here = places.get(letter, 0)
        swapped = (~equal & here) << 1 & before
        equal = (((here & greater) + greater) ^ greater) | here | less | swapped
        grown, shrunk = less | ~(equal | greater), equal & greater
        distance += bool(grown & last) - bool(shrunk & last) if one else 1
        grown = grown << 1 | 1
        greater, less, before = shrunk << 1 | ~(equal | grown), grown & equal, here
    return min(distance, most + 1)


def _letters(word: str) -> int:
    letters = 0
    for letter in word:
        letters |= 1 << (ord(letter) & 63)
    return letters
