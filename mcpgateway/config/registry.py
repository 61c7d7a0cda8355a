"""The registry's ``server.json`` (https://static.modelcontextprotocol.io/schemas) as a recipe.

Its author is not trusted: no text of it names a variable of the environment but those it declares, and its options for
the runner of its package choose neither program, nor source, nor files of this machine.

Of several ways to run a server the first that is possible here is used: npm, PyPI, a container, a remote.  Members are
accepted in the present spelling and in that of the first schema (``registry_type``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from attrs import define, evolve, field

from mcpgateway.config.document import printable
from mcpgateway.config.expand import escaped
from mcpgateway.config.recipes import PLACEHOLDER, Need, Recipe, WordGroup, name_of, of_package
from mcpgateway.errors import InvalidParams

WAYS = {"npm": "npm", "pypi": "pypi", "oci": "docker", "docker": "docker"}
USUAL_BASES = {
    "npm": ("https://registry.npmjs.org",),
    "pypi": ("https://pypi.org",),
    "oci": ("https://docker.io", "https://ghcr.io", "https://quay.io"),
}
RUNNERS = {"bunx": ("bunx",), "podman": ("podman", "run", "-i", "--rm")}
# Options of runners that an untrusted author may set: those without a value, and those with a value of this form.
ALONE = {
    "npx": frozenset(
        "-y --yes -q --quiet -s --silent --prefer-offline --prefer-online --no-audit --no-fund".split()
    ),
    "uvx": frozenset("-q --quiet --isolated -n --no-cache --refresh --no-progress --native-tls".split()),
    "docker": frozenset("-i --interactive --rm --init --read-only -q --quiet".split()),
}
VALUED = {
    "npx": {"--loglevel": r"[a-z]+"},
    "uvx": {
        **dict.fromkeys(("-p", "--python"), r"(?:[a-z]+@?)?[0-9.]+"),
        "--prerelease": r"[a-z-]+",
    },
    "docker": {
        **dict.fromkeys(("-e", "--env"), r"[A-Za-z_]\w*=.*"),
        **dict.fromkeys(("-u", "--user"), r"[0-9]+(?::[0-9]+)?"),
        **dict.fromkeys(("-m", "--memory", "--cpus", "--pids-limit", "--shm-size"), r"[0-9.]+[bkmg]?"),
        **dict.fromkeys(("-w", "--workdir", "--tmpfs"), r"/\S*"),
        **dict.fromkeys(
            ("-v", "--volume"), r"[A-Za-z0-9][\w.-]*:/\S*"
        ),  # one of its own, no directory of ours
        **dict.fromkeys(("--network", "--net"), "none|bridge"),
        "--cap-drop": r"\w+",
        "--platform": r"[a-z0-9/]+",
        "--pull": r"[a-z]+",
        "--security-opt": r"no-new-privileges(?:[:=]true)?",
    },
}
REMOTES = {"streamable-http": "http", "http": "http", "sse": "sse"}
ITEMS_LIMIT = 100  # arguments, variables or headers of one server
REMOTE = "remote"
# Members that a flag without a value has not.
INPUT_MARKS = ("format", "placeholder", "choices", "isRequired", "isSecret", "valueHint", "variables")


def is_server_json(found: Mapping[str, Any]) -> bool:
    """True if a mapping is such a description, bare or as in a registry's answer."""
    inner = found.get("server")
    server = inner if isinstance(inner, dict) else found
    return isinstance(server.get("name"), str) and any(
        isinstance(server.get(key), list) for key in ("packages", "remotes")
    )


def of_server_json(found: Mapping[str, Any], prefer: str = "") -> Recipe:
    """Return the recipe of a server that a registry describes.

    :param prefer: ``npm``, ``pypi``, ``oci`` or ``remote``, where only that way is wanted.
    :raise InvalidParams: the server cannot be run from here, or the description is malformed.
    """
    inner = found.get("server")
    server = inner if isinstance(inner, dict) else found
    title = _text(server, "name")
    refusals: list[str] = []
    for kind, way in _ways(server):
        if prefer and prefer != kind:
            continue
        try:
            recipe = _remote(title, way) if kind == REMOTE else _package(kind, way)
        except InvalidParams as why:
            refusals.append(why.message)
            continue
        return evolve(
            recipe,
            title=str(server.get("title") or title),
            about=str(server.get("description") or ""),
            homepage=str(server.get("websiteUrl") or server.get("website_url") or ""),
            name=name_of(title),
            is_strict=True,
        )
    raise InvalidParams(
        f"{printable(title)}: " + ("; ".join(refusals) or "names nothing that it could be run from"),
        "a package of npm or pypi, an image (oci) that speaks on stdio, or a remote is needed",
    )


