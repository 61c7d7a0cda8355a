"""The clients of calls, as the activity log names them: program, directory and process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Raw, Struct

from mcpgateway.config.document import printable
from mcpgateway.hub.sessions import Session
from mcpgateway.protocol import peek
from mcpgateway.protocol.jsonrpc import Envelope

NAME_CHARS = 100  # of a client's own name


class CallClient(Struct, frozen=True):
    """The client of a call, each part as far as it is known.

    :ivar name: the client's own name.
    :ivar project: the directory that it works in.
    """

    name: str = ""
    project: str = ""
    pid: int | None = None


NOBODY = CallClient()


class CallClients(Struct, frozen=True):
    """Finds the clients of calls.

    :ivar params_of: returns the ``initialize`` parameters of a session's client.
    """

    params_of: Callable[[Session], Envelope | None]

    def of(self, session: Session | None, caller: Any) -> CallClient:
        """Return the client of a call.

        :param caller: the caller of a modern request (`mcpgateway.hub.caller.Caller`), or None.
        """
        if caller is not None:
            info = peek.mapping({"info": Raw(caller.info)}, "info")
            return CallClient(_name_in(info), caller.server.workspace, caller.pid)
        if session is None:
            return NOBODY
        outer = session.outer or session
        info = peek.mapping(self.params_of(outer), "clientInfo")
        return CallClient(_name_in(info), outer.server.workspace or session.server.workspace, outer.owner)


def _name_in(info: Mapping[str, Any]) -> str:
    name = info.get("name")
    return printable(name)[:NAME_CHARS] if isinstance(name, str) else ""
