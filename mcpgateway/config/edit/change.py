"""Changes of a server's entry: dotted keys and their paths, edits of single values, and bodies of requests.

An entry is given as written.  A value that does not change needs no edit, so that the rest of a file stays unchanged.
Behind ``env.``, ``headers.`` and other mappings with names of the user's own, the rest of a dotted key is one name:
``headers.X-Api.Key`` is the header ``X-Api.Key``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import partial
from itertools import pairwise
from typing import Any

from attrs import field, frozen

from mcpgateway.config.document import printable
from mcpgateway.config.edit.edits import (
    MISSING,
    NAME,
    Edit,
    KeyPath,
    Put,
    Remove,
    Rename,
    at,
    changed,
    same,
)
from mcpgateway.config.entry import SERVER
from mcpgateway.config.expand import FORBIDDEN
from mcpgateway.config.fields import Either, Kind, MapOf, Strings, VariableMap
from mcpgateway.config.section import NOTE_PREFIXES, Key, Section, nearest
from mcpgateway.errors import InvalidParams

COMMAND, ENV, ENVIRONMENT, HEADERS = "command", "env", "environment", "headers"


def risky(keys: Iterable[str]) -> list[str]:
    """Return the keys that decide which program a server is or which values it gets, whose edit needs more rights."""
    return sorted(each for each in keys if each not in SERVER.keys or not _is_harmless(SERVER.keys[each]))


def _is_harmless(key: Key) -> bool:
    return key.is_harmless or (key.alias in SERVER.keys and SERVER.keys[key.alias].is_harmless)


def is_on(entry: Mapping[str, Any]) -> bool:
    """True if an entry is switched on."""
    return bool(entry.get("enabled", True)) and not entry.get("disabled", False)


def switched(name: str, entry: Mapping[str, Any], *, on: bool) -> tuple[Edit, ...]:
    """Switch a server on or off, by the key that its entry has already."""
    if is_on(entry) is on:
        return ()
    edits: list[Edit] = []
    if "disabled" in entry and bool(entry["disabled"]) is on:
        edits.append(Put((name, "disabled"), not on))
    if bool(entry.get("enabled", True)) is not on and (on or not edits):
        edits.append(Put((name, "enabled"), on))
    return tuple(edits)


def switched_over(name: str, overlay: Mapping[str, Any], *, on: bool, is_on_below: bool) -> tuple[Edit, ...]:
    """Switch a server on or off in an overlay, which says so only where the entry below says otherwise."""
    edits: list[Edit] = [Remove((name, each)) for each in SWITCHES if each in overlay]
    if on is not is_on_below:
        edits.append(Put((name, "enabled" if on else "disabled"), True))
    return tuple(edits)


def added(name: str, entry: Mapping[str, Any], key: str, values: Mapping[str, str]) -> tuple[Edit, ...]:
    """Set variables (`ENV`) or headers (`HEADERS`)."""
    key = spelled(entry, key)
    held = entry.get(key)
    if isinstance(held, list):
        remaining = [each for each in held if _name(each) not in values]
        made = [*remaining, *(f"{each}={value}" for each, value in values.items())]
        return (Put((name, key), made),) if sorted(map(str, made)) != sorted(map(str, held)) else ()
    known = held if isinstance(held, Mapping) else {}
    wanted: dict[str, str] = {}
    for each, value in values.items():
        wanted[_written(each, key, {**known, **wanted})] = value
    return tuple(Put((name, key, each), value) for each, value in wanted.items() if known.get(each) != value)


def taken(name: str, entry: Mapping[str, Any], key: str, gone: Collection[str]) -> tuple[Edit, ...]:
    """Remove variables or headers; missing ones need no edit."""
    key = spelled(entry, key)
    held = entry.get(key)
    if isinstance(held, list):
        remaining = [each for each in held if _name(each) not in gone]
        return (Put((name, key), remaining),) if len(remaining) != len(held) else ()
    if isinstance(held, Mapping):
        away = {_folded(each, key) for each in gone}
        return tuple(Remove((name, key, each)) for each in held if _folded(each, key) in away)
    return ()


def spelled(entry: Mapping[str, Any], key: str) -> str:
    """Return the spelling of a key in an entry: variables have two."""
    return ENVIRONMENT if key == ENV and ENV not in entry and ENVIRONMENT in entry else key


def _written(name: str, key: str, there: Mapping[str, Any]) -> str:
    """Return a name as the entry spells it already, in any case."""
    if name in there:
        return name
    return next((each for each in there if _folded(each, key) == _folded(name, key)), name)


def _folded(name: Any, key: str) -> str:
    # X-Key and x-key are one header, and a second one would be sent beside the first; variables are case-sensitive.
    return str(name).lower() if key == HEADERS else str(name)


def _name(pair: Any) -> str:
    return str(pair).partition("=")[0]


NAMED = (VariableMap, Strings, MapOf)
"""Kinds of mappings with names of the user's own."""

