"""What a Spark session is told about the lake."""

from __future__ import annotations

import pytest

from perennial.spark.conf import iceberg_conf

METASTORE = "thrift://127.0.0.1:9083"


def test_credentials_of_the_environment_do_not_enter_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spark shows its configuration on its page, and a submit has it in its argument list."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "hush-hush")
    conf = iceberg_conf(METASTORE, "s3://perennial/warehouse", "http://127.0.0.1:8333")

    assert "hush-hush" not in str(conf)
    # S3A asks the SDK's own chain, which finds them where they are.
    assert conf["spark.hadoop.fs.s3a.aws.credentials.provider"].endswith(".DefaultCredentialsProvider")
    assert not [name for name in conf if "access.key" in name or "secret" in name]


def test_warehouse_takes_the_scheme_of_spark() -> None:
    conf = iceberg_conf(METASTORE, "s3://perennial/warehouse/", None)

    assert conf["spark.sql.catalog.ice.warehouse"] == "s3a://perennial/warehouse"


def test_aws_itself_needs_no_endpoint() -> None:
    assert not [name for name in iceberg_conf(METASTORE, "s3://lake", None) if "endpoint" in name or "path.style" in name]
