"""The report as one HTML file, which opens without a network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from itertools import cycle, pairwise
from typing import TYPE_CHECKING

from perennial.calendar import DAY
from perennial.display.metrics import format_metric, label_of
from perennial.display.showable import make_html
from perennial.report.drift import REFERENCE_DAYS
from perennial.report.tally import Score
from perennial.report.walk_forward import CHAMPION, FROZEN, Day, WalkForward
from perennial.tasks.task import LearningTask

if TYPE_CHECKING:
    import plotly.graph_objects as go

COLOURS = {"PROMOTE": "#2a9d4e", "HOLD": "#e0a100", "REJECT": "#c8372d"}
LINES = {CHAMPION: ("#14213d", "solid", 2.5), FROZEN: ("#8d5fd3", "dash", 1.5)}
LINE_OF_CONSTANT = ("#9a9a9a", "dot", 1.5)
CHALLENGERS = ("#2176c7", "#d1661f", "#1d8a8a", "#b3387a")
SOURCES = ("#5b7a99", "#a3b8cc", "#7d6b91", "#c2b5d1")
MAX_REASON = 160
MAX_LISTED = 10
FEW_DATES = 30
"""Maximum number of dates for which a line has markers. A single date has no line."""
DRIFT = "Drift (median PSI of the inputs)"
OTHER_PANELS = (
    "Decisions",
    "Clean rows",
    "Rows in quarantine",
    DRIFT,
    "CPU seconds",
    "Seconds",
)
HEIGHTS = [0.2, 0.2, 0.11, 0.11, 0.08, 0.1, 0.1, 0.1]
_CONSTANTS = {
    "probability": "the share of positives in the window",
    "probabilities": "the share of each class in the window",
    "value": "the mean, median or quantile of the window",
}
"""The constant forecast in words, by the answer of a task."""

STAGES = {"clean": "#c9c9c9", "analyse": "#8f8f8f", "score": "#5f5f5f"}

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; \
style-src 'unsafe-inline'; img-src data: blob:">
<title>{title}</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; color: #1b1b1b; max-width: 1200px; margin: 2rem auto; padding: 0 1rem }}
table {{ border-collapse: collapse; margin: 1rem 0 }} td, th {{ padding: .25rem .9rem .25rem 0; text-align: right }}
td:first-child, th:first-child {{ text-align: left }} th {{ border-bottom: 1px solid #999 }} .note {{ color: #555 }}
</style></head><body>
<h1>{title}</h1>
<p>{summary}</p>
<table><tr><th>over the same {pooled} dates</th><th>{loss}</th><th>{second}</th></tr>{rows}</table>
<p class="note">Each date is judged on its own rows.
The champion is the model that resulted from the dates before it: this model would have answered the requests of that day.
Over a week or two, a difference means little: <code>perennial compare</code> gives intervals.
A candidate is the model trained for the date itself; its window ends before the date.
The anchor is the last champion that was clearly better than every version it met.
Challengers are compared with it too, so that many small allowed losses cannot add up to a large one.
A barred version was rolled back, or its release failed: it is not champion from that date on.
The {base} gives every row the same answer: {constant}.
Drift is the population stability index of the numeric inputs against the 28 dates before: the median of all inputs.
Point at it to see the input that moved most. Inputs that are the same all day, such as weather, move every day.
CPU seconds and seconds are those of the Spark jobs of clean and analyse, divided among the dates of each job,
and of each candidate's training.</p>
{figure}
</body></html>
"""


