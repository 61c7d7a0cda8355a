"""Full-text search for entries of lists.

# Note [Ranking]
Entries are ranked by BM25, one word of the query at a time.  A word counts with the best of its alternatives: itself,
words that begin with it, synonyms, words of similar meaning, a known word of which it is a misspelling.  So a word with
many alternatives counts no more than one with none.  The scores of the words are added; an entry that matches more of
them, whose name has few other words, and whose server is named in the query, precedes others.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import chain

from attrs import frozen

from mcpgateway.discovery.columns import UNIT, WEIGHTS, columns
from mcpgateway.discovery.postings import InvertedIndex, weighed
from mcpgateway.discovery.records import Item
from mcpgateway.discovery.stopwords import forms, related
from mcpgateway.discovery.thesaurus import Thesaurus
from mcpgateway.discovery.words import Word, asked, indexed, words

MOST = 50  # hits of one search; a longer answer would be a list

# The weights were set with one half of the queries in tests/search; docs/explanation/search.rst has the figures.
BEGINNING = 0.4  # weight of a word that only begins with the typed one
RELATED = 0.35  # weight of a synonym
SIMILAR = 0.45  # weight of a word of similar meaning
SLIP = 0.6  # weight of a misspelt word
SHARE_ASKED = 0.3  # exponent of the share of the query's words that an entry matches
SHARE_NAMED = 0.6  # gain of an entry whose name has no other words than the query's
SERVER_NAMED = 0.5  # gain of an entry whose server the query names

SHORTEST_BEGINNING = 3  # letters; fewer are the beginning of too many words
# A word of many entries distinguishes none, and takes time: this share of them is many, above a few.
RARE = 16  # a word of fewer entries may be the beginning of the intended one
COMMON = 8  # a synonym of more entries is not searched, and no word of similar meaning to one of more
SIMILAR_COMMON = 16  # as COMMON, of a word of similar meaning
FEW = 16
NAMES_LIMIT = 2048  # names of tools or of servers whose words are kept


@frozen
class SearchHit:
    """A search result.

    :ivar score: the higher the better; 0 for an empty query.
    :ivar share: the share of the query's significant words that the entry matches itself or by a synonym.
    """

    item: Item
    score: float
    share: float = 1.0


class SearchIndex:
    """The index of servers' entries by their words; entries of a server are added and removed together.

    :param thesaurus: words of similar meaning; none by default.
    """

    def __init__(self, thesaurus: Thesaurus | None = None) -> None:
        self._thesaurus = thesaurus or Thesaurus()
        self._words = InvertedIndex(WEIGHTS, UNIT)
        self._items: dict[int, Item] = {}
        self._servers: dict[str, range] = {}
        self._next = 1

    def __len__(self) -> int:
        return len(self._items)

    def replacing(self, server: str, items: Sequence[Item]) -> Iterator[None]:
        """Index the entries of a server in steps, each of a fraction of a millisecond; the last one replaces them."""
        texts = []
        for item in items:
            texts.append(weighed(columns(item), WEIGHTS))
            yield
        self.remove(server)
        added = range(self._next, self._next + len(items))
        self._next = added.stop
        for row, item, text in zip(added, items, texts, strict=True):
            self._items[row] = item
            self._words.add(row, text)
        if items:
            self._servers[server] = added

    def remove(self, server: str) -> None:
        """Remove the entries of a server, if it has any."""
        for row in self._servers.pop(server, ()):
            self._words.remove(row)
            del self._items[row]

    def search(self, query: str, limit: int = 10, server: str = "") -> list[SearchHit]:
        """Return the entries that match a query best; all of them for an empty one.

        :param limit: the number of hits, up to `MOST`.
        :param server: the server of the entries; empty for any.
        """
        limit = max(1, min(limit, MOST))
        if query.strip():
            scores, shares = self._scores(asked(query), limit, server)
        else:
            scores, shares = dict.fromkeys(self._rows_of(server), 0.0), {}
        best = heapq.nsmallest(limit, scores, key=lambda row: (-scores[row], *_place(self._items[row])))
        return [SearchHit(self._items[row], scores[row], shares.get(row, 1.0)) for row in best]

    def _scores(
        self, asked_words: Sequence[Word], limit: int, server: str
    ) -> tuple[dict[int, float], dict[int, float]]:
        meant: set[str] = set()
        literal = [self._found(word, meant) for word in asked_words]
        found = [
            self._with_similar(each, word.whole) for each, word in zip(literal, asked_words, strict=True)
        ]
        answered = Counter(chain.from_iterable(found))
        shares = {count: (count / len(found)) ** SHARE_ASKED for count in set(answered.values())}
        sums = dict.fromkeys(answered, 0.0)
        for each in found:
            for row, score in each.items():
                sums[row] += score
        mine = self._servers.get(server, range(0)) if server else sums
        scores = {row: sums[row] * shares[answered[row]] for row in mine if row in sums}
        for row in self._rows_of_named(asked_words) if not server else ():
            if row in scores:
                scores[row] *= 1 + SERVER_NAMED
        # Names are compared only if that can move an entry among the best.
        enough = min(heapq.nlargest(limit, scores.values()), default=0.0) / (1 + SHARE_NAMED)
        best = {
            row: score * (1 + SHARE_NAMED * _share(self._items[row].own, meant))
            for row, score in scores.items()
            if score >= enough
        }
        return best, {row: sum(row in each for each in literal) / len(literal) for row in best}

    def _rows_of_named(self, asked_words: Sequence[Word]) -> Iterable[int]:
        said = {word.whole for word in asked_words}
        return chain.from_iterable(
            rows
            for rows in self._servers.values()
            if not said.isdisjoint(_wholes_of(self._items[rows[0]].server))
        )

    def _rows_of(self, server: str) -> Collection[int]:
        return self._servers.get(server, range(0)) if server else self._items

    def _found(self, word: Word, meant: set[str]) -> dict[int, float]:
        """Return the rows that match one word; its matching alternatives are added to ``meant``."""
        whole = word.whole
        found = self._words.scores([whole])
        meant.update(forms(whole), word.parts)
        if word.parts:
            _raise(found, self._words.scores([" ".join(word.parts)]), 1.0)
        if not found:
            near = self._words.near(whole)
            _raise(found, self._words.scores(near), SLIP)
            meant.update(near)
        # A plural is searched as its singular, which may be the beginning of a word.
        if len(whole.rstrip("s")) >= SHORTEST_BEGINNING and self._are_few(len(found), RARE):
            _raise(found, self._words.scores_of_beginning(whole), BEGINNING)
        others = related(whole)
        rare = [other for other in others if self._are_few(self._words.count(other), COMMON)]
        _raise(found, self._words.scores(rare), RELATED)
        meant.update(others)
        return found

    def _with_similar(self, found: dict[int, float], word: str) -> dict[int, float]:
        if not self._are_few(len(found), COMMON):
            return found
        near = self._thesaurus.near(word)
        rare = [other for other in near if self._are_few(self._words.count(other), SIMILAR_COMMON)]
        similar = self._words.scores(rare)
        if similar:
            found = found.copy()
            _raise(found, similar, SIMILAR)
        return found

    def _are_few(self, count: int, share: int) -> bool:
        return count <= max(FEW, len(self._items) // share)


def _place(item: Item) -> tuple[str, str, str]:
    return item.server, item.kind.method, item.own


def _share(name: str, meant: set[str]) -> float:
    """Return the share of a name's words that are meant."""
    parts = _words_of(name)
    return sum(part in meant for part in parts) / len(parts) if parts else 0.0


@lru_cache(maxsize=NAMES_LIMIT)
def _words_of(name: str) -> frozenset[str]:
    return frozenset(indexed(name))


@lru_cache(maxsize=NAMES_LIMIT)
def _wholes_of(server: str) -> frozenset[str]:
    return frozenset(each.whole for each in words(server))


def _raise(best: dict[int, float], found: dict[int, float], share: float) -> None:
    """Set the score of each row to the better one of two."""
    for row, score in found.items():
        if row not in best or score * share > best[row]:
            best[row] = score * share
