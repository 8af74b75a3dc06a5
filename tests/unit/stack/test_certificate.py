"""The certificate is made once, and again when it cannot be used or will soon expire."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from stack.certificate import RENEWED, VALID, ensure_certificate

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "certificate.pem"
    assert ensure_certificate(path, NOW)
    return path


def test_only_its_owner_reads_it(file: Path) -> None:
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_valid_certificate_is_kept_until_it_expires_soon(file: Path) -> None:
    text = file.read_text()
    for now, is_new in ((NOW, False), (NOW + VALID - 2 * RENEWED, False), (NOW + VALID - RENEWED, True)):
        assert ensure_certificate(file, now) is is_new
    assert file.read_text() != text
    assert not ensure_certificate(file, NOW + VALID - RENEWED)


@pytest.mark.parametrize("damage", ["empty", "no key", "key of another"])
def test_a_damaged_file_is_replaced(file: Path, tmp_path: Path, damage: str) -> None:
    text = file.read_text()
    _, _, certificate = text.partition("-----END PRIVATE KEY-----\n")
    other = tmp_path / "other.pem"
    ensure_certificate(other, NOW)
    key = other.read_text().removesuffix(other.read_text().partition("-----END PRIVATE KEY-----\n")[2])
    file.write_text({"empty": "", "no key": certificate, "key of another": key + certificate}[damage])
    assert ensure_certificate(file, NOW)
    assert not ensure_certificate(file, NOW)
