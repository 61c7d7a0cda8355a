"""The HTTP door: one channel, a hot road for MCP, Klein for the rest."""
