"""Recipes: the entries of servers that are known by a name, a package or an address.

# Note [What a recipe asks for]
A recipe names the inputs that only its user can give: values, which become a part of the command or the address, and
variables of the environment, most of them secrets.  A value is used literally, and never names a variable.  A variable
is taken from the usual sources, so the entry has ``${NAME}``, and a secret never passes through the program that
installs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from attrs import evolve, field, frozen

from mcpgateway.config.document import printable
from mcpgateway.config.expand import FORBIDDEN, VARIABLE, escaped
from mcpgateway.config.names import slug
from mcpgateway.errors import InvalidParams

NPM = re.compile(
    r"(?P<name>(?:@[a-z0-9][a-z0-9._~-]*/)?[a-z0-9][a-z0-9._~-]*)(?:@(?P<version>[A-Za-z0-9][\w.+-]*))?"
)
PYPI = re.compile(
    r"(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)(?P<extras>\[[A-Za-z0-9,._-]+\])?"
    r"(?:(?:==|@)(?P<version>[A-Za-z0-9][\w.+!-]*))?"
)
IMAGE = re.compile(
    r"(?P<name>[a-z0-9][a-z0-9.-]*(?::[0-9]+)?(?:/[a-z0-9][a-z0-9._-]*)*)"
    r"(?::(?P<version>\w[\w.-]*))?(?P<digest>@sha256:[0-9a-f]{64})?"
)
# What npx and uvx take for a file of the directory that they run in, and podman for one of its other transports.
FILE = re.compile(r".*\.(?:tgz|tar|tar\.\w+|whl|zip)", re.IGNORECASE)
TRANSPORTS = frozenset(
    "containers-storage dir docker-archive docker-daemon oci oci-archive ostree sif tarball".split()
)
KINDS = ("npm", "pypi", "docker")
# What authors put around a name to say that it is a server.
AFFIXES = re.compile(r"^(?:mcp-server-|server-|mcp-)|(?:-mcp-server|-server-mcp|-mcp|-server)$")
PLACEHOLDER = re.compile(r"(?<!\$)\{([A-Za-z_][\w.-]*)\}")
DOCKER = ("docker", "run", "-i", "--rm")
VALUE_CHARACTERS = 4096


@frozen
class Need:
    """An input of a recipe: a value or a variable.

    :ivar about: its purpose, and its source.
    :ivar default: the value without an input; None for none.
    :ivar is_path: the value is a file or a directory, which needs an absolute path.
    :ivar is_repeated: it may have several values, which commas separate.
    """

    name: str
    about: str = ""
    required: bool = False
    secret: bool = False
    default: str | None = None
    choices: tuple[str, ...] = ()
    is_path: bool = False
    is_repeated: bool = False

    def shown(self) -> dict[str, Any]:
        """Return the input in words, for the user who installs."""
        flags = {"required": self.required, "secret": self.secret, "default": self.default}
        shown = {"name": self.name, "about": self.about, **{key: each for key, each in flags.items() if each}}
        return {**shown, "choices": list(self.choices)} if self.choices else shown


@frozen
class WordGroup:
    """Words of a command line that stand or fall together.

    :ivar is_optional: the words are left out where a value in them is missing.
    """

    words: tuple[str, ...]
    is_optional: bool = False


@frozen
class Filling:
    """The inputs for a recipe, from the user who installs it.

    :ivar values: the values, by name; several for a repeated input.
    :ivar env: variables, as they are to stand in the entry.
    :ivar knows: returns true for a variable of which the gateway has a value.
    """

    values: Mapping[str, Sequence[str]] = field(factory=dict)
    env: Mapping[str, str] = field(factory=dict, repr=False)
    knows: Callable[[str], bool] = field(default=lambda _: False, repr=False)


@frozen
class Recipe:
    """The way to run a server, or its address.

    :ivar name: the server's name, unless the user who installs it chooses another.
    :ivar program: the program and its first words; empty where nothing is started.
    :ivar image: the image of a container, whose engine is the program.
    :ivar groups: the words behind them.
    :ivar keys: further keys of the entry, whose texts may hold values.
    :ivar fixed: variables with texts that may hold values.
    :ivar is_strict: only variables that the recipe names are accepted.
    :ivar is_deprecated: its authors do not maintain it any more.
    """

    name: str
    title: str = ""
    about: str = ""
    homepage: str = ""
    quirks: str = ""
    tags: tuple[str, ...] = ()
    program: tuple[str, ...] = ()
    image: str = ""
    groups: tuple[WordGroup, ...] = ()
    keys: Mapping[str, Any] = field(factory=dict, repr=False)
    fixed: Mapping[str, str] = field(factory=dict, repr=False)
    values: tuple[Need, ...] = ()
    variables: tuple[Need, ...] = ()
    is_strict: bool = False
    is_deprecated: bool = False

    def entry(self, filling: Filling) -> dict[str, Any]:
        """Return the entry for a configuration.

        :raise InvalidParams: an input is missing, or unknown to the recipe.
        """
        values = self._values(filling.values)
        env = {**{name: _filled(text, values) for name, text in self.fixed.items()}, **self._env(filling)}
        made: dict[str, Any] = {}
        if self.program:
            words = [*self.program[1:]]
            if self.image:
                words += [word for name in env for word in ("-e", name)]
                words.append(self.image)
            words += _words(self.groups, values)
            made["command"] = self.program[0]
            if words:
                made["args"] = words
        made |= {key: _deep(each, values) for key, each in self.keys.items()}
        return {**made, "env": env} if env and self.program else made

    def _values(self, values: Mapping[str, Sequence[str]]) -> dict[str, Sequence[str]]:
        _refuse_strange("value", values, [each.name for each in self.values])
        found: dict[str, Sequence[str]] = {}
        for need in self.values:
            given = values.get(need.name, ())
            if not given and need.default is not None:
                given = (need.default,)
            if not given and need.required:
                raise InvalidParams(
                    f"{self.name} needs the value {need.name}: {need.about or 'its author says no more'}",
                    f'pass it, as in {{"values": {{"{need.name}": "…"}}}}',
                    {"needs": [each.shown() for each in self.values]},
                )
            for each in given:
                _check_value(need, each)
            if given:
                found[need.name] = given
        return found

    def _env(self, filling: Filling) -> dict[str, str]:
        known = {each.name: each for each in self.variables}
        if self.is_strict:
            _refuse_strange("variable", filling.env, [*known, *(each.name for each in self.values)])
        if filling.env and not self.program:
            raise InvalidParams(
                f"{self.name} is no program that variables could be given to",
                "put them into the gateway's own .env, where its headers take them from",
            )
        env = dict(filling.env)
        missing = []
        for name, need in known.items():
            if name in env:
                _check_value(need, env[name])
            elif filling.knows(name):
                env[name] = f"${{{name}}}"
            elif need.default is not None:
                env[name] = escaped(need.default)
            elif need.required:
                missing.append(need)
        if missing:
            raise MissingVariables(self.name, missing)
        return env


class MissingVariables(InvalidParams):
    """A server cannot be installed before its user has set variables that it needs."""

    def __init__(self, server: str, missing: Iterable[Need]) -> None:
        self.needs = tuple(missing)
        names = ", ".join(each.name for each in self.needs)
        super().__init__(
            f"{server} needs {names}, which the gateway has no value for",
            data={"missing": [each.shown() for each in self.needs]},
        )


def read_recipes(found: Mapping[str, Mapping[str, Any]]) -> dict[str, Recipe]:
    """Return the recipes of the shipped catalogue, by name."""
    return {name: _shipped(name, definition) for name, definition in found.items()}


def _shipped(name: str, definition: Mapping[str, Any]) -> Recipe:
    base = of_package(definition["package"], name) if "package" in definition else Recipe(name)
    keys = {key: definition[key] for key in ("url", "headers", "oauth", "share") if key in definition}
    return evolve(
        base,
        title=definition.get("title", name),
        about=definition.get("about", ""),
        homepage=definition.get("homepage", ""),
        quirks=definition.get("quirks", ""),
        tags=tuple(definition.get("tags", ())),
        program=tuple(definition["command"]) if "command" in definition else base.program,
        groups=tuple(_group(each) for each in definition.get("args", ())),
        keys=keys,
        values=_needs(definition.get("values", {})),
        variables=_needs(definition.get("env", {})),
        is_strict=True,
        is_deprecated=definition.get("deprecated", False),
    )


def _group(words: str | list[str]) -> WordGroup:
    return WordGroup((words,)) if isinstance(words, str) else WordGroup(tuple(words), is_optional=True)


def _needs(definitions: Mapping[str, Mapping[str, Any]]) -> tuple[Need, ...]:
    return tuple(
        Need(
            name,
            each.get("about", ""),
            each.get("required", False),
            each.get("secret", False),
            is_path=each.get("format") == "filepath",
            is_repeated=each.get("repeated", False),
        )
        for name, each in definitions.items()
    )


def is_package(text: str) -> bool:
    """True if a text names a package with its kind, as ``npm:`` does."""
    return text.partition(":")[0] in KINDS and ":" in text


def of_package(text: str, name: str = "") -> Recipe:
    """Return the recipe of a package: ``npm:name@version``, ``pypi:name==version`` or ``docker:image:tag``.

    :raise InvalidParams: the name is invalid for a package of that kind.
    """
    kind, _, package = text.partition(":")
    pattern = {"npm": NPM, "pypi": PYPI, "docker": IMAGE}.get(kind)
    found = pattern.fullmatch(package) if pattern is not None else None
    if found is None or FILE.fullmatch(package) or (kind == "docker" and found["name"] in TRANSPORTS):
        raise InvalidParams(
            f"'{printable(text)}' is no package",
            "name it as in npm:@scope/name@1.2.3, pypi:name==1.2.3 or docker:registry/image:tag",
        )
    name = name or name_of(found["name"])
    match kind:
        case "npm":
            return Recipe(name, program=("npx", "-y", package))
        case "pypi":
            version = f"@{found['version']}" if found["version"] else ""
            return Recipe(name, program=("uvx", f"{found['name']}{found['extras'] or ''}{version}"))
    return Recipe(name, program=DOCKER, image=package)


def name_of(package: str) -> str:
    """Return the name of a package's server: that of the package without ``mcp``, ``server`` and the like."""
    bare = package.rstrip("/").rpartition("/")[2]
    for _ in range(2):
        bare = AFFIXES.sub("", bare) or bare
    return re.sub("_{2,}", "_", slug(bare))


