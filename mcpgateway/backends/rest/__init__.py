"""A service without MCP as an MCP server: its requests are tools."""