EXAMPLE = "such as timeout, lazy.idleTimeoutMs, args or env.NAME"


def key_path_of(key: str) -> KeyPath:
    """Return the path of a dotted key.

    :raise InvalidParams: a server has no such key; the hint names similar keys.
    """
    if key.startswith(NOTE_PREFIXES):
        return (key,)
    key_path: list[str] = []
    section, rest = SERVER, key
    while True:
        name, dot, rest = rest.partition(".")
        if name not in section.keys:
            where, known = (
                (dotted(tuple(key_path)), f"its keys are {', '.join(section.keys)}")
                if key_path
                else ("a server", EXAMPLE)
            )
            raise InvalidParams(
                f"'{printable(name)}' is no key of {where}", nearest(name, section.keys) or known
            )
        if not key_path and name == NAME:
            raise InvalidParams("name: is not changed so", "new_name calls a server by another name")
        key_path.append(name)
        if not dot:
            return tuple(key_path)
        inner = _mapping(section.keys[name].kind)
        if isinstance(inner, NAMED) and rest:
            return (*key_path, rest)
        if not isinstance(inner, Section) or not rest:
            raise InvalidParams(f"{'.'.join(key_path)}: has no key '{printable(rest)}'", "set it as a whole")
        section = inner


def dotted(key_path: KeyPath) -> str:
    """Return a path as a dotted key."""
    return ".".join(key_path)


def overlapping(key_paths: Iterable[KeyPath]) -> str:
    """Return the dotted key of a path that equals another one or begins with it; "" where there is none."""
    known = sorted((_compared(each) for each in key_paths), key=lambda pair: pair[0])
    for (former, _), (later, key) in pairwise(known):
        if later[: len(former)] == former:
            return dotted(key)
    return ""


def _compared(key_path: KeyPath) -> tuple[KeyPath, KeyPath]:
    """Return a path as it is compared, and the path: variables have two keys, and headers have no case."""
    first, *rest = key_path
    if first == ENVIRONMENT:
        first = ENV
    if first == HEADERS:
        rest = [each.lower() for each in rest]
    return (first, *rest), key_path


def _mapping(kind: Kind) -> Kind | None:
    return kind.kinds.get(dict) if isinstance(kind, Either) else kind


DEFINED = 'such as {"name": "notes", "config": {"command": "npx", "args": ["-y", "notes-mcp"]}}'
EXPECTED = 'such as {"set": {"timeout": "30s", "env.NAME": "value"}, "unset": ["cwd"], "disabled": false}'
SAME = {"env": "add_env", "headers": "add_headers"}  # the names in the first release of that API
SWITCHES = ("enabled", "disabled")
KEYS = (
    *("set", "unset", *SWITCHES),
    *("add_env", "remove_env", "add_headers", "remove_headers", "new_name", *SAME),
)

