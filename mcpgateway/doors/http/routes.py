"""The class of every route of the control plane; what is not declared here does not exist."""

from __future__ import annotations

import re

from attrs import frozen

from mcpgateway.rules.access import RouteClass


@frozen
class Declared:
    """One route: its methods, its path and what it lets its caller do."""

    methods: frozenset[bytes]
    path: re.Pattern[bytes]
    route: RouteClass


READS = frozenset((b"GET", b"HEAD"))
DELETES = frozenset((b"DELETE",))
POSTS = frozenset((b"POST",))

ROUTES = (
    Declared(READS, re.compile(rb"/health"), RouteClass.READ),
    Declared(READS, re.compile(rb"/healthz"), RouteClass.READ),
    Declared(READS, re.compile(rb"/oauth/callback"), RouteClass.READ),
    Declared(READS, re.compile(rb"/clients"), RouteClass.READ),
    Declared(READS, re.compile(rb"/clients/detect"), RouteClass.READ),
    Declared(READS, re.compile(rb"/api/gateway/config"), RouteClass.READ),
    Declared(POSTS, re.compile(rb"/clients/register"), RouteClass.MUTATE),
    Declared(POSTS, re.compile(rb"/projects/register"), RouteClass.MUTATE),
    Declared(POSTS, re.compile(rb"/api/gateway/(?:disable|enable)"), RouteClass.MUTATE),
    Declared(DELETES, re.compile(rb"/sessions/by-pid/[^/]+"), RouteClass.END_SESSION),
    Declared(DELETES, re.compile(rb"/sessions/[^/]+"), RouteClass.END_SESSION),
)


def class_of(method: bytes, path: bytes) -> RouteClass:
    """The class of a request to the control plane; ``NOTHING`` where no route is declared."""
    for declared in ROUTES:
        if method in declared.methods and declared.path.fullmatch(path):
            return declared.route
    return RouteClass.NOTHING
