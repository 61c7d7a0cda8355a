"""Lines of files below the errors that are about them."""

from __future__ import annotations

from pathlib import Path

from mcpgateway.cli.local.broken import with_excerpt


def test_wrong_value(tmp_path: Path) -> None:
    """An error about a value has its line, and a caret at the value; other values are masked."""
    file = tmp_path / "config.yaml"
    file.write_text("servers:\n  b: {command: hunter2, timeout: 9x}\n")
    says = f"{file}, line 2: servers.b.timeout: found '9x'; expected a time"
    shown = with_excerpt(says).split("\n")
    assert shown == [says, "  b: {command: •••••••, timeout: 9x}", " " * 33 + "^"]
    assert with_excerpt("\n".join(shown)) == "\n".join(shown)


def test_another_line(tmp_path: Path) -> None:
    """An error about a line that has no such key, or a file that is gone, stays as it is."""
    file = tmp_path / "config.yaml"
    file.write_text("servers: {}\n")
    for says in (
        f"{file}, line 1: servers.b.timeout: bad",
        f"{file}, line 9: a: bad",
        f"{file}x, line 1: a: b",
    ):
        assert with_excerpt(says) == says
