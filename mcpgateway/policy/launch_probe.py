"""The effect of a package runner on the programs it starts, as a probe in the place of the server reports it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from mcpgateway.policy.runners import BINARY, EXACT, Wrapped, Wrapper

PROBE_MARK = "mcpgateway-probe:"  # begins the line of the probe's report
SCRIPT_SHELL = "npm_config_script_shell"  # the shell by which npm starts every program
_PASSING = frozenset(("_", "SHLVL", "PWD", "OLDPWD", "LC_CTYPE", "__CF_USER_TEXT_ENCODING"))
_NODE_NAMES = ("npm_", "NODE", "INIT_CWD", "COLOR", "EDITOR")
_SET_BY: dict[Wrapper, tuple[str, ...]] = {
    Wrapper.NPM: _NODE_NAMES,
    Wrapper.BUN: _NODE_NAMES,
    Wrapper.UV: ("UV", "VIRTUAL_ENV"),
    Wrapper.PIPX: ("PIP_", "PIPX_", "VIRTUAL_ENV"),
}
_CLEARED_BY: dict[Wrapper, tuple[str, ...]] = {Wrapper.PIPX: ("PYTHON", "__PYVENV_LAUNCHER__", "PIP_")}
_DECIDING = re.compile(r"(?i:npm_config_)|NODE|UV_|PIP|BUN_|XDG_|PYTHON|VIRTUAL_ENV$|HOME$")
_SECRET = re.compile(r"(?i)auth|token|passw|secret|_key$|otp$")
_CREDENTIAL = re.compile(r"://[^/\s]*@")
_PEP_440 = re.compile(
    r"(?:\d+!)?\d+(?:\.\d+)*(?:(?:a|b|rc)\d+)?(?:\.post\d+)?(?:\.dev\d+)?(?:\+[\w.]+)?", re.ASCII
)


class Doubt(Exception):
    """The package runner cannot be replaced safely, so its entry is run as written; the text says why."""


@frozen
class RunnerEnvironment:
    """The variables that a runner adds to a program's environment.

    :ivar path: the directories that it puts in front of ``PATH``, with the colon at the end.
    :ivar added: variables that it sets.
    :ivar removed: variables that it removes.
    """

    path: str = ""
    added: Mapping[str, str] = field(factory=dict, repr=False)
    removed: tuple[str, ...] = ()

    def applied(self, env: Mapping[str, str]) -> dict[str, str]:
        """Return an environment as the runner would have passed it on."""
        remaining = {name: value for name, value in env.items() if name not in self.removed}
        return {**remaining, **self.added, "PATH": self.path + env["PATH"]}


@frozen
class ProbeReport:
    """The circumstances of a probe's start.

    :ivar argv: its arguments.
    :ivar env: its environment.
    :ivar executable: the interpreter of the probe's script.
    :ivar kib: the memory that the runner took meanwhile, in KiB.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(repr=False)
    executable: str
    kib: int


def read_probe(output: str) -> ProbeReport:
    """Return the report of the probe in the output of its runner.

    :raise Doubt: the probe was not started, or its report is malformed.
    """
    for line in output.splitlines():
        if line.startswith(PROBE_MARK):
            try:
                members = json.loads(line[len(PROBE_MARK) :])
                return ProbeReport(
                    tuple(members["argv"]),
                    dict(members["env"]),
                    str(members["executable"]),
                    int(members["kib"]),
                )
            except (ValueError, KeyError, TypeError) as why:
                raise Doubt("what the probe told cannot be read") from why
    raise Doubt("the runner did not start what it was asked to")


def surroundings(wrapper: Wrapper, before: Mapping[str, str], after: Mapping[str, str]) -> RunnerEnvironment:
    """Return the changes of a runner to the environment, without values that may be secrets.

    :raise Doubt: the runner makes changes that are not understood.
    """
    tail = before.get("PATH", "")
    whole = after.get("PATH", "")
    if not tail or not (whole == tail or whole.endswith(f":{tail}")):
        raise Doubt("the runner changes the PATH in a way that is not understood")
    added = {name: value for name, value in after.items() if before.get(name) != value and _counts(name)}
    removed = tuple(sorted(name for name in before if name not in after and _counts(name)))
    for name in added:
        if not name.startswith(_SET_BY[wrapper]):
            raise Doubt(f"the runner sets {name}")
    for name in removed:
        if not name.startswith(_CLEARED_BY.get(wrapper, ("\0",))):
            raise Doubt(f"the runner takes {name} away")
    open_ = {name: value for name, value in added.items() if not _is_secret(name, value)}
    return RunnerEnvironment(whole[: len(whole) - len(tail)], open_, removed)


def _counts(name: str) -> bool:
    return name != "PATH" and name not in _PASSING and name.lower() != SCRIPT_SHELL


def _is_secret(name: str, value: str) -> bool:
    return bool(_SECRET.search(name) or _CREDENTIAL.search(value))


def deciding(env: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the variables other than ``PATH`` that influence which program a runner starts."""
    return sorted((name, value) for name, value in env.items() if _DECIDING.match(name))


def binary_of(wrapped: Wrapped, seen: ProbeReport) -> str:
    """Return the name of the program that the runner starts; empty where only its package has it.

    :raise Doubt: the runner starts no program by its name.
    """
    if wrapped.wrapper is not Wrapper.NPM:
        return wrapped.binary
    # npm gives its shell a line: -c, and the name in quotes.
    line = seen.argv[-1] if seen.argv else ""
    name = line[1:-1] if len(line) > 2 and line[0] == line[-1] and line[0] in "'\"" else line
    if not BINARY.fullmatch(name):
        raise Doubt("npm starts something that is no program of a package")
    return name


def main_binary(manifest: Mapping[str, Any]) -> str:
    """Return the program of a package that is run by the package's name, from its ``package.json``.

    :raise Doubt: the package has no program, or several and none of its own name.
    """
    name, programs = manifest.get("name"), manifest.get("bin")
    if not isinstance(name, str):
        raise Doubt("the package has no name")
    own = name.rpartition("/")[2]
    if isinstance(programs, str):
        return own
    names = [each for each in programs if isinstance(each, str)] if isinstance(programs, dict) else []
    if own in names:
        return own
    if len(names) != 1 or not BINARY.fullmatch(names[0]):
        raise Doubt("the package has several programs and none of its own name")
    return names[0]


def newest(wrapper: Wrapper, output: str) -> str:
    """Return the version in the output of `Wrapped.asking`.

    :raise Doubt: the output is something else.
    """
    if wrapper is not Wrapper.NPM:
        return _version((output.strip().splitlines() or [""])[-1].strip())
    try:
        members = json.loads(output)
        versions = members if isinstance(members, list) else [members]
        latest = str(versions[-1]["dist-tags.latest"])
        found = [str(each["version"]) for each in versions]
    except (ValueError, KeyError, TypeError, IndexError) as why:
        raise Doubt("the registry's answer cannot be read") from why
    return _version(latest if latest in found else found[-1])  # as npm chooses within a range


def is_version(text: str) -> bool:
    """True if a text is one exact version, of npm or of PyPI."""
    return bool(EXACT.fullmatch(text) or _PEP_440.fullmatch(text))


def _version(text: str) -> str:
    if not is_version(text):
        raise Doubt("the registry's answer is no version")
    return text
