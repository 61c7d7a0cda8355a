"""The texts of the code in the documentation, and the names of its pages."""

import re
import sys
from itertools import pairwise
from pathlib import Path

from docutils import nodes

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "docs" / "_ext"))

from from_code import events, row  # noqa: E402
from pages import unmarked  # noqa: E402

INSTALL = re.compile(r"^ *\$ ((?:pipx|uv tool) install .*?)(?: +#.*)?$", re.MULTILINE)
DOCS = ROOT / "docs"
OVERLINED = re.compile(r"^([=]+)\n(.+)\n\1$|^(.+)\n=+$", re.MULTILINE)


class MarkupTests:
    """Literals in texts that the code has."""

    def test_literals(self) -> None:
        """A text between double backquotes is a literal in a table."""
        found = row([nodes.Text("after ``/health`` and ``a``.")])
        assert [each.astext() for each in found.findall(nodes.literal)] == ["/health", "a"]
        assert not any(map(unmarked, found.findall(nodes.Text)))

    def test_what_would_be_shown(self) -> None:
        """Markup in a text is found, and the content of a literal is none."""
        assert unmarked(next(nodes.paragraph("", "a ``b``").findall(nodes.Text)))
        assert not unmarked(next(nodes.literal("", "a ``b``").findall(nodes.Text)))


class EventTests:
    """The events of the log in the reference."""

    def test_names(self) -> None:
        """Each call of a logger names its event and its sentence as literals, which the reference can read."""
        names = [each.name for each in events()]
        assert all(each == each.lower() and each.strip() for each in names)
        assert {"cluster.drain", "cluster.drain_undone"} <= set(names)


class NameTests:
    """The names of pages, and the commands of an installation."""

    def test_titles(self) -> None:
        """No two pages that a user finds in the sidebar have one title."""
        pages = [
            each for each in DOCS.rglob("*.rst") if each.parent.name not in ("newsfragments", "decisions")
        ]
        titles = sorted(
            (found[2] or found[3]).strip() for each in pages if (found := OVERLINED.search(each.read_text()))
        )
        assert [one for one, other in pairwise(titles) if one == other] == []

    def test_installation(self) -> None:
        """README installs as the documentation does."""
        commands = INSTALL.findall((DOCS / "tutorial" / "install.inc").read_text())
        assert len(commands) == 3
        assert INSTALL.findall((ROOT / "README.md").read_text()) == commands
