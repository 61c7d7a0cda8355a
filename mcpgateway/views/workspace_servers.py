"""Sees which servers workspaces define themselves, for the views of those who work there.

A file of a workspace is looked at as long as somebody has a session there, and only once its user has ever approved of
one: until then no workspace defines anything, and nobody has to be asked where he works.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from mcpgateway.config.model import ServerSpec
from mcpgateway.errors import BackendGone

if TYPE_CHECKING:
    from mcpgateway.hub.sessions import Session
    from mcpgateway.views.members import Inners
    from mcpgateway.views.registry import Board


class Grounds:
    """Looks at workspaces, once in a second.

    :ivar on_tick: told when workspaces may define other servers now, and whether users have approved of others.
    """

    def __init__(self, board: Board) -> None:
        self.on_tick: list[Callable[[bool], None]] = []
        self._board = board
        self._approved = board.switchboard.scopes.approved()

    def tick(self, sessions: Iterable[Session]) -> None:
        """Say so to those whose workspace defines other servers now."""
        board = self._board
        approved = board.switchboard.scopes.approved()
        has_news, self._approved = approved != self._approved, approved
        if not approved and not has_news:
            return
        own: dict[tuple[str, str, str], tuple[ServerSpec, ...]] = {}
        for session in list(sessions):
            if has_news:
                self.locate(session)
            at = (session.server.name, session.server.workspace, session.server.principal)
            if at not in own:
                own[at] = board.own(session.server)
            if board.inners(session).view.own != own[at]:
                board.look_again(session)
                board.announce_all(session)
        for each in self.on_tick:
            each(has_news)

    def locate(self, session: Session) -> None:
        """Find out where a session's client works, if it matters by now and nobody has looked."""
        scopes = self._board.switchboard.scopes
        if session.server.workspace or not session.owner or not scopes.is_placed(session.server):
            return
        session.server = scopes.variant(session.server, scopes.place_of_process(session.owner))
        if session.server.workspace:
            self._board.switchboard.sessions.remember(session)

    def drop_strays(self, session: Session, inners: Inners) -> None:
        """End a session's inner ones at servers of its workspace that are others now, or gone."""
        # Of everybody's servers the switchboard has told already.
        switchboard = self._board.switchboard
        for name, inner in list(inners.sessions.items()):
            is_everybodys = name in switchboard.servers and not inner.server.project
            if not is_everybodys and inners.view.servers.get(name) != inner.server:
                switchboard.end_inner(inner, BackendGone(f"{name} is not what it was any more"))
