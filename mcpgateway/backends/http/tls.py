"""Verify certificates of servers, and explain failures of the verification.

Importing this module loads OpenSSL, also where the gateway was started without it.

# Note [Why certificates are looked at here]
OpenSSL alone says "certificate verify failed".  Its callback for each certificate gets the certificate and the error,
and service-identity compares the names there, so the message for the user can name both.
"""

from __future__ import annotations

import sys

# A gateway that does not need OpenSSL prevents its import (`mcpgateway.tap.leave_out_openssl`); this module is imported
# because a server is reached by TLS.
if sys.modules.get("OpenSSL", sys) is None:
    del sys.modules["OpenSSL"]

from collections.abc import Callable
from typing import Any

from attrs import define, field
from OpenSSL import SSL
from service_identity import CertificateError, VerificationError
from service_identity.cryptography import extract_patterns
from service_identity.hazmat import (
    DNS_ID,
    CertificatePattern,
    DNSPattern,
    IPAddress_ID,
    IPAddressPattern,
    verify_service_identity,
)
from twisted.internet import ssl
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.protocols.tls import TLSMemoryBIOFactory
from zope.interface import implementer

from mcpgateway.errors import LaunchFailed

CODES = SSL.X509VerificationCodes
UNKNOWN_SIGNER = "no authority that is trusted here has signed it"
FAULTS = {
    CODES.ERR_CERT_NOT_YET_VALID: "it is not valid yet",
    CODES.ERR_CERT_HAS_EXPIRED: "it has expired",
    CODES.ERR_CERT_REVOKED: "it has been revoked",
    CODES.ERR_CERT_SIGNATURE_FAILURE: UNKNOWN_SIGNER,
    CODES.ERR_DEPTH_ZERO_SELF_SIGNED_CERT: "its server has signed it itself",
    CODES.ERR_SELF_SIGNED_CERT_IN_CHAIN: UNKNOWN_SIGNER,
    CODES.ERR_UNABLE_TO_GET_ISSUER_CERT: UNKNOWN_SIGNER,
    CODES.ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY: UNKNOWN_SIGNER,
    CODES.ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE: UNKNOWN_SIGNER,
}
NAMES_SHOWN = 5
PUT_RIGHT = "put ca_file right in its entry: the file of the authorities that are trusted, in PEM"


def policy(ca_file: str, *, insecure: bool, shown: tuple[str, str] | None = None) -> TlsPolicy:
    """Return the TLS policy of a server's accepted certificates.

    :param shown: the files of the certificate that the gateway shows, and of its key; None for none.
    :raise LaunchFailed: a file cannot be read, or does not contain what it should.
    """
    if insecure:
        return TlsPolicy(ssl.CertificateOptions(verify=False).getContext(), is_blind=True)
    root = authorities_of(ca_file) if ca_file else ssl.platformTrust()
    context = ssl.CertificateOptions(trustRoot=root).getContext()
    if shown is not None:
        try:
            context.use_certificate_chain_file(shown[0])
            context.use_privatekey_file(shown[1])
        except SSL.Error as why:
            raise LaunchFailed(f"{shown[0]} and {shown[1]} are no certificate with its key") from why
    return TlsPolicy(context)


def authorities_of(ca_file: str) -> Any:
    """Return the authorities in a PEM file.

    :raise LaunchFailed: the file cannot be read, or contains none.
    """
    try:
        with open(ca_file, "rb") as file:
            text = file.read()
        begin = b"-----BEGIN CERTIFICATE-----"
        found = [ssl.Certificate.loadPEM(begin + part) for part in text.split(begin)[1:]]
    except (OSError, SSL.Error, ValueError) as why:
        reason = why.strerror if isinstance(why, OSError) else "it is no certificate in PEM"
        raise LaunchFailed(f"ca_file: {ca_file} cannot be used: {reason}", PUT_RIGHT) from why
    if not found:
        raise LaunchFailed(f"ca_file: {ca_file} holds no certificate in PEM", PUT_RIGHT)
    return ssl.trustRootFromCertificates(found)


@define(eq=False, repr=False)
class TlsPolicy:
    """Makes TLS connections with one set of accepted certificates."""

    _context: SSL.Context
    _is_blind: bool = False

    def creatorForNetloc(self, hostname: bytes, port: int) -> Creator:
        """Return the factory of TLS connections to a host."""
        return Creator(hostname.decode("ascii"), self._context, self._is_blind)


@implementer(IOpenSSLClientConnectionCreator)
@define(eq=False, repr=False)
class Creator:
    """Makes the TLS connection to a host.

    :ivar fault: the fault of the certificate; empty for none.
    """

    _hostname: str
    _context: SSL.Context
    _is_blind: bool
    fault: str = field(default="", init=False)

    def clientConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        """Return a connection that asks for the host by SNI, and accepts only certificates for it."""
        connection = SSL.Connection(self._context, None)
        if not self._is_address:  # RFC 6066 section 3: no SNI for an address
            connection.set_tlsext_host_name(self._hostname.encode("ascii"))
        if not self._is_blind:
            connection.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, self._judge)
        return connection

    @property
    def _is_address(self) -> bool:
        return ":" in self._hostname or self._hostname.rpartition(".")[2].isdigit()

    def _judge(self, connection: SSL.Connection, shown: Any, code: int, depth: int, is_good: int) -> bool:
        if not is_good:
            self.fault = self.fault or FAULTS.get(code, f"OpenSSL does not accept it (error {code})")
            return False
        if depth:
            return True
        wanted = IPAddress_ID(self._hostname) if self._is_address else DNS_ID(self._hostname)
        patterns: list[CertificatePattern] = []
        try:
            patterns.extend(extract_patterns(shown.to_cryptography()))
            verify_service_identity(patterns, [wanted], [])
        except (CertificateError, VerificationError):
            self.fault = f"it is made out to {_names(patterns)}"
            return False
        return True


def _names(patterns: list[CertificatePattern]) -> str:
    found = [name for each in patterns if (name := _name(each))]
    more = ", …" if len(found) > NAMES_SHOWN else ""
    return ", ".join(found[:NAMES_SHOWN]) + more if found else "nobody"


def _name(pattern: CertificatePattern) -> str:
    match pattern:
        case DNSPattern():
            return pattern.pattern.decode()
        case IPAddressPattern():
            return str(pattern.pattern)
        case _:
            return ""


def over_tls(creator: Creator) -> Callable[[Any], Any]:
    """Return a function that wraps the protocols of a factory in TLS."""
    return lambda factory: TLSMemoryBIOFactory(creator, True, factory)
