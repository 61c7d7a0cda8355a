"""Take apart the command of a package runner (``npx``, ``uvx`` and their like), to start its program directly.

# Note [Doubtful commands]
A runner stays in memory beside each server it has started.  Doing without it saves much memory; running another program
than the entry says would be unforgivable.  So only known words are parsed: with an unknown flag, a package from a file
or a repository, or a command for a shell, the entry is run as written.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum
from typing import assert_never

from attrs import evolve, field, frozen

DAY_S = 86_400.0


class Wrapper(Enum):
    """The families of package runners."""

    NPM = "npm"
    UV = "uv"
    PIPX = "pipx"
    BUN = "bun"


class Age(Enum):
    """The seconds for which no newer version of a package is looked for; None: for ever."""

    PINNED = None
    TAGGED = DAY_S
    OPEN = 7 * DAY_S


@frozen
class Package:
    """The requested program, as the command names it.

    :ivar version: the requested version, as written: a version, a range or a tag; empty for none.
    :ivar extras: the requested extras of a Python package, in brackets; empty for none.
    """

    name: str
    version: str
    age: Age
    extras: str = ""


@frozen
class _Grammar:
    """The words of one runner's command that are known.

    :ivar flags: options without a value.
    :ivar values: options with a value.
    :ivar package: those of `values` that name the package.
    :ivar ends: ``--`` may end the options.
    :ivar reads_on: options are also taken from behind the command, up to ``--``.
    """

    wrapper: Wrapper
    flags: frozenset[str]
    values: frozenset[str]
    package: frozenset[str]
    ends: bool = False
    reads_on: bool = False


@frozen
class Wrapped:
    """A command line of a package runner.

    :ivar program: the runner itself, with its subcommand.
    :ivar options: its options as they were written, with the ``--`` that may end them.
    :ivar command: the first word that is no option: the package, or its program if an option names the package.
    :ivar rest: all words behind it, as written.
    :ivar args: the arguments of the server.
    :ivar binary: the name of the program within the package; empty where only the runner knows it.
    :ivar is_named: an option names the package.
    """

    wrapper: Wrapper
    program: tuple[str, ...]
    options: tuple[str, ...] = field(repr=False)  # an index may be given with a password
    command: str = field(repr=False)
    rest: tuple[str, ...] = field(repr=False)
    args: tuple[str, ...] = field(repr=False)
    package: Package
    binary: str
    is_named: bool

    @property
    def words(self) -> tuple[str, ...]:
        """The whole command line, as written."""
        return (*self.head, *self.rest)

    @property
    def head(self) -> tuple[str, ...]:
        """The part that decides which program is run: all words but the arguments."""
        return (*self.program, *self.options, self.command)

    def probing(self, probe: str, inner: str, python: tuple[str, ...]) -> tuple[str, ...]:
        """Return the command by which the runner does all its work, but starts a probe instead of the server.

        :param probe: a program that reports how it was started.
        :param inner: the same as a script of Python, for a runner that only starts programs of its package.
        :param python: the options of Python for that script.
        """
        match self.wrapper:
            case Wrapper.NPM:
                return (
                    self.head
                )  # its script shell is the probe (`mcpgateway.policy.launch_probe.SCRIPT_SHELL`)
            case Wrapper.UV:
                return self._naming("--from", probe)
            case Wrapper.BUN:
                return self._naming("-p", probe)
            case Wrapper.PIPX:
                return self._naming("--spec", "python", *python, inner)
            case _:
                assert_never(self.wrapper)

    def _naming(self, option: str, *command: str, first: tuple[str, ...] = ()) -> tuple[str, ...]:
        program = (*self.program, *first)
        if self.is_named:
            return (*program, *self.options, *command)
        options = self.options[:-1] if self.options[-1:] == ("--",) else self.options
        return (*program, *options, option, self.command, *self.options[len(options) :], *command)

    def pinned(self, version: str) -> Wrapped:
        """Return the same command line with one exact version of the package."""
        between = "==" if self.wrapper is Wrapper.PIPX else "@"
        exact = f"{self.package.name}{self.package.extras}{between}{version}"
        if not self.is_named:
            return evolve(self, command=exact)
        grammar = HEADS[_names(self.program)]
        options = list(self.options)
        for at, word in enumerate(options):
            if word in grammar.package:
                options[at + 1] = exact
            elif word.partition("=")[0] in grammar.package:
                options[at] = f"{word.partition('=')[0]}={exact}"
        return evolve(self, options=tuple(options))

    def asking(self) -> tuple[str, ...]:
        """Return the command that prints the newest of the requested versions, from the index of the entry.

        `mcpgateway.policy.launch_probe.newest` reads its answer.  The runners for Python have no such command: they
        install that version beside others, and Python prints it.
        """
        package = self.package
        wanted = f"{package.name}@{package.version or 'latest'}"
        folder, slash, _ = self.program[0].rpartition("/")
        match self.wrapper:
            case Wrapper.NPM:
                words = (*self._options_among(NPM_SETTINGS), "--json")
                return (f"{folder}{slash}npm", "view", wanted, "version", "dist-tags.latest", *words)
            case Wrapper.BUN:
                return (f"{folder}{slash}bun", "info", wanted, "version", *self._options_among(BUN_SETTINGS))
            case Wrapper.UV:
                return self._naming(
                    "--from", *_telling(package.name), first=("--refresh-package", package.name)
                )
            case Wrapper.PIPX:
                return self._naming("--spec", *_telling(package.name), first=("--no-cache",))
            case _:
                assert_never(self.wrapper)

    def _options_among(self, settings: frozenset[str]) -> tuple[str, ...]:
        # Options for the source of packages; not for the choice of one, nor for the consent to install it.
        chosen: list[str] = []
        words = iter(self.options)
        for word in words:
            name = word.partition("=")[0]
            is_split = name == word and word in NPM_VALUES
            value = (next(words, ""),) if is_split else ()
            if name in settings:
                chosen += (word, *value)
        return tuple(chosen)

    @property
    def mutates(self) -> bool:
        """True if the runner brings a package up to date by writing over the files that a server may be using."""
        return self.wrapper in {Wrapper.NPM, Wrapper.BUN}


def _telling(name: str) -> tuple[str, ...]:
    """Return the command of an environment's Python that prints the version of a distribution."""
    return ("python", "-I", "-c", f"import importlib.metadata; print(importlib.metadata.version({name!r}))")


