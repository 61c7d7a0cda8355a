"""The targets of a REST API's tools: their URLs, with headers and credentials.

Most go to the base of the service; an operation may be described to be at a server of its own, such as one for uploads.
A description from elsewhere must not send the service's credentials wherever it likes.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urljoin, urlsplit

from attrs import evolve, field, frozen

from mcpgateway.config.reach_settings import Rest, RestTool


@frozen
class RestTarget:
    """The target of a request.

    :ivar headers: those of the configuration that go with it.
    :ivar is_trusted: credentials go there, too.
    :ivar named_by: the URL of the description that names the place, where it does not belong to it.
    """

    base: str
    headers: Mapping[str, str] = field(repr=False)
    named_by: str = ""
    is_trusted: bool = True


def placed(tool: RestTool, rest: Rest, described: str) -> RestTool:
    """A tool with the whole URL of its own server, if it has one.

    :param described: the base that the description names, which may be relative to where it is.
    """
    if not tool.base:
        return tool
    where = rest.openapi if is_url(rest.openapi) else rest.base
    base = urljoin(where, tool.base)
    if not is_url(base):
        return evolve(tool, base="")
    if rest.base and origin(base) == origin(urljoin(where, described)):
        base = urljoin(rest.base, urlsplit(base).path)  # the service is somewhere else than it is described
    return evolve(tool, base=base)


def target_of(tool: RestTool, rest: Rest, base: str, named_by: str) -> RestTarget:
    """Return the target of a tool's call.

    :param base: the service's base, and `named_by` the description that has named it.
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
