"""The words of names, prose and questions."""

from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.discovery.stopwords import RELATED, SAYS_NOTHING, related
from mcpgateway.discovery.vocabulary import KnownWords, slips_between
from mcpgateway.discovery.words import LONGEST_QUERY, MOST_WORDS, Word, asked, indexed, words


def by(text):
    """Return the words by which a text is found."""
    return set(indexed(text))


class WordTests:
    """Reading texts."""

    def test_names_are_split_as_programmers_write_them(self):
        """Underscores, hyphens, dots and capitals part words; a word with capitals in its midst is also one word."""
        assert by("read_file list-pages a.b") == set("read file list pages a b".split())
        assert by("readTextFile") == set("readtextfile read text file".split())
        assert by("parseHTMLPage") == set("parsehtmlpage parse html page".split())

    def test_names_of_products_are_found_by_either_spelling(self):
        """A name with capitals in its midst is a word by itself, and its parts are."""
        assert list(words("GitHub")) == [Word("github", ("git", "hub"))]

    def test_plain_words_have_no_parts(self):
        """A capital in front, capitals throughout, and digits do not part a word."""
        assert [word.parts for word in words("Read READ PRs k8s base64 s3 Überblick")] == [()] * 7

    def test_scripts_without_spaces_are_indexed_letter_by_letter(self):
        """A part of a sentence in Chinese is found."""
        assert by("读取文件") == set("读取文件 读 取 文 件".split())

    @given(st.text())
    def test_words_have_no_signs(self, text):
        """A word of any text has no character with a meaning to the index."""
        for word in words(text):
            for each in (word.whole, *word.parts):
                assert each
                assert not set(each) & set('"* \x00_')
                each.encode()

    @given(st.text())
    def test_what_is_asked_is_what_is_indexed(self, text):
        """A text is asked for by the words that it is indexed with."""
        assert {word.whole for word in words(text)} <= by(text)


class AskingTests:
    """Reading questions."""

    def test_words_that_say_nothing_are_left_out(self):
        """A question is as good as the words it is about."""
        assert [word.whole for word in asked("How do I delete a file on the server?")] == [
            "delete",
            "file",
            "server",
        ]

    def test_a_question_of_nothing_else_keeps_them(self):
        """Words of questions count where there are no others."""
        assert [word.whole for word in asked("how can you do")] == ["how", "can", "you", "do"]

    def test_a_question_is_bounded(self):
        """A query is read up to a number of characters, and searched up to a number of words."""
        assert len(asked(" ".join(f"w{number}" for number in range(500)))) == MOST_WORDS
        assert asked(" " * LONGEST_QUERY + "late") == []


class EverydayTests:
    """The table of words for the same."""

    def test_words_are_related_both_ways(self):
        """Where one word stands for another, that one stands for it."""
        assert all(word in RELATED[other] for word, others in RELATED.items() for other in others)

    def test_no_word_says_nothing_and_something(self):
        """A word that questions are made of relates to none."""
        assert not SAYS_NOTHING & set(RELATED)

    def test_inflected_words_are_related_too(self):
        """The plural and the forms of verbs are looked up by the word they are of."""
        for form in ("repo", "repos"):
            assert "repository" in related(form)
        assert "repo" in related("repositories")
        assert "duplicate" in related("copied")
        assert "duplicate" in related("copies")
        assert "erase" in related("deleting")
        assert "erase" in related("dropping")
        assert related("giraffe") == ()


LETTERS = st.text("abcd", max_size=7)


class SlipTests:
    """The distance of words."""

    def test_each_kind_of_slip_counts_one(self):
        """A letter left out, put in, replaced, or exchanged with its neighbour."""
        for slip in ("brnch", "brranch", "bramch", "barnch"):
            assert slips_between("branch", slip, 2) == 1

    @given(LETTERS, LETTERS)
    def test_the_distance_is_that_of_the_textbook(self, one, other):
        """The distance of two words is that of the plain recursion, up to the bound."""
        assert slips_between(one, other, 2) == min(3, distance(one, other))
        assert slips_between(other, one, 2) == slips_between(one, other, 2)


def distance(one, other):
    """The optimal string alignment distance, by its definition."""
    if not one or not other:
        return len(one) + len(other)
    found = min(
        distance(one[1:], other) + 1,
        distance(one, other[1:]) + 1,
        distance(one[1:], other[1:]) + (one[0] != other[0]),
    )
    if len(one) > 1 and len(other) > 1 and one[0] == other[1] and one[1] == other[0]:
        found = min(found, distance(one[2:], other[2:]) + 1)
    return found


def vocabulary_of(*known):
    """Return a vocabulary of words."""
    vocabulary = KnownWords()
    for word in known:
        vocabulary.add(word)
    return vocabulary


class VocabularyTests:
    """The words that are known."""

    def test_the_commonest_of_the_nearest_words_is_first(self):
        """A word with one slip comes before one with two; of equally near words the more frequent one comes first."""
        counts = {"branch": 1, "brunch": 2, "branches": 1}
        vocabulary = vocabulary_of(*counts)
        assert vocabulary.near("brxnch", counts.__getitem__) == ["brunch", "branch"]
        assert vocabulary.near("repository", counts.__getitem__) == []

    def test_short_words_and_numbers_are_no_slips(self):
        """Short words and numbers are too near to many others to be taken for one of them."""
        vocabulary = vocabulary_of("tab", "2025")
        assert vocabulary.near("tag", len) == []
        assert vocabulary.near("2026", len) == []

    @given(st.sets(st.text("abc", min_size=1, max_size=9)), st.sets(st.text("abc", min_size=1, max_size=9)))
    def test_what_is_removed_was_never_there(self, stay, go):
        """Removing words leaves what adding the others alone would have made."""
        vocabulary, alone = vocabulary_of(*stay, *go), vocabulary_of(*(stay - go))
        for word in go:
            vocabulary.remove(word)
        for word in stay | go:
            assert vocabulary.near(word, len) == alone.near(word, len)

    @given(st.text("abcdef", min_size=4, max_size=10), st.text("abcdef", min_size=3, max_size=11))
    def test_every_word_within_reach_is_near(self, typed, known):
        """No shortcut loses a word that is within reach."""
        reach = 2 if len(typed) >= 8 else 1
        found = [known] if slips_between(typed, known, reach) <= reach else []
        assert vocabulary_of(known).near(typed, len) == found
