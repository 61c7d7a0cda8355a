"""The machine of a server's condition, drawn and listed from the code that runs, so that neither can lag behind it."""

from __future__ import annotations

from collections import defaultdict
from math import hypot
from typing import NamedTuple
from xml.sax.saxutils import escape

from docutils import nodes
from docutils.parsers.rst import Directive
from from_code import table
from sphinx.application import Sphinx

from mcpgateway.policy.health import STATES, InstanceCondition, machine

PLACES = {
    "idle": (0, 0),
    "stopped": (0, 1),
    "disabled": (0, 2),
    "starting": (1, 1),
    "unreachable": (1, 2),
    "running": (2, 0),
    "restarting": (3, 1),
    "error": (2, 2),
    "degraded": (3, 0),
    "needs login": (0, 3),
}
"""Where each state stands: column and row."""

FROM_ALL_OVER = ("stopped", "rested", "lost", "disabled")
"""Events that come in nearly every state; they are written below the state they lead to."""

BOX, STEP, MARGIN = (116, 40), (230, 150), (130, 50)
APART = 9  # between the two arrows of a pair
CHARACTER = (6, 11)  # of a label, about
STYLE = (
    "text{font:13px system-ui,sans-serif;text-anchor:middle;fill:var(--color-foreground-primary,#222)}"
    ".box{fill:var(--color-background-secondary,#eef3f8);stroke:var(--color-brand-content,#2563a8)}"
    ".e{font-size:11px;fill:var(--color-foreground-secondary,#555)}"
    ".ground{fill:var(--color-background-primary,#fff)}path{stroke:var(--color-foreground-muted,#555);fill:none}"
    "marker path{fill:var(--color-foreground-muted,#555);stroke:none}"
)
ARROW = (
    '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
    '<path d="M0,0 L8,4 L0,8 z"/></marker></defs>'
)


class Path(NamedTuple):
    """One event that leads from one state to another."""

    source: str
    event: str
    target: str


def paths() -> list[Path]:
    """All that lead anywhere else, in the order of the states."""
    order = [state.value for state in STATES]
    found = [
        Path(source.name, event, target.name)
        for source, event, target, _ in machine().__automat_automaton__.allTransitions()
        if source is not target
    ]
    return sorted(found, key=lambda path: (order.index(path.source), order.index(path.target), path.event))


def picture() -> str:
    """The machine as SVG."""
    arrows: dict[tuple[str, str], list[str]] = defaultdict(list)
    notes: dict[tuple[str, str], list[str]] = defaultdict(list)
    for path in paths():
        if path.event in FROM_ALL_OVER:
            notes[path.target, path.event].append(path.source)
        else:
            arrows[path.source, path.target].append(path.event)
    width = MARGIN[0] + 3 * STEP[0] + BOX[0] + 10
    height = 2 * MARGIN[1] + 2 * STEP[1] + 40
    drawn = [_arrow(*pair, events, is_pair=pair[::-1] in arrows) for pair, events in arrows.items()]
    drawn += [_box(state.value) for state in STATES]
    drawn += [_note(target, event, sources) for (target, event), sources in notes.items()]
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
    head += 'aria-label="The states of a server and the events that lead from one to another">'
    ground = f'<rect class="ground" width="{width}" height="{height}"/>'
    return "\n".join([head, f"<style>{STYLE}</style>", ARROW, ground, *drawn, "</svg>"])


def _middle(state: str) -> tuple[float, float]:
    column, row = PLACES[state]
    return MARGIN[0] + column * STEP[0], MARGIN[1] + 20 + row * STEP[1]


def _box(state: str) -> str:
    x, y = _middle(state)
    box = f'<rect class="box" x="{x - BOX[0] / 2}" y="{y - BOX[1] / 2}" width="{BOX[0]}" height="{BOX[1]}" rx="8"/>'
    return f'{box}<text x="{x}" y="{y + 4}">{escape(state)}</text>'


def _note(target: str, event: str, sources: list[str]) -> str:
    x, y = _middle(target)
    others = [state.value for state in STATES if state.value not in (*sources, target)]
    where = "any state" if not others else f"any but {', '.join(others)}"
    below = PLACES[target][1] == 2  # where no arrow is
    y += BOX[1] / 2 + 16 if below else -BOX[1] / 2 - 8
    return f'<text class="e" x="{x}" y="{y}">{event}: from {escape(where)}</text>'


def _arrow(source: str, target: str, events: list[str], *, is_pair: bool) -> str:
    (x1, y1), (x2, y2) = _middle(source), _middle(target)
    length = hypot(x2 - x1, y2 - y1)
    along = (x2 - x1) / length, (y2 - y1) / length
    if is_pair:
        x1, y1, x2, y2 = (
            x1 - along[1] * APART,
            y1 + along[0] * APART,
            x2 - along[1] * APART,
            y2 + along[0] * APART,
        )
    start, end = _edge(x1, y1, along), _edge(x2, y2, (-along[0], -along[1]))
    x, y = (start[0] + end[0]) / 2, (start[1] + end[1]) / 2
    # The label stands beside its arrow, as near as its size allows.
    text = " / ".join(events)
    away = APART / 2 + abs(along[1]) * CHARACTER[0] * len(text) / 2 + abs(along[0]) * CHARACTER[1] / 2
    away = away if is_pair else -away  # on the right of its arrow only where another is on its left
    x, y = x - along[1] * away, y + along[0] * away + 4
    line = f'<path d="M{start[0]:.1f},{start[1]:.1f} L{end[0]:.1f},{end[1]:.1f}" marker-end="url(#tip)"/>'
    return f'{line}<text class="e" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'


def _edge(x: float, y: float, along: tuple[float, float]) -> tuple[float, float]:
    # Where a line from a box's middle leaves the box.
    reach = min(BOX[nth] / 2 / abs(along[nth]) if along[nth] else float("inf") for nth in (0, 1))
    return x + along[0] * reach, y + along[1] * reach


class MachinePicture(Directive):
    """``.. machine::`` - the picture of the machine."""

    def run(self) -> list[nodes.Node]:
        """Draw it."""
        return [nodes.raw("", picture(), format="html")]


class MachineEvents(Directive):
    """``.. machine-events::`` - each event of the machine, what it means and where it leads."""

    def run(self) -> list[nodes.Node]:
        """Build the table."""
        rows = [
            (nodes.literal(text=event), nodes.Text(meaning), nodes.Text(leads))
            for event, meaning, leads in events()
        ]
        return [table(("Event", "Meaning", "Leads"), (12, 44, 44), rows)]


def events() -> list[tuple[str, str, str]]:
    """Each event, its meaning, and the states it leads from and to."""
    found = []
    for event, told in vars(InstanceCondition).items():
        targets: dict[str, list[str]] = defaultdict(list)
        for path in paths():
            if path.event == event:
                targets[path.target].append(path.source)
        if targets:
            leads = "; ".join(f"{', '.join(sources)} → {target}" for target, sources in targets.items())
            found.append((event, " ".join((told.__doc__ or "").split()), leads))
    return found


def setup(app: Sphinx) -> dict[str, bool]:
    """Make the directives known to Sphinx."""
    app.add_directive("machine", MachinePicture)
    app.add_directive("machine-events", MachineEvents)
    return {"parallel_read_safe": True}
