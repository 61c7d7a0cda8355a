"""A block of ours in somebody else's file."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.clientfiles.instructions import block
from mcpgateway.errors import ConfigError

pieces = st.sampled_from([b"a", b"# b", b"\n", b"\r\n", b"\r", b"\xff", b"<!-- mcpgateway", b" -->"])
files = st.lists(pieces, max_size=12).map(b"".join).filter(lambda data: not block.ANY.search(data))
texts = st.text(st.characters(codec="utf-8", exclude_characters="\r"), min_size=1).filter(
    lambda text: not re.search("<!-- mcpgateway (begin|end)", text)
)


class BlockTests:
    """The block of a text that is put in and taken out again."""

    @given(files, texts)
    def test_byte_for_byte(self, data: bytes, text: str) -> None:
        """The file is as before once the block is taken out; an empty one stays."""
        assert block.take_out(block.put(data, text)) == data

    @given(files, texts, texts)
    def test_again(self, data: bytes, first: str, second: str) -> None:
        """Put in again nothing changes; another text takes the place of the first, and leaves the same behind."""
        once = block.put(data, first)
        assert block.put(once, first) == once
        assert block.put(once, second) == block.put(data, second)
        assert block.take_out(block.put(once, second)) == data

    @given(texts, st.sampled_from(["", "---\nx: y\n---\n\n"]))
    def test_a_file_of_its_own(self, text: str, front: str) -> None:
        """A file that was made for the block goes with it, unless something else is in it by then."""
        made = block.put(None, text, front)
        assert block.take_out(made, front) is None
        assert block.take_out(made + b"more\n", front) == front.encode() + b"more\n"
        assert block.put(made, text, front) == made

    def test_in_the_middle(self) -> None:
        """Text that was written behind the block stays behind the text before it."""
        assert block.take_out(block.put(b"a\n", "ours") + b"b\n") == b"a\nb\n"

    def test_without_its_last_line_end(self) -> None:
        """An editor that takes the last line end away does no harm."""
        assert block.take_out(block.put(b"a", "ours").rstrip(b"\n")) == b"a"

    @pytest.mark.parametrize(
        "change", [lambda data: data * 2, lambda data: data[:-10], lambda data: data[10:]]
    )
    def test_marks_that_do_not_match(self, change: object) -> None:
        """Half a block, or two blocks, are left alone."""
        data = change(block.put(b"", "ours"))  # type: ignore[operator]
        for what in (lambda: block.put(data, "x"), lambda: block.take_out(data)):
            with pytest.raises(ConfigError, match="marks"):
                what()

    def test_none(self) -> None:
        """A file without a block has nothing that could be taken out."""
        with pytest.raises(ConfigError, match="nothing"):
            block.take_out(b"a\n")
