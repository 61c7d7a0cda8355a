"""Names for the servers of clients' files in the gateway's URLs, before the gateway has read these files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import evolve, field, frozen

from mcpgateway.clientfiles.formats.client_format import ClientDialect, ClientEntry, Program
from mcpgateway.clientfiles.formats.remote import remote_of
from mcpgateway.config.document import Document, Place
from mcpgateway.config.entry import Entry, Origin, Scope, read_program, read_server
from mcpgateway.config.environment import FULL
from mcpgateway.config.merge import Blueprint, names_of
from mcpgateway.config.problems import Problem, Problems
from mcpgateway.config.resolve import ServerBuilder, World
from mcpgateway.config.settings import Settings
from mcpgateway.errors import ConfigError

# After every file that the gateway reads already.
LAST_RANK = 1000


@frozen
class UnnamedServer:
    """A server of a client's file that needs a name.

    :ivar directory: the directory to which its relative paths are relative.
    :ivar project: the directory of the project that it is for, or "".
    :ivar dialect: the form of its file; None where the server is a program.
    """

    listed: ClientEntry = field(repr=False)
    directory: str
    project: str = ""
    dialect: ClientDialect | None = None


@frozen
class ServerNaming:
    """The name of a server, or the reason why it cannot be served.

    :ivar name: the name; "" where it cannot be served.
    :ivar why: the reason; nothing in it is secret.
    """

    name: str = ""
    why: str = ""


def named(settings: Settings, newcomers: Sequence[UnnamedServer]) -> tuple[ServerNaming, ...]:
    """Return a name for each server, in order: equal definitions of one title share one, and present names stay."""
    world = settings.world
    assert world is not None
    known = [_pinned(each) for each in settings.blueprints.values()]
    refused: dict[int, ServerNaming] = {}
    entries: dict[int, Entry] = {}
    for at, each in enumerate(newcomers):
        problems = Problems()
        entry = entry_of(each, problems, LAST_RANK + at)
        if entry is None:
            refused[at] = ServerNaming(why=_why(problems))
        else:
            entries[at] = entry
    names = names_of([*known, *entries.values()], world)[len(known) :]
    room = settings.gateway.limits.servers - len(settings.blueprints)
    new: set[str] = set()
    found: dict[int, ServerNaming] = {}
    for (at, entry), name in zip(entries.items(), names, strict=True):
        if name not in settings.blueprints:
            new.add(name)
        found[at] = _checked(name, entry, world) if len(new) <= room else _crowded_out(settings)
    return tuple(found.get(at) or refused[at] for at in range(len(newcomers)))


def entry_of(newcomer: UnnamedServer, problems: Problems, rank: int = 0) -> Entry | None:
    """Return an entry of a client's file as the gateway reads it; None where the gateway could not run it."""
    listed = newcomer.listed
    project = listed.project or newcomer.project
    scope = Scope.PROJECT if project else Scope.USER
    origin = Origin(scope, "", project or newcomer.directory, project=project, env_policy=FULL, rank=rank)
    if listed.program is not None:
        return read_program(_document(listed.title, value_of(listed.program)), origin, problems)
    assert newcomer.dialect is not None
    try:
        definition = remote_of(newcomer.dialect, listed, newcomer.project)
    except ConfigError as why:
        problems.catch(why, "", "")
        return None
    return read_server(listed.title, _document(listed.title, definition), origin, problems)


def _document(title: str, value: Mapping[str, Any]) -> Place:
    return Document("", {title: value}, lambda _path: 0).root().at(title)


def value_of(program: Program) -> dict[str, Any]:
    """Return a program in the keys that most clients use."""
    value: dict[str, Any] = {"command": program.command, "args": list(program.args)}
    if program.env:
        value["env"] = dict(program.env)
    if program.cwd:
        value["cwd"] = program.cwd
    return value


def program_of(blueprint: Blueprint) -> Program | None:
    """Return the program of a server of the configuration as a client would run it; None where it is no program."""
    entry = blueprint.entry
    if not entry.argv:
        return None
    env: Mapping[str, str] = entry.env
    return Program(entry.argv[0], tuple(entry.argv[1:]), dict(env), entry.cwd)


def _pinned(blueprint: Blueprint) -> Entry:
    return evolve(blueprint.entry, enrolled_as=blueprint.name)


def _checked(name: str, entry: Entry, world: World) -> ServerNaming:
    building = ServerBuilder(name, entry, world, is_draft=True)
    building.server()
    return ServerNaming(why=_why(building.problems)) if building.problems.errors else ServerNaming(name)


def _crowded_out(settings: Settings) -> ServerNaming:
    return ServerNaming(why=f"gateway.limits.servers allows {settings.gateway.limits.servers}")


def _why(problems: Iterable[Problem]) -> str:
    found = next((each for each in problems if each.is_error), None)
    if found is None:
        return "it cannot be served"
    # Without the place: the reader of the file names it, and no line of the file is known here.
    text = f"found {found.found}; expected {found.allowed}" if found.allowed else found.found
    return f"{text}; {found.hint}" if found.hint else text
