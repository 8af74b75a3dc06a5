"""Access to predictions: a request needs one of the tokens in the server's file."""

from __future__ import annotations

import hashlib
import hmac
import logging
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from perennial.access.token_file import TOKEN_HEADER, find_tokens, read_tokens
from perennial.serve.refusal import Refusal

log = logging.getLogger(__name__)

_LOOK_SECONDS = 5.0
_HEADER = TOKEN_HEADER.encode()


class Tokens:
    """
    The tokens of a file. A changed file counts after a few seconds, so that tokens rotate without a restart.

    A token counts as long as the file has it. So a file that is deleted or emptied revokes all tokens, and a line that is not a
    token revokes no other.
    """

    def __init__(self, file: Path, clock: Callable[[], float] = time.monotonic) -> None:
        """Read the file. Raise RefusedError if it has no tokens."""
        self._file = file
        self._clock = clock
        self._looked = clock()
        self._digests = [_digest(token.encode()) for token in read_tokens(file)]

    def check(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Raise Refusal unless the headers have a token of the file: 401, or 503 while the file has none."""
        if not self.count():
            raise Refusal(503, "This server has no tokens, so it answers no prediction. Its log says why")
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

    def count(self) -> int:
        """Return the number of tokens. Read the file again if the last reading is old."""
        if self._clock() - self._looked > _LOOK_SECONDS:
            self._looked = self._clock()
            tokens, problems = find_tokens(self._file)
            self._digests = [_digest(token.encode()) for token in tokens]
            if problems:
                log.error(
                    "%s, the file of this server's tokens: %s. It has %s tokens", self._file, "; ".join(problems), len(tokens)
                )
        return len(self._digests)


def _digest(token: bytes) -> bytes:
    """Return bytes of one length for any token: comparing texts of different lengths would take different times."""
    return hashlib.sha256(token).digest()
