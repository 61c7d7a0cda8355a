"""The files for agents that a client is to have, with their texts."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from typing import Any

from attrs import field, frozen

from mcpgateway import __version__
from mcpgateway.clientfiles.files import FileChoice, chosen, see
from mcpgateway.clientfiles.formats.client_format import EntryKind
from mcpgateway.clientfiles.formats.clients import DIALECTS, WHO_CALLS
from mcpgateway.clientfiles.instructions.agents import CLAUDE, PLUGIN, clients, has_plugin
from mcpgateway.clientfiles.instructions.texts import SERVERS, commands, instructions, server_command
from mcpgateway.clientfiles.machine import PROGRAM, Machine
from mcpgateway.errors import ConfigError
from mcpgateway.system.files import read_text

IMPORTED = "AGENTS.md"
NAME_LIMIT = 65_536  # of the file in which an import is looked for
DESCRIPTION = "The MCP servers of this machine, shared through mcpgateway"


@frozen
class InstalledTexts:
    """The texts that a client's agents are to have.

    :ivar client: the client's name, or that of the plugin.
    :ivar project: the directory of the project that they are for; empty for all of the user's.
    :ivar template: the text of a file for each server; None where there are none, empty for the usual text.
    """

    client: str
    project: str = ""
    template: str | None = field(default=None, repr=False)


@frozen
class WantedText:
    """A file for agents.

    :ivar text: the whole text; None for the block, which depends on all clients that read the file.
    :ivar front: the beginning of a new file with a block.
    :ivar clients: the names of the clients that read it.
    :ivar project: the directory of the project that it is for; empty for all of the user's.
    """

    path: str
    text: str | None = field(default=None, repr=False)
    front: str = ""
    clients: frozenset[str] = frozenset()
    project: str = ""


def wanted(machine: Machine, chosen_: InstalledTexts) -> Iterator[WantedText]:
    """Iterate over the files that a client is to have.

    :raise ConfigError: the configuration cannot be used.
    """
    if chosen_.client == PLUGIN:
        yield from _plugin(machine)
        return
    client, root, environ = clients()[chosen_.client], chosen_.project, machine.environ
    places = client.places(root)
    block = places.block(root, environ)
    if block:
        yield WantedText(_imported(block), front=places.front)
    if not places.commands:
        return
    for each in commands(kind_of(machine, client.name, root)):
        yield WantedText(places.command(each.name, root, environ), client.form.text(each))
    for name in _servers(machine, root) if chosen_.template is not None else ():
        command = server_command(name, machine.url(name), chosen_.template or "")
        yield WantedText(
            places.command(command.name, root, environ), client.form.text(command, is_of_server=True)
        )


def block_of(machine: Machine, names: frozenset[str], project: str) -> str:
    """Return the block of a file that these clients read.

    :raise ConfigError: the configuration cannot be used.
    """
    kinds = {kind_of(machine, each, project) for each in names}
    return instructions(machine.port, kinds or {machine.gateway.views.expose.value, SERVERS})


def kind_of(machine: Machine, client: str, project: str) -> str:
    """Return the kind of endpoint that a client uses; see `mcpgateway.clientfiles.instructions.texts.KINDS`."""
    if client == PLUGIN or (client == CLAUDE and has_plugin(machine.environ)):
        return machine.gateway.views.expose.value
    choices = [FileChoice((client,)), *([FileChoice((client,), project)] if project else [])]
    for choice in choices if client in DIALECTS else ():
        with suppress(ConfigError):  # the project has no file of this client
            sites = chosen(choice, machine.environ, machine.records)
            seen = chain.from_iterable(see(each, machine.base).listed for each in sites)
            if any(each.kind is EntryKind.ENROLLED and not each.served for each in seen):
                return machine.gateway.views.expose.value
    return SERVERS


def _servers(machine: Machine, project: str) -> list[str]:
    return [
        each.name
        for each in machine.settings.servers
        if each.enabled and (not each.project or each.project == project)
    ]


def _imported(path: str) -> str:
    # Claude Code reads the file that its own imports, and the block is to be read once.
    with suppress(FileNotFoundError, ConfigError):
        words = read_text(path, NAME_LIMIT).split()
        for each in ("", "./", "../"):
            file = os.path.normpath(os.path.join(os.path.dirname(path), each, IMPORTED))
            if f"@{each}{IMPORTED}" in words and os.path.isfile(file):
                return file
    return path


def _plugin(machine: Machine) -> Iterator[WantedText]:
    """Iterate over the files of the plugin of Claude Code, which is a marketplace with itself in it."""
    about = {"name": PROGRAM, "description": DESCRIPTION}
    entry = {"type": "http", "url": machine.url(""), "headersHelper": WHO_CALLS}
    program, *options = machine.command("", ())
    ends = shlex.join([program, *options[:-1], "sessions", "kill", "--pid"])
    # The process id is that of Claude Code, as the entry sends it with each request.
    hook = {"type": "command", "command": f'{ends} "$PPID" >/dev/null 2>&1 || true'}
    files: dict[str, Any] = {
        ".claude-plugin/plugin.json": {**about, "version": __version__},
        ".claude-plugin/marketplace.json": {
            "name": PROGRAM,
            "owner": {"name": PROGRAM},
            "plugins": [{**about, "source": "./"}],
        },
        ".mcp.json": {"mcpServers": {PROGRAM: entry}},
        "hooks/hooks.json": {"description": "Ends sessions", "hooks": {"SessionEnd": [{"hooks": [hook]}]}},
    }
    root = plugin_directory(machine)
    for name, value in files.items():
        yield WantedText(os.path.join(root, name), json.dumps(value, indent=2) + "\n")
    for each in commands(kind_of(machine, PLUGIN, "")):
        short = each.name.removeprefix("gateway-")
        yield WantedText(f"{root}/commands/{short}.md", clients()[CLAUDE].form.text(each))


def plugin_directory(machine: Machine) -> str:
    """Return the directory of the plugin."""
    return os.path.join(machine.home, PLUGIN)
