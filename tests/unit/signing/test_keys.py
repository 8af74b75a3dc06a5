"""Reading keys: what a file may hold, and what a wrong setting says."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from signing_keys import KeyFolder, use_no_keys

from perennial.errors import RefusedError
from perennial.signing.keys import read_keys, read_trusted_keys


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KeyFolder:
    use_no_keys(monkeypatch)
    return KeyFolder(tmp_path / "keys")


def test_without_settings_there_are_no_keys(keys: KeyFolder):
    found = read_keys()
    assert (found.signing, found.trusted) == (None, None)


def test_a_folder_holds_several_keys_and_so_does_a_file(keys: KeyFolder, monkeypatch: pytest.MonkeyPatch):
    first, second = keys.make("first"), keys.make("second")
    keys.use(monkeypatch, "first")
    found = read_keys()
    assert found.signing.id == first.id
    assert set(found.trusted.keys) == {first.id, second.id}

    together = keys.folder / "both.pem"
    together.write_text(first.public_pem + second.public_pem)
    monkeypatch.setenv("PERENNIAL_TRUSTED_KEYS", str(together))
    assert set(read_trusted_keys().keys) == {first.id, second.id}


def test_keys_of_openssl_are_read(keys: KeyFolder, monkeypatch: pytest.MonkeyPatch):
    keys.trusted.mkdir(parents=True)
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", keys.path("made")], check=True)
    subprocess.run(["openssl", "pkey", "-in", keys.path("made"), "-pubout", "-out", keys.trusted / "made.pem"], check=True)
    keys.path("made").chmod(0o600)
    keys.use(monkeypatch, "made")
    assert list(read_keys().trusted.keys) == [keys.read("made").id]


def other_kind(public: bool) -> str:
    private = X25519PrivateKey.generate()
    if public:
        return private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "it holds no key"),
        ("-----BEGIN PUBLIC KEY-----\noops\n-----END PUBLIC KEY-----\n", "wrong.pem"),
        (other_kind(public=True), "it holds a X25519PublicKey"),
        (other_kind(public=False), "it holds a PRIVATE KEY; only public keys belong here"),
    ],
    ids=["empty", "damaged", "other kind", "private"],
)
def test_a_file_without_a_public_key_is_refused_by_name(
    keys: KeyFolder, monkeypatch: pytest.MonkeyPatch, text: str, problem: str
):
    keys.make("good")
    (keys.trusted / "wrong.pem").write_text(text)
    keys.use(monkeypatch, None)
    with pytest.raises(RefusedError, match=problem) as refused:
        read_trusted_keys()
    assert "wrong.pem" in str(refused.value)


def test_a_folder_without_keys_trusts_nothing_and_says_so(keys: KeyFolder, monkeypatch: pytest.MonkeyPatch):
    keys.trusted.mkdir(parents=True)
    keys.use(monkeypatch, None)
    with pytest.raises(RefusedError, match=r"has no file \*\.pem"):
        read_trusted_keys()
    monkeypatch.setenv("PERENNIAL_TRUSTED_KEYS", str(keys.folder / "missing"))
    with pytest.raises(RefusedError, match="No such file"):
        read_trusted_keys()


def test_a_private_key_that_others_may_read_is_refused(keys: KeyFolder, monkeypatch: pytest.MonkeyPatch):
    keys.make("open")
    keys.path("open").chmod(0o644)
    keys.use(monkeypatch, "open")
    with pytest.raises(RefusedError, match="chmod o-rwx"):
        read_keys()


@pytest.mark.parametrize("text", ["", "oops", other_kind(public=False)], ids=["empty", "damaged", "other kind"])
def test_a_file_without_a_private_key_is_refused_by_name(keys: KeyFolder, monkeypatch: pytest.MonkeyPatch, text: str):
    keys.make("key")
    keys.path("key").write_text(text)
    keys.use(monkeypatch, "key")
    with pytest.raises(RefusedError, match=f"PERENNIAL_SIGNING_KEY: {keys.path('key')}"):
        read_keys()


def test_a_signing_key_must_be_trusted(keys: KeyFolder, monkeypatch: pytest.MonkeyPatch):
    keys.make("old")
    new = keys.make("new", trust=False)
    keys.use(monkeypatch, "new")
    with pytest.raises(RefusedError, match=f"The signing key {new.id} is not among the trusted keys"):
        read_keys()
    monkeypatch.delenv("PERENNIAL_TRUSTED_KEYS")
    with pytest.raises(RefusedError, match="PERENNIAL_TRUSTED_KEYS is not set"):
        read_keys()