def is_patch(before: str, after: str) -> bool:
    """True if two versions differ by their third number only, and the second one is the later."""
    old, new = (re.fullmatch(r"(\d+\.\d+)\.(\d+)", each, re.ASCII) for each in (before, after))
    return old is not None and new is not None and old[1] == new[1] and int(old[2]) < int(new[2])


def take_apart(argv: tuple[str, ...]) -> Wrapped | None:
    """Return the parts of a package runner's command line; None for other commands, and for doubtful ones."""
    program = _head_of(argv)
    if program is None or any("\0" in word for word in argv):
        return None
    grammar = HEADS[_names(program)]
    words = argv[len(program) :]
    options = _options(words, grammar)
    if options is None or len(options) == len(words):
        return None
    command, rest = words[len(options)], words[len(options) + 1 :]
    args = _arguments(rest, grammar, has_ended="--" in options)
    named = _named(options, grammar)
    if args is None or named is None:
        return None
    read = PACKAGES[grammar.wrapper]
    package = read(named or command, bool(named))
    if package is None or (named and not BINARY.fullmatch(command)):
        return None
    binary = command if named else _own_binary(grammar.wrapper, package)
    return Wrapped(
        grammar.wrapper, program, options, command, rest, args, package, binary, is_named=bool(named)
    )


def _names(program: tuple[str, ...]) -> tuple[str, ...]:
    return (program[0].rpartition("/")[2], *program[1:])


def _head_of(argv: tuple[str, ...]) -> tuple[str, ...] | None:
    for size in (3, 2, 1):
        program = argv[:size]
        if len(program) == size and _names(program) in HEADS:
            return program
    return None


def _options(words: tuple[str, ...], grammar: _Grammar) -> tuple[str, ...] | None:
    at = 0
    while at < len(words) and words[at].startswith("-"):
        word = words[at]
        name, equals, _ = word.partition("=")
        at += 1
        if word == "--":
            return words[:at] if grammar.ends else None
        if word in grammar.flags:
            if words[at : at + 1] and words[at] in {"true", "false", "null"}:
                return None  # npm takes it for the flag's value
        elif word in grammar.values:
            if not words[at : at + 1] or words[at].startswith("-"):
                return None
            at += 1
        elif not (equals and name.startswith("--") and name in grammar.values):
            return None
    return words[:at]


def _arguments(rest: tuple[str, ...], grammar: _Grammar, *, has_ended: bool) -> tuple[str, ...] | None:
    if not grammar.reads_on or has_ended:
        return rest
    end = rest.index("--") if "--" in rest else len(rest)
    if any(word.startswith("-") for word in rest[:end]):
        return None  # it would be the runner's own
    return (*rest[:end], *rest[end + 1 :])


def _named(options: tuple[str, ...], grammar: _Grammar) -> str | None:
    """The package that an option names, empty for none; None for several."""
    found = [options[at + 1] for at, word in enumerate(options) if word in grammar.package]
    split = (word.partition("=") for word in options)
    found += [value for name, equals, value in split if equals and name in grammar.package]
    if len(found) > 1 or found == [""]:
        return None
    return found[0] if found else ""


def _own_binary(wrapper: Wrapper, package: Package) -> str:
    return package.name if wrapper in {Wrapper.UV, Wrapper.PIPX} else ""


# Packages, as each family writes them.

