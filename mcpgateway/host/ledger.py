"""What the gateway has put into users' files, and what stood there before.

# Note [The ledger comes first]
Before a file changes, an intent is on the disk: the file's digest before and after, and what the ledger will say of it
then.  Whoever finds an intent without an outcome looks at the file: its digest says which of the two it is.  So a
program may be killed at any moment, and the ledger never says less than the file holds.

# Note [Secrets]
Entries hold environment variables.  The directory is its owner's alone, and no entry is in a message or in a repr.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from attrs import evolve, field, frozen

from mcpgateway.host.clientfile import Changed, change
from mcpgateway.host.clientlock import Lock

Road = tuple[str, ...]
SUSPENDED = ("", "disabled", "stopped", "away")


@frozen
class Splice:
    """A part of a text that was replaced; `start` counts in the text that came of it."""

    start: int
    old: str = field(repr=False)
    new: str = field(repr=False)


@frozen
class Step:
    """One change of a file by us.

    :ivar before: the digest of the text, without a byte order mark.
    """

    before: str
    after: str
    splices: tuple[Splice, ...] = field(repr=False)


@frozen
class Enrolled:
    """An entry that was replaced.

    :ivar name: as which the gateway serves it.
    :ivar replaced: what it was and what it became.
    """

    name: str
    replaced: Any = field(repr=False)


@frozen
class Adopted:
    """A file with entries of ours in it.

    :ivar path: as it was named.
    :ivar real: its real path, filled in by the ledger.
    :ivar mode: "http", "fail-open" or "single".
    :ivar entries: by the roads at which they stand. Those of a suspended file stand there no more, and are kept for
        their names.
    :ivar suspended: why the originals are back for now: "disabled", "stopped" or "away"; empty while they are not.
    :ivar chain: our changes of it since it last held nothing of ours, empty when somebody else has written in between.
    """

    path: str
    dialect: str
    mode: str = "http"
    project: str = ""
    entries: Mapping[Road, Enrolled] = field(factory=dict)
    suspended: str = ""
    is_watched: bool = True
    real: str = ""
    chain: tuple[Step, ...] = field(default=(), repr=False)


@frozen
class Rewritten:
    """What an edit makes of a file.

    :ivar adopted: what the ledger says of it from then on, None for nothing any more.
    """

    text: str = field(repr=False)
    adopted: Adopted | None


@frozen
class Records:
    """What the ledger says.

    :ivar files: by their real paths.
    :ivar opted_out: names of servers that stay in the clients' files.
    :ivar problems: what is wrong with the ledger itself, as sentences.
    """

    files: Mapping[str, Adopted]
    opted_out: frozenset[str] = frozenset()
    problems: tuple[str, ...] = ()


class Ledger:
    """The ledger of one gateway home.

    :param home: the gateway's own directory.
    """

    def read(self) -> Records:
        """What it says now, without waiting for anybody and without writing.

        :raise ConfigError: it was written by a newer release, or cannot be read.
        """

    def change(
        self, path: str, edit: Callable[[str, Adopted | None], Rewritten], *, lock: Lock | None = None, create=False
    ) -> Changed | None:
        """Change a file, and what is said of it, together.

        :param edit: from the file's text and what the ledger says of it, to what both are to be. It may be asked
            several times.
        """

    def put(self, adopted: Adopted) -> None:
        """Say something else of a file whose text stays."""

    def forget(self, path: str) -> None: ...

    def opt_out(self, names: frozenset[str]) -> None:
        """From now on these names, and no others, stay in the clients' files."""

    def recover(self) -> tuple[Settled, ...]:
        """Settle what killed programs have left: incomplete intents, half-written files, damaged copies."""

    def locked(self):
        """Nobody else changes a client's file or the ledger meanwhile; may be nested."""

    def unwound(self, adopted: Adopted, text: str) -> str | None:
        """The text before all our changes, where the file is still what we left; None otherwise."""
