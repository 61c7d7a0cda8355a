"""Tables as values, and their three renderings."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen


@frozen
class Table:
    """A titled table; its first column names the row."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


def number(value: float | None, unit: str = "") -> str:
    """A figure with as many digits as it deserves."""
    if value is None:
        return "-"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f}{unit}".replace(",", " ")


def markdown(table: Table) -> str:
    """A GitHub table."""
    lines = [table.head, ["---", *("---:" for _ in table.head[1:])], *table.rows]
    body = "\n".join("| " + " | ".join(cell.replace("|", "/") for cell in line) + " |" for line in lines)
    return f"## {table.title}\n\n{body}\n" + (f"\n{table.note}\n" if table.note else "")


def text(table: Table) -> str:
    """Aligned columns for a terminal."""
    lines = [table.head, *table.rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(table.head))]
    drawn = [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    drawn.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join([table.title, "=" * len(table.title), *drawn, *([table.note] if table.note else []), ""])


def rst(table: Table) -> str:
    """A Sphinx list-table under a heading."""
    lines = [table.title, "-" * len(table.title), "", ".. list-table::", "   :header-rows: 1", ""]
    for row in (table.head, *table.rows):
        # A hyphen alone would begin a list.
        cells = [r"\-" if cell == "-" else cell for cell in row]
        lines += [f"   {'*' if column == 0 else ' '} - {cell}".rstrip() for column, cell in enumerate(cells)]
    return "\n".join([*lines, "", *([table.note, ""] if table.note else [])])