BINARY = re.compile(r"[A-Za-z0-9_][\w.+-]*", re.ASCII)
_NPM = re.compile(r"((?:@[a-z0-9~][\w.~-]*/)?[A-Za-z0-9~][\w.~-]*)(?:@([\w.^~<>=|*+ -]+))?", re.ASCII)
_PYPI = re.compile(r"([A-Za-z0-9](?:[\w.-]*[A-Za-z0-9])?)(\[[\w, .-]*\])? *(@?)([\w.<>=!~*+, -]*)", re.ASCII)
EXACT = re.compile(r"[v=]?\d+\.\d+\.\d+(?:[-+][\w.+-]+)?", re.ASCII)
_TAG = re.compile(r"[A-Za-z][\w.-]*", re.ASCII)
_PYTHONS = re.compile(r"(?:python|pypy|cpython|graalpy|pythonw)[\d.]*t?")


def _npm_package(text: str, is_named: bool) -> Package | None:  # noqa: FBT001 - one of a table of readers
    found = _NPM.fullmatch(text)
    if found is None:
        return None
    name, version = found[1], found[2] or ""
    if not version:
        age = Age.OPEN
    elif EXACT.fullmatch(version):
        age = Age.PINNED
    else:
        is_tag = _TAG.fullmatch(version) and version not in {"x", "X"} and not re.match(r"v\d", version)
        age = Age.TAGGED if is_tag else Age.OPEN
    return Package(name, version, age)


def _uv_package(text: str, is_named: bool) -> Package | None:  # noqa: FBT001 - as above
    found = _PYPI.fullmatch(text)
    if found is None or _PYTHONS.fullmatch(found[1].lower()):
        return None
    name, extras, at, version = found[1], found[2] or "", found[3], found[4].strip()
    if at:
        if not re.fullmatch(r"latest|\d[\w.+]*", version):
            return None
        return Package(name, version, Age.TAGGED if version == "latest" else Age.PINNED, extras)
    if version and not (is_named and version[0] in "<>=!~"):
        return None
    return Package(name, version, _requirement_age(version), extras)


def _pipx_package(text: str, is_named: bool) -> Package | None:  # noqa: FBT001 - as above
    found = _PYPI.fullmatch(text)
    if found is None or found[3]:
        return None
    name, extras, version = found[1], found[2] or "", found[4].strip()
    if (version and version[0] not in "<>=!~") or not (is_named or _is_canonical(name)):
        return None
    return Package(name, version, _requirement_age(version), extras)


def _requirement_age(version: str) -> Age:
    return Age.PINNED if re.fullmatch(r"={2,3} *[\w.+!]+", version) else Age.OPEN


def _is_canonical(name: str) -> bool:
    return name == re.sub(r"[-_.]+", "-", name).lower()


PACKAGES: dict[Wrapper, Callable[[str, bool], Package | None]] = {
    Wrapper.NPM: _npm_package,
    Wrapper.BUN: _npm_package,
    Wrapper.UV: _uv_package,
    Wrapper.PIPX: _pipx_package,
}


# The known words.  Others are left out on purpose: flags that change the working directory, read a file of variables,
# build from source, or forbid to keep the installed package.

NPM_SETTINGS = frozenset(
    "--registry --userconfig --cache --prefer-offline --prefer-online --offline --silent --quiet -q -s".split()
)
BUN_SETTINGS = frozenset(("--registry",))
NPM_VALUES = frozenset("--registry --userconfig --cache --loglevel -p --package".split())
_NPM_FLAGS = frozenset(
    "-y --yes -q --quiet -s --silent --prefer-offline --prefer-online --offline --ignore-scripts --no-audit"
    " --no-fund --no-update-notifier".split()
)
_NPX = _Grammar(Wrapper.NPM, _NPM_FLAGS, NPM_VALUES, frozenset(("-p", "--package")), ends=True)
_NPM_EXEC = evolve(_NPX, reads_on=True)
_UVX = _Grammar(
    Wrapper.UV,
    frozenset(
        "-q --quiet -v --verbose --isolated --offline --no-progress --native-tls --system-certs --no-config --no-index"
        " --managed-python --no-managed-python --no-python-downloads --compile-bytecode".split()
    ),
    frozenset(
        "--from --with -w -p --python -i --index-url --index --default-index --extra-index-url --prerelease"
        " --resolution --exclude-newer --index-strategy --keyring-provider --cache-dir --link-mode --color".split()
    ),
    frozenset(("--from",)),
    ends=True,
)
_PIPX = _Grammar(
    Wrapper.PIPX,
    frozenset("-q --quiet -v --verbose --no-path-check --skip-maintenance".split()),
    frozenset("--spec --python --index-url -i".split()),
    frozenset(("--spec",)),
)
_BUNX = _Grammar(
    Wrapper.BUN,
    frozenset("-y --yes --silent --verbose --ignore-scripts".split()),
    frozenset("-p --package --registry".split()),
    frozenset(("-p", "--package")),
)
HEADS: dict[tuple[str, ...], _Grammar] = {
    ("npx",): _NPX,
    ("npm", "exec"): _NPM_EXEC,
    ("npm", "x"): _NPM_EXEC,
    ("uvx",): _UVX,
    ("uv", "tool", "run"): _UVX,
    ("pipx", "run"): _PIPX,
    ("bunx",): _BUNX,
    ("bun", "x"): _BUNX,
}
"""The grammar of each runner, by the words of its command."""
