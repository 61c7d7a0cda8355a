"""Requests that are an administrator's word, and requests that are a client's."""

from __future__ import annotations

import pytest
from attrs import define, field

from mcpgateway.frontends.http.router import AdmittedRequest, RouteTarget
from mcpgateway.frontends.http.workspace_detection import is_admin
from mcpgateway.policy.access import RouteClass


@define
class Asked:
    """A request that has been judged, or not yet."""

    route: AdmittedRequest | None
    headers: dict[bytes, bytes] = field(factory=dict)


class AdministratorTests:
    """Requests of administrators."""

    @pytest.mark.parametrize("said", [True, False])
    def test_as_it_was_judged(self, *, said: bool) -> None:
        """A request is an administrator's where its judgement says so."""
        assert is_admin(Asked(AdmittedRequest(RouteTarget(RouteClass.MCP), "local", said))) is said
        assert not is_admin(Asked(None))

    def test_what_a_client_on_stdio_says(self) -> None:
        """A request that the shim passes on over the socket is its client's word, not the administrator's."""
        asked = Asked(
            AdmittedRequest(RouteTarget(RouteClass.MCP), "local", True), {b"x-mcpgateway-stdio": b"1"}
        )
        assert not is_admin(asked)
