"""What a Spark session is told about the lake."""

from __future__ import annotations

from perennial.lake.spark_conf import iceberg_conf

METASTORE = "thrift://127.0.0.1:9083"


def test_no_credentials_stand_in_the_configuration() -> None:
    conf = iceberg_conf(METASTORE, "s3://perennial/warehouse", "http://127.0.0.1:8333")

    assert not [name for name in conf if "access.key" in name or "secret" in name]


def test_warehouse_takes_the_scheme_of_spark() -> None:
    conf = iceberg_conf(METASTORE, "s3://perennial/warehouse/", None)

    assert conf["spark.sql.catalog.ice.warehouse"] == "s3a://perennial/warehouse"


def test_aws_itself_needs_no_endpoint() -> None:
    assert not [name for name in iceberg_conf(METASTORE, "s3://lake", None) if "endpoint" in name or "path.style" in name]
