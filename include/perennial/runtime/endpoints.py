"""Ports of the embedded stack's model servers. A pipeline keeps its slot forever, so that no other pipeline moves its address."""

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
    """Return the address of a pipeline's model server; its port is PERENNIAL_ENDPOINT_PORT plus the pipeline's slot."""
    settings = get_settings()
    places = with_places(read_places(var_folder()), pipeline_names())
    if pipeline not in places:
        raise RefusedError(
            f"Pipeline {pipeline!r} has no model server here", remedy=f"The pipelines are: {', '.join(places) or 'none'}."
        )
    return f"http://{settings.endpoint_host}:{settings.endpoint_port + places[pipeline]}"


def read_places(var: Path) -> dict[str, int]:
    """Return the assigned slots, those of deleted pipelines included, so that no pipeline inherits an address."""
    file = var / FILE
    try:
        stored = json.loads(file.read_text(encoding="utf-8"))
        places = {str(name): int(place) for name, place in stored.items()}
        if len(set(places.values())) != len(places) or not all(0 <= place < MAX_SLOTS for place in places.values()):
            raise ValueError(f"two pipelines share a slot, or a slot is not from 0 to {MAX_SLOTS - 1}")
        return places
    except FileNotFoundError:
        return {}
    except (ValueError, AttributeError, TypeError) as error:
        raise PerennialError(
            f"{file} is damaged ({error}). Remove it and start the model servers again: `make down up`."
        ) from error


def with_places(places: Mapping[str, int], names: Iterable[str]) -> dict[str, int]:
    """Return the slots, with the next free ones assigned to new pipelines in alphabetical order."""
    new = sorted(set(names) - set(places))
    following = max(places.values(), default=-1) + 1
    return {**places, **{name: following + index for index, name in enumerate(new)}}


def write_places(var: Path, places: Mapping[str, int]) -> None:
    """Write the slots in one step: a reader sees the old file or the new one."""
    var.mkdir(parents=True, exist_ok=True)
    new = var / f".{FILE}.{os.getpid()}"
    new.write_text(json.dumps(dict(places), indent=1) + "\n", encoding="utf-8")
    new.replace(var / FILE)
