"""Targets of requests to services, and their headers."""

from __future__ import annotations

import pytest

from mcpgateway.backends.rest.targets import RestTarget, placed, target_of
from mcpgateway.config.reach_settings import Rest, RestTool

OWN = {"Authorization": "Bearer a secret"}
HERE = "https://api.example/openapi.json"


def tool(base: str = "") -> RestTool:
    """A tool at a server of its own."""
    return RestTool("t", "GET", "/x", base=base)


@pytest.mark.parametrize(
    ("rest", "base", "placed_at"),
    [
        (Rest("", openapi=HERE), "", ""),
        (Rest("", openapi=HERE), "/v2", "https://api.example/v2"),
        (Rest("", openapi=HERE), "https://up.example", "https://up.example"),
        (Rest("https://own.example/v1", openapi=HERE), "https://api.example/v2", "https://own.example/v2"),
        (Rest("https://own.example/v1", openapi=HERE), "https://up.example/v2", "https://up.example/v2"),
        (Rest("https://own.example/v1", openapi="api.json"), "/v2", "https://own.example/v2"),
        (Rest("", openapi="api.json"), "/v2", ""),
        (Rest("", openapi=HERE), "ftp://up.example", ""),
    ],
)
def test_its_own_server(rest: Rest, base: str, placed_at: str) -> None:
    """An operation's server may be relative to the description, and moves along where the service is elsewhere."""
    assert placed(tool(base), rest, "https://api.example/v1").base == placed_at


@pytest.mark.parametrize(
    ("openapi", "base", "target"),
    [
        (HERE, "", RestTarget("https://api.example/v1", OWN, "n")),
        (HERE, "https://api.example/v2", RestTarget("https://api.example/v2", OWN, "n")),
        (HERE, "https://up.example/v2", RestTarget("https://up.example/v2", {}, HERE, is_trusted=False)),
        ("api.json", "https://up.example/v2", RestTarget("https://up.example/v2", OWN)),
        ("https://up.example/api.json", "https://up.example/v2", RestTarget("https://up.example/v2", OWN)),
    ],
)
def test_headers(openapi: str, base: str, target: RestTarget) -> None:
    """Another server gets the service's headers only if a file of the user's, or a description of its own, names it."""
    rest = Rest("", OWN, openapi=openapi)
    assert target_of(tool(base), rest, "https://api.example/v1", "n") == target
    assert "a secret" not in repr(target)