def _ways(server: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    packages = [(str(_get(each, "registryType") or ""), each) for each in _listed(server, "packages")]
    known = [kind for kind in WAYS for pair in packages if pair[0] == kind]
    order = [*dict.fromkeys(known), *(kind for kind, _ in packages if kind not in WAYS)]
    for kind in dict.fromkeys(order):
        yield from (pair for pair in packages if pair[0] == kind)
    for each in _listed(server, "remotes"):
        yield REMOTE, each


@define
class _Reading:
    """The inputs of one way to run a server, while they are read."""

    values: dict[str, Need] = field(factory=dict)
    variables: dict[str, Need] = field(factory=dict)
    fixed: dict[str, str] = field(factory=dict)

    def variable(self, declared: Mapping[str, Any]) -> None:
        """Add a variable of the environment that the server takes."""
        name = _text(declared, "name")
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise InvalidParams(f"'{printable(name)}' is no name of a variable")
        if declared.get("value") is not None:
            self.fixed[name] = self.template(declared)
        else:
            self.variables[name] = _need(name, declared)

    def template(self, declared: Mapping[str, Any]) -> str:
        """Return the text of an input with a value, and add the inputs within it."""
        text = escaped(_text(declared, "value"))
        inputs = declared.get("variables")
        known = inputs if isinstance(inputs, dict) else {}

        def asked(found: re.Match[str]) -> str:
            name = found[1]
            # Braces without an input are plain text.
            return self.ask(name, known[name]) if isinstance(known.get(name), dict) else found[0]

        return PLACEHOLDER.sub(asked, text)

    def ask(self, name: str, declared: Mapping[str, Any]) -> str:
        """Return the placeholder of an input, its value, or the variable of a secret."""
        if declared.get("value") is not None:
            return escaped(_text(declared, "value"))
        if _get(declared, "isSecret") is True:
            variable = re.sub(r"\W", "_", name).upper()
            self.variables.setdefault(variable, _need(variable, declared))
            return f"${{{variable}}}"
        name = re.sub(r"[^\w.-]", "-", name)
        name = name if PLACEHOLDER.fullmatch(f"{{{name}}}") else f"value-{name}"
        self.values.setdefault(name, _need(name, declared))
        return f"{{{name}}}"

    def argument(self, declared: Mapping[str, Any], index: int) -> WordGroup:
        """Return the words of one argument of a command line."""
        if declared.get("type") == "named":
            option = escaped(_text(declared, "name"))
            if declared.get("value") is not None:
                return WordGroup((option, self.template(declared)))
            if "default" not in declared and not any(_get(declared, each) for each in INPUT_MARKS):
                return WordGroup((option,))
            return WordGroup((option, self.ask(option.lstrip("-"), declared)), is_optional=True)
        if declared.get("value") is not None:
            return WordGroup((self.template(declared),))
        name = _get(declared, "valueHint") or declared.get("name")
        return WordGroup((self.ask(str(name or f"argument-{index}"), declared),), is_optional=True)


def _package(kind: str, package: Mapping[str, Any]) -> Recipe:
    if kind not in WAYS:
        raise InvalidParams(f"packages of the kind '{printable(kind)}' cannot be run here")
    base = _get(package, "registryBaseUrl")
    if base and str(base).rstrip("/") not in USUAL_BASES.get(kind, ()):
        raise InvalidParams(f"it is fetched from '{printable(str(base))}', which is not the usual registry")
    transport = package.get("transport")
    spoken = transport.get("type", "stdio") if isinstance(transport, dict) else "stdio"
    if spoken != "stdio":
        raise InvalidParams(
            f"its package of {kind} speaks {printable(str(spoken))} at a port; configure it with port and transport"
        )
    base_recipe = of_package(f"{WAYS[kind]}:{_versioned(kind, package)}")
    runner = RUNNERS.get(str(_get(package, "runtimeHint") or ""))
    reading = _Reading()
    for each in _listed(package, "environmentVariables"):
        reading.variable(each)
    before = _groups(reading, _listed(package, "runtimeArguments"))
    behind = _groups(reading, _listed(package, "packageArguments"))
    return evolve(
        _run_by(base_recipe, runner, before),
        groups=behind,
        fixed=reading.fixed,
        values=tuple(reading.values.values()),
        variables=tuple(reading.variables.values()),
    )


def _run_by(recipe: Recipe, runner: tuple[str, ...] | None, before: tuple[WordGroup, ...]) -> Recipe:
    """Return the recipe with options of its runner, which stand before the package and must not depend on inputs."""
    words = [word for group in before for word in group.words]
    if any(group.is_optional for group in before) or any(PLACEHOLDER.search(word) for word in words):
        raise InvalidParams("the options of its runner depend on inputs; configure it by hand")
    _check_options("docker" if recipe.image else recipe.program[0], words)
    head = recipe.program
    if recipe.image:
        head = runner if runner and runner[0] == "podman" else head
        return evolve(recipe, program=(*head, *(word for word in words if word not in head)))
    own = [word for word in words if word not in ("-y", "--yes")]
    if runner == ("bunx",) and head[0] == "npx":
        return evolve(recipe, program=("bunx", *own, head[-1]))
    return evolve(recipe, program=(*head[:-1], *own, head[-1]))


def _check_options(runner: str, words: list[str]) -> None:
    left = iter(words)
    for word in left:
        option, equals, value = word.partition("=")
        if not equals and option in ALONE[runner]:
            continue
        form = VALUED[runner].get(option)
        if form is None or not re.fullmatch(form, value if equals else next(left, "")):
            raise InvalidParams(f"it passes '{printable(word)}' to its runner; configure it by hand")


def _versioned(kind: str, package: Mapping[str, Any]) -> str:
    identifier, version = _text(package, "identifier"), package.get("version")
    if version is None or version in ("", "latest"):
        return identifier
    version = str(version)
    match kind:
        case "npm":
            return f"{identifier}@{version}"
        case "pypi":
            return f"{identifier}=={version}"
    # An image of today names its tag itself.
    has_tag = ":" in identifier.rpartition("/")[2] or "@" in identifier
    return identifier if has_tag else f"{identifier}:{version}"


def _groups(reading: _Reading, arguments: list[Mapping[str, Any]]) -> tuple[WordGroup, ...]:
    return tuple(reading.argument(each, index) for index, each in enumerate(arguments, 1))


def _remote(title: str, remote: Mapping[str, Any]) -> Recipe:
    spoken = REMOTES.get(str(remote.get("type") or _get(remote, "transportType") or ""))
    if spoken is None:
        raise InvalidParams(f"its remote is spoken with over '{printable(str(remote.get('type')))}'")
    reading = _Reading()
    url = reading.template({"value": _text(remote, "url"), "variables": remote.get("variables")})
    headers = {}
    for each in _listed(remote, "headers"):
        name = _text(each, "name")
        if each.get("value") is not None:
            headers[name] = reading.template(each)
        elif _get(each, "isRequired") is True or _get(each, "isSecret") is True or "default" in each:
            headers[name] = reading.ask(f"{name_of(title)}_{name}", {"isSecret": True, **each})
    keys: dict[str, Any] = {"url": url, "transport": spoken}
    if headers:
        keys["headers"] = headers
    return Recipe(
        title,
        keys=keys,
        values=tuple(reading.values.values()),
        variables=tuple(reading.variables.values()),
    )


def _need(name: str, declared: Mapping[str, Any]) -> Need:
    default, choices = declared.get("default"), declared.get("choices")
    return Need(
        name,
        str(declared.get("description") or ""),
        _get(declared, "isRequired") is True,
        _get(declared, "isSecret") is True,
        None if default is None else _plain(default),
        tuple(_plain(each) for each in choices) if isinstance(choices, list) else (),
        declared.get("format") == "filepath",
    )


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _get(item: Mapping[str, Any], key: str) -> Any:
    """Return a member, in either spelling."""
    found = item.get(key)
    return found if found is not None else item.get(re.sub(r"[A-Z]", lambda each: f"_{each[0].lower()}", key))


def _text(members: Mapping[str, Any], key: str) -> str:
    found = _get(members, key)
    if isinstance(found, bool | int | float) and key == "value":
        return _plain(found)
    if not isinstance(found, str) or not found.strip():
        raise InvalidParams(f"server.json: {key}: expected text")
    return found


def _listed(members: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    found = _get(members, key)
    if found is None:
        return []
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise InvalidParams(f"server.json: {key}: expected a list of objects")
    if len(found) > ITEMS_LIMIT:
        raise InvalidParams(f"server.json: {key}: found more than {ITEMS_LIMIT}")
    return found