def page(report: WalkForward) -> str:
    """Return the HTML of a report."""
    first, last = report.days[0].date, report.days[-1].date
    promoted = sum(day.decision == "PROMOTE" for day in report.days)
    champions = len({day.champion for day in report.days if day.champion})
    stale = sum(day.stale for day in report.days)
    summary = f"Dates decided: {len(report.days)}; promotions: {promoted}; champions: {champions}."
    if stale:
        summary += f" Stale decisions: {stale}."
    if not report.pooled_dates:
        summary += " The table is empty: it starts on the date after the first champion."
    if report.undecided:
        summary += f" Dates in between without a decision: {len(report.undecided)} ({_list_dates(report.undecided)})."
    if unlabelled := [day.date for day in report.days if not day.labelled]:
        summary += f" Dates without known labels: {len(unlabelled)} ({_list_dates(unlabelled)})."
    summary += f" Champion after {last}: {report.days[-1].champion or 'none'}."
    summary += _describe_intervals(report)
    if report.barred:
        summary += f" Barred: {'; '.join(report.barred[:MAX_LISTED])}{' and others' if len(report.barred) > MAX_LISTED else ''}."
    ranked = sorted(report.pooled.items(), key=lambda item: item[1].loss)
    base = report.pooled.get(report.task.constant_name)
    rows = "".join(
        f"<tr><td>{make_html(name)}</td><td>{format_metric(score.loss)}</td>"
        f"<td>{_format_number(_second(report.task, score, base))}</td></tr>"
        for name, score in ranked
    )
    figure = _figure(report.days, report.task).to_html(
        full_html=False, include_plotlyjs=True, config={"displaylogo": False, "responsive": True}
    )
    title = f"{report.pipeline}, {first} to {last}"
    return _PAGE.format(
        title=make_html(title),
        summary=make_html(summary),
        pooled=report.pooled_dates,
        rows=rows,
        figure=figure,
        **_words(report.task),
    )


def _describe_intervals(report: WalkForward) -> str:
    """Return a sentence about the intervals that the champions answered; empty if they answered none."""
    shares = [(day.held / day.labelled, day.held, day.labelled) for day in report.days if day.held is not None and day.labelled]
    if not shares:
        return ""
    held, rows = sum(day[1] for day in shares), sum(day[2] for day in shares)
    least, most = min(shares)[0], max(shares)[0]
    return (
        f" Intervals of the champions held {held / rows:.1%} of the labels of {len(shares)} dates, "
        f"from {least:.1%} to {most:.1%} by date."
    )


def _words(task: LearningTask) -> dict[str, str]:
    """Return the words of the page that depend on the task."""
    loss, second = map(label_of, task.shown)
    constant = _CONSTANTS[task.output]
    return {"loss": loss, "second": second, "base": task.constant_name, "constant": constant}


def _list_dates(dates: Sequence[date]) -> str:
    return ", ".join(map(str, dates[:MAX_LISTED])) + (" and others" if len(dates) > MAX_LISTED else "")


def _shorten(reason: str) -> str:
    head = reason[:MAX_REASON]
    return reason if head == reason else f"{head.rpartition(' ')[0] or head} …"


def _format_number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _titles(days: Sequence[Day], task: LearningTask) -> list[str]:
    """Return the titles of the panels, with the reason if the drift panel is empty."""
    why = (
        "" if any(day.drift for day in days) else f": none, because it needs more than {REFERENCE_DAYS} dates and a numeric input"
    )
    loss, second = map(label_of, task.shown)
    first = f"{loss[0].upper()}{loss[1:]} (lower is better)", second[0].upper() + second[1:]
    return [*first, *(panel + why if panel == DRIFT else panel for panel in OTHER_PANELS)]


def _second(task: LearningTask, score: Score | None, base: Score | None) -> float | None:
    """Return the second metric of a series: ROC AUC, or the share of the constant forecast's loss that it saves."""
    if task.is_classes or score is None:
        return score.roc_auc if score else None
    return 1 - score.loss / base.loss if base is not None and base.loss > 0 else None


