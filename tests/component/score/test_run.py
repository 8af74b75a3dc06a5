"""The stage score from landed drops: a signed release answers the rows of a run, once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from serve_release_builder import expected_probability, small_graph
from signing_keys import KeyFolder
from spark_loop import FolderTables, SparkLoop, spark_loop

from perennial.analyse.plan import plan_analyse
from perennial.clean.plan import plan_clean
from perennial.collect.collect import collect
from perennial.config.pipeline import Pipeline
from perennial.deploy.active import Active, write_pointer
from perennial.errors import SignatureRefusedError
from perennial.frames.pipeline_data import PipelineData
from perennial.lake.lake import Lake
from perennial.lake.result import Outcome, Skipped
from perennial.serve.limits import Limits
from perennial.serve.release import load_release
from perennial.signing.keys import read_keys, read_signing_key
from perennial.signing.objects import sign_object
from perennial.signing.subject import Kind
from perennial.stages import Run, SparkStage, stage_named
from perennial.store.content_name import canonical_json, sha256

FIRST, SECOND = date(2026, 3, 1), date(2026, 3, 2)
RELEASE, OTHER = "2026-02-28-0123456789ab", "2026-03-01-ba9876543210"
RECORD = {"temperature": 71.5, "pressure": None, "machine": "M03", "mode": "boost"}
MACHINES = [f"M{number:02}" for number in range(1, 19)]
"""All but two machines."""


@pytest.fixture
def session(s3: Any, tmp_path: Path) -> Iterator[SparkLoop]:
    with spark_loop(tmp_path) as found:
        yield found


@pytest.fixture
def lake(
    s3: Any, session: SparkLoop, pipeline_factory: Callable[..., Pipeline], land_drops: Callable[..., None], keys: KeyFolder
) -> Lake:
    """Return a lake in which two dates are analysed."""
    pipeline = pipeline_factory(lambda document: document.update(scoring={}))
    land_drops(s3.put, pipeline, FIRST, SECOND)
    opened = s3.open_lake(pipeline)
    lake = replace(opened, tables=FolderTables(session.folder, opened.layout.database))
    collect(lake, SECOND)
    session.run(plan_clean(lake, SECOND))
    session.run(plan_analyse(lake, SECOND))
    return lake


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KeyFolder:
    keys = KeyFolder(tmp_path)
    keys.make("new")
    keys.use(monkeypatch, "new")
    return keys


def release(lake: Lake, name: str, bias: float) -> None:
    """Store a signed release and make it the active one."""
    inputs, layout = lake.pipeline.inputs, lake.layout
    graph = small_graph(inputs, bias, (4,), 0.01, MACHINES)
    golden = {"records": [RECORD], "probabilities": [expected_probability(graph, inputs, {}, RECORD)]}
    files = {"model.onnx": graph, "golden.json": canonical_json(golden)}
    manifest = {
        "format": 1, "release": name, "pipeline": lake.pipeline.name, "space": "main", "version": f"mlp-{name}",
        "date": "2026-02-28", "as_of": "2026-03-01", "model": "s3://none", "decision": "s3://none", "p99_ms": 50,
        "row_key": lake.pipeline.row_key,
        "inputs": inputs.model_dump(mode="json"),
        "files": {file: {"sha256": sha256(body), "size": len(body)} for file, body in files.items()},
    }  # fmt: skip
    for body in files.values():
        lake.objects.create(layout.blob(sha256(body)), body)
    body = canonical_json(manifest)
    lake.objects.create(layout.release(name), body)
    sign_object(lake.objects, layout, Kind.RELEASE, layout.release(name), body, read_signing_key())
    was = lake.objects.read(layout.active)
    assert write_pointer(lake.objects, layout, Active(name, None, True, was and was.etag), read_keys().signing)


def test_a_run_is_scored_once_by_the_release_that_is_active_then(lake: Lake, session: SparkLoop, keys: KeyFolder) -> None:
    stage = stage_named("score")
    assert isinstance(stage, SparkStage)

    def run(day: date, *, recompute: bool = False) -> Any:
        return stage.run_with(Run(lake, day, "r", recompute=recompute), session.run)

    assert isinstance(run(FIRST), Skipped)
    release(lake, RELEASE, bias=0.1)
    scored = run(FIRST)
    rows = lake.tables.state("features").partitions[str(FIRST)].rows
    assert (scored.outcome, scored.release, scored.rows) == (Outcome.DONE, RELEASE, {str(FIRST): rows})

    request = lake.pipeline.inputs.request
    frame, features = PipelineData(lake).scores(FIRST), PipelineData(lake).features(FIRST)
    assert frame["reading_id"].tolist() == features["reading_id"].tolist()
    records = [{name: None if pd.isna(row[name]) else row[name] for name in request} for row in features.to_dict("records")]
    served = load_release(lake.objects, lake.layout, RELEASE, Limits()).model.answer(records)
    assert frame["p"].to_numpy(np.float32).tobytes() == np.array(served.predictions, np.float32).tobytes()
    assert frame["unseen"].tolist() == [",".join(fields) for fields in served.unseen]
    assert {"", "machine"} == set(frame["unseen"])

    release(lake, OTHER, bias=0.9)
    again = run(FIRST)
    assert (again.outcome, again.release, again.digests) == (Outcome.UNCHANGED, RELEASE, scored.digests)
    assert run(FIRST, recompute=True).digests == scored.digests
    assert run(SECOND).release == OTHER

    keys.distrust("new")
    keys.make("later")
    with pytest.raises(SignatureRefusedError):
        run(SECOND)
