"""Words of similar meaning."""

import pytest

from mcpgateway.discovery.thesaurus import Thesaurus
from mcpgateway.system import package_data

TABLE = b"cine\ncinema film\nfilm movie cinema\n"


class LookingUpTests:
    """The words that are near to a word."""

    def test_the_nearest_word_comes_first(self):
        """The words have the order of the table."""
        assert Thesaurus(TABLE).near("film") == ["movie", "cinema"]

    def test_an_inflected_word_has_the_words_of_its_base(self):
        """A plural is looked up as its singular."""
        assert Thesaurus(TABLE).near("films") == Thesaurus(TABLE).near("film")

    @pytest.mark.parametrize("word", ["cine", "a", "fil", "filmmaker", "zebra", "\ud800", "8"])
    def test_other_words_have_none(self, word):
        """A word with an empty line, a part of a word and an unknown word have none; neither has an empty table."""
        assert not Thesaurus(TABLE).near(word)
        assert not Thesaurus().near(word)

    def test_every_word_of_the_table_is_found(self):
        """The table of the package is in order, so that each of its lines is found."""
        text = package_data.thesaurus()
        thesaurus = Thesaurus(text)
        for line in text.splitlines():
            word, *near = line.decode().split()
            assert list(thesaurus.near(word)) == near
