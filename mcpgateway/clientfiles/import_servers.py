"""``config import``: the servers of other programs' files, as entries of the gateway's configuration."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from attrs import define, field

from mcpgateway.clientfiles.client_servers import USES_GATEWAY, ClientServersReader
from mcpgateway.clientfiles.files import FileChoice, FileLocation, chosen
from mcpgateway.clientfiles.formats import syntax
from mcpgateway.clientfiles.formats.client_format import EntryKind
from mcpgateway.clientfiles.formats.clients import DIALECTS
from mcpgateway.clientfiles.machine import CUSTOM, Machine
from mcpgateway.config.client import read_client, read_remotes
from mcpgateway.config.document import Document, printable
from mcpgateway.config.edit.edits import MISSING, Edit, Put, at, placed, same
from mcpgateway.config.edit.file_text import edit, in_its_dialect
from mcpgateway.config.entry import SERVER, Entry
from mcpgateway.config.external_values import unasked
from mcpgateway.config.file_format import is_client_file, read_native, read_servers
from mcpgateway.config.merge import depends_on_place
from mcpgateway.config.names import slug
from mcpgateway.config.problems import Problem, Problems, Where
from mcpgateway.config.read import parse
from mcpgateway.config.schema import TOP
from mcpgateway.errors import ConfigError
from mcpgateway.policy.secrets.masking import masked
from mcpgateway.system import files, paths, printing
from mcpgateway.system.config_template import template
from mcpgateway.system.settings import FILE_LIMIT, LoadOptions, config_file
from mcpgateway.system.write_back import write_back

FULL = "full"
PASSED_OVER = "A setting of other clients"
NOTHING = "means nothing to the gateway"
SECTIONS = ("gateway", "profiles", "workspaces")


@define
class ImportedServers:
    """The servers and sections that were found in other files.

    :ivar servers: entries of the gateway's form and their places, by name.
    :ivar sections: members of the sections that are not servers.
    :ivar added: the names of the servers that are new to the gateway's file, once known.
    :ivar added_sections: the same for members of sections.
    :ivar machine: this machine, whose gateway's URLs are no servers to import.
    """

    machine: Machine
    problems: Problems = field(factory=Problems)
    servers: dict[str, tuple[dict[str, Any], Where]] = field(factory=dict)
    sections: dict[tuple[str, str], Any] = field(factory=dict)
    added: list[str] = field(factory=list)
    added_sections: list[tuple[str, str]] = field(factory=list)


def take_over(
    options: LoadOptions,
    environ: Mapping[str, str],
    named: Sequence[str],
    *,
    into: str | None,
    is_dry: bool,
    where: Callable[[], str] = str,
) -> int:
    """Write the servers of files into the gateway's configuration; 1 where a file could not be read.

    :param where: returns the nodes of a cluster at which an edit of the configuration counts, as a sentence.
    :raise ConfigError: the configuration cannot be changed.
    """
    target = paths.absolute(into, environ) if into else config_file(options, environ)
    haul = ImportedServers(Machine(paths.gateway_home(environ, options.home or None), environ))
    for each in named:
        _read(paths.absolute(each, environ), haul)
    taken: list[str] = []

    def changed(text: str) -> str:
        taken.clear()
        before = text or ("" if target.endswith(".json") else template().decode())
        return _with(before, target, haul, taken)

    if is_dry:
        changed(_text_of(target))
        printing.put_text(_added(target, haul))
    elif haul.servers or haul.sections:
        _make_directory(target, haul.machine.home)
        write_back(target, changed)
        if not into and (haul.added or haul.added_sections) and (nodes := where()):
            taken.append(nodes)
    stream = sys.stderr if is_dry else sys.stdout
    printing.put(*taken, *_left(haul), to=stream)
    return 1 if haul.problems.errors else 0


def _left(haul: ImportedServers) -> Iterator[str]:
    """Iterate over the settings that were not imported, with the reason; each place once."""
    nothing = {each.where for each in haul.problems if each.found == NOTHING}
    for each in haul.problems:
        if each.is_error:
            yield f"error: {each}"
        elif each.found == NOTHING or each.where not in nothing:
            yield f"not carried over: {each}"
    if not (haul.servers or haul.sections or haul.problems.errors):
        yield "there was no server to take over"


def _text_of(target: str) -> str:
    try:
        return files.read_text(target, FILE_LIMIT)
    except FileNotFoundError:
        return ""


def _added(target: str, haul: ImportedServers) -> str:
    """Return the additions to a file in its own format, without secrets."""
    file = "added.json" if target.endswith(".json") else "added.yaml"
    text = ""
    for name in haul.added:
        text = edit(text, file, Put(("servers", name), masked(haul.servers[name][0])))
    for section, key in haul.added_sections:
        text = edit(text, file, Put((section, key), masked(haul.sections[section, key], key)))
    return text


def _make_directory(target: str, home: str) -> None:
    if os.path.dirname(target) == home:
        files.make_home(home)


# Reading


def _read(path: str, haul: ImportedServers) -> None:
    try:
        text = files.read_text(path, FILE_LIMIT)
        site = chosen(FileChoice(file=path), haul.machine.environ, haul.machine.records)[0]
        if _read_theirs(text, site, haul):
            return
        document = _as_ours(text, path)
    except FileNotFoundError:
        haul.problems.error(Where(path), "there is no such file")
        return
    except ConfigError as why:
        haul.problems.catch(why, path)
        return
    own = Problems()
    entries: Sequence[Entry]
    if is_client_file(document):
        entries = _of_a_client(document, own, haul)
        _tell_rest(document, ("mcpServers", "servers", "mcp", "projects"), haul)
    else:
        entries = read_servers(read_native([document], own), own)
        _take_sections(document, haul)
    # Most unknown keys there are no mistakes: the program that the file belongs to knows them.
    haul.problems.soften(own, "")
    for entry in entries:
        _take(entry, haul)


def _as_ours(text: str, path: str) -> Document:
    """Read a file that may be the gateway's, or of a client with a similar form."""
    return parse(text, path, strict=False, takes_list=True)


