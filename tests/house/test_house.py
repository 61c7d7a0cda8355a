"""The house rules that no other tool checks."""

import ast
import re
import sys
from pathlib import Path
from typing import ClassVar

from mcpgateway.cli.commands.running.serve_one import serve_one
from mcpgateway.cli.main import program
from tests.support.commands import commands

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "docs" / "_ext"))
from contracts import contracts  # noqa: E402
from from_code import attacks  # noqa: E402

PACKAGE = ROOT / "mcpgateway"
MODULES = sorted(PACKAGE.rglob("*.py"))


def named(path):
    """A module as a failure shows it."""
    return str(path.relative_to(ROOT))


class PackageTests:
    """The rules that every module keeps to."""

    def test_inner_packages_hold_a_docstring_only(self):
        """An inner package's ``__init__`` holds a docstring only, so that no import through it can go in a circle."""
        inner = [path for path in PACKAGE.rglob("__init__.py") if path.parent != PACKAGE]
        assert inner
        bodies = {named(path): ast.parse(path.read_text()).body for path in inner}
        assert [name for name, body in bodies.items() if [type(node) for node in body] != [ast.Expr]] == []

    def test_no_bare_notes_of_work_left_over(self):
        """Work left over has a number, or is not written down in the code."""
        bare = re.compile(r"\b(TODO|FIXME|XXX)\b(?!\s*\(?#\d)")
        assert [named(path) for path in MODULES if bare.search(path.read_text())] == []

    def test_the_top_package_is_quick_to_load(self):
        """The package itself imports nothing, since demo servers and plugins load it first."""
        tree = ast.parse((PACKAGE / "__init__.py").read_text())
        assert not [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]

    def test_facts_of_processes(self):
        """Facts of processes come from one package, which knows a macOS without /proc; others do without theirs."""
        reads = re.compile(r"""["']/proc/|proc\}/""")
        elsewhere = {
            named(path) for path in MODULES if "process" not in path.parts and reads.search(path.read_text())
        }
        assert elsewhere == {
            "mcpgateway/cli/doctor/machine.py",  # the limits of Linux
            "mcpgateway/observe/dump.py",  # the kinds of its own descriptors
            "mcpgateway/shim/fallback.py",  # /dev/fd where there is none
            "mcpgateway/system/launch/probe.py",  # a program without the gateway's packages
            "mcpgateway/system/launch/template_main.py",  # likewise
        }


class DrawingTests:
    """The drawing of the house."""

    DRAWING = (ROOT / "docs" / "explanation" / "house.txt").read_text()

    def test_the_readme_shows_it(self):
        """CONTRIBUTING shows the drawing of the documentation, which cannot be included there."""
        assert f"```\n{self.DRAWING}```" in (ROOT / "CONTRIBUTING.md").read_text()

    def test_every_floor_is_in_it(self):
        """Every package and module at the top stands in the drawing."""
        names = {
            path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
        }
        missing = (
            names
            - set(re.findall(r"[a-z]+", self.DRAWING))
            - {"__init__", "bounded", "records", "waiting", "demo", "escaping", "hints", "units"}
        )
        assert missing == set()


class PluginTests:
    """The plugin that makes ``twistd mcpgateway`` known."""

    def test_no_package_hides_other_plugins(self):
        """The plugin directory has no ``__init__.py`` in or above it."""
        assert not list((ROOT / "twisted").rglob("__init__.py"))

    def test_the_plugin_loads_nothing_of_ours(self):
        """Listing plugins stays fast: ours names its module and does not import it."""
        tree = ast.parse((ROOT / "twisted" / "plugins" / "mcpgateway_dropin.py").read_text())
        imported = [node.module for node in tree.body if isinstance(node, ast.ImportFrom)]
        assert imported == ["twisted.application.service"]

    def test_the_service_maker_is_complete(self):
        """The plugin names the module of the service maker, and the name on the command line."""
        from twisted.plugins.mcpgateway_dropin import mcpgateway

        assert (mcpgateway.module, mcpgateway.tapname) == ("mcpgateway.tap", "mcpgateway")
        assert callable(mcpgateway.makeService)
        assert mcpgateway.options().getUsage()


class AttackTests:
    """The page that lists the attacks."""

    def test_every_row_is_whole(self):
        """An attack names its source, its deed and the outcome."""
        known = re.compile(r"CVE-\d|CWE-\d|GHSA-\w|OWASP MCP\d|S\d{3}|\w+/\w+|own finding")
        assert attacks()
        broken = [row for row in attacks() if not (all(map(str.strip, row)) and known.search(row.source))]
        assert broken == []


class ContractTests:
    """The page that lists what older gateways answer."""

    PAGES = "\n".join(each.read_text() for each in sorted((ROOT / "docs/howto/migrate").glob("*.rst")))

    def test_every_row_is_whole(self):
        """A request is in the table of its gateway, with the outcome."""
        assert contracts()
        elsewhere = [each for each in contracts() if f".. contracts:: {each.seed}\n" not in self.PAGES]
        assert elsewhere == []
        assert [each for each in contracts() if not each.shows.endswith(".")] == []

    def test_every_table_has_rows(self):
        """No table is of a gateway that no test knows."""
        tables = set(re.findall(r"contracts:: (\S+)", self.PAGES))
        assert tables == {each.seed for each in contracts()}
        assert ".. list-table::" not in self.PAGES


class CommandLineTests:
    """The page that lists the commands."""

    PAGE = (ROOT / "docs" / "reference" / "command-line.rst").read_text()
    # Of the shim, of the daemon and of twistd itself.
    ELSEWHERE: ClassVar = {
        *("--help", "--patience", "--target", "--server", "--view", "--ready-line"),
        *("--pidfile", "--logfile", "--demo", "--discover", "--no-adopt", "--managed", "--welcome"),
    }

    def test_every_command(self):
        """Every command, verb and option is on the page."""
        assert ".. options::" in self.PAGE
        for road, command in commands():
            assert re.search(rf"``(?:[a-z]+ )*{road[-1]}\b", self.PAGE), road
            # Those of the daemon are listed where the page is made.
            for option in options(command) if road != ("serve",) else ():
                assert f"``{option}" in self.PAGE or f"[{option}" in self.PAGE or f" {option}" in self.PAGE, (
                    road,
                    option,
                )

    def test_one_server(self):
        """Every option of ``serve`` for one server alone is on the page."""
        section = self.PAGE.partition("\nOne server alone\n")[2].partition("\nThe daemon\n")[0]
        assert [each for each in options(serve_one) if f"``{each}" not in section] == []

    def test_nothing_else(self):
        """Every option on the page is a command's."""
        known = {option for _, command in commands() for option in options(command)}
        known |= {*options(program), *options(serve_one), *self.ELSEWHERE}
        assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", self.PAGE)) - known == set()


def options(command):
    """The long options of a command."""
    shown = (each for each in command.params if not getattr(each, "hidden", False))
    return [word for each in shown for word in each.opts if word.startswith("--")]
