"""Commands that show data, names and reasons print no control character, for people and as JSON."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from perennial.cli import run_command
from perennial.commands import quarantine
from perennial.display.showable import make_showable
from perennial.evaluate.chain import Entry, Intervention, Model, enter, intervene
from perennial.evaluate.chain_store import update_chain
from perennial.lake.lake import Lake
from perennial.store.content_name import canonical_json
from perennial.trial.trial import Column, Findings
from stack.config import REPO

HOSTILE = "\x1b]52;c;ZXZpbA==\x1b\\\x1b[2J\x9b31m\x07\u202egnp\u200b [link=http://evil]x[/link]"
SHOWN = "\\x1b]52;c;ZXZpbA==\\x1b\\\\x1b[2J\\x9b31m\\x07\\u202egnp\\u200b [link=http://evil]x[/link]"
DAY = date(2026, 3, 9)

Call = Callable[..., str]


@pytest.fixture
def lake(s3: Any, pipeline_factory: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Lake:
    """Return a lake in which every text that a person or a file gave is hostile."""
    pipeline = pipeline_factory()
    monkeypatch.setenv("PERENNIAL_PIPELINES", str(tmp_path / "pipelines"))
    monkeypatch.setenv("PERENNIAL_VAR", str(tmp_path / "var"))
    monkeypatch.setenv("PERENNIAL_ENDPOINT_PORT", "9")
    lake: Lake = s3.open_lake(pipeline)
    candidate = {"name": HOSTILE, "version": HOSTILE, "decision": "HOLD", "roc_auc": 0.5}
    forced = {"decision": "PROMOTE", "reason": HOSTILE, "by": HOSTILE}
    body = {"format": 1, "date": str(DAY), "decision": "PROMOTE", "reasons": [HOSTILE], "candidates": [candidate]}
    uri = lake.layout.decision(DAY, "d")
    lake.objects.create(uri, canonical_json({**body, "champion": HOSTILE, "incumbent": HOSTILE, "forced": forced}))
    entry = Entry("PROMOTE", uri, "k", Model("mlp-1", "s3://m"), HOSTILE, None, True, HOSTILE, "2026-03-10T00:00:00Z", stale=True)
    barred = Intervention(str(DAY), HOSTILE, "mlp-1", HOSTILE, HOSTILE, "2026-03-10T01:00:00Z")
    update_chain(lake, lambda chain: intervene(enter(chain, DAY, entry), barred))
    return lake


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str]) -> Call:
    """Return a function that runs a command and returns all that it wrote, after a check that none of it can do harm."""

    def run(*arguments: str) -> str:
        capfd.readouterr()
        run_command(arguments)
        written = capfd.readouterr()
        text = written.out + written.err
        assert make_showable(text) == text
        if "--json" in arguments:
            json.loads(written.out)
        return text

    return run


@pytest.mark.parametrize(
    "command", ["decisions", "decisions --date 2026-03-09", "decisions --stale", "status", "stale", "releases"]
)
def test_stored_texts_of_people(lake: Lake, call: Call, command: str) -> None:
    text = call(*command.split())
    if command.startswith(("decisions", "status")):
        assert SHOWN in text
        assert json.dumps(HOSTILE)[1:-1] in json.dumps(json.loads(call(*command.split(), "--json")))


def test_cells_in_quarantine(lake: Lake, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    row = dict.fromkeys(quarantine.COLUMNS, HOSTILE)
    monkeypatch.setattr(quarantine, "_rows", lambda *_: pa.Table.from_pylist([row]))
    assert call("quarantine", "--date", str(DAY)).count(SHOWN) == len(quarantine.COLUMNS)
    assert json.loads(call("quarantine", "--date", str(DAY), "--json"))["rows"] == [row]


def test_cells_of_a_trial(lake: Lake, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    column = Column(HOSTILE, HOSTILE, HOSTILE)
    found = Findings(HOSTILE, 1, [{HOSTILE: HOSTILE[:40]}], [column], {}, {HOSTILE: {}}, {HOSTILE: None}, {}, [], [], [HOSTILE])
    monkeypatch.setattr("perennial.trial.trial.try_target", lambda *_: found)
    assert SHOWN in call("try", "machine_faults", "--date", str(DAY))
    assert json.loads(call("try", "machine_faults", "--date", str(DAY), "--json"))["problems"] == [HOSTILE]


def test_names_and_texts_in_a_pipelines_folder(lake: Lake, call: Call) -> None:
    folder = lake.pipeline.folder
    (folder / "analysis" / f"{HOSTILE.replace('/', '')}.sql").write_text("SELECT 1")
    (folder / "features.sql").write_text("SELECT raise_error('x') FROM y".replace("y", HOSTILE).replace("x", HOSTILE))
    yaml = folder / "pipeline.yaml"
    yaml.write_text(yaml.read_text().replace("title:", '"ti\\e\\u202etel":').replace("type: binary", f"type: {HOSTILE[-20:]!r}"))
    for arguments in (["validate"], ["validate", "--json"], ["run", "--date", str(DAY)], ["status"]):
        call(*arguments)
    assert "\\u202e" in call("validate")


def test_names_of_files_that_land(lake: Lake, call: Call, tmp_path: Path) -> None:
    file = tmp_path / f"{HOSTILE.replace('/', '')}.csv"
    file.write_text("a,b\n1,2\n")
    for more in ([], ["--json"]):
        assert "\\u202e" in call("land", "machine_faults", "readings", str(DAY), str(file), *more)
        call("land", "machine_faults", HOSTILE, str(DAY), str(file), *more)
        call("land", HOSTILE, "readings", HOSTILE, str(file), *more)
        call("land", "machine_faults", "readings", str(tmp_path / f"{HOSTILE[:30]}{{date}}.csv"), *more)


def test_errors_of_libraries_with_their_traceback(lake: Lake, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise ValueError(HOSTILE)

    monkeypatch.setattr(quarantine, "_rows", fail)
    assert f"ValueError: {SHOWN}" in call("quarantine", "--date", str(DAY))
    assert json.loads(call("quarantine", "--date", str(DAY), "--json").partition("\n")[0])["error"] == f"ValueError: {HOSTILE}"


def test_words_that_no_command_knows(lake: Lake, call: Call) -> None:
    for arguments in ([HOSTILE], ["decisions", f"--{HOSTILE}"], ["decisions", HOSTILE], ["decisions", "--date", HOSTILE]):
        call(*arguments)
        call(*arguments, "--json")


def test_commands_print_only_through_consoles_that_show() -> None:
    """Rich's own Console, print and the streams write what they are given."""
    folders = (REPO / "include/perennial", REPO / "include/stack")
    writers = {"Console", "echo", "secho", "print_exc", "write_stdout"}
    found = []
    for file in (path for folder in folders for path in folder.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            name = node.func if isinstance(node, ast.Call) else None
            called = name.id if isinstance(name, ast.Name) else name.attr if isinstance(name, ast.Attribute) else ""
            on = ast.unparse(name.value) if isinstance(name, ast.Attribute) else ""
            if called in writers or (called == "write" and on in ("sys.stdout", "sys.stderr")) or (called == "print" and not on):
                found.append((str(file.relative_to(REPO / "include")), called))
    own_words = [("perennial/cli.py", "echo"), ("perennial/display/showable.py", "write")]
    own_words += [("stack/foreground.py", "write"), ("stack/machine.py", "write")]
    assert sorted(found) == sorted([("perennial/commands/output.py", "echo"), *own_words])