# Keys that hold values by names, in several forms.
GIVEN = (ENV, ENVIRONMENT, HEADERS)


@frozen
class Patch:
    """A change of an entry.

    :ivar disabled: true to switch the server off; None: as before.
    :ivar new_name: its new name; empty: as before.
    :ivar values: the new values of single keys, by their paths.
    :ivar unset: the paths of keys that are removed.
    """

    disabled: bool | None = None
    add_env: Mapping[str, str] = field(factory=dict, repr=False)
    remove_env: tuple[str, ...] = ()
    add_headers: Mapping[str, str] = field(factory=dict, repr=False)
    remove_headers: tuple[str, ...] = ()
    new_name: str = ""
    values: Mapping[KeyPath, Any] = field(factory=dict, repr=False)
    unset: tuple[KeyPath, ...] = ()

    @property
    def gives(self) -> bool:
        """True if the patch changes the server's program, address or values, which needs further rights."""
        given = self.add_env or self.remove_env or self.add_headers or self.remove_headers
        return bool(given or risky(key_path[0] for key_path in (*self.values, *self.unset)))

    @property
    def runs_here(self) -> bool:
        """True if the patch sets a program that this machine runs."""
        return runs_here({key_path[0]: value for key_path, value in self.values.items()})

    @property
    def switches(self) -> bool:
        """True if the patch switches the server on or off."""
        return self.disabled is not None or any(key_path[0] in SWITCHES for key_path in self.unset)

    @property
    def gives_headers(self) -> bool:
        """True if the patch sets headers."""
        return bool(self.add_headers) or any(key_path[0] == HEADERS for key_path in self.values)

    def edits(self, name: str, entry: Mapping[str, Any]) -> tuple[Edit, ...]:
        """Return the edits for an entry with this content.

        :raise InvalidParams: the entry has the key in another form.
        """
        steps: list[Callable[[Any], tuple[Edit, ...]]] = [
            *(
                partial(
                    _set_program if self._is_program(key_path, value) else _set,
                    name,
                    key_path=key_path,
                    value=value,
                )
                for key_path, value in self.values.items()
            ),
            *(partial(_unset, name, key_path=key_path) for key_path in self.unset),
            lambda now: added(name, now, ENV, self.add_env),
            lambda now: taken(name, now, ENV, self.remove_env),
            lambda now: added(name, now, HEADERS, self.add_headers),
            lambda now: taken(name, now, HEADERS, self.remove_headers),
            lambda now: self._switched(name, now),
        ]
        edits: list[Edit] = []
        whole: Any = {name: dict(entry)}
        for step in steps:  # one may build on another: variables can be one list
            made = step(whole[name])
            edits += made
            for each in made:
                whole = changed(whole, each, name)
        if self.new_name not in ("", name):
            edits.append(
                Rename((name,), self.new_name)
            )  # last, as the paths of the others have the former name
        return tuple(edits)

    def check_unset(self, *entries: Mapping[str, Any]) -> None:
        """Refuse to remove a key that no server has, where no entry has it either.

        :raise InvalidParams: there is such a key; the hint names similar keys.
        """
        for key_path in self.unset:
            if all(at(each, key_path) is MISSING for each in entries):
                key_path_of(dotted(key_path))

    def _is_program(self, key_path: KeyPath, value: Any) -> bool:
        """True if a value is a program whose arguments stay those of the entry."""
        return key_path == (COMMAND,) and isinstance(value, str) and ("args",) not in self.values

    def _switched(self, name: str, entry: Mapping[str, Any]) -> tuple[Edit, ...]:
        return () if self.disabled is None else switched(name, entry, on=not self.disabled)


def _set(name: str, entry: Mapping[str, Any], key_path: KeyPath, value: Any) -> tuple[Edit, ...]:
    key, *inner = _spelled(entry, key_path)
    if inner and key in GIVEN:
        return added(name, entry, key, {inner[0]: value})
    _check_holder(entry, (key, *inner))
    return () if same(at(entry, (key, *inner)), value) else (Put((name, key, *inner), value),)


