"""The trials of a search and the choice among them, without a training."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from perennial.config.candidates import Logistic, XGBoost
from perennial.config.search import Search
from perennial.train.search import Trial, choose, suggest

DATES = [date(2026, 3, 1) + timedelta(days=offset) for offset in range(4)]
SEARCH = Search(ranges={"learning_rate": [0.01, 0.3], "max_depth": [3, 4, 8], "trees": [50, 400], "subsample": [0.5, 1]})


def trial(number: int, *losses: float, **parameters: Any) -> Trial:
    return Trial(number, parameters, dict(zip(DATES, losses, strict=False)), None if losses else "too large", 0.1)


def test_a_better_trial_is_chosen_only_if_it_gains_more_than_a_standard_error() -> None:
    first = trial(0, 0.5, 0.6, 0.5, 0.6)
    steady = trial(1, 0.49, 0.58, 0.49, 0.58, trees=60)
    shaky = trial(2, 0.2, 0.9, 0.2, 0.8, trees=70)
    assert choose([first, steady])["chosen"] == {"trees": 60}
    found = choose([first, steady, shaky])
    assert (found["best"], found["chosen"]) == (2, {})
    assert 0 < found["gain"] < found["error"]


def test_a_gain_is_not_compared_on_fewer_than_three_dates() -> None:
    assert choose([trial(0, 0.5, 0.6), trial(1, 0.1, 0.1, trees=60)]) == {"best": 1, "chosen": {}}


def test_a_refused_trial_is_never_chosen() -> None:
    better = trial(2, 0.4, 0.5, 0.4, 0.51, trees=60)
    assert choose([trial(0, 0.5, 0.6, 0.5, 0.6), trial(1, trees=400), better])["chosen"] == {"trees": 60}
    assert choose([trial(0, 0.5, 0.6, 0.5, 0.6), trial(1, trees=400)]) == {"best": 0, "chosen": {}}
    assert choose([trial(0), better])["chosen"] == {"trees": 60}


def history(count: int) -> list[Trial]:
    trials = [trial(0, 0.5, 0.5, 0.5)]
    while len(trials) < count:
        found = suggest(XGBoost(), SEARCH, trials, 7)
        trials.append(trial(len(trials), *[abs(found["learning_rate"] - 0.1)] * 3, **found))
    return trials


def test_a_suggestion_depends_on_the_seed_and_the_trials_before_it_alone() -> None:
    trials = history(14)
    stored = [Trial.read(item.to_json()) for item in trials]
    assert stored == trials
    for number in (1, 11, 13):
        assert suggest(XGBoost(), SEARCH, stored[:number], 7) == trials[number].parameters
    assert suggest(XGBoost(), SEARCH, trials, 8) != suggest(XGBoost(), SEARCH, trials, 7)
    assert suggest(XGBoost(), SEARCH, [trial(0), *trials[1:]], 7) != suggest(XGBoost(), SEARCH, [*history(13), trial(13)], 7)


def test_suggestions_are_values_of_the_ranges() -> None:
    for found in (item.parameters for item in history(14)[1:]):
        assert 0.01 <= found["learning_rate"] <= 0.3
        assert found["max_depth"] in (3, 4, 8)
        assert 50 <= found["trees"] <= 400
        assert isinstance(found["trees"], int)
        assert XGBoost.model_validate(dict(found)).trees == found["trees"]


@pytest.mark.parametrize("settings", [Logistic(), Logistic(C=0.001)], ids=["chosen by the window", "outside of its range"])
def test_a_first_trial_outside_of_the_ranges_is_left_to_itself(settings: Logistic) -> None:
    search = Search(ranges={"C": [0.01, 10]})
    found = suggest(settings, search, [trial(0, 0.5, 0.5, 0.5), *(trial(n, 0.4, 0.4, 0.4, C=0.1 * n) for n in range(1, 12))], 7)
    assert 0.01 <= found["C"] <= 10
