"""The occurrences of words in entries, and the BM25 score of an entry for words, in any inflection.

# Note [BM25]
Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond" (2009).  The frequency of a word is the
sum of the weights of the columns that it occurs in; words with the same stem are one word.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import takewhile

from attrs import Factory, define, frozen

from mcpgateway.discovery.stems import stem
from mcpgateway.discovery.vocabulary import KnownWords

K1, B = 1.2, 0.75  # the usual ones
LEAST_RARITY = 1e-6  # of a word that more than half of the entries have
AT_LEAST = 0.1  # added to each score: a word that nearly all entries have counts, as in a small catalog


@frozen
class WeighedText:
    """The words of an entry.

    :ivar lines: those of each column, in their order, between single spaces.
    :ivar weights: of each word, the sum of the weights of its occurrences.
    :ivar length: the number of words.
    """

    lines: str
    weights: dict[str, int]
    length: int


def weighed(columns: Sequence[Sequence[str]], weights: Sequence[int]) -> WeighedText:
    """Return the words of columns with their weights."""
    sums: dict[str, int] = defaultdict(int)
    for words, weight in zip(columns, weights, strict=True):
        for word in words:
            sums[word] += weight
    return WeighedText("\n".join(map(" ".join, columns)), sums, sum(map(len, columns)))


@define
class InvertedIndex:
    """The entries of each word.

    :param weights: of the columns, in units; whole numbers take less memory.
    :param unit: the weight at which BM25 counts an occurrence once.
    """

    _weights: Sequence[int]
    _unit: int = 1
    _postings: dict[str, dict[int, int]] = Factory(dict)  # of each word, its weight in each row
    _inflections: dict[str, list[str]] = Factory(dict)  # of each stem
    _vocabulary: KnownWords = Factory(KnownWords)
    _lines: dict[int, str] = Factory(dict)
    _lengths: dict[int, int] = Factory(dict)
    # Computed for a search, and forgotten with each change: the stems in order, and K1 of each row for its length.
    _ordered: list[str] = Factory(list)
    _norms: dict[int, float] = Factory(dict)

    def count(self, word: str) -> int:
        """Return the number of entries with a word itself."""
        return len(self._postings.get(word, ()))

    def add(self, row: int, text: WeighedText) -> None:
        """Add an entry."""
        postings = self._postings
        for word, weight in text.weights.items():
            if word in postings:
                postings[word][row] = weight
            else:
                postings[word] = {row: weight}
                self._inflections.setdefault(stem(word), []).append(word)
                self._vocabulary.add(word)
        self._lines[row], self._lengths[row] = text.lines, text.length
        self._ordered, self._norms = [], {}

    def remove(self, row: int) -> None:
        """Remove an entry."""
        for word in set(self._lines.pop(row).split()):
            del self._postings[word][row]
            if not self._postings[word]:
                self._forget(word)
        del self._lengths[row]
        self._ordered, self._norms = [], {}

    def _forget(self, word: str) -> None:
        del self._postings[word]
        self._vocabulary.remove(word)
        others = self._inflections[stem(word)]
        others.remove(word)
        if not others:
            del self._inflections[stem(word)]

    def near(self, word: str) -> list[str]:
        """Return the words that a misspelt one may mean, the nearest first, and of those the most frequent."""
        return self._vocabulary.near(word, self.count)

    def scores(self, phrases: Iterable[str]) -> dict[int, float]:
        """Return the scores of the rows with any of these words, or of these phrases of several words in a row."""
        return self._scores(map(self._occurrences, phrases))

    def scores_of_beginning(self, word: str) -> dict[int, float]:
        """Return the scores of the rows with words that begin with the stem of a word."""
        beginning = stem(word)
        self._ordered = ordered = self._ordered or sorted(self._inflections)
        later = (ordered[at] for at in range(bisect_left(ordered, beginning), len(ordered)))
        stems = takewhile(lambda each: each.startswith(beginning), later)
        return self._scores([self._merged([word for each in stems for word in self._inflections[each]])])

    def _occurrences(self, phrase: str) -> Mapping[int, int]:
        found = [self._inflections.get(stem(each), []) for each in phrase.split()]
        if len(found) == 1:
            return self._merged(found[0])
        rows = min(map(self._merged, found), key=len, default={})
        # Words have letters and digits only.
        pattern = re.compile(r"\b" + " ".join(f"(?:{'|'.join(each)})" for each in found) + r"\b")
        weights = {row: self._weight(self._lines[row].split("\n"), pattern) for row in rows}
        return {row: weight for row, weight in weights.items() if weight}

    def _merged(self, words: Sequence[str]) -> Mapping[int, int]:
        if len(words) == 1:
            return self._postings[words[0]]
        merged = self._postings[words[0]].copy() if words else {}
        for word in words[1:]:
            for row, weight in self._postings[word].items():
                merged[row] = merged.get(row, 0) + weight
        return merged

    def _weight(self, lines: Sequence[str], phrase: re.Pattern[str]) -> int:
        return sum(
            len(phrase.findall(line)) * weight for line, weight in zip(lines, self._weights, strict=True)
        )

    def _scores(self, alternatives: Iterable[Mapping[int, int]]) -> dict[int, float]:
        scores: dict[int, float] = {}
        self._norms = norms = self._norms or self._computed_norms()
        for found in alternatives:
            others = len(self._lengths) - len(found)
            gain = max(LEAST_RARITY, math.log((others + 0.5) / (len(found) + 0.5))) * (K1 + 1)
            if not scores:
                scores = {
                    row: AT_LEAST + gain * weight / (weight + norms[row]) for row, weight in found.items()
                }
                continue
            for row, weight in found.items():
                scores[row] = scores.get(row, AT_LEAST) + gain * weight / (weight + norms[row])
        return scores

    def _computed_norms(self) -> dict[int, float]:
        mean = sum(self._lengths.values()) / max(1, len(self._lengths))
        return {
            row: K1 * self._unit * (1 - B + B * length / mean)
            for row, length in self._lengths.items()
            if length
        }
