"""The run as a picture: one panel of bars for each figure, drawn as plain SVG."""

from __future__ import annotations

from collections.abc import Callable
from xml.sax.saxutils import escape

from attrs import frozen

from tests.bench.report import NAMES, ORDER
from tests.bench.results import Results, median
from tests.bench.subjects import EMPTY, OURS
from tests.bench.tables import number

WIDTH, NAME_WIDTH, VALUE_WIDTH = 760, 190, 80
BAR, GAP, TITLE_HEIGHT, PANEL_GAP = 16, 5, 26, 18
OURS_COLOUR, OTHER_COLOUR, FLOOR_COLOUR = "#2563a8", "#b9b2a6", "#dfe5ea"
STYLE = "text{font:12px system-ui,sans-serif;fill:#222}.t{font-weight:600;font-size:13px}.v{fill:#555}"


@frozen
class Panel:
    """A figure of every program that has it."""

    title: str
    bars: list[tuple[str, float]]


def picture(results: Results) -> str:
    """The whole drawing."""
    top, drawn = 10.0, []
    for panel in _panels(results):
        if panel.bars:
            text, height = _draw(panel, top)
            drawn.append(text)
            top += height + PANEL_GAP
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top:.0f}" role="img">'
    ground = f'<rect width="{WIDTH}" height="{top:.0f}" fill="#fff"/>'
    return "\n".join([head, f"<style>{STYLE}</style>", ground, *drawn, "</svg>", ""])


def _panels(results: Results) -> list[Panel]:
    def cpu(load: str) -> Callable[[str], float | None]:
        return lambda name: results.cpu_us(load, name)

    def first_call(name: str) -> float | None:
        return median(results.lives[name].called_ms) if name in results.lives else None

    def loaded(name: str) -> float | None:
        account = results.lives[name].loaded if name in results.lives else None
        return account.rss_mib if account else None

    figures: list[tuple[str, Callable[[str], float | None]]] = [
        ("CPU per 64-byte call at 16 connections, µs", cpu("echo16")),
        ("CPU per 46 KB tools/list, µs", cpu("list16")),
        ("CPU per 1 MB result, µs", cpu("big4")),
        ("exec to first call answered, ms", first_call),
        ("RSS after load, MB", loaded),
    ]
    return [Panel(title, _bars(figure)) for title, figure in figures]


def _bars(figure: Callable[[str], float | None]) -> list[tuple[str, float]]:
    return [(name, value) for name in ORDER if name != EMPTY.name and (value := figure(name)) is not None]


def _draw(panel: Panel, top: float) -> tuple[str, float]:
    longest = max(value for _, value in panel.bars) or 1.0
    room = WIDTH - NAME_WIDTH - VALUE_WIDTH
    lines = [f'<text class="t" x="10" y="{top + 12:.0f}">{escape(panel.title)}</text>']
    y = top + TITLE_HEIGHT
    for name, value in panel.bars:
        length = max(1.0, room * value / longest)
        label, middle = escape(NAMES.get(name, name)), y + BAR - 4
        lines.append(f'<text x="{NAME_WIDTH - 8}" y="{middle:.0f}" text-anchor="end">{label}</text>')
        lines.append(
            f'<rect x="{NAME_WIDTH}" y="{y:.0f}" width="{length:.1f}" height="{BAR}" fill="{_colour(name)}"/>'
        )
        lines.append(
            f'<text class="v" x="{NAME_WIDTH + length + 6:.0f}" y="{middle:.0f}">{number(value)}</text>'
        )
        y += BAR + GAP
    return "\n".join(lines), y - top


def _colour(name: str) -> str:
    if name == OURS.name:
        return OURS_COLOUR
    return FLOOR_COLOUR if name.startswith("floor-") else OTHER_COLOUR
