"""The HTTP frontend: one channel, a short path for MCP, Klein for all other requests."""
