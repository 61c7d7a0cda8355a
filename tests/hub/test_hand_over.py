"""Whether a child of the former program fits the settings of this one."""

from __future__ import annotations

import pytest

from mcpgateway.config.model import ServerSpec
from mcpgateway.config.reach_settings import Container, Daemon, Reach, Remote
from mcpgateway.hub.children.hand_over import digest_of


def spec(reach: Reach | None = None, **env: str) -> ServerSpec:
    """A server."""
    return ServerSpec("s", ("run",), env, "/", reach=reach)


class DigestTests:
    """The digest of all by which a child is started."""

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            (spec(), spec(TOKEN="x")),
            (spec(Remote("http://h/a")), spec(Remote("http://h/b"))),
            (spec(Remote("http://h/", headers={"A": "1"})), spec(Remote("http://h/", headers={"A": "2"}))),
            (spec(Remote("http://h/")), spec(Remote("http://h/", proxy="http://p:1"))),
            (spec(Container("i")), spec(Container("i", options=("-v", "/:/")))),
            (spec(Daemon(1)), spec(Daemon(2))),
        ],
    )
    def test_all_settings_count(self, one: ServerSpec, other: ServerSpec) -> None:
        """A child of other settings does not fit, also where a secret is all that differs; one of the same does."""
        assert digest_of(one) != digest_of(other)
        assert digest_of(one) == digest_of(one)
