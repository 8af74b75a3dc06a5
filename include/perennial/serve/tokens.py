"""Access to predictions: a request needs one of the tokens in the server's file."""

from __future__ import annotations

import hashlib
import hmac
import logging
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from perennial.access.token_file import TOKEN_HEADER, read_tokens
from perennial.errors import RefusedError
from perennial.serve.refusal import Refusal

log = logging.getLogger(__name__)

_LOOK_SECONDS = 5.0
_HEADER = TOKEN_HEADER.encode()


class Tokens:
    """The tokens of a file. A changed file counts after a few seconds, so that tokens rotate without a restart."""

    def __init__(self, file: Path, clock: Callable[[], float] = time.monotonic) -> None:
        """Read the file. Raise RefusedError if it has no tokens."""
        self._file = file
        self._clock = clock
        self._looked = clock()
        self._digests = [_digest(token.encode()) for token in read_tokens(file)]

    def check(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Raise Refusal (401) unless the headers have a token of the file."""
        if self._clock() - self._looked > _LOOK_SECONDS:
            self._look_again()
        given = b""
        for name, value in headers:
            if name == _HEADER:
                given = value
                break
            if name == b"authorization" and value[:7].lower() == b"bearer ":
                given = value[7:]
        digest = _digest(given.strip())
        # All tokens are compared, whichever is right, so that the time says nothing about them.
        if not any([hmac.compare_digest(digest, known) for known in self._digests]):
            raise Refusal(
                401,
                'A prediction needs a token of this server. Send "Authorization: Bearer TOKEN"',
                headers=[(b"www-authenticate", b"Bearer")],
            )

    def _look_again(self) -> None:
        self._looked = self._clock()
        try:
            self._digests = [_digest(token.encode()) for token in read_tokens(self._file)]
        except RefusedError as error:
            log.warning("The tokens read before stay valid: %s", error)


def _digest(token: bytes) -> bytes:
    """Return bytes of one length for any token: comparing texts of different lengths would take different times."""
    return hashlib.sha256(token).digest()
