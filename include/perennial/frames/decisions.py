"""The decision log, the champion and the predictions of a pipeline as Arrow tables."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from perennial.errors import RefusedError, did_you_mean
from perennial.evaluate.chain_store import read_chain, require_entry
from perennial.evaluate.champions import barred_versions, champion_of, champions
from perennial.evaluate.holdout import read_predictions
from perennial.lake.lake import Lake
from perennial.lake.manifests import constant_of
from perennial.train.trainings import read_model

if TYPE_CHECKING:
    import pyarrow as pa


def decision_rows(lake: Lake) -> pa.Table:
    """Return a row for each decided date, in order."""
    import pyarrow as pa

    chain = read_chain(lake)
    barred = barred_versions(chain)
    rows = []
    for champion in champions(chain, chain.days):
        entry = chain.entries[champion.day.isoformat()]
        rows.append(
            {
                "date": champion.day,
                "decision": entry.decision,
                "champion": champion.version,
                "named": champion.named,
                "incumbent": entry.incumbent,
                "anchor": entry.anchor,
                "note": champion.note or None,
                "is_stale": entry.stale,
                "is_barred": champion.named in barred,
                "revision": entry.revision,
                "run_id": entry.run_id,
                "at": datetime.fromisoformat(entry.at),
            }
        )
    texts = ("decision", "champion", "named", "incumbent", "anchor", "note")
    schema = pa.schema(
        [
            ("date", pa.date32()),
            *((name, pa.string()) for name in texts),
            ("is_stale", pa.bool_()),
            ("is_barred", pa.bool_()),
            ("revision", pa.int64()),
            ("run_id", pa.string()),
            ("at", pa.timestamp("us", tz="UTC")),
        ]
    )
    return pa.Table.from_pylist(rows, schema=schema)


def champion_row(lake: Lake) -> pa.Table:
    """Return one row: the present champion, its training and its metrics on its own holdout."""
    import pyarrow as pa

    champion = champion_of(read_chain(lake), date.max)
    if champion.model is None:
        raise RefusedError(
            f"Pipeline {lake.pipeline.name!r} has no champion: {champion.why}",
            remedy=f"Run dates until one is promoted; `perennial decisions {lake.pipeline.name}` shows the reasons.",
        )
    manifest = read_model(lake, champion.model.manifest)
    constant = constant_of(manifest)
    columns: dict[str, tuple[Any, pa.DataType]] = {
        "version": (champion.version, pa.string()),
        "candidate": (manifest["candidate"], pa.string()),
        "date": (date.fromisoformat(manifest["date"]), pa.date32()),
        "since": (champion.since, pa.date32()),
        "why": (champion.why, pa.string()),
        "window_rows": (manifest["rows"]["window"], pa.int64()),
        "holdout_rows": (manifest["rows"]["holdout"], pa.int64()),
        "constant": (constant, pa.float64() if isinstance(constant, float) else pa.list_(pa.float64())),
        **{name: (value, pa.float64()) for name, value in manifest["metrics"].items()},
    }
    return pa.table({name: pa.array([value], kind) for name, (value, kind) in columns.items()})


def prediction_rows(lake: Lake, day: date, candidate: str) -> pa.Table:
    """Return the predictions that the decision of a date judged, one row for each row of the holdout."""
    stored = _read_decision(lake, day)
    trained: Mapping[str, Any] = {item["name"]: item for item in stored["candidates"]}
    if candidate not in trained:
        raise RefusedError(
            f"Pipeline {lake.pipeline.name!r}: the decision of {day} has no candidate {candidate!r}",
            remedy=did_you_mean(candidate, trained).strip() or f"Its candidates: {', '.join(trained)}.",
        )
    key = trained[candidate].get("training")
    if key is None:
        raise RefusedError(
            f"Pipeline {lake.pipeline.name!r}: the decision of {day} does not record its trainings (an earlier Perennial)",
            remedy=f"Run the date again: `perennial run {lake.pipeline.name} --date {day}`.",
        )
    manifest = read_model(lake, lake.layout.model_manifest(candidate, day, key))
    rows = read_predictions(lake, manifest)
    order = dict.fromkeys(["date", *lake.pipeline.row_key])
    return rows.sort_by([(name, "ascending") for name in order if name in rows.column_names])


def _read_decision(lake: Lake, day: date) -> Mapping[str, Any]:
    entry = require_entry(lake, read_chain(lake), day)
    stored: Mapping[str, Any] = lake.objects.read_existing(entry.uri).json()
    return stored
