"""The structure of the package: no import goes round in a circle, nothing is too large, one name is one thing."""

import pytest

from tests.house.structure import (
    CEILINGS,
    cycles,
    declared,
    doubled,
    folders,
    graph,
    measured,
    read,
    undeclared,
    unused,
)

SETUP = """
[options]
install_requires =
    attrs >=25.1
    service-identity >=24.2
    Twisted >=26.10, <27
[options.extras_require]
keepass =
    pykeepass >=4.1, <5
test =
    %(keepass)s
    PyJWT[crypto] >=2.10
"""


class CeilingTests:
    """The numbers of the house as it stands."""

    def test_no_number_rises(self):
        """A number is at most its ceiling in ``tests/house/structure.py``, which may fall and not rise."""
        structure = measured()
        risen = [
            f"{structure.numbers[name]} {name}, at most {ceiling} are allowed:\n  "
            + "\n  ".join(structure.offenders[name])
            for name, ceiling in CEILINGS.items()
            if structure.numbers[name] > ceiling
        ]
        if risen:
            pytest.fail("\n".join(risen), pytrace=False)


class MeasuringTests:
    """The numbers are the right ones."""

    def test_source_lines(self):
        """Blank lines, comments and docstrings are none, lines of a long text are, whatever they hold."""
        head = '"""One.\n\nTwo."""\n\n# comment\nx = 1  # y\n'
        text = 'y = """a\n\n# b\n"""\n\n\ndef f():\n    """Three."""\n    return "#"\n'
        assert read("mcpgateway/a.py", head + text).lines == 7

    def test_imports_of_every_place(self):
        """An import within a function counts, and so does one for types."""
        hidden = "if TYPE_CHECKING:\n    from mcpgateway.b import B\n"
        late = "def f():\n    try:\n        import mcpgateway.c\n    except E:\n        from mcpgateway import d\n"
        files = [
            read("mcpgateway/a.py", hidden + late),
            *(read(f"mcpgateway/{each}.py", "") for each in "bcd"),
        ]
        assert graph(files)["mcpgateway.a"] == {"mcpgateway.b", "mcpgateway.c", "mcpgateway.d"}

    def test_cycles(self):
        """Modules that reach each other are one group, whichever way they do, and others are none."""
        edges = {"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": {"e"}, "e": {"d", "f"}, "f": set(), "g": {"a"}}
        assert cycles(edges) == [["a", "b", "c"], ["d", "e"]]

    def test_doubled_names(self):
        """A public class in two modules is named with both; a private one is not."""
        text = "class Kept: pass\nclass _Own: pass\n"
        files = [read("mcpgateway/a.py", text), read("mcpgateway/b/c.py", text), read("mcpgateway/d.py", "")]
        assert doubled(files) == {"Kept": ["mcpgateway.a", "mcpgateway.b.c"]}

    def test_files_of_a_folder(self):
        """A folder counts its own files, without its ``__init__``."""
        names = ("__init__", "a", "b", "inner/__init__", "inner/c")
        assert folders(read(f"mcpgateway/{each}.py", "") for each in names) == {
            "mcpgateway": 2,
            "mcpgateway/inner": 1,
        }

    def test_requirements(self):
        """A requirement that is not imported where it is for is named, and so is an import that nothing brings."""
        requirements = declared(SETUP)
        assert set(requirements) == {
            "attrs",
            "service-identity",
            "twisted",
            "pykeepass",
            "pyjwt[crypto]",
        }
        program = {
            "attrs.define",
            "twisted.web.http",
            "service_identity",
            "os.path",
            "jwt.encode",
            "mcpgateway.a",
        }
        assert unused(requirements, program, {"jwt"}) == ["pykeepass"]
        assert unused(requirements, {"pykeepass.PyKeePass"}, {"attrs"}) == [
            "attrs",
            "pyjwt[crypto]",
            "service-identity",
            "twisted",
        ]
        assert undeclared(requirements, program, {"jwt", "werkzeug.test"}) == ["jwt", "werkzeug"]
