"""Reads and replaces heads: objects that change by compare-and-swap (If-Match), such as the decision log and the pointer."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any, TypeVar

from perennial.errors import OutcomeUnknownError, PerennialError
from perennial.store.content_name import canonical_json
from perennial.store.json_value import Json
from perennial.store.objects import Objects, Stored

DAMAGED = "Restore its previous version from the store's history or a backup: nothing is decided or deployed until then."
NEWER = "Another version of Perennial wrote it: use that version."
ATTEMPTS = 12
PAUSE_SECONDS = 0.05
T = TypeVar("T")


def parse_head(uri: str, stored: Stored, expected: int, make: Callable[[dict[str, Any]], T], remedy: str = DAMAGED) -> T:
    """Parse a stored head of the expected format with `make`; raise PerennialError with its address and `remedy` if it fails."""
    try:
        body = stored.json()
        if body["format"] != expected:
            raise PerennialError(f"{uri}: format {body['format']!r}, expected {expected}", remedy=NEWER)
        return make(body)
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        first_line = (str(error).splitlines() or [""])[0]
        raise PerennialError(f"{uri} is damaged ({type(error).__name__}: {first_line})", remedy=remedy) from error


def move_head(
    objects: Objects, uri: str, parse: Callable[[Stored | None], T], to_json: Callable[[T], Json], change: Callable[[T], T]
) -> T | None:
    """
    Apply `change` to a head and return its new value; None after ATTEMPTS lost races.

    If another run changes the head first, `change` is called again on the newer value. It may raise to give up.
    An unchanged value is not written.

    :param parse: returns the value of the stored object, or of None if it does not exist yet
    """
    for attempt in range(ATTEMPTS):
        stored = objects.read(uri)
        value = parse(stored)
        changed = change(value)
        if changed == value:
            return value
        try:
            if objects.replace(uri, canonical_json(to_json(changed)), stored.etag if stored else None) is not None:
                return changed
        except OutcomeUnknownError:
            if attempt == ATTEMPTS - 1:
                raise
        # Another run changed the head: wait for a random time, or the two runs would collide again and again.
        time.sleep(PAUSE_SECONDS * (1 + random.random()) * (attempt + 1))  # noqa: S311
    return None
