"""Releases: built once, the same from the same, with golden requests that ask for what never occurred."""

from __future__ import annotations

import io
import json
import math
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from lab import LAST, MACHINES, ROWS, Lab, as_of, rate

from perennial.config.pipeline import Inputs
from perennial.deploy import lookups
from perennial.deploy import release as release_module
from perennial.deploy.golden import UNSEEN, golden_records
from perennial.deploy.release import build_release, plan_release, read_release
from perennial.errors import PerennialError, RefusedError
from perennial.evaluate.chain_store import read_chain
from perennial.evaluate.champions import champion_of
from perennial.evaluate.evaluate import evaluate
from perennial.lake import parts
from perennial.lake.tables import TableState, read_rows
from perennial.serve.limits import Limits
from perennial.serve.release import load_release
from perennial.store.content_name import sha256

DAY = LAST - timedelta(days=1)


def released(lab: Lab) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Evaluate DAY, build its release, and return id, manifest and files."""
    lab.train("mlp", DAY, 0.1)
    lab.train("logistic", DAY, 0.06)
    evaluate(lab.lake, DAY, run_id="r")
    return built(lab)


def built(lab: Lab) -> tuple[str, dict[str, Any], dict[str, Any]]:
    chain = read_chain(lab.lake)
    model = champion_of(chain, DAY).model
    assert model is not None
    release = build_release(lab.lake, plan_release(lab.lake, chain, DAY, model))
    manifest = read_release(lab.lake, release)
    names = [name for name in manifest["files"] if name.endswith(".json")]
    files = {
        name: lab.lake.objects.read_existing(lab.lake.layout.blob(manifest["files"][name]["sha256"])).json() for name in names
    }
    return release, manifest, files


def test_a_release_holds_all_that_serving_needs(lab: Lab):
    release, manifest, files = released(lab)
    assert release.startswith(f"{DAY}-")
    assert set(manifest["files"]) == {"model.onnx", "lookups/machine_rates.json", "golden.json"}
    assert (manifest["as_of"], manifest["release"]) == (str(as_of(DAY)), release)
    lookup = files["lookups/machine_rates.json"]
    assert lookup == {"key": ["machine"], "values": ["rate"], "rows": [[name, rate(name, as_of(DAY))] for name in MACHINES]}


def test_golden_answers_use_the_lookups_of_the_release_and_not_those_of_training(lab: Lab):
    _, _, files = released(lab)
    golden = files["golden.json"]
    record = golden["records"][0]
    logit = 0.1 * (record["temperature"] - 60) + rate(record["machine"], as_of(DAY))
    expected = 1 / (1 + math.exp(-logit))
    assert golden["probabilities"][0] == pytest.approx(expected, abs=1e-5)


def test_golden_requests_of_big_dates_are_chosen_from_few_rows(lab: Lab, monkeypatch: pytest.MonkeyPatch):
    read: list[int] = []

    def counting(*args: Any, **options: Any) -> pa.Table:
        table = read_rows(*args, **options)
        read.append(table.num_rows)
        return table

    released(lab)
    chain = read_chain(lab.lake)
    model = champion_of(chain, DAY).model
    assert model is not None
    plan = plan_release(lab.lake, chain, DAY, model)
    monkeypatch.setattr(release_module, "read_rows", counting)
    monkeypatch.setattr(release_module, "_READ_ROWS", 100)
    whole = release_module._holdout_rows(lab.lake, plan)
    monkeypatch.setattr(parts, "MAX_READ", 500)
    some = release_module._holdout_rows(lab.lake, plan)
    assert read[0] == 7 * ROWS
    assert 50 < read[1] < 200
    assert len(whole) == len(some) == 20


def test_golden_requests_ask_for_unseen_keys_and_nulls(lab: Lab):
    _, _, files = released(lab)
    records = files["golden.json"]["records"]
    assert len(records) == len(files["golden.json"]["probabilities"]) >= 20
    assert any(record["machine"] == UNSEEN for record in records)
    assert any(record["pressure"] is None for record in records)
    assert len({record["machine"] for record in records}) > 3


def test_the_same_inputs_make_the_same_release(lab: Lab):
    first, manifest, _ = released(lab)
    again, same, _ = built(lab)
    assert (again, same) == (first, manifest)


def test_new_lookups_make_a_new_release(lab: Lab):
    first, _, _ = released(lab)
    rows = [{"as_of": as_of(DAY), "machine": name, "rate": 0.5} for name in MACHINES]
    lab.write_table("lookup_machine_rates", pa.Table.from_pylist(rows), "as_of")
    again, _, _ = built(lab)
    assert again != first


def test_other_features_of_the_golden_requests_make_a_new_release(lab: Lab):
    """With labels that come later no decision rests on them yet. Rows from before an edit of the columns are not asked for."""
    first, _, _ = released(lab)
    state = lab.lake.tables.state("features")
    own, earlier = str(DAY), str(DAY - timedelta(days=1))
    changed = {**state.partitions, own: replace(state.partitions[own], digest="other")}
    states: dict[str, TableState] = lab.lake.tables.states  # type: ignore[attr-defined]
    states["features"] = replace(state, partitions=changed)
    assert built(lab)[0] != first
    states["features"] = replace(state, reshaped=frozenset({own, earlier}))
    chain = read_chain(lab.lake)
    model = champion_of(chain, DAY).model
    assert model is not None
    assert max(plan_release(lab.lake, chain, DAY, model).asked) == DAY - timedelta(days=2)


def test_a_lookup_without_rows_of_that_midnight_is_an_error(lab: Lab):
    rows = [{"as_of": as_of(DAY) - timedelta(days=1), "machine": "M01", "rate": 0.5}]
    lab.write_table("lookup_machine_rates", pa.Table.from_pylist(rows), "as_of")
    with pytest.raises(PerennialError, match=f"'machine_rates' has no rows as_of {as_of(DAY)}. Run analyse of {DAY}"):
        released(lab)


def test_a_lookup_whose_rows_were_written_before_an_edit_of_its_columns_is_an_error(lab: Lab):
    """A column that was dropped and added again is null in them."""
    released(lab)
    state = lab.lake.tables.state("lookup_machine_rates")
    lab.lake.tables.states[state.name] = replace(state, reshaped=frozenset({str(as_of(DAY))}))  # type: ignore[attr-defined]
    with pytest.raises(PerennialError, match=f"'machine_rates' has no rows as_of {as_of(DAY)}. Run analyse of {DAY} first"):
        built(lab)


def test_a_doubled_lookup_key_is_refused_and_a_null_key_left_out(lab: Lab):
    rows = [{"as_of": as_of(DAY), "machine": name, "rate": 0.5} for name in ("M01", "M02", None, None)]
    lab.write_table("lookup_machine_rates", pa.Table.from_pylist(rows), "as_of")
    _, _, files = released(lab)
    assert [row[0] for row in files["lookups/machine_rates.json"]["rows"]] == ["M01", "M02"]
    lab.write_table("lookup_machine_rates", pa.Table.from_pylist([*rows, rows[0]]), "as_of")
    with pytest.raises(RefusedError, match=r"'M01',\) occurs twice"):
        built(lab)


def test_a_release_with_a_large_lookup_gives_the_same_answers(lab: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PERENNIAL_SCRATCH", str(tmp_path))
    _, small, files = released(lab)
    lab.lake.objects.delete(lab.lake.layout.release(small["release"]))
    monkeypatch.setattr(lookups, "MAX_JSON_KEYS", len(MACHINES) - 1)
    release, large, others = built(lab)
    assert (small["format"], large["format"]) == (1, 2)
    assert set(large["files"]) == {"model.onnx", "lookups/machine_rates.table", "golden.json"}
    assert others == {"golden.json": files["golden.json"]}
    server = load_release(lab.lake.objects, lab.lake.layout, release, Limits())
    assert server.model.answer(others["golden.json"]["records"]).predictions == others["golden.json"]["probabilities"]


def test_a_lookup_file_that_the_store_has_is_not_written_again(lab: Lab) -> None:
    uri = lab.lake.layout.blob(sha256(b"ab"))
    lab.lake.objects.create_file(uri, io.BytesIO(b"ab"), 2)
    before = lab.lake.objects.head(uri)
    lab.lake.objects.create_file(uri, io.BytesIO(b"ab"), 2)
    assert before is not None
    after = lab.lake.objects.head(uri)
    assert after is not None
    assert after.at == before.at
    assert b"".join(lab.lake.objects.read_parts(uri, 2)) == b"ab"
    with pytest.raises(RefusedError, match="expected at most 5368709120"):
        lab.lake.objects.create_file(uri, io.BytesIO(b"ab"), 5 * 2**30 + 1)


def test_a_champion_whose_lookup_is_gone_is_refused(lab: Lab):
    released(lab)
    inputs = lab.pipeline.inputs.model_copy(update={"lookups": {}})
    object.__setattr__(lab.pipeline, "inputs", inputs)
    with pytest.raises(RefusedError, match=r"needs lookup 'machine_rates' .* pipeline\.yaml has none"):
        built(lab)


def test_golden_records_are_what_a_caller_would_send():
    inputs = Inputs.model_validate(
        {
            "request": {
                "date": "date",
                "at": "time",
                "hot": "boolean",
                "n": "number",
                "m": "number?",
                "c": "category",
                "k": "category?",
            }
        }
    )
    row = {"date": DAY, "at": 511, "hot": True, "n": 2.0, "m": float("nan"), "c": "x", "k": None}
    first = golden_records([row], inputs, DAY)[0]
    assert json.loads(json.dumps(first)) == {
        "date": str(DAY),
        "at": "08:31",
        "hot": True,
        "n": 2.0,
        "m": None,
        "c": "x",
        "k": None,
    }


def test_without_rows_there_are_still_golden_records():
    inputs = Inputs.model_validate({"request": {"date": "date", "at": "time", "n": "number", "c": "category"}})
    assert golden_records([], inputs, DAY)[0] == {"date": str(DAY), "at": "00:00", "n": 0.0, "c": UNSEEN}
