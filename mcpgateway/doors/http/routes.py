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
    Declared(READS, re.compile(rb"/api/v1/tools(?:/.+)?"), RouteClass.READ),
    Declared(READS, re.compile(rb"/api/v1/results/[^/]+"), RouteClass.READ),
    Declared(READS, re.compile(rb"/api/v1/discover"), RouteClass.READ),
    # Who calls a tool can do whatever the tool does.
    Declared(POSTS, re.compile(rb"/api/v1/tools/.+/call"), RouteClass.MUTATE),
    Declared(POSTS, re.compile(rb"/api/v1/servers/[^/]+/call"), RouteClass.MUTATE),
    Declared(POSTS, re.compile(rb"/api/v1/discover"), RouteClass.MUTATE),
    Declared(POSTS, re.compile(rb"/clients/register"), RouteClass.MUTATE),
    Declared(POSTS, re.compile(rb"/projects/register"), RouteClass.MUTATE),
    Declared(POSTS, re.compile(rb"/api/gateway/(?:disable|enable)"), RouteClass.MUTATE),
    Declared(DELETES, re.compile(rb"/sessions/by-pid/[^/]+"), RouteClass.END_SESSION),
    Declared(DELETES, re.compile(rb"/sessions/[^/]+"), RouteClass.END_SESSION),
)


API, VERSIONED = b"/api/", b"/api/v1/"
"""What stands in front of the routes of programs, and what may be left out of that."""


def class_of(method: bytes, path: bytes) -> RouteClass:
    """The class of a request to the control plane; ``NOTHING`` where no route is declared."""
    for declared in ROUTES:
        if method in declared.methods and declared.path.fullmatch(path):
            return declared.route
    if path.startswith(API) and not path.startswith(VERSIONED):
        # It is told where that is, if it may go there.
        return class_of(method, VERSIONED + path.removeprefix(API))
    return RouteClass.NOTHING
