"""The DAGs as Airflow reads them: all there, wired right, documented, light to parse."""

from __future__ import annotations

import gc
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG
from airflow.sdk.definitions.param import ParamsDict
from airflow.sdk.exceptions import ParamValidationError
from airflow.serialization.serialized_objects import DagSerialization

from perennial.config.load import load_pipeline, pipeline_names
from perennial.config.pipeline import Pipeline
from perennial.display.showable import make_showable
from perennial.errors import DropMissingError, DropRefusedError, PerennialError, RefusedError
from perennial.lake.result import Outcome, Result
from perennial.stages import STAGES, Run, Stage
from perennial_airflow.run_request import KEYS
from stack.config import REPO

TASKS = ["plan_run", "wait_for_drop", *(stage.name for stage in STAGES if stage.name not in ("blend", "score"))]
"""Those of a pipeline without a blend and `scoring`."""

FOLLOWS: dict[str, set[str]] = {
    "plan_run": set(),
    "wait_for_drop": {"plan_run"},
    "collect": {"wait_for_drop"},
    "clean": {"collect"},
    "analyse": {"clean"},
    "train": {"analyse"},
    "evaluate": {"train"},
    "deploy": {"evaluate"},
}
"""The tasks, and the tasks that each of them follows."""

HEAVY = ["pandas", "numpy", "tensorflow", "sklearn", "pyiceberg", "pyarrow", "boto3", "onnxruntime", "pyspark"]

LOAD_ALL = f"""
import json, sys
from airflow.dag_processing.dagbag import DagBag
bag = DagBag({str(REPO / "dags")!r})
json.dump([sorted(bag.dags), bag.import_errors, [name for name in {HEAVY} if name in sys.modules]], sys.stderr)
"""


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> DagBag:
    """Load the DAG files over all pipelines of the repository, those for tests as well."""
    folder = tmp_path_factory.mktemp("pipelines")
    for root in (REPO / "include/pipelines", REPO / "tests/pipelines"):
        for file in root.glob("*/pipeline.yaml"):
            shutil.copytree(file.parent, folder / file.parent.name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PERENNIAL_PIPELINES", str(folder))
        yield load_bag()


def load_bag() -> DagBag:
    """Load the DAG files. A file that an earlier test left open, and that is freed meanwhile, counts as an error of a DAG."""
    gc.collect()
    return DagBag(REPO / "dags")


def load_in_subprocess(pipelines: Path) -> tuple[list[str], dict[str, str], list[str]]:
    environment = {**os.environ, "PERENNIAL_PIPELINES": str(pipelines), "PYTHONPATH": f"{REPO}/include:{REPO}/plugins"}
    done = subprocess.run([sys.executable, "-c", LOAD_ALL], env=environment, capture_output=True, text=True, check=True)
    return tuple(json.loads(done.stderr.splitlines()[-1]))


def test_one_dag_for_each_pipeline(bag: DagBag) -> None:
    assert bag.import_errors == {}
    assert set(bag.dag_ids) == {"retrain_flight_delays", "retrain_machine_faults", "retrain_returned_orders"}


def test_demo_pipelines_are_those_of_the_folder() -> None:
    assert pipeline_names(REPO / "include/pipelines") == ["flight_delays"]


def test_parsing_imports_nothing_heavy_and_hides_no_pipeline() -> None:
    assert load_in_subprocess(REPO / "include/pipelines") == (["retrain_flight_delays"], {}, [])


def test_parsing_a_pipeline_on_kubernetes_imports_nothing_heavy(tmp_path: Path) -> None:
    folder = tmp_path / "machine_faults"
    shutil.copytree(REPO / "tests/pipelines/machine_faults", folder)
    text = (folder / "pipeline.yaml").read_text()
    (folder / "pipeline.yaml").write_text(f"{text}\nruntime: kubernetes\n")
    assert load_in_subprocess(tmp_path) == (["perennial_janitor", "retrain_machine_faults"], {}, [])


def test_refused_pipeline_is_an_import_error_and_hides_no_other(tmp_path: Path) -> None:
    for name in ("good", "bad", "worse", "untrusted"):
        shutil.copytree(REPO / "tests/pipelines/machine_faults", tmp_path / name)
        yaml = (tmp_path / name / "pipeline.yaml").read_text().replace("name: machine_faults", f"name: {name}")
        (tmp_path / name / "pipeline.yaml").write_text(yaml.replace("title:", "titel:") if name in ("bad", "worse") else yaml)
    (tmp_path / "untrusted/sources").mkdir()
    (tmp_path / "untrusted/sources/readings.py").write_text("raise SystemExit('it ran')\ndef clean(df): return df\n")

    dag_ids, errors, _ = load_in_subprocess(tmp_path)

    assert dag_ids == ["retrain_good"]
    ((file, text),) = errors.items()
    assert file.endswith("refused_pipelines.py")
    assert "Did you mean 'title'?" in text
    assert f"{tmp_path}/bad/" in text
    assert f"{tmp_path}/worse/" in text
    assert "this installation does not run Python of pipeline 'untrusted'" in text


def set_value(key: str, value: str) -> Callable[[Path], object]:
    """Return what gives a top-level key of a folder's pipeline.yaml another value."""

    def change(folder: Path) -> None:
        text = (folder / "pipeline.yaml").read_text()
        (folder / "pipeline.yaml").write_text(re.sub(f"^{key}: .*$", f"{key}: {value}", text, flags=re.MULTILINE))

    return change


def replace_by(make: Callable[[Path], object], name: str) -> Callable[[Path], object]:
    """Return what puts something else in the place of a file."""

    def change(folder: Path) -> None:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).unlink(missing_ok=True)
        make(folder / name)

    return change


