"""What a Spark session needs to know to reach Perennial's tables, wherever Spark itself runs."""

from __future__ import annotations

CATALOG = "ice"
"""Name of the Iceberg catalog in every Spark session; tables are `ice.<namespace>.<table>`."""


def iceberg_conf(metastore_uri: str, warehouse: str, s3_endpoint: str | None) -> dict[str, str]:
    """
    Return the Spark configuration of the lake: the Iceberg catalog `ice`, the Hive metastore, S3A, the session's rules.

    It holds no credentials: S3A asks the AWS SDK's default chain (a profile file, a role of the pod or the machine).

    :param warehouse: where new namespaces keep their tables; `s3://` is read as `s3a://`, Spark's only S3 client here
    :param s3_endpoint: address of an S3 that is not AWS's own; None for AWS
    """
    warehouse = s3a_uri(warehouse)
    catalog = f"spark.sql.catalog.{CATALOG}"
    return {
        "spark.sql.extensions": "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions",
        catalog: "org.apache.iceberg.spark.SparkCatalog",
        f"{catalog}.type": "hive",
        f"{catalog}.uri": metastore_uri,
        f"{catalog}.warehouse": warehouse,
        # With the cache on, a session saw stale snapshots of tables that another one had written.
        f"{catalog}.cache-enabled": "false",
        # The metastore compares the table's metadata pointer itself; its lock tables do not exist.
        "spark.hadoop.iceberg.engine.hive.lock-enabled": "false",
        # Snapshot properties stay in the table's own metadata: the metastore's columns hold 4,000 characters.
        "spark.hadoop.iceberg.hive.table-property-max-size": "0",
        "spark.sql.catalogImplementation": "hive",
        "spark.sql.catalog.spark_catalog": "org.apache.iceberg.spark.SparkSessionCatalog",
        "spark.sql.catalog.spark_catalog.type": "hive",
        "spark.sql.catalog.spark_catalog.uri": metastore_uri,
        "spark.sql.warehouse.dir": f"{warehouse}/hive",
        "spark.hadoop.hive.metastore.uris": metastore_uri,
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.ansi.enabled": "true",
        # Otherwise ${…} in a query becomes a setting or an environment variable before anybody has looked at the query.
        "spark.sql.variable.substitute": "false",
        # The digest of a partition collects its rows in 64 groups: beyond these many they are sorted on disk where memory is short.
        "spark.sql.objectHashAggregate.sortBased.fallbackThreshold": "32",
        "spark.hadoop.fs.s3.impl": "org.apache.hadoop.fs.s3a.S3AFileSystem",
        **s3a_conf(s3_endpoint, prefix="spark.hadoop."),
    }


def s3a_uri(uri: str) -> str:
    """Return an address of S3 in the spelling of Hadoop's client."""
    return "s3a://" + uri.removeprefix("s3a://").removeprefix("s3://").rstrip("/")


def s3a_conf(s3_endpoint: str | None, prefix: str = "") -> dict[str, str]:
    """Return Hadoop's S3A settings, their names led by `prefix` (Spark's is `spark.hadoop.`, a Hadoop file has none)."""
    conf = {"fs.s3a.aws.credentials.provider": "software.amazon.awssdk.auth.credentials.DefaultCredentialsProvider"}
    if s3_endpoint:
        # Only AWS resolves a bucket as a host name.
        conf |= {"fs.s3a.endpoint": s3_endpoint, "fs.s3a.path.style.access": "true"}
    return {prefix + name: value for name, value in conf.items()}
