"""Labels that are known two days later, from landed drops to decisions: nothing is learned or judged before it could be known."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from returned_orders import drops, known_labels, orders
from spark_loop import FolderTables, SparkLoop, spark_loop

from perennial.analyse.plan import finish_analyse, plan_analyse, unlabelled_dates
from perennial.calendar import days
from perennial.clean.plan import finish_clean, plan_clean
from perennial.collect.collect import collect
from perennial.config.pipeline import Pipeline
from perennial.errors import RefusedError
from perennial.evaluate.chain_store import read_chain
from perennial.evaluate.evaluate import evaluate, evaluate_ahead
from perennial.evaluate.holdout import read_predictions
from perennial.freshness.stale import stale_dates
from perennial.lake.labelled import label_columns
from perennial.lake.lake import Lake
from perennial.lake.tables import read_rows
from perennial.report.page import page
from perennial.report.walk_forward import FROZEN, walk_forward
from perennial.train.__main__ import run_job
from perennial.train.plan import plan_ahead, plan_training
from perennial.train.trainings import read_model

START, GAP, FIRST, LAST = date(2026, 3, 1), date(2026, 3, 3), date(2026, 3, 7), date(2026, 3, 9)
LATER = timedelta(days=2)
"""How long after its date a label is known."""

REPLACED = date(2026, 3, 8)
TABLES = ("clean_orders", "clean_returns", "features", "labels", "lookup_category_rates", "profile")


@dataclass(frozen=True, slots=True)
class Shop:
    """The pipeline in one space, and the session that works for it."""

    lake: Lake
    spark: SparkLoop

    def run(self, day: date, until: date | None = None) -> None:
        """Run a date, working ahead for those up to `until`."""
        lake, last = self.lake, until or day
        collect(lake, day, last)
        self.spark.run(plan_clean(lake, day, until=last))
        finish_clean(lake, day)
        self.spark.run(plan_analyse(lake, day, until=last))
        finish_analyse(lake, day)
        for job in [*plan_training(lake, day, "logistic").jobs, *plan_ahead(lake, day, last, "logistic")]:
            run_job(lake.objects, job)
        evaluate(lake, day, run_id="test")
        evaluate_ahead(lake, day, last, run_id="test")

    def partitions(self) -> dict[str, dict[str, str]]:
        return {name: {day: one.digest for day, one in self.lake.tables.state(name).partitions.items()} for name in TABLES}

    def trainings(self) -> dict[date, str]:
        return {day: str(plan_training(self.lake, day, "logistic").key) for day in days(FIRST, LAST)}

    def decisions(self) -> dict[date, dict[str, Any]]:
        """Return the decisions by date, without the names of their space and of whom they met, which are keys."""
        entries = read_chain(self.lake).entries
        bodies = {date.fromisoformat(day): self.lake.objects.read_existing(one.uri).json() for day, one in entries.items()}
        return {
            day: {name: value for name, value in body.items() if name not in ("space", "key")} for day, body in bodies.items()
        }

    def jobs(self) -> list[dict[str, Any]]:
        """Return the stored jobs of trainings."""
        stored = [self.lake.objects.read_existing(uri).json() for uri in self.lake.objects.list(f"{self.lake.layout.root}/jobs/")]
        return [job for job in stored if "candidate" in job]

    def models(self) -> list[dict[str, Any]]:
        uris = self.lake.objects.list(f"{self.lake.layout.root}/models/")
        return [read_model(self.lake, uri) for uri in uris if uri.endswith(".json")]


@pytest.fixture
def session(s3: Any, tmp_path: Path) -> Iterator[SparkLoop]:
    with spark_loop(tmp_path) as found:
        yield found


@pytest.fixture
def shop(s3: Any, session: SparkLoop, pipeline_factory: Callable[..., Pipeline]) -> Callable[[str], Shop]:
    """Return a function that opens the pipeline in a space; the drops of all dates but one have landed."""
    pipeline = pipeline_factory(name="returned_orders")
    for day in days(START, LAST):
        if day != GAP:
            land(s3, pipeline, day)
    lake = s3.open_lake(pipeline)

    def opened(space: str) -> Shop:
        layout = replace(lake.layout, space=space)
        return Shop(replace(lake, layout=layout, tables=FolderTables(session.folder, layout.database)), session)

    return opened


def land(s3: Any, pipeline: Pipeline, day: date, lost_share: float = 0.0) -> None:
    for source, files in drops(day, lost_share).items():
        for name, body in files.items():
            s3.put(pipeline.sources[source].drop_uri(day) + name, body)


def test_nothing_is_learned_or_judged_before_it_could_be_known(
    s3: Any, shop: Callable[[str], Shop], monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the drops on: dates one by one, a batch of them at once, and a drop that is replaced later."""
    serial, ahead = shop("serial"), shop("ahead")
    for day in days(FIRST, LAST):
        serial.run(day)
    ahead.run(FIRST, LAST)

    # A date gives the same alone and in a batch that has landed days after it.
    made = serial.partitions()
    assert ahead.partitions() == made
    landed = [day for day in days(START, LAST) if day != GAP]
    assert sorted(made["labels"]) == [str(day) for day in landed if day <= LAST - LATER]
    assert sorted(made["features"]) == [str(day) for day in landed]
    decided = serial.decisions()
    assert list(decided) == list(days(FIRST, LAST))
    assert ahead.decisions() == decided

    assert unlabelled_dates(serial.lake) == list(days(LAST - LATER + timedelta(days=1), LAST))
    _check_labels(serial)
    for one in (serial, ahead):
        _check_leaks(one)

    # What comes later changes the labels that rest on it, and retrains the dates that know these.
    trained = serial.trainings()
    land(s3, serial.lake.pipeline, REPLACED, lost_share=0.5)
    knows_it = list(days(REPLACED, LAST))
    assert list(stale_dates(serial.lake)) == knows_it
    for day in knows_it:
        serial.run(day)
    ahead.run(FIRST, LAST)
    assert ahead.partitions() == serial.partitions()
    assert ahead.decisions() == serial.decisions()
    assert {day for day, digest in serial.partitions()["labels"].items() if digest != made["labels"][day]} == {
        str(day) for day in days(REPLACED - LATER, LAST - LATER)
    }
    assert [day for day, key in serial.trainings().items() if key != trained[day]] == knows_it
    assert stale_dates(serial.lake) == {}
    for one in (serial, ahead):
        _check_leaks(one)

    # A report judges the dates whose labels are known by now, by models that had not seen them.
    monkeypatch.setattr("perennial.report.walk_forward.spark_costs", lambda lake, first, last: {})
    report = walk_forward(serial.lake, FIRST, LAST)
    assert [day.date for day in report.days if not day.labelled] == list(days(LAST - LATER + timedelta(days=1), LAST))
    assert "Dates without known labels: 2 (2026-03-08, 2026-03-09)." in page(report)
    assert [set(day.scores) for day in report.days] == [{"logistic", FROZEN, "base rate"}, set(), set()]

    # The batch shows a query the days after those of its rows; one that does not bound its reads is refused.
    unbounded = serial.lake.pipeline.folder / "labels.sql"
    unbounded.write_text(unbounded.read_text().replace(" AND r.date < d.as_of", ""))
    with pytest.raises(RefusedError, match=r"labels\.sql: the result for .* depends on the other dates in its batch"):
        serial.run(FIRST, LAST)


