"""The state of a running gateway."""

import json
import os
import stat

import pytest

from mcpgateway.errors import ConfigError
from mcpgateway.shim import startup
from mcpgateway.system import state

RUNNING = state.GatewayState(
    4711, 99, 9100, "1.0", 1_700_000_000.5, ("twistd", "mcpgateway"), ("127.0.0.1:9100",)
)


class StateTests:
    def test_round_trip(self, tmp_path):
        """A written state is read again, and private to its owner."""
        state.write(str(tmp_path), RUNNING)
        assert state.read(str(tmp_path)) == RUNNING
        assert stat.S_IMODE(os.stat(tmp_path / "state.json").st_mode) == 0o600

    def test_nothing(self, tmp_path):
        """Where no gateway has been, nothing is known."""
        assert state.read(str(tmp_path)) is None

    @pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 1}', '{"format": 1, "pid": "x"}'])
    def test_damaged(self, tmp_path, text):
        """A damaged state is an error with a remedy."""
        (tmp_path / "state.json").write_text(text)
        with pytest.raises(ConfigError, match="remove it if no gateway runs"):
            state.read(str(tmp_path))

    def test_newer(self, tmp_path):
        """The state of a newer gateway is not guessed at."""
        (tmp_path / "state.json").write_text(json.dumps({"format": 2}))
        with pytest.raises(ConfigError, match="newer"):
            state.read(str(tmp_path))

    def test_remove(self, tmp_path):
        """A gateway takes back what it has said itself, and nobody else's word."""
        state.write(str(tmp_path), RUNNING)
        state.remove(str(tmp_path), 4712)
        assert state.read(str(tmp_path)) == RUNNING
        state.remove(str(tmp_path), 4711)
        assert state.read(str(tmp_path)) is None
        state.remove(str(tmp_path), 4711)

    def test_alive(self):
        """A process is known by its pid and its start; another with that pid is not the one."""
        own = state.myself(9100, "1.0", 0.0, (), ())
        assert state.is_alive(own)
        assert not state.is_alive(own._replace(start_time=own.start_time + 1))

    def test_secrets(self):
        """Secrets of a command line are not in the state."""
        argv = ("twistd", "--token=abc", "--password", "def", "--home", "/h", "API_KEY=ghi", "--auth-token")
        said = " ".join(state.myself(1, "", 0.0, argv, ()).command)
        assert "abc" not in said
        assert "def" not in said
        assert "ghi" not in said
        assert "--home /h" in said


class UncleanEndTests:
    def test_ends(self):
        """The state file of a gateway that ended without a stop tells so; one of another boot tells of the machine."""
        own = state.myself(9100, "1.0", 0.0, (), ())
        assert state.unclean_end(own) == ""
        assert state.unclean_end(own._replace(start_time=own.start_time + 1)) == startup.UNCLEAN
        assert state.unclean_end(own._replace(boot="another")) == startup.REBOOT
        assert state.unclean_end(own._replace(start_time=1, boot="")) == startup.UNCLEAN
        assert state.unclean_end(state.GatewayState(exists=False)) == ""
        assert state.unclean_end(own._replace(start_time=1, trouble="it is not JSON")) == ""
