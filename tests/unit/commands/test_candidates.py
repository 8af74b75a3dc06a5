"""`perennial candidates`: the families, and the candidates of a pipeline."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from perennial.cli import run_command
from perennial.evaluate.chain import Entry, Model, enter
from perennial.evaluate.chain_store import update_chain
from perennial.lake.lake import Lake
from perennial.runtime import environment

Call = Callable[..., tuple[int, Any]]


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
    for name, source in zip(("wide", "deep", "stack"), documented(page, "python")[:3], strict=True):
        (folder / "candidates" / f"{name}.py").write_text(source)
    install, trust, commands, experiment, base = documented(page, "sh")
    assert install.strip() == "make torch"
    monkeypatch.setitem(environment.PYTHONS, environment.TORCH, Path(sys.executable))  # as if it had been run
    monkeypatch.setenv(*trust.strip().split("="))
    for line in commands.strip().splitlines():
        program, *words = line.split()
        assert program == ".venv/bin/perennial"
        assert run_command(words) == 0
    text = capsys.readouterr().out
    assert "✓ machine_faults" in text
    # The commands of experiments are tested with a lake of trained dates.
    assert "--as own --candidates logistic,boosted,stack" in experiment
    assert "compare base own" in base
    assert "estimator sklearn.ensemble.RandomForestClassifier, params n_estimators 200, min_samples_leaf 20" in text
    assert "sklearn estimator required params none" in " ".join(text.split())
