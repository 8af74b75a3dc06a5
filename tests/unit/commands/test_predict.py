"""`perennial predict`: the answers of the server, in words and as a command for the shell."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from perennial.cli import run_command
from perennial.store.content_name import canonical_json

Call = Callable[..., tuple[int, Any]]

RELEASE = "2026-03-09-0123456789ab"
MANIFEST = {"release": RELEASE, "date": "2026-03-09", "version": "mlp-1", "as_of": "2026-03-10"}


def test_predict_names_all_that_it_lacks(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perennial.commands.predict.pipeline_names", lambda: ["a", "b"])
    needs = "A prediction needs the name of a pipeline (a, b) and records. Give one of --record, --file and --example."
    assert call("predict") == (1, {"error": needs})


def test_no_model_server_is_one_line(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_ENDPOINT_PORT", "9")
    assert call("predict", "--record", "{}") == (
        1,
        {"error": "No model server answers at http://127.0.0.1:9. Start it: `make up`."},
    )


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
