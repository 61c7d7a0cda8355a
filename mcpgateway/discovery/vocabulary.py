"""The indexed words, and the search for those that a misspelt word may mean."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from attrs import define, field

SHORTEST = 4  # letters of a misspelt word; shorter ones are similar to too many others
LONGEST = 24  # letters; a longer word is an identifier, which is not typed letter by letter
TWICE_FROM = 8  # letters; a word of this length may have two errors


@define
class WordIndex:
    """Counts words, and finds similar ones."""

    _counts: Counter[str] = field(factory=Counter)
    # By length; the value is the set of a word's letters as bits, which excludes most others at once.
    _letters: dict[int, dict[str, int]] = field(factory=dict)

    def __contains__(self, word: str) -> bool:
        return word in self._counts

    def __len__(self) -> int:
        return len(self._counts)

    def __iter__(self) -> Iterator[str]:
        return iter(self._counts)

    def count(self, word: str) -> int:
        """Return how often the word was added and not removed."""
        return self._counts[word]

    def add(self, words: set[str]) -> None:
        """Count each of the words once more."""
        for word in words:
            if word not in self._counts and SHORTEST - 1 <= len(word) <= LONGEST:
                self._letters.setdefault(len(word), {})[word] = _letters(word)
        self._counts.update(words)

    def remove(self, words: set[str]) -> None:
        """Count each of the words once less; those that occur no more are forgotten."""
        for word in words:
            self._counts[word] -= 1
            if self._counts[word] <= 0:
                del self._counts[word]
                self._letters.get(len(word), {}).pop(word, None)

    def near(self, word: str, most: int = 4) -> list[str]:
        """Return known words that differ by one error, or two in a long word; the nearest and most frequent first."""
        if not SHORTEST <= len(word) <= LONGEST or word.isdigit():
            return []
        reach = 2 if len(word) >= TWICE_FROM else 1
        letters = _letters(word)
        found = [
            (slips, -self._counts[known], known)
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

    (The optimal string alignment distance.)
    """
    if abs(len(one) - len(other)) > most:
        return most + 1
    before: list[int] = []
    row = list(range(len(other) + 1))
    for at, letter in enumerate(one, 1):
        earlier, before = before, row
        row = [at]
        for there, another in enumerate(other, 1):
            cost = before[there - 1] + (letter != another)
            cost = min(cost, before[there] + 1, row[-1] + 1)
            if at > 1 and there > 1 and letter == other[there - 2] and one[at - 2] == another:
                cost = min(cost, earlier[there - 2] + 1)
            row.append(cost)
        if min(row) > most:
            return most + 1
    return min(row[-1], most + 1)


def _letters(word: str) -> int:
    letters = 0
    for letter in word:
        letters |= 1 << (ord(letter) & 63)
    return letters
