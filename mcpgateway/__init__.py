"""mcpgateway lets many MCP clients share one set of MCP servers."""

__version__ = "0.1.0"