def _check_labels(one: Shop) -> None:
    """Compare the labels with what the orders themselves say: those that came back later than two days count as kept."""
    state = one.lake.tables.state("labels")
    known = [date.fromisoformat(day) for day in state.partitions]
    table = read_rows(str(state.metadata_location), state.snapshot_id or 0, known, label_columns(["order_id"], "is_returned"))
    landed = {day for day in days(START, LAST) if day != GAP}
    wanted = known_labels(known, landed, LATER.days)
    assert dict(zip(table["order_id"].to_pylist(), table["is_returned"].to_pylist(), strict=True)) == wanted
    assert any(order.returned_after in (3, 4) for day in known for order in orders(day))


def _check_leaks(one: Shop) -> None:
    """Require of all that was ever trained and judged here that its labels were known on its date."""
    jobs, models = one.jobs(), one.models()
    assert {job["date"] for job in jobs} == {str(day) for day in days(FIRST, LAST)}
    for job in jobs:
        known_until = str(date.fromisoformat(job["date"]) - LATER)
        features, labels = job["features"], job["labels"]
        rows = [*features["window"], *features["holdout"]]
        assert rows
        assert max(rows) <= known_until
        assert sorted(labels["digests"]) == sorted(features["digests"]) == sorted(rows)
    assert len(models) >= len(list(days(FIRST, LAST)))
    for model in models:
        day = date.fromisoformat(model["date"])
        predictions = read_predictions(one.lake, model)
        judged = set(predictions["date"].to_pylist())
        assert judged <= {date.fromisoformat(text) for text in model["holdout"]}
        assert max(judged) <= day - LATER
        on = [order for d in (*model["window"], *model["holdout"]) for order in orders(date.fromisoformat(d))]
        used = [order for order in on if order.price is not None and not order.is_gift]
        assert sum(model["rows"].values()) == len(used)
        assert model["unlabelled_rows"] == sum(order.price is not None for order in on) - len(used)
        assert model["unmatched_labels"] == sum(not order.is_gift for order in on) - len(used)
    for day, body in one.decisions().items():
        assert max(body["holdout"]["days"]) <= str(day - LATER)
