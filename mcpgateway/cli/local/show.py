"""``config show``: the effective settings, and the source of each."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from mcpgateway.errors import ConfigError
from mcpgateway.escaping import one_line
from mcpgateway.hints import cli
from mcpgateway.observe.config_values import ConfigValue, values_as_json, values_in
from mcpgateway.system import printing
from mcpgateway.system.settings import LoadOptions, examine, gather

WIDTH = 60


def show(
    options: LoadOptions, environ: Mapping[str, str], *, server: str | None = None, as_json: bool
) -> int:
    """Show all settings, or those of one server.

    :raise ConfigError: the configuration cannot be used, or has no such server.
    """
    rows = values_of(options, environ, server)
    if as_json:
        printing.put_json(values_as_json(rows))
    else:
        printing.put_text(_as_text(rows))
    return 0


def values_of(
    options: LoadOptions, environ: Mapping[str, str], server: str | None = None
) -> dict[str, list[ConfigValue]]:
    """Return all settings, by ``gateway`` and the dotted names of servers, or those of one server.

    :raise ConfigError: the configuration cannot be used, or has no such server.
    """
    found = examine(options, environ)
    if found.settings is None:
        first = next(each for each in found.problems if each.is_error)
        raise ConfigError(f"{first}; {cli('config check')} lists all that is wrong")
    return values_in(gather(options, environ), found.settings, port=options.port, server=server)


def _as_text(rows: Mapping[str, Sequence[ConfigValue]]) -> str:
    blocks = []
    for title, members in rows.items():
        shown = [(each.key, json.dumps(each.value, ensure_ascii=False), each.source) for each in members]
        width = min(WIDTH, max((len(key) + len(value) for key, value, _ in shown), default=0))
        lines = [
            f"  {one_line(key)}: {value}".ljust(width + 4) + f"  {source}" for key, value, source in shown
        ]
        blocks.append("".join(f"{line}\n" for line in (title, *lines)))
    return "\n".join(blocks)