def replace_folder(target: str) -> Callable[[Path], object]:
    """Return what puts a symbolic link in the place of the folder."""

    def change(folder: Path) -> None:
        shutil.rmtree(folder)
        folder.symlink_to(target)

    return change


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "long_tag": (set_value("tags", f"[{'x' * 101}]"), "tags: expected at most 100 characters"),
    "first_day": (set_value("start", "0001-01-01\ntime_zone: Asia/Tokyo"), "start: expected a date from 1970-01-01"),
    "latin_features": (
        replace_by(lambda file: file.write_bytes(b"-- \xe9"), "features.sql"),
        "features.sql: not UTF-8: byte 0xE9",
    ),
    "latin_analysis": (replace_by(lambda file: file.write_bytes(b"-- \xe9"), "analysis/x.sql"), "analysis/x.sql: not UTF-8"),
    "latin_lookup": (replace_by(lambda file: file.write_bytes(b"\xff"), "lookups/x.sql"), "lookups/x.sql: not UTF-8"),
    "latin_yaml": (replace_by(lambda file: file.write_bytes(b"\xff"), "pipeline.yaml"), "latin_yaml/pipeline.yaml: not UTF-8"),
    "unknown_key": (
        replace_by(lambda file: file.write_text("titel: x\n"), "pipeline.yaml"),
        "Did you mean 'title'? Allowed: name, title,",
    ),
    "editors_lock": (
        replace_by(lambda file: file.symlink_to("me@host.1"), "analysis/.#x.sql"),
        "analysis/.#x.sql: a link to 'me@host.1'",
    ),
    "folder_of_sql": (replace_by(lambda file: file.mkdir(), "analysis/x.sql"), "analysis/x.sql: not a file but a folder"),
    "file_as_folder": (replace_by(lambda file: file.write_text(""), "lookups"), "lookups: cannot be read as a folder"),
    "folder_as_yaml": (replace_by(lambda file: file.mkdir(), "pipeline.yaml"), "pipeline.yaml: not a file but a folder"),
    "pipe": (replace_by(os.mkfifo, "features.sql"), "features.sql: not a file"),
    "dangling_yaml": (replace_by(lambda file: file.symlink_to("gone"), "pipeline.yaml"), "pipeline.yaml: a link to 'gone'"),
    "dangling_folder": (
        replace_folder("gone"),
        "dangling_folder: a link to 'gone', which is no part of the pipeline. Copy what it",
    ),
    "foreign_yaml": (
        replace_by(lambda file: file.symlink_to("../good/pipeline.yaml"), "pipeline.yaml"),
        "pipeline.yaml: a link to '../good/pipeline.yaml', which is no part of the pipeline.",
    ),
    "looping_folder": (replace_folder("looping_folder"), "looping_folder: a link to 'looping_folder'"),
}


