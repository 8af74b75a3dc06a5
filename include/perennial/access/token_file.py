"""The tokens that a model server asks for: the file that lists them, and the header in which our own clients send one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from perennial.access.small_file import read_small_file
from perennial.errors import RefusedError
from perennial.settings import get_settings

if TYPE_CHECKING:  # the image of the model server has no HTTP client
    import httpx

TOKEN_HEADER = "x-perennial-token"  # noqa: S105  a name
"""Kubernetes' API server takes `authorization` for itself and does not pass it on, so our clients use another header."""

_WHAT = "the file of the model servers' tokens"
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]{16,512}=*")


def read_tokens(file: Path) -> list[str]:
    """Return the tokens of a file, one a line. Raise RefusedError if there is none, or a line is not a token."""
    tokens, problems = find_tokens(file)
    if problems:
        raise RefusedError(f"{file}, {_WHAT}", problems, "Write a token a line: `openssl rand -hex 32`.")
    return tokens


def find_tokens(file: Path) -> tuple[list[str], list[str]]:
    """Return the tokens of a file, and all problems with it: it cannot be read, has no token, or a line is not one."""
    try:
        lines = [line.strip() for line in read_small_file(file).decode().splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        return [], [f"cannot be read: {error}"]
    wanted = {number: line for number, line in enumerate(lines, 1) if line and not line.startswith("#")}
    tokens = [line for line in wanted.values() if _TOKEN.fullmatch(line)]
    wrong = [number for number, line in wanted.items() if not _TOKEN.fullmatch(line)]
    problems = [f"line {number}: expected 16 to 512 of the characters A-Z a-z 0-9 . _ ~ + / -" for number in wrong]
    return tokens, problems if tokens or problems else ["found no token"]


def token_headers() -> dict[str, str]:
    """Return the header that our clients send to model servers: the first token of PERENNIAL_SERVER_TOKENS, if it is set."""
    file = get_settings().server_tokens
    return {TOKEN_HEADER: read_tokens(file)[0]} if file else {}


def add_token(request: httpx.Request) -> None:
    """Add the token to a prediction of our clients. Other requests need none, so they work without the file."""
    if request.method == "POST":
        request.headers.update(token_headers())
