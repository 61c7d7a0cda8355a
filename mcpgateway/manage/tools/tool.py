"""The common parts of the management tools, and the question to the human.

# Note [A model's word]
A page that a model has read may have caused its call.  So a call that would run a new command, or change the variables,
headers, directory or address of a server, is only carried out for a person: the call has the admin token or comes over
the Unix socket by itself (`Request.is_admin`), or the human at the client agrees to the exact text of the change.  A
client without elicitation gets the command for its human to type.

# Note [Scope is said out loud]
A global change needs ``scope: "global"`` in the call; else its ``cwd`` names the workspace whose own file is changed.
Neither is ever guessed.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

from attrs import frozen
from msgspec import Raw
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpgateway.config.document import visible
from mcpgateway.config.model import ServerSpec
from mcpgateway.errors import CallerError, GatewayError, InvalidParams, Refused, UserDeclined
from mcpgateway.interfaces import Request
from mcpgateway.manage.install import Installer
from mcpgateway.manage.install_plans import InstallPlanner, InstallWorkspaces
from mcpgateway.owntools import answers, arguments
from mcpgateway.owntools.status import GatewayStatus
from mcpgateway.owntools.tool import Access
from mcpgateway.protocol.jsonrpc import Envelope

GLOBAL = "global"
SCOPE: dict[str, Any] = {
    "type": "string",
    "enum": [GLOBAL],
    "description": "For all clients. Without it, pass cwd.",
}
CWD: dict[str, Any] = {
    "type": "string",
    "description": "A directory in the workspace. Without a scope, that workspace is changed.",
}
SERVER: dict[str, Any] = {"type": "string", "description": "The server's name."}
FORM: dict[str, Any] = {
    "type": "object",
    "properties": {
        "confirm": {
            "type": "boolean",
            "title": "Yes, do this",
            "description": "Nothing happens unless this is set.",
            "default": False,
        }
    },
    "required": ["confirm"],
}
QUESTION_CHARACTERS = 20_000  # no user reads more, and a shortened text cannot be agreed to
_log = Logger()

Visits = Callable[[ServerSpec, str], Awaitable[Sequence[str]]]


@frozen
class Management:
    """The parts that the management tools use.

    :ivar sight: status of the gateway and its servers.
    :ivar visit: lists the tools of a server that views may not show, for this principal.
    """

    sight: GatewayStatus
    installing: Installer
    visit: Visits

    @property
    def plans(self) -> InstallPlanner:
        """The planner of installations."""
        return self.installing.plans


@frozen
class ChangeTarget:
    """The target of a change: the gateway's configuration, or the workspace of this root."""

    root: str = ""

    def __str__(self) -> str:
        return f"workspace {self.root}" if self.root else GLOBAL


def answer_later(request: Request, work: Coroutine[Deferred[Any], Any, Any]) -> None:
    """Answer a call with the result of a coroutine."""
    done = Deferred.fromCoroutine(work)
    done.addCallback(lambda value: answers.text(request, value))
    done.addErrback(_failed, request)


def _failed(why: Failure, request: Request) -> None:
    error = why.value
    if isinstance(error, GatewayError):
        answers.failed_by(request, error)
        return
    _log.failure("a management tool broke", why, event="management.broken")
    answers.failed(request, "something went wrong in the gateway; its log says what")


def where(given: Envelope, workspaces: InstallWorkspaces) -> ChangeTarget:
    """Read the target of a call; see Note [Scope is said out loud].

    :raise GatewayError: the call has no target, or its directory does not exist.
    """
    scope, cwd = arguments.text(given, "scope").lower(), arguments.text(given, "cwd")
    if scope == GLOBAL:
        return ChangeTarget()
    if scope not in ("", "workspace", "project"):
        raise InvalidParams(f"there is no scope '{scope[:40]}'", 'pass scope: "global", or cwd')
    if not cwd:
        raise Refused(
            "a change that counts for all clients is refused unless it is asked for",
            'pass scope: "global" for that, or cwd with a directory of the workspace that is to be changed',
        )
    root = workspaces.root_of(cwd)
    if not root:
        raise InvalidParams(
            "cwd is no directory that could be a workspace", "pass an absolute path below your home"
        )
    return ChangeTarget(root)


async def agreed(request: Request, access: Access, question: str, retry: str) -> None:
    """Return only with a person's consent; see Note [A model's word].

    :param retry: the command with which a human makes the same change.
    :raise GatewayError: consent was refused or is not possible; no file was changed.
    """
    if request.is_admin:
        return
    hint = f"a human can do it in a terminal: {retry}"
    if len(question) > QUESTION_CHARACTERS:
        raise Refused("that is too long to be asked about", hint)
    try:
        reply = await access.elicit(request, {"message": question, "requestedSchema": FORM})
    except CallerError as why:
        raise Refused(
            "this needs a yes of the user, and your client cannot ask; nothing was changed", hint
        ) from why
    content = reply.get("content")
    if reply.get("action") != "accept" or not isinstance(content, dict) or content.get("confirm") is not True:
        raise UserDeclined("the user has not said yes; nothing was changed", "do not ask again unasked")


def retry_of(tool: str, given: Envelope) -> str:
    """Return the command with which a human makes the same call."""
    decoded = {name: json.loads(bytes(raw)) for name, raw in given.items()}
    words = ["mcpgateway", "tools", "call", f"gateway_{tool}", "--json-args", json.dumps(decoded)]
    return visible(shlex.join(words))


def mapping(given: Envelope, name: str) -> dict[str, Any]:
    """Return an argument that is an object, also one in a string, or as a list of ``NAME=value``."""
    found = arguments.value(given, name)
    if isinstance(found, str) and found.strip():
        found = (
            arguments.value({name: Raw(found.encode())}, name)
            if found.lstrip()[0] in "{["
            else [each.strip() for each in found.split(",")]
        )
    if isinstance(found, list) and all(isinstance(each, str) and "=" in each for each in found):
        found = dict(each.split("=", 1) for each in found)
    if found in (None, ""):
        return {}
    if not isinstance(found, dict):
        raise InvalidParams(f'"{name}" must be an object', f'such as {{"{name}": {{"NAME": "value"}}}}')
    return found


def texts(given: Envelope, name: str) -> dict[str, str]:
    """Read a mapping whose values are all texts."""
    found = mapping(given, name)
    for key, value in found.items():
        if not isinstance(value, str):
            raise InvalidParams(f'"{name}.{key[:40]}" must be a string')
    return found


def names(given: Envelope, name: str) -> list[str]:
    """Return an argument that is a list of names."""
    found = arguments.value(given, name)
    if isinstance(found, str):
        found = [each.strip() for each in found.split(",") if each.strip()]
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found) or not found:
        raise InvalidParams(f'"{name}" must be a list of names', f'such as {{"{name}": ["NAME"]}}')
    return found
