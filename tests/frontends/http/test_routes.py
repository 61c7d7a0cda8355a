"""The table of routes: everything in it can be reached, and nothing else."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from mcpgateway.app.control import groups_of
from mcpgateway.frontends.http.routes import PLACE, ROUTES, Route, class_of, methods_of
from mcpgateway.frontends.rest.openapi import document
from mcpgateway.frontends.rest.schemas import SCHEMAS
from mcpgateway.policy.access import RouteClass
from tests.support.gateway_in_memory import MemoryGateway

SERVED = [route for route in ROUTES if not route.is_light]


def names(route: Route) -> str:
    """The name of a route's test."""
    return f"{route.method} {route.path}"


@pytest.fixture(scope="module")
def groups() -> dict[str, Any]:
    """All groups of operations."""
    made = groups_of(MemoryGateway().parts())
    return {name: make() for name, make in made.items()}


class TableTests:
    """Routes of the table."""

    @pytest.mark.parametrize("route", SERVED, ids=names)
    def test_answers(self, route: Route, groups: dict[str, Any]) -> None:
        """Every operation is there."""
        group, _, method = route.operation.partition(".")
        assert callable(getattr(groups[group], method))

    @pytest.mark.parametrize("route", ROUTES, ids=names)
    def test_class(self, route: Route) -> None:
        """Every route has a class, and its path leads to it and to no route before it."""
        path = PLACE.sub("1", route.path).encode()
        for method in route.methods:
            assert class_of(method.encode(), path) is route.access
        assert set(route.methods) <= set(methods_of(path))

    @pytest.mark.parametrize("route", ROUTES, ids=names)
    def test_schemas(self, route: Route) -> None:
        """The schemas of a route's body and answers are described."""
        assert {route.takes, *route.gives.values()} - {""} <= set(SCHEMAS)
        assert route.summary.endswith(".")

    def test_no_twins(self) -> None:
        """No two routes are for the same requests."""
        keys = [(each.method, re.sub(r"\{\w+", "{", each.path)) for each in ROUTES]
        assert len(keys) == len(set(keys))

    def test_schemas_are_used(self) -> None:
        """No schema is described that nothing is made of."""
        text = str(document()["paths"]) + str(SCHEMAS)
        assert [name for name in SCHEMAS if f"/{name}'" not in text] == []


class PageTests:
    """The reference."""

    def test_every_group(self) -> None:
        """Every group of routes stands in the page."""
        page = (Path(__file__).parents[3] / "docs/reference/rest.rst").read_text()
        assert {
            f".. routes:: {name}" for name in {each.operation.partition(".")[0] for each in ROUTES}
        } <= set(page.splitlines())


class ClassTests:
    """Paths that are not in the table."""

    @pytest.mark.parametrize("path", [b"/", b"/api", b"/api/v1", b"/api/v1/", b"/sessions/a/b", b"/health/"])
    def test_nothing(self, path: bytes) -> None:
        """A path that is not in the table leads nowhere."""
        assert class_of(b"GET", path) is RouteClass.NOTHING
        assert methods_of(path) == ()

    @pytest.mark.parametrize("route", ROUTES, ids=names)
    def test_encoded(self, route: Route) -> None:
        """A path whose slashes, or some of them, are encoded leads to its own route or nowhere.

        What answers is found by the decoded path, so that would be asked for with the class of another route.
        """
        whole = PLACE.sub("1", route.path)
        at = [found.start() for found in re.finditer("/", whole)]
        for method in route.methods:
            for chosen in product((False, True), repeat=len(at)):
                hidden = {where for where, is_hidden in zip(at, chosen, strict=True) if is_hidden}
                path = "".join("%2F" if where in hidden else each for where, each in enumerate(whole))
                assert class_of(method.encode(), path.encode()) in {route.access, RouteClass.NOTHING}

    @pytest.mark.parametrize("text", [b"%ff", b"\xff", b"%c0%af", b"a%ed%a0%80"])
    def test_no_text(self, text: bytes) -> None:
        """A path that is no text leads nowhere."""
        assert class_of(b"GET", b"/api/v1/servers/" + text) is RouteClass.NOTHING

    def test_unversioned(self) -> None:
        """A path without its version has the class of the route that it leads to."""
        assert class_of(b"POST", b"/api/tools/a__b/call") is RouteClass.USE
        assert class_of(b"GET", b"/api/gateway/config") is RouteClass.READ


class MethodTests:
    """Methods that a route does not know."""

    def test_told(self) -> None:
        """The answer to an unknown method names those that the route knows."""
        answer = MemoryGateway().client().ask(b"", "DELETE", "/api/v1/tools")
        assert answer.status == 405
        assert answer.headers["allow"] == "get, head, patch"
        assert answer.json["error"] == "Method not allowed"

    def test_nothing(self) -> None:
        """Where there is nothing, that is said."""
        assert MemoryGateway().client().ask(b"", "GET", "/api/v1/nothing").status == 404

    def test_moved(self) -> None:
        """A request without the version is told where that is, with its query."""
        answer = MemoryGateway().client().ask(b"", "GET", "/api/tools?server=a")
        assert answer.status == 307
        assert answer.headers["location"] == "/api/v1/tools?server=a"
