"""``servers add --scope project``: an entry in the ``.mcp.json`` of a directory."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

from mcpgateway.clientfiles.reader import read_repository
from mcpgateway.config.document import visible
from mcpgateway.config.edit import permissions
from mcpgateway.config.edit.edits import Put
from mcpgateway.config.edit.file_text import edit
from mcpgateway.config.read import parse
from mcpgateway.errors import ConfigError
from mcpgateway.system import approvals, files, paths
from mcpgateway.system.settings import LoadOptions
from mcpgateway.system.write_back import write_back

FILE = ".mcp.json"
LIST = "mcpServers"
EMPTY = '{\n  "mcpServers": {}\n}\n'
KEYS = ("command", "args", "env", "cwd", "url", "headers", "type")


def add_to_project(
    options: LoadOptions, environ: Mapping[str, str], directory: str, name: str, definition: Mapping[str, Any]
) -> tuple[str, bool]:
    """Write an entry; return the file, and whether the gateway may run its servers.

    A file that was approved, or is new, is approved with the new entry; no other entry is approved along with it.

    :raise ConfigError: the file has an entry of that name, or the definition has keys that clients do not read.
    """
    if strange := [each for each in definition if each not in KEYS]:
        raise ConfigError(
            f"{', '.join(strange)}: no client reads that in {FILE}; leave it out, or --scope project"
        )
    permissions.check(Put((name,), dict(definition)))
    home = paths.gateway_home(environ, options.home or None)
    path = approvals.target(directory)
    if os.path.realpath(path) != path:
        raise ConfigError(f"{visible(path)}: leads out of its directory and is not written to")
    try:
        former = read_repository(path, home)
        was_approved = not former.entries or approvals.read(home).get(path) == former.digest
    except FileNotFoundError:
        was_approved = True
    entry = {**({"type": "http"} if "url" in definition and "type" not in definition else {}), **definition}

    def edited(text: str) -> str:
        text = text if text.strip() else EMPTY
        held = parse(text, path, strict=False).value.get(LIST)
        if isinstance(held, dict) and name in held:
            raise ConfigError(f"{visible(path)} has a server {name} already")
        return edit(text, path, Put((LIST, name), entry))

    write_back(path, edited, is_repository=True)
    if was_approved:
        files.make_home(home)
        approvals.approve(home, path, approvals.digest_of(path), time.time())
    return path, was_approved
