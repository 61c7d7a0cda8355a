"""Settings that only the user's own files may have."""

import pytest

from mcpgateway.config.edit import permissions
from mcpgateway.config.edit.edits import Put, Remove, Rename
from mcpgateway.errors import ConfigError
from mcpgateway.policy.secrets import shapes


class PermitTests:
    """Which changes are refused."""

    @pytest.mark.parametrize(
        "change",
        [
            Put(("a", "env", "LD_PRELOAD"), "x"),
            Put(("a", "env"), {"NODE_OPTIONS": "x"}),
            Put(("a", "environment"), ["PATH=/tmp"]),
            Put(("a",), {"command": "x", "env": {"PYTHONPATH": "x"}}),
            Put(("a", "headers", "Host"), "x"),
            Put(("a",), {"url": "http://x", "headers": {"Transfer-Encoding": "x", "A": "b"}}),
            Put(("a", "headers", "A\r\nB"), "x"),
        ],
    )
    def test_refused(self, change):
        """Variables that load code and headers that lead a request are named, and their values are not."""
        with pytest.raises(ConfigError) as why:
            permissions.check(change)
        assert "/tmp" not in str(why.value)

    @pytest.mark.parametrize(
        "change",
        [
            Put(("a", "env", "TOKEN"), "x"),
            Put(("a", "headers", "Authorization"), "x"),
            Put(("a", "timeout"), 3),
            Put(("a", "args"), ["PATH=x"]),
            Remove(("a", "env", "PATH")),
            Rename(("PATH",), "b"),
        ],
    )
    def test_allowed(self, change):
        """A change of any other key is left to the configuration."""
        permissions.check(change)


class MaskTests:
    """The mask in the place of a secret."""

    @pytest.mark.parametrize(
        ("change", "keys"),
        [
            (Put(("a",), {"env": {"T": "•••"}, "args": ["--token=•••"]}), ["args[0]", "env.T"]),
            (Put(("a", "env"), ["A=1", "T=•••"]), ["env.T"]),
            (Put(("a", "url"), "https://x/?•••"), ["url"]),
            (Put(("a", "oauth", "client_secret"), "***REDACTED***"), ["oauth.client_secret"]),
            (Put(("a",), {"tools": [{"path": "/•••"}]}), ["tools[0].path"]),
        ],
    )
    def test_refused(self, change, keys):
        """The mask is never taken for a value, and each key that has it is named."""
        with pytest.raises(ConfigError) as why:
            permissions.check(change)
        assert str(why.value).startswith(", ".join(keys) + ": ")

    def test_all(self):
        """Every mask that is shown in the place of a secret is known."""
        assert shapes.MASK in permissions.MASKS
