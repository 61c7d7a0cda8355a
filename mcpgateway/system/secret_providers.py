"""Fetch the values that come from outside of all files: by running programs, and from the keyring.

Fetching blocks, for ten seconds at most for each of a few at a time: it is done before the gateway starts, and in a
thread when files have changed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING

from mcpgateway.config.external_values import COMMAND, ExternalValue, command_of, service_of
from mcpgateway.config.problems import Problems
from mcpgateway.system import paths
from mcpgateway.units import duration

if TYPE_CHECKING:
    from subprocess import Popen

LIMIT_S = 10.0
LIMIT_BYTES = 65_536
AT_ONCE = 8
INSTALL = "pip install 'mcpgateway[keyring]'"
# In a program of its own: libraries that talk to a desktop do not belong into a daemon.
KEYRING_PROGRAM = """\
import sys, keyring
from keyring.errors import KeyringLocked, NoKeyringError
try:
    found = keyring.get_password(*sys.argv[1:])
except NoKeyringError:
    sys.exit(101)
except KeyringLocked:
    sys.exit(102)
if found is None:
    sys.exit(103)
sys.stdout.buffer.write(found.encode())
"""
NONE: Mapping[int, str] = {}
REASONS = {
    101: "there is no keyring here",
    102: "the keyring is locked",
    103: "the keyring has no such entry",
}


class MissingValue(Exception):
    """A provider has no value; the text says why, and shows no secret."""


class ProvidedValues:
    """The values that were fetched, for as long as they are used.

    :ivar values: the values by name, such as ``keyring:service/name``.
    :ivar failures: the reasons why the latest fetch of values failed, by name.
    :param surroundings: returns the environment in which programs are run.
    """

    def __init__(self, surroundings: Callable[[], Mapping[str, str]], limit_s: float = LIMIT_S) -> None:
        self.values: Mapping[str, str] = {}
        self.failures: Mapping[str, str] = {}
        self._surroundings = surroundings
        self._limit_s = limit_s

    def __repr__(self) -> str:
        """Return the number of values, and none of them."""
        return f"<Brought, {len(self.values)} values>"

    def lacks(self, names: Iterable[str]) -> bool:
        """True if one of these was never fetched."""
        return any(each not in self.values and each not in self.failures for each in names)

    def tell(self, wanted: Iterable[ExternalValue], problems: Problems) -> None:
        """Report the values that could not be fetched: an error, or a warning where a former value remains."""
        for each in wanted:
            why = self.failures.get(each.name)
            if why and each.name in self.values:
                problems.warn(each.where, why, "what it was before counts on")
            elif why:
                problems.error(each.where, why)

    def fetch(self, names: Iterable[str]) -> None:
        """Fetch all of these anew, and drop all others; a value whose fetch fails keeps its former one. It blocks."""
        from concurrent.futures import ThreadPoolExecutor

        wanted = tuple(dict.fromkeys(names))
        env = self._surroundings()
        values: dict[str, str] = {}
        failures: dict[str, str] = {}

        def ask(name: str) -> None:
            try:
                values[name] = _asked(name, env, self._limit_s)
            except MissingValue as why:
                failures[name] = str(why)
                if name in self.values:
                    values[name] = self.values[name]

        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(ask, wanted))
        self.values, self.failures = values, failures


def _asked(name: str, env: Mapping[str, str], limit_s: float) -> str:
    if name.startswith(COMMAND):
        return _printed(command_of(name), env, limit_s, "the command of ${cmd:…}")
    from importlib.util import find_spec

    if find_spec("keyring") is None:
        raise MissingValue(
            f"the keyring is asked through the package keyring, which is not installed: {INSTALL}"
        )
    argv = (sys.executable, "-P", "-c", KEYRING_PROGRAM, *service_of(name))
    return _printed(argv, env, limit_s, "the keyring", REASONS)


def _printed(
    argv: tuple[str, ...],
    env: Mapping[str, str],
    limit_s: float,
    what: str,
    reasons: Mapping[int, str] = NONE,
) -> str:
    """Return the output of a program, without the end of its last line; its stderr may hold a secret, and is not shown.

    :param reasons: the meanings of its exit codes.
    """
    import subprocess

    try:
        program = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=dict(env),
            cwd=paths.user_home(env),
            start_new_session=True,
        )
    except (OSError, ValueError) as why:
        raise MissingValue(f"{what} cannot be started: {getattr(why, 'strerror', None) or 'NUL'}") from None
    with program:
        try:
            data = _read(program, monotonic() + limit_s)
        except subprocess.TimeoutExpired:
            _end(program)
            raise MissingValue(f"{what} took longer than {duration(limit_s)}, and was ended") from None
        if len(data) > LIMIT_BYTES:
            _end(program)
            raise MissingValue(f"{what} has printed more than {LIMIT_BYTES} bytes, and was ended")
    if program.returncode:
        known = reasons.get(program.returncode)
        raise MissingValue(known or f"{what} has failed with exit code {program.returncode}")
    try:
        text = data.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise MissingValue(f"{what} has printed something that is no UTF-8 text") from None
    if not text:
        raise MissingValue(f"{what} has printed nothing")
    return text


def _read(program: Popen[bytes], ends: float) -> bytes:
    """Return a program's output, or the beginning of it where it is too long."""
    from selectors import EVENT_READ, DefaultSelector
    from subprocess import TimeoutExpired

    assert program.stdout is not None
    data = b""
    with DefaultSelector() as selector:
        selector.register(program.stdout, EVENT_READ)
        while len(data) <= LIMIT_BYTES:
            if not selector.select(max(0.0, ends - monotonic())):
                raise TimeoutExpired("", 0)
            piece = os.read(program.stdout.fileno(), LIMIT_BYTES)
            if not piece:
                break
            data += piece
    if len(data) <= LIMIT_BYTES:
        program.wait(max(0.0, ends - monotonic()))
    return data


def _end(program: Popen[bytes]) -> None:
    """End a program that was not waited for yet, so that its pid is still its own, with its children."""
    from signal import SIGKILL

    with suppress(ProcessLookupError, PermissionError):
        os.killpg(program.pid, SIGKILL)
