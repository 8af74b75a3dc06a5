"""The tokens that a model server asks for: the file that lists them, and the header in which our own clients send one."""

from __future__ import annotations

import re
from pathlib import Path

from perennial.errors import RefusedError
from perennial.settings import get_settings

TOKEN_HEADER = "x-perennial-token"  # noqa: S105  a name
"""Kubernetes' API server takes `authorization` for itself and does not pass it on, so our clients use another header."""

_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]{16,512}=*")


def read_tokens(file: Path) -> list[str]:
    """Return the tokens of a file, one a line. Raise RefusedError if there is none, or a line is not a token."""
    try:
        lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise RefusedError(f"{file}, the file of the model servers' tokens, cannot be read", [str(error)]) from error
    tokens = [line for line in lines if line and not line.startswith("#")]
    wrong = [number for number, line in enumerate(lines, 1) if line in tokens and not _TOKEN.fullmatch(line)]
    problems = [f"line {number}: expected 16 to 512 of the characters A-Z a-z 0-9 . _ ~ + / -" for number in wrong]
    if not tokens:
        problems = ["found no token"]
    if problems:
        raise RefusedError(
            f"{file}, the file of the model servers' tokens", problems, "Write a token a line: `openssl rand -hex 32`."
        )
    return tokens


def token_headers() -> dict[str, str]:
    """Return the header that our clients send to model servers: the first token of PERENNIAL_SERVER_TOKENS, if it is set."""
    file = get_settings().server_tokens
    return {TOKEN_HEADER: read_tokens(file)[0]} if file else {}
