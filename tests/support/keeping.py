"""A gateway in memory that keeps the originals of what it shortens, on a real disk."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred

from mcpgateway.config.surface import ShieldLimits
from mcpgateway.hub.results.originals import Vault
from mcpgateway.system.result_files import ResultFiles
from mcpgateway.views.specs import ViewStorage
from tests.support.gateway_in_memory import MemoryGateway

LONG: dict[str, Any] = {
    "content": [{"type": "text", "text": json.dumps([f"item {each}" for each in range(500)])}]
}


class Thread:
    """Stands for the thread that has what is large: it works when it is told to."""

    def __init__(self) -> None:
        self.todo: list[tuple[Deferred[Any], Callable[[], Any]]] = []

    def do(self, function: Callable[..., Any], *args: Any) -> Deferred[Any]:
        """Work on something by and by."""
        done: Deferred[Any] = Deferred()
        self.todo.append((done, lambda: function(*args)))
        return done

    def work(self) -> None:
        """Work on all there is to do."""
        while self.todo:
            done, work = self.todo.pop(0)
            done.callback(work())


def keeping(home: Path, thread: Thread | None = None, **more: Any) -> MemoryGateway:
    """A gateway that keeps originals in a directory; what is large is worked on by that thread, or at once."""

    def vault(limits: ShieldLimits) -> Vault:
        works = {"work": thread.do} if thread is not None else {}
        return Vault(ResultFiles(str(home / "results")), limits.keep, limits.keep_bytes, lambda: 0.0, **works)

    class Keeping(MemoryGateway):
        storage = ViewStorage(vault=vault)

    return Keeping(**more)
