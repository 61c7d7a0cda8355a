"""Problems of a configuration."""

from mcpgateway.config.problems import Problem, Problems, Where, Wrong, refusal
from mcpgateway.errors import ConfigError

HERE = Where("/c.yaml", 3, "a.b")


class ProblemTests:
    def test_one_line(self):
        """A problem is one line: where, what was found, what is allowed, and what was probably meant."""
        assert str(Problem(HERE, "'x'", "true or false", "did you mean 'y'?")) == (
            "/c.yaml, line 3: a.b: found 'x'; expected true or false; did you mean 'y'?"
        )
        assert str(Problem(Where("/c.yaml"), "there is no such file")) == "/c.yaml: there is no such file"
        assert str(Problem(Where("/c.yaml", 2), "is not valid JSON")) == "/c.yaml, line 2: is not valid JSON"

    def test_raised(self):
        """A raised problem is an error whose text is its line."""
        problem = Problem(HERE, "'x'", "y")
        assert str(Wrong(problem)) == str(problem)
        assert isinstance(Wrong(problem), ConfigError)


class ProblemsTests:
    def test_catch(self):
        """An error that is raised elsewhere becomes a problem of the file that it names."""
        problems = Problems()
        problems.catch(ConfigError("/c.yaml: cannot be read"), "/c.yaml")
        problems.catch(Wrong(Problem(HERE, "'x'", "y")), hint="it is ignored", is_error=False)
        assert [str(each) for each in problems] == [
            "/c.yaml: cannot be read",
            "/c.yaml, line 3: a.b: found 'x'; expected y; it is ignored",
        ]
        assert [each.is_error for each in problems] == [True, False]

    def test_order(self):
        """Problems are told once, file by file and down every file."""
        problems = Problems()
        for file, line in (("/b", 1), ("/a", 9), ("/b", 3), ("/a", 2), ("/b", 1)):
            problems.warn(Where(file, line), "x")
        assert [str(each) for each in problems.in_order()] == [
            *("/b, line 1: x", "/b, line 3: x", "/a, line 2: x", "/a, line 9: x")
        ]
        assert [each.where.file for each in problems.in_order(("/a",))] == ["/a", "/a", "/b", "/b"]
        assert problems.warnings == tuple(str(each) for each in problems.in_order())

    def test_soften(self):
        """Errors of others become warnings, with what becomes of them."""
        problems, others = Problems(), Problems()
        others.error(HERE, "x")
        problems.soften(others, "it is left out")
        assert (problems.errors, str(problems[0])) == ([], "/c.yaml, line 3: a.b: x; it is left out")


class RefusalTests:
    """The error of a change that cannot be used."""

    def test_a_key(self) -> None:
        """The key alone is named, since no file has the line, with the command that explains it."""
        found = refusal(Problem(Where("/h/config.yaml", 151, "servers.a.timeout", 3), "'x'", "a duration"))
        assert found.message == "nothing was changed: servers.a.timeout: found 'x'; expected a duration"
        assert "mcpgateway config explain servers.a.timeout" in found.hint

    def test_no_key(self) -> None:
        """A problem of a whole file names the file."""
        assert "/h/config.yaml" in refusal(Problem(Where("/h/config.yaml"), "cannot be read")).message
