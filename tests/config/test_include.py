"""Files that include others."""

import pytest

from mcpgateway.config.problems import Problems
from mcpgateway.config.read import FileFinder, parse, with_includes
from mcpgateway.errors import ConfigError


class Shelf:
    """Files in memory."""

    def __init__(self, **files):
        self.files = {f"/{name}.yaml": text for name, text in files.items()}

    def find(self, pattern, directory):
        """Find files by their beginning."""
        if pattern.endswith("*"):
            return sorted(each for each in self.files if each.startswith(f"/{pattern[:-1]}"))
        return [each for each in self.files if each == f"/{pattern}.yaml"]

    def read(self, path):
        """Read a file."""
        return parse(self.files[path], path)

    def all(self, name="a"):
        """Return the names of all files in their order, and what is wrong."""
        problems = Problems()
        found = with_includes(self.read(f"/{name}.yaml"), FileFinder(self.find, self.read), problems)
        return [each.file[1:-5] for each in found], [str(each) for each in problems]


class IncludeTests:
    def test_order(self):
        """An included file comes first, so that the including file outranks it."""
        shelf = Shelf(a="include: [b, c]", b="include: d", c="{}", d="{}")
        assert shelf.all() == (["d", "b", "c", "a"], [])

    def test_pattern(self):
        """A pattern stands for any number of files, even for none."""
        assert Shelf(a="include: [x*, y*]", x1="{}", x2="{}").all() == (["x1", "x2", "a"], [])

    def test_twice(self):
        """A file may be included on two roads."""
        assert Shelf(a="include: [b, c]", b="include: [d]", c="include: [d]", d="{}").all()[1] == []

    @pytest.mark.parametrize("files", [{"a": "include: a"}, {"a": "include: b", "b": "c: d\ninclude: [a]"}])
    def test_circle(self, files):
        """Files that include each other are refused where the circle closes."""
        (problem,) = Shelf(**files).all()[1]
        assert "includes a file that includes this one; take one of the two out" in problem
        assert problem.startswith(
            "/a.yaml, line 1: include" if len(files) == 1 else "/b.yaml, line 2: include[0]"
        )

    def test_depth(self):
        """Files are followed so deep and no deeper."""
        shelf = Shelf(**{f"a{number}": f"include: a{number + 1}" for number in range(20)}, a20="{}")
        (problem,) = shelf.all("a0")[1]
        assert problem == "/a8.yaml, line 1: include: includes files more than 8 deep"

    def test_missing(self):
        """A file that is not there is an error where it is named."""
        assert Shelf(a="include:\n- b").all()[1] == [
            "/a.yaml, line 2: include[0]: found 'b'; expected a file that is there"
        ]

    def test_broken(self):
        """A file that cannot be read is an error of its own, with the place that includes it."""
        found, problems = Shelf(a="include: b", b="x: y: z").all()
        assert found == ["a"]
        assert problems[0].startswith("/b.yaml, line 1, column 5: is not valid YAML")
        assert problems[0].endswith("/a.yaml, line 1: include includes it")

    def test_too_many(self):
        """A pattern that stands for too much is refused."""
        shelf = Shelf(a="include: x*", **{f"x{number}": "{}" for number in range(1001)})
        assert "stands for more than 1000 files" in shelf.all()[1][0]

    def test_cannot_find(self):
        """A pattern that cannot be searched is an error."""

        def find(pattern, directory):
            raise ConfigError("/a.yaml: cannot be read")

        problems = Problems()
        document = parse("include: [b, 3, '']", "/a.yaml")
        assert with_includes(document, FileFinder(find, Shelf().read), problems) == [document]
        assert [str(each) for each in problems] == ["/a.yaml: cannot be read"]
