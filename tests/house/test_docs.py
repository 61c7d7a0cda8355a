"""The documentation names modules and files that exist."""

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "mcpgateway"
DATA = "data"  # a directory of the package that is no package
FLOORS = {path.stem for path in PACKAGE.iterdir() if not path.stem.startswith(("_", "."))} - {DATA}
FORMER = {"bridge", "ctl", "doors", "host", "rules", "wire"}  # what some floors were called
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *(path for path in sorted((ROOT / "docs").rglob("*.rst")) if path.parent.name != "newsfragments"),
]
QUOTED = re.compile(r"`([^`\s]+)`")
FILE = re.compile(r"(?:docs|tests|tap|twisted)/[\w./-]*\w|mcpgateway/[\w/]+\.py")
MODULE = re.compile(r"(?:mcpgateway[./])?((\w+)(?:[./]\w+)+)")
OTHER = re.compile(r".*\.(?:ya?ml|json|toml|d)")  # a user's file, such as ``config.yaml``


def is_module(name: str) -> bool:
    """Return whether a dotted name is a module, a package, or a name that a module defines."""
    path = PACKAGE.joinpath(*name.split("."))
    if path.is_dir() or path.with_suffix(".py").is_file():
        return True
    module, _, last = name.rpartition(".")
    source = PACKAGE.joinpath(*module.split(".")).with_suffix(".py")
    return source.is_file() and re.search(rf"\b{last}\b", source.read_text()) is not None


def missing(text: str) -> Iterator[str]:
    """The files and modules of the project that a text names in quotes and that do not exist."""
    for name in QUOTED.findall(text):
        if FILE.fullmatch(name) and (ROOT / name).exists():
            continue
        module = MODULE.fullmatch(name.removesuffix(".py"))
        if module and module[2] in FLOORS | FORMER and not OTHER.fullmatch(name):
            if not is_module(module[1].replace("/", ".")):
                yield name
        elif FILE.fullmatch(name):
            yield name


class NameTests:
    """The names in quotes."""

    def test_each_exists(self) -> None:
        """Every module and file of the project that a page names exists."""
        found = {str(page.relative_to(ROOT)): sorted(set(missing(page.read_text()))) for page in PAGES}
        assert {page: names for page, names in found.items() if names} == {}

    def test_each_test_exists(self) -> None:
        """Every test that the page of the extension names exists."""
        page = (ROOT / "docs/reference/editor.rst").read_text()
        named = re.findall(r"``(test_\w+\.py)::(\w+)::(\w+)``", page)
        sources = {path.name: path.read_text() for path in (ROOT / "tests/editor").glob("test_*.py")}
        bodies = {
            (file, name): body
            for file, text in sources.items()
            for name, body in re.findall(r"^class (\w+):\n((?:[ \n].*\n?|\n)*)", text, re.MULTILINE)
        }
        assert named
        assert [each for each in named if f"def {each[2]}(" not in bodies.get(each[:2], "")] == []
        units = set(re.findall(r"``([a-z_]+\.test\.ts)``", page))
        assert units
        assert {each for each in units if not (ROOT / "ui/vscode/test" / each).exists()} == set()

    def test_a_former_name_is_found(self) -> None:
        """A module that does not exist is found in each way of writing it, and a user's file is none."""
        former = ["hub/attic", "mcpgateway.hub.attic", "tests/attic.py"]
        present = ["hub/slot", "hub.slot.Slot", "config.d", "tests/house"]
        assert list(missing(" ".join(f"``{name}``" for name in (*former, *present)))) == former
