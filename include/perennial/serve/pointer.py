"""The pointer to the active release, as the server reads it: verified, and never older than one that it has seen."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from perennial.errors import RefusedError, SignatureRefusedError
from perennial.lake.layout import Layout
from perennial.signing.keys import read_trusted_keys
from perennial.signing.sealed import unseal
from perennial.signing.subject import Kind, Subject

log = logging.getLogger(__name__)

MAX_BYTES = 2**20
_FORMAT = 1
_DAY_MILLISECONDS = 24 * 3600 * 1000
_NAME = "The pointer to the active release"


class PointerReader:
    """
    Reads stored pointers in the order in which they arrive.

    It remembers the highest number that it has seen, so that no one can replay an older pointer. A new reader has seen none: it
    takes any pointer that was signed for this pipeline.
    """

    def __init__(self, layout: Layout) -> None:
        self._subject = Subject.of(layout, Kind.POINTER, layout.active)
        self._newest: Mapping[str, Any] = {"number": 0}

    def read(self, stored: bytes) -> str | None:
        """Return the release that a stored pointer names; None: no release is active."""
        try:
            document = json.loads(stored)
            trusted = read_trusted_keys()
            pointer = unseal(document, self._subject, trusted)
            if pointer["format"] != _FORMAT:
                raise RefusedError(f"{_NAME} is of format {pointer['format']!r}, expected {_FORMAT}")
            if trusted is not None:
                self._check_number(pointer)
            return None if pointer["release"] is None else str(pointer["release"])
        except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError):
            raise RefusedError(f"{_NAME} is malformed") from None

    def _check_number(self, pointer: Mapping[str, Any]) -> None:
        number, newest = int(pointer["number"]), int(self._newest["number"])
        if number > time.time() * 1000 + _DAY_MILLISECONDS:  # it would have this server refuse all later pointers
            raise SignatureRefusedError(
                f"{_NAME} is of the future: its number is {number}, a time in milliseconds more than a day from now",
                remedy="Set the clocks. Then put an earlier endpoint/active.json back, and deploy again.",
            )
        if number < newest or (number == newest and pointer != self._newest):
            raise SignatureRefusedError(
                f"{_NAME} is older than one that this server has seen: its number is {number}, expected at least {newest}",
                remedy="Someone put an older pointer back. The next deploy or rollback writes a newer one.",
            )
        if number > newest:
            log.info("The pointer of %s names release %s", _format_time(number), pointer["release"])
        self._newest = pointer


def _format_time(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(sep=" ", timespec="seconds")
