"""The targets of a REST API's tools: their URLs, with headers and credentials.

Most requests go to the base of the service; an operation may have a server of its own, such as one for uploads.  A
description from elsewhere must not direct the service's credentials to a host of its choice.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urljoin, urlsplit

from attrs import evolve, field, frozen

from mcpgateway.config.reach_settings import Rest, RestTool


@frozen
class RestTarget:
    """The target of a request.

    :ivar headers: the configured headers that are sent there.
    :ivar is_trusted: the credentials are sent there, too.
    :ivar named_by: the URL of the description that names the target, if the target is not of the same origin.
    """

    base: str
    headers: Mapping[str, str] = field(repr=False)
    named_by: str = ""
    is_trusted: bool = True


def placed(tool: RestTool, rest: Rest, described: str) -> RestTool:
    """Return a tool with the absolute URL of its own server, if it has one.

    :param described: the base that the description names, which may be relative to the description's URL.
    """
    if not tool.base:
        return tool
    where = rest.openapi if is_url(rest.openapi) else rest.base
    base = urljoin(where, tool.base)
    if not is_url(base):
        return evolve(tool, base="")
    if rest.base and origin(base) == origin(urljoin(where, described)):
        base = urljoin(
            rest.base, urlsplit(base).path
        )  # the service is at another address than its description says
    return evolve(tool, base=base)


def target_of(tool: RestTool, rest: Rest, base: str, named_by: str) -> RestTarget:
    """Return the target of a tool's call.

    :param base: the service's base, and ``named_by`` the description that has named it.
    """
    if not tool.base or origin(tool.base) == origin(base):
        return RestTarget(tool.base or base, rest.headers, named_by)
    where = rest.openapi or rest.base
    is_trusted = not is_url(where) or origin(where) == origin(tool.base)
    if is_trusted:
        return RestTarget(tool.base, rest.headers)
    return RestTarget(tool.base, {}, where, is_trusted=False)


def is_url(where: str) -> bool:
    """Return whether a text is a URL, and not a file."""
    return where.startswith(("http://", "https://"))


def origin(url: str) -> tuple[str, str]:
    """Return the origin of a URL."""
    split = urlsplit(url)
    return split.scheme.lower(), split.netloc.lower()
