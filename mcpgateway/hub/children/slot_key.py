"""The key of a slot."""

from __future__ import annotations

from msgspec import Struct

from mcpgateway.protocol.versions import Era


class SlotKey(Struct, frozen=True):
    """The key of a slot: sessions share a child if their keys are equal.

    :ivar value: the session id of a session's own child; else the workspace or credential that its sessions share, or
        empty.
    :ivar sharer: the principal whose sessions share the child; empty if all principals share it.
    :ivar offer: a name for the capabilities that the clients offer.
    :ivar roots: the key of the roots that the sessions share; empty where these do not count, or there are none.
    :ivar nth: the number of the replica; 0 for the home.
    :ivar former: the number of a slot that keeps the child of an earlier version for its sessions; 0 for others.
    """

    server: str
    era: Era
    value: bytes = b""
    sharer: str = ""
    offer: str = ""
    roots: str = ""
    nth: int = 0
    former: int = 0