def test_whatever_is_wrong_with_a_folder_is_an_import_error_and_hides_no_other(tmp_path: Path) -> None:
    for name in ("good", *BAD):
        shutil.copytree(REPO / "tests/pipelines/machine_faults", tmp_path / name)
        set_value("name", name)(tmp_path / name)
    for name, (change, _) in BAD.items():
        change(tmp_path / name)

    dag_ids, errors, _ = load_in_subprocess(tmp_path)

    assert dag_ids == ["retrain_good"]
    ((file, text),) = errors.items()
    assert file.endswith("refused_pipelines.py")
    assert {name for name in ("good", *BAD) if f"{tmp_path}/{name}" in text} == set(BAD)
    assert [expected for _, expected in BAD.values() if expected not in " ".join(text.split())] == []
    _, _, refusal = text.partition("PipelineRefusedError: ")
    assert [line for line in refusal.splitlines() if len(line) > 88 and " " in line.strip() and str(tmp_path) not in line] == []


def test_characters_that_hide_are_visible_in_the_list_of_dags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(REPO / "tests/pipelines/machine_faults", tmp_path / "machine_faults")
    for key, value in {"title": "Mach\u200bines", "owner": "da\u200bta", "tags": "[ho\u200burly]"}.items():
        set_value(key, value)(tmp_path / "machine_faults")
    monkeypatch.setenv("PERENNIAL_PIPELINES", str(tmp_path))
    (dag,) = (dag for dag in load_bag().dags.values() if dag.dag_id == "retrain_machine_faults")

    texts = [dag.dag_display_name, dag.description, dag.doc_md, dag.owner, *dag.tags]
    assert [text for text in texts if text is None or make_showable(text) != text] == []
    assert dag.description == "Mach\\u200bines"


