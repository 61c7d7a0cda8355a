"""Reference tables made from the code that defines what they list, so that they cannot lag behind it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, NamedTuple

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx

import mcpgateway

PACKAGE = Path(mcpgateway.__file__).parent
TESTS = PACKAGE.parent / "tests"
LITERAL = re.compile(r"``(.+?)``")
LEVELS = {"debug", "info", "warn", "error", "critical", "failure"}


class Event(NamedTuple):
    """One event of the log."""

    name: str
    level: str
    sentence: str
    module: str


def events() -> list[Event]:
    """Every event that a module of the package logs."""
    found = {event for path in PACKAGE.rglob("*.py") for event in events_of(path)}
    return sorted(found)


def events_of(path: Path) -> Iterator[Event]:
    """The events that one module logs: calls of a logger that have an ``event``."""
    text = path.read_text()
    if "event=" not in text:  # to parse all modules takes a quarter of the build
        return
    module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
    for node in ast.walk(ast.parse(text)):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        names = [ast.literal_eval(word.value) for word in node.keywords if word.arg == "event"]
        if node.func.attr in LEVELS and names and node.args:
            yield Event(names[0], node.func.attr, ast.literal_eval(node.args[0]), module)


class EventTable(Directive):
    """``.. events::`` - all events, their levels and sentences."""

    def run(self) -> list[nodes.Node]:
        """Build the table."""
        rows = [
            (nodes.literal(text=name), nodes.Text(level), nodes.Text(sentence), nodes.literal(text=module))
            for name, level, sentence, module in events()
        ]
        return [table(("Event", "Level", "Sentence", "Module"), (22, 8, 50, 20), rows)]


class OptionTable(Directive):
    """``.. options::`` - what follows ``twistd mcpgateway`` on a command line."""

    SKIPPED: ClassVar = {"version", "help"}

    def run(self) -> list[nodes.Node]:
        """Build the table."""
        from mcpgateway.tap import Options

        options = Options()
        rows = []
        for name, text in sorted(documented(options)):
            rows.append((nodes.literal(text=f"--{name}"), nodes.Text(text)))
        return [table(("Option", "Meaning"), (25, 75), rows)]


class FormerCommands(Directive):
    """``.. former-commands::`` - the commands of older releases, and what they are now."""

    def run(self) -> list[nodes.Node]:
        """Build the table."""
        from mcpgateway.cli.aliases import MERGED

        rows = [
            (nodes.literal(text=" ".join(former)), nodes.literal(text=" ".join(now)))
            for former, now in sorted(MERGED.items())
        ]
        return [table(("Former command", "Command"), (30, 70), rows)]


class RecipeTable(Directive):
    """``.. recipes::`` - the servers that can be installed by name, and what each of them asks for."""

    def run(self) -> list[nodes.Node]:
        """Build the table."""
        from mcpgateway.config.recipes import read_recipes
        from mcpgateway.system.package_data import recipes

        rows = []
        for name, each in sorted(read_recipes(recipes()).items()):
            asks = [f"{need.name} ({need.about})" for need in (*each.values, *each.variables)]
            said = f"{each.about} {each.quirks}".strip()
            rows.append((nodes.literal(text=name), nodes.Text(said), nodes.Text("; ".join(asks))))
        return [table(("Name", "What it is", "What it asks for"), (15, 45, 40), rows)]


class RouteTable(Directive):
    """``.. routes:: GROUP`` - the routes of one group of operations of the control plane."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Build the table."""
        from mcpgateway.frontends.http.routes import ROUTES

        rows = []
        for each in ROUTES:
            if each.operation.partition(".")[0] == self.arguments[0]:
                more = [f"?{one.name}=: {one.what}" for one in each.query]
                more += [f"{one.name}: {one.what}" for one in each.heeds]
                said = f"{each.summary} {'; '.join(more)}{'.' if more else ''}".strip()
                request = nodes.literal(text=f"{each.method} {each.path.replace(':path', '')}")
                good = ", ".join(str(status) for status in each.gives)
                rows.append((request, nodes.Text(each.access.value), nodes.Text(good), nodes.Text(said)))
        return [table(("Request", "Class", "Answer", "What it does"), (36, 10, 8, 46), rows)]


class MetricTable(Directive):
    """``.. metrics::`` - everything that Prometheus is told."""

    def run(self) -> list[nodes.Node]:
        """Build the table."""
        from mcpgateway.frontends.http.metrics import FAMILIES
        from mcpgateway.frontends.http.nodes.metrics import CLUSTER_FAMILIES

        rows = []
        for each in (*FAMILIES, *CLUSTER_FAMILIES):
            labels = nodes.Text(", ".join(each.labels))
            rows.append((nodes.literal(text=each.name), nodes.Text(each.kind), labels, nodes.Text(each.what)))
        return [table(("Name", "Kind", "Labels", "What it is"), (34, 9, 15, 42), rows)]


