"""The clients whose files use the gateway, for `status`: by the gateway's answer, or by the ledger where none runs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mcpgateway.cli.console import shortened

if TYPE_CHECKING:
    from mcpgateway.clientfiles.enrolment_records import FileRecord

LEDGER = "ledger"


def clients(body: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the clients whose files use the gateway, or did, each with a name and its number of servers.

    Restored files have the reason in one word.
    """
    shown = body.get("clients")
    if not isinstance(shown, list):
        return []
    made = []
    for each in shown:
        if not isinstance(each, dict):
            continue
        servers = each.get("servers", ())
        number = servers if isinstance(servers, int) else len(servers or ())
        name = str(each.get("title") or each.get("tool") or each.get("name") or "?")
        made.append(_client(name, number, str(each.get("suspended") or "")))
    return made


def _client(name: str, servers: int, why: str) -> dict[str, Any]:
    return {"name": name, "servers": servers} | ({"restored": why} if why else {})


def _without_command(record: FileRecord) -> dict[str, int]:
    """Return how many of a file's servers only the gateway can start, since it has added their entries."""
    number = sum(bool(each.name) and each.replaced.former is None for each in record.entries.values())
    return {"without_command": number} if number else {}


def told_apart(found: Sequence[Mapping[str, Any]], paths: Sequence[str]) -> list[dict[str, Any]]:
    """Return clients for people: one that has several files is named with each of them.

    :param paths: the file of each; "" where it is not known.
    """
    names = [each["name"] for each in found]
    return [
        {**each, "name": f"{each['name']} {shortened(path)}"}
        if path and names.count(each["name"]) > 1
        else dict(each)
        for each, path in zip(found, paths, strict=True)
    ]


def paths_of(body: Mapping[str, Any]) -> list[str]:
    """Return the file of each of these clients; "" where it is not known."""
    shown = body.get("clients")
    return [str(each.get("path") or "") for each in shown or () if isinstance(each, dict)]


def left_behind(home: str) -> list[tuple[dict[str, Any], str]]:
    """Return the clients of the ledger and their files; none if it cannot be read, which `doctor` reports."""
    if not os.path.isdir(f"{home}/{LEDGER}"):
        return []
    from mcpgateway.clientfiles.ledger import Ledger
    from mcpgateway.errors import ConfigError

    try:
        files = Ledger(home).read().files.values()
    except ConfigError:
        return []
    return [
        (
            _client(each.dialect, sum(bool(one.name) for one in each.entries.values()), each.suspended)
            | {"mode": each.mode, **_without_command(each)},
            each.path,
        )
        for each in files
        if each.entries
    ]