def test_dag_that_cannot_be_built_says_why_and_hides_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("bad", "good"):
        shutil.copytree(REPO / "tests/pipelines/machine_faults", tmp_path / name)
        set_value("name", name)(tmp_path / name)

    def broken(pipeline: Pipeline) -> str:
        return str(1 // (pipeline.name != "bad"))

    monkeypatch.setenv("PERENNIAL_PIPELINES", str(tmp_path))
    monkeypatch.setattr("perennial_airflow.doc.doc_md", broken)
    found = load_bag()

    assert found.import_errors == {}
    assert len(found.dags["retrain_good"].tasks) > 1
    said = "The DAG of bad cannot be built. ZeroDivisionError: integer division or modulo by zero"
    (task,) = found.dags["retrain_bad"].tasks
    assert found.dags["retrain_bad"].description == said
    with pytest.raises(RefusedError, match=said):
        task.python_callable(*task.op_args)


@pytest.fixture(params=["retrain_flight_delays", "retrain_machine_faults"])
def dag(bag: DagBag, request: pytest.FixtureRequest) -> DAG:
    return bag.dags[request.param]


def tasks_of(dag: DAG) -> list[str]:
    """Return the tasks of a pipeline without scoring, in their order."""
    has_blend = any(settings.family == "blend" for settings in load(dag).training.candidates.values())
    return [*TASKS[:6], *(["blend"] if has_blend else []), *TASKS[6:]]


def test_each_task_follows_those_that_are_listed(dag: DAG) -> None:
    assert [task.task_id for task in dag.topological_sort()] == tasks_of(dag)
    blended = {"blend": {"train"}, "evaluate": {"train", "blend"}} if "blend" in tasks_of(dag) else {}
    assert {task.task_id: task.upstream_task_ids for task in dag.tasks} == FOLLOWS | blended


def test_a_pipeline_with_scoring_scores_after_deploy_and_announces_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(REPO / "tests/pipelines/machine_faults", tmp_path / "scored")
    set_value("name", "scored")(tmp_path / "scored")
    with (tmp_path / "scored/pipeline.yaml").open("a") as file:
        file.write("scoring: {table: clean_readings}\n")
    monkeypatch.setenv("PERENNIAL_PIPELINES", str(tmp_path))
    dag = load_bag().dags["retrain_scored"]

    assert [task.task_id for task in dag.topological_sort()] == [*TASKS, "score"]
    assert dag.get_task("score").upstream_task_ids == {"deploy"}
    assert [asset.uri for asset in dag.get_task("score").outlets] == ["perennial://scored/scores"]
    assert [task.task_id for task in dag.tasks if task.outlets] == ["score"]
    assert "| `score` |" in dag.doc_md


def test_a_pipeline_with_a_blend_makes_it_after_its_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(REPO / "tests/pipelines/machine_faults", tmp_path / "blended")
    set_value("name", "blended")(tmp_path / "blended")
    file = tmp_path / "blended/pipeline.yaml"
    blended = "candidates: {boosted: {trees: 50}, logistic: , both: {family: blend}}"
    file.write_text(file.read_text().replace("candidates: [mlp, logistic]", blended))
    monkeypatch.setenv("PERENNIAL_PIPELINES", str(tmp_path))
    dag = load_bag().dags["retrain_blended"]

    assert [task.task_id for task in dag.topological_sort()] == [*TASKS[:6], "blend", *TASKS[6:]]
    assert dag.get_task("evaluate").upstream_task_ids == {"train", "blend"}
    assert dag.get_task("train").op_kwargs_expand_input.value == {"candidate": ["boosted", "logistic"]}
    assert dag.get_task("blend").op_kwargs_expand_input.value == {"candidate": ["both"]}
    assert "| `blend` |" in dag.doc_md


def test_no_task_can_make_a_failed_run_green(dag: DAG) -> None:
    assert {task.trigger_rule for task in dag.tasks} == {"all_success"}


def test_every_task_retries_and_has_a_time_limit(dag: DAG) -> None:
    for task in dag.tasks:
        assert task.retries == 2, task.task_id
        assert timedelta(0) < task.execution_timeout <= timedelta(days=8), task.task_id
        assert task.owner == load_owner(dag), task.task_id


@pytest.mark.parametrize(
    ("error", "action"),
    [
        (DropRefusedError("flights: no rows"), "fail"),
        (DropMissingError("flights: not landed"), "fail"),
        (PerennialError("the store did not answer"), "default"),
        (ConnectionError("refused"), "default"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_only_what_a_retry_can_mend_is_retried(dag: DAG, error: Exception, action: str) -> None:
    for task in dag.tasks:
        policy = task.partial_kwargs["retry_policy"] if task.is_mapped else task.retry_policy
        assert policy.evaluate(error, 1, 2).action.value == action, task.task_id


def test_waiting_task_is_deferrable(dag: DAG) -> None:
    from perennial_airflow.operators.wait_for_drop import WaitForDropOperator

    waiting = [task for task in dag.tasks if "wait" in task.task_id]
    assert [type(task) for task in waiting] == [WaitForDropOperator]


def templates_of(task: Any) -> list[str]:
    """Return every Jinja template among the values that a task renders."""
    if task.is_mapped:
        values = [task.partial_kwargs.get(name) for name in task.template_fields]
        values.append(getattr(task, "op_kwargs_expand_input", None) or task.expand_input)
    else:
        values = [getattr(task, name) for name in task.template_fields]
    return re.findall(r"\{[{%].*?[%}]\}", str(values))


class Toy(Stage):
    """A stage that branches off in the middle."""

    name, follows, summary = "toy", ("clean",), "plays"

    def find(self, run: Run, moment: Any) -> Result | None:
        return None

    def run(self, run: Run, candidate: str | None = None) -> Result:
        return Result(Outcome.DONE)


def test_a_stage_of_one_module_and_one_line_has_its_task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perennial.stages.STAGES", (*STAGES, Toy()))
    monkeypatch.setenv("PERENNIAL_PIPELINES", str(REPO / "include/pipelines"))
    dag = load_bag().dags["retrain_flight_delays"]

    assert dag.get_task("toy").upstream_task_ids == {"clean"}
    assert dag.get_task("deploy").downstream_task_ids == set()
    assert "| `toy` | plays |" in dag.doc_md


def test_nothing_that_a_user_typed_reaches_a_templated_field(dag: DAG) -> None:
    templates = {task.task_id: templates_of(task) for task in dag.tasks}

    # The date that plan_run has checked is all that is rendered. It shows that the arguments of every task were looked at.
    asked = re.compile(r"\{\{ ti\.xcom_pull\(task_ids='plan_run'\)\['(date|until)'\] \}\}")
    assert [text for found in templates.values() for text in found if not asked.fullmatch(text)] == []
    assert {name: len(found) for name, found in templates.items()} == {
        "plan_run": 0, "wait_for_drop": 1, **dict.fromkeys(tasks_of(dag)[2:], 2),
    }  # fmt: skip


def test_train_is_mapped_over_the_candidates(dag: DAG) -> None:
    train = dag.get_task("train")

    assert train.is_mapped
    trained = [name for name, settings in load(dag).training.candidates.items() if settings.family != "blend"]
    assert train.op_kwargs_expand_input.value == {"candidate": trained}
    assert "candidate" in train.partial_kwargs["map_index_template"]


def test_one_run_at_a_time_from_the_first_day_without_catching_up(dag: DAG) -> None:
    assert (dag.max_active_runs, dag.catchup, dag.end_date) == (1, False, None)
    assert dag.start_date.astimezone(load(dag).calendar.time_zone).isoformat()[:19] == f"{load(dag).start}T00:00:00"


def test_schedule_knows_the_days_that_rest(
    pipeline_factory: Callable[..., Pipeline], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def edit(document: dict[str, Any]) -> None:
        document["calendar"] = {"weekdays": ["mon", "tue", "wed", "thu", "fri"], "holidays": ["2026-12-25"]}

    monkeypatch.setenv("PERENNIAL_PIPELINES", str(tmp_path / "pipelines"))
    pipeline = pipeline_factory(edit)
    dag = load_bag().dags["retrain_machine_faults"]

    stored = DagSerialization.from_dict(DagSerialization.to_dict(dag))

    assert stored.timetable.data_days == pipeline.calendar.data_days
    # As Airflow makes the runs of a backfill from Friday to Tuesday.
    infos = stored.iter_dagrun_infos_between(datetime(2026, 3, 6, tzinfo=UTC), datetime(2026, 3, 10, tzinfo=UTC))
    assert [info.logical_date.date().day for info in infos] == [6, 9, 10]
    assert ", except rest dates," in dag.doc_md


def test_documented_tagged_and_owned(dag: DAG) -> None:
    pipeline = load(dag)
    for text in [
        *tasks_of(dag),
        *(s.uri for s in pipeline.sources.values()),
        "Inputs",
        "Outputs",
        "When it fails",
        "run-failed.md",
    ]:
        assert text in dag.doc_md
    assert (dag.description, dag.owner) == (pipeline.title, pipeline.owner)
    assert dag.dag_display_name == f"{pipeline.title} ({pipeline.name})"
    assert "retrain" in dag.tags


def test_only_a_backfill_asks_the_timetable_with_catchup(dag: DAG) -> None:
    """The timetable relies on it: it names the runs of a backfill by the date of their data."""
    stored = DagSerialization.from_dict(json.loads(json.dumps(DagSerialization.to_dict(dag))))
    first = stored.start_date

    assert not stored.catchup
    (info,) = stored.iter_dagrun_infos_between(first, first)
    assert info.run_after.date() == load(dag).start


def test_survives_serialisation_with_its_timetable(dag: DAG) -> None:
    again = DagSerialization.from_dict(json.loads(json.dumps(DagSerialization.to_dict(dag))))

    assert again.timetable.summary == f"daily, {load(dag).time_zone}" + (f", until {load(dag).end}" if load(dag).end else "")
    assert sorted(again.task_ids) == sorted(tasks_of(dag))


def test_parsing_twice_gives_the_same_dag(bag: DagBag, dag: DAG) -> None:
    # Airflow stores a new version of a DAG whose text changes from parse to parse.
    before = DagSerialization.to_dict(dag)
    bag.process_file(str(REPO / "dags/retrain.py"), only_if_updated=False)

    assert DagSerialization.to_dict(bag.dags[dag.dag_id]) == before


@pytest.mark.parametrize("name", KEYS)
def test_every_param_has_a_title_and_help(dag: DAG, name: str) -> None:
    param = dag.params.get_param(name)

    assert param.schema["title"]
    assert len(param.description) > 20


def test_defaults_are_valid(dag: DAG) -> None:
    assert dag.params.validate() == {**dict.fromkeys(KEYS), "recompute": False}
    assert tuple(dag.params) == KEYS


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("date", "2013-02-30"),
        ("date", "2013-02-12\n"),
        ("date", "12.02.2013"),
        ("date", 20130212),
        ("recompute", "yes"),
        ("force_decision", "promote"),
        ("force_reason", "x" * 501),
    ],
)
def test_impossible_value_is_refused_by_the_form(dag: DAG, name: str, value: Any) -> None:
    params = ParamsDict({key: dag.params.get_param(key) for key in dag.params})

    with pytest.raises(ParamValidationError):
        params.update({name: value})


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize("value", [None, ""], ids=["null", "empty text"])
def test_an_empty_value_is_accepted_from_the_api(dag: DAG, name: str, value: str | None) -> None:
    """Airflow's API checks the params of a stored DAG, with the params' schemas as they were stored."""
    stored = DagSerialization.from_dict(json.loads(json.dumps(DagSerialization.to_dict(dag)))).params.deep_merge({name: value})

    assert stored.validate()[name] == value


def test_the_form_shows_a_date_picker_and_a_list(dag: DAG) -> None:
    """Airflow's form reads the outer keywords of a param's schema."""
    shown = {key: dag.params.get_param(key).schema for key in dag.params}

    assert [key for key, schema in shown.items() if schema.get("format") == "date" and "string" in schema["type"]] == [
        "date",
        "until",
    ]
    assert shown["force_decision"]["enum"] == [None, "PROMOTE", "HOLD", "REJECT"]
    assert shown["recompute"]["type"] == "boolean"


def load(dag: DAG) -> Any:
    name = dag.dag_id.removeprefix("retrain_")
    root = next(root for root in (REPO / "include/pipelines", REPO / "tests/pipelines") if (root / name).is_dir())
    return load_pipeline(name, root)


def load_owner(dag: DAG) -> str:
    return load(dag).owner


def test_the_janitor_is_there_where_a_pipeline_runs_on_kubernetes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_RUNTIME", "kubernetes")
    monkeypatch.setenv("PERENNIAL_PIPELINES", str(REPO / "include/pipelines"))
    bag = load_bag()
    assert bag.import_errors == {}
    assert set(bag.dag_ids) == {"retrain_flight_delays", "perennial_janitor"}
    (task,) = bag.dags["perennial_janitor"].tasks
    assert task.task_id == "clean_up"
    assert task.op_args == (["flight_delays"],)
