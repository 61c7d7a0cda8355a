"""Typed values out of places, each with the sentence that says what is allowed there."""

from __future__ import annotations

import re

from mcpgateway.config.document import Place, shown

DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?")
UNIT_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
# Longer waits than a year are mistakes, and a timer could not hold them.
DURATION_LIMIT_S = 366 * 86400.0
DURATION_WORDS = "a duration such as 30s, 2m, 500ms or a number of seconds"


def duration_s(place: Place) -> float:
    """Read a duration in seconds: a number, or a number with its unit."""
    return _seconds(place, 1.0, DURATION_WORDS)


def duration_ms(place: Place) -> float:
    """Read a number of milliseconds, as keys that end in ``_ms`` have them, in seconds."""
    return _seconds(place, 0.001, "a number of milliseconds")


def text(place: Place) -> str:
    """Read a text."""
    if not isinstance(place.value, str):
        raise place.wrong("text")
    if "\0" in place.value:
        raise place.wrong_secret("text without a NUL")
    return place.value


def flag(place: Place) -> bool:
    """Read true or false."""
    if not isinstance(place.value, bool):
        raise place.wrong("true or false")
    return place.value


def whole(place: Place, least: int, most: int) -> int:
    """Read a whole number within bounds."""
    value = place.value
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise place.wrong(f"a whole number from {least} to {most}")
    return value


def secret(place: Place) -> str:
    """Read a text that messages must not show."""
    if not isinstance(place.value, str) or "\0" in place.value:
        raise place.wrong_secret("text")
    return place.value


def texts(place: Place) -> tuple[str, ...]:
    """Read a list of texts; one text alone counts as a list of one."""
    if isinstance(place.value, str):
        return (text(place),)
    if not isinstance(place.value, list):
        raise place.wrong("a list of texts")
    return tuple(text(each) for each in place.items())


def words(place: Place) -> tuple[str, ...]:
    """Read a list of arguments, in which a number or a boolean stands for its text; they are never shown."""
    if not isinstance(place.value, list):
        raise place.wrong_secret("a list of texts")
    return tuple(plain(each) for each in place.items())


def plain(place: Place) -> str:
    """Read a text, or a number or boolean as the text it was written as; it is never shown."""
    match place.value:
        case str() if "\0" not in place.value:
            return place.value
        case bool():
            return place.document.written.get(place.path, "true" if place.value else "false")
        case int() | float():
            return place.document.written.get(place.path, str(place.value))
        case _:
            raise place.wrong_secret("text")


def variables(place: Place) -> dict[str, str]:
    """Read environment variables, from a mapping or from a list of ``KEY=VALUE``; values are never shown."""
    found: dict[str, str] = {}
    if isinstance(place.value, dict):
        for key in place.value:
            if not key or "=" in key or "\0" in key:
                raise place.wrong_secret(f"names of variables, not {shown(key)}")
            if place.value[key] is not None:
                found[key] = plain(place.at(key))
    elif isinstance(place.value, list):
        for index, each in enumerate(place.value):
            name, equals, value = each.partition("=") if isinstance(each, str) else ("", "", "")
            if not name or not equals or "\0" in each:
                raise place.at(index).wrong_secret("KEY=VALUE")
            found[name] = value
    else:
        raise place.wrong_secret("a mapping, or a list of KEY=VALUE")
    return found


def mapping(place: Place) -> Place:
    """Check that a place holds a mapping."""
    if not isinstance(place.value, dict):
        raise place.wrong_secret("a mapping")
    return place


def seconds_in(text: str, unit: float = 1.0) -> float | None:
    """The seconds that a text such as ``30s`` means; None where it means none, or too many.

    :param unit: what a number alone counts, in seconds.
    """
    match = DURATION.fullmatch(text.strip())
    if match is None or len(match[1]) >= 20:
        return None
    seconds = float(match[1]) * (UNIT_SECONDS[match[2]] if match[2] else unit)
    return seconds if seconds <= DURATION_LIMIT_S else None


def _seconds(place: Place, unit: float, expected: str) -> float:
    value = place.value
    seconds: float | None = None
    if isinstance(value, str):
        seconds = seconds_in(value, unit)
    elif isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 10**15:
        seconds = value * unit
    if seconds is None or not 0 <= seconds <= DURATION_LIMIT_S:
        raise place.wrong(expected)
    return float(seconds)
