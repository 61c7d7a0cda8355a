"""``config explain``: the purpose of a key, its values and its default, and the value that counts now."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from mcpgateway.cli.local.show import values_of
from mcpgateway.config.edit.config_keys import meant_key_in_words
from mcpgateway.config.reference import ANY, KnownKey, known_keys
from mcpgateway.config.section import Section
from mcpgateway.errors import ConfigError
from mcpgateway.hints import cli
from mcpgateway.observe.config_values import ConfigValue
from mcpgateway.system import printing
from mcpgateway.system.settings import LoadOptions


def explain(
    asked: str,
    options: LoadOptions,
    environ: Mapping[str, str],
    at_work: Callable[[str], str],
    *,
    as_json: bool = False,
) -> int:
    """Print the description of a key, and its value with the place it comes from; for a bare name, of all such keys.

    :param at_work: returns by what a server is shared and what it has asked, in words; empty without a gateway.
    :raise ConfigError: no such key exists.
    """
    known = list(known_keys())
    steps = tuple(asked.strip(".").split("."))
    found = [each for each in known if _fits(each.key_path, steps)]
    found = found or [each for each in known if each.key_path[-len(steps) :] == steps]
    if not found:
        raise ConfigError(f"there is no key '{asked}'{meant_key_in_words(asked)}")
    now = _values(steps, options, environ)
    if as_json:
        values = (
            {"now": {each.key: {"value": each.value, "from": each.source} for each in now}} if now else {}
        )
        printing.put_json({"items": [{**_value(each), **values} for each in found]})
        return 0
    shown = "".join(f"  now: {each.key} = {_json(each.value)}, from {each.source}\n" for each in now)
    printing.put_text("\n".join(_text_of(each) for each in found) + shown + _at_work(steps, at_work))
    return 0


def _at_work(steps: tuple[str, ...], at_work: Callable[[str], str]) -> str:
    # A scope that an entry leaves open is found out by the running gateway.
    if steps[-1] != "share" or len(steps) != len(("servers", "name", "share")):
        return ""
    by_command = f"{cli('why {}', steps[1])} says by what it is shared, and what it has asked its clients"
    return f"  {at_work(steps[1]) or by_command}\n"


def _values(steps: tuple[str, ...], options: LoadOptions, environ: Mapping[str, str]) -> list[ConfigValue]:
    """Return the values that count for a key of the gateway or of a server that is named."""
    top, *key = steps
    server = key.pop(0) if top == "servers" and key else None
    if top not in ("gateway", "servers") or not key or (top == "servers" and server is None):
        return []
    try:
        rows = values_of(options, environ, server)
    except ConfigError:
        return []  # a key is explained in spite of a configuration that cannot be used
    dotted = ".".join(key)
    listed = rows.get("gateway" if server is None else f"servers.{server}", [])
    return [each for each in listed if each.key == dotted or each.key.startswith(f"{dotted}.")]


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _fits(key_path: tuple[str, ...], steps: tuple[str, ...]) -> bool:
    return len(key_path) == len(steps) and all(
        mine in (ANY, theirs) for mine, theirs in zip(key_path, steps, strict=True)
    )


def _value(known: KnownKey) -> dict[str, Any]:
    key = known.key
    return {
        "key": ".".join(known.key_path),
        "says": key.says,
        "takes": key.kind.words,
        "default": key.default,
        "is_served": key.is_served,
        "counts": known.counts.value,
        "keys": list(key.kind.keys) if isinstance(key.kind, Section) else [],
    }


def _text_of(known: KnownKey) -> str:
    key = known.key
    lines = [".".join(known.key_path), f"  {key.says.replace('``', '')}", f"  takes: {key.kind.words}"]
    if key.default is not None:
        lines.append(f"  default: {json.dumps(key.default, ensure_ascii=False)}")
    if not (isinstance(key.kind, Section) or key.alias):
        lines.append(f"  an edit counts {known.counts.value}")
    if not key.is_served:
        lines.append("  It has no effect in this release.")
    if isinstance(key.kind, Section):
        lines.append(f"  keys: {', '.join(key.kind.keys)}")
    return "".join(f"{line}\n" for line in lines)
