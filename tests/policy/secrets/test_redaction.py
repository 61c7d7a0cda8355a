"""Secrets are taken out of texts, known ones and what looks like one, in linear time."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mcpgateway.policy.secrets.redaction import LONGEST, MASK, SHORTEST, Redactor, is_telling

SECRETS = st.text(min_size=SHORTEST, max_size=40).map(str.strip).filter(is_telling)
WORDS = st.sampled_from("the child server could not find its file and ended with code exit again".split())
LONG = 200_000
HARD = "a|password|://|-a_|a-|authorization:|eyJaaaa.|token=\"|\\|'\\| |sk-|cookie: |bearer |akia|\n"


def redacted(text: str, *known: str) -> str:
    """Return a text as a gateway that knows these secrets keeps it."""
    redactor = Redactor()
    redactor.learn(known)
    return redactor.redact(text)


class KnownTests:
    """Values that are known to be secret."""

    @given(st.lists(SECRETS, min_size=1, max_size=6), st.data())
    def test_nothing_is_left_of_them(self, known: list[str], data: st.DataObject) -> None:
        """No part of a secret is in the kept text, however secrets touch or overlap."""
        pieces = st.lists(st.one_of(st.sampled_from(known), st.text(max_size=10)), max_size=12)
        text = "".join(data.draw(pieces))
        kept = redacted(text, *known)
        for each in known:
            assert all(each not in piece for piece in kept.split(MASK))

    @given(
        st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=SHORTEST).filter(
            is_telling
        )
    )
    @example("a\"b\\c/d%e'f g")
    def test_spellings(self, secret: str) -> None:
        """A secret is found in the spellings of JSON, of Python and of URLs, too."""
        for way in (
            json.dumps(secret),
            json.dumps(secret, ensure_ascii=False),
            quote(secret, safe=""),
            repr(secret),
        ):
            assert MASK in redacted(f"<{way}>", secret)

    @pytest.mark.parametrize(
        "spelled",
        [
            "a1!b(c)*%2Fd%26e%3Cf%3E%2Bg",  # encodeURIComponent
            "a1!b(c)*/d&e%3Cf%3E+g",  # encodeURI
            "a1%21b%28c%29*%2Fd%26e%3Cf%3E%2Bg",  # URLSearchParams
            "a1%21b%28c%29%2A/d%26e%3Cf%3E%2Bg",  # urllib.parse.quote
            "a1%21b%28c%29%2a%2fd%26e%3cf%3e%2bg",
            r"a1!b(c)*/d\u0026e\u003cf\u003e+g",  # encoding/json
            r"a1!b(c)*\/d&e<f>+g",  # json_encode
            "a1!b(c)*/d&amp;e&lt;f&gt;+g",  # HTML
            "a1%2521b%2528c%2529%252A%252Fd%2526e%253Cf%253E%252Bg",  # a URL in another one
        ],
    )
    def test_spellings_of_others(self, spelled: str) -> None:
        """A secret is masked in the escaped spellings of several languages."""
        assert redacted(f"GET /?k={spelled}.", "a1!b(c)*/d&e<f>+g") == f"GET /?k={MASK}."

    def test_unprintable(self) -> None:
        """An unprintable secret is found in a URL, too, and bytes that are no text do not matter."""
        assert redacted("GET /?k=ab%09cd%C3%A9f.", "ab\tcdéf") == f"GET /?k={MASK}."
        assert redacted("it is ab\udcffcdef", "ab\udcffcdef") == f"it is {MASK}"

    def test_overlapping(self) -> None:
        """Two overlapping secrets leave no end of either."""
        assert redacted("x abcdefghijkl y", "abcdefgh", "efghijkl") == f"x {MASK} y"

    def test_lines(self) -> None:
        """A secret with several lines is found line by line."""
        assert redacted("it has line-two-9 in it", "line-one-9\nline-two-9\n") == f"it has {MASK} in it"

    @pytest.mark.parametrize(
        "value", ["", "true", "8080", "65535", "production", "localhost", "127.0.0.1", "v1.2.3", "abc"]
    )
    def test_words_stay(self, value: str) -> None:
        """A word that any text may have is not masked, even where it is configured as a secret."""
        text = f"the value is {value} and stays"
        assert redacted(text, value) == text

    def test_what_is_cut(self) -> None:
        """A secret across the place where a text is cut does not show its first half."""
        redactor = Redactor()
        redactor.learn(["correct-horse-9"])
        text = "0123 correct-horse-9 and more"
        for shown in range(len(text) + 3):
            assert "cor" not in redactor.redact(text, shown)
        assert redactor.redact(text, 4) == "0123"
        assert redactor.redact(text, 8) == f"0123 {MASK}"

    def test_a_giant_one(self) -> None:
        """A value longer than any secret is not searched for."""
        assert not is_telling("x1" * LONGEST)


class ShapeTests:
    """Texts in the form of a credential."""

    @pytest.mark.parametrize(
        ("text", "kept"),
        [
            ("Authorization: Bearer abc", "Authorization: ***"),
            ("Proxy-Authorization: Basic dTpw", "Proxy-Authorization: ***"),
            ('Authorization: Digest username="u", response="r"', "Authorization: ***"),
            ('{"authorization": "Bearer abc", "n": 1}', '{"authorization": "***", "n": 1}'),
            (
                "curl -H 'Authorization: Bearer abc' https://e.com",
                "curl -H 'Authorization: ***' https://e.com",
            ),
            ("sent Bearer abc.def-1 to it", "sent Bearer *** to it"),
            ("Set-Cookie: sid=1; Path=/", "Set-Cookie: ***"),
            ("GET /x?api_key=a1&b=2", "GET /x?api_key=***&b=2"),
            ("GET /x?access_token=a1#f", "GET /x?access_token=***"),
            ("apikey=a1 x", "apikey=*** x"),
            ("DB_PASSWORD=hunter2 x", "DB_PASSWORD=*** x"),
            ("password: 'two words' x", "password: '***' x"),
            (r'"password": "a\"b c" x', '"password": "***" x'),
            (r"{\"password\": \"a b\"}", r"{\"password\": \"***\"}"),
            ("client_secret => s3", "client_secret => ***"),
            ("run --password hunter2 now", "run --password *** now"),
            ("postgres://me:s3cret@db/shop", "postgres://me:***@db/shop"),
            ("key AKIAIOSFODNN7EXAMPLE is old", "key *** is old"),
            ("ghp_abcdefghijklmnopqrstuvwxyz0123456789", "***"),
            ("gho_abcdefghijklmnopqrstuv", "***"),
            ("see eyJhbGciOi.eyJzdWIi.c2ln now", "see *** now"),
            ("aB3xK9mQ" * 4, "***"),
            ("id " + "x9-Kf3_qWz7a" * 3 + "==", "id ***"),
            ("MIIEvQIBADANBgkqhkiG9w0/AQEFAASC+KcwggSjAgEAAoIBAQC7", "***"),
        ],
    )
    def test_hidden(self, text: str, kept: str) -> None:
        """A credential in a text is masked, and its name stays."""
        assert redacted(text) == kept.replace("***", MASK)

    @pytest.mark.parametrize(
        "text",
        [
            "listening on http://127.0.0.1:8080/mcp",
            "found 5 tokens in 3 files",
            "PWD=/home/me/project",
            "/usr/lib/python3.11/site-packages/some_package/some_module.py",
            "tool resolve_library_id_from_a_long_name_of_words was called",
            "aB3xK9mQ" * 3 + "aB3xK9m",
            "design: done",
        ],
    )
    def test_shown(self, text: str) -> None:
        """A text that only resembles a credential stays as it is."""
        assert redacted(text) == text

    @given(st.lists(WORDS, max_size=30).map(" ".join))
    def test_words(self, text: str) -> None:
        """A text of words stays as it is."""
        assert redacted(text) == text

    @pytest.mark.parametrize(
        "piece",
        [*HARD.split("|"), "a" * 31 + " ", "password" + " " * 9, "://" + "a" * 300],
    )
    def test_long_texts(self, piece: str) -> None:
        """A text made to keep a pattern busy is gone through like any other; were it not, this would take hours."""
        redacted(piece * (LONG // len(piece)))

    def test_learning_again_is_no_growth(self) -> None:
        """A secret that is learnt at every reload is stored once, and the store has a bound."""
        redactor = Redactor()
        for _ in range(2):
            redactor.learn(f"value-{number:06}" for number in range(30_000))
        assert redactor.redact("value-029999 value-000000") == f"{MASK} value-000000"

    def test_repr(self) -> None:
        """The ``repr`` of a redactor shows none of the secrets that it knows."""
        redactor = Redactor()
        redactor.learn(["correct-horse-9"])
        assert "correct" not in repr(redactor)
