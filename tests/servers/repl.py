"""A Python interpreter as a server on the SDK of PyPI: what is defined stays defined, for as long as it runs."""

from mcp.server.mcpserver import MCPServer

server: MCPServer = MCPServer("repl")
names: dict = {}


@server.tool()
def run(code: str) -> str:
    """Run a statement, and return the value of ``it``."""
    exec(code, names)
    return repr(names.get("it"))


server.run()
