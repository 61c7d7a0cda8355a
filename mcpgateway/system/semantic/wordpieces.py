"""The words of BERT models: pieces of words, by their numbers (https://arxiv.org/abs/1810.04805)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from attrs import define

LONGEST_WORD = 100  # characters; a longer one is unknown, as in the original
_PARTS = re.compile(r"[^\W_]+|[^\w\s]|_")


@define
class WordPieces:
    """The vocabulary, in the order of the pieces' numbers.

    :param pieces: the number of each piece; one inside a word begins with ``##``.
    """

    _pieces: dict[str, int]

    @classmethod
    def read(cls, text: str) -> WordPieces:
        """Return the vocabulary of a file with one piece in each line; empty lines are unused numbers."""
        return cls({piece: number for number, piece in enumerate(text.split("\n")) if piece})

    def numbers(self, text: str, most: int) -> list[int]:
        """Return the numbers of a text's pieces, cut to ``most``, with the marks of its beginning and its end."""
        found = [number for word in _words(text) for number in self._word(word)]
        return [self._pieces["[CLS]"], *found[: most - 2], self._pieces["[SEP]"]]

    def _word(self, word: str) -> list[int]:
        found: list[int] = []
        start = 0
        while start < len(word) <= LONGEST_WORD:
            mark = "##" if start else ""
            for end in range(len(word), start, -1):
                if (number := self._pieces.get(mark + word[start:end])) is not None:
                    found.append(number)
                    start = end
                    break
            else:
                break
        return found if found and start == len(word) else [self._pieces["[UNK]"]]


def _words(text: str) -> Iterator[str]:
    plain = unicodedata.normalize("NFD", text.lower())
    yield from _PARTS.findall("".join(each for each in plain if unicodedata.category(each) != "Mn"))
