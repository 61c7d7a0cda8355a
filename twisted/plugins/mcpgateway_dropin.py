"""Makes ``twistd mcpgateway`` and ``twist mcpgateway`` known; imports nothing of ours, so that listing stays fast."""

from twisted.application.service import ServiceMaker

mcpgateway = ServiceMaker(
    "mcpgateway",
    "mcpgateway.tap",
    "Share one set of MCP servers among many MCP clients.",
    "mcpgateway",
)
