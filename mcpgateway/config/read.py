"""Configuration text to a document: JSON or YAML, by the file's extension, else by its look."""

from __future__ import annotations

from mcpgateway.config import jsontext, yamltext
from mcpgateway.config.document import Document


def parse(text: str, file: str, *, strict: bool = True) -> Document:
    """Parse a configuration file into a mapping.

    :param strict: refuse a JSON key that is written twice; a client's own file is read as that client does.
    :raise ConfigError: the text is neither JSON nor YAML, or its top level is no mapping.
    """
    if not text.strip():
        return _empty(file)
    read = jsontext.parse if is_json(text, file) else yamltext.parse
    document = read(text, file, strict=strict)
    if document.value is None:
        return _empty(file)
    if not isinstance(document.value, dict):
        raise document.root().wrong("a mapping at the top level")
    return document


def is_json(text: str, file: str) -> bool:
    """Tell whether a file is to be read as JSON rather than as YAML."""
    extension = file.rpartition("/")[2].rpartition(".")[2].lower()
    if extension in ("json", "yaml", "yml"):
        return extension == "json"
    return text.lstrip()[:1] in ("{", "[")


def _empty(file: str) -> Document:
    return Document(file, {}, lambda _path: 1)
