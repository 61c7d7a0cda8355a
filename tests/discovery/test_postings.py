"""The occurrences of words, and their scores."""

import sqlite3

import pytest

from mcpgateway.discovery.columns import COLUMNS, UNIT, WEIGHTS, columns
from mcpgateway.discovery.postings import AT_LEAST, InvertedIndex, weighed
from tests.search.evaluation import catalogue


class ScoreTests:
    """The scores of entries."""

    def test_scores_are_those_of_sqlite(self):
        """Words, several words, phrases and beginnings have the BM25 scores of SQLite's FTS5."""
        texts = [columns(item) for items in catalogue().values() for item in items]
        index = InvertedIndex(WEIGHTS, UNIT)
        file = sqlite3.connect(":memory:")
        file.execute(f"CREATE VIRTUAL TABLE entries USING fts5({', '.join(COLUMNS)}, tokenize='porter')")
        for row, text in enumerate(texts):
            index.add(row, weighed(text, WEIGHTS))
            values = (row, *map(" ".join, text))
            file.execute(f"INSERT INTO entries(rowid, {', '.join(COLUMNS)}) VALUES (?,?,?,?,?,?,?,?)", values)

        def theirs(question):
            weights = ", ".join(map(str, COLUMNS.values()))
            search = f"SELECT rowid, {AT_LEAST} - bm25(entries, {weights}) FROM entries WHERE entries MATCH ?"
            return dict(file.execute(search, (question,)))

        for word in ("file", "files", "listing", "the", "absent"):
            assert index.scores([word]) == pytest.approx(theirs(f'"{word}"'))
            assert index.scores_of_beginning(word[:4]) == pytest.approx(theirs(f'"{word[:4]}"*'))
        assert index.scores(["file", "issue"]) == pytest.approx(theirs("file OR issue"))
        assert index.scores(["pull requests"]) == pytest.approx(theirs('"pull requests"')) != {}
        file.close()
