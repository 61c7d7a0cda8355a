"""Durations and sizes in words, the same everywhere: ``350 ms``, ``2.1 s``, ``3 min 5 s``; ``512 bytes``, ``41 kB``."""

from __future__ import annotations

MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86_400
KB, MB, GB = 2**10, 2**20, 2**30
SHORT = 10  # a number below it has one digit behind the point


def duration(seconds: float) -> str:
    """Return a duration with at most two units."""
    if seconds < 1:
        return f"{_figure(max(0.0, seconds) * 1000)} ms" if seconds > 0 else "0 s"
    whole = int(seconds)
    if whole < MINUTE_S:
        return f"{_figure(seconds) if seconds < SHORT else whole} s"
    if whole < HOUR_S:
        return _two(whole // MINUTE_S, "min", whole % MINUTE_S, "s")
    if whole < 2 * DAY_S:
        return _two(whole // HOUR_S, "h", whole % HOUR_S // MINUTE_S, "min")
    return _two(whole // DAY_S, "d", whole % DAY_S // HOUR_S, "h")


def size(number: float) -> str:
    """Return a number of bytes; the units are powers of 1024."""
    if number < KB:
        return "1 byte" if number == 1 else f"{number:.0f} bytes"
    if number < MB:
        return f"{_figure(number / KB)} kB"
    if number < GB:
        return f"{_figure(number / MB)} MB"
    return f"{_figure(number / GB)} GB"


def _figure(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0") if number < SHORT - 0.05 else f"{number:.0f}"


def _two(first: int, unit: str, second: int, lesser: str) -> str:
    return f"{first} {unit} {second} {lesser}" if second else f"{first} {unit}"
