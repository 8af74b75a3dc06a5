"""The signing key of the embedded stack: made at the first start, which also signs the releases of earlier versions."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path

from stack.config import StackConfig
from stack.errors import StackError
from stack.files import PUBLIC, write_file
from stack.machine import Finding
from stack.roles import Role
from stack.secrets import secret
from stack.service_user import identity, share

DONE = "signed_with"
"""File in the folder of secrets: the digest of the key that has signed everything stored."""


def prepare_signing(config: StackConfig) -> str | None:
    """
    Make the signing key if there is none, trust it, and sign with it what is stored.

    Return a note if an object was not signed, or if other keys are trusted as well.
    The first key signs everything, because earlier versions signed nothing. A later key signs only what a trusted key has
    signed. An interrupted start leaves no record of it, and the next start repeats it.
    """
    if config.has_own_signing:
        return None
    pem, done = config.signing_key, config.secrets / DONE
    _move_key(config.secrets / pem.name, pem)
    from perennial.signing.keys import make_signing_key, parse_signing_key

    text = pem.read_text(encoding="utf-8") if pem.exists() else secret(pem.parent, pem.name, make_signing_key)
    key = parse_signing_key(text.encode())
    config.trusted_keys.mkdir(parents=True, exist_ok=True)
    config.trusted_keys.chmod(0o755)  # they are public, and the services may have another user
    write_file(config.trusted_keys / f"{key.id}.pem", key.public_pem, mode=PUBLIC)
    notes = []
    if not done.exists() or done.read_text(encoding="utf-8") != _digest(text):
        refused = _sign_stored(config, is_first=not done.exists())
        write_file(done, _digest(text))
        notes += [f"Not signed, so no server accepts it: {'; '.join(refused)}."] if refused else []
    others = sorted(file for file in config.trusted_keys.glob("*.pem") if file.stem != key.id)
    if others:
        names = ", ".join(file.stem for file in others)
        files = " ".join(map(str, others))
        notes.append(f"Signs with {key.id}; also trusts {names} (when nothing needs it, rm {files}).")
    return " ".join(notes) or None


def find_untrusted(config: StackConfig) -> list[Finding]:
    """Find that the stack does not trust its own signing key. It does not block a start: `make up` mends it."""
    if config.has_own_signing or not config.signing_key.exists():
        return []
    from perennial.signing.keys import parse_signing_key

    try:
        key = parse_signing_key(config.signing_key.read_bytes())
    except ValueError as error:
        fix = "Restore it from a backup. Without one, remove it, and run `make up`: docs/runbooks/rotate-keys.md."
        return [Finding("signing key", f"{config.signing_key}: {error}", fix)]
    file = config.trusted_keys / f"{key.id}.pem"
    fix = "Run `make up`, which writes it again."
    return [] if file.exists() else [Finding("trusted keys", f"the stack's own key {file} is missing", fix)]


def _move_key(earlier: Path, pem: Path) -> None:
    """Move the key from where an earlier version of the containers kept it: a volume that other parts see as well."""
    if earlier != pem and earlier.exists():
        if not pem.exists():
            write_file(pem, earlier.read_text(encoding="utf-8"))
        earlier.unlink()


def _sign_stored(config: StackConfig, *, is_first: bool) -> list[str]:
    """Run `perennial sign`, and return why it did not sign an object."""
    command = [str(config.python.with_name("perennial")), "sign", "--json", *(["--unsigned"] if is_first else [])]
    share(config.var)
    done = subprocess.run(
        command,
        env=config.process_environment(role=Role.JOBS),
        cwd=config.repo,
        capture_output=True,
        text=True,
        check=False,
        **identity(config.var),
    )
    try:
        answer = json.loads(done.stdout)
        return [problem for pipeline in answer["pipelines"] for problem in pipeline["refused"]]
    except (ValueError, KeyError):
        raise StackError(f"`perennial sign` ended with {done.returncode}: {(done.stdout + done.stderr)[-2000:]}") from None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
