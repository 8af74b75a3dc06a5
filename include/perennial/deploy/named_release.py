"""The release that a person names, and the error for a name that no release has."""

from __future__ import annotations

from dataclasses import replace

from perennial.config.load import pipeline_names
from perennial.deploy.release import read_release, release_date
from perennial.errors import PerennialError, RefusedError, SignatureRefusedError
from perennial.lake.lake import Lake
from perennial.lake.manifests import ReleaseManifest

MAX_NAMED = 5


def read_named_release(lake: Lake, release: str) -> ReleaseManifest:
    """
    Return the manifest of a release by its id, once its signature is verified.

    :raises RefusedError: the pipeline has no such release; the error names its newest ones
    """
    try:
        return read_release(lake, release)
    except SignatureRefusedError:
        raise
    except PerennialError as error:
        names = list_release_names(lake)
        if release in names:
            raise
        raise _describe_unknown(lake, release, names) from error


def list_release_names(lake: Lake) -> list[str]:
    """Return the ids of all releases of a pipeline, the newest first."""
    prefix = lake.layout.releases
    written = sorted(lake.objects.listing(prefix), key=lambda item: item.at, reverse=True)
    return [item.uri.removeprefix(prefix).removesuffix(".json") for item in written]


def _describe_unknown(lake: Lake, release: str, names: list[str]) -> RefusedError:
    pipeline = lake.pipeline.name
    newest = f"Its newest releases: {', '.join(names[:MAX_NAMED])}. `perennial releases {pipeline}` lists more."
    none = f"It has no release yet: `perennial run {pipeline} --date DATE` makes one."
    what = f"Pipeline {pipeline!r} has no release {release!r}"
    return RefusedError(what, [_find_owner(lake, release)], newest if names else none)


def _find_owner(lake: Lake, release: str) -> str:
    """Return whose release this is, or that no pipeline has it."""
    try:
        release_date(release)
    except PerennialError as error:
        return f"it {str(error).removeprefix(repr(release)).lstrip()}"
    layouts = [replace(lake.layout, pipeline=name) for name in pipeline_names() if name != lake.pipeline.name]
    owners = [layout.pipeline for layout in layouts if lake.objects.exists(layout.release(release))]
    return f"it is a release of pipeline {owners[0]!r}" if owners else "no pipeline has a release of this id"
