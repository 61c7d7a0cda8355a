"""The values that only the user's own files may set."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from mcpgateway.config import environment, external_values
from mcpgateway.config.document import printable
from mcpgateway.config.edit.edits import Edit, Put
from mcpgateway.config.reach import refused_header
from mcpgateway.errors import Unfit

VARIABLES = ("env", "environment")
HEADERS = "headers"
# The texts that are shown in the place of secrets (`mcpgateway.policy.secrets.shapes`), now and formerly.
MASKS = ("\u2022\u2022\u2022", "***REDACTED***")


def check(change: Edit) -> None:
    """Refuse a change that makes a server run other code or breaks its requests, and a mask in the place of a secret.

    :param change: a change whose key path begins with the server's name.
    :raise Unfit: the change is refused.
    """
    if not isinstance(change, Put):
        return
    if masks := sorted(masked_keys(change.value, change.key_path[1:])):
        raise Unfit(
            f"{', '.join(map(printable, masks))}: what is shown in place of a secret is not taken for it",
            "say its value, or leave the key as it is: PATCH and servers set change single keys",
        )
    value: Any = change.value
    for step in reversed(change.key_path[1:]):
        value = {step: value}
    if not isinstance(value, dict):
        return
    external_values.refuse(value)
    names = [name for key in VARIABLES for name in _names(value.get(key))]
    refused = environment.refused(names)
    if refused:
        shown = ", ".join(printable(each) for each in refused)
        raise Unfit(f"{shown}: can make a server run other code, and is only taken from the user's own files")
    for name in _names(value.get(HEADERS)):
        why = refused_header(name)
        if why:
            raise Unfit(f"{printable(name)}: {why}")


def masked_keys(value: Any, key_path: tuple[str, ...] = ()) -> Iterator[str]:
    """Iterate over the dotted keys of texts with a mask, which the gateway shows in the place of secrets."""
    match value:
        case str() if any(each in value for each in MASKS):
            yield ".".join(key_path) or "the value"
        case dict():
            for key, each in value.items():
                yield from masked_keys(each, (*key_path, str(key)))
        case list() | tuple():
            *above, key = key_path or ("",)
            for index, each in enumerate(value):
                name = str(each).partition("=")[0]
                inner = (key, name) if key in VARIABLES else (f"{key}[{index}]",)
                yield from masked_keys(each, (*above, *inner))


def _names(value: Any) -> Iterable[str]:
    match value:
        case dict():
            return [str(each) for each in value]
        case list() | tuple():
            return [str(each).partition("=")[0] for each in value]
        case _:
            return []
