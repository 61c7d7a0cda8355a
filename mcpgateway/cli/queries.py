"""Commands that send a request to a route of the gateway, as rows of data.

row            contents
`TableQuery`   the route, the columns of the table, the sentence for an empty list
`RouteVerb`    the route, the request body, the sentence that reports success
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

import click

from mcpgateway.cli.client import LIMIT_S, GatewayClient
from mcpgateway.cli.console import (
    Part,
    Trouble,
    answer,
    answer_list,
    paragraph,
    remedy,
    spinner,
    styled,
    table,
)
from mcpgateway.cli.context import Globals
from mcpgateway.hints import cli

Cell = Callable[[Mapping[str, Any]], Part]
WAITS = "asking the gateway"
NO_GATEWAY = "what answers there is no gateway"
OF_TEXT = frozenset(("configuration", "unreadable"))  # causes that name the place of an error in a file
UNSERVED = "mcpgateway.cli.local.unserved"  # needed for an error only
UNKNOWN = "Unknown server: "
BROKEN = "mcpgateway.cli.local.broken"  # not imported at the top: the reader of files takes a while to load


ANY_SERVER = cli("why SERVER")
"""The command in the usual remedies of errors that know no name."""


def ask(  # noqa: PLR0913 - each is a part of the request
    globals_: Globals,
    route: str,
    *,
    method: str = "GET",
    params: Mapping[str, object] | None = None,
    body: object = None,
    limit_s: float = LIMIT_S,
    waits: str = WAITS,
    is_admin: bool = False,
    headers: Mapping[str, str] | None = None,
    has: str = "",
    **names: Any,
) -> Any:
    """Ask the gateway; return the body of its answer, decoded from JSON.

    :param route: the path; ``{name}`` stands for an argument.
    :param params: the parameters of the URL's query; empty ones are left out.
    :param waits: the text of the spinner.
    :param has: a member that the answer of a gateway has; empty where the answer may be any value.
    :param names: the arguments of the route.
    :raise Trouble: no gateway answers, or it refuses.
    """
    path = route.format_map({name: quote(str(value), safe="") for name, value in names.items()})
    query = {name: str(value) for name, value in (params or {}).items() if value}
    client = GatewayClient(globals_, is_admin=is_admin)
    try:
        with spinner(waits):
            found = client.fetch(
                path + (f"?{urlencode(query)}" if query else ""),
                method=method,
                body=body,
                limit_s=limit_s,
                headers=headers,
            )
    except Trouble as why:
        server = names.get("server") or names.get("name")
        if server:
            why.hint = why.hint.replace(ANY_SERVER, cli("why {}", str(server)))
            if why.message.startswith(UNKNOWN) and not globals_.url:
                found = import_module(UNSERVED).found_in_a_file(str(server), globals_.home, os.environ)
                why.hint = found or why.hint
        raise
    if has and not (isinstance(found, dict) and has in found):
        client.unreachable(NO_GATEWAY)
    return found


def tell_need(name: str, need: Mapping[str, str]) -> None:
    """Print what a server, or another thing, needs of the user, with its remedy."""
    says = need["says"]
    if need["cause"] in OF_TEXT:
        says = import_module(BROKEN).with_excerpt(says)
    if says.startswith(name):  # the place of an error, which begins with the file
        paragraph("  ", styled(name, bold=True), says.removeprefix(name))
    else:
        paragraph("  ", styled(name, bold=True), f": {says}")
    remedy(need["do"], need["run"], "    ", key=need.get("key", ""))


class TableQuery(NamedTuple):
    """A request whose answer is a list of rows.

    :ivar route: the path; ``{name}`` stands for an argument.
    :ivar columns: the cell of each column, by its title.
    :ivar key: the member of the answer with the rows; empty if the answer is the list itself.
    :ivar none: the sentence for an empty list, and below it the next step.
    :ivar waits: the text of the spinner.
    :ivar cuts: the column whose cells lose their middle rather than be folded; empty for none.
    """

    route: str
    columns: Mapping[str, Cell]
    key: str = ""
    none: str = ""
    method: str = "GET"
    limit_s: float = LIMIT_S
    waits: str = WAITS
    cuts: str = ""

    def ask(
        self, globals_: Globals, params: Mapping[str, object] | None = None, body: object = None, **names: Any
    ) -> Any:
        """Ask the gateway; return its answer, in which `rows` finds the rows.

        :raise Trouble: no gateway answers, or it refuses.
        """
        found = ask(
            globals_,
            self.route,
            method=self.method,
            params=params,
            body=body,
            limit_s=self.limit_s,
            waits=self.waits,
            **names,
        )
        if not isinstance(self._held(found), list):
            GatewayClient(globals_).unreachable(NO_GATEWAY)
        return found

    def rows(self, found: Any) -> list[dict[str, Any]]:
        """Return the rows of an answer."""
        return [each for each in self._held(found) if isinstance(each, dict)]

    def tell(self, found: Any) -> None:
        """Print an answer for a person."""
        rows = self.rows(found)
        if rows:
            rows_table(self.columns, rows, cuts=self.cuts)
        else:
            paragraph(self.none)

    def run(self, globals_: Globals, params: Mapping[str, object] | None = None, **names: Any) -> Any:
        """Ask, print the answer as JSON or as a table, and return it."""
        found = self.ask(globals_, params, **names)
        self.answer(globals_, found, lambda: self.tell(found))
        return found

    def answer(self, globals_: Globals, found: Any, tell: Callable[[], None]) -> None:
        """Print an answer: as JSON with its rows as ``items``, or in words."""
        more = {name: value for name, value in found.items() if name != self.key} if self.key else {}
        answer_list(globals_, self._held(found), tell, **more)

    def _held(self, found: Any) -> Any:
        if not self.key:
            return found
        return found.get(self.key) if isinstance(found, dict) else None


class RouteVerb(NamedTuple):
    """A request that changes state, and the sentence that reports its success.

    :ivar route: the path; ``{name}`` stands for an argument.
    :ivar done: the sentence; it may name arguments (``{name}``) and members of the answer (``{found[id]}``).
    :ivar body: the request body; None for none.
    :ivar is_admin: the request needs the admin token, unless it goes over the socket.
    """

    route: str
    method: str
    done: str
    body: object = None
    limit_s: float = LIMIT_S
    waits: str = WAITS
    is_admin: bool = False

    def run(
        self, globals_: Globals, body: object = None, params: Mapping[str, object] | None = None, **names: Any
    ) -> Any:
        """Send the request, report its success, and return the answer.

        :param body: in place of the row's own.
        :raise Trouble: no gateway answers, or it refuses.
        """
        found = ask(
            globals_,
            self.route,
            method=self.method,
            params=params,
            body=self.body if body is None else body,
            limit_s=self.limit_s,
            waits=self.waits,
            is_admin=self.is_admin,
            **names,
        )
        answer(globals_, found, lambda: report(self.done.format(found=found, **names), found))
        return found

    def command(
        self,
        word: str,
        says: str,
        *parameters: Callable[[Any], Any],
        body: Callable[..., object] | None = None,
    ) -> click.Command:
        """Make a command of this row.

        :param says: the help text.
        :param parameters: the command's arguments and options, by whose names the route and the sentence refer to them.
        :param body: makes the request body from all of them but ``name``.
        """

        @click.pass_obj
        def carry_out(globals_: Globals, /, **options: Any) -> None:
            sent = {key: value for key, value in options.items() if key != "name"}
            self.run(globals_, body(**sent) if body is not None else None, **options)

        made: Any = carry_out
        for each in reversed(parameters):
            made = each(made)
        return click.command(word, help=says)(made)


def sharing(found: Mapping[str, Any]) -> str:
    """Return in words by what a server is shared, and why (``GET /api/v1/servers/NAME/why``)."""
    return ": ".join(str(found[key]) for key in ("share", "share_reason") if found.get(key))


def report(sentence: str, found: Any) -> None:
    """Print the sentence of success, and the hint in the gateway's answer."""
    paragraph(sentence)
    hint = found.get("hint") if isinstance(found, dict) else ""
    if hint:
        paragraph(f"  {hint}")


def rows_table(columns: Mapping[str, Cell], rows: list[dict[str, Any]], *, cuts: str = "") -> None:
    """Print rows as a table.

    :param cuts: the column whose cells lose their middle rather than be folded; empty for none.
    """
    table(list(columns), [[cell(each) for cell in columns.values()] for each in rows], cuts=cuts)


def text(key: str, absent: str = "") -> Cell:
    """Make a cell that shows a member unchanged.

    :param absent: shown if the member is missing or empty.
    """
    return lambda row: str(row.get(key) or absent)


def number(key: str) -> Cell:
    """Make a cell that shows a number with separated thousands."""
    return lambda row: f"{row.get(key) or 0:,}"
