"""``python -m tools.thesaurus``: compute the thesaurus of the search anew, for the words that it has; takes minutes.

A line has up to eight words whose vectors are nearest to that of its first, except those of the same stem.  It needs
``mcpgateway[semantic]``.  The words are the 8,000 most frequent ones of the vocabulary of BERT and those of sixty
summaries of packages on PyPI or npm, without inflected forms, stop words and words that offend.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from mcpgateway.system import package_data
from mcpgateway.system.semantic.launch import model_path
from mcpgateway.system.semantic.model import SentenceModel
from mcpgateway.system.semantic.wordpieces import WordPieces

NEAREST = 8
LOOKED_AT = 16
LEAST = 0.5  # similarity
STEM = 4  # letters, at least, that two words of one stem have in common
ROWS = 1000  # of the matrix of similarities that are in memory at once
PIECES = 16


def table(words: Sequence[str], vectors: Any) -> str:
    """Return the text of the thesaurus; the words are in the order of their bytes."""
    lines = []
    for start in range(0, len(words), ROWS):
        for word, row in zip(words[start:], vectors[start : start + ROWS] @ vectors.T, strict=False):
            stem = max(STEM, len(word) - 2)
            near = [int(each) for each in np.argsort(-row)[: LOOKED_AT + 1] if words[each] != word][
                :LOOKED_AT
            ]
            kept = [words[each] for each in near if row[each] >= LEAST and words[each][:stem] != word[:stem]]
            lines.append(" ".join([word, *kept[:NEAREST]]))
    return "".join(f"{line}\n" for line in lines)


def main() -> None:
    """Write the file of the package."""
    words = [line.split()[0].decode() for line in package_data.thesaurus().splitlines()]
    model, pieces = SentenceModel(model_path()), WordPieces.read(package_data.wordpieces())
    vectors = np.array([model.vector(pieces.numbers(word, PIECES)) for word in words])
    with open(os.path.join(package_data.DATA, "thesaurus.txt"), "w", encoding="utf-8") as file:
        file.write(table(words, vectors))


if __name__ == "__main__":
    main()
