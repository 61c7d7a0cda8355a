"""A server without state, so one process serves every client: what time is it, here and elsewhere."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo

from mcpgateway.demo.stdio import DemoTool, Server, ToolError

TIMEZONE = {"type": "string", "description": "IANA name such as Europe/Rome; UTC when left out."}


def zone(name: str) -> tzinfo:
    """The time zone of an IANA name.

    :raise Unusable: no such zone is known on this machine.
    """
    if name.upper() == "UTC":
        return UTC  # known even where the system ships no time zone database
    from zoneinfo import ZoneInfo  # not before it is needed: it would double the start-up time

    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as why:
        raise ToolError(f"Unknown time zone {name!r}; use an IANA name such as Europe/Rome.") from why


def now(timezone: str = "UTC") -> str:
    """The current time in a zone, to the second."""
    return datetime.now(zone(timezone)).isoformat(timespec="seconds")


def convert(time: str, to_timezone: str, from_timezone: str = "UTC") -> str:
    """The same moment on another zone's clocks; a UTC offset inside ``time`` outranks ``from_timezone``."""
    try:
        moment = datetime.fromisoformat(time)
    except ValueError as why:
        raise ToolError(f"Cannot read the time {time!r}; write it like 2026-03-01T09:30.") from why
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone(from_timezone))
    try:
        return moment.astimezone(zone(to_timezone)).isoformat(timespec="seconds")
    except OverflowError as why:
        raise ToolError(f"The time {time!r} is too far away.") from why


def server() -> Server:
    """The clock as an MCP server."""
    return Server(
        "mcpgateway-demo-clock",
        "Tells the time anywhere. It keeps nothing, so all clients share one process.",
        [
            DemoTool("now", "Tell the current time in a time zone.", now, {"timezone": TIMEZONE}),
            DemoTool(
                "convert",
                "Convert a time from one time zone to another.",
                convert,
                {
                    "time": {"type": "string", "description": "ISO 8601, such as 2026-03-01T09:30."},
                    "from_timezone": TIMEZONE,
                    "to_timezone": {"type": "string", "description": "IANA name such as Asia/Tokyo."},
                },
                required=["time", "to_timezone"],
            ),
        ],
    )


if __name__ == "__main__":
    server().main()
