"""The plan of scores: which release answers which rows, what it pins, and when there is nothing to do."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from lab import LAST, ROWS, Lab, features_table
from signing_keys import KeyFolder, use_no_keys

from perennial.commands.score import score
from perennial.config.pipeline import Pipeline
from perennial.deploy.active import Active, write_pointer
from perennial.deploy.named_release import list_release_names
from perennial.deploy.release import build_release, plan_release, read_release
from perennial.errors import PerennialError, RefusedError, SignatureRefusedError
from perennial.evaluate.chain_store import read_chain
from perennial.evaluate.champions import champion_of
from perennial.evaluate.evaluate import evaluate
from perennial.fingerprints.effects import Effect, Scope
from perennial.fingerprints.fingerprint import Category, StaleCause
from perennial.lake.lake import Lake
from perennial.lake.result import Outcome, Skipped
from perennial.lake.tables import Partition, TableState
from perennial.score.effects import score_effects
from perennial.score.job_file import ScoreJob
from perennial.score.of_run import finish_run_scores, plan_run_scores
from perennial.score.plan import Scoring, find_scorable, find_scoring, finish_scores, plan_scores
from perennial.spark.submit import SparkPlan
from perennial.stages import Run, stage_named, stages_of

DAY = LAST - timedelta(days=1)


@pytest.fixture
def release(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return a release of DAY, which is not signed."""
    use_no_keys(monkeypatch)
    lab.train("mlp", DAY, 0.1)
    lab.train("logistic", DAY, 0.06)
    evaluate(lab.lake, DAY, run_id="r")
    change(lab, "features", columns=tuple(features_table().column_names))
    return build(lab)


def build(lab: Lab, as_of: date | None = None) -> str:
    chain = read_chain(lab.lake)
    model = champion_of(chain, DAY).model
    assert model is not None
    return build_release(lab.lake, plan_release(lab.lake, chain, DAY, model, as_of=as_of))


def change(lab: Lab, table: str, **changes: Any) -> None:
    lab.lake.tables.states[table] = replace(lab.lake.tables.state(table), **changes)  # type: ignore[attr-defined]


def scoring_of(lab: Lab, release: str, *days: date) -> Scoring:
    return find_scoring(lab.lake, release, find_scorable(lab.lake, "features"), days or [DAY])


def hold(lab: Lab, scoring: Scoring, **changes: Any) -> None:
    """Record scores as a job commits them."""
    made = {scoring.place(day): Partition(str(scoring.key(day)), f"digest of {day}", ROWS) for day in scoring.days}
    held = {**lab.lake.tables.state("scores").partitions, **made}
    lab.lake.tables.states["scores"] = replace(TableState("scores", "s3://none", 1, held), **changes)  # type: ignore[attr-defined]


def activate(lab: Lab, release: str) -> None:
    was = lab.lake.objects.read(lab.lake.layout.active)
    assert write_pointer(lab.lake.objects, lab.lake.layout, Active(release, None, True, was and was.etag), None)


def job_of(lab: Lab, plan: SparkPlan) -> ScoreJob:
    return ScoreJob.from_json(lab.lake.objects.read_existing(str(plan.job_uri)).json())


def test_a_job_pins_the_rows_and_the_files_of_the_release(lab: Lab, release: str) -> None:
    scoring = scoring_of(lab, release, DAY, LAST)
    plan = plan_scores(scoring)
    job, manifest, state = job_of(lab, plan), read_release(lab.lake, release), lab.lake.tables.state("features")

    assert plan.todo == 2
    assert (job.table, job.snapshot_id, job.scores, list(job.row_key)) == (
        "features",
        state.snapshot_id,
        "scores",
        ["reading_id"],
    )
    assert {day: (item.key, item.rows, item.held) for day, item in job.days.items()} == {
        str(day): (scoring.key(day), ROWS, None) for day in (DAY, LAST)
    }
    assert job.release.id == release
    assert job.release.graph.sha256 == manifest["files"]["model.onnx"]["sha256"]
    assert job.release.lookups["machine_rates"].uri.endswith(manifest["files"]["lookups/machine_rates.json"]["sha256"])
    golden = {name: len(values) for name, values in job.release.golden.items()}
    assert golden == dict.fromkeys(lab.pipeline.inputs.request, len(job.release.answers))


