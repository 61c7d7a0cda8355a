"""Makes ``twistd mcpgateway`` and ``twist mcpgateway`` known; imports nothing of ours, so that listing stays fast."""

import typing

from twisted.application.service import ServiceMaker


class _Interruptible(ServiceMaker):
    """The gateway as a plugin; Ctrl-C while its modules load ends the program without a traceback."""

    @property
    def options(self) -> typing.Any:
        """The options, by which the program begins to load the gateway."""
        from mcpgateway.system.process.interrupts import release

        release()
        return super().options


mcpgateway = _Interruptible(
    "mcpgateway",
    "mcpgateway.tap",
    "Share one set of MCP servers among many MCP clients.",
    "mcpgateway",
)
