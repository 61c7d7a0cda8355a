"""Whose certificates are believed: the system's authorities, a file's, or everybody's."""

from __future__ import annotations

from typing import Any

from attrs import define, field
from OpenSSL import SSL
from twisted.internet import ssl
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.web.client import BrowserLikePolicyForHTTPS
from twisted.web.iweb import IPolicyForHTTPS
from zope.interface import implementer

from mcpgateway.errors import LaunchFailed


def policy(ca_file: str, *, insecure: bool) -> Any:
    """What an agent asks about certificates; names are verified by service-identity.

    :raise LaunchFailed: the file of authorities cannot be read, or holds none.
    """
    if insecure:
        return _Blind()
    return BrowserLikePolicyForHTTPS(_authorities(ca_file) if ca_file else None)


def _authorities(ca_file: str) -> Any:
    try:
        with open(ca_file, "rb") as file:
            text = file.read()
        begin = b"-----BEGIN CERTIFICATE-----"
        found = [ssl.Certificate.loadPEM(begin + part) for part in text.split(begin)[1:]]
    except (OSError, SSL.Error) as why:
        raise LaunchFailed(f"the authorities in {ca_file} cannot be used: {why}") from why
    if not found:
        raise LaunchFailed(f"{ca_file} holds no certificate")
    return ssl.trustRootFromCertificates(found)


@implementer(IPolicyForHTTPS)
class _Blind:
    """Looks at no certificate, because its user has said so."""

    def creatorForNetloc(self, hostname: bytes, port: int) -> Any:
        """Let anybody be anybody."""
        return _BlindConnections(hostname)


@implementer(IOpenSSLClientConnectionCreator)
@define
class _BlindConnections:
    """Begins connections to one host."""

    hostname: bytes
    context: Any = field(factory=lambda: ssl.CertificateOptions(verify=False).getContext())

    def clientConnectionForTLS(self, tlsProtocol: Any) -> Any:
        """A connection that says which host it is for, and believes whoever answers."""
        connection = SSL.Connection(self.context, None)
        connection.set_tlsext_host_name(self.hostname)
        return connection
