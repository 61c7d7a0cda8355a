"""The program of a client's entry: command, arguments, variables and directory, as the client would run it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from attrs import field, frozen

from mcpgateway.clientfiles.formats.variables import LITERAL, Variables
from mcpgateway.config.document import kind, printable
from mcpgateway.errors import ConfigError


@frozen
class Program:
    """The program that a client starts for an entry, with variables as the gateway writes them.

    :ivar command: the program, without `args`.
    :ivar cwd: its directory; "" where the entry names none.
    """

    command: str
    args: tuple[str, ...] = field(default=(), repr=False)
    env: Mapping[str, str] = field(factory=dict, repr=False)
    cwd: str = ""


@frozen
class ProgramKeys:
    """The keys of a client for a program.

    :ivar args: the key of the arguments; "" where the command is a list that holds them.
    :ivar type: the type of a new entry, where it needs one.
    :ivar variables: the variables that the client expands.
    """

    command: str = "command"
    args: str = "args"
    env: str = "env"
    type: str = ""
    variables: Variables = LITERAL

    def command_of(self, argv: Sequence[str]) -> dict[str, Any]:
        """Return the keys that hold a command."""
        if not self.args:
            return {self.command: list(argv)}
        return {self.command: argv[0], self.args: list(argv[1:])}


def argv_of(value: Mapping[str, Any], words: ProgramKeys) -> tuple[str, ...]:
    """Return program and arguments of an entry; () where they are malformed."""
    try:
        return _argv(value, words)
    except ConfigError:
        return ()


def read_program(value: Mapping[str, Any], words: ProgramKeys, project: str = "") -> Program:
    """Read the program of an entry.

    :param project: the directory of the project that the entry is for, or "".
    :raise ConfigError: only the client can run it; the text gives the reason and shows no value.
    """
    argv = _argv(value, words)
    held: Any = value.get(words.command)
    inner: Mapping[str, Any] = held if isinstance(held, Mapping) else value
    env = _env(inner.get(words.env), words.env)
    # A server gets the variables of its client's environment from the login environment.
    _texts(value.get("env_vars") or (), "env_vars")
    missing = [each for each in _texts(value.get("env_keys") or (), "env_keys") if each not in env]
    if missing:
        raise ConfigError(f"its client keeps the value of {printable(missing[0])} in a store of its own")
    if value.get("envFile"):
        raise ConfigError("its client reads its variables from a file (envFile)")
    cwd = value.get("cwd") or ""
    if not isinstance(cwd, str):
        raise ConfigError(f"its cwd is {kind(cwd)}, not text")
    fill = partial(words.variables.translated, project=project)
    command, *args = map(fill, argv)
    cwd = fill(cwd)
    if not project and _is_relative(cwd):
        raise ConfigError("its cwd is relative to the directory that its client happens to run in")
    return Program(command, tuple(args), {key: fill(each, is_env=True) for key, each in env.items()}, cwd)


def _is_relative(path: str) -> bool:
    # A path that begins with a variable counts as absolute; an escaped text does not.
    return bool(path) and (not path.startswith(("/", "~", "$", "{env:")) or path.startswith("${:-"))


def _argv(value: Mapping[str, Any], words: ProgramKeys) -> tuple[str, ...]:
    command: Any = value.get(words.command)
    args: Any = value.get(words.args) if words.args else None
    if isinstance(command, Mapping):
        # An older form of Zed has all keys below one.
        command, args = command.get("path"), command.get("args")
    if command is None or command in ("", []):
        raise ConfigError(f"it has neither a {words.command} nor a URL")
    argv = _texts(command if isinstance(command, list) else [command], words.command)
    return argv + _texts([] if args is None else args, words.args)


def _texts(value: Any, key: str) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        raise ConfigError(f"its {key} is {kind(value)}, not a list")
    return tuple(_text(each, key) for each in value)


def _text(value: Any, key: str) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return value
        case int() | float():
            return str(value)
        case _:
            raise ConfigError(f"there is {kind(value)} in its {key}, where text belongs")


def _env(value: Any, key: str) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ConfigError(f"its {key} is {kind(value)}, not a mapping")
    return {name: _text(each, key) for name, each in value.items() if each is not None}
