"""A server with state: what one client notes no other may see, so each session gets a process."""

from __future__ import annotations

from mcpgateway.demo.stdio import DemoTool, Server, ToolError

NOTES_LIMIT = 1000  # a demo forgets nothing until it ends, so it must refuse something


class Notebook:
    """The notes of one process."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def add_note(self, text: str) -> str:
        """Keep a note and tell its number."""
        if not text.strip():
            raise ToolError("An empty note is not worth keeping.")
        if len(self.notes) >= NOTES_LIMIT:
            raise ToolError(f"The notebook is full at {NOTES_LIMIT} notes; clear it first.")
        self.notes.append(text)
        return f"Kept as note {len(self.notes)}."

    def list_notes(self) -> str:
        """All notes, numbered, in the order they were added."""
        if not self.notes:
            return "The notebook is empty."
        return "\n".join(f"{number}. {text}" for number, text in enumerate(self.notes, 1))

    def clear(self) -> str:
        """Forget every note."""
        dropped = len(self.notes)
        self.notes.clear()
        return f"Dropped {dropped} notes."


def server() -> Server:
    """An empty notebook as an MCP server."""
    notebook = Notebook()
    return Server(
        "mcpgateway-demo-notebook",
        "Keeps notes until the session ends. Each session has a notebook of its own.",
        [
            DemoTool(
                "add_note",
                "Add a note to the notebook.",
                notebook.add_note,
                {"text": {"type": "string", "description": "What to keep."}},
                required=["text"],
            ),
            DemoTool("list_notes", "List the notes of this session.", notebook.list_notes),
            DemoTool("clear", "Drop all notes of this session.", notebook.clear),
        ],
    )


if __name__ == "__main__":
    server().main()
