"""Entries that use the gateway, for users who put them into a client's file themselves."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from enum import Enum
from typing import Any

from attrs import frozen

from mcpgateway.clientfiles.enrol_edit import EntryPlan
from mcpgateway.clientfiles.formats import syntax
from mcpgateway.clientfiles.formats.client_format import ClientDialect, ClientEntry, KeyPath
from mcpgateway.clientfiles.formats.clients import DIALECTS
from mcpgateway.clientfiles.formats.locations import user_files
from mcpgateway.clientfiles.formats.rewrite import replace
from mcpgateway.clientfiles.machine import FAIL_OPEN, Machine
from mcpgateway.clientfiles.transaction import FILE_LIMIT
from mcpgateway.config.document import visible
from mcpgateway.config.edit.edits import MISSING
from mcpgateway.discovery.naming import server_hint
from mcpgateway.errors import ConfigError
from mcpgateway.hints import cli
from mcpgateway.system import paths
from mcpgateway.system.files import read_bytes, write_atomic

ALL = "mcpgateway"
"""The name of the one entry for all servers."""
OFF = "disabled"  # the state of a server that is switched off


class SnippetForm(Enum):
    """The way in which an entry uses the gateway."""

    SHIM = "shim"
    PROXY = "proxy"
    HTTP = "http"
    SINGLE = "single"


def form_of(mode: str) -> SnippetForm | None:
    """Return the form of a new entry in a file of a mode; None for a URL where its client takes one."""
    return SnippetForm.SHIM if mode == FAIL_OPEN else None


@frozen
class SnippetRequest:
    """A request for new entries.

    :ivar servers: the names of servers; none means all.
    :ivar form: the form of the entries; None for the one that suits the client: a URL where it takes one.
    """

    dialect: ClientDialect
    servers: tuple[str, ...] = ()
    form: SnippetForm | None = SnippetForm.SHIM

    @property
    def is_single(self) -> bool:
        """True for one entry for all servers."""
        return self.form is SnippetForm.SINGLE


def dialect_of(name: str) -> ClientDialect:
    """Return the client of a name, or of its short form.

    :raise ConfigError: no client has that name.
    """
    names = {"claude": "claude-code"}
    found = DIALECTS.get(names.get(name, name))
    if found is None:
        raise ConfigError(
            f"{visible(name)} is no client that is known; expected one of {', '.join(DIALECTS)}"
        )
    return found


def file_of(dialect: ClientDialect, machine: Machine) -> str:
    """Return the path of the client's file with the servers of its user."""
    places = user_files(dialect, sys.platform, machine.environ, paths.user_home(machine.environ))
    return next((each for each in places if os.path.lexists(each)), places[0] if places else "mcp.json")


def entries(request: SnippetRequest, machine: Machine) -> list[EntryPlan]:
    """Return the requested new entries.

    :raise ConfigError: a server does not exist, or the client cannot have such an entry.
    """
    dialect, form = request.dialect, request.form
    if form is SnippetForm.SINGLE:
        refuse_aggregate(machine)
        return [new_entry(machine, dialect, "", form)]
    chosen = _chosen(request.servers, machine)
    return [new_entry(machine, dialect, name, form, its.project) for name, its in chosen]


def new_entry(
    machine: Machine,
    dialect: ClientDialect,
    name: str,
    form: SnippetForm | None,
    project: str = "",
    table: KeyPath | None = None,
) -> EntryPlan:
    """Return an entry that uses the gateway and is not in the client's file yet.

    :param name: the server's name; "" for the single entry for all servers.
    :param form: the form of the entry; None for a URL where the client takes one.
    :param table: the key path of its table; by default, that of the servers of the client's user.
    :raise ConfigError: the client takes no URL, and the form asks for one.
    """
    fresh = dialect.fresh(name or ALL, table)
    value = value_for(machine, dialect, fresh, name, form, project)
    return EntryPlan(fresh.key_path, fresh.title, MISSING, name, value)


def value_for(
    machine: Machine,
    dialect: ClientDialect,
    listed: ClientEntry,
    name: str,
    form: SnippetForm | None,
    project: str,
) -> Any:
    """Return the value of an entry that leads to a server; its members besides the connection stay.

    :raise ConfigError: the client takes no URL, and the form asks for one.
    """
    if form in (None, SnippetForm.HTTP, SnippetForm.SINGLE):
        with suppress(ConfigError):
            return dialect.by_url(listed, machine.url(name), project=project)
        if form is SnippetForm.HTTP:
            raise ConfigError(f"{dialect.title} takes no URL in its file; use --form shim")
    by = SnippetForm.PROXY if form is SnippetForm.PROXY else SnippetForm.SHIM
    return dialect.by_command(listed, argv(machine, name, by, project))


