"""Words of similar meaning, from a table that was computed with the sentence model all-MiniLM-L6-v2."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define, field

from mcpgateway.discovery.stopwords import forms


@define
class Thesaurus:
    """The table: words in the order of their bytes, each with its nearest ones by similarity.

    :param text: lines such as ``film movie cinema``: a word, and the nearest ones.
    """

    _text: bytes = field(default=b"", repr=False)

    def near(self, word: str) -> Sequence[str]:
        """Return the words nearest to a word, in any inflection."""
        for form in forms(word):
            if line := self._line(form.encode(errors="replace")):
                return line.decode().split()[1:]
        return ()

    def _line(self, word: bytes) -> bytes:
        text, low, high = self._text, 0, len(self._text)
        while low < high:
            start = text.rfind(b"\n", low, (low + high) // 2) + 1 or low
            line = text[start : text.find(b"\n", start)]
            found = line.partition(b" ")[0]
            if found == word:
                return line
            if found < word:
                low = start + len(line) + 1
            else:
                high = start
        return b""
