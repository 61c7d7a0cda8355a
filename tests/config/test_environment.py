"""The environment of a child."""

import pytest

from mcpgateway.config import environment
from mcpgateway.config.environment import EnvPolicy, Inherited
from mcpgateway.policy.secrets.masking import is_token

PROXY = "http://me:hunter2@proxy.test:3128"  # a password that programs need as it is
LOGIN = {
    "HOME": "/h",
    "PATH": "/bin",
    "LANG": "C.UTF-8",
    "TZ": "UTC",
    "LC_TIME": "C",
    "HTTPS_PROXY": PROXY,
    "no_proxy": "localhost",
    "SSL_CERT_FILE": "/ca.pem",
    "NODE_EXTRA_CA_CERTS": "/ca.pem",
    "XDG_RUNTIME_DIR": "/run/user/1",
    "DISPLAY": ":0",
    "DBUS_SESSION_BUS_ADDRESS": "unix:path=/run/user/1/bus",
    "npm_config_registry": "https://registry.test/",
    "UV_INDEX_URL": "https://me:hunter2@index.test/simple",
    "PIP_CERT": "/ca.pem",
}
TOKENS = {
    "npm_config__authToken": "hunter2",
    "npm_config_//registry.test/:_authToken": "hunter2",
    "UV_PUBLISH_TOKEN": "hunter2",
    "UV_INDEX_CORP_PASSWORD": "hunter2",
    "PIP_X": "npm_" + "a1B2" * 9,
}
OTHERS = {
    "GITHUB_TOKEN": "hunter2",
    "SSH_AUTH_SOCK": "/run/agent",
    "AWS_PROFILE": "p",
    "EDITOR": "vi",
    "TMP": "/t",
}


class PolicyTests:
    """The variables that a child gets without a word of its entry."""

    @pytest.mark.parametrize(
        ("policy", "names"),
        [
            (EnvPolicy(Inherited.MINIMAL), {"HOME", "PATH", "LANG"}),
            (EnvPolicy(), {*LOGIN}),
            (EnvPolicy(Inherited.FULL), {*LOGIN, *TOKENS, *OTHERS}),
            (EnvPolicy(more=("SSH_AUTH_SOCK", "AWS_*")), {*LOGIN, "SSH_AUTH_SOCK", "AWS_PROFILE"}),
            (EnvPolicy(more=("UV_PUBLISH_TOKEN",)), {*LOGIN, "UV_PUBLISH_TOKEN"}),
            (EnvPolicy(Inherited.MINIMAL, ("HTTPS_PROXY",), ("HOME",)), {"PATH", "LANG", "HTTPS_PROXY"}),
            (
                EnvPolicy(Inherited.FULL, (), ("AWS_*", "GITHUB_TOKEN")),
                {*LOGIN, *TOKENS, *OTHERS} - {"AWS_PROFILE", "GITHUB_TOKEN"},
            ),
        ],
    )
    def test_table(self, policy, names):
        """Variables that programs need are passed on, proxies with passwords included; tokens only where they are
        named.
        """
        found = policy.handed_on({**LOGIN, **TOKENS, **OTHERS}, is_token)
        assert found.keys() == names
        assert found.get("HTTPS_PROXY", PROXY) == PROXY

    def test_sources(self):
        """A value may come from what is handed on and from a few variables more, of which none is a secret."""
        found = EnvPolicy().sources({**LOGIN, **TOKENS, **OTHERS, "GOPATH": "/go"}, is_token)
        assert found.keys() == {*LOGIN, "GOPATH", "TMP", "SSH_AUTH_SOCK"}
        assert EnvPolicy(Inherited.FULL).sources(OTHERS, is_token) == OTHERS


class EnvironmentTests:
    def test_own_secrets(self):
        """Variables of the gateway itself are removed."""
        own = {
            "MCP_GATEWAY_AUTH_TOKEN": "s",
            "MCPGATEWAY_HOME": "s",
            "MCP_GATEWAY_ENV": "s",
            "MCP_CONFIG_PATH": "s",
        }
        assert environment.for_children({**own, "HOME": "/h", "MCP_X": "y"}) == {"HOME": "/h", "MCP_X": "y"}

    def test_passing(self):
        """Variables of a single process or shell are removed."""
        assert (
            environment.for_children({"SHLVL": "2", "_": "x", "NOTIFY_SOCKET": "s", "CLAUDECODE": "1"}) == {}
        )

    def test_refused(self):
        """Variables that can load code are refused, in any case, and some more."""
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
