"""The objects that are moved by If-Match, such as the chain and the pointer: read, named when they cannot be read, and moved."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any, TypeVar

from perennial.errors import OutcomeUnknownError, PerennialError
from perennial.store.json_value import Json
from perennial.store.objects import Objects, Stored, canonical_json

DAMAGED = "Put the version before back, from the store's history or a backup: nothing is decided or deployed until then."
NEWER = "Another version of Perennial wrote it: use that one."
ATTEMPTS = 12
PAUSE_SECONDS = 0.05
T = TypeVar("T")


def parse_head(uri: str, stored: Stored, expected: int, make: Callable[[dict[str, Any]], T], remedy: str = DAMAGED) -> T:
    """Return what `make` makes of a stored head of the expected format; raise PerennialError with its address and what to do."""
    try:
        body = stored.json()
        if body["format"] != expected:
            raise PerennialError(f"{uri}: format {body['format']!r}, expected {expected}", remedy=NEWER)
        return make(body)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        said = (str(error).splitlines() or [""])[0]
        raise PerennialError(f"{uri} is damaged ({type(error).__name__}: {said})", remedy=remedy) from error


def move_head(
    objects: Objects, uri: str, parse: Callable[[Stored | None], T], to_json: Callable[[T], Json], change: Callable[[T], T]
) -> T | None:
    """
    Apply `change` to a head and return what stands then; None after ATTEMPTS lost races.

    `change` is called again on the newer value each time another run was first; it may raise to give up. A change that changes
    nothing is not written.

    :param parse: makes the value of what is stored, or of None where there is nothing yet
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
        # Another run moved the head: back off by a random while, or two would meet again and again.
        time.sleep(PAUSE_SECONDS * (1 + random.random()) * (attempt + 1))  # noqa: S311
    return None
