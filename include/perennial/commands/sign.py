"""`perennial sign`: sign what is stored, for a first key or a new one."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from perennial.commands.arguments import AsJson, PipelineName
from perennial.commands.output import print_json, print_line
from perennial.config.load import pipeline_names
from perennial.errors import RefusedError
from perennial.lake.layout import Layout, lake_root
from perennial.lake.reach import require_store
from perennial.store.objects import Objects


def sign(
    pipeline: PipelineName = None,
    unsigned: Annotated[
        bool,
        typer.Option("--unsigned", help="Also sign objects that no trusted key has signed: once, for the first key."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """
    Sign what is stored, for a new signing key.

    It signs decisions, models, releases and pointers that another trusted key has signed: a step of a rotation.
    Without a name, it signs those of all pipelines in the lake.
    """
    from perennial.deploy.sign_stored import find_pipelines, sign_stored
    from perennial.experiments.experiment import PRODUCTION
    from perennial.settings import describe_missing
    from perennial.signing.keys import RUNBOOK, read_keys

    keys = read_keys()
    if keys.signing is None or keys.trusted is None:
        raise RefusedError(f"Nothing can be signed: {describe_missing('signing_key')}", remedy=RUNBOOK)
    require_store()
    objects = Objects()
    names = [pipeline] if pipeline else sorted({*pipeline_names(), *find_pipelines(objects, lake_root(), PRODUCTION)})
    layouts = [Layout(lake_root(), PRODUCTION, name) for name in names]
    results = [sign_stored(objects, layout, keys.signing, keys.trusted, unsigned=unsigned) for layout in layouts]
    if as_json:
        print_json({"key": keys.signing.id, "pipelines": [asdict(result) for result in results]})
    else:
        for result in results:
            print_line(f"{result.pipeline}: {result.signed} signed by {keys.signing.id}, {result.unchanged} unchanged")
            for problem in result.refused:
                print_line(f"  not signed: {problem}", style="red")
    if any(result.refused for result in results):
        raise typer.Exit(1)
