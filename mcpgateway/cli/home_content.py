"""The user's own work in the gateway's home, by names: it is lost with the home, since no other file has it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from mcpgateway.cli.console import paragraph, shortened
from mcpgateway.clientfiles.machine import Machine
from mcpgateway.config.document import Document, visible
from mcpgateway.config.dotenv import statements
from mcpgateway.config.file_format import SERVER_KEYS, Native, read_native
from mcpgateway.config.problems import Problems
from mcpgateway.errors import ConfigError
from mcpgateway.system import approvals, files, home_files
from mcpgateway.system.removed_servers import DIRECTORY
from mcpgateway.system.token_files import TokenFiles

FILE_LIMIT = 20 * 1_048_576
WORDS = {
    "servers": "servers of the gateway's own configuration",
    "changes": "changes of clients' servers",
    "settings": "settings of the gateway",
    "values": "values in .env",
    "sign_ins": "sign-ins at servers",
    "tokens": "tokens of agents",
    "approvals": "approved files",
    "removed": "definitions of removed servers",
}
WITH_NAMES = ("env", "environment", "headers")  # keys whose members have names of the user's own
REMOVED = re.compile(r"[^-]+-(.*)\.json")  # the time, and the name of the server


def content_of(machine: Machine) -> dict[str, list[str]]:
    """Return the names of the things that only the home holds, by their kinds; what cannot be read is left out."""
    home = machine.home
    found = {
        **_configured(machine),
        "values": _values(f"{home}/.env"),
        "sign_ins": list(_sign_ins(f"{home}/grants")),
        "tokens": _tokens(home),
        "approvals": _approved(home),
        "removed": [
            name[1] for each in home_files.names(f"{home}/{DIRECTORY}") if (name := REMOVED.fullmatch(each))
        ],
    }
    return {kind: list(dict.fromkeys(found[kind])) for kind in WORDS if found.get(kind)}


def tell(home: str, content: Mapping[str, list[str]]) -> None:
    """Print the names of the things that only the home holds."""
    paragraph(f"Only {shortened(home)} has these, which are lost when it is removed:")
    for kind, names in content.items():
        paragraph(f"  {WORDS[kind]}: {', '.join(map(visible, names))}")


def _configured(machine: Machine) -> dict[str, list[str]]:
    with suppress(ConfigError):
        own = [each for each in machine.own_files() if each.file.startswith(f"{machine.home}/")]
        native = read_native(own, Problems())
        return {
            "servers": [title for _, title in native.servers],
            "changes": list(_changes(native)),
            "settings": [name for each in own for name in _settings(each)],
        }
    return {}


def _changes(native: Native) -> Iterator[str]:
    for each in native.overlays:
        value = each.place.value if isinstance(each.place.value, Mapping) else {}
        keys = [name for key, held in value.items() for name in _names(key, held)]
        yield f"{each.title} ({', '.join(keys)})"


def _names(key: str, held: Any) -> list[str]:
    if key in WITH_NAMES and isinstance(held, Mapping | list):
        return [f"{key}.{str(each).partition('=')[0]}" for each in held]
    return [key]


def _settings(document: Document) -> Iterator[str]:
    for key, held in document.value.items() if isinstance(document.value, Mapping) else ():
        if key not in SERVER_KEYS:
            yield from (f"{key}.{each}" for each in held) if isinstance(held, Mapping) else (key,)


def _values(path: str) -> list[str]:
    with suppress(FileNotFoundError, ConfigError):
        return [each.name for each in statements(files.read_text(path, FILE_LIMIT), path)]
    return []


def _sign_ins(directory: str) -> Iterator[str]:
    for each in home_files.names(directory):
        with suppress(FileNotFoundError, ConfigError, ValueError, LookupError, TypeError):
            page = json.loads(home_files.read_text(os.path.join(directory, each), FILE_LIMIT))
            if page.get("grant"):
                yield str(json.loads(page["key"])[0])


def _tokens(home: str) -> list[str]:
    with suppress(ConfigError):
        return [each.name for each in TokenFiles(home).agents()]
    return []


def _approved(home: str) -> list[str]:
    with suppress(ConfigError):
        return [shortened(each) for each in approvals.read(home)]
    return []
