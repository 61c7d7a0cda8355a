"""What somebody asks for, as words and what may stand for each of them."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import frozen

from mcpgateway.catalog.everyday import SAYS_NOTHING
from mcpgateway.catalog.words import Word, words

LONGEST_QUERY = 1000  # characters; a question that a person types has a tenth
MOST_WORDS = 24  # different ones; each costs a look-up


def asked(query: str) -> list[Word]:
    """The different words of a query that say something; all of them where none does."""
    found = list({word.whole: word for word in words(query[:LONGEST_QUERY])}.values())
    telling = [word for word in found if word.whole not in SAYS_NOTHING]
    return (telling or found)[:MOST_WORDS]
