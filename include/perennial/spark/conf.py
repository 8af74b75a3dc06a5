"""The Spark settings that give a session access to Perennial's tables, independent of where Spark runs."""

from __future__ import annotations

CATALOG = "ice"
"""Name of the Iceberg catalog in every Spark session; tables are `ice.<namespace>.<table>`."""

FILES = "perennial.LakeFileIO"
"""The class by which Iceberg opens files (LakeFileIO.java): those of the catalog's warehouse only."""


def iceberg_conf(metastore_uri: str, warehouse: str, s3_endpoint: str | None) -> dict[str, str]:
    """
    Return the Spark configuration of the lake: the Iceberg catalog `ice`, the Hive metastore, S3A and the session's rules.

    It contains no credentials: S3A uses the AWS SDK's default chain (a profile file, a role of the pod or the machine).

    :param warehouse: address at which new namespaces keep their tables; `s3://` becomes `s3a://`, Spark's only S3 client here
    :param s3_endpoint: address of an S3 service other than AWS; None for AWS
    """
    warehouse = s3a_uri(warehouse)
    catalog = f"spark.sql.catalog.{CATALOG}"
    return {
        "spark.sql.extensions": "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions",
        catalog: "org.apache.iceberg.spark.SparkCatalog",
        f"{catalog}.type": "hive",
        f"{catalog}.uri": metastore_uri,
        f"{catalog}.warehouse": warehouse,
        f"{catalog}.io-impl": FILES,
        # With the cache, a session saw stale snapshots of tables that another session had written.
        f"{catalog}.cache-enabled": "false",
        # The metastore compares and swaps the table's metadata pointer itself; its lock tables do not exist.
        "spark.hadoop.iceberg.engine.hive.lock-enabled": "false",
        # Snapshot properties stay in the table's own metadata: the metastore's columns hold only 4,000 characters.
        "spark.hadoop.iceberg.hive.table-property-max-size": "0",
        "spark.sql.catalogImplementation": "hive",
        "spark.sql.catalog.spark_catalog": "org.apache.iceberg.spark.SparkSessionCatalog",
        "spark.sql.catalog.spark_catalog.type": "hive",
        "spark.sql.catalog.spark_catalog.uri": metastore_uri,
        "spark.sql.catalog.spark_catalog.warehouse": warehouse,
        "spark.sql.catalog.spark_catalog.io-impl": FILES,
        "spark.sql.warehouse.dir": f"{warehouse}/hive",
        "spark.hadoop.hive.metastore.uris": metastore_uri,
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.ansi.enabled": "true",
        # Otherwise Spark replaces ${…} in a query with a setting or an environment variable before the query is checked.
        "spark.sql.variable.substitute": "false",
        # Otherwise the text of a schema can name a Java class, which Spark then creates.
        "spark.sql.udt.allowCreatingUDTFromString": "false",
        # The digest of a partition collects its rows in 64 groups. Beyond this number of groups, Spark sorts them,
        # on disk if memory is short.
        "spark.sql.objectHashAggregate.sortBased.fallbackThreshold": "32",
        "spark.hadoop.fs.s3.impl": "org.apache.hadoop.fs.s3a.S3AFileSystem",
        **s3a_conf(s3_endpoint, prefix="spark.hadoop."),
    }


def cluster_conf(master: str, has_properties: bool = False) -> dict[str, str]:
    """
    Return the settings for a master. A local Spark makes a secret for each job; a cluster would have to know it beforehand.

    :param has_properties: whether the job gets a file of properties, which says how to authenticate
    """
    return {} if has_properties or master.startswith("local") else {"spark.authenticate": "false"}


def s3a_uri(uri: str) -> str:
    """Return an S3 address in the form that Hadoop's client expects."""
    return "s3a://" + uri.removeprefix("s3a://").removeprefix("s3://").rstrip("/")


def s3a_conf(s3_endpoint: str | None, prefix: str = "") -> dict[str, str]:
    """Return Hadoop's S3A settings with `prefix` before each name (Spark's is `spark.hadoop.`, a Hadoop file has none)."""
    conf = {"fs.s3a.aws.credentials.provider": "software.amazon.awssdk.auth.credentials.DefaultCredentialsProvider"}
    if s3_endpoint:
        # Only AWS resolves a bucket name as a host name.
        conf |= {"fs.s3a.endpoint": s3_endpoint, "fs.s3a.path.style.access": "true"}
    return {prefix + name: value for name, value in conf.items()}
