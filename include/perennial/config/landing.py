"""The places of the object store in which a pipeline's sources and references may lie."""

from __future__ import annotations

import re
from collections.abc import Callable

from perennial.addresses import is_below
from perennial.settings import get_settings


def place_problem(uri: str, pipeline: str, is_pipeline: Callable[[str], bool]) -> str | None:
    """
    Return why a table of a pipeline may not lie at an address, or None.

    Without a setting, a table may lie anywhere but in the lake, and in a folder that is named like another pipeline. Of folders
    in each other, the first one with the name of any pipeline counts.
    PERENNIAL_LANDING lists the only prefixes that are allowed instead. A prefix in the lake allows a part of the lake.

    :param is_pipeline: returns whether this deployment has a pipeline of a name
    """
    settings = get_settings()
    prefixes = [prefix.replace("{pipeline}", pipeline) for prefix in settings.landing_prefixes]
    allowed = [prefix for prefix in prefixes if _holds(prefix, uri)]
    if _holds(settings.lake, uri) and not any(_holds(settings.lake, prefix) for prefix in allowed):
        return f"{uri} is in the lake, {settings.lake}. Land the data in a prefix of its own"
    if prefixes and not allowed:
        return f"{uri} is in none of the prefixes that PERENNIAL_LANDING lists for this pipeline: {', '.join(prefixes)}"
    folder = next((name for name in _parts(uri)[1:] if name == pipeline or is_pipeline(name)), pipeline)
    if not prefixes and folder != pipeline:
        return (
            f"{uri} is in the folder of pipeline {folder!r}. Land the data in a folder of its own, or list the prefixes that "
            "sources may share in PERENNIAL_LANDING"
        )
    return None


def _holds(prefix: str, uri: str) -> bool:
    """
    Return whether an address is a prefix, or below it. Some stores read `a//b` and `a/./b` as `a/b`.

    An address with `..` is below nothing. `pipeline.yaml` may have none.
    """
    folder, address = ("/".join(_parts(text)) for text in (prefix, uri))
    return address == folder or is_below(folder, address)


def _parts(uri: str) -> list[str]:
    """Return the bucket and the folders of an address."""
    return [part for part in re.split("/+", uri.removeprefix("s3://")) if part not in ("", ".")]
