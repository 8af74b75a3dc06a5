"""The addresses of the model servers: given once, kept for good."""

from __future__ import annotations

from pathlib import Path

import pytest

from perennial.errors import PerennialError, RefusedError
from perennial.runtime.endpoints import FILE, endpoint_url, read_places, with_places, write_places


@pytest.fixture
def pipelines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two pipelines, and a stack that has not been started yet."""
    monkeypatch.setenv("PERENNIAL_PIPELINES", str(tmp_path / "pipelines"))
    monkeypatch.setenv("PERENNIAL_VAR", str(tmp_path / "var"))
    monkeypatch.setenv("PERENNIAL_ENDPOINT_PORT", "9000")
    for name in ("delays", "faults"):
        _add(tmp_path / "pipelines", name)
    return tmp_path / "pipelines"


def _add(pipelines: Path, name: str) -> None:
    (pipelines / name).mkdir(parents=True)
    (pipelines / name / "pipeline.yaml").write_text("")


def test_model_servers_of_containers_have_a_host_of_their_own(pipelines: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PERENNIAL_ENDPOINT_HOST", "server")
    assert endpoint_url("faults") == "http://server:9001"


def test_new_pipelines_count_up_in_alphabetical_order(pipelines: Path):
    assert [endpoint_url(name) for name in ("delays", "faults")] == ["http://127.0.0.1:9000", "http://127.0.0.1:9001"]


def test_a_pipeline_that_comes_later_moves_no_address(pipelines: Path, tmp_path: Path):
    write_places(tmp_path / "var", with_places({}, ["delays", "faults"]))
    _add(pipelines, "arrivals")
    assert endpoint_url("delays") == "http://127.0.0.1:9000"
    assert endpoint_url("arrivals") == "http://127.0.0.1:9002"


def test_a_place_is_not_given_twice():
    assert with_places({"gone": 1, "delays": 0}, ["delays", "new"]) == {"gone": 1, "delays": 0, "new": 2}


def test_places_come_back_as_they_were_written(tmp_path: Path):
    write_places(tmp_path / "var", {"delays": 0, "arrivals": 1})
    assert read_places(tmp_path / "var") == {"delays": 0, "arrivals": 1}
    assert [path.name for path in (tmp_path / "var").iterdir()] == [FILE]


@pytest.mark.parametrize("text", ["", "[]", '{"delays": "first"}', '{"delays": null}', '{"a": 0, "b": 0}', '{"a": 99999}'])
def test_a_damaged_file_is_named(tmp_path: Path, text: str):
    (tmp_path / FILE).write_text(text)
    with pytest.raises(PerennialError, match=f"{FILE} is damaged"):
        read_places(tmp_path)


def test_a_pipeline_without_a_folder_has_no_server(pipelines: Path):
    with pytest.raises(RefusedError, match="The pipelines are: delays, faults"):
        endpoint_url("nothing")