class FindingTable(Directive):
    """``.. findings::`` - what the doctor can find amiss, what it means, and what to do."""

    def run(self) -> list[nodes.Node]:
        """Build the table."""
        from mcpgateway.cli.doctor.examination import kinds

        rows = []
        for each in kinds():
            advice = f"{each.advice[:1].upper()}{each.advice[1:]}." if each.advice else "Nothing."
            level = f"{each.level.value}, --fix" if each.is_fixable else each.level.value
            rows.append(
                (nodes.literal(text=each.id), nodes.Text(level), nodes.Text(f"{each.means} {advice}"))
            )
        return [table(("Finding", "Level", "What it means, and what to do"), (22, 12, 66), rows)]


def roads() -> list[tuple[str, int]]:
    """The paths that `tests/house/roads.py` walks, and how many modules each may cross."""
    tree = ast.parse((TESTS / "house" / "roads.py").read_text())
    limits = next(
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and [ast.unparse(each) for each in node.targets] == ["LIMITS"]
    )
    assert isinstance(limits, ast.Dict)
    return [
        (ast.literal_eval(name), ast.literal_eval(limit.args[0]))
        for name, limit in zip(limits.keys, limits.values, strict=True)
        if name is not None and isinstance(limit, ast.Call)
    ]


class RoadTable(Directive):
    """``.. roads::`` - how many modules one request crosses, for each kind of client and server."""

    def run(self) -> list[nodes.Node]:
        """Build the table."""
        rows = [(nodes.Text(name[:1].upper() + name[1:]), nodes.Text(str(limit))) for name, limit in roads()]
        return [table(("Path", "Modules at most"), (75, 25), rows)]


class Attack(NamedTuple):
    """One attack that a test makes.

    :ivar source: where it is known from.
    :ivar what: what is done.
    :ivar sentence: what the test sees.
    """

    source: str
    what: str
    sentence: str


def attacks() -> list[Attack]:
    """Every attack that a test makes, in the order of the tests."""
    paths = [*sorted(TESTS.glob("functional/test_attacks*.py")), *sorted(TESTS.glob("browser/test_*.py"))]
    return [each for path in paths for each in attacks_of(path)]


def attacks_of(path: Path) -> Iterator[Attack]:
    """The attacks of one file: its tests that are marked with ``@attack(source, what)``."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for mark in node.decorator_list:
                if (
                    isinstance(mark, ast.Call)
                    and isinstance(mark.func, ast.Name)
                    and mark.func.id == "attack"
                ):
                    source, what = (ast.literal_eval(each) for each in mark.args)
                    yield Attack(source, what, " ".join((ast.get_docstring(node) or "").split()))


class AttackTable(Directive):
    """``.. attacks::`` - the attacks that tests make: what is done, where it is known from, what comes of it."""

    def run(self) -> list[nodes.Node]:
        """Build the table."""
        rows = [
            (
                nodes.Text(f"{each.what[:1].upper()}{each.what[1:]}"),
                nodes.Text(each.sentence),
                nodes.Text(each.source),
            )
            for each in attacks()
        ]
        return [table(("What is tried", "What comes of it", "Known from"), (28, 44, 28), rows)]


def documented(options: object) -> Iterator[tuple[str, str]]:
    """Name and meaning of every option that a `usage.Options` declares."""
    for parameter in options.optParameters:
        yield f"{parameter[0]}=", parameter[3]
    for flag in options.optFlags:
        yield flag[0], flag[2]
    for name in dir(type(options)):
        if name.startswith("opt_") and name[4:] not in OptionTable.SKIPPED:
            text = getattr(type(options), name).__doc__ or ""
            yield f"{name[4:].replace('_', '-')}=", " ".join(text.split())


def table(heads: tuple[str, ...], widths: tuple[int, ...], rows: list[tuple[nodes.Node, ...]]) -> nodes.table:
    """A docutils table."""
    group = nodes.tgroup(cols=len(heads))
    group.extend(nodes.colspec(colwidth=width) for width in widths)
    group += nodes.thead("", row([nodes.Text(head) for head in heads]))
    group += nodes.tbody("", *[row(cells) for cells in rows])
    return nodes.table("", group, classes=["colwidths-given"])


def row(cells: list[nodes.Node] | tuple[nodes.Node, ...]) -> nodes.row:
    """One row of a table."""
    return nodes.row("", *[nodes.entry("", nodes.paragraph("", "", *prose(cell))) for cell in cells])


def prose(cell: nodes.Node) -> list[nodes.Node]:
    """Return a cell with the literals that its text has between double backquotes."""
    if not isinstance(cell, nodes.Text):
        return [cell]
    parts = LITERAL.split(cell.astext())
    return [nodes.literal(text=each) if at % 2 else nodes.Text(each) for at, each in enumerate(parts) if each]


def setup(app: Sphinx) -> dict[str, bool]:
    """Make the directives known to Sphinx."""
    app.add_directive("events", EventTable)
    app.add_directive("recipes", RecipeTable)
    app.add_directive("former-commands", FormerCommands)
    app.add_directive("options", OptionTable)
    app.add_directive("findings", FindingTable)
    app.add_directive("routes", RouteTable)
    app.add_directive("metrics", MetricTable)
    app.add_directive("attacks", AttackTable)
    app.add_directive("roads", RoadTable)
    return {"parallel_read_safe": True}
