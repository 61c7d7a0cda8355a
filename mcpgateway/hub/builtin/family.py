"""Builds the gateway's own tools."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from mcpgateway.hub.builtin.builtin import Builtin
from mcpgateway.hub.builtin.directory import Directory, Librarian
from mcpgateway.hub.builtin.finding import Describe, DescribeTool, Finder, ListTools, Means, Search
from mcpgateway.hub.builtin.invoking import CallTool, Invoke, Invoking
from mcpgateway.hub.builtin.later import InvokeAsync, InvokeStatus
from mcpgateway.hub.builtin.news import News
from mcpgateway.hub.builtin.results import GetResult, Vault
from mcpgateway.hub.builtin.status import ListAllServers, ListServers, Sight, Status
from mcpgateway.hub.jobs import Jobs


@frozen
class Around:
    """What the gateway's own tools work with.

    :ivar clock: ends what takes too long.
    """

    librarian: Librarian
    vault: Vault
    jobs: Jobs
    sight: Sight
    clock: Any


def make_builtin(around: Around) -> Builtin:
    """All of them but those that manage servers, in the order they are listed in."""
    own = Builtin(())
    directory = Directory(around.librarian)
    means = Means(directory, Finder(own, around.clock), around.sight, own, News(directory))
    invoking = Invoking(means, around.clock)
    own.add(
        [
            Search(means),
            Describe(means),
            Invoke(invoking),
            InvokeAsync(invoking, around.jobs),
            InvokeStatus(around.jobs),
            GetResult(around.vault),
            ListServers(around.sight),
            ListTools(means),
            DescribeTool(means),
            CallTool(invoking),
            ListAllServers(around.sight),
            Status(around.sight),
        ]
    )
    return own
