"""Candidates in the YAML: a list of families, a mapping with parameters, blends, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from perennial.config.candidates import ALIASES, FAMILIES, Blend, Mlp, XGBoost
from perennial.config.pipeline import Training
from perennial.config.search import Searchable
from stack.config import REPO

FOREST = "sklearn.ensemble.RandomForestClassifier"
HISTOGRAM = "sklearn.ensemble.HistGradientBoostingClassifier"
DISCRIMINANT = "sklearn.discriminant_analysis.LinearDiscriminantAnalysis"


SEARCHED = "boosted.xgboost.search.ranges"


def searched(every_days: int = 7, **ranges: Any) -> dict[str, Any]:
    return {"boosted": {"search": {"every_days": every_days, "ranges": ranges}}}


def candidates(value: Any) -> dict[str, Any]:
    return dict(Training.model_validate({"candidates": value}).candidates)


def problems(value: Any) -> list[tuple[str, str]]:
    with pytest.raises(ValidationError) as refused:
        candidates(value)
    return [(".".join(map(str, item["loc"][1:])), item["msg"]) for item in refused.value.errors()]


def test_a_list_names_families_with_their_defaults() -> None:
    found = candidates(["mlp", "boosted", "logistic", "blend"])
    assert list(found) == ["mlp", "boosted", "logistic", "blend"]
    assert (found["mlp"], found["boosted"]) == (Mlp(), XGBoost())
    assert found["blend"] == Blend(of=["mlp", "boosted", "logistic"])


def test_a_mapping_names_candidates_and_sets_parameters() -> None:
    found = candidates({"small": {"family": "mlp", "units": [8]}, "boosted": None, "both": {"family": "blend"}})
    assert found == {"small": Mlp(units=[8]), "boosted": XGBoost(), "both": Blend(of=["small", "boosted"])}


def test_a_search_is_a_part_of_its_candidate_and_of_no_other() -> None:
    found = candidates({"boosted": {"search": {"ranges": {"max_depth": [3, 4]}}}, "logistic": None})
    search = found["boosted"].search
    assert (search.trials, search.every_days, search.cpu_seconds, search.ranges) == (20, 7, 600, {"max_depth": [3, 4]})
    assert "search" not in found["logistic"].model_dump()


def test_a_search_needs_three_dates_to_judge_on() -> None:
    with pytest.raises(ValidationError, match="3 leaves 8 of window_days 10 to search on, expected at least 9"):
        Training.model_validate({"candidates": searched(3, max_depth=[3, 4]), "window_days": 10})
    assert Training.model_validate({"candidates": searched(2, max_depth=[3, 4]), "window_days": 10})


def test_networks_that_start_warm_are_not_searched() -> None:
    network = {"mlp": {"search": {"ranges": {"dropout": [0, 0.5]}}}}
    with pytest.raises(ValidationError, match="mlp: a search trains networks from random weights"):
        Training.model_validate({"candidates": network, "warm_start": True})
    assert Training.model_validate({"candidates": searched(max_depth=[3, 4]), "warm_start": True}).warm_start


@pytest.mark.parametrize(
    ("value", "place", "text"),
    [
        (["mlp", "lgistic"], "1", "Did you mean 'logistic'?"),
        (["mlp", 3], "1", "3 is no family"),
        (["mlp", ["x"]], "1", "is no family"),
        (["mlp", "mlp"], "1", "'mlp' is listed twice"),
        (["boosted", "xgboost"], "1", "'xgboost' is listed twice ('boosted' is the same family)"),
        ("mlp", "", "expected a list of families"),
        ({}, "", "at least 1"),
        ({"net": {}}, "net", "family: missing"),
        ({"net": {"family": "mpl"}}, "net.family", "Did you mean 'mlp'?"),
        ({"net": {"family": ["mlp"]}}, "net.family", "is no family"),
        ({"champion": {"family": "mlp"}}, "champion", "the name of the model that serves"),
        ({"Net": {"family": "mlp"}}, "Net.[key]", "a name must be"),
        ({"mlp": {"units": []}}, "mlp.mlp.units", "at least 1 item"),
        ({"mlp": {"dropout": 1.0}}, "mlp.mlp.dropout", "less than or equal to 0.9"),
        ({"mlp": {"layers": 3}}, "mlp.mlp.layers", "not permitted"),
        ({"mlp": None, "logistic": None, "blend": {"of": ["mlp", "logstic"]}}, "blend.of.1", "Did you mean 'logistic'?"),
        ({"mlp": None, "logistic": None, "blend": {"of": ["mlp", "blend"]}}, "blend.of.1", "no candidate that can be blended"),
        ({"mlp": None, "blend": None}, "blend", "needs two other candidates or more, found mlp"),
        ({"lgistic": {"C": 1.0}}, "lgistic", "Did you mean 'logistic'?"),
        ({"mlp": None, "logistic": None, "blend": {"of": 3}}, "blend.blend.of", "valid list"),
        (["sklearn"], "sklearn.sklearn.estimator", "required"),
        ({"sklearn": {"estimator": "os.system"}}, "sklearn.sklearn.estimator", "expected the import path of a classifier"),
        ({"sklearn": {"estimator": "sklearn._private.Thing"}}, "sklearn.sklearn.estimator", "found 'sklearn._private.Thing'"),
        ({"sklearn": {"estimator": DISCRIMINANT}}, "sklearn.sklearn.estimator", "by up to 0.15. Use the family logistic"),
        ({"sklearn": {"estimator": "sklearn.linear_model.PoissonRegressor"}}, "sklearn.sklearn.estimator", "no negative labels"),
        ({"sklearn": {"estimator": "sklearn.kernel_ridge.KernelRidge"}}, "sklearn.sklearn.estimator", "Use sklearn.svm.SVR"),
        ({"sklearn": {"estimator": HISTOGRAM}}, "sklearn.sklearn.estimator", "Use the family boosted"),
        ({"sklearn": {"estimator": FOREST, "params": {"n_jobs": 2}}}, "sklearn.sklearn.params.n_jobs", "trains on one thread"),
        ({"sklearn": {"estimator": FOREST, "params": {"random_state": 2}}}, "sklearn.sklearn.params.random_state", "sets it"),
        ({"sklearn": {"estimator": FOREST, "params": {"x": {"y": 1}}}}, "sklearn.sklearn.params.x", "expected a text, a number"),
        ({"keras": {"epochs": 0}}, "keras.keras.epochs", "greater than or equal to 1"),
        ({"file": {"view": "rows"}}, "file.file.view", "'matrix' or 'table'"),
        ({"sklearn": {"estimator": FOREST, "search": {}}}, "sklearn.search", "no parameters that can be searched. Families that"),
        ({"mlp": None, "boosted": None, "blend": {"search": {}}}, "blend.search", "blend has no parameters"),
        ({"boosted": {"search": {}}}, "boosted.xgboost.search.ranges", "required"),
        (searched(max_dept=[3, 4]), f"{SEARCHED}.max_dept", "Did you mean 'max_depth'?"),
        ({"mlp": {"search": {"ranges": {"units": [8, 16]}}}}, "mlp.mlp.search.ranges.units", "no number that can be searched"),
        (searched(max_depth=[3, 4, 40]), f"{SEARCHED}.max_depth.2", "less than or equal to 16"),
        (searched(trees=[50, 99.5]), f"{SEARCHED}.trees.1", "valid integer"),
        (searched(max_depth=[4, 3]), f"{SEARCHED}.max_depth", "the first number must be less than the second"),
        (searched(max_depth=[3, 4, 3]), f"{SEARCHED}.max_depth.2", "3 is listed twice"),
        (searched(reg_lambda=[0, 9]), f"{SEARCHED}.reg_lambda", "so it must begin above 0"),
        (
            searched(16, max_depth=[3, 4]),
            "boosted.search.every_days",
            "leaves 13 of window_days 28 to search on, expected at least 14",
        ),
    ],
)
def test_a_problem_is_named_with_its_place(value: Any, place: str, text: str) -> None:
    found = problems(value)
    assert [at for at, _ in found] == [place]
    assert text in found[0][1]


def test_the_reference_lists_every_family_and_parameter_with_its_default() -> None:
    text = Path(REPO / "docs/reference/candidates.md").read_text()
    missing = []
    for name, family in FAMILIES.items():
        assert f"### `{name}`" in text
        section = text.split(f"### `{name}`")[1].split("\n#")[0]
        for parameter, field in family.model_fields.items():
            default = field.get_default(call_default_factory=True) if not field.is_required() else None
            required = {"of": "all candidates that are no blend", "estimator": "required"}
            shown = required[parameter] if field.is_required() else "chosen" if default is None else default
            cell = f"`{shown}`" if isinstance(shown, list) else str(shown)
            if parameter not in ("family", "search") and f"| `{parameter}` | {cell} |" not in section:
                missing.append(f"{name}.{parameter}: {cell}")
    assert missing == []
    (sentence,) = [line for line in text.splitlines() if "on a logarithmic scale" in line]
    scaled = {name for family in FAMILIES.values() if issubclass(family, Searchable) for name in family.LOG_SCALE}
    assert set(re.findall("`([a-zA-Z_]+)`", sentence)) == scaled
    assert all(f"`{alias}`" in text for alias in ALIASES)
