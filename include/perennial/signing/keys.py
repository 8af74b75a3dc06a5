"""Keys: the private key that signs, and the public keys that are trusted. Ed25519, in PEM files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from perennial.access.small_file import read_small_file
from perennial.errors import RefusedError, SignatureRefusedError
from perennial.settings import describe_missing, get_settings
from perennial.store.content_name import sha256

RUNBOOK = "See docs/runbooks/rotate-keys.md."
_ID_CHARACTERS = 16
_PEM = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)
_READABLE_FOR_OTHERS = 0o007


@dataclass(frozen=True, slots=True)
class SigningKey:
    """The private key. `id` names its public half."""

    id: str
    private: Ed25519PrivateKey

    def sign(self, message: bytes) -> bytes:
        """Return the signature of a message: 64 bytes, the same for the same message."""
        return self.private.sign(message)

    @property
    def public_pem(self) -> str:
        """Return the public half as a PEM text."""
        return _to_pem(self.private.public_key())

    @property
    def trusting_itself(self) -> TrustedKeys:
        """Return its public half as the only trusted key."""
        return TrustedKeys({self.id: self.private.public_key()})


@dataclass(frozen=True, slots=True)
class TrustedKeys:
    """The trusted public keys by their ids."""

    keys: Mapping[str, Ed25519PublicKey]

    def verifies(self, key: str, message: bytes, signature: bytes) -> bool:
        """Return whether `key` is trusted and made this signature of the message."""
        public = self.keys.get(key)
        if public is None:
            return False
        try:
            public.verify(signature, message)
        except InvalidSignature:
            return False
        return True

    def to_pem(self) -> dict[str, str]:
        """Return the keys as PEM texts by file name."""
        return {f"{key}.pem": _to_pem(public) for key, public in self.keys.items()}

    def describe(self) -> str:
        """Return the ids of the keys as a text."""
        return ", ".join(sorted(self.keys))


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of this process. `trusted` None: signatures are neither made nor checked."""

    signing: SigningKey | None
    trusted: TrustedKeys | None


def read_keys() -> Keys:
    """
    Return the keys that the settings name.

    :raises RefusedError: a file holds no such key, or the signing key is not trusted: servers would refuse its signatures
    """
    signing, trusted = read_signing_key(), read_trusted_keys()
    if signing is not None and trusted is None:
        raise RefusedError(
            f"PERENNIAL_SIGNING_KEY is set, but {describe_missing('trusted_keys')}", remedy=f"Set both or neither. {RUNBOOK}"
        )
    if signing is not None and trusted is not None and signing.id not in trusted.keys:
        raise RefusedError(
            f"The signing key {signing.id} is not among the trusted keys ({trusted.describe()})",
            remedy=f"Add its public half to {get_settings().trusted_keys} first. {RUNBOOK}",
        )
    return Keys(signing, trusted)


def read_trusted_keys() -> TrustedKeys | None:
    """Return the public keys of PERENNIAL_TRUSTED_KEYS: a file, or a folder of files `*.pem`. None if it is not set."""
    path = get_settings().trusted_keys
    if path is None:
        return None
    files = sorted(path.glob("*.pem")) if path.is_dir() else [path]
    keys: dict[str, Ed25519PublicKey] = {}
    problems = []
    for file in files:
        try:
            keys |= _read_public_keys(file)
        except (OSError, ValueError, UnsupportedAlgorithm) as error:
            problems.append(f"{file}: {error}")
    if not files:
        problems.append(f"{path} has no file *.pem")
    if problems:
        raise SignatureRefusedError("PERENNIAL_TRUSTED_KEYS", problems, remedy=f"Expected public Ed25519 keys as PEM. {RUNBOOK}")
    return TrustedKeys(keys)


def read_signing_key() -> SigningKey | None:
    """Return the private key of PERENNIAL_SIGNING_KEY, or None if it is not set."""
    path = get_settings().signing_key
    if path is None:
        return None
    try:
        if path.stat().st_mode & _READABLE_FOR_OTHERS:
            raise ValueError("other users of this machine may use the file: chmod o-rwx")
        return parse_signing_key(read_small_file(path))
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise RefusedError(
            f"PERENNIAL_SIGNING_KEY: {path}: {error}", remedy=f"Expected a private Ed25519 key as PEM. {RUNBOOK}"
        ) from error


def parse_signing_key(pem: bytes) -> SigningKey:
    """Return the private key in a PEM text; raise ValueError if it is of another kind."""
    private = load_pem_private_key(pem, password=None)
    if not isinstance(private, Ed25519PrivateKey):
        raise ValueError(f"it is a {type(private).__name__}")
    return SigningKey(_id(private.public_key()), private)


def make_signing_key() -> str:
    """Return a new private key as a PEM text."""
    return Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def _read_public_keys(file: Path) -> dict[str, Ed25519PublicKey]:
    keys: dict[str, Ed25519PublicKey] = {}
    for block in _PEM.finditer(read_small_file(file)):
        if block[1] != b"PUBLIC KEY":
            raise ValueError(f"it holds a {block[1].decode()}; only public keys belong here")
        public = load_pem_public_key(block[0])
        if not isinstance(public, Ed25519PublicKey):
            raise ValueError(f"it holds a {type(public).__name__}")
        keys[_id(public)] = public
    if not keys:
        raise ValueError("it holds no key")
    return keys


def _to_pem(public: Ed25519PublicKey) -> str:
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def _id(public: Ed25519PublicKey) -> str:
    """Return the name of a key in logs and addresses: the beginning of the SHA-256 of its 32 bytes."""
    return sha256(public.public_bytes(Encoding.Raw, PublicFormat.Raw))[:_ID_CHARACTERS]
