"""No call takes a longer road than it did."""

import pytest

from mcpgateway.errors import of_server
from tests.house.roads import LIMITS, crossing, is_inside, roads


class RoadTests:
    """The modules that one call crosses on its way to a server and back."""

    @pytest.mark.parametrize("name", LIMITS)
    def test_no_road_grows_longer(self, name, tmp_path):
        """A road crosses at most as many modules as the table in ``tests/house/roads.py`` says, which may only fall."""
        inside = roads(tmp_path)[name]().crossed().inside
        limit = LIMITS[name]
        if len(inside) > limit.ceiling:
            head = f"{len(inside)} modules, at most {limit.ceiling} are allowed, the target is {limit.target}"
            pytest.fail("\n  ".join([f"{name}: {head}", *inside]), pytrace=False)

    def test_every_road_has_a_limit(self, tmp_path):
        """The roads that are walked are those of the table."""
        assert list(roads(tmp_path)) == list(LIMITS)


class CrossingTests:
    """The modules that are crossed meanwhile."""

    def test_what_is_crossed(self):
        """A module is crossed when a function of it is called, and each time from another; others do not count."""
        with crossing() as found:
            of_server("a", "b")
            ascii("c")
            of_server("a", "b")
        assert (found.modules, found.calls) == (["mcpgateway.errors"], 2)
        assert found.inside == []

    def test_what_is_inside(self):
        """Modules of hub, views and owntools are, and no others whose names begin alike."""
        assert is_inside("mcpgateway.hub.slot")
        assert is_inside("mcpgateway.views")
        assert not is_inside("mcpgateway.hubs.slot")
        assert not is_inside("mcpgateway.backends.process")