def _read_theirs(text: str, site: FileLocation, haul: ImportedServers) -> bool:
    """Read a file as its client does; true if only a client has such a file."""
    if site.dialect.name == CUSTOM and not _is_only_a_clients(text, site.path):
        return False
    value, base = syntax.read(text, site.path, site.dialect), haul.machine.base
    if not site.dialect.listed(value, base, site.project):
        return False
    record = haul.machine.record_of(site.path)
    is_enrolled = record is not None and not record.suspended
    for entry in ClientServersReader(site.path, site.dialect, base, site.project, is_enrolled).entries(
        value, haul.problems
    ):
        _take(entry, haul)
    return True


def _is_only_a_clients(text: str, path: str) -> bool:
    # TOML, JSON with comments or trailing commas, and keys that the gateway's configuration does not have.
    form = syntax.form_of(path, text)
    if form is syntax.TextForm.TOML:
        return True
    try:
        value = _as_ours(text, path).value
    except ConfigError:
        return form is syntax.TextForm.JSON
    named = {key_path[0] for key_path in DIALECTS[CUSTOM].tables}
    return isinstance(value, dict) and bool(named & value.keys() - TOP.keys.keys())


def _of_a_client(document: Document, problems: Problems, haul: ImportedServers) -> list[Entry]:
    listed = DIALECTS[CUSTOM].listed(document.value, haul.machine.base)
    ours = {each.title: each.key_path for each in listed if each.kind is EntryKind.ENROLLED}
    remotes = [each for each in read_remotes(document, problems) if each.title not in ours]
    found = [*read_client(document, 0, problems).entries, *remotes]
    for title in ours.keys() - {each.title for each in found}:
        place = document.root()
        for step in ours[title]:
            place = place.at(step)
        haul.problems.warn(place.where, USES_GATEWAY)
    return found


def _take(entry: Entry, haul: ImportedServers) -> None:
    place = entry.place
    if place is None:
        return
    name = slug(entry.title)
    found = _native(entry, haul)
    former = haul.servers.get(name)
    if former is not None and not same(former[0], found) and entry.origin.project:
        name = slug(f"{name}-{os.path.basename(entry.origin.project)}")
        former = haul.servers.get(name)
    if former is None:
        haul.servers[name] = (found, place.where)
    elif not same(former[0], found):
        haul.problems.warn(place.where, f"another '{printable(name)}' was taken from {former[1]}")


