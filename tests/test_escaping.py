"""Texts of strangers neither forge a line nor speak to a terminal."""

from __future__ import annotations

import json

from hypothesis import example, given
from hypothesis import strategies as st

from mcpgateway import escaping

EVERYTHING = st.text(st.characters(exclude_categories=()), max_size=40)


def is_silent(character: str) -> bool:
    """Whether nothing is shown for a character, or none knows what."""
    return not character.isprintable()


class EscapingTests:
    """Texts, escaped."""

    @given(EVERYTHING)
    @example("a\nb\r\x1b]52;c;\x07\x9b2J\x7f\u2028\u2029\u202e\u2066\ud800\U000e0041")
    def test_one_line(self, text: str) -> None:
        """No character is left that shows nothing, so it is one line; what shows stays."""
        made = escaping.one_line(text)
        assert not any(map(is_silent, made))
        assert len(made.splitlines()) <= 1
        assert escaping.one_line(made) == made
        if not any(map(is_silent, text)):
            assert made == text

    @given(EVERYTHING)
    def test_lines(self, text: str) -> None:
        """In a text of several lines line ends and tabs stay, and nothing else that shows nothing."""
        made = escaping.lines(text)
        assert all(c in "\n\t" or (c.isspace() and c >= "\xa0") for c in made if is_silent(c))
        assert len(made.splitlines()) <= text.count("\n") + 1
        assert made.count("\n") == text.count("\n")

    @given(st.recursive(EVERYTHING, lambda inner: st.lists(inner) | st.dictionaries(EVERYTHING, inner)))
    def test_json(self, value: object) -> None:
        """JSON has the same value, to the letter, and every character of it shows."""
        for text in (json.dumps(value, ensure_ascii=False), json.dumps(value, ensure_ascii=False, indent=2)):
            made = escaping.in_json(text)
            assert not any(map(is_silent, made.replace("\n", "")))
            assert json.loads(made) == json.loads(text)
            if "\\ud" not in text and not any(0xD800 <= ord(c) < 0xE000 for c in text):
                assert escaping.json_bytes(text.encode()).decode() == made

    def test_readable(self) -> None:
        """Printable characters stay, in any language; in texts of several lines spaces of all widths do, too."""
        assert escaping.one_line("naïve 日本語 ✓") == "naïve 日本語 ✓"
        assert escaping.lines("日本語\u3000✓\n50\u00a0%") == "日本語\u3000✓\n50\u00a0%"
        assert escaping.one_line("a\x1b[31mb\n") == "a\\x1b[31mb\\n"
        assert escaping.in_json('"é\u2028\U000e0041"') == '"é\\u2028\\udb40\\udc41"'
