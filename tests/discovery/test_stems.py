"""The stems of words."""

import sqlite3

from mcpgateway.discovery.columns import columns
from mcpgateway.discovery.stems import stem
from tests.search.evaluation import catalogue

ENDINGS = "|s|es|ies|ed|eed|ing|er|ly|ll|y|ying|ization|ational|fulness|iviti|alli|ement|ion|sion|ical".split(
    "|"
)


class StemTests:
    """The algorithm of Porter."""

    def test_inflections_have_one_stem(self):
        """The forms of a verb, and a plural, have the stem of the word itself."""
        assert {stem(each) for each in ("list", "lists", "listed", "listing")} == {"list"}
        assert {stem(each) for each in ("copy", "copies", "copied")} == {"copi"}
        assert [stem(each) for each in ("", "a", "is", "读", "x" * 65 + "s")] == [
            "",
            "a",
            "is",
            "读",
            "x" * 65 + "s",
        ]

    def test_stems_are_those_of_sqlite(self):
        """The words of the catalog, and words with any ending, have the stems that SQLite's tokenizer gives them."""
        texts = [columns(item) for items in catalogue().values() for item in items]
        known = {word for text in texts for column in text for word in column}
        words = sorted(
            {word + ending for word in known if word.isascii() and word.isalpha() for ending in ENDINGS}
        )
        file = sqlite3.connect(":memory:")
        file.execute("CREATE VIRTUAL TABLE texts USING fts5(text, tokenize='porter ascii')")
        file.execute("CREATE VIRTUAL TABLE stems USING fts5vocab(texts, 'instance')")
        file.executemany("INSERT INTO texts(rowid, text) VALUES (?, ?)", enumerate(words))
        theirs = {words[row]: each for each, row in file.execute("SELECT term, doc FROM stems")}
        file.close()
        assert len(theirs) == len(words) > 10_000
        assert {word: stem(word) for word in words} == theirs
