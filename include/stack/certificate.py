"""A certificate with which the parts of one service recognize each other. They refuse a client without its private key."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from stack.files import write_file

VALID = timedelta(days=3650)
RENEWED = timedelta(days=365)
"""A start replaces a certificate that expires sooner than this. A stack may run for months between two starts."""


def ensure_certificate(path: Path, now: datetime | None = None) -> bool:
    """
    Create the file with the certificate and its private key; replace one that is damaged or expires soon.

    :return: whether the file is new
    """
    now = now or datetime.now(UTC)
    if path.exists() and _lasts(path.read_bytes(), now + RENEWED):
        return False
    write_file(path, _make(now))
    return True


def _lasts(text: bytes, until: datetime) -> bool:
    """Return whether a file holds a certificate that is valid until then, and the key that belongs to it."""
    try:
        certificate, key = x509.load_pem_x509_certificate(text), load_pem_private_key(text, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return False
    public = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return certificate.not_valid_after_utc > until and (
        certificate.public_key().public_bytes(*public) == key.public_key().public_bytes(*public)
    )


def _make(now: datetime) -> str:
    """
    Return a new private key and a certificate that it signed itself.

    The certificate is its own authority. So there is no key with which anyone could sign a second certificate.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "perennial")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))  # a clock may be set back
        .not_valid_after(now + VALID)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return (private + certificate.public_bytes(Encoding.PEM)).decode("ascii")
