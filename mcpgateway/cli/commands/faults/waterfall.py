"""The phases of one call, drawn as a waterfall: when each began, and how long it took."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mcpgateway.cli.console import say, styled
from mcpgateway.units import duration

WIDTH = 40  # characters of the bars


def draw(call: Mapping[str, Any]) -> None:
    """Print the phases of a call, and the questions that it has caused."""
    spans = [*_spans(call)]
    whole = max((at + ms for _, at, ms, _ in spans), default=0.0)
    for name, at, ms, colour in spans:
        first = min(round(WIDTH * at / whole), WIDTH - 1)
        length = max(1, round(WIDTH * ms / whole))
        bar = f"{' ' * first}{'█' * min(length, WIDTH - first)}".ljust(WIDTH)
        say(f"  {name:<26} ", styled(bar, fg=colour), f" {duration(ms / 1000)}", is_foreign=True)


def _spans(call: Mapping[str, Any]) -> Iterator[tuple[str, float, float, str]]:
    for each in call["phases"]:
        yield each["name"], each["at"], each["ms"], "cyan"
        if each["name"] == "upstream":
            for question in call["questions"]:
                yield f"  {question['method']}", question["at"], question["ms"], "yellow"
