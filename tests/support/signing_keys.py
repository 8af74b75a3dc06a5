"""Keys for tests: files as a deployment has them, and the settings that name them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from perennial.signing.keys import SigningKey, make_signing_key, parse_signing_key


@dataclass(frozen=True)
class KeyFolder:
    """A folder with private keys by name, and a folder with the public keys that are trusted."""

    folder: Path

    @property
    def trusted(self) -> Path:
        return self.folder / "trusted"

    def path(self, name: str) -> Path:
        return self.folder / f"{name}.key"

    def make(self, name: str, *, trust: bool = True) -> SigningKey:
        """Make a key, and trust it."""
        self.trusted.mkdir(parents=True, exist_ok=True)
        self.path(name).write_text(make_signing_key())
        self.path(name).chmod(0o600)
        if trust:
            self.trust(name)
        return self.read(name)

    def read(self, name: str) -> SigningKey:
        return parse_signing_key(self.path(name).read_bytes())

    def trust(self, name: str) -> None:
        (self.trusted / f"{name}.pem").write_text(self.read(name).public_pem)

    def distrust(self, name: str) -> None:
        (self.trusted / f"{name}.pem").unlink()

    def use(self, monkeypatch: pytest.MonkeyPatch, name: str | None) -> None:
        """Let this process trust the folder's keys and sign with one of them, or with none."""
        monkeypatch.setenv("PERENNIAL_TRUSTED_KEYS", str(self.trusted))
        if name is None:
            monkeypatch.delenv("PERENNIAL_SIGNING_KEY", raising=False)
        else:
            monkeypatch.setenv("PERENNIAL_SIGNING_KEY", str(self.path(name)))


def use_no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process neither sign nor verify."""
    for name in ("PERENNIAL_TRUSTED_KEYS", "PERENNIAL_SIGNING_KEY"):
        monkeypatch.delenv(name, raising=False)
