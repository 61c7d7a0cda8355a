"""Servers that a client's file has and the gateway does not serve, for errors of unknown servers."""

from __future__ import annotations

from collections.abc import Mapping

from mcpgateway.cli.console import shortened
from mcpgateway.clientfiles.formats.client_format import EntryKind
from mcpgateway.clientfiles.machine import Machine
from mcpgateway.clientfiles.plan import WHY, EnrolRequest, plan
from mcpgateway.errors import ConfigError
from mcpgateway.hints import cli


def found_in_a_file(name: str, home: str, environ: Mapping[str, str]) -> str:
    """Return the hint for the name of an entry in a client's file that is not enrolled; empty where none has it."""
    try:
        plans = plan(Machine(home, environ), EnrolRequest())
    except (ConfigError, OSError):
        return ""
    for each in plans:
        path = shortened(each.site.path)
        if any(one.title == name for one in each.to_enrol):
            return f"{path} has it; {cli('clients apply --server {}', name)} has the gateway serve it"
        reasons = [one.why for one in each.left if one.title == name]
        if WHY[EntryKind.REMOTE] in reasons:
            run = cli("clients apply --remote --server {}", name)
            return f"{path} has it, by its URL; {run} has the gateway serve it"
        if reasons:
            return f"{path} has it, which {reasons[0]}"
    return ""
