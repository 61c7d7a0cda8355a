"""The path of requests from a client to a server, each of which may speak one era only."""

from __future__ import annotations

from enum import Enum

from msgspec import Struct
from msgspec.structs import replace

from mcpgateway.config.model import Bridge
from mcpgateway.protocol.versions import Era


class KnownEras(Struct, frozen=True):
    """The known eras of a server; None where that has not been found out yet."""

    legacy: bool | None = None
    modern: bool | None = None

    def speaks(self, era: Era) -> bool | None:
        """True if the server speaks an era; None where that is not known."""
        return self.legacy if era is Era.LEGACY else self.modern

    def learnt(self, era: Era, *, speaks: bool) -> KnownEras:
        """Return the known eras with one more; a server that does not speak one era speaks the other."""
        known = replace(self, **{era.value: speaks})
        return (
            known if speaks or known.speaks(era.other) is not None else known.learnt(era.other, speaks=True)
        )

    def written(self) -> str:
        """Return the known eras as a record, which `read` reads."""
        return " ".join(
            f"{era.value}={'yes' if self.speaks(era) else 'no'}"
            for era in Era
            if self.speaks(era) is not None
        )


def read(written: str) -> KnownEras:
    """Read the known eras of a record."""
    answers = dict(each.split("=", 1) for each in written.split() if "=" in each)
    return KnownEras(**{era.value: answers[era.value] == "yes" for era in Era if era.value in answers})


def pinned(protocol: Era) -> KnownEras:
    """Return the known eras of a server whose entry names its era."""
    return KnownEras(legacy=protocol is Era.LEGACY, modern=protocol is Era.MODERN)


class EraPath(Enum):
    """The path of a client's requests to a server: unchanged, translated, or refused."""

    NATIVE = "native"
    BRIDGED = "bridged"
    REFUSED = "refused"


def path(era: Era, known: KnownEras, bridge: Bridge) -> EraPath | None:
    """Return the path for a client of an era; None while the server's eras are not known."""
    match known.speaks(era):
        case None:
            return None
        case True:
            return EraPath.NATIVE
    return EraPath.REFUSED if bridge is Bridge.OFF else EraPath.BRIDGED


def is_offered(way: EraPath, bridge: Bridge, *, is_spoken: bool) -> bool:
    """True if the modern era is offered to a client that asks for the supported ones.

    An era that the server does not speak itself is not offered, so that a client of both eras loses nothing; the
    children that run at the moment make no difference.

    :param is_spoken: the server itself is known to speak the modern era.
    """
    if way is EraPath.REFUSED:
        return False
    return is_spoken or bridge is Bridge.ALWAYS
