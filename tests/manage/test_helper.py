"""The program that changes clients' own files for the daemon."""

import os

import pytest
from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure

from mcpgateway.errors import ClientFilesFailed, LaunchFailed, Overloaded
from mcpgateway.interfaces import Ran
from mcpgateway.manage.helper import LIMIT_S, WAITING_LIMIT, Helper


class Runs:
    """Programs that end when the test says so."""

    def __init__(self):
        self.launched = []
        self.running = []

    def __call__(self, launch, *, is_idle, limit_s):
        self.launched.append((launch, is_idle, limit_s))
        done = Deferred()
        self.running.append(done)
        return done

    def end(self, code=0, output="{}", complaint=""):
        """The program that was started first ends."""
        self.running.pop(0).callback(Ran(code, output, complaint))


@pytest.fixture
def runs():
    return Runs()


@pytest.fixture
def helper(runs):
    return Helper(runs, "/home/me/.mcp-gateway", {"PATH": "/bin"}, ("python", "-m", "helper"))


def result(done):
    """Return the result of a Deferred."""
    found = []
    done.addBoth(found.append)
    assert found, "not yet"
    if isinstance(found[0], Failure):
        raise found[0].value
    return found[0]


class AskTests:
    def test_command_line(self, runs, helper):
        """The words of an errand stand between the program and the home, and the time is limited."""
        done = helper.ask("apply", "--yes")
        launch, is_idle, limit_s = runs.launched[0]
        assert launch.argv[:6] == ("python", "-m", "helper", "clients", "apply", "--yes")
        assert launch.argv[6:] == ("--home", "/home/me/.mcp-gateway", "--json")
        assert (is_idle, limit_s) == (False, LIMIT_S)
        assert launch.env["PATH"] == "/bin"
        runs.end(output='{"changed": true}\n')
        assert result(done) == {"changed": True}

    def test_finds_the_package(self, runs, helper):
        """The program finds this very package, also in a checkout."""
        helper.ask("sync")
        where = runs.launched[0][0].env["PYTHONPATH"].split(os.pathsep)[0]
        assert os.path.isdir(os.path.join(where, "mcpgateway"))

    def test_one_at_a_time(self, runs, helper):
        """The next errand begins when the last has ended, in order."""
        done = [helper.ask(str(number)) for number in range(3)]
        assert len(runs.launched) == 1
        runs.end(output="1")
        runs.end(code=1)
        runs.end(output="3")
        assert result(done[0]) == 1
        with pytest.raises(ClientFilesFailed):
            result(done[1])
        assert result(done[2]) == 3

    def test_too_many(self, runs, helper):
        """A caller is refused where too many wait."""
        for _ in range(WAITING_LIMIT + 1):
            helper.ask("sync")
        with pytest.raises(Overloaded):
            result(helper.ask("sync"))


class FailureTests:
    @pytest.mark.parametrize(
        ("ran", "why", "hint"),
        [
            (
                {"code": 1, "output": '{"error": "no such file", "hint": "look again"}'},
                "no such file",
                "look again",
            ),
            ({"code": 1, "output": "", "complaint": "Traceback\n  line\nKeyError: x\n"}, "KeyError: x", ""),
            ({"code": 3, "output": ""}, "it ended with exit code 3", ""),
            ({"code": None, "output": ""}, "it took longer than 30 s, or said too much, and was ended", ""),
            ({"code": 0, "output": "no JSON"}, "it ended with exit code 0", ""),
        ],
    )
    def test_told(self, runs, helper, ran, why, hint):
        """A failure is reported in one line, in the program's own words where it has some."""
        done = helper.ask("sync")
        runs.end(**ran)
        with pytest.raises(ClientFilesFailed) as caught:
            result(done)
        assert (str(caught.value), caught.value.hint) == (why, hint)

    def test_cannot_be_started(self):
        """A program that cannot be started is reported with the reason."""
        helper = Helper(lambda *_, **__: fail(LaunchFailed("no python")), "/", {})
        with pytest.raises(ClientFilesFailed) as caught:
            result(helper.ask("sync"))
        assert "no python" in str(caught.value)