def argv(machine: Machine, name: str, form: SnippetForm = SnippetForm.SHIM, project: str = "") -> list[str]:
    """Return the command that connects a client to a server, or to all of them where none is named.

    :param project: the directory of the project that the entry is for, or "".
    """
    if not name:
        return machine.command("", (), project)
    *program, _connect, _name, _dashes = machine.command(name, ())
    more = ("--project", project) if project else ()
    return [*program, *(("proxy", "--target") if form is SnippetForm.PROXY else ("connect",)), name, *more]


def refuse_aggregate(machine: Machine) -> None:
    """Check that the gateway serves the endpoint of all servers.

    :raise ConfigError: the gateway that runs does not serve it.
    """
    if not machine.serves_all_at_once:
        raise ConfigError(
            "one entry for all servers uses the endpoint /mcp, which the gateway that runs does not serve;"
            f" use an entry for each server, or {cli('restart')}"
        )


def _chosen(wanted: Sequence[str], machine: Machine) -> list[tuple[str, OfferedServer]]:
    known = served(machine)
    for each in wanted:
        if each not in known:
            raise ConfigError(f"Unknown server: {visible(each)}", server_hint(each, known))
    if not wanted:
        there = [(name, its) for name, its in known.items() if its.is_there_for("")]
        on = [(name, its) for name, its in there if not its.is_off]
        if there and not on:
            raise ConfigError(
                "all servers are switched off, so an entry would lead to none",
                visible(cli("servers enable {}", there[0][0])),
            )
        return on
    return [(name, known[name]) for name in wanted]


def left_out(machine: Machine) -> dict[str, str]:
    """Return the servers of projects, which are printed only by name: the project's directory by the server's name.

    :raise ConfigError: there is no server.
    """
    return {name: its.project for name, its in served(machine).items() if its.project and not its.is_off}


@frozen
class OfferedServer:
    """A server that the gateway offers.

    :ivar source: the file that defines it, in words.
    :ivar project: the directory of the project that it is for; empty for a server of all projects.
    :ivar is_off: it is switched off; clients that name it are refused.
    """

    source: str = ""
    project: str = ""
    is_off: bool = False

    def is_there_for(self, directory: str) -> bool:
        """True if the server is offered to clients in a directory; an empty directory stands for anywhere."""
        if not self.project or not directory:
            return not self.project
        root = os.path.realpath(self.project)
        return os.path.commonpath([root, os.path.realpath(directory)]) == root


def served(machine: Machine) -> Mapping[str, OfferedServer]:
    """Return the servers of the gateway by name; where none runs, those of its configuration.

    :raise ConfigError: there is no server.
    """
    answer = machine.answer
    reported = answer.health.get("backends") if answer is not None else None
    if isinstance(reported, list):
        known = {
            str(each["name"]): OfferedServer(
                str(each.get("source", "")), str(each.get("project", "")), each.get("status") == OFF
            )
            for each in reported
            if isinstance(each, dict)
        }
    else:
        known = {
            each.name: OfferedServer(each.source, each.project, not each.enabled)
            for each in machine.settings.servers
        }
    if not known:
        raise ConfigError(f"there is no server; {cli('config init')} writes a configuration to add some to")
    return known


def text_of(dialect: ClientDialect, file: str, wanted: Iterable[EntryPlan], before: str = "") -> str:
    """Return the text of a client's file with these entries.

    :param before: the present text.
    :raise ConfigError: the text cannot be read, or the entries cannot be put into it.
    """
    empty = dialect.empty
    if empty and empty.partition(":")[0] not in (syntax.read(before, file) or {}):
        before += "\n" * (not before.endswith("\n") and bool(before)) + empty
    text, _ = replace(before, file, [(each.key_path, each.ours) for each in wanted])
    return text


def write(dialect: ClientDialect, file: str, wanted: Iterable[EntryPlan], milliseconds: int) -> str:
    """Put entries into a file, and a copy of the former file beside it; return the copy's path, "" for a new file.

    :raise ConfigError: the file cannot be used, and is unchanged.
    """
    try:
        before = syntax.decoded(read_bytes(file, FILE_LIMIT), file)
    except FileNotFoundError:
        before = None
    after = text_of(dialect, file, wanted, before or "")
    copy = f"{file}.backup.{milliseconds}" if before is not None else ""
    try:
        mode = 0o600
        if copy:
            shutil.copy2(file, copy)
            mode = os.stat(file).st_mode & 0o777
        else:
            os.makedirs(os.path.dirname(os.path.abspath(file)), exist_ok=True)
        write_atomic(file, syntax.encoded(after), mode)
    except OSError as why:
        raise ConfigError(f"{file}: cannot be written: {why.strerror}") from why
    return copy
