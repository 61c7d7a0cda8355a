"""Asking for what comes from outside of all files, with real programs and the real package keyring."""

import os
import sys

import pytest

from mcpgateway.config.external_values import ExternalValue
from mcpgateway.config.problems import Problems, Where
from mcpgateway.system.secret_providers import LIMIT_BYTES, ProvidedValues
from tests.support.gateway import eventually
from tests.support.keyrings import fill, keyring
from tests.support.processes import is_alive


@pytest.fixture
def brought(tmp_path):
    """The provider of external values, in the surroundings of a user with a keyring."""
    found = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "MARK": "seen"}
    found |= keyring(tmp_path, **{"github|ada": "from-keyring", "-x|y": "dashes"})
    return ProvidedValues(lambda: found, 20.0)


class FetchTests:
    def test_command(self, brought, tmp_path):
        """A program runs in the user's surroundings, without a shell, what it prints is the value."""
        shell = "cmd:sh -c 'printf \"$MARK $PWD\\n\"'"
        brought.fetch([shell, "cmd:echo $MARK;x"])
        assert brought.values == {shell: f"seen {tmp_path}", "cmd:echo $MARK;x": "$MARK;x"}
        assert brought.failures == {}

    def test_keyring(self, brought):
        """The keyring is asked through the backend that is the user's, whatever an entry is called."""
        brought.fetch(["keyring:github/ada", "keyring:-x/y", "keyring:github/bob"])
        assert brought.values == {"keyring:github/ada": "from-keyring", "keyring:-x/y": "dashes"}
        assert brought.failures == {"keyring:github/bob": "the keyring has no such entry"}

    def test_not_installed(self, brought, monkeypatch):
        """An error without the package says how to install it."""
        monkeypatch.setitem(sys.modules, "keyring", None)
        brought.fetch(["keyring:github/ada"])
        (why,) = brought.failures.values()
        assert why.endswith("is not installed: pip install 'mcpgateway[keyring]'")

    def test_no_keyring(self, tmp_path):
        """Where there is none, as on most servers, that is said."""
        env = {"HOME": str(tmp_path), "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring"}
        brought = ProvidedValues(lambda: env, 20.0)
        brought.fetch(["keyring:github/ada"])
        assert brought.failures == {"keyring:github/ada": "there is no keyring here"}

    @pytest.mark.parametrize(
        ("command", "why"),
        [
            ("nonesuch-program", "cannot be started: No such file or directory"),
            ("sh -c 'echo hunter2; exit 3'", "has failed with exit code 3"),
            ("true", "has printed nothing"),
            ("printf '\\377'", "has printed something that is no UTF-8 text"),
            (
                f"head -c {LIMIT_BYTES + 1} /dev/zero",
                f"has printed more than {LIMIT_BYTES} bytes, and was ended",
            ),
            ("yes", f"has printed more than {LIMIT_BYTES} bytes, and was ended"),
        ],
    )
    def test_failures(self, brought, command, why):
        """A value that cannot be fetched is reported without any part of it."""
        brought.fetch([f"cmd:{command}"])
        assert brought.failures == {f"cmd:{command}": f"the command of ${{cmd:…}} {why}"}
        assert brought.values == {}

    def test_just_enough(self, brought):
        """A value of the greatest allowed length is taken."""
        name = f"cmd:sh -c 'head -c {LIMIT_BYTES} /dev/zero | tr \"\\0\" x'"
        brought.fetch([name])
        assert len(brought.values[name]) == LIMIT_BYTES

    def test_late(self, tmp_path):
        """A command that takes too long is killed with its children, even where it has ended itself."""
        brought = ProvidedValues(lambda: {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}, 0.5)
        names = ["cmd:sleep 1000", "cmd:sh -c 'sleep 1000 & echo $! > pid; echo x'"]
        brought.fetch(names)
        assert set(brought.failures.values()) == {
            "the command of ${cmd:…} took longer than 500 ms, and was ended"
        }
        eventually(lambda: not is_alive(int((tmp_path / "pid").read_text())), "what was started has ended")

    def test_former(self, brought, tmp_path):
        """A value that fails keeps its former text, with a warning; one that is not needed any more is forgotten."""
        brought.fetch(["keyring:github/ada", "cmd:echo x"])
        fill(tmp_path)
        brought.fetch(["keyring:github/ada"])
        assert brought.values == {"keyring:github/ada": "from-keyring"}
        assert not brought.lacks(["keyring:github/ada"])
        assert brought.lacks(["cmd:echo x"])
        problems = Problems()
        where = Where("/c", 1, "k")
        brought.tell([ExternalValue("keyring:github/ada", where)], problems)
        assert [str(each) for each in problems] == [
            "/c, line 1: k: the keyring has no such entry; what it was before counts on"
        ]
        assert not problems.errors

    def test_repr(self, brought):
        """No value is in a repr."""
        brought.fetch(["cmd:echo hunter2"])
        assert "hunter2" not in repr(brought) + repr(ExternalValue("cmd:echo hunter2", Where("/c")))
