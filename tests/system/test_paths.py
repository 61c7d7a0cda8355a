"""Where files are."""

from mcpgateway.system import paths


class PathsTests:
    def test_home(self):
        """The home is the one that is named, else the variable's, else below the user's."""
        environ = {"HOME": "/u"}
        assert paths.gateway_home(environ) == "/u/.mcp-gateway"
        assert paths.gateway_home({**environ, "MCPGATEWAY_HOME": "~/g"}) == "/u/g"
        assert paths.gateway_home({**environ, "MCPGATEWAY_HOME": "/g"}, "/named") == "/named"

    def test_claude_file(self):
        """Claude Code's file moves with CLAUDE_CONFIG_DIR."""
        assert paths.claude_file({"HOME": "/u"}) == "/u/.claude.json"
        assert paths.claude_file({"HOME": "/u", "CLAUDE_CONFIG_DIR": "/c"}) == "/c/.claude.json"

    def test_immorterm(self):
        """The predecessor's file is found in the user's home."""
        found = paths.immorterm_classification({"HOME": "/u"})
        assert found == "/u/.immorterm/mcp-gateway/classification.json"

    def test_absolute(self):
        """A tilde is the user's home, and dots are resolved."""
        environ = {"HOME": "/u"}
        assert paths.absolute("~", environ) == "/u"
        assert paths.absolute("~/a/../b", environ) == "/u/b"
        assert paths.absolute("/a/./b", environ) == "/a/b"

    def test_without_home(self):
        """Without HOME the user's home is still known."""
        assert paths.user_home({}).startswith("/")
