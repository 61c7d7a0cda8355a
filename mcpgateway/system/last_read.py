"""The last readable content of clients' files: a half-written file is whole again in a moment."""

from __future__ import annotations

from typing import Any

from mcpgateway.config.client import SERVER_KEYS
from mcpgateway.config.document import Document

PROJECTS = "projects"


class LastRead:
    """The servers that were read last from each file."""

    def __init__(self) -> None:
        self._documents: dict[str, Document] = {}

    def __repr__(self) -> str:
        """Return the number of files, and none of their content, which holds secrets."""
        return f"<LastRead, {len(self._documents)} files>"

    def keep(self, document: Document) -> None:
        """Keep the servers of a file as it is now."""
        self._documents[document.file] = Document(document.file, _without_the_rest(document.value), _no_line)

    def forget(self, path: str) -> None:
        """Drop a file that does not exist any more."""
        self._documents.pop(path, None)

    def of(self, path: str) -> Document | None:
        """Return the last readable content of a file; None where it never was readable."""
        return self._documents.get(path)


def _without_the_rest(value: dict[str, Any]) -> dict[str, Any]:
    found = {key: each for key, each in value.items() if key in SERVER_KEYS}
    projects = value.get(PROJECTS)
    if isinstance(projects, dict):
        found[PROJECTS] = {
            path: {key: each for key, each in project.items() if key in SERVER_KEYS}
            for path, project in projects.items()
            if isinstance(project, dict)
        }
    return found


def _no_line(_path: object) -> int:
    return 0
