"""The Hive metastore of the embedded stack: the service in Spark's own jars, on PostgreSQL, for this user and root only."""

from __future__ import annotations

import subprocess
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, tostring

from hive_metastore import ThriftHiveMetastore
from thrift.protocol.TBinaryProtocol import TBinaryProtocol
from thrift.Thrift import TException
from thrift.transport.TSocket import TSocket
from thrift.transport.TTransport import TBufferedTransport

from perennial.spark.conf import s3a_conf, s3a_uri
from stack.config import StackConfig
from stack.errors import StackError
from stack.files import write_file
from stack.postgres import connect, database_password, refused_password
from stack.probe import is_listening
from stack.process import Service
from stack.roles import Role
from stack.service_user import give, identity
from stack.spark import LEAN_JVM, spark_home

DATABASE = "metastore"
SCHEMA = "metastore"
UNFINISHED = "metastore_unfinished"
SOURCE = Path(__file__).with_name("LoopbackMetastore.java")


def metastore_service(config: StackConfig) -> Service:
    """Return the metastore as a service. `prepare_metastore` must run before its start."""
    home, port = spark_home(config), config.port("metastore")
    class_path = ":".join(map(str, [_conf(config), *home.class_path()]))
    # Asynchronous logging needs a library that Spark does not ship.
    options = ("-Xmx256m", *LEAN_JVM, "-Dhive.async.log.enabled=false", "-Djava.net.preferIPv4Stack=true")
    compiler = "org.codehaus.janino.SimpleCompiler"
    return Service(
        name="metastore",
        argv=(str(home.java), *options, "-cp", class_path, compiler, str(SOURCE), SOURCE.stem, str(port), _warehouse(config)),
        is_ready=lambda: is_listening(port) and _answers(port),
        ports=(port,),
        role=Role.JOBS,
        ready_seconds=120.0,
        hopeless=refused_password(config, DATABASE),
    )


def prepare_metastore(config: StackConfig) -> None:
    """Write the service's settings and create its tables once. An interrupted creation is repeated."""
    _conf(config).mkdir(parents=True, exist_ok=True, mode=0o700)
    write_file(_conf(config) / "hive-site.xml", hive_site(service_settings(config)))
    database = connect(config, DATABASE, DATABASE, seconds=10)
    try:
        with database, database.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", (SCHEMA,))
            if cursor.fetchone():
                return
            cursor.execute(f"DROP SCHEMA IF EXISTS {UNFINISHED} CASCADE")
            cursor.execute(f"CREATE SCHEMA {UNFINISHED}")
        _create_tables(config)
        with database, database.cursor() as cursor:
            # If another schema has tables of the same name, the tool mistakes them for its own and creates none.
            cursor.execute("SELECT count(*) FROM pg_tables WHERE schemaname = %s AND tablename IN ('DBS', 'TBLS')", (UNFINISHED,))
            if cursor.fetchone() != (2,):
                raise StackError(
                    f"Metastore: no tables were created in the database {DATABASE!r}: another schema in it already holds a "
                    "metastore's tables. Remove that schema, or run `make clean` for a fresh start."
                )
            # The table of identifiers: the tool leaves it to the running service, which must not create tables.
            cursor.execute(
                f'CREATE TABLE {UNFINISHED}."SEQUENCE_TABLE" '
                '("SEQUENCE_NAME" varchar(255) PRIMARY KEY, "NEXT_VAL" bigint NOT NULL)'
            )
            # Publish all tables under their final schema at once, or none.
            cursor.execute(f"ALTER SCHEMA {UNFINISHED} RENAME TO {SCHEMA}")
    finally:
        database.close()


def service_settings(config: StackConfig) -> dict[str, str]:
    """Return the settings of the service: its database, and S3, where it creates the folders of new namespaces."""
    return {
        **_database_settings(config, SCHEMA),
        "datanucleus.connectionPoolingType": "HikariCP",
        # The size of each of its two pools. The default is ten connections, all of them always open.
        "datanucleus.connectionPool.maxPoolSize": "2",
        "datanucleus.connectionPool.minIdle": "1",
        # Without verification, the service writes its version into the empty table at the first start.
        "hive.metastore.schema.verification": "false",
        "hive.metastore.warehouse.dir": f"{_warehouse(config)}/hive",
        **s3a_conf(config.s3_endpoint),
    }


def hive_site(settings: Mapping[str, str]) -> str:
    """Format settings as a Hadoop configuration file."""
    root = Element("configuration")
    for name, value in settings.items():
        entry = SubElement(root, "property")
        SubElement(entry, "name").text = name
        SubElement(entry, "value").text = value
    return tostring(root, encoding="unicode")


def _create_tables(config: StackConfig) -> None:
    """Create the tables with DataNucleus, the metastore's own mapper, from its mapping file: no SQL of Hive is copied."""
    home = spark_home(config)
    with tempfile.TemporaryDirectory(dir=_conf(config)) as scratch:
        mapping, settings = Path(scratch, "package.jdo"), Path(scratch, "database.properties")
        with zipfile.ZipFile(next(home.spark.glob("jars/hive-metastore-*.jar"))) as jar:
            mapping.write_bytes(jar.read(mapping.name))
        lines = {**_database_settings(config, UNFINISHED), "datanucleus.identifierFactory": "datanucleus1"}
        write_file(settings, "".join(f"{name}={value}\n" for name, value in lines.items()))
        give(config.var, Path(scratch))
        done = subprocess.run(
            [
                *(str(home.java), *LEAN_JVM, "-cp", ":".join(map(str, home.class_path()))),
                *("org.datanucleus.store.schema.SchemaTool", "-create", "-api", "JDO", "-props", str(settings), str(mapping)),
            ],
            env=config.process_environment(),
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
            **identity(config.var),
        )
    if done.returncode:
        raise StackError(
            f"Metastore: its tables could not be created in PostgreSQL's database {DATABASE!r}: "
            f"{(done.stdout + done.stderr).strip()[-400:]}. Run the command again."
        )


def _database_settings(config: StackConfig, schema: str) -> dict[str, str]:
    address = f"127.0.0.1:{config.port('postgres')}"
    return {
        "javax.jdo.PersistenceManagerFactoryClass": "org.datanucleus.api.jdo.JDOPersistenceManagerFactory",
        "javax.jdo.option.ConnectionDriverName": "org.postgresql.Driver",
        # The driver would send the password in clear text to any program that took the port and asked for it so.
        "javax.jdo.option.ConnectionURL": (
            f"jdbc:postgresql://{address}/{DATABASE}?currentSchema={schema}&authenticationPluginClassName=perennial.ScramOnly"
        ),
        "javax.jdo.option.ConnectionUserName": DATABASE,
        "javax.jdo.option.ConnectionPassword": database_password(config, DATABASE),
    }


def _answers(port: int) -> bool:
    """Return whether the service answers a request for which it must query its database."""
    if not is_listening(port):
        return False
    socket = TSocket("127.0.0.1", port)
    socket.setTimeout(5000)
    transport = TBufferedTransport(socket)
    try:
        transport.open()
        return "default" in ThriftHiveMetastore.Client(TBinaryProtocol(transport)).get_all_databases()
    except (TException, OSError):
        return False
    finally:
        transport.close()


def _warehouse(config: StackConfig) -> str:
    """Return the address of the folder that holds all tables, as Spark writes it."""
    return s3a_uri(f"{config.shared_environment()['PERENNIAL_LAKE']}/warehouse")


def _conf(config: StackConfig) -> Path:
    return config.var / "metastore"
