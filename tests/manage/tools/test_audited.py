"""Calls of the gateway's own tools that change something, written down."""

from __future__ import annotations

from typing import Any

from attrs import define, field
from msgspec import Raw

from mcpgateway.errors import InvalidParams
from mcpgateway.interfaces import Request
from mcpgateway.manage.tools.audited import audited
from mcpgateway.owntools import answers
from mcpgateway.owntools.tool import READ, RUN, WRITE
from mcpgateway.protocol.jsonrpc import own_request
from tests.support.gateway_tools import RecordingSink


@define
class Scripted:
    """A tool that does what the test says."""

    name: str
    tier: str
    fails: bool = False
    raises: bool = False
    definition: bytes = b"{}"

    def call(self, call: Request, arguments: Any, access: Any) -> None:
        if self.raises:
            raise InvalidParams("no")
        if self.fails:
            answers.failed(call, "it did not work")
        else:
            answers.text(call, {"done": True})


@define
class Somebody:
    """A caller."""

    principal: str = "local"


@define
class Book:
    """A record of events."""

    rows: list[tuple[Any, ...]] = field(factory=list)

    def managed(self, *row: Any) -> str:
        self.rows.append(row)
        return "id"


class AuditedTests:
    """Which calls are written down, and how."""

    def test_changes(self) -> None:
        """A call that changes something, or fails to, is recorded with its caller; the answer is unchanged."""
        book = Book()
        good, bad = audited(
            [Scripted("remove_server", WRITE), Scripted("install_server", RUN, fails=True)], book.managed
        )
        for tool in (good, bad):
            sink = RecordingSink()
            tool.call(
                Request(None, own_request("tools/call"), None, sink), {"name": Raw(b'"notes"')}, Somebody()
            )  # type: ignore[arg-type]
            assert len(sink.replies) == 1
        assert book.rows == [
            ("gateway_remove_server", "tools/call", 200, "local", "notes"),
            ("gateway_install_server", "tools/call", 400, "local", "notes"),
        ]
        assert (good.name, good.tier, good.definition) == ("remove_server", WRITE, b"{}")

    def test_what_is_refused(self) -> None:
        """A call that is refused at once is written down by whoever answers it in its place."""
        book, sink = Book(), RecordingSink()
        (tool,) = audited([Scripted("manage_config", WRITE, raises=True)], book.managed)
        call = Request(None, own_request("tools/call"), None, sink)
        try:
            tool.call(call, {}, Somebody())  # type: ignore[arg-type]
        except InvalidParams as why:
            answers.failed_by(call, why)
        assert book.rows == [("gateway_manage_config", "tools/call", 400, "local", "")]

    def test_looking(self) -> None:
        """A call that only reads is not recorded."""
        tool = Scripted("get_health", READ)
        assert audited([tool], Book().managed) == (tool,)
