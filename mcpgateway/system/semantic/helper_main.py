"""The program that ranks tools by the meaning of a question: ``python -m … MODEL VECTORS``.

It runs beside the gateway, which has no numpy and stays small.  Each line of its stdin and its stdout is a JSON object:

- ``{"put": key, "texts": [...]}`` replaces the texts of a key, ``{"drop": key}`` removes them.  Their vectors are
  computed one by one while no question waits.  ``{"left": n}`` says now and then how many are left, in the end 0.
- ``{"ask": question, "id": n, "keys": [...], "most": n}`` is answered with ``{"id": n, "hits": [[key, place,
  similarity], ...]}``, the best first; the places are those of the texts.

Its stderr says why it has ended; at the end of its stdin it ends.
"""

from __future__ import annotations

import json
import os
import select
import sys
from collections import deque
from typing import Any

import numpy as np

from mcpgateway.errors import ConfigError
from mcpgateway.system import package_data
from mcpgateway.system.semantic.model import SIZE, SentenceModel
from mcpgateway.system.semantic.vectors import VectorFile
from mcpgateway.system.semantic.wordpieces import WordPieces

PIECES = 64  # of a text; the name and the beginning of a description
TOLD_EACH = 16  # vectors
READ_BYTES = 262_144
NICE = 5  # vectors can wait; a question has to be answered in a moment on a busy machine too


class Ranking:
    """The texts of all keys with their vectors, as far as these are computed.

    :param file: keeps vectors for the next start.
    """

    def __init__(self, model: SentenceModel, pieces: WordPieces, file: VectorFile) -> None:
        self._model, self._pieces, self._file = model, pieces, file
        self._texts: dict[str, list[str]] = {}
        self._matrices: dict[str, Any] = {}
        self._left: deque[tuple[str, int]] = deque()

    @property
    def left(self) -> int:
        """The number of vectors that are not computed yet."""
        return len(self._left)

    def put(self, key: str, texts: list[str]) -> None:
        """Replace the texts of a key; known vectors count at once."""
        self.drop(key)
        self._texts[key] = texts
        matrix: Any = np.zeros((len(texts), SIZE), "f4")
        self._matrices[key] = matrix
        for place, text in enumerate(texts):
            if (known := self._file.find(text)) is not None:
                matrix[place] = known
            else:
                self._left.append((key, place))

    def drop(self, key: str) -> None:
        """Remove the texts of a key."""
        if self._texts.pop(key, None) is not None:
            del self._matrices[key]
            self._left = deque(each for each in self._left if each[0] != key)

    def compute(self) -> None:
        """Compute one more vector, and save all after the last one."""
        key, place = self._left.popleft()
        text = self._texts[key][place]
        self._matrices[key][place] = vector = self._vector(text)
        self._file.add(text, vector)
        if not self._left:
            self._file.save()

    def best(self, question: str, keys: list[str], most: int) -> list[tuple[str, int, float]]:
        """Return key, place and cosine similarity of the nearest texts, the nearest first."""
        vector = self._vector(question)
        found = [
            (key, place, round(float(similarity), 4))
            for key in keys
            if key in self._matrices
            for place, similarity in enumerate(self._matrices[key] @ vector)
        ]
        return sorted(found, key=lambda each: -each[2])[:most]

    def _vector(self, text: str) -> Any:
        return self._model.vector(self._pieces.numbers(text, PIECES))


def serve(ranking: Ranking) -> None:
    """Serve the lines of stdin until its end."""
    rest, told = b"", 0
    while True:
        if ranking.left and not select.select([0], [], [], 0)[0]:
            ranking.compute()
            if ranking.left == 0 or told - ranking.left >= TOLD_EACH:
                told = ranking.left
                _tell({"left": told})
            continue
        data = os.read(0, READ_BYTES)
        if not data:
            return
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            _obey(json.loads(line), ranking)
        told = ranking.left
        if any(b'"put"' in line for line in lines):
            _tell({"left": told})


def _obey(message: dict[str, Any], ranking: Ranking) -> None:
    if "put" in message:
        ranking.put(message["put"], message["texts"])
    elif "drop" in message:
        ranking.drop(message["drop"])
    else:
        hits = ranking.best(message["ask"], message["keys"], message["most"])
        _tell({"id": message["id"], "hits": hits})


def _tell(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Load the model, and serve."""
    os.nice(NICE)
    model, file = SentenceModel(sys.argv[1]), VectorFile(sys.argv[2])
    ranking = Ranking(model, WordPieces.read(package_data.wordpieces()), file)
    try:
        serve(ranking)
    except (BrokenPipeError, KeyboardInterrupt):
        return
    except ConfigError as why:
        # The disk is full: the vectors in memory are of use all the same, but not for long.
        sys.exit(str(why))


if __name__ == "__main__":
    main()
