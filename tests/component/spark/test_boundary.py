"""A table whose metadata leads out of the warehouse, or names a class: Spark writes and deletes nothing for it."""

from __future__ import annotations

import pytest
from spark_job import run_job

from stack.spark_archive import hadoop_catalog

JOB = """
import json
from pathlib import Path
from pyspark.sql import SparkSession, functions as F
from perennial.errors import RefusedError
from perennial.spark.columns import load_table
from perennial.spark.tables import commit, open_database, table_name, withdraw

spark = SparkSession.builder.config("spark.log.level", "OFF").getOrCreate()
open_database(spark, "lab")
NAME, VICTIM = table_name("lab", "t"), Path("victim")
VICTIM.write_text("mine")
said = {}


def work():
    rows = spark.sql("SELECT DATE'2026-03-01' AS date, 1 AS x")
    commit(rows, NAME, replaces=F.expr("date = DATE'2026-03-01'"), partitioned_by=("date",))


def attempt(what):
    found = []
    for write in (work, lambda: withdraw(spark, NAME, ["2026-03-01"]), lambda: load_table(spark, NAME)):
        try:
            write()
            found.append("")
        except RefusedError as error:
            found.append(str(error))
    said[what] = found


work()
work()
elsewhere, victim = Path("elsewhere").resolve().as_uri(), VICTIM.resolve().as_uri()
folder = Path("warehouse/lab/t/metadata")
current = folder / f"v{(folder / 'version-hint.text').read_text().strip()}.metadata.json"
original = current.read_text()
folders = ("write.data.path", "write.metadata.path", "write.folder-storage.path", "write.object-storage.path")
values = dict.fromkeys(folders, elsewhere)
values |= dict.fromkeys(("write.location-provider.impl", "io-impl", "py-io-impl"), "no.such.Class")
changes = {name: lambda document, name=name: document["properties"].update({name: values[name]}) for name in values}
changes["metadata-log"] = lambda document: document["metadata-log"].append(
    {"metadata-file": victim, "timestamp-ms": document["last-updated-ms"]}
)
changes["manifest-list"] = lambda document: document["snapshots"][0].update({"manifest-list": victim})
for name, change in changes.items():
    document = json.loads(original)
    change(document)
    current.write_text(json.dumps(document))
    (folder / f".{current.name}.crc").unlink(missing_ok=True)
    attempt(name)
current.write_text(original)
attempt("as before")
said["left"] = [VICTIM.read_text(), Path("elsewhere").exists()]
print("SAID " + json.dumps(said))
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    folder = tmp_path_factory.mktemp("spark")
    conf = [*hadoop_catalog(folder), "--conf", "spark.sql.catalog.ice.cache-enabled=false"]
    said: dict[str, list[str]] = run_job(folder, JOB, conf)
    return said


def test_each_of_them_is_refused_by_name(said: dict[str, list[str]]) -> None:
    assert said.pop("as before") == ["", "", ""]
    assert said.pop("left") == ["mine", False]
    assert len(said) == 9
    for name, texts in said.items():
        part = f"property {name}: " if "." in name or name.endswith("impl") else "file file:"
        assert all("its metadata leads out of file:" in text and part in text for text in texts), (name, texts)
