"""What may not be set from outside of the user's own files, however it is asked for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mcpgateway.config import environment, headers, outside
from mcpgateway.config.document import printable
from mcpgateway.config.edit import Edit, Put
from mcpgateway.errors import Unfit

VARIABLES = ("env", "environment")
HEADERS = "headers"


def check(change: Edit) -> None:
    """Refuse what would have a server run other code, or break its requests.

    :param change: of a server: its road begins with the server's name.
    :raise Unfit: it is refused.
    """
    if not isinstance(change, Put):
        return
    value: Any = change.value
    for step in reversed(change.road[1:]):
        value = {step: value}
    if not isinstance(value, dict):
        return
    outside.refuse(value)
    names = [name for key in VARIABLES for name in _names(value.get(key))]
    refused = environment.refused(names)
    if refused:
        shown = ", ".join(printable(each) for each in refused)
        raise Unfit(f"{shown}: can make a server run other code, and is only taken from the user's own files")
    for name in _names(value.get(HEADERS)):
        why = headers.refused(name)
        if why:
            raise Unfit(f"{printable(name)}: {why}")


def _names(value: Any) -> Iterable[str]:
    match value:
        case dict():
            return [str(each) for each in value]
        case list() | tuple():
            return [str(each).partition("=")[0] for each in value]
        case _:
            return []
