"""The Spark cluster of the containers: one file holds the secret that master, workers and drivers share, and a job's settings."""

from __future__ import annotations

from stack.config import StackConfig
from stack.errors import StackError
from stack.files import write_file
from stack.secrets import secret
from stack.spark import LOGGING, properties, spark_home
from stack.spark_archive import archive_path

DRIVER = "driver"
"""Host at which executors reach the drivers. `docker-compose.yaml` gives this name to the container in which tasks run."""


def prepare_spark_cluster(config: StackConfig) -> None:
    """
    Write `spark.properties` for master, workers and drivers. Each start writes it again, with the same secret.

    In a file, the secret is in no argument list. Spark hands it to an executor in the executor's environment.
    """
    if config.keys is None:
        raise StackError("PERENNIAL_KEYS is not set. Set it to the folder that master, workers and scheduler share.")
    home = spark_home(config)
    settings = {
        "spark.authenticate": "true",
        "spark.authenticate.secret": secret(config.secrets, "spark_secret"),
        "spark.driver.bindAddress": DRIVER,
        "spark.driver.host": DRIVER,
    }
    text = properties(LOGGING, archive_path(home.root, home.java, home.class_path()), (home.extra_jars, home.own_jars), settings)
    write_file(config.keys / "spark" / "spark.properties", text)
