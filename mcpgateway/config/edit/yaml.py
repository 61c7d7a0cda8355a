"""The positions of values in a YAML text, and their replacement."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from attrs import frozen

from mcpgateway.config.edit import yamltext
from mcpgateway.config.edit.edits import (
    NAME,
    Edit,
    KeyPath,
    Put,
    Remove,
    Rename,
    Splice,
    at,
    newline_of,
    same,
    spliced,
)
from mcpgateway.config.problems import Problems
from mcpgateway.errors import ConfigError

UNIT = 2
# Such a text needs no quotes in YAML, unless it is one of the words.
PLAIN = re.compile(r"[A-Za-z_/](?:[\w./@+=:-]*[\w/@+=-])?", re.ASCII)
WORDS = frozenset("true false yes no on off y n null".split())
UNPRINTABLE = re.compile(
    "[^\\t\\n\\r\\x20-\\x7e\\xa0-\\ud7ff\\ue000-\\ufefe\\uff00-\\ufffd\\U00010000-\\U0010ffff]|[\\x85\\u2028\\u2029]"
)
UNFIT_IN_BRACES = re.compile(r"[,\[\]{}:#]")  # in a text without quotes
REST_OF_LINE = re.compile(r"[ \t]*(?:#[^\n]*)?(?=\r?\n|$)|(?=\r?\n|$)")
KEY_ALONE = re.compile(r"[ \t]*:(?:[ \t]*\*[^\s,\[\]{}]+)?")  # a colon with nothing behind it, or an alias
WIDTH = 1_000_000  # lines are not broken
LINE_FLOW = 100  # characters of a list that is written on one line


@frozen
class Spelling:
    """A value that stays, as it is spelled in the text; a program may read ``yes`` and ``"yes"`` as different values.

    :ivar is_plain: the spelling has no quotes.
    """

    text: str
    is_plain: bool


@frozen
class YamlPair:
    """One key of a mapping, and its value, as nodes."""

    key: Any
    value: Any


def values(text: str, file: str) -> Any:
    """Return the content of a text.

    :raise ConfigError: the text is malformed.
    """
    found = yamltext.parse(text, file, Problems()).value
    return {} if found is None else found


def ways(text: str, change: Edit) -> Iterator[str]:
    """Iterate over possible texts after a change; some of them may have another content than the wanted one."""
    found = OpenedYaml(text, "").change(change)
    if found is not None:
        yield spliced(text, found)
    yield from _anew(text, change)


def _anew(text: str, change: Edit) -> Iterator[str]:
    """Iterate over the text written anew, with comments and order kept; blanks may change."""
    from io import StringIO

    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = WIDTH
    try:
        whole = yaml.load(text)
        holder = whole
        for step in change.key_path[:-1]:
            holder = holder[step]
        _change(holder, change)
        stream = StringIO()
        yaml.dump(whole, stream)
    except (YAMLError, KeyError, TypeError, ValueError, RecursionError):
        return
    yield stream.getvalue()


def _change(holder: Any, change: Edit) -> None:
    key = change.key_path[-1]
    match change:
        case Put():
            holder[key] = change.value
        case Remove():
            del holder[key]
        case Rename():
            at = list(holder).index(key)
            holder.insert(at, change.name, holder.pop(key))


class OpenedYaml:
    """A text that has been parsed, in which changes can be worked out.

    :param key_paths: the key paths that are needed; all are read.
    """

    def __init__(self, text: str, file: str, key_paths: Sequence[KeyPath] | None = None) -> None:
        self._text = text
        self._file = file
        self._newline = newline_of(text)

    @cached_property
    def value(self) -> Any:
        """The content of the text.

        :raise ConfigError: the text is malformed.
        """
        return values(self._text, self._file)

    @cached_property
    def _root(self) -> Any:
        from ruamel.yaml import YAML

        return YAML(typ="safe", pure=True).compose(self._text)

    def change(self, change: Edit) -> list[Splice] | None:
        """Return the replacements of a change; None where it cannot be made.

        A member that an existing mapping keeps also keeps its spelling.
        """
        if isinstance(change, Put) and (node := _at(self._root, change.key_path)) is not None:
            change = Put(change.key_path, self._spelled(node, at(self.value, change.key_path), change.value))
        return self._change(change)

    def _spelled(self, node: Any, former: Any, value: Any) -> Any:
        """Return a value with the spellings of the scalars that it has in common with the former value of a node."""
        if isinstance(value, Mapping) and isinstance(former, Mapping):
            members = {key: _find_key(node, key) for key in value if key in former}
            return {
                key: each if pair is None else self._spelled_member(pair, former[key], each)
                for key, each in value.items()
                for pair in [members.get(key)]
            }
        if not same(former, value):
            return value
        if node.id == "sequence" and len(node.value) == len(value):
            return [self._spelled(*each) for each in zip(node.value, former, value, strict=True)]
        text = self._text[node.start_mark.index : node.end_mark.index]
        is_on_a_line = node.id == "scalar" and text and "\n" not in text
        return Spelling(text, text[0] not in "\"'") if is_on_a_line else value

    def _spelled_member(self, pair: YamlPair, former: Any, value: Any) -> Any:
        return value if _is_alias(pair.value, pair.key) else self._spelled(pair.value, former, value)

    def _change(self, change: Edit) -> list[Splice] | None:
        node, key_path = self._root, change.key_path
        if node is None or (node.id == "scalar" and node.start_mark.index == node.end_mark.index):
            return self._append(_nested(key_path, change.value)) if isinstance(change, Put) else None
        above: YamlPair | None = None
        is_inside = True  # of braces, or at the top, where an empty mapping gives way to no block
        while len(key_path) > 1 and (entry := _find(node, key_path[0])) is not None:
            is_inside = bool(node.flow_style)
            above, node, key_path = entry, entry.value, key_path[1:]
        if (
            is_inside
            and isinstance(change, Put)
            and (node.id == "scalar" or (node.id == "mapping" and not node.value))
        ):
            return self._flow_value(YamlPair(None, node), _nested(key_path, change.value))
        if node.id == "sequence":
            return self._change_item(above, node, key_path, change)
        if node.id != "mapping":
            return (
                self._replace(above, _nested(key_path, change.value))
                if above and isinstance(change, Put)
                else None
            )
        entry = _find(node, key_path[0])
        match change:
            case Put(value=value) if entry is None:
                return self._add(above, node, key_path[0], _nested(key_path[1:], value))
            case Put(value=value) if entry is not None:
                return self._flow_value(entry, value) if node.flow_style else self._replace(entry, value)
            case Remove() if entry is not None:
                return self._remove_flow(node, entry) if node.flow_style else self._remove(above, node, entry)
            case Rename() if entry is not None:
                return [Splice(entry.key.start_mark.index, entry.key.end_mark.index, _scalar(change.name))]
        return None

    # In lists whose items have names

    def _change_item(
        self, above: YamlPair | None, node: Any, key_path: KeyPath, change: Edit
    ) -> list[Splice] | None:
        entry = _find(node, key_path[0])
        match change:
            case Put(value=value) if entry is None:
                return self._add_item(above, node, _nested(key_path[1:], value))
            case Put(value=value) if entry is not None:
                return self._replace_item(entry, value)
            case Remove() if entry is not None:
                return self._remove_item(above, node, entry)
            case Rename() if entry is not None and (name := _find(entry.value, NAME)) is not None:
                return self._flow_value(name, change.name)
        return None

    def _replace_item(self, entry: YamlPair, value: Any) -> list[Splice]:
        start, end = entry.value.start_mark.index, self._end(entry)
        if entry.value.flow_style or not isinstance(value, Mapping) or not value:
            return [Splice(start, end, _flow(value) + self._ended(end))]
        column = int(entry.value.start_mark.column)
        return [Splice(start, end, self._block(value, column)[column:] + self._ended(end))]

    def _add_item(self, above: YamlPair | None, node: Any, value: Any) -> list[Splice] | None:
        if not node.value:
            return self._replace(above, [value]) if above is not None else None
        end = self._end(YamlPair(None, node.value[-1]))
        if node.flow_style:
            return [Splice(end, end, f", {_flow(value)}")]
        at, column = self._end_of_line(end), int(node.start_mark.column)
        if at is None:
            return None
        inside = self._block(value, column + UNIT)[column + UNIT :]
        return [self._line_after(at, f"{' ' * column}- {inside}")]

    def _remove_item(self, above: YamlPair | None, node: Any, entry: YamlPair) -> list[Splice] | None:
        index = next(index for index, each in enumerate(node.value) if each is entry.value)
        start, end = entry.value.start_mark.index, self._end(entry)
        if node.flow_style:
            if index + 1 < len(node.value):
                return [Splice(start, node.value[index + 1].start_mark.index, "")]
            return [Splice(self._end(YamlPair(None, node.value[index - 1])) if index else start, end, "")]
        line, rest = self._text.rfind("\n", 0, start) + 1, self._end_of_line(end)
        if rest is None or self._text[line:start].strip() != "-":
            return None
        is_ended = self._text[rest - 1 : rest] == "\n"
        whole = [Splice(line, rest if is_ended else self._next_line(rest), "")]
        if above is None and len(node.value) == 1:
            return [Splice(line, rest, "[]" + self._ended(rest))]
        colon = self._colon(above) if above is not None and len(node.value) == 1 else None
        return whole if colon is None else [Splice(colon + 1, colon + 1, " []"), *whole]

    # In blocks

    def _append(self, value: Any) -> list[Splice]:
        at = len(self._text)
        lead = "" if not self._text or self._text.endswith("\n") else self._newline
        return [Splice(at, at, lead + self._block(value, 0) + self._newline)]

    def _add(self, above: YamlPair | None, node: Any, key: str, value: Any) -> list[Splice] | None:
        if node.flow_style:
            return self._add_flow(above, node, key, value)
        last = YamlPair(*node.value[-1])
        at = self._end_of_line(self._end(last))
        if at is None:
            return None
        column = int(node.value[0][0].start_mark.column)
        return [self._line_after(at, self._block({key: value}, column))]

    def _line_after(self, at: int, block: str) -> Splice:
        # A literal text ends behind its last line end.
        if self._text[at - 1 : at] == "\n":
            return Splice(at, at, block + self._newline)
        return Splice(at, at, self._newline + block)

    def _replace(self, entry: YamlPair, value: Any) -> list[Splice] | None:
        colon = self._colon(entry)
        if colon is None:
            return None
        start, end = colon + 1, self._end(entry)
        is_empty = entry.value.id == "scalar" and entry.value.start_mark.index == entry.value.end_mark.index
        if isinstance(value, Mapping) and value:
            column = int(entry.key.start_mark.column)
            block = self._block(value, column + UNIT)
            if is_empty:
                line = self._end_of_line(start)
                return None if line is None else [self._line_after(line, block)]
            return [Splice(start, end, self._newline + block + self._ended(end))]
        if is_empty:
            return [Splice(start, start, " " + _flow(value))]
        return [Splice(start, end, " " + _flow(value) + self._ended(end))]

    def _ended(self, end: int) -> str:
        return self._newline if self._text[end - 1 : end] == "\n" else ""

    def _remove(self, above: YamlPair | None, node: Any, entry: YamlPair) -> list[Splice] | None:
        end = self._end_of_line(self._end(entry))
        start = self._text.rfind("\n", 0, entry.key.start_mark.index) + 1
        if end is None or self._text[start : entry.key.start_mark.index].strip():
            return None
        is_ended = self._text[end - 1 : end] == "\n"
        whole = [Splice(start, end if is_ended else self._next_line(end), "")]
        if len(node.value) > 1 or above is None:
            return whole
        colon = self._colon(above)
        return None if colon is None else [Splice(colon + 1, colon + 1, " {}"), *whole]

    def _next_line(self, at: int) -> int:
        found = self._text.find("\n", at)
        return len(self._text) if found < 0 else found + 1

    def _colon(self, entry: YamlPair) -> int | None:
        found = re.compile(r"[ \t]*:").match(self._text, entry.key.end_mark.index)
        return found.end() - 1 if found else None

    def _end(self, entry: YamlPair) -> int:
        """Return the end of a value; the parser puts that of a block at the beginning of the next token."""
        node, key = entry.value, entry.key
        while node.id != "scalar" and not node.flow_style and not _is_alias(node, key):
            key, node = node.value[-1] if node.id == "mapping" else (None, node.value[-1])
        if key is not None and (_is_alias(node, key) or node.start_mark.index == node.end_mark.index):
            found = KEY_ALONE.match(self._text, key.end_mark.index)
            return found.end() if found else int(key.end_mark.index)
        return int(node.end_mark.index)

    def _end_of_line(self, at: int) -> int | None:
        if self._text[at - 1 : at] == "\n":
            return at
        found = REST_OF_LINE.match(self._text, at)
        return found.end() if found else None

    # In braces

    def _flow_value(self, entry: YamlPair, value: Any) -> list[Splice]:
        return [Splice(entry.value.start_mark.index, entry.value.end_mark.index, _flow(value))]

    def _add_flow(self, above: YamlPair | None, node: Any, key: str, value: Any) -> list[Splice] | None:
        if not node.value:
            return self._replace(above, {key: value}) if above is not None else None
        last = YamlPair(*node.value[-1])
        at = last.value.end_mark.index
        return [Splice(at, at, f", {_scalar(key)}: {_flow(value)}")]

    def _remove_flow(self, node: Any, entry: YamlPair) -> list[Splice]:
        entries = [YamlPair(*each) for each in node.value]
        at = next(index for index, each in enumerate(entries) if each.key is entry.key)
        start, end = entry.key.start_mark.index, entry.value.end_mark.index
        if at + 1 < len(entries):
            end = entries[at + 1].key.start_mark.index
        elif at:
            start = entries[at - 1].value.end_mark.index
        return [Splice(start, end, "")]

    # Writing

    def _block(self, value: Mapping[str, Any], column: int) -> str:
        lines = []
        for key, each in value.items():
            head = " " * column + _scalar(key) + ":"
            if isinstance(each, Mapping) and each:
                lines += [head, self._block(each, column + UNIT)]
            elif isinstance(each, list | tuple) and len(_flow(each)) > LINE_FLOW:
                lines += [head, *(" " * (column + UNIT) + "- " + _flow(item) for item in each)]
            else:
                lines.append(f"{head} {each.text if isinstance(each, Spelling) else _flow(each)}")
        return self._newline.join(lines)


def _at(node: Any, key_path: KeyPath) -> Any:
    """Return the node at a path; None where there is none."""
    for key in key_path:
        entry = None if node is None else _find(node, key)
        node = None if entry is None or _is_alias(entry.value, entry.key) else entry.value
    return node


def _find(node: Any, key: str) -> YamlPair | None:
    if node.id == "sequence":
        items = (each for each in node.value if (name := _find_key(each, NAME)) and name.value.value == key)
        return next((YamlPair(None, each) for each in items), None)
    return _find_key(node, key)


def _find_key(node: Any, key: str) -> YamlPair | None:
    if node.id != "mapping":
        return None
    found = (YamlPair(*each) for each in node.value if each[0].id == "scalar" and str(each[0].value) == key)
    return next((each for each in found if each.key.tag != yamltext.PLAIN + "merge"), None)


def _is_alias(node: Any, key: Any) -> bool:
    return key is not None and bool(node.start_mark.index < key.start_mark.index)


def _nested(key_path: KeyPath, value: Any) -> Any:
    for step in reversed(key_path):
        value = {step: value}
    return value


def _flow(value: Any) -> str:
    match value:
        case Mapping():
            return "{" + ", ".join(f"{_scalar(key)}: {_flow(each)}" for key, each in value.items()) + "}"
        case list() | tuple():
            return "[" + ", ".join(map(_flow, value)) + "]"
        case Spelling(text=text, is_plain=is_plain):
            return _scalar(text) if is_plain and UNFIT_IN_BRACES.search(text) else text
        case _:
            return _scalar(value)


def _scalar(value: Any) -> str:
    if not isinstance(value, str):
        return json.dumps(value)
    if PLAIN.fullmatch(value) and value.lower() not in WORDS:
        return value
    return UNPRINTABLE.sub(_escaped, json.dumps(value, ensure_ascii=False))


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    if 0xD800 <= code <= 0xDFFF:
        raise ConfigError("a text that is no Unicode cannot be written")
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