def _refuse_strange(what: str, names: Iterable[str], known: Sequence[str]) -> None:
    for name in names:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            meant = f"did you mean '{near[0]}'?" if near else f"known here: {', '.join(known) or 'none'}"
            raise InvalidParams(f"there is no {what} '{printable(name)}'", meant)


def _check_value(need: Need, text: str) -> None:
    if FORBIDDEN.search(text) or len(text) > VALUE_CHARACTERS:
        raise InvalidParams(
            f"{need.name}: found a line break, or more than {VALUE_CHARACTERS} characters",
            "give it on one line",
        )
    if VARIABLE.fullmatch(text):
        return
    if text.startswith("-"):
        raise InvalidParams(f"{need.name}: found something that could be taken for an option")
    if need.is_path and not text.startswith("/"):
        raise InvalidParams(f"{need.name}: found '{printable(text)}'; expected an absolute path")
    if need.choices and text not in need.choices:
        raise InvalidParams(f"{need.name}: found another value; expected one of {', '.join(need.choices)}")


def _words(groups: Iterable[WordGroup], values: Mapping[str, Sequence[str]]) -> list[str]:
    words: list[str] = []
    for group in groups:
        named = [name for word in group.words for name in PLACEHOLDER.findall(word)]
        if group.is_optional and not all(values.get(name) for name in named):
            continue
        several = next((len(values[name]) for name in named if len(values.get(name, ())) > 1), 1)
        for index in range(several):
            at = {name: (each[min(index, len(each) - 1)],) for name, each in values.items() if each}
            words += [_filled(word, at) for word in group.words]
    return words


def _filled(text: str, values: Mapping[str, Sequence[str]]) -> str:
    def value(found: re.Match[str]) -> str:
        given = values.get(found[1])
        return escaped(given[0]) if given else found[0]

    return PLACEHOLDER.sub(value, text) if "{" in text else text


def _deep(value: Any, values: Mapping[str, Sequence[str]]) -> Any:
    match value:
        case str():
            return _filled(value, values)
        case dict():
            return {key: _deep(each, values) for key, each in value.items()}
        case list() | tuple():
            return [_deep(each, values) for each in value]
    return value
