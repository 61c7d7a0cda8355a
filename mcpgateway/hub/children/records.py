"""The state of children and sessions, as one program of the gateway hands it over to the next."""

from __future__ import annotations

from msgspec import Raw, Struct

from mcpgateway.hub.children.slot_key import SlotKey
from mcpgateway.hub.subscriptions.upstream_modern import ListeningState
from mcpgateway.hub.tasks import TaskOwner
from mcpgateway.inherited import ConversationState, Inherited
from mcpgateway.policy.client_requests import DeclaredRoots
from mcpgateway.protocol.versions import Era

WrittenRoots = tuple[str, bytes] | None
"""The key and the result of `mcpgateway.policy.client_requests.DeclaredRoots`."""


def written(roots: DeclaredRoots | None) -> WrittenRoots:
    """Return roots as a record has them."""
    return None if roots is None else (roots.key, bytes(roots.result))


def read(roots: WrittenRoots) -> DeclaredRoots | None:
    """Return the roots of a record."""
    return None if roots is None else DeclaredRoots(roots[0], Raw(roots[1]))


class QuestionState(Struct, frozen=True):
    """A question of a child that its client has not answered (`mcpgateway.hub.client_requests.ClientQuestion`).

    :ivar session: the id of the client's session, or of that of its view.
    :ivar is_of_view: true for the latter.
    """

    number: int
    child_id: bytes
    session: bytes
    is_of_view: bool
    method: str
    token: bytes | None
    is_heard: bool
    ticks: int


class SlotState(Struct, frozen=True):
    """A slot with a running child.

    :ivar digest: the digest of the launch (`mcpgateway.hub.children.hand_over.digest_of`).
    :ivar workspace: the workspace of its server's variant.
    :ivar principal: the principal of its server's variant.
    :ivar offer: the capabilities that the child was offered, as JSON.
    :ivar hello: the child's answer to the handshake, as JSON.
    :ivar level: the log level that the child uses; None if unknown.
    :ivar starts: number of children of the slot before.
    :ivar answered: number of requests that those were sent.
    :ivar listening: the open request for the notifications of a modern child.
    """

    backend: Inherited
    key: SlotKey
    shared: bool
    digest: str
    workspace: str
    principal: str
    offer: bytes
    hello: bytes
    conversation: ConversationState
    level: str | None
    starts: int
    answered: int
    roots: WrittenRoots
    tasks: dict[str, TaskOwner]
    numbered_tasks: dict[int, TaskOwner]
    elicitations: dict[str, bytes]
    questions: tuple[QuestionState, ...]
    listening: ListeningState | None = None


class WaitingMessage(Struct, frozen=True):
    """A message that waits in a session's mailbox, with its key."""

    message: bytes
    key: str | tuple[str, str | int] | None


class SessionState(Struct, frozen=True):
    """A session in use; the journal has the rest.

    :ivar is_view: true if its server is a view.
    :ivar silent: ticks since its last request.
    :ivar members: the servers of its member sessions.
    :ivar aside: the keys of slots with the child of an earlier version that it or a member session uses, by server.
    """

    id: bytes
    server: str
    is_view: bool
    principal: str
    names_owner: bool
    has_called: bool
    has_reached: bool
    is_stale: bool
    is_unmet: bool
    silent: int
    roots: WrittenRoots
    members: tuple[str, ...]
    mailbox: tuple[WaitingMessage, ...]
    aside: dict[str, SlotKey]


class ApartState(Struct, frozen=True):
    """A session of the gateway's own with a child apart, for the requests of modern clients.

    :ivar era: the era of its server.
    :ivar workspace: the workspace of its server's variant.
    :ivar principal: the principal of its clients.
    :ivar peer: the process of its client, where the server keeps state for each; else 0.
    :ivar offered: the capabilities that the child was offered, as JSON.
    :ivar info: the ``clientInfo`` that it was given, as JSON; empty for the gateway's own.
    """

    id: bytes
    era: Era
    server: str
    workspace: str
    principal: str
    peer: int
    offered: bytes = b"{}"
    info: bytes = b""


class HubState(Struct, frozen=True):
    """The children and the sessions."""

    slots: tuple[SlotState, ...]
    sessions: tuple[SessionState, ...]
    apart: tuple[ApartState, ...]
