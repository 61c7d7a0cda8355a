"""The tools of real servers, questions about them, and how well a search answers those."""

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
from attrs import frozen
from msgspec import Raw

from mcpgateway.discovery.records import Item, ListKind, read_items
from mcpgateway.discovery.search import SearchIndex
from mcpgateway.discovery.thesaurus import Thesaurus
from mcpgateway.system import package_data

HERE = Path(__file__).resolve().parent
CATALOGUE, UNSEEN = HERE / "catalogue", HERE / "unseen"
UNSEEN_QUESTIONS = UNSEEN / "questions.json"
SEED = 20260  # of the split; it was drawn before there were questions

RANKED = 10  # hits that are looked at


@frozen
class Question:
    """A query of a person, and the tools that are right for it, as ``server/tool``."""

    text: str
    right: tuple[str, ...]


@frozen
class Figures:
    """The figures of a search over many questions.

    :ivar first: the share of them with a right tool first (recall@1).
    :ivar first_five: with one among the first five (recall@5).
    :ivar reciprocal: the mean of 1 / place of the first right one, 0 where there is none in ten (MRR).
    """

    first: float
    first_five: float
    reciprocal: float


def catalogue(folder: Path = CATALOGUE) -> dict[str, tuple[Item, ...]]:
    """The tools of each server."""
    return {
        path.stem: read_items(path.stem, ListKind.TOOL, [Raw(path.read_bytes())]) for path in files(folder)
    }


def files(folder: Path = CATALOGUE) -> list[Path]:
    """Return the files of the catalog, one for each server."""
    return sorted(path for path in folder.glob("*.json") if path.name != UNSEEN_QUESTIONS.name)


def questions() -> list[Question]:
    """Return all questions, in the order of the file."""
    return msgspec.convert(
        [
            Question(line["question"], tuple(line["right"]))
            for line in json.loads((HERE / "questions.json").read_text())
        ],
        list[Question],
    )


def halves() -> tuple[list[Question], list[Question]]:
    """Return the questions that the ranking may be fitted to, and those that it is only measured with."""
    drawn = sorted(questions(), key=lambda question: question.text)
    random.Random(SEED).shuffle(drawn)
    return drawn[: len(drawn) // 2], drawn[len(drawn) // 2 :]


def unseen() -> tuple[list[Question], list[Question]]:
    """Return the questions about the unseen servers: those for tuning, and those that are only measured with."""
    drawn = json.loads(UNSEEN_QUESTIONS.read_text())
    return tuple(  # type: ignore[return-value]
        [Question(line["text"], tuple(line["right"])) for line in drawn[part]] for part in ("tuning", "final")
    )


def empty_index() -> SearchIndex:
    """Ours, as the gateway makes it."""
    return SearchIndex(Thesaurus(package_data.thesaurus()))


def indexed(folder: Path = CATALOGUE) -> SearchIndex:
    """Ours, with the whole catalogue."""
    index = empty_index()
    for server, items in catalogue(folder).items():
        for _ in index.replacing(server, items):
            pass
    return index


def ours(index: SearchIndex) -> Callable[[str], list[str]]:
    """Return our own search, which answers with the best hits first."""
    return lambda text: [f"{hit.item.server}/{hit.item.own}" for hit in index.search(text, RANKED)]


def figures(asked: Sequence[Question], answer: Callable[[str], list[str]]) -> Figures:
    """Return the figures of a search."""
    places = [place(question, answer(question.text)) for question in asked]
    return Figures(
        sum(each == 1 for each in places) / len(places),
        sum(0 < each <= 5 for each in places) / len(places),
        sum(1 / each for each in places if each) / len(places),
    )


def place(question: Question, answers: Sequence[str]) -> int:
    """Where the first right tool is, from 1; 0 where there is none."""
    return next((at for at, answer in enumerate(answers[:RANKED], 1) if answer in question.right), 0)
