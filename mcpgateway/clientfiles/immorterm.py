"""The entries of a crashed immorterm-mcp-gateway in clients' files, and the originals that it has kept.

Its entries are ``http://localhost:PORT/NAME/mcp``, and it keeps the originals in ``~/.immorterm/mcp-gateway``: for
Claude Code in ``config-backup.json`` and a shadow copy, for others in ``config-backup-TOOL.json``, for projects in
``project-backups``.  It restores them when it ends in order; when it is killed, its clients' entries lead to a closed
port.  While it runs it reverts every change of its entries, so they are left alone then.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from attrs import field, frozen

from mcpgateway.clientfiles.enrolment_records import FileRecord
from mcpgateway.clientfiles.files import FileChoice, FileLocation, chosen, see
from mcpgateway.clientfiles.formats import rewrite, syntax
from mcpgateway.clientfiles.formats.client_format import KeyPath, url_of
from mcpgateway.clientfiles.ledger import EditResult
from mcpgateway.clientfiles.machine import Machine
from mcpgateway.clientfiles.report import FileReport, Report, reason
from mcpgateway.clientfiles.transaction import FILE_LIMIT
from mcpgateway.config.document import visible
from mcpgateway.errors import ConfigError
from mcpgateway.hints import cli
from mcpgateway.system import files, paths
from mcpgateway.system.process.procfs import command_of, is_alive

NAME = "immorterm-mcp-gateway"
CLAUDE = ("config-backup.json", "config-backup.shadow.json")
OF_TOOL = re.compile(r"config-backup-(\w+)\.json")
PROJECTS = "project-backups"
STAMP: KeyPath = ("_mcp_gateway_ts",)  # which it writes beside the servers, and never removes
ITS_URL = re.compile(r"http://localhost:(\d+)/([^/?#]+)/mcp")
# Its names of clients, where they differ from the names here.
TOOLS = {"claude": "claude-code"}
ENDS_IT = f"{NAME} stop restores its clients' files; then {cli('clients apply')} enrols them"


@frozen
class StrandedFile:
    """A client's file with entries of immorterm-mcp-gateway.

    :ivar servers: the originals, by the key paths of its entries.
    """

    site: FileLocation
    servers: Mapping[KeyPath, Any] = field(repr=False)

    @property
    def titles(self) -> tuple[str, ...]:
        """The names of these entries."""
        return tuple(key_path[-1] for key_path in self.servers)


def runs(environ: Mapping[str, str]) -> int:
    """Return the process id of immorterm-mcp-gateway; 0 where it does not run."""
    found = _read(os.path.join(_home(environ), "state.json"))
    pid = found.get("pid")
    if not isinstance(pid, int) or isinstance(pid, bool) or pid <= 0 or not is_alive(pid):
        return 0
    words = " ".join(command_of(pid))
    # It belongs to another process by now, unless its command cannot be read.
    return 0 if words and "immorterm" not in words and "mcp-gateway" not in words else pid


def stranded(machine: Machine) -> tuple[StrandedFile, ...]:
    """Return the files with entries of immorterm-mcp-gateway whose originals are known.

    :raise ConfigError: the ledger cannot be read.
    """
    if not os.path.isdir(_home(machine.environ)):
        return ()
    found = []
    for site, servers in _backups(machine):
        entries = _entries(machine, site, servers)
        if entries:
            found.append(StrandedFile(site, entries))
    return tuple(found)


def left_behind(machine: Machine) -> dict[str, tuple[str, ...]]:
    """Return the titles of the entries that can be restored, by the path of their file; none while that gateway runs.

    :raise ConfigError: the ledger cannot be read.
    """
    return {each.site.path: each.titles for each in _to_restore(machine)}


def _to_restore(machine: Machine) -> tuple[StrandedFile, ...]:
    return () if runs(machine.environ) else stranded(machine)


def restore_stranded(machine: Machine) -> Report:
    """Restore the entries that a crashed immorterm-mcp-gateway has left; none while it runs.

    :raise ConfigError: the ledger cannot be used.
    """
    return Report(tuple(_restored(machine, each) for each in _to_restore(machine)))


def _restored(machine: Machine, each: StrandedFile) -> FileReport:
    site = each.site
    report = FileReport.of(site)

    def edited(text: str, record: FileRecord | None) -> EditResult:
        replacements: list[tuple[KeyPath, Any]] = list(each.servers.items())
        values = syntax.read(text, site.path)
        if isinstance(values, Mapping) and STAMP[0] in values:
            replacements.append((STAMP, None))
        return EditResult(rewrite.replace(text, site.path, replacements)[0], record)

    try:
        machine.ledger.change(site.path, edited, lock=site.lock)
    except FileNotFoundError:
        return report
    except ConfigError as why:
        return FileReport.of(site, error=reason(site, why))
    source = f"what {NAME} has kept"
    return FileReport.of(
        site,
        changed=True,
        rebuilt=dict.fromkeys(each.titles, source),
    )


def _entries(machine: Machine, site: FileLocation, servers: Mapping[str, Any]) -> dict[KeyPath, Any]:
    record = machine.record_of(site.path)
    known = {} if record is None or record.suspended else record.entries
    found = {}
    for each in see(site, machine.base).listed:
        url = ITS_URL.fullmatch(url_of(each.value)) if isinstance(each.value, Mapping) else None
        if url and url[2] == each.title and each.title in servers and each.key_path not in known:
            found[each.key_path] = servers[each.title]
    return found


def _backups(machine: Machine) -> Iterator[tuple[FileLocation, Mapping[str, Any]]]:
    """Iterate over the originals that immorterm-mcp-gateway has kept, by their files."""
    home = _home(machine.environ)
    for servers in (_servers(os.path.join(home, each)) for each in CLAUDE):
        if servers:
            yield from _at((paths.claude_file(machine.environ),), servers, machine)
            break
    for name in _names(home):
        if (tool := OF_TOOL.fullmatch(name)) and (servers := _servers(os.path.join(home, name))):
            yield from _of_tool(tool[1], servers, machine)
    for name in _names(os.path.join(home, PROJECTS)):
        path = os.path.join(home, PROJECTS, name)
        named = _read(path).get("configPath")
        if isinstance(named, str) and (servers := _servers(path)):
            yield from _at((named,), servers, machine)


def _of_tool(
    tool: str, servers: Mapping[str, Any], machine: Machine
) -> Iterator[tuple[FileLocation, Mapping[str, Any]]]:
    clients = _read(os.path.join(_home(machine.environ), "state.json")).get("clients")
    rows = [each for each in clients if isinstance(each, dict)] if isinstance(clients, list) else []
    named = [
        each["configPath"]
        for each in rows
        if each.get("tool") == tool and isinstance(each.get("configPath"), str)
    ]
    if named:
        yield from _at(named, servers, machine)
        return
    with suppress(ConfigError):  # a client that is called otherwise here, or by no name
        for site in chosen(FileChoice((TOOLS.get(tool, tool),)), machine.environ, machine.records):
            yield site, servers


def _at(
    named: Sequence[str], servers: Mapping[str, Any], machine: Machine
) -> Iterator[tuple[FileLocation, Mapping[str, Any]]]:
    for path in named:
        with suppress(ConfigError):  # it is not there any more
            yield chosen(FileChoice(file=path), machine.environ, machine.records)[0], servers


def _servers(path: str) -> dict[str, Any]:
    servers = _read(path).get("servers")
    if not isinstance(servers, dict):
        return {}
    return {name: each for name, each in servers.items() if isinstance(each, dict) and each.get("command")}


def _read(path: str) -> dict[str, Any]:
    with suppress(OSError, ValueError, ConfigError, RecursionError):
        found = json.loads(files.read_text(path, FILE_LIMIT))
        if isinstance(found, dict):
            return found
    return {}


def _names(directory: str) -> list[str]:
    with suppress(OSError):
        return sorted(os.listdir(directory))
    return []


def _home(environ: Mapping[str, str]) -> str:
    return os.path.dirname(paths.immorterm_classification(environ))


def as_json(machine: Machine) -> dict[str, Any]:
    """Return its process and its files, for programs; nothing in it is secret."""
    files = [{"path": each.site.path, "servers": list(each.titles)} for each in stranded(machine)]
    return {"runs": bool(pid := runs(machine.environ)), "pid": pid or None, "files": files}


def in_words(machine: Machine) -> list[str]:
    """Return its process and its files in words, for people."""
    pid = runs(machine.environ)
    what = f"{NAME}, which runs (pid {pid})" if pid else f"{NAME}, which does not run"
    lines = [
        f"{visible(each.site.path)}: {', '.join(map(visible, each.titles))} uses {what}"
        for each in stranded(machine)
    ]
    advice = ENDS_IT if pid else f"{cli('clients apply')} restores its clients' files, and enrols them"
    return [*lines, advice] if lines else []
