"""The remedy for a server's program that is not there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from itertools import takewhile

from mcpgateway.hints import cli
from mcpgateway.policy.readiness import Remedy

# Installers put programs of a user there; a shell that was started after the gateway may have them on its PATH.
OF_USERS = (".local/bin", ".cargo/bin", ".bun/bin", ".deno/bin", "bin")
COMES_WITH = {
    "npx": "Node.js",
    "npm": "Node.js",
    "node": "Node.js",
    "uvx": "uv (https://docs.astral.sh/uv)",
    "uv": "uv (https://docs.astral.sh/uv)",
    "bunx": "Bun",
    "bun": "Bun",
    "deno": "Deno",
    "docker": "Docker",
    "podman": "Podman",
    "python": "Python (many systems only have python3)",
    "pipx": "pipx",
}
"""The software whose installation brings these programs."""

USUAL = (*COMES_WITH, "python3", "java", "go", "dotnet", "ruby", "php")
"""The programs with which entries of servers begin."""

SLIP = 2  # letters that may differ


def remedy(
    program: str, env: Mapping[str, str], cwd: str, server: str = "", *, is_of_client: bool = False
) -> Remedy:
    """Return the remedy for a program that does not exist.

    :param env: the variables of the server, with the PATH on which its program was looked up.
    :param server: the name of the server; empty for one that no configuration has.
    :param is_of_client: the command stands in a client's file, which is the place to correct it.
    """
    place = place_beside(program, env)
    if place:
        do = f"{program} is in {place}, which the gateway's PATH lacks; restart it from a shell that finds the program"
        return Remedy(do, cli("restart"))
    if meant := _meant(program, env.get("PATH", os.defpath), cwd):
        if not server:
            return Remedy(f"did you mean {meant}?")
        do, plain = (
            f"did you mean {meant}? Correct the entry",
            cli("servers set {} command={}", server, meant),
        )
        return Remedy(
            do, cli("servers set {} command={} --original", server, meant) if is_of_client else plain
        )
    what, name = _install(program), os.path.basename(program)
    if not server:
        return Remedy(f"{what}, or name it by its path, which the shell's command -v {name} prints")
    if "/" in program:
        return Remedy(f"{what} there, or put the right path into the entry", cli("servers edit {}", server))
    do = f"{what}; if your shell finds it (command -v {name}), put the path that it prints into the entry"
    return Remedy(do, cli("servers edit {}", server))


def place_beside(program: str, env: Mapping[str, str]) -> str:
    """Return the usual directory for programs of a user that has a program, and that a PATH lacks; empty for none."""
    home, listed = env.get("HOME") or os.path.expanduser("~"), env.get("PATH", os.defpath).split(os.pathsep)
    places = [os.path.join(home, each) for each in OF_USERS if os.path.join(home, each) not in listed]
    found = shutil.which(program, path=os.pathsep.join(places)) if program and "/" not in program else None
    return os.path.dirname(found) if found else ""


def _meant(program: str, path: str, cwd: str) -> str:
    """Return the program that a mistyped one is meant to be, as an entry names it; empty for none."""
    directory, slash, name = program.rpartition("/")
    if slash:
        folder = os.path.join(cwd, directory or "/")
        if near := _nearest(name, _names_in(folder), folder):
            return f"{directory}/{near}"
        return name if name in USUAL and shutil.which(name, path=path) else ""
    if name == "python":
        return "python3" if shutil.which("python3", path=path) else ""
    if name in USUAL:
        return ""  # spelled right, and not installed
    everything = (each for folder in path.split(os.pathsep) for each in _names_in(folder))
    return _nearest(name, USUAL, path) or _nearest(name, everything, path)


def _nearest(name: str, names: Iterable[str], path: str) -> str:
    from difflib import get_close_matches  # needed for a slip of the pen only

    near = {each for each in names if is_slip(name, each) and shutil.which(each, path=path)}
    return "".join(get_close_matches(name, sorted(near), 1, 0))


def is_slip(typed: str, name: str) -> bool:
    """True if one name is mistyped for another: one or two letters too many or too few, another one, or two swapped.

    What is alike is not enough: one package is not meant by the name of another one of the same maker.
    """
    begin = _alike(typed, name)
    one, other = typed[begin:], name[begin:]
    end = _alike(one[::-1], other[::-1])
    one, other = one[: len(one) - end], other[: len(other) - end]
    is_short = max(len(one), len(other)) <= SLIP < min(len(typed), len(name)) + 1
    return is_short and (min(len(one), len(other)) < SLIP or sorted(one) == sorted(other))


def _alike(one: str, other: str) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _names_in(directory: str) -> list[str]:
    with suppress(OSError):
        return os.listdir(directory or ".")
    return []


def _install(program: str) -> str:
    return f"install {COMES_WITH.get(os.path.basename(program), 'it')}"
