"""A Spark job that does a little of everything that Perennial's jobs do, so that the class archive holds what they load."""

from __future__ import annotations

import sys
from pathlib import Path

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

TABLE = "ice.warm.up"


def main(folder: Path) -> None:
    """Read a CSV, check it, write two dates of an Iceberg table, change it, and ask it questions."""
    source = folder / "drop.csv"
    rows = [f"2013-01-0{1 + n % 2},{'AB'[n % 3 > 0]}{n % 3},{n},{n * 0.5}" for n in range(60)]
    source.write_text("\n".join(["date,carrier,number,delay", *rows, "2013-01-01,X,broken,NA"]), encoding="utf-8")
    spark = SparkSession.builder.getOrCreate()
    drop = spark.read.options(header=True, enforceSchema=False, mode="PERMISSIVE", columnNameOfCorruptRecord="_corrupt").csv(
        str(source), schema="date string, carrier string, number string, delay string, _corrupt string"
    )
    drop.createOrReplaceTempView("drop")
    typed = spark.sql(
        "SELECT to_date(date) AS date, upper(trim(carrier)) AS carrier, try_cast(number AS int) AS number,"
        " try_cast(nullif(delay, 'NA') AS double) AS delay, CAST(concat(date, ' 05:00:00') AS timestamp) AS at,"
        " sha2(concat_ws('|', date, carrier, number), 256) AS digest,"
        " row_number() OVER (PARTITION BY date, carrier, number ORDER BY delay) AS copy FROM drop"
    ).cache()
    good = typed.where("number IS NOT NULL AND copy = 1").drop("copy")
    spark.sql("CREATE NAMESPACE IF NOT EXISTS ice.warm")
    spark.sql(
        f"CREATE TABLE {TABLE} (date date, carrier string, number int, delay double, at timestamp, digest string) USING iceberg"
        " PARTITIONED BY (date) TBLPROPERTIES ('write.distribution-mode' = 'none', 'format-version' = '2')"
    )
    for _ in range(2):
        good.sortWithinPartitions("date").writeTo(TABLE).option("snapshot-property.key", "warm").overwritePartitions()
    spark.sql(f"ALTER TABLE {TABLE} ADD COLUMN extra string")
    spark.sql("CREATE OR REPLACE TEMP VIEW dates AS SELECT DATE '2013-01-01' AS date, timestamp '2013-01-02' AS as_of")
    # S608: TABLE is the constant above.
    statements = (
        f"SELECT carrier, count(*), avg(delay), percentile(delay, 0.5), sum(CAST(delay AS DECIMAL(18, 6))) FROM {TABLE} GROUP BY carrier",  # noqa: S608
        f"SELECT t.*, d.as_of, r.rate FROM {TABLE} t JOIN dates d USING (date) LEFT JOIN (SELECT carrier, avg(CASE WHEN delay > 5 THEN"  # noqa: S608
        f" 1.0 ELSE 0.0 END) AS rate FROM {TABLE} GROUP BY carrier) r ON r.carrier = t.carrier ORDER BY t.date, t.number",
        f"SELECT operation, summary FROM {TABLE}.snapshots ORDER BY committed_at DESC LIMIT 1",  # noqa: S608
        f"SELECT date, count(DISTINCT digest), min(at), stddev(delay), collect_list(number) FROM {TABLE} GROUP BY date",  # noqa: S608
        f"SELECT sum(delay) OVER (PARTITION BY carrier ORDER BY date ROWS BETWEEN 28 PRECEDING AND 1 PRECEDING) FROM {TABLE}",  # noqa: S608
    )
    for statement in statements:
        spark.sql(statement).collect()
    spark.table(TABLE).select(F.sum(F.crc32("digest")), F.approx_count_distinct("carrier")).collect()
    spark.sql(f"DROP TABLE {TABLE}")
    spark.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
