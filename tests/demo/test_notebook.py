"""The notebook demo server."""

import pytest

from mcpgateway.demo import notebook
from mcpgateway.demo.stdio import ToolError


class NotebookTests:
    """Notes are kept per process."""

    def test_notes_are_kept_in_order(self):
        """Notes are numbered as they come."""
        book = notebook.Notebook()
        assert book.add_note("milk") == "Kept as note 1."
        assert book.add_note("bread") == "Kept as note 2."
        assert book.list_notes() == "1. milk\n2. bread"

    def test_clear(self):
        """A cleared notebook is empty and says how much it held."""
        book = notebook.Notebook()
        book.add_note("milk")
        assert book.clear() == "Dropped 1 notes."
        assert book.list_notes() == "The notebook is empty."

    def test_empty_notes_are_refused(self):
        """A note of nothing but blanks is refused."""
        with pytest.raises(ToolError):
            notebook.Notebook().add_note("  ")

    def test_full(self):
        """A full notebook refuses the next note and keeps the others."""
        book = notebook.Notebook()
        for number in range(notebook.NOTES_LIMIT):
            book.add_note(str(number))
        with pytest.raises(ToolError, match="full"):
            book.add_note("one more")
        assert len(book.notes) == notebook.NOTES_LIMIT

    def test_servers_do_not_share_notes(self):
        """Two servers have two notebooks."""
        one, other = notebook.server(), notebook.server()
        one.tools["add_note"].call(text="mine")
        assert other.tools["list_notes"].call() == "The notebook is empty."
