"""The quality of the search for people's questions among the tools of real servers."""

from mcpgateway.discovery.stopwords import SAYS_NOTHING
from mcpgateway.discovery.words import words
from tests.search.evaluation import (
    UNSEEN,
    catalogue,
    figures,
    halves,
    indexed,
    ours,
    place,
    questions,
    unseen,
)


def telling(text):
    """The words of a text that say something, with a space around each."""
    return f" {' '.join(word.whole for word in words(text) if word.whole not in SAYS_NOTHING)} "


class SetTests:
    """The rules for the questions and the catalog."""

    def test_it_is_large_enough(self):
        """The catalog has hundreds of tools, and as many questions as give a figure of some weight."""
        assert sum(map(len, catalogue().values())) >= 300
        assert len(questions()) >= 150

    def test_the_right_tools_are_there(self):
        """A question has a right tool or a few, and all of them are in the catalogue."""
        known = {f"{server}/{item.own}" for server, items in catalogue().items() for item in items}
        for question in questions():
            assert 0 < len(question.right) <= 5, question
            assert set(question.right) <= known, question

    def test_no_question_contains_the_name_of_its_tool(self):
        """A question does not contain the name of its tool, as it is written or in words."""
        for question in questions():
            for right in question.right:
                name = right.partition("/")[2]
                assert name.lower() not in question.text.lower().split(), question
                assert telling(name) not in telling(question.text), question

    def test_no_question_is_asked_twice(self):
        """A question is asked once, so that none is in both halves."""
        texts = [question.text for question in questions()]
        assert len(set(texts)) == len(texts)

    def test_the_halves_share_nothing(self):
        """The half that the ranking is measured with has no question of the half that it is fitted to."""
        tuning, final = halves()
        assert not {question.text for question in tuning} & {question.text for question in final}
        assert len(tuning) + len(final) == len(questions())

    def test_where_a_right_tool_is(self):
        """The first right one counts; one that is not among the best is nowhere."""
        question = questions()[0]
        assert place(question, ["none/such", *question.right]) == 2
        assert place(question, ["none/such"]) == 0


class RecallTests:
    """The quality that must not be lost."""

    def test_recall_stays_above_a_floor(self):
        """The questions that the ranking may be fitted to find a right tool first in half, among five in four of
        five cases.
        """
        measured = figures(halves()[0], ours(indexed()))
        assert measured.first >= 0.55
        assert measured.first_five >= 0.81
        assert measured.reciprocal >= 0.66

    def test_recall_stays_above_a_floor_for_words_that_no_tool_has(self):
        """A right tool is among five for most everyday questions about servers that the weights were not set with."""
        measured = figures(unseen()[0], ours(indexed(UNSEEN)))
        assert measured.first >= 0.32
        assert measured.first_five >= 0.56
