"""The environment of a process: what the embedded stack wrote down about itself, under what the user has set."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

ENVIRONMENT_FILE = "stack.env"
SETTINGS_FILE = ".env"
ROOT = Path(__file__).resolve().parents[2]


def var_folder() -> Path:
    """Return the folder that holds all state: PERENNIAL_VAR, or var/ of this checkout."""
    configured = os.environ.get("PERENNIAL_VAR")
    return Path(configured) if configured else ROOT / "var"


def load_settings() -> None:
    """
    Take what `.env` at the root of this checkout says into the environment, where it is not set.

    Only for this checkout's own stack: who names another one by PERENNIAL_VAR names its settings as well.
    """
    file = ROOT / SETTINGS_FILE
    if "PERENNIAL_VAR" not in os.environ and file.is_file():
        _take(file)


def _take(file: Path) -> None:
    for line in file.read_text(encoding="utf-8").splitlines():
        name, _, value = line.strip().partition("=")
        if value and not name.startswith("#"):
            os.environ.setdefault(name.strip(), os.path.expanduser(value.strip()))


def load_environment() -> bool:
    """
    Take the settings that `stack up` wrote into the environment, where the user has not set them; tell whether there were any.

    The AWS settings go together: keys or a profile that the shell holds for another account would be sent to the stack's
    own S3, so they are dropped unless the shell names its own endpoint.
    """
    load_settings()
    file = var_folder() / ENVIRONMENT_FILE
    if not file.is_file():
        return False
    if "AWS_ENDPOINT_URL_S3" not in os.environ:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            del os.environ[name]
    _take(file)
    for name in ("NO_PROXY", "no_proxy"):
        hosts = [host for host in os.environ.get(name, "").split(",") if host]
        store = urlsplit(os.environ.get("AWS_ENDPOINT_URL_S3", "")).hostname
        own = [store] if store and store == os.environ.get("PERENNIAL_S3_BIND") else []
        os.environ[name] = ",".join(dict.fromkeys([*hosts, "127.0.0.1", "localhost", *own]))
    return True
