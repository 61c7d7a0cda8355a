"""Configuration text to a document: JSON or YAML, by the file's extension, else by its look."""

from __future__ import annotations

from mcpgateway.config import jsontext, yamltext
from mcpgateway.config.document import Document
from mcpgateway.config.problems import Problems, Wrong


def parse(
    text: str, file: str, *, strict: bool = True, flaws: Problems | None = None, takes_list: bool = False
) -> Document:
    """Parse a configuration file into a mapping.

    :param strict: refuse a key that is written twice; a client's own file is read as that client does.
    :param flaws: where such keys are told, instead of raising for the first.
    :param takes_list: the top level may be a list, too.
    :raise ConfigError: the text is neither JSON nor YAML, or its top level is no mapping.
    """
    if not text.strip():
        return _empty(file)
    read = jsontext.parse if is_json(text, file) else yamltext.parse
    found = Problems()
    document = read(text, file, found)
    if strict and flaws is not None:
        flaws += found
    elif strict and found:
        raise Wrong(found[0])
    if document.value is None:
        return _empty(file)
    if not isinstance(document.value, dict | list if takes_list else dict):
        raise document.root().wrong_secret("a mapping at the top level")
    return document


def is_json(text: str, file: str) -> bool:
    """Tell whether a file is to be read as JSON rather than as YAML."""
    extension = file.rpartition("/")[2].rpartition(".")[2].lower()
    if extension in ("json", "yaml", "yml"):
        return extension == "json"
    return text.lstrip()[:1] in ("{", "[")


def _empty(file: str) -> Document:
    return Document(file, {}, lambda _path: 1)
