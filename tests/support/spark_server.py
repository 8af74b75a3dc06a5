"""One Spark for many jobs of a test: a JVM's start costs more than they do. `perennial` submits to it as to any spark-submit."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from stack.config import REPO

SUBMIT = REPO / ".spark" / "bin" / "perennial-spark-submit"
READY = "listening"

SERVER = '''
import contextlib, importlib, io, json, os, socket, sys
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
with contextlib.redirect_stdout(out):
    from perennial.lake import spark_job
    jobs = {kind: importlib.import_module(f"perennial.{kind}.job") for kind in ("clean", "analyse")}
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
listener.settimeout(1)
parent = os.getppid()
Path(sys.argv[1] + ".ready").touch()
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
                spark_job.run_job(kind, [uri], getattr(jobs[kind], kind))
            except SystemExit as error:
                code = error.code
            except BaseException as error:
                out.text, code = out.text + repr(error), 70
        spark.catalog.clearCache()
        peer.write(json.dumps([code, out.text]) + "\\n")
'''

CLIENT = """#!{python} -IS
import json, socket, sys
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
def spark_server(folder: Path, conf: Mapping[str, str], environment: Mapping[str, str]) -> Iterator[Path]:
    """Start a Spark with these settings and yield the program that submits to it, for PERENNIAL_SPARK_SUBMIT."""
    program, client, address = folder / "server.py", folder / "spark-submit", folder / "spark"
    program.write_text(SERVER)
    client.write_text(CLIENT.format(python=sys.executable, address=str(address)))
    client.chmod(0o755)
    words = [word for name, value in conf.items() for word in ("--conf", f"{name}={value}")]
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen([SUBMIT, *words, program, address], env=dict(environment), stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 120
        while not address.with_name("spark.ready").exists():
            assert server.poll() is None, (folder / "server.log").read_text()
            assert time.monotonic() < deadline, "Spark did not start within 120 s"
            time.sleep(0.1)
        yield client
    finally:
        server.kill()
        server.wait()
