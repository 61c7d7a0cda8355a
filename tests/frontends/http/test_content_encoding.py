"""The encodings that a client accepts."""

from __future__ import annotations

import pytest

from mcpgateway.frontends.http.content_encoding import accepted_encodings


class AcceptTests:
    """The header ``Accept-Encoding``."""

    @pytest.mark.parametrize(
        ("header", "names"),
        [
            (b"", {b""}),
            (b"gzip", {b"gzip"}),
            (b"GZIP;q=1.0, br ; q=0.5", {b"gzip", b"br"}),
            (b"gzip;q=0", set()),
            (b"gzip; q=0.000,br", {b"br"}),
            (b"gzip;q=0.001", {b"gzip"}),
        ],
    )
    def test_names(self, header: bytes, names: set[bytes]) -> None:
        """A name counts unless its weight is 0."""
        assert accepted_encodings(header) == names
