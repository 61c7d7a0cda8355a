"""Servers of which it is still to be found out whether a client that could be asked something may share their child.

What such a server lists may depend on what its client offers.  So before it is listed to one that offers something it
is found out, as for a session at its own endpoint (`mcpgateway.hub.siblings`).  Where it gets a child for each session
then, those who offer something are shown what theirs lists, and hear of it if they have been shown something else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcpgateway import __version__
from mcpgateway.catalog.records import Kind
from mcpgateway.config.model import ServerSpec
from mcpgateway.errors import GatewayError
from mcpgateway.hub.sessions import Session
from mcpgateway.rules.questions import offers_something
from mcpgateway.rules.snapshots import told_at_handshake
from mcpgateway.wire import legacy

if TYPE_CHECKING:
    from mcpgateway.hub.views.board import Board

DOUBT = "?"


def told_of(board: Board, session: Session, server: ServerSpec) -> str:
    """Names what a child of a client's own is told of it."""
    may_ask = server.interactive is not False
    params = legacy.session_params(
        board.switchboard.sessions.params_of(session), __version__, may_ask=may_ask
    )
    return told_at_handshake(params)


def doubt(board: Board, session: Session, server: ServerSpec) -> str:
    """Names what a client offers, where it is to be found out if it can share a server's child; else empty."""
    switchboard = board.switchboard
    if not session.id or not switchboard.pool.is_open_question(server):
        return ""
    if server.name in board.inners(session).sessions:
        return ""  # it stays with the child that it has
    try:
        is_open = switchboard.has_to_find_out(server, switchboard.sessions.params_of(session))
    except GatewayError:
        return ""  # it cannot be used at all, which whoever asks it will hear
    return DOUBT + told_of(board, session, server) if is_open else ""


def found_out(board: Board, server: str) -> None:
    """It has been found out, as far as it can be: whoever gets a child of its own now is shown what that one lists."""
    for session in board.outer():
        inners = board.inners(session)
        if server not in inners.view.servers or server in inners.sessions:
            continue
        if not offers_something(board.switchboard.sessions.capabilities_of(session)):
            continue
        before, inners.view = inners.view, board.view(session)
        if inners.view.told.get(server) == before.told.get(server):
            continue
        for kind in Kind:
            is_seen = kind in inners.listed and inners.view.shows(kind)
            if is_seen and not board.lister.waits(session, server, kind):
                board.announce(session, kind)
