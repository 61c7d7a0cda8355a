"""Servers: their list and state; adding, changing and removing them; starting and stopping their children.

# Note [Who may say what is run]
A caller that defines a server's command, or its environment, has the rights of the gateway's user.  So adding and
replacing definitions needs the admin token or the Unix socket, and so do the variables and headers in a PATCH; all
other operations need the usual token.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mcpgateway.backends.validation import without_secrets
from mcpgateway.config.diff import runs_alike
from mcpgateway.config.edit.change import (
    DEFINED,
    EXPECTED,
    Patch,
    is_on,
    read_definition,
    read_name,
    read_patch,
    runs_here,
)
from mcpgateway.config.edit.conditions import read_condition
from mcpgateway.config.fields import DURATION_WORDS, seconds_in
from mcpgateway.config.gateway_settings import GatewaySettings
from mcpgateway.config.model import ServerSpec
from mcpgateway.config.reach_settings import Remote, Rest
from mcpgateway.errors import Conflict, GatewayError, InvalidParams, NotEntitled, UnknownServer
from mcpgateway.frontends.rest.operation import OperationAnswer, OperationRequest, flag
from mcpgateway.manage.servers import ServerOperations
from mcpgateway.observe.roster import Roster
from mcpgateway.policy.health import UP as UP_STATES
from mcpgateway.policy.remote_policy import check_may_run

if TYPE_CHECKING:
    from mcpgateway.manage.entries import Entries, EntryChange

WAIT_S = 60.0  # the most that a request waits for a server; a client that has to wait longer sends another
LISTS_S = 10.0
OFF = ("false", "0")
KEEP = "keep_secrets"
UP = frozenset(each.value for each in UP_STATES)
RUNS = frozenset(("running", "asleep", "degraded", "restarting", "starting"))


class ServerRoutes:
    """The operations on servers.

    :param make_entries: makes the editor of their entries, for the first operation that needs it.
    :param settings: returns the settings in force.
    :param ask_lists: asks servers for their lists, each for so many seconds at most.
    :param rename: gives the entries of a server in clients' files its new name.
    """

    def __init__(
        self,
        roster: Roster,
        operating: ServerOperations,
        make_entries: Callable[[], Entries],
        settings: Callable[[], GatewaySettings],
        ask_lists: Callable[[Sequence[ServerSpec], float], Awaitable[object]],
        rename: Callable[[str, str], Awaitable[Mapping[str, Any]]],
        node: str = "",
    ) -> None:
        self._at = {"node": node} if node else {}
        self._rename = rename
        self._ask_lists = ask_lists
        self._roster = roster
        self._operating = operating
        self._make_entries = make_entries
        self._settings = settings
        self._made: Entries | None = None

    @property
    def _entries(self) -> Entries:
        if self._made is None:
            self._made = self._make_entries()
        return self._made

    # Reading

    async def listed(self, asked: OperationRequest) -> Any:
        """Return every server, with its tools unless the query excludes them."""
        return self._roster.views(with_tools=asked.query.get("tools") not in OFF)

    async def shown(self, asked: OperationRequest) -> OperationAnswer:
        """Return one server: its numbers, its tools, and its entry without values of variables and headers."""
        name = asked.path["name"]
        view = self._roster.view(name)
        # The line is found in the text of the file, which takes too long for a list.
        entry = {"config": self._entries.shown(name), "source_line": self._entries.line(name)}
        return self._tagged(name, 200, {**view, **entry, **self._entries.overlay(name)})

    # Writing

    async def add(self, asked: OperationRequest) -> OperationAnswer:
        """Add a server, and start it unless it is switched off."""
        body = dict(asked.json_object(DEFINED))
        limit_s, is_apart = _limit(asked), body.pop(KEEP, False) is True
        name, definition = read_name(body), read_definition(body)
        self._check_reach(asked, is_run_here=runs_here(definition))
        await self._entries.settled(definition)
        if is_apart:
            changed = await self._entries.add_apart(name, definition)
        else:
            changed = self._entries.add(name, definition)
        return await self._added(changed, definition, limit_s)

    async def put(self, asked: OperationRequest) -> OperationAnswer:
        """Add a server, or replace its definition."""
        body = asked.json_object(DEFINED)
        limit_s, name, definition = _limit(asked), asked.path["name"], read_definition(body)
        if body.get("name", name) != name:
            raise InvalidParams("the name in the body is another than in the path", "PATCH renames servers")
        self._check_reach(asked, is_run_here=runs_here(definition))
        condition = read_condition(asked.header("if-match"), asked.header("if-none-match"))
        if body.get(KEEP) is True:
            changed = await self._entries.put_apart(name, definition, condition)
        else:
            changed = self._entries.put(name, definition, condition)
        if changed.is_new:
            return await self._added(changed, definition, limit_s)
        await self._settled(name, limit_s)
        status = "updated" if changed.is_other else "unchanged"
        return self._tagged(name, 200, {"status": status, **self._more(changed, limit_s)})

    async def patch(self, asked: OperationRequest) -> OperationAnswer:
        """Switch a server on or off, change its keys, variables or headers, or rename it."""
        body = dict(asked.json_object(EXPECTED))
        is_apart = body.pop(KEEP, False) is True
        patch = read_patch(body)
        if patch.gives and not asked.is_admin:
            raise NotEntitled(
                "what a server runs and is given is as powerful as its command: that needs the admin token",
                "send the token in admin.token of the gateway's home, or ask over the Unix socket",
            )
        name, limit_s = asked.path["name"], _limit(asked)
        server = self._roster.server(name)
        is_program = not isinstance(server.reach, Remote | Rest)
        self._check_reach(asked, is_run_here=patch.gives and (is_program or patch.runs_here))
        ran = self._roster.look(server).get("status") in RUNS
        condition = read_condition(asked.header("if-match"), None)
        if is_apart and (patch.add_env or patch.add_headers):
            changed = await self._entries.patch_apart(name, patch, condition)
        else:
            changed = self._entries.patch(name, patch, condition)
        if ran and patch.gives and changed.is_other and patch.disabled is not True:
            limit_s = await self._started_anew(changed.name, limit_s)
        else:
            await self._settled(changed.name, limit_s)
        status: dict[str, Any] = {"status": "updated"}
        if changed.name != name:
            status |= {"status": "patched", "old_name": name, "new_name": changed.name}
            status |= await self._renamed_in_files(name, changed.name)
        if changed.keys:
            after = self._roster.server(changed.name)
            restarts = ran and not (after.enabled and runs_alike(server, after))
            status |= {"changed": list(changed.keys), "restarts": restarts}
        return self._tagged(changed.name, 200, {**status, **self._more(changed, limit_s)})

    async def _renamed_in_files(self, name: str, new: str) -> dict[str, Any]:
        """Let the entries that were written for a server follow its new name; return the files."""
        try:
            found = await self._rename(name, new)
        except GatewayError as why:
            return {"client_files": [], "client_errors": [why.message]}
        return {"client_files": found.get("paths", []), "client_errors": found.get("errors", [])}

    async def validate(self, asked: OperationRequest) -> Any:
        """Try a server that is not configured yet, or a change of one that is; nothing is written."""
        body = dict(asked.json_object(DEFINED))
        name = read_name(body)
        if "config" in body:
            definition = read_definition(body)
            self._check_reach(asked, is_run_here=runs_here(definition))
            await self._entries.settled(definition)
            server = self._entries.drafted(name, definition)
        else:
            body.pop("name")
            is_program = not isinstance(self._roster.server(name).reach, Remote | Rest)
            patch = read_patch(body) if body else Patch()
            self._check_reach(asked, is_run_here=is_program or patch.runs_here)
            server = self._entries.patched(name, patch)
        report = await self._entries.installing.try_out(server)
        return without_secrets(report, server).shown()

    async def remove(self, asked: OperationRequest) -> Any:
        """Remove a server from the configuration; its former entry is kept in a file."""
        condition = read_condition(asked.header("if-match"), None)
        kept, hint = self._entries.remove(asked.path["name"], condition)
        return {"status": "removed", "kept": kept, **({"hint": hint} if hint else {})}

    # Operation

    async def start(self, asked: OperationRequest) -> OperationAnswer:
        """Start a server."""
        name, limit_s = asked.path["name"], _limit(asked)
        await self._operating.begin(name, limit_s)
        return OperationAnswer(
            200 if limit_s else 202, {"status": "started", **self._at, **self._view(name, limit_s)}
        )

    async def start_all(self, _: OperationRequest) -> OperationAnswer:
        """Start every server that clients share."""
        return OperationAnswer(202, {"status": "started", **self._at, "servers": self._operating.start_all()})

    async def stop(self, asked: OperationRequest) -> Any:
        """Stop the children of a server; the next request to it starts it again."""
        await self._operating.stop(asked.path["name"])
        return {"status": "stopped", **self._at}

    async def stop_all(self, _: OperationRequest) -> Any:
        """Stop the children of every server."""
        return {"status": "stopped", **self._at, "servers": await self._operating.stop_all()}

    async def restart(self, asked: OperationRequest) -> Any:
        """Replace the children of a server by new ones, or start it."""
        name, limit_s = asked.path["name"], _limit(asked)
        if flag(asked, "reset", usual=False):
            self._operating.reset_circuit(name)
        await self._operating.restart(name, limit_s)
        return {"status": "restarted", **self._at, **self._view(name, limit_s)}

    async def reset_circuit(self, asked: OperationRequest) -> Any:
        """Reset the circuit breaker of a server."""
        has_passed = asked.query.get("passed") == "true"
        self._operating.reset_circuit(asked.path["name"], has_passed=has_passed)
        return {"status": "circuit reset", **self._at}

    # Answers

    async def _added(
        self, changed: EntryChange, definition: Mapping[str, Any], limit_s: float
    ) -> OperationAnswer:
        name = changed.name
        if not is_on(definition):
            return self._tagged(name, 201, {"status": "added", **self._more(changed, 0)}, _place(name))
        await self._settled(name, limit_s, starts=True)
        if limit_s:
            await self._listed(name)
        hint = f"it is being started; GET {_place(name)['location']} tells how it is"
        value = {"status": "accepted", **self._more(changed, limit_s)}
        return self._tagged(name, 202, {"hint": hint, **value}, _place(name))

    async def _settled(self, name: str, limit_s: float, *, starts: bool = False) -> None:
        if limit_s or starts:
            try:
                await self._operating.begin(name, limit_s)
            except Conflict:
                pass  # it is not meant to run, as its state says
            except UnknownServer:
                pass  # it is of an approved project, whose clients start it

    async def _listed(self, name: str) -> None:
        # Whoever waits for a new server wants to see its tools.
        server = self._roster.server(name)
        is_up = self._roster.look(server).get("status") in UP
        if is_up and self._roster.tools(server) is None:
            await self._ask_lists([server], LISTS_S)

    async def _started_anew(self, name: str, limit_s: float) -> float:
        await self._settled(name, limit_s, starts=True)
        return limit_s

    def _check_reach(self, asked: OperationRequest, *, is_run_here: bool) -> None:
        check_may_run(asked.principal, self._settings(), is_run_here=is_run_here)

    def _more(self, changed: EntryChange, limit_s: float) -> dict[str, Any]:
        said = {"hint": changed.hint, "secrets": changed.secrets}
        more = {name: text for name, text in said.items() if text}
        return {**more, **self._view(changed.name, limit_s)}

    def _view(self, name: str, limit_s: float) -> dict[str, Any]:
        return {"server": self._roster.view(name)} if limit_s else {}

    def _tagged(
        self, name: str, status: int, value: Any, headers: Mapping[str, str] | None = None
    ) -> OperationAnswer:
        return OperationAnswer(status, value, {**(headers or {}), "etag": self._entries.tag(name)})


def _place(name: str) -> dict[str, str]:
    return {"location": f"/api/v1/servers/{name}"}


def _limit(asked: OperationRequest) -> float:
    """Return the time that a request waits.

    :raise InvalidParams: the time in the request is malformed.
    """
    text = asked.query.get("wait")
    if text is None:
        return 0.0
    seconds = seconds_in(text)
    if seconds is None:
        raise InvalidParams(f'"wait" must be {DURATION_WORDS}')
    return min(seconds, WAIT_S)
