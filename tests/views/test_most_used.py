"""The most used tools on the list of the ``hybrid`` view, from session to session."""

from __future__ import annotations

from attrs import define, field

from mcpgateway.discovery.usage import Book
from mcpgateway.hub.usage import Usage
from mcpgateway.views.specs import ViewStorage
from tests.support.gateway_in_memory import Client, MemoryGateway
from tests.support.views import Offer, Stage, tool


@define
class Memory:
    """A book that nobody writes down."""

    book: Book = field(factory=Book)

    def read(self) -> Book:
        return self.book

    def write(self, book: Book) -> bool:
        return True


class Counting(MemoryGateway):
    """A gateway that counts calls."""

    storage = ViewStorage(usage=lambda: Usage(Memory(), lambda: 0.0))


def stage() -> Stage:
    """A server with two tools, which everybody knows already."""
    made = Stage(Counting(), shared=Offer(tools=[tool("echo"), tool("add")]))
    client = made.view("/mcp/full")
    made.list(client)
    client.send(b"", "DELETE")
    return made


def call(made: Stage, client: Client, name: str) -> None:
    """Call a tool."""
    client.call(5, "tools/call", name=f"shared__{name}")
    child = made.child("shared")
    child.answer(child.asked("tools/call")[-1], {"content": []})


class MostUsedTests:
    """Sessions, and the counts that they see."""

    def test_a_new_session(self) -> None:
        """A new session is listed the tools called meanwhile, if no other client has a list that would be
        untrue then.
        """
        made = stage()
        first = made.view("/mcp")
        assert made.names(first) == []
        call(made, first, "add")
        assert made.names(first) == []
        first.send(b"", "DELETE")
        assert made.names(made.view("/mcp")) == ["shared__add"]

    def test_others(self) -> None:
        """While another has been listed the tools, all are listed the same, and nobody is told of anything."""
        made = stage()
        first = made.view("/mcp")
        assert made.names(first) == []
        call(made, first, "add")
        second = made.view("/mcp")
        assert made.names(second) == made.names(first) == []
        first.send(b"", "DELETE")
        second.send(b"", "DELETE")
        assert made.names(made.view("/mcp")) == ["shared__add"]

    def test_others_without_a_list(self) -> None:
        """A session that has not been listed the tools holds nobody up."""
        made = stage()
        first = made.view("/mcp")
        call(made, first, "add")
        assert made.names(made.view("/mcp")) == ["shared__add"]

    def test_in_order(self) -> None:
        """The most used tools are listed in their server's order, which does not change with the counts."""
        made = stage()
        first = made.view("/mcp")
        for name in ("echo", "add", "add"):
            call(made, first, name)
        assert made.names(made.view("/mcp")) == ["shared__echo", "shared__add"]
