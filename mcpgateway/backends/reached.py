"""Keep the addresses of configured servers, and judge by them the URLs that these servers name.

# Note [A name is what it was]
The owner of a server's domain decides what its name resolves to, and may change that from one lookup to the next.  So a
server that was reached on the Internet counts as one of the Internet when it names another URL; and over plain HTTP,
where no certificate proves that the configured server answers, its name does not make nearer addresses permitted.  A
connection whose certificate was verified sets the server's address anew.
"""

from __future__ import annotations

from collections.abc import Iterable

from mcpgateway.errors import BackendError
from mcpgateway.hints import cli
from mcpgateway.policy import urls
from mcpgateway.policy.urls import Nearness, UrlPlace

HOSTS = 1000


class ReachedHosts:
    """The hosts of configured servers that have been reached by their addresses; see Note [A name is what it was]."""

    def __init__(self) -> None:
        self._found: dict[str, Nearness] = {}

    def note(self, host: str, address: str, *, is_proved: bool) -> None:
        """Note the address at which a configured host was reached.

        :param is_proved: the certificate of the host was verified.
        """
        if is_proved or host not in self._found:
            if len(self._found) >= HOSTS:
                self._found.clear()
            self._found[host] = urls.nearness(address)

    def near(self, host: str, addresses: Iterable[str]) -> list[Nearness]:
        """Return the nearness of a host whose server names another URL.

        :param addresses: the addresses that its name resolves to now, used if the host has not been reached yet.
        """
        known = self._found.get(host)
        return [urls.nearness(each) for each in addresses] if known is None else [known]

    def unmoved(self, place: UrlPlace, addresses: list[str]) -> list[str]:
        """Return the addresses that a configured host without TLS may have.

        :raise BackendError: none of the addresses is permitted.
        """
        known = self._found.get(place.host)
        found = addresses if known is None else urls.unmoved(addresses, known)
        if known is not None and addresses and not found:
            now = f"{urls.nearness(addresses[0]).value} one ({addresses[0]})"
            raise BackendError(
                f"{place.address} was at a {known.value} address and is at a {now} now,"
                " and nothing proves that it is the same server",
                f"if it is, {cli('restart')}; a server with https proves who it is",
            )
        return found
