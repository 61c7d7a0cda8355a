"""``config explain``: the purpose of a key, its values, and its default."""

from __future__ import annotations

import json
from typing import Any

from mcpgateway.config.reference import ANY, KnownKey, known_keys
from mcpgateway.config.section import Section
from mcpgateway.errors import ConfigError
from mcpgateway.system import printing


def explain(asked: str, *, as_json: bool = False) -> int:
    """Print the description of a key; for a bare name, of all keys of that name.

    :raise ConfigError: no such key exists.
    """
    known = list(known_keys())
    steps = tuple(asked.strip(".").split("."))
    found = [each for each in known if _fits(each.key_path, steps)]
    found = found or [each for each in known if each.key_path[-len(steps) :] == steps]
    if not found:
        raise ConfigError(f"there is no key '{asked}'{_nearest(steps, known)}")
    if as_json:
        printing.put_json([_value(each) for each in found])
        return 0
    printing.put_text("\n".join(_text_of(each) for each in found))
    return 0


def _fits(key_path: tuple[str, ...], steps: tuple[str, ...]) -> bool:
    return len(key_path) == len(steps) and all(
        mine in (ANY, theirs) for mine, theirs in zip(key_path, steps, strict=True)
    )


def _nearest(steps: tuple[str, ...], known: list[KnownKey]) -> str:
    from difflib import get_close_matches

    key_paths = {".".join(each.key_path): each for each in known} | {
        each.key_path[-1]: each for each in known
    }
    near = get_close_matches(".".join(steps), key_paths, n=1) or get_close_matches(steps[-1], key_paths, n=1)
    return f"; did you mean '{near[0]}'?" if near else ""


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
