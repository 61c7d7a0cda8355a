"""The positions of values in a JSON text, comments and trailing commas allowed, and their replacement."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from attrs import define, field

from mcpgateway.config.edit.edits import (
    MISSING,
    NAME,
    Edit,
    KeyPath,
    Put,
    Remove,
    Rename,
    Splice,
    newline_of,
    spliced,
)
from mcpgateway.config.excerpt import syntax_error
from mcpgateway.errors import ConfigError

BLANK = re.compile(r"(?:[ \t\r\n\ufeff]+|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\.)*"')
WORD = re.compile(r"[-+.0-9A-Za-z]+")
# Up to a bracket that does not close before the next one opens; strings and inner pairs are skipped.
WHOLE_STRING = r'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
FLAT = rf'[^"{{}}\[\]]*+(?:{WHOLE_STRING}[^"{{}}\[\]]*+)*+'
UP_TO_BRACKET = re.compile(rf"{FLAT}(?:[{{\[]{FLAT}[}}\]]{FLAT})*+", re.DOTALL)
REST_OF_LINE = re.compile(r"[ \t]*(?://[^\n]*|(?:/\*[^\n]*?\*/[ \t]*)*(?://[^\n]*)?)(?=\r?\n|$)")
DEPTH_LIMIT = 200
UNIT = "  "


@define
class Node:
    """One value and its position.

    :ivar members: the members of an object, in their order; of a list, the objects with a name, by which they are
        found.
    """

    start: int
    end: int
    value: Any = field(repr=False)
    members: list[JsonMember] = field(factory=list)


@define
class JsonMember:
    """One key of an object.

    :ivar start: the position of the key.
    :ivar key_end: the end of the key.
    :ivar comma: the position of the comma behind the value; -1 for none.
    """

    key: str
    start: int
    key_end: int
    node: Node
    comma: int = -1


def values(text: str, file: str, key_paths: Sequence[KeyPath] | None = None) -> Any:
    """Return the content of a text.

    :param key_paths: the key paths to read; None for all.
    :raise ConfigError: the text is malformed.
    """
    return read(text, file, key_paths).value


def read(text: str, file: str = "", key_paths: Sequence[KeyPath] | None = None) -> Node:
    """Return the tree of a text's values.

    :param key_paths: the key paths to read, in which ``*`` is any key; other members of an object have a position and
    no
        value, and are not in the object's value.
    :raise ConfigError: the text is malformed.
    """
    if not text.strip("\ufeff \t\r\n"):
        return Node(0, 0, {})
    if key_paths is not None and not is_strict(text):
        # Only a well-formed text can be skipped safely.
        key_paths = None
    return _Reader(text, file).whole(key_paths)


def is_strict(text: str) -> bool:
    """True if a text is JSON, without comments and trailing commas; one that is nested too deeply is not."""
    import msgspec

    try:
        # The bytes are freed at once; a text would keep its encoded form for its whole life.
        msgspec.json.decode(text.removeprefix("\ufeff").encode(), type=msgspec.Raw)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return False
    return True


def along(value: Any, key_paths: Sequence[KeyPath]) -> Any:
    """Return the values at some key paths, without the rest."""
    if () in key_paths or not isinstance(value, dict):
        return value
    below = {key: [each[1:] for each in key_paths if each[0] in (key, "*")] for key in value}
    return {key: along(each, below[key]) for key, each in value.items() if below[key]}


def ways(text: str, change: Edit) -> Iterator[str]:
    """Iterate over possible texts after a change; some of them may have another content than the wanted one."""
    found = OpenedJson(text, "", [change.key_path[:-1]]).change(change)
    if found is not None:
        yield spliced(text, found)


class _Reader:
    """A parser that reads a text from beginning to end."""

    def __init__(self, text: str, file: str) -> None:
        self._text = text
        self._file = file

    def whole(self, key_paths: Sequence[KeyPath] | None) -> Node:
        node = self._node(self._skip(0), 0, key_paths)
        if self._skip(node.end) != len(self._text):
            raise self._wrong(node.end)
        return node

    def _skip(self, at: int) -> int:
        found = BLANK.match(self._text, at)
        return found.end() if found else at

    def _node(self, at: int, depth: int, key_paths: Sequence[KeyPath] | None) -> Node:
        if key_paths is not None and () in key_paths:
            key_paths = None
        if depth > DEPTH_LIMIT:
            raise ConfigError(f"{self._file}: is nested too deeply")
        match self._text[at : at + 1]:
            case "{":
                return self._object(at, depth, key_paths)
            case "[":
                return self._array(at, depth)
            case '"':
                key, end = self._string(at)
                return Node(at, end, key)
            case _:
                return self._word(at)

    def _object(self, at: int, depth: int, key_paths: Sequence[KeyPath] | None) -> Node:
        members: list[JsonMember] = []
        here = self._skip(at + 1)
        while self._text[here : here + 1] != "}":
            if members and members[-1].comma < 0:
                raise self._wrong(here)
            key, end = self._string(here)
            colon = self._skip(end)
            if self._text[colon : colon + 1] != ":":
                raise self._wrong(colon)
            node = self._member(self._skip(colon + 1), depth + 1, key, key_paths)
            member = JsonMember(key, here, end, node)
            here = self._skip(node.end)
            if self._text[here : here + 1] == ",":
                member.comma = here
                here = self._skip(here + 1)
            members.append(member)
        held = {each.key: each.node.value for each in members if each.node.value is not MISSING}
        return Node(at, here + 1, held, members)

    def _member(self, at: int, depth: int, key: str, key_paths: Sequence[KeyPath] | None) -> Node:
        if key_paths is None:
            return self._node(at, depth, None)
        below = [each[1:] for each in key_paths if each[0] in (key, "*")]
        return self._node(at, depth, below) if below else Node(at, self._end(at), MISSING)

    def _end(self, at: int) -> int:
        """Return the end of a value in a well-formed text."""
        if self._text[at] not in "{[":
            found = STRING.match(self._text, at) or WORD.match(self._text, at)
            return found.end() if found else at
        depth = 0
        while True:
            depth += 1 if self._text[at] in "{[" else -1
            if not depth:
                return at + 1
            found = UP_TO_BRACKET.match(self._text, at + 1)
            at = found.end() if found else at

    def _array(self, at: int, depth: int) -> Node:
        found: list[Any] = []
        members: list[JsonMember] = []
        here, has_comma = self._skip(at + 1), True
        while self._text[here : here + 1] != "]":
            if not has_comma:
                raise self._wrong(here)
            node = self._node(here, depth + 1, None)
            found.append(node.value)
            here = self._skip(node.end)
            has_comma = self._text[here : here + 1] == ","
            name = node.value.get(NAME) if isinstance(node.value, dict) else None
            if isinstance(name, str):
                members.append(JsonMember(name, node.start, node.start, node, here if has_comma else -1))
            here = self._skip(here + 1) if has_comma else here
        return Node(at, here + 1, found, members)

    def _string(self, at: int) -> tuple[str, int]:
        found = STRING.match(self._text, at)
        if found is None:
            raise self._wrong(at)
        try:
            return json.loads(found[0]), found.end()
        except ValueError:
            raise self._wrong(at) from None

    def _word(self, at: int) -> Node:
        found = WORD.match(self._text, at)
        if found is None or found[0] in ("NaN", "Infinity", "-Infinity"):
            raise self._wrong(at)
        try:
            return Node(at, found.end(), json.loads(found[0]))
        except ValueError:
            raise self._wrong(at) from None

    def _wrong(self, at: int) -> ConfigError:
        line, column = self._text.count("\n", 0, at) + 1, at - self._text.rfind("\n", 0, at)
        return syntax_error(self._file, self._text, line, column, "is not valid JSON")


class OpenedJson:
    """A text that has been parsed, in which changes can be worked out.

    :ivar value: its content.
    """

    def __init__(self, text: str, file: str, key_paths: Sequence[KeyPath] | None) -> None:
        self._text = text
        self._newline = newline_of(text)
        self._root = read(text, file, key_paths)
        self._unit = self._find_unit()
        self._is_one_line = "\n" not in text.strip()
        self._separators = (", ", ": ") if re.search(r'": ', text) else (",", ":")
        self.value = self._root.value if key_paths is None else along(self._root.value, key_paths)

    def change(self, change: Edit) -> list[Splice] | None:
        """Return the replacements of a change; None where it cannot be made."""
        if self._root.end == 0 and isinstance(change, Put):
            return [
                Splice(
                    0,
                    len(self._text),
                    self._written(_nested(change.key_path, change.value), "") + self._newline,
                )
            ]
        node, key_path = self._root, change.key_path
        while len(key_path) > 1:
            member = _find(node, key_path[0])
            if member is None:
                break
            node, key_path = member.node, key_path[1:]
        if isinstance(node.value, list):
            return self._change_item(node, key_path[0], change)
        return self._change_key(node, key_path, change)

    def _change_key(self, node: Node, key_path: KeyPath, change: Edit) -> list[Splice] | None:
        member = _find(node, key_path[0])
        match change:
            case Put(value=value) if member is None:
                return self._add(node, key_path[0], _nested(key_path[1:], value))
            case Put(value=value) if member is not None:
                return self._replace(member, value)
            case Remove() if member is not None:
                return self._remove(node, member)
            case Rename() if member is not None:
                return [Splice(member.start, member.key_end, _dumped(change.name))]
        return None

    def _change_item(self, node: Node, name: str, change: Edit) -> list[Splice] | None:
        """Change a list whose items are all identified by their names."""
        if len(node.members) != len(node.value):
            return None
        member = _find(node, name)
        match change:
            case Put(value=value):
                return self._add_item(node, value) if member is None else self._replace(member, value)
            case Remove() if member is not None:
                return self._remove(node, member)
            case Rename() if member is not None and (held := _find(member.node, NAME)) is not None:
                return [Splice(held.node.start, held.node.end, _dumped(change.name))]
        return None

    def _replace(self, member: JsonMember, value: Any) -> list[Splice]:
        start, end = member.node.start, member.node.end
        if isinstance(member.node.value, dict) and member.node.members and self._is_line(start, end):
            return [Splice(start, end, self._on_line(value))]
        return [Splice(start, end, self._written(value, self._indent_of(member.start)))]

    def _add(self, node: Node, key: str, value: Any) -> list[Splice] | None:
        if self._text[node.start] != "{":
            # A null, for instance, stands in the place of a mapping.
            return [Splice(node.start, node.end, self._written({key: value}, self._indent_of(node.start)))]
        if not node.members:
            return self._fill(node, key, value)
        _, colon = self._separators
        indent = self._indent_of(node.members[-1].start)
        in_line, alone = f"{_dumped(key)}{colon}{self._on_line(value)}", f"{_dumped(key)}: "
        return self._behind(node, in_line, alone + self._written(value, indent))

    def _add_item(self, node: Node, value: Any) -> list[Splice]:
        if not node.members:
            return [Splice(node.start, node.end, f"[{self._on_line(value)}]")]
        indent = self._indent_of(node.members[-1].start)
        return self._behind(node, self._on_line(value), self._written(value, indent))

    def _behind(self, node: Node, in_line: str, alone: str) -> list[Splice]:
        """Add a member behind the last one: on its line, where all of them are on one, or else on a line of its own."""
        last = node.members[-1]
        has_comma = last.comma >= 0
        if "\n" not in self._text[node.start : last.start]:
            member = self._separators[0][1:] + in_line
            at = last.comma + 1 if has_comma else last.node.end
            return [Splice(at, at, member + "," if has_comma else "," + member)]
        line = f"{self._newline}{self._indent_of(last.start)}{alone}"
        at = self._end_of_line(last.comma + 1 if has_comma else last.node.end)
        if has_comma:
            return [Splice(at, at, line + ",")]
        comma = Splice(last.node.end, last.node.end, "," + (line if at == last.node.end else ""))
        return [comma] if at == last.node.end else [comma, Splice(at, at, line)]

    def _is_line(self, start: int, end: int) -> bool:
        return "\n" not in self._text[start:end]

    def _on_line(self, value: Any) -> str:
        return json.dumps(value, ensure_ascii=False, separators=self._separators)

    def _fill(self, node: Node, key: str, value: Any) -> list[Splice]:
        if self._is_one_line and node.end - node.start == 2 and node is not self._root:
            return [Splice(node.start, node.end, self._on_line({key: value}))]
        outer = self._indent_of(node.start)
        indent = outer + self._unit
        line = f"{self._newline}{indent}{_dumped(key)}: {self._written(value, indent)}"
        inside = self._text[node.start + 1 : node.end - 1]
        if not inside.strip():
            return [Splice(node.start + 1, node.end - 1, f"{line}{self._newline}{outer}")]
            # The braces hold a comment.
        at = node.start + 1 + len(inside.rstrip())
        return [Splice(at, node.end - 1, f"{line}{self._newline}{outer}")]

    def _remove(self, node: Node, member: JsonMember) -> list[Splice]:
        index = next(at for at, each in enumerate(node.members) if each is member)
        end = member.comma + 1 if member.comma >= 0 else member.node.end
        start = member.start
        found = []
        if member.comma < 0 and index:
            comma = node.members[index - 1].comma
            found.append(Splice(comma, comma + 1, ""))
        line = self._text.rfind("\n", 0, start) + 1
        rest = REST_OF_LINE.match(self._text, end)
        if not self._text[line:start].strip() and rest is not None and line:
            # The line ends of the entry are removed with it.
            before = line - len(self._newline) if self._text[:line].endswith(self._newline) else line
            found.append(Splice(before, rest.end(), ""))
        else:
            blank = re.compile(r"[ \t]*").match(self._text, end)
            found.append(Splice(start, blank.end() if blank else end, ""))
        return found

    def _written(self, value: Any, indent: str) -> str:
        text = json.dumps(value, ensure_ascii=False, indent=self._unit)
        if isinstance(value, list) and not any(isinstance(each, dict | list) for each in value):
            text = json.dumps(value, ensure_ascii=False)
        return text.replace("\n", self._newline + indent)

    def _indent_of(self, at: int) -> str:
        line = self._text[self._text.rfind("\n", 0, at) + 1 : at]
        return line[: len(line) - len(line.lstrip(" \t"))]

    def _end_of_line(self, at: int) -> int:
        rest = REST_OF_LINE.match(self._text, at)
        return rest.end() if rest is not None else at

    def _find_unit(self) -> str:
        for member in self._root.members[:1]:
            indent = self._indent_of(member.start)
            if indent and "\n" in self._text[self._root.start : member.start]:
                return indent
        return UNIT


def _find(node: Node, key: str) -> JsonMember | None:
    # A key may occur twice: the last one counts.
    return next((each for each in reversed(node.members) if each.key == key), None)


def _nested(key_path: KeyPath, value: Any) -> Any:
    for step in reversed(key_path):
        value = {step: value}
    return value


def _dumped(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