def test_the_rows_of_another_pipeline_are_scored_into_a_table_of_the_release(
    lab: Lab, release: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def open_other(pipeline: Pipeline, space: str) -> Lake:
        return replace(lab.lake, pipeline=pipeline, layout=replace(lab.lake.layout, space=space, pipeline=pipeline.name))

    monkeypatch.setattr("perennial.score.plan.open_lake", open_other)
    monkeypatch.setattr("perennial.score.plan.load_pipeline", lambda name: lab.pipeline.model_copy(update={"name": name}))
    rows = find_scorable(lab.lake, "machines_elsewhere.features")
    lacking = replace(lab.lake.tables.state("features"), columns=("reading_id", "machine", "mode", "pressure", "__sample"))
    with monkeypatch.context() as context:
        context.setitem(lab.lake.tables.states, "features", lacking)  # type: ignore[attr-defined]
        with pytest.raises(RefusedError) as refused:
            find_scoring(lab.lake, release, rows, [DAY])
    assert str(refused.value) == (
        f"Pipeline 'machine_faults': release {release} cannot score machines_elsewhere.features: "
        "column 'temperature' is missing, expected a number. "
        "machines_elsewhere.features has the columns reading_id, machine, mode, pressure. Add the missing ones in pipeline "
        "'machines_elsewhere' and run its dates again, or choose another table with --table."
    )
    plan = plan_scores(find_scoring(lab.lake, release, rows, [DAY]))
    job = job_of(lab, plan)
    assert (job.owner, job.table, job.name) == (rows.lake.layout.database, "features", "machines_elsewhere.features")
    assert (job.database, job.scores) == (lab.lake.layout.database, "scores_of_machines_elsewhere__features")
    assert job.owner != job.database
    assert job.days[str(DAY)].key != scoring_of(lab, release).key(DAY), "the rows of two tables are not mistaken for each other"
    with pytest.raises(RefusedError, match=r"Pipeline 'machines_elsewhere' has no table 'scores'"):
        find_scorable(lab.lake, "machines_elsewhere.scores")
    assert find_scorable(lab.lake, f"{lab.pipeline.name}.features").scores == "scores"


def test_dates_that_have_their_scores_are_not_scored_again(lab: Lab, release: str) -> None:
    scoring = scoring_of(lab, release)
    hold(lab, scoring)
    assert plan_scores(scoring).job_uri is None
    assert finish_scores(scoring).rows == {str(DAY): ROWS}

    more = scoring_of(lab, release, DAY, LAST)
    assert list(job_of(lab, plan_scores(more)).days) == [str(LAST)]
    again = job_of(lab, plan_scores(scoring, recompute=True))
    assert again.days[str(DAY)].held == f"digest of {DAY}", "a new result must be the same"


def test_one_job_scores_a_batch_but_for_its_last_date_and_what_is_scored(lab: Lab, release: str) -> None:
    first, second, third = (DAY - timedelta(days=back) for back in (3, 2, 1))
    hold(lab, scoring_of(lab, build(lab, as_of=DAY), second))
    hold(lab, scoring_of(lab, release, third))
    activate(lab, release)
    planned = job_of(lab, plan_run_scores(lab.lake, first, until=LAST))
    assert list(planned.days) == [str(first), str(DAY)]
    assert list(job_of(lab, plan_run_scores(lab.lake, first, until=LAST, recompute=True)).days) == [str(first)]
    assert list(job_of(lab, plan_run_scores(lab.lake, LAST, until=LAST)).days) == [str(LAST)]


def test_other_rows_or_another_release_are_scored(lab: Lab, release: str) -> None:
    hold(lab, scoring_of(lab, release))
    other = build(lab, as_of=DAY)
    assert other != release
    assert job_of(lab, plan_scores(scoring_of(lab, other))).release.id == other

    lab.correct(DAY)
    job = job_of(lab, plan_scores(scoring_of(lab, release)))
    assert job.days[str(DAY)].held is None, "the scores of other rows may differ"


def test_missing_scores_are_no_result(lab: Lab, release: str) -> None:
    with pytest.raises(PerennialError, match=rf"{DAY} is missing or stale"):
        finish_scores(scoring_of(lab, release))


def test_a_release_without_a_valid_signature_scores_nothing(
    lab: Lab, release: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = KeyFolder(tmp_path)
    keys.make("new")
    keys.use(monkeypatch, "new")
    with pytest.raises(SignatureRefusedError, match="no signature of a trusted key"):
        scoring_of(lab, release)


def test_an_unknown_release_is_refused_with_the_newest_ones(lab: Lab, release: str, monkeypatch: pytest.MonkeyPatch) -> None:
    later, unknown = build(lab, as_of=DAY), f"{DAY}-0123456789ab"
    elsewhere = replace(lab.lake.layout, pipeline="machines_elsewhere")
    monkeypatch.setattr("perennial.deploy.named_release.pipeline_names", lambda: ["machine_faults", "machines_elsewhere"])
    names = ", ".join(list_release_names(lab.lake))  # in any order: they may be of one second
    assert set(list_release_names(lab.lake)) == {later, release}
    newest = f"Its newest releases: {names}. `perennial releases machine_faults` lists more."

    def refusal(name: str) -> str:
        with pytest.raises(RefusedError) as refused:
            scoring_of(lab, name)
        return str(refused.value)

    what = f"Pipeline 'machine_faults' has no release '{unknown}'"
    assert refusal(unknown) == f"{what}: no pipeline has a release of this id. {newest}"
    lab.lake.objects.create(elsewhere.release(unknown), b"{}")
    assert refusal(unknown) == f"{what}: it is a release of pipeline 'machines_elsewhere'. {newest}"
    assert "'latest': it is not a valid release id: expected a date, a dash and 12 hex digits. Its newest" in refusal("latest")

    for name in (later, release):
        lab.lake.objects.delete(lab.lake.layout.release(name))
    assert refusal(unknown).endswith("It has no release yet: `perennial run machine_faults --date DATE` makes one.")


def test_rows_that_cannot_be_scored_are_refused_with_every_reason(lab: Lab, release: str) -> None:
    with pytest.raises(RefusedError, match=r"no table 'feature' .*Did you mean 'features'\? Choose features, clean_readings"):
        find_scorable(lab.lake, "feature")
    with pytest.raises(RefusedError, match=r"no rows of 2025-01-01 to 2025-01-02"):
        scoring_of(lab, release, date(2025, 1, 1), date(2025, 1, 2))
    change(lab, "features", columns=("reading_id", "machine", "p"))
    lab.pipeline.row_key.append("p")
    with pytest.raises(RefusedError) as refused:
        scoring_of(lab, release)
    assert sorted(refused.value.problems) == [
        "column 'mode' is missing, expected a category",
        "column 'p' of its key has the name of a column of scores",
        "column 'pressure' is missing, expected a number",
        "column 'temperature' is missing, expected a number",
    ]
    text = str(refused.value)
    assert "features has the columns reading_id, machine, p. Add the missing ones in pipeline 'machine_faults'" in text


def test_dates_without_rows_are_gaps_of_a_range(lab: Lab, release: str) -> None:
    later = LAST + timedelta(days=1)
    scoring = scoring_of(lab, release, LAST, later)
    hold(lab, scoring)
    assert finish_scores(scoring).gaps == {str(later): "no rows in features"}


def test_a_run_is_scored_by_the_active_release_and_stays_so(lab: Lab, release: str) -> None:
    activate(lab, release)
    assert job_of(lab, plan_run_scores(lab.lake, DAY)).release.id == release
    hold(lab, scoring_of(lab, release))

    activate(lab, other := build(lab, as_of=DAY))
    assert plan_run_scores(lab.lake, DAY).job_uri is None, "a rerun changes nothing"
    assert finish_run_scores(lab.lake, DAY).to_json()["release"] == release
    assert job_of(lab, plan_run_scores(lab.lake, LAST)).release.id == other

    lab.correct(DAY)
    assert job_of(lab, plan_run_scores(lab.lake, DAY)).release.id == other, "its rows have changed"


def test_a_run_without_an_active_release_is_skipped(lab: Lab, release: str) -> None:
    run = Run(lab.lake, DAY, "r")
    result = stage_named("score").find(run, lab.lake)
    assert isinstance(result, Skipped)
    assert (result.outcome, result.reason) == (Outcome.SKIPPED, "no release is active yet")
    assert stage_named("score").run(run) == result


def test_a_pipeline_has_the_stage_if_it_asks_for_scores(pipeline_factory: Any) -> None:
    assert "score" not in [stage.name for stage in stages_of(pipeline_factory())]
    asked = pipeline_factory(lambda document: document.update(scoring={"table": "clean_readings"}))
    assert stages_of(asked)[-1].name == "score"


def test_impact_counts_dates_without_scores_and_those_whose_rows_change(lab: Lab, release: str) -> None:
    scope = Scope(lab.lake, DAY, LAST, (), foreseen=lab.lake)
    assert score_effects(scope)[0].days == set(), "no release is active"

    activate(lab, release)
    hold(lab, scoring_of(lab, release))
    (effect,) = score_effects(scope)
    assert (effect.stage, effect.name, effect.missing, effect.stale) == ("score", "scores", {LAST}, {})

    changed = Effect("analyse", "features", stale={DAY: (StaleCause(Category.DATA),)}, keys={})
    (effect,) = score_effects(scope.add("analyse", [changed], are_tables=True))
    assert effect.stale == {DAY: (StaleCause(Category.DEPENDENCIES, "features"),)}

    lab.correct(DAY)
    (effect,) = score_effects(scope)
    assert effect.stale == {DAY: (StaleCause(Category.DATA),)}


def test_the_command_scores_by_the_active_release_and_says_what_it_did(
    lab: Lab, release: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def submit(plan: SparkPlan, *, on_cluster: bool) -> bool:
        assert on_cluster
        if plan.job_uri is not None:
            hold(lab, scoring_of(lab, job_of(lab, plan).release.id, *map(date.fromisoformat, job_of(lab, plan).days)))
        return plan.job_uri is not None

    def run(**options: Any) -> Any:
        score("machine_faults", **options, as_json=True)
        return json.loads(capsys.readouterr().out)

    monkeypatch.setattr("perennial.commands.score.chosen_lake", lambda name: lab.lake)
    monkeypatch.setattr("perennial.spark.submit.submit", submit)
    with pytest.raises(RefusedError, match="has no active release yet"):
        run(day=str(DAY))
    activate(lab, release)
    done = run(first=str(DAY), last=str(LAST))
    assert (done["outcome"], done["release"], done["rows"]) == ("done", release, {str(DAY): ROWS, str(LAST): ROWS})
    assert run(day=str(DAY))["outcome"] == "unchanged"
    assert run(day=str(DAY), release=build(lab, as_of=DAY))["outcome"] == "done"
    score("machine_faults", day=str(DAY))
    assert f"{ROWS} rows of 1 date scored by {release} (mlp-{DAY}" in capsys.readouterr().out.replace("\n", " ")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, "Scoring needs dates"),
        ({"day": "2026-03-05", "first": "2026-03-05", "last": "2026-03-06"}, "Scoring needs dates"),
        ({"first": "2026-03-05"}, "Scoring needs dates"),
        ({"first": "2026-03-06", "last": "2026-03-05"}, "is after --to"),
        ({"day": "2026-03-5"}, "is not a date"),
    ],
    ids=["none", "both", "half", "reversed", "no date"],
)
def test_the_command_refuses_dates_that_it_cannot_read(
    lab: Lab, options: dict[str, str], text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("perennial.commands.score.chosen_lake", lambda name: lab.lake)
    with pytest.raises(RefusedError, match=text):
        score("machine_faults", release="x", table="features", **options)
