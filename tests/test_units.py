"""Durations and sizes in words."""

from __future__ import annotations

import pytest

from mcpgateway.units import duration, size


class UnitsTests:
    """Numbers with their units."""

    @pytest.mark.parametrize(
        ("seconds", "words"),
        [
            (0, "0 s"),
            (0.0004, "0.4 ms"),
            (0.035, "35 ms"),
            (1, "1 s"),
            (2.14, "2.1 s"),
            (9.97, "10 s"),
            (30, "30 s"),
            (59.9, "59 s"),
            (60, "1 min"),
            (315, "5 min 15 s"),
            (3599, "59 min 59 s"),
            (3600, "1 h"),
            (90_061, "25 h 1 min"),
            (273_600, "3 d 4 h"),
        ],
    )
    def test_duration(self, seconds: float, words: str) -> None:
        """A duration has the units that its reader needs, and no more than two."""
        assert duration(seconds) == words

    @pytest.mark.parametrize(
        ("number", "words"),
        [
            (0, "0 bytes"),
            (1, "1 byte"),
            (1023, "1023 bytes"),
            (1024, "1 kB"),
            (50_000, "49 kB"),
            (2**20, "1 MB"),
            (67.4 * 2**20, "67 MB"),
            (1.25 * 2**30, "1.2 GB"),
        ],
    )
    def test_size(self, number: float, words: str) -> None:
        """A size is a small number with its unit."""
        assert size(number) == words
