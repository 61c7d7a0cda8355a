"""Find the description of a service whose entry has only its address, and check that the service answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from urllib.parse import urljoin, urlsplit

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from mcpgateway.backends.http.client import Web
from mcpgateway.backends.http.documents import fetch
from mcpgateway.config.openapi.tools import Described
from mcpgateway.config.reach_settings import Operations, Rest
from mcpgateway.errors import BackendError, ConfigError, Unreachable

NAME = "openapi.json"  # the usual name in frameworks that publish one
LOOK_S = 10.0
DOCUMENT_LIMIT = 16 * 2**20

log = Logger()


@frozen
class Description:
    """The description of a service.

    :ivar base: the base URL of its paths.
    """

    base: str
    described: Described


Read = Callable[[str, str, Operations], Deferred[Described]]
"""Reads a description (`mcpgateway.config.openapi.tools.read_openapi`) beside all else."""


async def find(web: Web, rest: Rest, server: str, read: Read) -> Description | None:
    """Return the description below a service's address, or at the root of its host; None if there is none.

    :raise Unreachable: the service does not answer.
    """
    for where in places_of(rest.base):
        try:
            answer = await fetch(
                web, "GET", where, dict(rest.headers), timeout_s=LOOK_S, limit=DOCUMENT_LIMIT
            )
            if answer.status == 200:
                described = await read(answer.body.decode("utf-8", "replace"), where, rest.operations)
                return Description(base_of(rest.base, where, described), described)
        except Unreachable:
            raise
        except (BackendError, ConfigError) as why:
            log.debug(
                "{server}: {where} is no description: {why}",
                event="rest.not_described",
                server=server,
                where=where,
                why=str(why),
            )
    return None


async def knock(web: Web, rest: Rest) -> None:
    """Check whether the address of a REST API answers at all.

    :raise Unreachable: the address does not answer.
    """
    try:
        await fetch(web, "HEAD", rest.base, dict(rest.headers), timeout_s=LOOK_S, limit=DOCUMENT_LIMIT)
    except Unreachable:
        raise
    except BackendError:
        return  # it may be slow, or refuse such a request


def places_of(base: str) -> Iterator[str]:
    """Return the possible addresses of a description."""
    here = f"{base.rstrip('/')}/{NAME}"
    yield here
    root = urljoin(base, f"/{NAME}")
    if root != here:
        yield root


def base_of(base: str, where: str, described: Described) -> str:
    """Return the base URL of a description's paths, always on the same host as the service."""
    named = urljoin(where, described.base) if described.base else ""
    if named and _host(named) == _host(base):
        return named
    front = urlsplit(base).path.rstrip("/")
    is_whole = front and all(each.path.startswith(f"{front}/") for each in described.tools)
    return urljoin(base, "/") if is_whole else base


def _host(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme.lower(), parts.netloc.lower()