def _native(entry: Entry, haul: ImportedServers) -> dict[str, Any]:
    place = entry.place
    assert place is not None
    found: dict[str, Any] = {}
    for member in place.members():
        key = SERVER.keys.get(member.key)
        if member.key == "name" or member.value is None:
            continue
        if key is None or key.says.startswith(PASSED_OVER):
            haul.problems.warn(member.where, NOTHING)
        else:
            found[member.key] = member.value
            if not key.is_served:
                haul.problems.warn(member.where, "has no effect in this release, but is kept")
    if "command" in found and entry.argv:
        # The original command of a relay entry stands behind its ``--``.
        found["command"], *rest = entry.argv
        found = {**found, "args": rest} if rest else {k: v for k, v in found.items() if k != "args"}
    directory = _directory(entry) if entry.argv else ""
    if directory:
        found["cwd"] = directory
    if entry.env_policy.is_full and "env_policy" not in found and "command" in found:
        found["env_policy"] = FULL
    taken: dict[str, Any] = unasked(found)
    return taken


def _directory(entry: Entry) -> str:
    cwd = entry.cwd
    if not cwd:
        # A relative path is relative to the directory of the file.
        return entry.origin.project or (entry.origin.directory if depends_on_place(entry) else "")
    if cwd.startswith(("/", "~", "$", "{")):
        return ""
    return os.path.normpath(os.path.join(entry.origin.directory, cwd))


def _take_sections(document: Document, haul: ImportedServers) -> None:
    root = document.root()
    if not isinstance(root.value, dict):
        return
    for section in SECTIONS:
        if isinstance(root.at(section).value, dict):
            for member in root.at(section).members():
                haul.sections.setdefault((section, member.key), unasked(member.value))


def _tell_rest(document: Document, taken: Sequence[str], haul: ImportedServers) -> None:
    # A client's file is full of other things; only keys that seem to concern servers are reported.
    for member in document.root().members():
        if member.key not in taken and ("mcp" in member.key.lower() or "server" in member.key.lower()):
            haul.problems.warn(member.where, NOTHING)


# Writing


def _with(text: str, target: str, haul: ImportedServers, taken: list[str]) -> str:
    """Return the text of the gateway's file with all imported servers and sections that it lacks."""
    former = text
    haul.added.clear()
    haul.added_sections.clear()
    for name, (entry, where) in haul.servers.items():
        held = parse(text, target).value
        new = placed(held, Put((name,), entry))
        there = at(held, new.key_path)
        if there is MISSING or there is None:
            text = edit(text, target, new)
            taken.append(f"{name}: taken from {where}")
            haul.added.append(name)
        elif same(there, entry):
            taken.append(f"{name}: is there already")
        else:
            taken.append(f"{name}: another one is there already, and is kept ({where})")
    for (section, key), value in haul.sections.items():
        if _at(parse(text, target).value, (section, key)) is None:
            change: Edit = Put((section, key), value)
            text = edit(text, target, change)
            taken.append(f"{section}.{key}: taken")
            haul.added_sections.append((section, key))
        else:
            taken.append(f"{section}.{key}: is there already, and is kept")
    made = in_its_dialect(former, text, target)
    _check_use(former, made, target)
    return made


def _check_use(former: str, made: str, target: str) -> None:
    """Check that a file that could be used still can be.

    :raise ConfigError: the additions break it.
    """
    broken = _errors(made, target)
    if broken and not _errors(former, target):
        raise ConfigError(
            f"{broken[0]}; nothing is written, since the configuration could not be used with it"
        )


def _errors(text: str, target: str) -> list[Problem]:
    problems = Problems()
    try:
        read_servers(read_native([parse(text, target, flaws=problems, takes_list=True)], problems), problems)
    except ConfigError as why:
        problems.catch(why, target)
    return problems.errors


def _at(value: Any, key_path: Sequence[str]) -> Any:
    for step in key_path:
        value = value.get(step) if isinstance(value, dict) else None
    return value