def _set_program(name: str, entry: Mapping[str, Any], key_path: KeyPath, value: str) -> tuple[Edit, ...]:
    held = entry.get(COMMAND)
    return _set(name, entry, key_path, [value, *held[1:]] if isinstance(held, list) else value)


def _unset(name: str, entry: Mapping[str, Any], key_path: KeyPath) -> tuple[Edit, ...]:
    key, *inner = _spelled(entry, key_path)
    if inner and key in GIVEN:
        return taken(name, entry, key, inner)
    _check_holder(entry, (key, *inner))
    return () if at(entry, (key, *inner)) is MISSING else (Remove((name, key, *inner)),)


def _spelled(entry: Mapping[str, Any], key_path: KeyPath) -> KeyPath:
    key, *inner = key_path
    return (spelled(entry, ENV if key == ENVIRONMENT else key), *inner)


def _check_holder(entry: Mapping[str, Any], key_path: KeyPath) -> None:
    """Refuse a key below one that has a plain value in the entry, such as ``lazy: true``."""
    for end in range(1, len(key_path)):
        held = at(entry, key_path[:end])
        if held is not MISSING and held is not None and not isinstance(held, Mapping):
            key = printable(dotted(key_path[:end]))
            raise InvalidParams(f"{key} has no keys in this entry", f"set {key} as a whole")


def touched(name: str, entry: Mapping[str, Any], edits: Iterable[Edit]) -> dict[str, Any]:
    """Return the changed keys of an entry with their new values, and its command where its arguments change."""
    whole: Any = {name: dict(entry)}
    keys: dict[str, None] = {}
    for each in edits:
        if not isinstance(each, Rename):
            whole = changed(whole, each, name)
            keys[each.key_path[1]] = None
    if "args" in keys:
        keys[COMMAND] = None
    return {key: whole[name][key] for key in keys if key in whole[name]}


