"""The HTTP proxy for a server: that of its entry, or that of the environment.

``HTTPS_PROXY`` is for URLs with TLS and ``HTTP_PROXY`` for all others, ``ALL_PROXY`` where they are missing; names in
lower case take precedence.  ``NO_PROXY`` lists hosts that are reached directly: names with all names below them,
addresses, networks, each with a port if only that is meant, and ``*``.  This machine is always reached directly.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping
from ipaddress import ip_address, ip_network
from urllib.parse import unquote, urlsplit

from attrs import field, frozen

from mcpgateway.errors import BackendError
from mcpgateway.policy.urls import Nearness, UrlPlace, nearness

USUAL_PORT = 80
NAMES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
HINT = "say http://HOST:PORT, in proxy of its entry or in HTTP_PROXY and HTTPS_PROXY"


@frozen
class Proxy:
    """An HTTP proxy.

    :ivar credentials: the value of ``Proxy-Authorization``; empty where it wants none.
    """

    host: str
    port: int
    credentials: str = field(default="", repr=False)

    @property
    def address(self) -> str:
        """Host and port, the only parts of its URL that may be shown."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@frozen
class Proxies:
    """The proxies of environments and of entries.

    :ivar plain: the URL of the proxy for plain HTTP; empty for none.
    :ivar secure: the URL of the proxy for HTTPS; empty for none.
    :ivar exempt: hosts that are reached without a proxy, as ``NO_PROXY`` lists them.
    :ivar of_servers: the URLs of the proxies of single servers, by the servers' origins; empty for none.
    """

    plain: str = field(default="", repr=False)
    secure: str = field(default="", repr=False)
    exempt: tuple[str, ...] = ()
    of_servers: Mapping[str, str] = field(factory=dict, repr=False)

    def of(self, place: UrlPlace, named_by: UrlPlace | None = None) -> Proxy | None:
        """Return the proxy for a place; None for none.

        :param named_by: the configured place whose server has named this one.
        :raise BackendError: the proxy cannot be used.
        """
        own = self.of_servers.get((named_by or place).origin)
        if own is not None:
            return read(own) if own else None
        url = self.secure if place.is_secure else self.plain
        if not url or _is_here(place.host) or any(_means(each, place) for each in self.exempt):
            return None
        return read(url)


NONE = Proxies()


def from_levels(levels: Iterable[Mapping[str, str]], of_servers: Mapping[str, str] | None = None) -> Proxies:
    """Return the proxies of environments, of which later ones take precedence, and those of servers' entries."""
    found: dict[str, str] = {}
    for level in levels:
        for name in NAMES:
            if (text := level.get(name, level.get(name.upper()))) is not None:
                found[name] = text.strip()

    def value(name: str) -> str:
        return found.get(name, "")

    # Programs that speak another kind of proxy, such as SOCKS, may use it; the gateway connects directly then.
    every = value("all_proxy")
    usual = every if every.partition("://")[0] in ("http", every) else ""
    exempt = tuple(each.strip().lower() for each in value("no_proxy").split(",") if each.strip())
    return Proxies(value("http_proxy") or usual, value("https_proxy") or usual, exempt, of_servers or {})


def read(url: str) -> Proxy:
    """Return the proxy at a URL.

    :raise BackendError: the URL names no usable proxy; the message does not show its password.
    """
    text = url if "://" in url else f"http://{url}"
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port or USUAL_PORT
    except ValueError:
        host, port, parts = "", 0, urlsplit("")
    if parts.scheme and parts.scheme != "http":
        raise BackendError(
            f"its proxy is spoken with by {parts.scheme}, which the gateway does not speak", HINT
        )
    if not host or any(each <= " " or each == "\x7f" for each in text):
        raise BackendError("its proxy is no URL of one", HINT)
    if parts.username is None:
        return Proxy(host, port)
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return Proxy(host, port, f"Basic {b64encode(pair.encode()).decode('ascii')}")


def _is_here(host: str) -> bool:
    return host == "localhost" or host.endswith(".localhost") or nearness(host) is Nearness.LOOPBACK


def _means(exempt: str, place: UrlPlace) -> bool:
    if exempt == "*":
        return True
    name, colon, port = exempt.rpartition(":")
    if colon and port.isdigit() and (":" not in name or name.startswith("[")):
        if int(port) != place.port:
            return False
        exempt = name
    exempt = exempt.strip("[]")
    if "/" in exempt or ":" in exempt:
        return _is_within(place.host, exempt)
    name = exempt.removeprefix("*").lstrip(".")
    return place.host == name or place.host.endswith(f".{name}")


def _is_within(host: str, network: str) -> bool:
    try:
        return ip_address(host) in ip_network(network, strict=False)
    except ValueError:
        return False
