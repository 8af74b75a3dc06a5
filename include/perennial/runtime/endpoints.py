"""Where the embedded stack's model servers listen. A pipeline keeps its place for good: another one must not move its address."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from perennial.config.load import pipeline_names
from perennial.errors import PerennialError, RefusedError
from perennial.settings import get_settings, var_folder

FILE = "endpoints.json"
MAX_SLOTS = 10_000


def endpoint_url(pipeline: str) -> str:
    """Return the address of a pipeline's model server: PERENNIAL_ENDPOINT_PORT plus the pipeline's place."""
    first = get_settings().endpoint_port
    places = with_places(read_places(var_folder()), pipeline_names())
    if pipeline not in places:
        raise RefusedError(f"Pipeline {pipeline!r} has no model server here", remedy=f"There are: {', '.join(places) or 'none'}.")
    return f"http://127.0.0.1:{first + places[pipeline]}"


def read_places(var: Path) -> dict[str, int]:
    """Return the places that were given so far; of pipelines that are gone too, so that nobody inherits an address."""
    file = var / FILE
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        places = {str(name): int(place) for name, place in found.items()}
        if len(set(places.values())) != len(places) or not all(0 <= place < MAX_SLOTS for place in places.values()):
            raise ValueError("two pipelines at one place, or a place that is none")
        return places
    except FileNotFoundError:
        return {}
    except (ValueError, AttributeError, TypeError) as error:
        raise PerennialError(
            f"{file} is damaged ({error}). Remove it and start the model servers again: `make down up`."
        ) from error


def with_places(places: Mapping[str, int], names: Iterable[str]) -> dict[str, int]:
    """Return the places with the next ones given to new pipelines, in alphabetical order."""
    new = sorted(set(names) - set(places))
    following = max(places.values(), default=-1) + 1
    return {**places, **{name: following + index for index, name in enumerate(new)}}


def write_places(var: Path, places: Mapping[str, int]) -> None:
    """Write the places; a reader sees the old file or the new one."""
    var.mkdir(parents=True, exist_ok=True)
    new = var / f".{FILE}.{os.getpid()}"
    new.write_text(json.dumps(dict(places), indent=1) + "\n", encoding="utf-8")
    new.replace(var / FILE)
