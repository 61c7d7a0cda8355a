"""The revisions of MCP by name, and what each of them allows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.protocol import versions
from mcpgateway.protocol.versions import LATEST_LEGACY, LEGACY


class NameTests:
    """The revision that a client asks for, and the one that it gets."""

    def test_oldest_first(self) -> None:
        """The revisions stand in their order, which as dates is that of their names."""
        assert list(LEGACY) == sorted(LEGACY)
        assert max(LEGACY) == LATEST_LEGACY
        assert len(set(LEGACY)) == len(LEGACY)

    @pytest.mark.parametrize("version", ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"])
    def test_every_released_revision(self, version: str) -> None:
        """Each released revision with a handshake is served, and answered with itself."""
        assert versions.negotiated(version) == version
        assert versions.is_legacy(version.encode())

    @pytest.mark.parametrize("version", ["2026-07-28", "2099-01-01", "", "latest", "2025-11-25 ", None])
    def test_all_others(self, version: str | None) -> None:
        """A client with any other revision is offered our latest."""
        assert versions.negotiated(version) == LATEST_LEGACY
        assert version is None or not versions.is_legacy(version.encode())

    @given(st.none() | st.text() | st.sampled_from(LEGACY))
    def test_what_is_offered_is_served(self, requested: str | None) -> None:
        """The offered revision is one whose header is accepted later, whatever was asked for."""
        offered = versions.negotiated(requested)
        assert versions.is_legacy(offered.encode())
        assert versions.negotiated(offered) == offered

    @given(st.binary(max_size=20))
    def test_headers(self, header: bytes) -> None:
        """A header is taken only if it is exactly a revision's name."""
        assert versions.is_legacy(header) is (header in [version.encode() for version in LEGACY])


class LaterTests:
    """Revisions of the modern era, by their headers."""

    @pytest.mark.parametrize("header", [*versions.MODERN, "2025-11-26", "2026-01-01", "9999-99-99"])
    def test_later(self, header: str) -> None:
        """A revision after the last legacy one is of the modern era, known or not."""
        assert versions.is_later(header.encode())

    @pytest.mark.parametrize(
        "header", [*LEGACY, "2019-01-01", "", "x", "2026-07-28 ", "20260728", "2026-07-28\0x"]
    )
    def test_not_later(self, header: str) -> None:
        """A legacy or malformed revision is not later."""
        assert not versions.is_later(header.encode())

    def test_none(self) -> None:
        """Nor is what is not there."""
        assert not versions.is_later(None)

    @given(st.binary(max_size=20))
    def test_either(self, header: bytes) -> None:
        """No header is of both eras."""
        assert not (versions.is_later(header) and versions.is_legacy(header))

    def test_the_refusal(self) -> None:
        """The refusal that makes clients fall back names every legacy revision, and no other."""
        assert all(version in versions.UNSUPPORTED for version in LEGACY)
        assert not any(version in versions.UNSUPPORTED for version in versions.MODERN)
        assert versions.Era.LEGACY.other is versions.Era.MODERN
        assert versions.Era.MODERN.other is versions.Era.LEGACY


class AllowanceTests:
    """The differences of the revisions."""

    @pytest.mark.parametrize(
        ("version", "resumes", "batches"),
        [
            ("2024-10-07", False, False),
            ("2024-11-05", False, False),
            ("2025-03-26", False, True),
            ("2025-06-18", False, False),
            ("2025-11-25", True, False),
            ("2026-07-28", False, False),
        ],
    )
    def test_table(self, version: str, *, resumes: bool, batches: bool) -> None:
        """Clients of 2025-11-25 alone take events without data; 2025-03-26 alone has batches."""
        assert versions.can_resume(version) is resumes
        assert versions.has_batches(version) is batches

    def test_the_table_is_whole(self) -> None:
        """A revision that is added has to be judged here."""
        assert LEGACY == ("2024-10-07", "2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
