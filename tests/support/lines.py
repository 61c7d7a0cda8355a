"""Lines that are kept in memory."""

from __future__ import annotations

from attrs import define, field

from mcpgateway.errors import ConfigError


@define
class MemoryLines:
    """Lines in memory; a disk that is full takes none."""

    kept: list[str] = field(factory=list)
    is_full: bool = False
    writes: int = 0

    def append(self, lines: list[str]) -> None:
        self.writes += 1
        if self.is_full:
            raise ConfigError("activity.jsonl cannot be written: No space left on device")
        self.kept += "\n".join(lines).split("\n")

    def tail(self, number: int) -> list[str]:
        return self.kept[-number:]