def _figure(days: tuple[Day, ...], task: LearningTask) -> go.Figure:
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    figure = make_subplots(
        rows=len(HEIGHTS),
        cols=1,
        shared_xaxes=False,
        vertical_spacing=0.03,
        row_heights=HEIGHTS,
        subplot_titles=_titles(days, task),
    )
    lines = {**LINES, task.constant_name: LINE_OF_CONSTANT}
    dates = [day.date for day in days]
    challengers = sorted({name for day in days for name in (*day.scores, *day.costs)} - lines.keys() - STAGES.keys())

    def colour_of(challenger: str) -> str:
        return CHALLENGERS[challengers.index(challenger) % len(CHALLENGERS)]

    def line(panel: int, name: str, values: Iterable[float | None], *, legend: bool = True) -> None:
        colour, dash, width = lines.get(name) or (colour_of(name), "solid", 1)
        trace = go.Scatter(
            x=dates,
            y=list(values),
            name=make_html(name),
            mode="lines" if len(days) > FEW_DATES else "lines+markers",
            legendgroup=name,
            showlegend=legend,
            line={"color": colour, "dash": dash, "width": width},
        )
        figure.add_trace(trace, row=panel, col=1)

    def bars(panel: int, name: str, colour: str, values: Iterable[float | None]) -> None:
        trace = go.Bar(x=dates, y=list(values), name=make_html(name), showlegend=False, marker={"color": colour})
        figure.add_trace(trace, row=panel, col=1)

    for name in (CHAMPION, *challengers, FROZEN, task.constant_name):
        scores = [day.scores.get(name) for day in days]
        line(1, name, (score.loss if score else None for score in scores))
        if name != task.constant_name:
            line(2, name, (_second(task, day.scores.get(name), day.scores.get(task.constant_name)) for day in days), legend=False)
    for decision, colour in COLOURS.items():
        marked = [day for day in days if day.decision == decision]
        text = [
            "<br>".join(make_html(_shorten(reason)) for reason in (*filter(None, [day.note]), *day.reasons)) for day in marked
        ]
        marks = go.Scatter(
            x=[day.date for day in marked],
            y=[decision] * len(marked),
            mode="markers",
            name=decision,
            text=text,
            showlegend=False,
            marker={"color": colour, "size": 8, "symbol": ["x" if day.stale else "circle" for day in marked]},
        )
        figure.add_trace(marks, row=3, col=1)
    for before, day in pairwise(days):
        if day.champion != before.champion:
            figure.add_vline(x=day.date, line={"color": COLOURS["PROMOTE"], "width": 0.6, "dash": "dot"}, row=1, col=1)
    for source, colour in zip(sorted({name for day in days for name in day.rows}), cycle(SOURCES), strict=False):
        bars(4, source, colour, (day.rows.get(source) for day in days))
        bars(5, source, colour, (day.quarantined.get(source) for day in days))
    drifted = [day for day in days if day.drift]
    moved = go.Scatter(
        x=[day.date for day in drifted],
        y=[day.drift.median for day in drifted if day.drift],
        mode="lines+markers",
        showlegend=False,
        name="drift",
        text=[f"most: {make_html(day.drift.column)} {day.drift.largest:.1f}" for day in drifted if day.drift],
        marker={"size": 4},
        line={"color": "#555", "width": 1},
    )
    figure.add_trace(moved, row=6, col=1)
    for name in (*STAGES, *challengers):
        costs = [day.costs.get(name) for day in days]
        colour = STAGES.get(name) or colour_of(name)
        bars(7, name, colour, (cost.cpu_seconds if cost else None for cost in costs))
        bars(8, name, colour, (cost.seconds if cost else None for cost in costs))
    figure.update_yaxes(categoryorder="array", categoryarray=["REJECT", "HOLD", "PROMOTE"], row=3, col=1)
    figure.update_xaxes(type="date", range=[days[0].date - DAY, days[-1].date + DAY])
    for panel in range(2, len(HEIGHTS) + 1):
        figure.update_xaxes(matches="x", row=panel, col=1)
        figure.update_xaxes(showticklabels=False, row=panel - 1, col=1)
    figure.update_layout(
        height=1700, barmode="stack", hovermode="x unified", template="plotly_white", margin={"l": 60, "r": 20, "t": 60, "b": 40},
        legend={"orientation": "h", "y": 1.03, "x": 0},
    )  # fmt: skip
    return figure
