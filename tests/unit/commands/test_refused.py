"""Commands of a pipeline whose files are refused: stored results are still shown, and its release still answers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest

from perennial.cli import run_command
from perennial.config.load import load_pipeline
from perennial.deploy.active import move, read_active
from perennial.errors import PipelineRefusedError
from perennial.evaluate.chain import Entry, Model, enter
from perennial.evaluate.chain_store import update_chain
from perennial.store.content_name import canonical_json

Call = Callable[..., tuple[int, Any]]

RELEASE = "2026-03-09-0123456789ab"
MANIFEST = {"release": RELEASE, "date": "2026-03-09", "version": "mlp-1", "as_of": "2026-03-10"}

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
