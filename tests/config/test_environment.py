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

    def test_sources(self):
        """Values come from a few variables more, of which none is a secret either."""
        assert environment.sources({"GOPATH": "/go", "HOME": "/h", "TOKEN": "s"}) == {
            "GOPATH": "/go",
            "HOME": "/h",
        }

    def test_refused(self):
        """What can load code is refused, in any case, and some more."""
        names = (
            "LD_PRELOAD LD_LIBRARY_PATH LD_AUDIT LD_DEBUG LD_PROFILE LD_ORIGIN_PATH DYLD_INSERT_LIBRARIES"
            " DYLD_LIBRARY_PATH DYLD_FALLBACK_LIBRARY_PATH DYLD_FRAMEWORK_PATH PYTHONPATH PYTHONSTARTUP PYTHONUSERSITE"
            " PYTHONHOME PYTHONINSPECT NODE_OPTIONS NODE_PATH JAVA_TOOL_OPTIONS _JAVA_OPTIONS JAVA_OPTIONS RUBYOPT"
            " RUBYLIB PERL5LIB PERL5OPT PATH SHELL IFS GCONV_PATH BASH_ENV ENV GIT_SSH_COMMAND"
            " GIT_EXTERNAL_DIFF DOTNET_STARTUP_HOOKS LUA_INIT_5_4 HOME XDG_CONFIG_HOME PIP_CONFIG_FILE UV_INDEX"
        ).split()
        assert len(names) > 25
        assert environment.refused(names) == sorted(names)
        assert environment.refused(each.lower() for each in names) == sorted(each.lower() for each in names)
        assert environment.refused(["TOKEN", "PYTHONUNBUFFERED", "MY_PATH"]) == []

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
            "HOME",
            "UV_CACHE_DIR",
        ]
        assert environment.code_loading(names) == [
            *("BASH_FUNC_x%%", "LD_PRELOAD", "PATH", "PYTHONPATH", "node_options")
        ]
