"""The state of children and sessions, as one program of the gateway hands it over to the next."""

from __future__ import annotations

from msgspec import Raw, Struct

from mcpgateway.hub.children.slot_key import SlotKey
from mcpgateway.hub.tasks import TaskOwner
from mcpgateway.interfaces import ConversationState, Inherited
from mcpgateway.policy.client_requests import DeclaredRoots

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


class WaitingMessage(Struct, frozen=True):
    """A message that waits in a session's mailbox, with its key."""

    message: bytes
    key: str | tuple[str, str | int] | None


class SessionState(Struct, frozen=True):
    """A session in use; the journal has the rest.

    :ivar is_view: true if its server is a view.
    :ivar silent: ticks since its last request.
    :ivar members: the servers of its member sessions.
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


class HubState(Struct, frozen=True):
    """The children and the sessions."""

    slots: tuple[SlotState, ...]
    sessions: tuple[SessionState, ...]
