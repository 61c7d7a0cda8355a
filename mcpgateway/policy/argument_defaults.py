"""The arguments that are added to calls of tools, and their values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from msgspec import Raw

from mcpgateway.config.model import ServerSpec
from mcpgateway.errors import GatewayError
from mcpgateway.protocol import jsonrpc, peek
from mcpgateway.protocol.jsonrpc import Envelope

_PLACEHOLDER = re.compile(r"\$\{(workspace|cwd|project)\}")


def takers(result: Raw, names: Mapping[str, object]) -> dict[str, frozenset[str]]:
    """Return the arguments among ``names`` that each tool on a page of ``tools/list`` takes, by the tool's name."""
    found = {}
    try:
        tools = jsonrpc.read_list(jsonrpc.read_object(result, "result")["tools"], "tools")
        for tool in tools:
            members = jsonrpc.read_object(tool, "tool")
            name = jsonrpc.read_string(members["name"], "name")
            taken = peek.mapping(members, "inputSchema").get("properties")
            found[name] = frozenset(
                each for each in names if isinstance(taken, dict) and each in taken and _is_text(taken[each])
            )
    except (KeyError, GatewayError):
        return found
    return found


def _is_text(schema: Any) -> bool:
    # Any other value would break the call of a tool that means something else by the name.
    types = schema.get("type", "string") if isinstance(schema, dict) else "string"
    return types == "string" or (isinstance(types, list) and "string" in types)


def value_of(template: str, server: ServerSpec) -> str | None:
    """Return the value of an argument for a caller; None where a part of it is not known.

    ``${workspace}`` is the root of the caller's workspace, ``${cwd}`` the server's directory, and ``${project}`` the
    path of the project that the caller works in.
    """
    known = {"workspace": server.workspace, "cwd": server.cwd, "project": project_of(server)}
    if not all(known[each] for each in _PLACEHOLDER.findall(template)):
        return None
    return _PLACEHOLDER.sub(lambda found: known[found[1]], template)


def project_of(server: ServerSpec) -> str:
    """Return the path of the innermost project that holds the caller's workspace, else that of the default project."""
    around = [each for each in server.projects if server.workspace and _is_in(server.workspace, each.path)]
    if around:
        return max(around, key=lambda each: len(PurePath(each.path).parts)).path
    return next((each.path for each in server.projects if each.name == server.default_project), "")


def _is_in(path: str, directory: str) -> bool:
    return PurePath(path).is_relative_to(directory)


def added(params: Envelope, values: Mapping[str, str | None]) -> Raw | None:
    """Return the arguments of a call with missing ones added; None where nothing is to be added."""
    try:
        given = jsonrpc.read_object(params.get("arguments", jsonrpc.EMPTY), "arguments")
    except GatewayError:
        return None  # the server reports the fault in them
    more = {
        name: jsonrpc.raw(value) for name, value in values.items() if value is not None and name not in given
    }
    return jsonrpc.raw(given | more) if more else None
