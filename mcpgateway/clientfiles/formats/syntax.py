"""The forms of clients' files: JSON with or without comments, TOML and YAML; and bytes to text and back."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from importlib import import_module
from typing import Any, Protocol, cast

from mcpgateway.clientfiles.formats.client_format import ClientDialect
from mcpgateway.config.edit.edits import Edit, KeyPath, Splice
from mcpgateway.config.problems import Problem, Where, Wrong

BOM = "\ufeff"


class TextForm(Enum):
    """The format of a file."""

    JSON = "json"
    TOML = "toml"
    YAML = "yaml"


EXTENSIONS = {
    **dict.fromkeys(("json", "jsonc", "json5"), TextForm.JSON),
    "toml": TextForm.TOML,
    **dict.fromkeys(("yaml", "yml"), TextForm.YAML),
}


class OpenedText(Protocol):
    """A text that has been parsed, in which changes can be worked out."""

    @property
    def value(self) -> Any:
        """The content of the text.

        :raise ConfigError: the text is malformed.
        """

    def change(self, change: Edit) -> list[Splice] | None:
        """Return the replacements of a change; None where it cannot be made."""


def decoded(data: bytes, file: str) -> str:
    """Return the text of a file, with its byte order mark and its line ends.

    :raise ConfigError: the file is not in UTF-8.
    """
    try:
        return data.decode()
    except UnicodeDecodeError as why:
        line = data.count(b"\n", 0, why.start) + 1
        raise Wrong(Problem(Where(file, line), "is not in UTF-8, so it is left alone")) from None


def encoded(text: str) -> bytes:
    """Return the bytes of a text that `decoded` has returned."""
    return text.encode()


def form_of(file: str, text: str) -> TextForm:
    """Return the format of a file: by its extension, else by its content."""
    extension = file.replace("\\", "/").rpartition("/")[2].rpartition(".")[2].lower()
    if extension in EXTENSIONS:
        return EXTENSIONS[extension]
    start = text.removeprefix(BOM).lstrip()
    if start.startswith(("{", "//", "/*")):
        return TextForm.JSON
    if start.startswith("[") or _looks_like_toml(start):
        return TextForm.TOML
    return TextForm.YAML


def _looks_like_toml(text: str) -> bool:
    lines = (line.strip() for line in text.splitlines())
    first = next((line for line in lines if line and not line.startswith("#")), "")
    return first.startswith("[") or "=" in first.partition(":")[0]


def opened(text: str, file: str, form: TextForm, key_paths: Sequence[KeyPath] | None) -> OpenedText:
    """Parse a text; the parser of its format is imported when it is first needed.

    :param key_paths: the key paths that are wanted; None for the whole content.
    :raise ConfigError: the text is not of this format.
    """
    module = import_module(f"mcpgateway.config.edit.{form.value}")
    make = getattr(module, f"Opened{form.value.title()}")
    return cast("OpenedText", make(text, file, key_paths))


def read(text: str, file: str, dialect: ClientDialect | None = None) -> Any:
    """Return the content of a client's file; for a given client, its servers at least.

    :raise ConfigError: the text is malformed, or the client does not accept it.
    """
    form = form_of(file, text)
    key_paths = None if dialect is None else list(dialect.tables)
    found = opened(text.removeprefix(BOM), file, form, key_paths).value
    if dialect is not None and dialect.is_strict and form is TextForm.JSON and text.strip(BOM + " \t\r\n"):
        from mcpgateway.config.edit import json

        if not json.is_strict(text):
            what = f"has comments or commas too many, which {dialect.title} does not take"
            raise Wrong(Problem(Where(file), what))
    return found
