"""The hidden values of a configuration, and the distinction of certain secrets from possible ones."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from attrs import frozen

from mcpgateway.policy.secrets.masking import MAPPINGS, address, holds_secret, masked
from mcpgateway.policy.secrets.redaction import is_telling
from mcpgateway.policy.secrets.shapes import is_secret

_PATH = re.compile(r"[~.]{0,2}/[\w./+@-]*")


@frozen
class Hidden:
    """A value that is not shown.

    :ivar name: its key.
    :ivar is_given: the value is of a variable or a header, whose values are never shown.
    """

    name: str
    value: str
    is_given: bool

    @property
    def is_secret(self) -> bool:
        """True if the value is a secret by its name, its form or its place."""
        return not self.is_given or is_secret(self.name) or holds_secret(self.value)

    @property
    def may_be_secret(self) -> bool:
        """True if the value may be a secret: neither short, nor a usual word, a number, a path or a plain address."""
        is_plain = _PATH.fullmatch(self.value) or ("://" in self.value and address(self.value) == self.value)
        return self.is_secret or (is_telling(self.value) and not is_plain)


def hidden_in(value: Any) -> frozenset[Hidden]:
    """Return the values of a configuration that are not shown, or of which a part is not."""
    return frozenset(_hidden("", value, masked(value)))


def _hidden(name: str, value: Any, shown: Any, *, is_given: bool = False) -> Iterator[Hidden]:
    match value, shown:
        case dict(), dict():
            for key, each in value.items():
                yield from _hidden(str(key), each, shown[key], is_given=name in MAPPINGS)
        case ((list() | tuple()), (list() | tuple())):
            for each, seen in zip(value, shown, strict=True):
                key, equals, held = str(each).partition("=")
                if name in MAPPINGS and equals and each != seen:
                    yield Hidden(key, held, is_given=True)
                else:
                    yield from _hidden(name, each, seen)
        case _ if value != shown:
            yield Hidden(name, str(value), is_given)
