"""Certificates for tests, signed by an authority that is trusted in tests only."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID


class Authority:
    """A certificate authority.

    :ivar file: the PEM file of its certificate.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "an authority of the tests")])
        builder = self._builder(self._name, self._key).add_extension(x509.BasicConstraints(True, None), True)
        made = builder.sign(self._key, hashes.SHA256())
        self.file = str(folder / "authority.pem")
        Path(self.file).write_bytes(made.public_bytes(Encoding.PEM))

    def issue(self, host: str, *, expired: bool = False) -> str:
        """Return the PEM file of a key and a certificate for a host name or address."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
        try:
            general: x509.GeneralName = x509.IPAddress(ip_address(host))
        except ValueError:
            general = x509.DNSName(host)
        builder = self._builder(name, key, expired=expired)
        builder = builder.add_extension(x509.SubjectAlternativeName([general]), False)
        made = builder.sign(self._key, hashes.SHA256())
        path = self._folder / f"{host}{'-expired' if expired else ''}-{made.serial_number}.pem"
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        path.write_bytes(private + made.public_bytes(Encoding.PEM))
        return str(path)

    def _builder(
        self, name: x509.Name, key: ec.EllipticCurvePrivateKey, *, expired: bool = False
    ) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=10))
            .not_valid_after(now + timedelta(days=-1 if expired else 10))
        )
