"""Files outside the warehouse, and classes, that a table names: Spark opens, writes, deletes and loads none of them."""

from __future__ import annotations

import pytest
from spark_job import run_job

from stack.spark_archive import hadoop_catalog

JOB = """
import json, socket, threading
import perennial
from hashlib import sha256
from pathlib import Path
from py4j.protocol import Py4JJavaError
from pyspark.sql import SparkSession, functions as F
from perennial.errors import PerennialError, RefusedError
from perennial.fingerprints.code import digests_of_job
from perennial.spark.columns import load_table
from perennial.spark.failures import find_refusal
from perennial.spark.job import open_job
from perennial.spark.tables import commit, open_database, read_table, table_name, withdraw

spark = SparkSession.builder.config("spark.log.level", "OFF").getOrCreate()
open_database(spark, "lab")
iceberg = spark.sparkContext._jvm.org.apache.iceberg
OUTSIDE = Path("outside")
OUTSIDE.mkdir()
said = {}


def work(name):
    rows = spark.sql("SELECT DATE'2026-03-01' AS date, 1 AS x")
    commit(rows, name, replaces=F.expr("date = DATE'2026-03-01'"), partitioned_by=("date",))


def make(table):
    name = table_name("lab", table)
    work(name)
    work(name)
    return name


def attempt(call):
    try:
        return str(call())
    except RefusedError as error:
        return "refused: " + str(error)
    except PerennialError as error:
        return "failed: " + str(error)
    except Py4JJavaError as error:
        return "refused: " + (find_refusal(str(error)) or str(error))


def edit(table, change):
    folder = Path("warehouse/lab") / table / "metadata"
    current = folder / f"v{(folder / 'version-hint.text').read_text().strip()}.metadata.json"
    document = json.loads(current.read_text())
    change(document)
    current.write_text(json.dumps(document))
    (folder / f".{current.name}.crc").unlink(missing_ok=True)


def files_of(folder):
    return sorted(str(path) for path in folder.rglob("*"))


# Reads. Each file outside is one that Spark could read: a copy of the table's own.
listener, asked = socket.create_server(("127.0.0.1", 0)), []


def hang_up():
    while True:
        client, _ = listener.accept()
        client.close()
        asked.append("yes")


threading.Thread(target=hang_up, daemon=True).start()
web = f"http://127.0.0.1:{listener.getsockname()[1]}/rows.parquet"
make("source")
rows = next(path for path in Path("warehouse/lab").resolve().rglob("*.parquet"))
copy = OUTSIDE.resolve() / "rows.parquet"
copy.write_bytes(rows.read_bytes())
near = Path("warehouse-2").resolve() / "rows.parquet"
near.parent.mkdir()
near.write_bytes(rows.read_bytes())
conf = spark.sparkContext._jsc.hadoopConfiguration()
addresses = {
    "file URI": copy.as_uri(), "one slash": f"file:{copy}", "no scheme": str(copy),
    "with ..": f"file:{rows.parent}/../../../../../outside/rows.parquet", "longer name": f"file:{near}", "web": web,
    "other store": "s3a://landing/rows.parquet",
}


def data_file(table, address, size):
    builder = iceberg.DataFiles.builder(table.spec()).withPath(address).withFormat("parquet").withPartitionPath("date=2026-03-01")
    return builder.withFileSizeInBytes(size).withRecordCount(1).build()


def add_data(table, address):
    table.newFastAppend().appendFile(data_file(table, address, copy.stat().st_size)).commit()


def add_deletes(table, address):
    builder = iceberg.FileMetadata.deleteFileBuilder(table.spec()).ofPositionDeletes().withPath(address).withFormat("parquet")
    deletes = builder.withPartitionPath("date=2026-03-01").withFileSizeInBytes(copy.stat().st_size).withRecordCount(1).build()
    table.newRowDelta().addDeletes(deletes).commit()


def add_manifest(table, address):
    out = iceberg.hadoop.HadoopFileIO(conf).newOutputFile(address)
    writer = iceberg.ManifestFiles.write(2, table.spec(), out, None)
    writer.add(data_file(table, f"file:{rows}", rows.stat().st_size))
    writer.close()
    table.newFastAppend().appendManifest(writer.toManifestFile()).commit()


def reads(what, add, address):
    name = make(what)
    add(load_table(spark, name), address)
    said[what] = [attempt(lambda: read_table(spark, name).collect()), address]


for at, address in enumerate(addresses.values()):
    reads(f"data_{at}", add_data, address)
reads("deletes", add_deletes, copy.as_uri())
reads("manifest", add_manifest, (OUTSIDE.resolve() / "manifest.avro").as_uri())
name = make("manifest_list")
edit("manifest_list", lambda document: document["snapshots"][-1].update({"manifest-list": copy.as_uri()}))
said["manifest_list"] = [attempt(lambda: read_table(spark, name).collect()), copy.as_uri()]
table = load_table(spark, make("statistics"))
blobs = spark.sparkContext._jvm.java.util.ArrayList()
snapshot = table.currentSnapshot().snapshotId()
table.updateStatistics().setStatistics(iceberg.GenericStatisticsFile(snapshot, copy.as_uri(), 1, 1, blobs)).commit()
address = table.statisticsFiles()[0].path()
said["statistics"] = [attempt(lambda: table.io().newInputFile(address).exists()), address]
said["asked"] = asked

# Writes and deletions
before = files_of(OUTSIDE)
elsewhere = (OUTSIDE / "new").resolve().as_uri()
name = make("data_path")
edit("data_path", lambda document: document["properties"].update({"write.data.path": elsewhere}))
said["data_path"] = [attempt(lambda: work(name)), elsewhere]
name = make("log")
edit("log", lambda document: document["metadata-log"].insert(
    0, {"metadata-file": copy.as_uri(), "timestamp-ms": document["metadata-log"][0]["timestamp-ms"]}))
edit("log", lambda document: document["properties"].update({"write.metadata.previous-versions-max": "1"}))
said["log"] = [attempt(lambda: work(name))]
io = load_table(spark, name).io()
for what, call in {
    "write": lambda: io.newOutputFile(f"{elsewhere}/x"),
    "delete": lambda: io.deleteFile(copy.as_uri()),
    "delete folder": lambda: io.deletePrefix(OUTSIDE.resolve().as_uri()),
    "list": lambda: io.listPrefix(OUTSIDE.resolve().as_uri()),
}.items():
    said[what] = [attempt(call), OUTSIDE.resolve().as_uri()]
said["many"] = [attempt(lambda: io.deleteFiles(spark.sparkContext._jvm.java.util.List.of(copy.as_uri())))]
said["left"] = ["as before" if before == files_of(OUTSIDE) else "changed"]

# Classes
for impl in ("write.location-provider.impl", "io-impl", "py-io-impl"):
    table = impl.replace(".", "_").replace("-", "_")
    name = make(table)
    edit(table, lambda document: document["properties"].update({impl: "no.such.Class"}))
    calls = (lambda: work(name), lambda: withdraw(spark, name, ["2026-03-01"]), lambda: load_table(spark, name))
    said[impl] = [attempt(call) for call in calls]
# A job file that was changed after it was planned
planned = {"format": 1, "kind": "clean", "spark": spark.version, "cost": None, "code": digests_of_job("clean")}


def open_planned(content, name=None):
    body = json.dumps(content).encode()
    job = Path((name or sha256(body).hexdigest()) + ".json").resolve()
    job.write_bytes(body)
    return [attempt(lambda: open_job("clean", [job.as_uri()], dict)[1]["kind"])]


said["job"] = open_planned(planned, "0" * 64)
said["job of other code"] = open_planned({**planned, "code": dict.fromkeys(planned["code"], "0" * 64)})
said["job of no code"] = open_planned({name: value for name, value in planned.items() if name != "code"})
said["job as planned"] = open_planned(planned)
imported_ns, perennial.IMPORTED_NS = perennial.IMPORTED_NS, 0  # as if the files had changed since
said["changed code"] = [attempt(lambda: work(table_name("lab", "plain")))]
perennial.IMPORTED_NS = imported_ns
said["as before"] = [attempt(lambda: len(read_table(spark, make("plain")).collect()))]
print("SAID " + json.dumps(said))
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    folder = tmp_path_factory.mktemp("spark")
    conf = [*hadoop_catalog(folder), "--conf", "spark.sql.catalog.ice.cache-enabled=false"]
    said: dict[str, list[str]] = run_job(folder, JOB, conf)
    return said


ANSWERS = (
    "asked",
    "left",
    "as before",
    "log",
    "many",
    "job",
    "job of other code",
    "job of no code",
    "job as planned",
    "changed code",
)
CLASSES = ("write.location-provider.impl", "io-impl", "py-io-impl")


def test_no_file_outside_is_opened_written_listed_or_deleted(said: dict[str, list[str]]) -> None:
    files = {what: answer for what, answer in said.items() if what not in (*ANSWERS, *CLASSES)}
    assert len(files) == 16
    for what, (text, address) in files.items():
        folder = address.replace("file:///", "").rpartition("/")[0]
        assert text.startswith("refused: A table names the file "), (what, text)
        assert all(part in text for part in (folder, "which is outside file:", "metadata or manifests.")), (what, text)
    assert said["asked"] == []  # the address of a web server
    assert said["left"] == ["as before"]


def test_a_metadata_log_that_names_files_outside_deletes_none_of_them(said: dict[str, list[str]]) -> None:
    assert said["log"] == ["None"]
    assert "Failed to delete 1 file" in said["many"][0]


def test_classes_are_refused_by_name(said: dict[str, list[str]]) -> None:
    for name in CLASSES:
        expected = f"its metadata names classes to load: property {name}: no.such.Class"
        assert all(text.startswith("refused: ") and expected in text for text in said[name]), said[name]


def test_a_job_file_that_was_changed_is_refused(said: dict[str, list[str]]) -> None:
    assert all(part in said["job"][0] for part in ("refused: Job file:", "its bytes have SHA-256", "differs from its name"))
    assert said["job as planned"] == ["clean"]


@pytest.mark.parametrize("job", ["job of other code", "job of no code"])
def test_a_job_file_that_other_code_planned_is_refused(said: dict[str, list[str]], job: str) -> None:
    assert said[job][0].startswith("failed: ")
    assert "Perennial's own files have changed since the job was planned" in said[job][0]


def test_a_table_that_names_nothing_outside_is_read(said: dict[str, list[str]]) -> None:
    assert said["as before"] == ["1"]


def test_a_job_whose_files_have_changed_commits_nothing(said: dict[str, list[str]]) -> None:
    assert said["changed code"][0].startswith("failed: Perennial's own files changed while this process ran: ")
    assert "perennial.spark.tables" in said["changed code"][0]
