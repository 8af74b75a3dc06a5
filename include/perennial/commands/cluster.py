"""`perennial plan` and `janitor`: show what a deploy would change on the cluster, and remove leftovers of interrupted work."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from perennial.commands.arguments import AsJson, PipelineName, chosen, chosen_lake
from perennial.commands.output import print_json, print_line
from perennial.config.load import load_pipeline, pipeline_names
from perennial.config.pipeline import Pipeline
from perennial.errors import RefusedError
from perennial.lake.lake import open_lake


def plan(
    pipeline: PipelineName = None,
    release: Annotated[str | None, typer.Option(help="The release; the active one when not given.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show what serving a release would change on Kubernetes."""
    from perennial.deploy.active import read_active
    from perennial.deploy.named_release import read_named_release
    from perennial.runtime.kubernetes_serving import KubernetesRuntime

    lake = chosen_lake(pipeline)
    _require_kubernetes(lake.pipeline)
    wanted = release or read_active(lake).release
    if wanted is None:
        raise RefusedError(f"Pipeline {lake.pipeline.name!r} has no active release yet", remedy="Run a date, or name a release.")
    read_named_release(lake, wanted)
    lines = KubernetesRuntime(lake.pipeline, lake.layout.space).plan(wanted)
    if as_json:
        print_json({"release": wanted, "diff": lines})
        return
    for line in lines:
        print_line(line, style={"+": "green", "-": "red"}.get(line[:1], ""))
    print_line("" if lines else f"Release {wanted}: nothing would change.")


def janitor(
    pipeline: PipelineName = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list the leftovers.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove what interrupted work left on Kubernetes."""
    from perennial.deploy.janitor import clean_up
    from perennial.runtime.kind import runtime_of

    pipelines = [chosen(pipeline)] if pipeline else [load_pipeline(name) for name in pipeline_names()]
    lakes = [open_lake(loaded) for loaded in pipelines if runtime_of(loaded) == "kubernetes"]
    orphans = clean_up(lakes, dry_run=dry_run) if lakes else []
    if as_json:
        print_json({"removed": not dry_run, "orphans": [asdict(orphan) for orphan in orphans]})
        return
    for orphan in orphans:
        print_line(f"{'found' if dry_run else 'removed'} {orphan.kind} {orphan.name}: {orphan.why}")
    print_line("" if orphans else "No leftovers." if lakes else "No pipeline is on Kubernetes.")


def _require_kubernetes(pipeline: Pipeline) -> None:
    from perennial.runtime.kind import runtime_of

    if runtime_of(pipeline) != "kubernetes":
        raise RefusedError(
            f"Pipeline {pipeline.name!r} serves from a process of this machine, not on Kubernetes",
            remedy="Set `runtime: kubernetes` in pipeline.yaml, or PERENNIAL_RUNTIME=kubernetes.",
        )
