"""The report of a stretch of history: its numbers against the models' own, and its page in a browser."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from lab import LAST, ROWS, START, Lab, features_table, small_graph
from playwright.sync_api import sync_playwright
from steps import D1, D2, D3, decide, forced

from perennial.errors import RefusedError
from perennial.evaluate.chain import Intervention, intervene
from perennial.evaluate.chain_store import update_chain
from perennial.models.metrics import log_loss
from perennial.models.scoring import score
from perennial.report import drift as drift_module
from perennial.report.drift import Drift, DriftMeter
from perennial.report.page import page
from perennial.report.rows import rows_by_day
from perennial.report.walk_forward import CHAMPION, FROZEN, WalkForward, walk_forward
from perennial.train.search_record import SearchRecord

GOOD = 0.1
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, BROWSERS)), None)


@pytest.fixture
def report(lab: Lab) -> WalkForward:
    """Three dates: the first promotes, whatever the gate says."""
    forced(lab, D1, GOOD)
    decide(lab, D2, 0.05)
    decide(lab, D3, 0.05)
    return walk_forward(lab.lake, date.min, date.max)


def loss(lab: Lab, day: date, weight: float) -> float:
    """Return the log loss of a lab's graph on the rows of one date."""
    table = features_table()
    rows = table.filter(pc.equal(table["date"], day))
    return log_loss(
        np.array(rows["fault"].to_pylist(), dtype=int), score(small_graph(weight, lab.pipeline.inputs), rows, lab.pipeline.inputs)
    )


def test_the_champion_of_a_date_is_what_the_dates_before_it_left(report: WalkForward, lab: Lab) -> None:
    assert [day.date for day in report.days] == [D1, D2, D3]
    assert set(report.days[0].scores) == {"mlp", "logistic", FROZEN, "base rate"}
    for day in report.days[1:]:
        assert day.scores[CHAMPION].loss == pytest.approx(loss(lab, day.date, GOOD))
        assert day.scores["mlp"].loss == pytest.approx(loss(lab, day.date, 0.05))


def test_all_series_are_pooled_over_the_same_dates(report: WalkForward) -> None:
    assert report.pooled_dates == 2
    assert set(report.pooled) == {CHAMPION, FROZEN, "base rate", "mlp", "logistic"}
    assert report.pooled[CHAMPION] == report.pooled[FROZEN]
    assert report.pooled["base rate"].roc_auc == 0.5


def test_a_stretch_without_decisions_says_which_there_are(report: WalkForward, lab: Lab) -> None:
    with pytest.raises(RefusedError, match=f"Decisions exist from {D1} to {D3}"):
        walk_forward(lab.lake, START, D1 - timedelta(days=1))


def test_labels_of_an_earlier_definition_are_not_used(lab: Lab) -> None:
    """They were made of all dates, when they were known on the date itself: now they are known two days later."""
    lab.write_table("labels", features_table().select(["date", "reading_id", "fault"]), "date")
    label = lab.pipeline.label.model_copy(update={"known_after_days": 2})
    lake = replace(lab.lake, pipeline=lab.pipeline.model_copy(update={"label": label}))
    some = [LAST - timedelta(days=back) for back in (3, 2, 1, 0)]
    assert [(day, sum(part.known.num_rows for part in parts)) for day, parts in rows_by_day(lake, some)] == [
        *((day, ROWS) for day in some[:2]),
        *((day, 0) for day in some[2:]),
    ]


def test_drift_names_the_input_that_moved(lab: Lab) -> None:
    drift, table = DriftMeter(lab.pipeline.inputs), features_table()
    days = [table.filter(pc.equal(table["date"], day)) for day in (LAST, D3)]

    def of(*parts: pa.Table) -> Drift | None:
        for part in parts:
            drift.add(part)
        return drift.finish_day()

    assert [of(days[n % 2]) for n in range(28)] == [None] * 28
    calm = of(days[0])
    place = days[0].schema.get_field_index("temperature")
    moved = of(days[0].set_column(place, "temperature", pc.add(days[0]["temperature"], 40.0)))
    assert calm is not None
    assert moved is not None
    assert moved.column == "temperature"
    assert moved.largest > 1 > calm.largest >= calm.median


def test_drift_of_a_day_in_parts_is_that_of_the_day(lab: Lab) -> None:
    table, found = features_table(), []
    days = [table.filter(pc.equal(table["date"], day)) for day in (LAST, D3)]
    for size in (ROWS, 50):
        drift = DriftMeter(lab.pipeline.inputs)
        for n in range(29):
            for begin in range(0, ROWS, size):
                drift.add(days[n % 2].slice(begin, size))
            last = drift.finish_day()
        found.append(last)
    assert found[0] == found[1] is not None


