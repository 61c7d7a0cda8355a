"""Plain records, built by msgspec: see decision 72.

A class of values, which are compared, is a `msgspec.Struct` itself.
"""

from __future__ import annotations

from msgspec import Struct


class Record(Struct, eq=False):
    """A record with an identity: it is neither compared by its fields nor printed with them."""

    __repr__ = object.__repr__


class FrozenRecord(Struct, frozen=True, eq=False):
    """The same, whose fields do not change."""

    __repr__ = object.__repr__
