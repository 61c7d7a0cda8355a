"""Two small MCP servers to try the gateway with: one that all clients may share, one that they may not."""
