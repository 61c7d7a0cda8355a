"""URLs, and the allowed ones: a server leads to no other origin, and to no place in the user's network.

# Note [Trusted URLs]
A URL in the user's own configuration may lead anywhere, on this machine and in its network too.  A URL from a server (a
redirect, an endpoint, an authorization server) is checked: the first two stay at the server's own origin, and the third
leads to a public address, or to the kind of network that the configured server is in itself.  A name is checked by the
addresses it has at that moment, and the connection goes to one of those.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from enum import Enum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from attrs import field, frozen

from mcpgateway.errors import BackendError

PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
SECURE = frozenset(("https", "wss"))
HOPS_LIMIT = 5  # redirects in a row
REDIRECTS = frozenset((301, 302, 303, 307, 308))
KEEPS_METHOD = frozenset((307, 308))

_STRANGE = re.compile(r"[\x00-\x20\x7f\\]")
_KEPT = "".join(map(chr, range(0x21, 0x7F)))  # ASCII stays as written
_HOST = re.compile(r"[0-9a-z._-]+")


@frozen
class UrlPlace:
    """The target of a URL.

    :ivar host: a name or an address, in lower case and without brackets.
    :ivar target: path and query; the query may hold a secret.
    """

    scheme: str
    host: str
    port: int
    target: str = field(repr=False)

    @property
    def is_secure(self) -> bool:
        """True if the URL's scheme uses TLS."""
        return self.scheme in SECURE

    @property
    def address(self) -> str:
        """Host and port, the only parts of a URL that may be shown."""
        return f"{self._bracketed}:{self.port}"

    @property
    def authority(self) -> str:
        """The value of ``Host``."""
        return self._bracketed if PORTS[self.scheme] == self.port else self.address

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return f"{self.scheme}://{self.address}"

    @property
    def _bracketed(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host


def read(url: str) -> UrlPlace:
    """Return the target of a URL.

    :raise BackendError: the text is no URL, or has no scheme that servers have.
    """
    if _STRANGE.search(url):
        raise BackendError("its URL has a blank, a backslash or a control character in it")
    try:
        parts = urlsplit(url)
        port = parts.port
        host = parts.hostname or ""
    except ValueError:
        raise BackendError("its URL cannot be read") from None
    if parts.scheme not in PORTS:
        raise BackendError("its URL begins with neither http:// nor https://")
    if "@" in parts.netloc:
        raise BackendError("its URL has a user name or a password in it; they belong into a header")
    target = quote(parts.path or "/", _KEPT)
    if parts.query:
        target += "?" + quote(parts.query, _KEPT)
    return UrlPlace(parts.scheme, _host(host, parts), port or PORTS[parts.scheme], target)


def _host(host: str, parts: SplitResult) -> str:
    if "[" in parts.netloc:
        try:
            found = IPv6Address(host)
        except ValueError:
            found = None
        if found is None or found.scope_id is not None:  # a zone is a matter of this machine
            raise BackendError("the host of its URL is no IPv6 address")
        return str(found)
    try:
        name = host if host.isascii() else host.encode("idna").decode()
    except UnicodeError:
        name = ""
    name = name.lower()
    if not _HOST.fullmatch(name):
        raise BackendError("the host of its URL is no host name")
    return name


def follow(method: str, status: int, base: str, location: str) -> str:
    """Return the target of a redirect.

    :raise BackendError: the redirect may not be followed: credentials would be sent to another origin, or another
        method
        would make another request.
    """
    if status not in KEEPS_METHOD and method != "GET":
        raise BackendError(f"it answers {method} with a redirect that would lose the message (HTTP {status})")
    return stay(base, location, f"it redirects (HTTP {status})")


def stay(base: str, reference: str, what: str) -> str:
    """Return a URL that a server has named, absolute or relative to its own.

    :param what: its purpose, with which the error message begins.
    :raise BackendError: the URL is of another origin.
    """
    try:
        url = urljoin(base, reference.strip(" "))
    except ValueError:
        raise BackendError(f"{what} to something that is no URL") from None
    here, there = read(base), _named(url, what)
    if here.origin != there.origin:
        raise BackendError(
            f"{what} to {there.origin}, which is not {here.origin}; if that is right, configure that URL"
        )
    return url


def _named(url: str, what: str) -> UrlPlace:
    try:
        return read(url)
    except BackendError:
        raise BackendError(f"{what} to something that is no URL of a server") from None


class Nearness(Enum):
    """The reach of an address."""

    PUBLIC = "public"
    PRIVATE = "private"
    LOOPBACK = "loopback"
    LINK = "link-local"
    SPECIAL = "special"  # metadata services of clouds, and addresses of no host


_METADATA = frozenset(
    map(ip_address, ("169.254.169.254", "169.254.170.2", "100.100.100.200", "168.63.129.16", "fd00:ec2::254"))
)
_PRIVATE = tuple(map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")))
_LOCAL = IPv6Network("fc00::/7")
_PROTOCOLS = IPv4Network("192.0.0.0/24")
_NAT64 = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))


def nearness(address: str) -> Nearness:
    """Return the reach of an IP address; `Nearness.SPECIAL` for other texts."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return Nearness.SPECIAL
    if isinstance(found, IPv6Address):
        found = _unwrapped(found)
    if found in _METADATA or found.is_multicast or found.is_unspecified:
        return Nearness.SPECIAL
    if found.is_loopback:
        return Nearness.LOOPBACK
    if found.is_link_local:
        return Nearness.LINK
    if _is_private(found):
        return Nearness.PRIVATE
    # Python 3.11 takes a network of protocol assignments for a public one.
    is_public = found.is_global and found not in _PROTOCOLS
    return Nearness.PUBLIC if is_public else Nearness.SPECIAL


def _is_private(found: IPv4Address | IPv6Address) -> bool:
    return found in _LOCAL or any(found in network for network in _PRIVATE)


def _unwrapped(found: IPv6Address) -> IPv4Address | IPv6Address:
    # An IPv4 address within an IPv6 address has the reach of the IPv4 address.
    inner = found.ipv4_mapped or found.sixtofour or (found.teredo[1] if found.teredo else None)
    if inner is not None:
        return inner
    if any(found in network for network in _NAT64):
        return IPv4Address(int(found) & 0xFFFFFFFF)
    return found


def permitted(addresses: Iterable[str], configured: Iterable[Nearness]) -> list[str]:
    """Return those of a name's addresses to which a server may direct the gateway.

    :param configured: the reach of the server that has given the name.
    """
    near = set(configured) - {Nearness.SPECIAL}
    return [each for each in addresses if (kind := nearness(each)) is Nearness.PUBLIC or kind in near]


def unmoved(addresses: Iterable[str], reached: Nearness) -> list[str]:
    """Return the addresses of a name that are not nearer than the one that was reached first.

    Over plain HTTP nothing proves who answers, so a name that first was on the Internet and then on this machine would
    direct the request for the configured server to a service of this machine (DNS rebinding).
    """
    return [each for each in addresses if (kind := nearness(each)) is Nearness.PUBLIC or kind is reached]


def is_ourselves(local: str, peer: str, port: int, ports: Collection[int]) -> bool:
    """True if a connection leads to the gateway itself.

    :param ports: the TCP ports at which the gateway listens.
    """
    return port in ports and (local == peer or nearness(peer) is Nearness.LOOPBACK)
