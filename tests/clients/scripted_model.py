"""A model that decides by what an agent offers it and has told it so far, which call comes next."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from attrs import Factory, define, frozen

from tests.clients.mock_model import MockModel, Tool, Turn, Wish


@frozen
class Step:
    """A call that the model asks for next."""

    server: str
    tool: str
    arguments: Mapping[str, Any]


Decide = Callable[[Sequence[str], Callable[[str, str], bool]], Step | None]
"""Choose the next call: the results so far, and whether a server's tool is offered; None ends the turn."""


@define
class ScriptedModel(MockModel):
    """A running model with a script.

    :ivar decide: the script; it may take its time.
    :ivar last: the tool without which a request is none of the turn's, since agents also ask for titles and the like.
    :ivar heard_at: when the result of each call came (``time.monotonic``).
    """

    decide: Decide = lambda results, offers: None
    last: tuple[str, str] = ("", "")
    heard_at: list[float] = Factory(list)
    _wishes: list[Wish | None] = Factory(list)

    def wants(self, turn: Turn) -> Wish | None:
        """The call that the script chooses; a request that is repeated gets the same."""

        def found(server: str, tool: str) -> Tool | None:
            return next((each for each in turn.tools if each.is_of(server, tool)), None)

        if found(*self.last) is None:
            return None
        with self._lock:
            self.offered.update(tool.namespace + tool.name for tool in turn.tools)
            nth = len(turn.results)
            for result in turn.results[len(self.results) :]:
                self.results.append(result)
                self.heard_at.append(time.monotonic())
            if nth < len(self._wishes):
                return self._wishes[nth]
            step = self.decide(turn.results, lambda *names: found(*names) is not None)
            tool = found(step.server, step.tool) if step is not None else None
            wish = Wish(tool, step.arguments, nth) if step is not None and tool is not None else None
            self._wishes.append(wish)
            if wish is None:
                self.done = time.monotonic()
            return wish
