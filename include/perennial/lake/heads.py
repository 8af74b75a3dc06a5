"""The objects that are moved by If-Match, such as the chain and the pointer: read, and named when they cannot be read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from perennial.errors import PerennialError
from perennial.lake.objects import Stored

DAMAGED = "Put the version before back, from the store's history or a backup: nothing is decided or deployed until then."
NEWER = "Another version of Perennial wrote it: use that one."
T = TypeVar("T")


def parse_head(uri: str, stored: Stored, expected: int, make: Callable[[dict[str, Any]], T]) -> T:
    """Return what `make` makes of a stored head of the expected format; raise PerennialError with its address and what to do."""
    try:
        body = stored.json()
        if body["format"] != expected:
            raise PerennialError(f"{uri}: format {body['format']!r}, expected {expected}", remedy=NEWER)
        return make(body)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise PerennialError(f"{uri} is damaged ({type(error).__name__}: {error})", remedy=DAMAGED) from error
