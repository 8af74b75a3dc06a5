"""The queries of an analyse job, planned over the clean tables."""

from __future__ import annotations

from pyspark.sql import DataFrame, SparkSession

from perennial.analyse.features import feature_rows, label_rows, lookup_rows, refuse_undated, require_key_types
from perennial.analyse.job_file import AnalyseJob, FeaturesQuery, LabelsQuery, LookupQuery, Query
from perennial.analyse.views import CleanTables
from perennial.analyse.visible import VisibleRange, range_of_dates, range_of_features, range_of_labels, range_of_lookups
from perennial.spark.sql import run_query
from perennial.spark.tables import read_table, table_name


class Queries:
    """The queries of a job, planned over the views that each may see. A plan keeps its views when they change."""

    def __init__(self, spark: SparkSession, job: AnalyseJob, tables: CleanTables) -> None:
        self._spark = spark
        self._job = job
        self._tables = tables
        self._types: dict[str, str] = {}
        """The types of the features' columns."""

    def lookup(self, item: LookupQuery) -> DataFrame:
        """Return the rows of a lookup."""
        return lookup_rows(self.run(item, range_of_lookups(item.days, self._job.lookback_days)), item)

    def features(self, item: FeaturesQuery) -> DataFrame:
        """Return the rows of features.sql, without lookups. Labels that the job does not compute must have the same row key."""
        rows = feature_rows(self.run(item, range_of_features(item.days, self._job.lookback_days)), item)
        self._types.update(rows.dtypes)
        if item.has_stored_labels:
            require_key_types(item.file, item.row_key, self._types, "labels.sql", self._stored_types("labels"))
        return rows

    def labels(self, item: LabelsQuery) -> DataFrame:
        """Return the rows of labels.sql."""
        if not self._job.features:
            self._types.update(self._stored_types("features"))
        visible = range_of_labels(item.days, self._job.lookback_days, item.known_after_days)
        return label_rows(self.run(item, visible), item, self._types)

    def analysis(self, item: Query) -> DataFrame:
        """Return the rows of an analysis."""
        return refuse_undated(self.run(item, range_of_dates(item.days, self._job.lookback_days)), item.file)

    def _stored_types(self, table: str) -> dict[str, str]:
        return dict(read_table(self._spark, table_name(self._job.database, table)).dtypes)

    def run(self, item: Query, visible: VisibleRange) -> DataFrame:
        """Return the rows of a query as its SQL yields them."""
        self._tables.show(visible)
        return run_query(self._spark, item.file, item.sql, self._tables.views)