def read_definition(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the definition in the body of a request.

    :raise InvalidParams: the body has none.
    """
    found = body.get("config")
    if not isinstance(found, dict) or not found:
        raise InvalidParams('"config" must be the definition of a server', DEFINED)
    return found


def read_name(body: Mapping[str, Any]) -> str:
    """Return the name in the body of a request.

    :raise InvalidParams: the body has none.
    """
    found = body.get("name")
    if not isinstance(found, str) or not found:
        raise InvalidParams('"name" must be the name of a server', DEFINED)
    return found


def runs_here(definition: Mapping[str, Any]) -> bool:
    """True if a definition has a program that this machine runs."""
    return any(definition.get(key) is not None for key in ("command", "docker", "args", "port"))


def read_patch(body: Mapping[str, Any]) -> Patch:
    """Read the body of a request.

    :raise InvalidParams: the body is no change of an entry.
    """
    for key in body:
        if key not in KEYS:
            raise InvalidParams(f"'{printable(key)}' is no part of a change", EXPECTED)
    if not body:
        raise InvalidParams("nothing is to be changed", EXPECTED)
    values, unset = _set_of(body), _unset_of(body)
    switches = {key_path: value for key_path, value in values.items() if key_path[0] in SWITCHES}
    patch = Patch(
        _disabled({**body, **{key_path[0]: value for key_path, value in switches.items()}}),
        _values(body, "add_env"),
        _names(body, "remove_env"),
        _values(body, "add_headers"),
        _names(body, "remove_headers"),
        _text(body, "new_name"),
        {key_path: value for key_path, value in values.items() if key_path not in switches},
        unset,
    )
    switched = ((key,) for key in SWITCHES if key in body)
    if both := overlapping((*values, *unset, *switched, *_given(patch))):
        raise InvalidParams(f"{printable(both)}: is changed twice in one request")
    return patch


def _given(patch: Patch) -> Iterator[KeyPath]:
    for key, names in (
        (ENV, (*patch.add_env, *patch.remove_env)),
        (HEADERS, (*patch.add_headers, *patch.remove_headers)),
    ):
        yield from ((key, each) for each in names)


def _set_of(body: Mapping[str, Any]) -> dict[KeyPath, Any]:
    found = body.get("set", {})
    if not isinstance(found, dict):
        raise InvalidParams('"set" must be an object of keys and their values', EXPECTED)
    values = {key_path_of(key): value for key, value in found.items()}
    if len(values) < len(found):
        raise InvalidParams('"set" has a key twice')
    for key_path, value in values.items():
        _check_value(key_path, value)
    return values


def _check_value(key_path: KeyPath, value: Any) -> None:
    key = printable(dotted(key_path))
    if value is None:
        raise InvalidParams(f"{key}: null is no value", '"unset" takes a key away')
    if key_path[0] in GIVEN and len(key_path) > 1:
        check_name(key_path[1], "set")
        if not isinstance(value, str):
            raise InvalidParams(f"{key} must be a text")
        if FORBIDDEN.search(value):
            raise InvalidParams(f"{key}: has a line break or a NUL in its value")


def _unset_of(body: Mapping[str, Any]) -> tuple[KeyPath, ...]:
    found = body.get("unset", [])
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise InvalidParams('"unset" must be a list of keys', EXPECTED)
    return tuple(map(_unset_path, found))


def _unset_path(key: str) -> KeyPath:
    try:
        return key_path_of(key)
    except InvalidParams:
        if not key:
            raise
        return (key,)  # a slip of the pen, which an entry may have


def _disabled(body: Mapping[str, Any]) -> bool | None:
    found = [body[key] is (key == "disabled") for key in SWITCHES if _flag(body, key)]
    if len(set(found)) > 1:
        raise InvalidParams('"disabled" and "enabled" say different things')
    return found[0] if found else None


def _flag(body: Mapping[str, Any], key: str) -> bool:
    if key in body and not isinstance(body[key], bool):
        raise InvalidParams(f'"{key}" must be true or false')
    return key in body


def _text(body: Mapping[str, Any], key: str) -> str:
    value = body.get(key)
    if key not in body:
        return ""
    if not isinstance(value, str) or not value:
        raise InvalidParams(f'"{key}" must be a name')
    return value


def _values(body: Mapping[str, Any], key: str) -> dict[str, str]:
    spelled = [each for each in (key, *(old for old, new in SAME.items() if new == key)) if each in body]
    if len(spelled) > 1:
        raise InvalidParams(f'"{spelled[0]}" and "{spelled[1]}" mean the same')
    if not spelled:
        return {}
    found = body[spelled[0]]
    if isinstance(found, list) and all(isinstance(each, str) and "=" in each for each in found):
        found = dict(each.split("=", 1) for each in found)
    if not isinstance(found, dict) or not all(isinstance(each, str) for each in found.values()):
        raise InvalidParams(f'"{key}" must be a list of NAME=value, or an object of texts', EXPECTED)
    for name, value in found.items():
        check_name(name, key)
        if FORBIDDEN.search(value):
            raise InvalidParams(f"{printable(name)}: has a line break or a NUL in its value")
    return found


def _names(body: Mapping[str, Any], key: str) -> tuple[str, ...]:
    found = body.get(key, [])
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise InvalidParams(f'"{key}" must be a list of names', EXPECTED)
    for each in found:
        check_name(each, key)
    return tuple(found)


def check_name(name: str, key: str) -> None:
    """Refuse a name that no variable and no header can have.

    :raise InvalidParams: the name is refused.
    """
    if not name or "=" in name or not name.isprintable() or " " in name:
        raise InvalidParams(f"\"{key}\": '{printable(name)}' is no name of a variable or a header")
