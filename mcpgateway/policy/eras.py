"""The way from a client to a server, each of which may speak one era only."""

from __future__ import annotations

from enum import Enum

from attrs import evolve, frozen

from mcpgateway.config.model import Bridge
from mcpgateway.protocol.versions import Era


@frozen
class KnownEras:
    """The known eras of a server; None where it is still to be found out."""

    legacy: bool | None = None
    modern: bool | None = None

    def speaks(self, era: Era) -> bool | None:
        """Whether it speaks an era."""
        return self.legacy if era is Era.LEGACY else self.modern

    def learnt(self, era: Era, *, speaks: bool) -> KnownEras:
        """Return the known eras with a further one; a server that does not speak the one speaks the other."""
        known = evolve(self, **{era.value: speaks})
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
    said = dict(each.split("=", 1) for each in written.split() if "=" in each)
    return KnownEras(**{era.value: said[era.value] == "yes" for era in Era if era.value in said})


def pinned(protocol: Era) -> KnownEras:
    """Return the known eras of a server whose entry names its era."""
    return KnownEras(legacy=protocol is Era.LEGACY, modern=protocol is Era.MODERN)


class EraPath(Enum):
    """How a client gets to a server."""

    NATIVE = "native"
    BRIDGED = "bridged"
    REFUSED = "refused"


def road(era: Era, known: KnownEras, bridge: Bridge) -> EraPath | None:
    """Return the way of a client of an era; None while the server's eras are not known."""
    match known.speaks(era):
        case None:
            return None
        case True:
            return EraPath.NATIVE
    return EraPath.REFUSED if bridge is Bridge.OFF else EraPath.BRIDGED


def is_offered(way: EraPath, bridge: Bridge, *, is_spoken: bool) -> bool:
    """Whether a client that asks which eras there are is offered the modern one.

    What the server does not speak itself is not offered, so that a client of both eras loses nothing; whatever happens
    to run makes no difference.

    :param is_spoken: the server itself speaks the modern era, as far as that is known.
    """
    if way is EraPath.REFUSED:
        return False
    return is_spoken or bridge is Bridge.ALWAYS