def test_the_bins_of_drift_come_from_some_rows_of_a_big_day_which_still_counts_in_full(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = features_table()
    day = table.filter(pc.equal(table["date"], LAST))
    monkeypatch.setattr(drift_module, "MAX_KEPT", ROWS // 2)
    drift = DriftMeter(lab.pipeline.inputs)
    for _ in range(28):
        drift.add(day)
        assert drift.finish_day() is None
    assert [counts[0].sum() for counts in drift._before] == [ROWS] * 28
    drift.add(day)
    found = drift.finish_day()
    assert found is not None
    assert found.median < 0.1


def test_the_page_shows_what_people_wrote_as_text(lab: Lab) -> None:
    forced(lab, D1, GOOD, reason="</script><img src=x onerror=alert(1)>")
    html = page(walk_forward(lab.lake, date.min, date.max))
    assert "<img src=x" not in html
    assert "</script><img" not in html
    # Plotly reads a reason as markup, from a string of JSON.
    assert json.loads('"' + html.partition("forced to PROMOTE: ")[2].partition(" (the gate says")[0] + '"') == (
        "&lt;/script&gt;&lt;img src=x onerror=alert(1)&gt;"
    )


def test_the_page_shows_the_searches_for_parameters(report: WalkForward) -> None:
    assert "Gain in window" not in page(report)
    chosen = {"max_depth": 6, "learning_rate": 0.1}
    search = SearchRecord("boosted", D1, 20, False, chosen, "log_loss", 0.01, 0.004, 0.39, 0.385, 31.25)
    html = page(replace(report, searches=(search,)))
    cells = ["boosted", str(D1), "20", "max_depth 6, learning_rate 0.1", "0.01 ± 0.004", "0.3900", "0.3850", "31.2"]
    assert f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>" in html
    assert "so it is optimistic" in html


def test_the_page_opens_without_a_network(report: WalkForward) -> None:
    html = page(report)
    assert "default-src 'none'" in html
    assert 'src="http' not in html
    assert f"machine_faults, {D1} to {D3}" in html


def test_after_a_rollback_the_report_names_the_champion_that_is_left_and_what_is_barred(report: WalkForward, lab: Lab) -> None:
    """Case 17."""
    barred = str(report.days[-1].champion)
    item = Intervention(str(D3), None, barred, "ann", "<b>late</b>", "2026-03-14T00:00:00")
    update_chain(lab.lake, lambda chain: intervene(chain, item))
    found = walk_forward(lab.lake, date.min, date.max)
    assert [day.champion for day in report.days] == [barred] * 3
    assert [day.champion for day in found.days] == [barred, barred, None]
    assert [bool(day.note) for day in found.days] == [False, False, True]
    html = page(found)
    assert (
        f"Champion after {D3}: none. Barred: {barred} is barred from {D3} on, rolled back by ann: &lt;b&gt;late&lt;/b&gt;."
        in html
    )
    assert "<b>late</b>" not in html


def test_the_page_says_what_it_does_not_show(lab: Lab) -> None:
    forced(lab, D1, GOOD)
    decide(lab, D3, 0.05)
    html = page(walk_forward(lab.lake, date.min, date.max))
    assert '"mode":"lines+markers"' in html  # of one date there is no line
    assert f"Dates in between without a decision: 1 ({D2})." in html
    assert "Drift (median PSI of the inputs): none, because it needs more than 28 dates" in html


@pytest.mark.skipif(CHROMIUM is None, reason=f"none of {', '.join(BROWSERS)} is on the PATH")
def test_a_browser_draws_it_without_a_complaint(report: WalkForward, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_text(page(report), encoding="utf-8")
    said: list[str] = []
    asked: list[str] = []
    with sync_playwright() as driver, driver.chromium.launch(executable_path=CHROMIUM, chromium_sandbox=False) as browser:
        tab = browser.new_page()
        tab.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
        tab.on("pageerror", lambda error: said.append(str(error)))
        tab.on("request", lambda request: asked.append(request.url))
        tab.goto(file.as_uri())
        tab.get_by_text("Log loss (lower is better)").first.wait_for()
        drawn = tab.locator("svg.main-svg").count()
    assert drawn >= 1
    assert said == []
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
