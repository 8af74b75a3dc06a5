"""Each rule of the gate, with a proof that it can refuse."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from perennial.config.pipeline import BinaryLabel, Floors, Gate, Margin
from perennial.errors import RefusedError
from perennial.evaluate.bootstrap import Interval
from perennial.evaluate.comparison import Challenger, Comparison, Opponent, by_rule, compare
from perennial.evaluate.force import read_force, reject_barred, settle
from perennial.evaluate.gate import Judgement, choose, judge, overall
from perennial.evaluate.judged import Categories, Holdout
from perennial.models.metrics import all_metrics
from perennial.tasks.task import task_of

SEED, DAYS, ROWS = 11, 7, 300
TASK = task_of(BinaryLabel(column="late"))
RNG = np.random.default_rng(5)
TRUTH = RNG.normal(-1.0, 1.2, DAYS * ROWS)
Y = (RNG.random(DAYS * ROWS) < 1 / (1 + np.exp(-TRUTH))).astype(np.int_)
DAY = np.repeat(np.arange(DAYS), ROWS)
GATE = Gate(margin=Margin(log_loss=0.02, roc_auc=0.02), floors=Floors(roc_auc=0.6, rows=100, positives=20), min_days=7)
HOLDOUT = Holdout(TASK, Y, [ROWS] * DAYS)


def predict(noise: float, seed: int = 1, shift: float = 0.0) -> np.ndarray:
    """Return predictions that are the worse the noisier."""
    return 1 / (1 + np.exp(-(TRUTH + shift + np.random.default_rng(seed).normal(0, noise, len(TRUTH)))))


def categories(texts: np.ndarray) -> Categories:
    words, codes = np.unique(texts.astype(str), return_inverse=True)
    return Categories(words.tolist(), codes.astype(np.uint8))


def challenger(p: np.ndarray, name: str = "mlp", constant: float = 0.3, y: np.ndarray = Y) -> Challenger:
    return Challenger(name, f"{name}-new", p, all_metrics(y, p), constant)


def incumbent(p: np.ndarray | None, age_days: int = 1, why: str = "") -> Opponent:
    return Opponent("incumbent", "mlp-old", p, age_days, why)


GOOD, EQUAL, MIDDLING, BAD = predict(0.1), predict(0.1, seed=2), predict(0.8), predict(2.0)
WAVERING = np.where(DAY < 3, predict(1.2, seed=3), GOOD)  # worse than MIDDLING on three days, better on four


def test_without_an_incumbent_the_floors_alone_decide():
    found = judge(challenger(GOOD), [], HOLDOUT, GATE, SEED)
    assert found.verdict == "PROMOTE"
    assert found.is_better, "the first champion is the first anchor"
    assert found.reasons == ("no incumbent: only the floors decide",)


def test_an_equal_challenger_is_promoted_and_sets_no_anchor():
    found = judge(challenger(EQUAL), [incumbent(GOOD)], HOLDOUT, GATE, SEED)
    assert found.verdict == "PROMOTE"
    assert not found.is_better


def test_a_strictly_better_challenger_sets_the_anchor():
    assert judge(challenger(GOOD), [incumbent(BAD)], HOLDOUT, GATE, SEED).is_better


def test_a_worse_challenger_is_rejected():
    found = judge(challenger(predict(1.2)), [incumbent(GOOD)], HOLDOUT, GATE, SEED)
    assert found.verdict == "REJECT"
    assert "against the incumbent mlp-old" in found.reasons[0]


def test_what_cannot_be_told_is_held():
    assert judge(challenger(WAVERING), [incumbent(MIDDLING)], HOLDOUT, GATE, SEED).verdict == "HOLD"


def test_a_tie_keeps_the_champion_when_no_loss_is_allowed():
    strict = GATE.model_copy(update={"margin": Margin(log_loss=0.0, roc_auc=0.0)})
    assert judge(challenger(GOOD), [incumbent(GOOD)], HOLDOUT, strict, SEED).verdict == "HOLD"


def test_roc_auc_alone_can_reject():
    # Worse order at equal log loss: the incumbent orders well and is badly calibrated.
    worse_order = predict(1.0)
    sharp = 1 / (1 + np.exp(-(3.2 * TRUTH)))
    found = judge(challenger(worse_order), [incumbent(sharp)], HOLDOUT, GATE, SEED)
    comparison = found.comparisons[0]
    assert comparison.loss is not None
    assert by_rule(comparison.loss, GATE.margin.log_loss) == "PROMOTE"
    assert found.verdict == "REJECT"


@pytest.mark.parametrize(
    ("gate", "holdout", "text"),
    [
        ({"floors": Floors(roc_auc=0.6, rows=5000, positives=20)}, HOLDOUT, "2100 rows, at least 5000"),
        ({"floors": Floors(roc_auc=0.6, rows=100, positives=2000)}, HOLDOUT, "positives, at least 2000"),
        ({"min_days": 8}, HOLDOUT, "7 days, at least 8"),
    ],
    ids=["rows", "positives", "days"],
)
def test_too_small_a_holdout_holds_even_without_an_incumbent(gate: Mapping[str, object], holdout: Holdout, text: str):
    found = judge(challenger(GOOD), [], holdout, GATE.model_copy(update=gate), SEED)
    assert found.verdict == "HOLD"
    assert text in " ".join(found.reasons)


def test_a_holdout_of_one_class_holds():
    y = np.ones_like(Y)
    found = judge(challenger(GOOD, y=y), [incumbent(EQUAL)], Holdout(TASK, y, [ROWS] * DAYS), GATE, SEED)
    assert found.verdict == "HOLD"
    assert "0 negatives, at least 1" in " ".join(found.reasons)


def test_the_floor_of_roc_auc_rejects():
    gate = GATE.model_copy(update={"floors": Floors(roc_auc=0.99, rows=100, positives=20)})
    found = judge(challenger(GOOD), [], HOLDOUT, gate, SEED)
    assert found.verdict == "REJECT"
    assert "the floor is 0.9900" in found.reasons[0]


def test_a_model_no_better_than_the_constant_base_rate_is_rejected():
    found = judge(challenger(predict(0.1, shift=4.0), constant=float(Y.mean())), [], HOLDOUT, GATE, SEED)
    assert found.verdict == "REJECT"
    assert "constant base rate" in found.reasons[0]


def test_small_losses_cannot_add_up_because_the_anchor_is_met_too():
    anchor = Opponent("anchor", "mlp-anchor", GOOD, 20)
    step, far = predict(0.75), predict(0.95, seed=4)
    assert judge(challenger(far), [incumbent(step)], HOLDOUT, GATE, SEED).verdict != "REJECT"
    found = judge(challenger(far), [incumbent(step), anchor], HOLDOUT, GATE, SEED)
    assert found.verdict == "REJECT"
    assert "against the anchor mlp-anchor" in found.reasons[0]


def test_an_old_incumbent_gives_way_to_what_is_not_rejected():
    undecided = challenger(WAVERING)
    assert judge(undecided, [incumbent(MIDDLING, age_days=28)], HOLDOUT, GATE, SEED).verdict == "HOLD"
    found = judge(undecided, [incumbent(MIDDLING, age_days=29)], HOLDOUT, GATE, SEED)
    assert found.verdict == "PROMOTE"
    assert "it is replaced" in found.reasons[-1]
    assert judge(challenger(BAD), [incumbent(GOOD, age_days=99)], HOLDOUT, GATE, SEED).verdict == "REJECT"


def test_an_incumbent_that_cannot_be_judged_holds_until_it_is_too_old():
    blind = incumbent(None, why="today's features lack wind (number), which it needs")
    found = judge(challenger(GOOD), [blind], HOLDOUT, GATE, SEED)
    assert found.verdict == "HOLD"
    assert "cannot be judged: today's features lack wind" in found.reasons[0]
    assert judge(challenger(GOOD), [replace(blind, age_days=29)], HOLDOUT, GATE, SEED).verdict == "PROMOTE"


def test_a_slice_that_got_worse_rejects_and_one_without_support_is_unknown():
    origin = np.where(np.arange(len(Y)) % 5 == 0, "LGA", "JFK").astype(object)
    origin[:10] = "EWR"
    p = np.where(origin == "LGA", predict(1.5), GOOD)
    sliced = replace(HOLDOUT, slices={"origin": categories(origin)})
    gate = GATE.model_copy(update={"slices": ["origin"], "slice_min_rows": 200, "margin": Margin(log_loss=0.08, roc_auc=0.2)})
    assert judge(challenger(p), [incumbent(GOOD)], HOLDOUT, gate, SEED).verdict == "PROMOTE"
    found = judge(challenger(p), [incumbent(GOOD)], sliced, gate, SEED)
    assert found.verdict == "REJECT"
    assert "on origin=LGA" in found.reasons[0]
    verdicts = {c.slice: c.verdict for c in found.comparisons}
    assert verdicts["origin=EWR"] == "UNKNOWN"
    assert verdicts["origin=JFK"] == "PROMOTE"


def test_slices_are_compared_with_the_incumbent_only():
    sliced = replace(HOLDOUT, slices={"origin": categories(np.full(len(Y), "JFK"))})
    assert len(compare(challenger(GOOD), Opponent("anchor", "a", EQUAL, 1), sliced, GATE, SEED)) == 1


def judgement(name: str, verdict: str, log_loss: float) -> Judgement:
    return Judgement(name, f"{name}-1", verdict, (), (), "log_loss", log_loss, False)  # type: ignore[arg-type]


def test_the_lowest_log_loss_wins_and_a_tie_goes_to_the_order_of_the_yaml():
    assert choose([judgement("mlp", "PROMOTE", 0.4), judgement("logistic", "PROMOTE", 0.3)]).name == "logistic"  # type: ignore[union-attr]
    assert choose([judgement("mlp", "PROMOTE", 0.4), judgement("logistic", "PROMOTE", 0.4)]).name == "mlp"  # type: ignore[union-attr]
    assert choose([judgement("mlp", "HOLD", 0.1), judgement("logistic", "PROMOTE", 0.4)]).name == "logistic"  # type: ignore[union-attr]
    assert choose([judgement("mlp", "HOLD", 0.1)]) is None


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [(("REJECT", "PROMOTE"), "PROMOTE"), (("REJECT", "HOLD"), "HOLD"), (("REJECT", "REJECT"), "REJECT")],
)
def test_the_decision_of_a_date_is_the_best_verdict(verdicts: tuple[str, ...], expected: str):
    assert overall([judgement(str(i), v, 0.4) for i, v in enumerate(verdicts)]) == expected


def test_a_forced_decision_overrules_the_gate_and_says_so():
    found = [judgement("mlp", "REJECT", 0.5), judgement("logistic", "REJECT", 0.4)]
    verdict, winner, reasons = settle(found, read_force("PROMOTE", "the holdout was a blizzard"))
    assert (verdict, winner.name if winner else None) == ("PROMOTE", "logistic")
    assert reasons[0] == "forced to PROMOTE: the holdout was a blizzard (the gate says REJECT)"
    verdict, winner, _ = settle([judgement("mlp", "PROMOTE", 0.4)], read_force("HOLD", "release freeze"))
    assert (verdict, winner) == ("HOLD", None)


def test_nobody_promotes_a_version_that_is_barred():
    found = [judgement("mlp", "PROMOTE", 0.4), judgement("logistic", "REJECT", 0.5)]
    best, other = found[0].version, found[1].version
    found = reject_barred(found, {best})
    assert [j.verdict for j in found] == ["REJECT", "REJECT"], "the table of candidates says what the decision says"
    verdict, winner, reasons = settle(found, None, {best})
    assert (verdict, winner) == ("REJECT", None)
    assert "mlp: the version is barred" in reasons
    force = read_force("PROMOTE", "better than nothing")
    verdict, winner, _ = settle(found, force, {best})
    assert (verdict, winner.version if winner else None) == ("PROMOTE", other)
    with pytest.raises(RefusedError, match="are barred, and no other version was trained"):
        settle(found, force, {best, other})


@pytest.mark.parametrize(("decision", "reason"), [("PROMOTE", None), ("HOLD", "  "), ("MAYBE", "why"), ("REJECT", "x" * 501)])
def test_a_force_without_a_reason_or_with_another_word_is_refused(decision: str, reason: str | None):
    with pytest.raises(RefusedError):
        read_force(decision, reason)


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (-0.01, 0.03, "0.0100 worse to 0.0300 better"),
        (-np.inf, 0.03, "at best 0.0300 better, no lower limit"),
        (-np.inf, -0.005, "at best 0.0050 worse, no lower limit"),
        (-0.01, np.inf, "at worst 0.0100 worse, no upper limit"),
        (-np.inf, np.inf, "no limit on either side, the holdout is too small"),
    ],
)
def test_a_reason_names_the_interval_and_says_in_words_where_it_has_no_bound(low: float, high: float, text: str):
    """Case 18."""
    found = Comparison("incumbent", "mlp-old", "HOLD", "log_loss", Interval(low, 0.0, high))
    reason = found.reason(0.02, 0.02)
    assert reason == f"against the incumbent mlp-old: log loss 0.0000 better (90 % interval: {text}; up to 0.02 worse is allowed)"
    assert "inf" not in reason.replace("incumbent", "")


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (Interval(-0.01, 0.0, 0.01), "PROMOTE"),
        (Interval(-0.02, 0.0, 0.01), "HOLD"),
        (Interval(-0.05, -0.03, -0.02), "HOLD"),
        (Interval(-0.05, -0.03, -0.021), "REJECT"),
        (Interval(-np.inf, 0.5, np.inf), "HOLD"),
    ],
    ids=["above", "lower bound at the margin", "upper bound at the margin", "below", "no bounds"],
)
def test_the_rule(found: Interval, verdict: str):
    assert by_rule(found, 0.02) == verdict


def test_a_difference_of_roc_auc_is_never_said_to_be_beyond_one():
    """With three positives the bootstrap's own bounds are -4.3 and 1.6."""
    chance = np.random.default_rng(0)
    y = np.isin(np.arange(210), [d * 30 + chance.integers(0, 30) for d in (1, 4, 5)]).astype(np.int_)
    p, q = (np.clip(0.1 + lift * y + chance.normal(0, 0.2, 210), 0.01, 0.99) for lift in (0.5, 0.0))
    found = compare(challenger(q, y=y), incumbent(p), Holdout(TASK, y, [30] * 7), GATE, 3)[0]
    assert found.roc_auc is not None
    assert (found.roc_auc.low, found.roc_auc.high) == (-1.0, 1.0)
    assert found.verdict == "HOLD"
    assert "ROC AUC" in found.reason(0.02, 0.02)
