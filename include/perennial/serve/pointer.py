"""The pointer to the active release, as the server follows it: verified, and never older than one that it has seen."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from perennial.errors import PerennialError, RefusedError, SignatureRefusedError
from perennial.lake.layout import Layout
from perennial.serve.newest import NewestNumber, max_number
from perennial.signing.keys import read_trusted_keys
from perennial.signing.pointer import Active, parse_pointer
from perennial.store.objects import Stored

log = logging.getLogger(__name__)

_NAME = "The pointer to the active release"


class PointerReader:
    """
    Reads stored pointers in the order in which they arrive.

    It remembers the newest pointer that it has seen, so that no one can replay an older one. A new reader without a file has seen
    none: it takes any pointer that was signed for this pipeline.
    """

    def __init__(self, layout: Layout, file: Path | None = None) -> None:
        """Prepare; with a file, the number of the newest pointer is kept there for the next server."""
        self._layout = layout
        self._newest: Active | None = None
        self._number = NewestNumber(file)

    def read(self, stored: Stored) -> str | None:
        """Return the release that a stored pointer names; None: no release is active."""
        trusted = read_trusted_keys()
        try:
            pointer = parse_pointer(self._layout, stored, trusted)
        except RefusedError:
            raise
        except PerennialError as error:  # damaged: reading it again is of no use, until someone replaces it
            raise RefusedError(error.what, error.problems, error.remedy) from error
        if trusted is not None:
            self._check_number(pointer)
        return pointer.release

    def _check_number(self, pointer: Active) -> None:
        seen = replace(pointer, etag=None, signed_by=None)
        number, newest = seen.number, max(self._number.value, 1)
        if number > max_number():  # it would have this server refuse all later pointers
            raise SignatureRefusedError(
                f"{_NAME} is of the future: its number is {number}, a time in milliseconds more than a day from now",
                remedy="Set the clocks. Then put an earlier endpoint/active.json back, and deploy again.",
            )
        if number < newest or (self._newest and number == newest and seen != self._newest):
            raise SignatureRefusedError(
                f"{_NAME} is older than one that this server has seen: its number is {number}, expected at least {newest}",
                remedy="Someone put an older pointer back. The next deploy or rollback writes a newer one.",
            )
        if self._newest is None or number > newest:
            log.info("The pointer of %s names release %s", _format_time(number), pointer.release)
        if number > newest:
            self._number.rise(number)
        self._newest = seen


def _format_time(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(sep=" ", timespec="seconds")
