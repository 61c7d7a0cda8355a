"""The house rules that no other tool checks."""

import ast
import re
import sys
from pathlib import Path
from typing import ClassVar

import pytest

from mcpgateway.cli.main import program
from tests.support.commands import commands

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "docs" / "_ext"))
from contracts import contracts  # noqa: E402
from from_code import attacks  # noqa: E402

PACKAGE = ROOT / "mcpgateway"
MODULES = sorted(PACKAGE.rglob("*.py"))
TESTS = sorted(each for each in (ROOT / "tests").rglob("test_*.py") if "node_modules" not in each.parts)


def named(path: Path) -> str:
    """A module as a test's parameter shows it."""
    return str(path.relative_to(ROOT))


class PackageTests:
    """What every module keeps to."""

    @pytest.mark.parametrize("path", MODULES, ids=named)
    def test_inner_packages_hold_a_docstring_only(self, path):
        """Nothing is imported through a package's ``__init__``, so nothing can go round in a circle there."""
        if path.name == "__init__.py" and path.parent != PACKAGE:
            (only,) = ast.parse(path.read_text()).body
            assert isinstance(only, ast.Expr)

    @pytest.mark.parametrize("path", MODULES, ids=named)
    def test_no_bare_notes_of_work_left_over(self, path):
        """Work left over has a number, or is not written down in the code."""
        assert not re.search(r"\b(TODO|FIXME|XXX)\b(?!\s*\(?#\d)", path.read_text())

    def test_the_top_package_is_quick_to_load(self):
        """The package itself imports nothing, since demo servers and plugins load it first."""
        tree = ast.parse((PACKAGE / "__init__.py").read_text())
        assert not [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]


class PluginTests:
    """What makes ``twistd mcpgateway`` known."""

    def test_no_package_hides_other_plugins(self):
        """There is no ``__init__.py`` in or above the plugin directory."""
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


class TestsTests:
    """What every test keeps to."""

    @pytest.mark.parametrize("path", TESTS, ids=named)
    def test_every_test_says_which_behaviour_it_pins(self, path):
        """Each test has a sentence."""
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                assert ast.get_docstring(node), f"{node.name} has no docstring"


class AttackTests:
    """The page that lists the attacks."""

    @pytest.mark.parametrize("attack", attacks(), ids=lambda attack: attack.what)
    def test_every_row_is_whole(self, attack):
        """Each attack says where it is known from, what is done, and what is seen."""
        assert all(part.strip() for part in attack)
        known = r"CVE-\d|CWE-\d|GHSA-\w|OWASP MCP\d|S\d{3}|\w+/\w+|own finding"
        assert re.search(known, attack.source)


class ContractTests:
    """The page that lists what older gateways answer."""

    PAGE = (ROOT / "docs" / "howto" / "older-gateways.rst").read_text()

    @pytest.mark.parametrize("contract", contracts(), ids=lambda contract: contract.request)
    def test_every_row_is_whole(self, contract):
        """Each request is in the table of its gateway, and it is said what is seen."""
        assert f".. contracts:: {contract.seed}\n" in self.PAGE
        assert contract.shows.endswith(".")

    def test_every_table_has_rows(self):
        """No table is of a gateway that no test knows."""
        tables = set(re.findall(r"contracts:: (\S+)", self.PAGE))
        assert tables == {each.seed for each in contracts()}
        assert ".. list-table::" not in self.PAGE


class CommandLineTests:
    """The page that lists the commands."""

    PAGE = (ROOT / "docs" / "reference" / "command-line.rst").read_text()
    # Of the shim, of the daemon and of twistd itself.
    ELSEWHERE: ClassVar = {
        *("--help", "--patience", "--target", "--server", "--view", "--ready-line"),
        *("--pidfile", "--logfile", "--demo", "--discover", "--no-adopt", "--managed"),
    }

    def test_every_command(self):
        """Each command, each verb and each option of theirs is on it."""
        assert ".. options::" in self.PAGE
        for road, command in commands():
            assert re.search(rf"``(?:[a-z]+ )*{road[-1]}\b", self.PAGE), road
            # Those of the daemon are listed where the page is made.
            for option in options(command) if road != ("serve",) else ():
                assert f"``{option}" in self.PAGE or f"[{option}" in self.PAGE or f" {option}" in self.PAGE, (
                    road,
                    option,
                )

    def test_nothing_else(self):
        """No option is on it that no command has."""
        known = {option for _, command in commands() for option in options(command)}
        known |= set(options(program)) | self.ELSEWHERE
        assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", self.PAGE)) - known == set()


def options(command):
    """The long options of a command."""
    shown = (each for each in command.params if not getattr(each, "hidden", False))
    return [word for each in shown for word in each.opts if word.startswith("--")]
