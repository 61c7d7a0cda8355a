"""YAML text to a document: plain values only, with the line of every one of them.

The text is composed into nodes and these are turned into values here, so that no tag can build anything,
an alias cannot blow up, and lines and the look of numbers are kept.
"""

from __future__ import annotations

import math
import re
from typing import Any

from mcpgateway.config.document import Document, Path, printable
from mcpgateway.config.excerpt import syntax_error
from mcpgateway.config.problems import Problem, Problems, Where, Wrong

# The pure Python scanner takes about two seconds for this much.
TEXT_LIMIT = 1_048_576
# Far above any real configuration; what is beyond it is an alias bomb.
NODE_LIMIT = 50_000
DEPTH_LIMIT = 100

PLAIN = "tag:yaml.org,2002:"
# A parser quotes what it stumbled over, and that can be a part of a secret.
QUOTED = re.compile(r"'([^']*)'")
BASES = {"0x": 16, "0o": 8, "0b": 2}


def parse(text: str, file: str, flaws: Problems) -> Document:
    """Parse one YAML document of plain values.

    :param flaws: keys that are there twice, of which the last counts, are added to these problems.
    :raise ConfigError: the text is not such YAML; the message names the line.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    if len(text) > TEXT_LIMIT:
        raise Wrong(Problem(Where(file, 1), f"is larger than {TEXT_LIMIT} characters, the limit for YAML"))
    try:
        node = YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as why:
        mark = why.problem_mark or why.context_mark
        line = mark.line + 1 if mark else 1
        told = why.problem or why.context or "it cannot be parsed"
        problem = QUOTED.sub(lambda each: each[0] if len(each[1]) < 2 else "something", told)
        column = mark.column + 1 if mark else 0
        raise syntax_error(file, text, line, column, f"is not valid YAML: {printable(problem)}") from why
    except (YAMLError, ValueError, AttributeError, IndexError, TypeError) as why:
        # Only an error about a character says where it is.
        line = text.count("\n", 0, getattr(why, "position", 0)) + 1
        raise Wrong(Problem(Where(file, line), "is not valid YAML: it cannot be read")) from why
    except RecursionError as why:
        raise Wrong(Problem(Where(file, 1), "is nested too deeply")) from why
    reader = _Reader(file, flaws)
    value = None if node is None else reader.value(node, ())
    return Document(file, value, reader.line_of, reader.written)


class _Reader:
    """Turns nodes into values and remembers where they stood."""

    def __init__(self, file: str, flaws: Problems) -> None:
        self.file = file
        self.flaws = flaws
        self.lines: dict[Path, int] = {}
        self.written: dict[Path, str] = {}

    def line_of(self, path: Path) -> int:
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def value(self, node: Any, path: Path) -> Any:
        self.lines.setdefault(path, node.start_mark.line + 1)
        if len(self.lines) > NODE_LIMIT:
            raise self._wrong(node, "has too many values")
        if len(path) > DEPTH_LIMIT:
            raise self._wrong(node, "is nested too deeply")
        match node.id:
            case "mapping":
                return self._mapping(node, path)
            case "sequence":
                self._check_tag(node, "seq")
                return [self.value(each, (*path, index)) for index, each in enumerate(node.value)]
            case _:
                return self._scalar(node, path)

    def _mapping(self, node: Any, path: Path) -> dict[str, Any]:
        self._check_tag(node, "map")
        found: dict[str, Any] = {}
        merged: list[Any] = []
        for key_node, value_node in node.value:
            if key_node.tag == PLAIN + "merge":
                merged += value_node.value if value_node.id == "sequence" else [value_node]
                continue
            if key_node.id != "scalar":
                raise self._wrong(key_node, "has a key that is not text")
            key = str(key_node.value)
            if key in found:
                self.flaws.append(self._wrong(key_node, f"the key '{printable(key)}' is there twice").problem)
            self.lines[(*path, key)] = key_node.start_mark.line + 1
            found[key] = self.value(value_node, (*path, key))
        for each in merged:
            if each.id != "mapping":
                raise self._wrong(each, "merges something that is not a mapping")
            for key, value in self._mapping(each, path).items():
                found.setdefault(key, value)
        return found

    def _scalar(self, node: Any, path: Path) -> Any:
        text = str(node.value)
        match node.tag.removeprefix(PLAIN):
            case "str" | "timestamp" | "value":
                return text
            case "null":
                return None
            case "bool":
                self.written[path] = text
                return text.lower() in ("true", "yes", "on", "y")
            case "int" | "float" as kind:
                return self._number(node, path, kind)
            case _:
                raise self._wrong(node, "has a tag, and tags are not supported")

    def _number(self, node: Any, path: Path, kind: str) -> Any:
        text = str(node.value)
        digits = text.replace("_", "").lower()
        try:
            number = int(digits, BASES.get(digits.lstrip("+-")[:2], 10)) if kind == "int" else float(digits)
        except (ValueError, OverflowError):
            if digits.lstrip("+-") in (".inf", ".nan"):
                raise self._wrong(node, f"found '{text}', which is not a number") from None
            return text
        if not isinstance(number, int) and not math.isfinite(number):
            raise self._wrong(node, "has a number that is too large")
        if str(number) != text:
            self.written[path] = text
        return number

    def _check_tag(self, node: Any, plain: str) -> None:
        if node.tag != PLAIN + plain:
            raise self._wrong(node, "has a tag, and tags are not supported")

    def _wrong(self, node: Any, what: str) -> Wrong:
        return Wrong(Problem(Where(self.file, node.start_mark.line + 1), what))
