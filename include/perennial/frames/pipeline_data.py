"""The object that `perennial.open` returns: one method for each thing that a person looks at."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING

from perennial.clean.unclean import Unclean, unclean_sources
from perennial.config.load import load_pipeline
from perennial.errors import RefusedError, did_you_mean
from perennial.frames.dates import read_date, read_range
from perennial.frames.read import StoredRows, to_frame
from perennial.lake.lake import Lake, open_lake
from perennial.lake.reach import require_store
from perennial.settings import load_environment

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from perennial.frames.training import TrainingData

Columns = Sequence[str] | None
QUARANTINE_ORDER = ("source", "file", "position")


def open_data(pipeline: str) -> PipelineData:
    """Open a pipeline by name, with the settings of the running stack."""
    load_environment()
    loaded = load_pipeline(pipeline)
    require_store()
    return PipelineData(open_lake(loaded))


class PipelineData:
    """
    The results of one pipeline as pandas DataFrames.

    Every method reads the present state of the lake, and only the dates and columns that are asked for.
    A date is text (YYYY-MM-DD), a `datetime.date` or a midnight.
    A range includes its last date; without `last` it is one date.

    The columns have pyarrow's types: `string[pyarrow]`, `int64[pyarrow]`, `double[pyarrow]`, `bool[pyarrow]`,
    `date32[day][pyarrow]`, and timestamps in the pipeline's time zone. A null is `pd.NA`.

    Every method raises RefusedError for a name, column or date that does not exist, and PerennialError if the stack is down.
    """

    def __init__(self, lake: Lake) -> None:
        """Read from this lake."""
        self._lake = lake

    def __repr__(self) -> str:
        """Return the name of the pipeline and its place in the lake."""
        return f"<perennial pipeline {self._lake.pipeline.name!r} in {self._lake.layout.root}>"

    def features(self, first: date | str, last: date | str | None = None, *, columns: Columns = None) -> pd.DataFrame:
        """
        Return the training rows of some dates: `date`, row key, request fields, lookup values (`<lookup>__<value>`), label.

        One row for each row of features.sql, ordered by date and row key.
        If labels have a table of their own, they are joined; a label that is not known yet is null.

        :param columns: the columns to return, in this order; all if None
        """
        label, row_key = self._lake.pipeline.label, self._lake.pipeline.row_key
        stored, days = self._rows_of("features", read_range(first, last))
        order = list(dict.fromkeys(["date", *row_key]))
        if not label.known_after_days:
            wanted = stored.columns if columns is None else stored.check_columns(columns)
            return self._to_frame(stored.read(days, wanted, order))
        wanted = [*stored.columns, label.column] if columns is None else list(dict.fromkeys(columns))
        own = stored.check_columns([name for name in wanted if name != label.column])
        if label.column not in wanted:
            return self._to_frame(stored.read(days, own, order))
        rows = stored.read(days, list(dict.fromkeys([*order, *own])), order)
        return self._to_frame(self._with_labels(rows, days, order).select(wanted))

    def table(
        self, name: str, first: date | str | None = None, last: date | str | None = None, *, columns: Columns = None
    ) -> pd.DataFrame:
        """
        Return rows of a table: clean_<source>, clean_<reference>, features, labels, lookup_<name>, analysis_<name>, profile.

        The dates of a lookup are midnights (`as_of`). The table of a reference has no dates: pass only its name.
        Rows are ordered by date and key, as far as these are among the columns.

        :param columns: the columns to return, in this order; all if None
        """
        known = self._day_columns()
        if name not in known:
            remedy = did_you_mean(name, known).strip() or f"Its tables: {', '.join(known)}."
            raise RefusedError(f"Pipeline {self._lake.pipeline.name!r} has no table {name!r}", remedy=remedy)
        days = None
        if known[name] is None:
            if first is not None or last is not None:
                raise RefusedError(f"Table {name!r} is of a reference, which has no dates", remedy="Pass only its name.")
            stored = self._stored(name)
        elif first is None:
            raise RefusedError(
                f"Table {name!r} has dates, and the first is missing", remedy=f"Pass the first and the last: {self._held(name)}."
            )
        else:
            stored, days = self._rows_of(name, read_range(first, last))
        wanted = stored.columns if columns is None else stored.check_columns(columns)
        return self._to_frame(stored.read(days, wanted, self._order(name)))

    def quarantine(self, date: date | str) -> pd.DataFrame:
        """
        Return the rows of a date that broke the contract, ordered by source, file and position; empty if none did.

        Columns: `date`, `source`, `file`, `position` (of the row in its file, from 1), `column`, `rule`, `value`,
        and `row`, the cells as they landed, as JSON.

        :raises RefusedError: if no source has clean rows of the date, with the reason
        """
        import pyarrow as pa

        day = read_date(date)
        unclean = unclean_sources(self._lake, day)
        if len(unclean) == len(self._lake.pipeline.sources):
            raise RefusedError(
                f"Pipeline {self._lake.pipeline.name!r}: {day} has no clean rows, so none are in quarantine",
                [str(item) for item in unclean],
                _join_remedies(unclean),
            )
        texts = [(name, pa.string()) for name in ("column", "rule", "value", "row")]
        places = [("source", pa.string()), ("file", pa.string()), ("position", pa.int64())]
        schema = pa.schema([("date", pa.date32()), *places, *texts])
        state = self._lake.tables.state("quarantine")
        if state.snapshot_id is None:
            return self._to_frame(schema.empty_table())
        return self._to_frame(StoredRows(state, "date").read([day], schema.names, QUARANTINE_ORDER))

    def decisions(self) -> pd.DataFrame:
        """
        Return one row for each decided date, in order.

        Columns: `date`; `decision` (PROMOTE, HOLD, REJECT); `champion`, the version in force now for that date;
        `named`, the version that the decision named; `incumbent` and `anchor`, the versions that challengers were compared with;
        `note`; `is_stale`, `is_barred`; `revision`, the number of times that the date was decided; `run_id`;
        `at`, the time of the decision.
        """
        from perennial.frames.decisions import decision_rows

        return self._to_frame(decision_rows(self._lake))

    def predictions(self, date: date | str, candidate: str) -> pd.DataFrame:
        """
        Return the predictions of a candidate on the holdout of a date, as the gate judged them.

        Columns: `date`, the row key, `y` (the label: 1 if it is the positive one, else 0; the place of its class in
        `label.classes`; or a number), `p` (the prediction: the probability of the positive one, the list of those of all
        classes, or a number), and with `label.interval` its bounds `low` and `high`.
        Ordered by date and row key. No row of the holdout was in the training of the model.
        """
        from perennial.frames.decisions import prediction_rows

        return self._to_frame(prediction_rows(self._lake, read_date(date), candidate))

    def scores(
        self,
        first: date | str,
        last: date | str | None = None,
        *,
        release: str | None = None,
        table: str = "features",
        columns: Columns = None,
    ) -> pd.DataFrame:
        """
        Return the scores of the rows of some dates: `date`, `release`, row key, `p`, `unseen`.

        `p` is the prediction that the model server would answer, and `unseen` names, separated by commas, the fields of the row
        whose values the model had never seen. Ordered by date, release and row key.

        :param release: only the scores by this release; None: those by every release that scored the dates
        :param table: the table whose rows were scored
        :param columns: the columns to return, in this order; all if None
        """
        from perennial.frames.scores import score_rows

        return self._to_frame(score_rows(self._lake, read_range(first, last), release, table, columns))

    def champion(self) -> pd.DataFrame:
        """
        Return one row: the champion now, after all decisions and rollbacks.

        Columns: `version`, `candidate`, `date` (of its training), `since` (the date that promoted it), `why`, `window_rows`,
        `holdout_rows`, `constant` (the constant forecast of its window), and its metrics on its own holdout (`roc_auc`, …).

        :raises RefusedError: if no version has been promoted, or all are barred
        """
        from perennial.frames.decisions import champion_row

        return self._to_frame(champion_row(self._lake))

    def training(self, date: date | str, *, view: str = "matrix") -> TrainingData:
        """
        Return the rows that a training of a date learns from and is judged on, as `fit(rows, task, seed)` of a file gets them.

        >>> training = perennial.open("flight_delays").training("2013-12-01", view="table")
        >>> model = fit(training.rows, training.task, seed=0)
        >>> model.predict_proba(training.holdout.x)

        `rows` and `holdout` have numpy arrays: `x`, `y` and others (`help(training.rows)`).

        :param view: "matrix": imputed, standardised, one-hot; "table": numbers with NaN, and places of classes, for trees
        :raises RefusedError: the history of the date is insufficient, no run has analysed all of it yet, or its rows do not fit
            into memory
        """
        from perennial.frames.training import read_training

        return read_training(self._lake, read_date(date), view)

    def _to_frame(self, rows: pa.Table) -> pd.DataFrame:
        return to_frame(rows, self._lake.pipeline.time_zone)

    def _with_labels(self, rows: pa.Table, days: list[date], order: list[str]) -> pa.Table:
        """Add the label to features; it is null where it is not known yet. A key with a null matches nothing."""
        import pyarrow as pa

        label, state = self._lake.pipeline.label.column, self._lake.tables.state("labels")
        if state.snapshot_id is None:
            return rows.append_column(label, pa.nulls(rows.num_rows))
        labels = StoredRows(state, "date").read(days, list(dict.fromkeys([*order, label])), order)
        joined = rows.join(labels, keys=order, join_type="left outer")
        return joined.sort_by([(name, "ascending") for name in order])

    def _day_columns(self) -> dict[str, str | None]:
        """Return the tables that the pipeline may have, each with its column of dates."""
        pipeline = self._lake.pipeline
        return {
            **{f"clean_{name}": "date" for name in pipeline.sources},
            **{f"clean_{name}": None for name in pipeline.references},
            "features": "date",
            **({"labels": "date"} if pipeline.label.known_after_days else {}),
            **{f"lookup_{name}": "as_of" for name in pipeline.inputs.lookups},
            **{f"analysis_{name}": "date" for name in pipeline.sql_files("analysis")},
            "profile": "date",
        }

    def _order(self, name: str) -> list[str]:
        pipeline = self._lake.pipeline
        kind, _, table = name.partition("_")
        if kind == "clean":
            return ["date", *pipeline.tables[table].key]
        if kind == "lookup":
            return ["as_of", *pipeline.inputs.lookups[table].key]
        return ["date", *(pipeline.row_key if name in ("features", "labels") else [])]

    def _stored(self, name: str) -> StoredRows:
        state = self._lake.tables.state(name)
        if state.snapshot_id is None or not state.partitions:
            run = f"perennial run {self._lake.pipeline.name} --date DATE"
            raise RefusedError(f"Table {name!r} has no rows yet", remedy=f"A run fills it: `{run}`.")
        return StoredRows(state, self._day_columns()[name])

    def _rows_of(self, name: str, bounds: tuple[date, date]) -> tuple[StoredRows, list[date]]:
        """Return a table and the days that it holds from the first to the last; refuse a range of which it holds no day."""
        stored, (first, last) = self._stored(name), bounds
        days = [day for day in map(date.fromisoformat, sorted(stored.state.partitions)) if first <= day <= last]
        if not days:
            asked = f"{first}" if first == last else f"{first} to {last}"
            gaps = self._explain_gap(name, first, last)
            raise RefusedError(
                f"Table {name!r} has no rows of {asked}",
                [str(gap) for gap in gaps],
                " ".join(filter(None, [_join_remedies(gaps), f"Choose dates that it has: {self._held(name)}."])),
            )
        return stored, days

    def _explain_gap(self, name: str, first: date, last: date) -> list[Unclean]:
        """Return why a table lacks a date between its first and its last date. The dates of a longer gap are not read."""
        held = self._stored(name).state.partitions
        if first != last or not min(held) < first.isoformat() < max(held):
            return []
        source = name.removeprefix("clean_") if name.startswith("clean_") else None
        return [item for item in unclean_sources(self._lake, first) if source in (None, item.source)]

    def _held(self, name: str) -> str:
        days = sorted(map(date.fromisoformat, self._stored(name).state.partitions))
        every = len(self._lake.pipeline.calendar.data_days.dates(days[0], days[-1]))
        return f"{'' if len(days) >= every else f'{len(days)} dates from '}{days[0]} to {days[-1]}"


def _join_remedies(unclean: Sequence[Unclean]) -> str:
    return " ".join(dict.fromkeys(item.remedy for item in unclean))
