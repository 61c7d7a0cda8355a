"""Places of a service's description, and the base of its paths."""

from __future__ import annotations

import pytest

from mcpgateway.backends.rest.find_description import base_of, places_of
from mcpgateway.config.openapi.tools import Described
from mcpgateway.config.reach_settings import RestTool


def described(base: str, *paths: str) -> Described:
    """A description with operations at these paths."""
    return Described("", "", base, tuple(RestTool(each, "GET", each, "", {}) for each in paths))


class PlacesTests:
    """Places where the description is looked for."""

    @pytest.mark.parametrize(
        ("base", "places"),
        [
            ("http://h:8000", ["http://h:8000/openapi.json"]),
            ("http://h:8000/", ["http://h:8000/openapi.json"]),
            ("http://h/api/v1/", ["http://h/api/v1/openapi.json", "http://h/openapi.json"]),
        ],
    )
    def test_places(self, base: str, places: list[str]) -> None:
        """Beside the address first, then at the root of the host."""
        assert list(places_of(base)) == places


class BaseTests:
    """The base of a service's paths."""

    @pytest.mark.parametrize(
        ("base", "named", "paths", "found"),
        [
            ("http://h/", "", ["/x"], "http://h/"),
            ("http://h/api", "", ["/x"], "http://h/api"),
            ("http://h/api", "", ["/api/x", "/api/y"], "http://h/"),
            ("http://h/api", "", ["/api/x", "/health"], "http://h/api"),
            ("http://h/", "/v1", ["/x"], "http://h/v1"),
            ("http://h/", "http://h/v2", ["/x"], "http://h/v2"),
            ("http://h/", "https://elsewhere.example/v1", ["/x"], "http://h/"),
        ],
    )
    def test_base(self, base: str, named: str, paths: list[str], found: str) -> None:
        """The server that the description names, if it is on the same host; else the address, or what is above it."""
        where = next(iter(places_of(base)))
        assert base_of(base, where, described(named, *paths)) == found
