"""Finds entries by what somebody types.

# Note [What ranks]
SQLite's FTS5 ranks by BM25, one word of the question at a time.  A word counts with the best of what may stand for it:
itself, words it begins, words of its compounds, a known word it is a slip of, an everyday word for the same.  So a word
that has many stand-ins counts no more than one that has none, and an entry that answers to several words is before one
that answers to a single rare one.

# Note [What is kept]
The index holds no text.  What is to be taken out again is read from the entry a second time, which is the same, since
entries do not change.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence

from attrs import define, field, frozen

from mcpgateway.catalog.asking import asked
from mcpgateway.catalog.columns import COLUMNS, columns
from mcpgateway.catalog.everyday import related
from mcpgateway.catalog.records import Item
from mcpgateway.catalog.vocabulary import Vocabulary
from mcpgateway.catalog.words import Word
from mcpgateway.errors import GatewayFault

MOST = 50  # hits of one search; more is a list, not an answer


class SearchUnavailable(GatewayFault):
    """The SQLite of this Python cannot search text."""


@frozen
class Hit:
    """An entry that was found.

    :ivar score: the higher the better; 0 where nothing was asked for.
    """

    item: Item
    score: float


class Index:
    """Entries of servers, found by their words; a server's entries come and go as a whole.

    :raise SearchUnavailable: SQLite was built without FTS5.
    """

    def __init__(self) -> None:
        self._file = sqlite3.connect(":memory:", isolation_level=None)
        try:
            self._file.execute(_CREATE)
        except sqlite3.OperationalError:
            self._file.close()
            raise SearchUnavailable("search") from None
        self._items: dict[int, Item] = {}
        self._rows: dict[str, list[int]] = {}
        self._vocabulary = Vocabulary()
        self._last = 0

    def __len__(self) -> int:
        return len(self._items)

    def replace(self, server: str, items: Sequence[Item]) -> None:
        self.remove(server)
        first = self._last + 1
        self._last += len(items)
        added = dict(enumerate(items, first))
        texts = {row: columns(item) for row, item in added.items()}
        self._file.execute("BEGIN")
        self._file.executemany(_INSERT, ((row, *text) for row, text in texts.items()))
        self._file.execute("COMMIT")
        for text in texts.values():
            self._vocabulary.add(set(" ".join(text).split()))
        self._items.update(added)
        self._rows[server] = list(added)

    def remove(self, server: str) -> None:
        removed = {row: columns(self._items.pop(row)) for row in self._rows.pop(server, ())}
        self._file.execute("BEGIN")
        self._file.executemany(_DELETE, ((row, *text) for row, text in removed.items()))
        self._file.execute("COMMIT")
        for text in removed.values():
            self._vocabulary.remove(set(" ".join(text).split()))

    def search(self, query: str, limit: int = 10, server: str = "") -> list[Hit]:
        wanted = self._wanted(server)
        if not query.strip():
            scores = dict.fromkeys(wanted, 0.0)
        else:
            scores = {row: s for row, s in self._scores(asked(query)).items() if row in wanted}
        best = sorted(scores, key=lambda row: (-scores[row], *_place(self._items[row])))
        return [Hit(self._items[row], scores[row]) for row in best[:max(1, min(limit, MOST))]]

    def _wanted(self, server):
        return set(self._rows.get(server, ())) if server else self._items.keys()

    def _scores(self, words: list[Word]) -> dict[int, float]:
        scores: dict[int, float] = {}
        met: dict[int, int] = {}
        for word in words:
            for row, score in self._word(word).items():
                scores[row] = scores.get(row, 0.0) + score
                met[row] = met.get(row, 0) + 1
        for row, m in met.items():
            scores[row] *= (m / len(words)) ** K.coordination
        for one, other in zip(words, words[1:]):
            if K.pair:
                for row, score in self._matches(f'"{one.whole} {other.whole}"').items():
                    scores[row] = scores.get(row,0) + K.pair * score
        return scores

    def _word(self, word: Word) -> dict[int, float]:
        best: dict[int, float] = {}
        whole = self._matches(quoted(word.whole))
        _raise(best, whole, 1.0)
        if word.parts:
            _raise(best, self._matches(quoted(" ".join(word.parts))), 1.0)
        if K.prefix and len(word.whole) >= 3:
            _raise(best, self._matches(quoted(word.whole) + "*"), K.prefix)
        if not whole and word.whole not in self._vocabulary:
            near = self._vocabulary.near(word.whole)
            if near:
                _raise(best, self._matches(" OR ".join(map(quoted, near))), K.fuzzy if best else 0.8)
        others = related(word.whole)
        if others and K.related:
            _raise(best, self._matches(" OR ".join(map(quoted, others))), K.related)
        return best

    def _matches(self, expression: str) -> dict[int, float]:
        return dict(self._file.execute(f"SELECT rowid, -bm25(entries, {K.weights}) FROM entries WHERE entries MATCH ?", (expression,)))


class K:
    weights = "8, 4, 2, 1, 3, 1, 0.5"
    prefix = 0.6
    fuzzy = 0.6
    related = 0.4
    coordination = 0.5
    pair = 0.3


def quoted(word):
    return f'"{word}"'


def _raise(best, scores, weight):
    for row, score in scores.items():
        score *= weight
        if score > best.get(row, 0.0):
            best[row] = score


def _place(item: Item):
    return item.server, item.kind.method, item.own


_CREATE = f"CREATE VIRTUAL TABLE entries USING fts5({', '.join(COLUMNS)}, content='', tokenize='porter unicode61 remove_diacritics 2')"
_PLACES = ", ".join("?" * (len(COLUMNS) + 1))
_INSERT = f"INSERT INTO entries(rowid, {', '.join(COLUMNS)}) VALUES ({_PLACES})"
_DELETE = f"INSERT INTO entries(entries, rowid, {', '.join(COLUMNS)}) VALUES ('delete', {_PLACES})"
