"""What is to be written or changed in the entry of a server, as programs ask for it (the bodies of S003's routes)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from attrs import field, frozen

from mcpgateway.config import alteration
from mcpgateway.config.document import printable
from mcpgateway.config.edit import Edit, Rename, changed
from mcpgateway.config.expand import FORBIDDEN
from mcpgateway.errors import InvalidParams

DEFINED = 'such as {"name": "notes", "config": {"command": "npx", "args": ["-y", "notes-mcp"]}}'
EXPECTED = 'such as {"add_env": ["NAME=value"], "remove_env": ["OTHER"], "disabled": false}'
SAME = {"env": "add_env", "headers": "add_headers"}  # as S003's first release calls them
KEYS = ("disabled", "enabled", "add_env", "remove_env", "add_headers", "remove_headers", "new_name", *SAME)


@frozen
class Patch:
    """A change of an entry.

    :ivar disabled: whether it is to be switched off; None leaves it as it is.
    :ivar new_name: what it is to be called; empty: as before.
    """

    disabled: bool | None = None
    add_env: Mapping[str, str] = field(factory=dict, repr=False)
    remove_env: tuple[str, ...] = ()
    add_headers: Mapping[str, str] = field(factory=dict, repr=False)
    remove_headers: tuple[str, ...] = ()
    new_name: str = ""

    @property
    def gives(self) -> bool:
        """Whether it changes what the server is given, which is as powerful as saying what is run."""
        return bool(self.add_env or self.remove_env or self.add_headers or self.remove_headers)

    def edits(self, name: str, entry: Mapping[str, Any]) -> tuple[Edit, ...]:
        """What it comes to where an entry is written so."""
        steps: tuple[Callable[[Any], tuple[Edit, ...]], ...] = (
            lambda now: alteration.added(name, now, alteration.ENV, self.add_env),
            lambda now: alteration.taken(name, now, alteration.ENV, self.remove_env),
            lambda now: alteration.added(name, now, alteration.HEADERS, self.add_headers),
            lambda now: alteration.taken(name, now, alteration.HEADERS, self.remove_headers),
            lambda now: self._switched(name, now),
        )
        edits: list[Edit] = []
        whole: Any = {name: dict(entry)}
        for step in steps:  # one may build on another: variables can be one list
            made = step(whole[name])
            edits += made
            for each in made:
                whole = changed(whole, each, name)
        if self.new_name not in ("", name):
            edits.append(Rename((name,), self.new_name))  # last: it is where the others' roads end
        return tuple(edits)

    def _switched(self, name: str, entry: Mapping[str, Any]) -> tuple[Edit, ...]:
        return () if self.disabled is None else alteration.switched(name, entry, on=not self.disabled)


def read_definition(said: Mapping[str, Any]) -> dict[str, Any]:
    """The definition in the body of a request.

    :raise InvalidParams: there is none.
    """
    found = said.get("config")
    if not isinstance(found, dict) or not found:
        raise InvalidParams('"config" must be the definition of a server', DEFINED)
    return found


def read_name(said: Mapping[str, Any]) -> str:
    """The name in the body of a request.

    :raise InvalidParams: there is none.
    """
    found = said.get("name")
    if not isinstance(found, str) or not found:
        raise InvalidParams('"name" must be the name of a server', DEFINED)
    return found


def runs_here(definition: Mapping[str, Any]) -> bool:
    """Whether a definition has this machine run something."""
    return any(definition.get(key) is not None for key in ("command", "docker", "args", "port"))


def read_patch(said: Mapping[str, Any]) -> Patch:
    """Read the body of a request.

    :raise InvalidParams: it is no change of an entry.
    """
    for key in said:
        if key not in KEYS:
            raise InvalidParams(f"'{printable(key)}' is nothing that can be changed so", EXPECTED)
    if not said:
        raise InvalidParams("nothing is to be changed", EXPECTED)
    add_env, remove_env = _values(said, "add_env"), _names(said, "remove_env")
    add_headers, remove_headers = _values(said, "add_headers"), _names(said, "remove_headers")
    headers = ({each.lower() for each in add_headers}, {each.lower() for each in remove_headers})
    for added, removed in ((set(add_env), set(remove_env)), headers):
        if both := sorted(added & removed):
            raise InvalidParams(f"{printable(both[0])}: is to be set and taken away at once")
    return Patch(_disabled(said), add_env, remove_env, add_headers, remove_headers, _text(said, "new_name"))


def _disabled(said: Mapping[str, Any]) -> bool | None:
    found = [said[key] is (key == "disabled") for key in ("disabled", "enabled") if _flag(said, key)]
    if len(set(found)) > 1:
        raise InvalidParams('"disabled" and "enabled" say different things')
    return found[0] if found else None


def _flag(said: Mapping[str, Any], key: str) -> bool:
    if key in said and not isinstance(said[key], bool):
        raise InvalidParams(f'"{key}" must be true or false')
    return key in said


def _text(said: Mapping[str, Any], key: str) -> str:
    value = said.get(key)
    if key not in said:
        return ""
    if not isinstance(value, str) or not value:
        raise InvalidParams(f'"{key}" must be a name')
    return value


def _values(said: Mapping[str, Any], key: str) -> dict[str, str]:
    spelled = [each for each in (key, *(old for old, new in SAME.items() if new == key)) if each in said]
    if len(spelled) > 1:
        raise InvalidParams(f'"{spelled[0]}" and "{spelled[1]}" mean the same')
    if not spelled:
        return {}
    found = said[spelled[0]]
    if isinstance(found, list) and all(isinstance(each, str) and "=" in each for each in found):
        found = dict(each.split("=", 1) for each in found)
    if not isinstance(found, dict) or not all(isinstance(each, str) for each in found.values()):
        raise InvalidParams(f'"{key}" must be a list of NAME=value, or an object of texts', EXPECTED)
    for name, value in found.items():
        check_name(name, key)
        if FORBIDDEN.search(value):
            raise InvalidParams(f"{printable(name)}: has a line break or a NUL in its value")
    return found


def _names(said: Mapping[str, Any], key: str) -> tuple[str, ...]:
    found = said.get(key, [])
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise InvalidParams(f'"{key}" must be a list of names', EXPECTED)
    for each in found:
        check_name(each, key)
    return tuple(found)


def check_name(name: str, key: str) -> None:
    """Refuse a name that no variable and no header can have.

    :raise InvalidParams: it is refused.
    """
    if not name or "=" in name or not name.isprintable() or " " in name:
        raise InvalidParams(f"\"{key}\": '{printable(name)}' is no name of a variable or a header")
