"""The known eras of a server, and the path that they make for each client."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.config.model import Bridge
from mcpgateway.policy import eras
from mcpgateway.policy.eras import EraPath, KnownEras
from mcpgateway.protocol.versions import Era

L, M = Era.LEGACY, Era.MODERN
facts = st.none() | st.booleans()
knowns = st.builds(KnownEras, facts, facts)
each_era = st.sampled_from(Era)


class KnownTests:
    """The known eras."""

    @given(knowns)
    def test_written_and_read(self, known: KnownEras) -> None:
        """A recorded era is read as the same."""
        assert eras.read(known.written()) == known

    @given(
        st.text()
        | st.lists(st.sampled_from(["legacy=yes", "modern=no", "modern=", "x=y", "="])).map(" ".join)
    )
    def test_strange_records(self, written: str) -> None:
        """A record of any form can be read."""
        assert isinstance(eras.read(written), KnownEras)

    @given(known=knowns, era=each_era, speaks=st.booleans())
    def test_learnt(self, known: KnownEras, era: Era, *, speaks: bool) -> None:
        """An observed era is known; a server speaks at least one, unless it is known to speak neither."""
        learnt = known.learnt(era, speaks=speaks)
        assert learnt.speaks(era) is speaks
        if not speaks:
            other = known.speaks(era.other)
            assert learnt.speaks(era.other) is (True if other is None else other)
        assert learnt.learnt(era, speaks=speaks) == learnt

    @pytest.mark.parametrize("era", list(Era))
    def test_pinned(self, era: Era) -> None:
        """A server whose entry names an era speaks that one only."""
        known = eras.pinned(era)
        assert (known.speaks(era), known.speaks(era.other)) == (True, False)


class RoadTests:
    """The roads."""

    @given(each_era, knowns, st.sampled_from(Bridge))
    def test_table(self, era: Era, known: KnownEras, bridge: Bridge) -> None:
        """Native where the server speaks it, else across where there is a bridge; unknown where that is unknown."""
        path = eras.path(era, known, bridge)
        match known.speaks(era):
            case None:
                assert path is None
            case True:
                assert path is EraPath.NATIVE
            case False:
                assert path is (EraPath.REFUSED if bridge is Bridge.OFF else EraPath.BRIDGED)

    @given(st.sampled_from(EraPath), st.sampled_from(Bridge), st.booleans())
    def test_offered(self, path: EraPath, bridge: Bridge, is_spoken: bool) -> None:  # noqa: FBT001
        """A refused era is never offered; others are where the server speaks them, or where a bridge is always
        wanted.
        """
        offered = eras.is_offered(path, bridge, is_spoken=is_spoken)
        assert offered is (path is not EraPath.REFUSED and (is_spoken or bridge is Bridge.ALWAYS))
