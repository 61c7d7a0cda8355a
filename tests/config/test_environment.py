"""What goes into a child's environment."""

from mcpgateway.config import environment


class EnvironmentTests:
    def test_own_secrets(self):
        """What belongs to the gateway itself is removed."""
        own = {
            "MCP_GATEWAY_AUTH_TOKEN": "s",
            "MCPGATEWAY_HOME": "s",
            "MCP_GATEWAY_ENV": "s",
            "MCP_CONFIG_PATH": "s",
        }
        assert environment.for_children({**own, "HOME": "/h", "MCP_X": "y"}) == {"HOME": "/h", "MCP_X": "y"}

    def test_passing(self):
        """What describes one process or shell only is removed."""
        assert (
            environment.for_children({"SHLVL": "2", "_": "x", "NOTIFY_SOCKET": "s", "CLAUDECODE": "1"}) == {}
        )

    def test_minimal(self):
        """Only what every program needs is in the small environment."""
        assert environment.minimal({"HOME": "/h", "AWS_SECRET_ACCESS_KEY": "s", "PATH": "/bin"}) == {
            "HOME": "/h",
            "PATH": "/bin",
        }

    def test_from_shell(self):
        """A shell is known by its level and its terminal."""
        assert environment.is_from_shell({"SHLVL": "1", "TERM": "xterm"})
        assert not environment.is_from_shell({"TERM": "xterm"})

    def test_code_loading(self):
        """Variables that make a program run other code are known in any case, and harmless ones are not."""
        names = [
            "LD_PRELOAD",
            "node_options",
            "PYTHONPATH",
            "BASH_FUNC_x%%",
            "PYTHONUNBUFFERED",
            "TOKEN",
            "PATH",
        ]
        assert environment.code_loading(names) == [
            *("BASH_FUNC_x%%", "LD_PRELOAD", "PATH", "PYTHONPATH", "node_options")
        ]
