"""The queries of a pipeline as items of a job file. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from perennial.analyse.fingerprints import LABELS_FILE
from perennial.analyse.job_file import FeaturesQuery, Field, LabelsQuery, LookupColumns, LookupQuery, Query
from perennial.config.pipeline import Pipeline

Days = tuple[Mapping[str, str], Mapping[str, str]]
"""By day (ISO): the fingerprints of the partitions to compute, and the digests that the table holds under them."""


def lookup_query(pipeline: Pipeline, name: str, days: Days) -> LookupQuery:
    """Return the item of a lookup; its days are midnights."""
    file, spec = f"lookups/{name}.sql", pipeline.inputs.lookups[name]
    return LookupQuery(f"lookup_{name}", file, *days, pipeline.sql(file), name=name, key=spec.key, values=spec.values)


def features_query(
    pipeline: Pipeline, days: Days, lookup_days: Mapping[str, Mapping[str, str]], *, has_stored_labels: bool = False
) -> FeaturesQuery:
    """
    Return the item of features.sql.

    :param lookup_days: by lookup and as_of (ISO), the fingerprints of the partitions that these features join
    :param has_stored_labels: whether the table of labels is current, so that the job computes none
    """
    label, lookups = pipeline.label, pipeline.inputs.lookups
    return FeaturesQuery(
        *("features", "features.sql", *days, pipeline.sql("features.sql")),
        request=_request(pipeline),
        row_key=pipeline.row_key,
        label=None if label.known_after_days else label.column,
        later_label=label.column if label.known_after_days else None,
        has_stored_labels=has_stored_labels,
        lookups=[
            LookupColumns(name, f"lookup_{name}", spec.key, spec.values, lookup_days[name]) for name, spec in lookups.items()
        ],
    )


def labels_query(pipeline: Pipeline, days: Days) -> LabelsQuery:
    """Return the item of labels.sql."""
    return LabelsQuery(
        *("labels", LABELS_FILE, *days, pipeline.sql(LABELS_FILE)),
        label=pipeline.label.column,
        known_after_days=pipeline.label.known_after_days,
        row_key=pipeline.row_key,
        request=_request(pipeline),
    )


def analysis_query(pipeline: Pipeline, name: str, days: Days) -> Query:
    """Return the item of an analysis."""
    file = f"analysis/{name}.sql"
    return Query(f"analysis_{name}", file, *days, pipeline.sql(file))


def _request(pipeline: Pipeline) -> list[Field]:
    return [Field(name, field.type, field.nullable) for name, field in pipeline.inputs.request.items()]
