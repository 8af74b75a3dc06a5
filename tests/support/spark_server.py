"""
One Spark, and a Hive metastore, for many jobs of a test: a JVM's start costs more than they do.

`perennial` submits to it as to any spark-submit.
"""

from __future__ import annotations

import os
import random
import shlex
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from perennial.spark.conf import iceberg_conf
from stack.config import REPO
from stack.probe import is_listening

SUBMIT = REPO / ".spark" / "bin" / "perennial-spark-submit"
READY = "listening"

SERVER = '''
import contextlib, importlib, io, json, os, socket, sys, threading, time
from pathlib import Path
from pyspark.sql import SparkSession

class Output(io.TextIOBase):
    """What a job prints goes to the client whose job it is."""
    text = ""
    def write(self, text):
        self.text += text
        return len(text)

out = Output()
SparkSession.stop = lambda self: None
spark = SparkSession.builder.config("spark.log.level", "OFF").getOrCreate()
spark.sparkContext.setLogLevel("OFF")


def start_metastore(port, folder):
    """Serve a Hive metastore as it comes, with all its defaults, from this very JVM: its tables are in memory."""
    jvm = spark.sparkContext._jvm
    conf = jvm.org.apache.hadoop.hive.conf.HiveConf(
        spark.sparkContext._jsc.hadoopConfiguration(),
        jvm.java.lang.Class.forName("org.apache.hadoop.hive.metastore.HiveMetaStore"),
    )
    for name, value in {
        "hive.metastore.uris": "",
        "hive.metastore.warehouse.dir": f"file:{folder}/hive",
        "hive.metastore.schema.verification": "false",
        "datanucleus.schema.autoCreateAll": "true",
        "datanucleus.connectionPoolingType": "HikariCP",
        "javax.jdo.option.ConnectionURL": "jdbc:derby:memory:metastore;create=true",
    }.items():
        conf.set(name, value)
    hive = jvm.org.apache.hadoop.hive.metastore
    handler = getattr(hive.HiveMetaStore, "newRetryingHMSHandler")(
        hive.__getattr__("HiveMetaStore$HMSHandler")("test", conf, False), conf
    )
    thrift = jvm.org.apache.thrift
    options = thrift.server.__getattr__("TThreadPoolServer$Args")(
        thrift.transport.TServerSocket(jvm.java.net.InetSocketAddress("127.0.0.1", port))
    )
    options.processor(hive.TSetIpAddressProcessor(handler))
    options.minWorkerThreads(2)
    options.maxWorkerThreads(100)
    threading.Thread(target=thrift.server.TThreadPoolServer(options).serve, daemon=True).start()


start_metastore(int(sys.argv[2]), sys.argv[3])
with contextlib.redirect_stdout(out):
    jobs = {kind: importlib.import_module(f"perennial.{kind}.job") for kind in ("clean", "analyse", "trial")}
listener = socket.socket(socket.AF_UNIX)
listener.bind("\\0" + sys.argv[1])
listener.listen()
listener.settimeout(1)
parent = os.getppid()
Path(sys.argv[3], "ready").touch()
while os.getppid() == parent:
    try:
        connection, _ = listener.accept()
    except TimeoutError:
        continue
    connection.settimeout(None)
    with connection, connection.makefile("rw") as peer:
        kind, uri = json.loads(peer.readline())
        out.text, code = "", 0
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            try:
                jobs[kind].main([uri])
            except SystemExit as error:
                code = error.code
            except BaseException as error:
                out.text, code = out.text + repr(error), 70
        spark.catalog.clearCache()
        peer.write(json.dumps([code, out.text]) + "\\n")
'''

CLIENT = """import json, socket, sys
from pathlib import Path
application, uri = sys.argv[-2:]
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    with server.makefile("rw") as peer:
        peer.write(json.dumps([Path(application).parent.name, uri]) + "\\n")
        peer.flush()
        code, text = json.loads(peer.readline())
print(text, end="")
sys.exit(code)
"""


@contextmanager
def spark_with_metastore(folder: Path, lake: str, s3: Mapping[str, str]) -> Iterator[None]:
    """Start a Spark and a Hive metastore, which has its defaults, and set the environment that leads to them."""
    port = next(port for port in random.SystemRandom().sample(range(20_000, 30_000), 50) if not is_listening(port))
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        for name, value in s3.items():
            patch.setenv(name, value)
        patch.setenv("NO_PROXY", "127.0.0.1,localhost")
        patch.setenv("PERENNIAL_VAR", str(folder))
        patch.setenv("PERENNIAL_LAKE", lake)
        patch.setenv("PERENNIAL_METASTORE_URI", f"thrift://127.0.0.1:{port}")
        with spark_server(folder, lake, port, os.environ) as program:
            patch.setenv("PERENNIAL_SPARK_SUBMIT", str(program))
            yield


@contextmanager
def spark_server(folder: Path, lake: str, port: int, environment: Mapping[str, str]) -> Iterator[Path]:
    """
    Start a Spark for this lake and, in its JVM, a Hive metastore on this port; yield the program that submits to it.

    That is for PERENNIAL_SPARK_SUBMIT. Few rows are interpreted, as `plan_analyse` has it.
    """
    conf = iceberg_conf(f"thrift://127.0.0.1:{port}", f"{lake}/warehouse", environment["AWS_ENDPOINT_URL_S3"])
    conf["spark.sql.codegen.factoryMode"] = "NO_CODEGEN"
    program, client, submit = folder / "server.py", folder / "client.py", folder / "spark-submit"
    address = f"perennial-{uuid.uuid4().hex}"  # no path, which may not be long
    program.write_text(SERVER)
    client.write_text(CLIENT.format(address="\0" + address))
    # A path with a space cannot be named after #!
    submit.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -IS {shlex.quote(str(client))} "$@"\n')
    submit.chmod(0o755)
    words = [word for name, value in conf.items() for word in ("--conf", f"{name}={value}")]
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(
            [SUBMIT, *words, program, address, str(port), folder], cwd=folder, env=dict(environment), stdout=log, stderr=log
        )
    try:
        while not (folder / "ready").exists():
            assert server.poll() is None, (folder / "server.log").read_text()
            time.sleep(0.1)
        yield submit
    finally:
        server.kill()
        server.wait()
