"""Values that only the gateway has: those of overlays over entries of clients' files, when these files are restored."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from mcpgateway.cli.console import paragraph, shortened
from mcpgateway.cli.context import Globals
from mcpgateway.cli.files import machine_of
from mcpgateway.clientfiles.files import FileLocation, see
from mcpgateway.clientfiles.formats.client_format import ClientEntry
from mcpgateway.clientfiles.formats.clients import DIALECTS
from mcpgateway.clientfiles.machine import Machine
from mcpgateway.clientfiles.report import FileReport
from mcpgateway.config.document import visible
from mcpgateway.config.edit.change import ENV, HEADERS
from mcpgateway.config.edit.overlays import original_command
from mcpgateway.config.expand import expand
from mcpgateway.config.overlay import read_overlay
from mcpgateway.config.problems import Problems
from mcpgateway.errors import ConfigError

# The keys of an overlay that a client needs to use the server without the gateway.
NEEDED = ("command", "args", "url", "headers", "auth")


def tell(globals_: Globals, files: Iterable[FileReport]) -> None:
    """Print, for each restored entry, the values over it that the client's file lacks, and the command for them."""
    try:
        for line in _lines(machine_of(globals_), files):
            paragraph(line)
    except ConfigError:
        return  # a configuration that cannot be read is told of elsewhere


def _lines(machine: Machine, files: Iterable[FileReport]) -> Iterator[str]:
    lacking: dict[tuple[str, ...], dict[str, None]] = {}
    for each in files:
        entries = _entries(machine, each) if each.restored_entries else {}
        for restored in each.restored_entries:
            entry = entries.get((restored.title, restored.project))
            keys = _lacking(machine, restored.name, entry) if entry is not None else ()
            if keys and restored.title not in each.removed:
                lacking.setdefault((restored.name, *keys), {})[visible(shortened(each.path))] = None
    for (name, *found), paths in lacking.items():
        records = machine.records.files.values()
        is_recorded = any(each.name == name for one in records for each in one.entries.values())
        is_served = name in machine.settings.blueprints
        yield _line(name, found, list(paths), is_served=is_served, is_recorded=is_recorded)


def _entries(machine: Machine, file: FileReport) -> Mapping[tuple[str, str], ClientEntry]:
    site = FileLocation(DIALECTS[file.client], file.path)
    return {(each.title, each.project): each for each in see(site, machine.base).listed}


def _lacking(machine: Machine, name: str, entry: ClientEntry) -> tuple[str, ...]:
    """Return the dotted keys of the overlays over a server whose values an entry has not."""
    world = machine.settings.world
    values = {**world.login, **world.variables, **world.outside} if world is not None else {}
    over: dict[str, Any] = {}
    for each in machine.overlays(name):
        overlay = read_overlay(name, each, Problems())
        if overlay is not None:
            over |= {f"{ENV}.{key}": expand(value, values).text for key, value in overlay.variables.items()}
            over |= {key: overlay.found[key] for key in NEEDED if key in overlay.found}
    held = {f"{ENV}.{key}": value for key, value in entry.program.env.items()} if entry.program else {}
    if isinstance(entry.value, Mapping):
        held |= entry.value
    over, held = _by_header(over), _by_header(held)
    return tuple(key for key, value in over.items() if value != held.get(key))


def _by_header(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return dotted keys and their values with one for each header."""
    found = dict(values)
    if isinstance(headers := found.get(HEADERS), Mapping):
        del found[HEADERS]
        found |= {f"{HEADERS}.{each}": value for each, value in headers.items()}
    return found


def _line(name: str, keys: Sequence[str], paths: Sequence[str], *, is_served: bool, is_recorded: bool) -> str:
    variables = [each.removeprefix(f"{ENV}.") for each in keys if each.startswith(f"{ENV}.")]
    others = [each for each in keys if not each.startswith(f"{ENV}.")]
    listed = ", ".join(map(visible, (*variables, *others)))
    have = "have values" if len(keys) > 1 else "has a value"
    has = f"{visible(name)}: {listed} {have} in the gateway only, which"
    lacks = (
        f"{has} {paths[0]} lacks."
        if len(paths) == 1
        else f"{has} {len(paths)} files lack: {', '.join(paths)}."
    )
    if not is_served:
        return f"{lacks} An editor gives it to the file."
    command = original_command(name, variables, others)
    where = (
        "into these files" if is_recorded else "into the first of them; the others are changed with an editor"
    )
    if len(paths) == 1:
        return f"{lacks} {command} writes {'them' if len(keys) > 1 else 'it'} there."
    return f"{lacks} {command} writes {'them' if len(keys) > 1 else 'it'} {where}."
