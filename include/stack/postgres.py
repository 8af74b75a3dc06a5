"""PostgreSQL of the embedded stack: binaries from a wheel, TCP on 127.0.0.1, password authentication only."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path
from tempfile import TemporaryFile

import psutil
import psycopg2
from psycopg2 import sql
from psycopg2.extensions import connection, encrypt_password

from stack.config import StackConfig
from stack.errors import StackError
from stack.files import open_regular
from stack.postgres_home import HOME, binary, database_home, prepare_home, remove_home, system_user
from stack.process import Service, stop
from stack.secrets import secret
from stack.system_user import ensure_user

AUTHENTICATION = "scram-sha-256"
"""The only method that clients accept: another one would give the password to any program that took the port."""

ADMIN = "postgres"
"""The administrator, and the database of that name."""

DATABASES = ("airflow", "metastore")
"""Databases. Each is also the name of the user that owns it."""

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "100",
    "shared_buffers": "64MB",
    "io_method": "sync",  # no read-ahead processes: all data fits into memory
    "max_logical_replication_workers": "0",
    "jit": "off",  # queries are small: compiling them costs more than running them
    # A dead client must not hold its locks. Its kernel reports its death at once. These settings end clients that hang, or that
    # the network lost.
    "idle_in_transaction_session_timeout": "120s",
    "client_connection_check_interval": "5s",
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "60s",
}


def postgres_service(config: StackConfig) -> Service:
    """Return the database server as a service. Run `prepare_postgres` before its start and `create_databases` after it."""
    port = config.port("postgres")
    settings = [part for key, value in SETTINGS.items() for part in ("-c", f"{key}={value}")]
    return Service(
        name="postgres",
        argv=(str(binary(config, "postgres")), "-D", str(_data(config)), "-p", str(port), *settings),
        is_ready=lambda: _answers(config),
        ports=(port,),
        hopeless=refused_password(config, "postgres"),
        user=system_user(),
        cwd=Path("/"),
        stop_signal=signal.SIGINT,  # a "fast" shutdown: ends the clients' sessions and writes a checkpoint
    )


def prepare_postgres(config: StackConfig) -> str:
    """
    Create the database cluster once. An interrupted creation is repeated from the start.

    :return: a note for the user, empty if there is none
    """
    user = system_user()
    if user and (problem := ensure_user(user, HOME)):
        raise StackError(
            f"PostgreSQL refuses to run as root, and {problem}. "
            f"Create it (useradd --system {user}), or run the stack as an ordinary user."
        )
    note = prepare_home(config, lambda: stop(config, postgres_service(config)))
    if _data(config).exists():
        _remove_zombie_lock(_data(config))
    else:
        _create_cluster(config, user)
    return note


def create_databases(config: StackConfig) -> None:
    """Create the databases and their users, or set the users' passwords to those in var/secrets."""
    admin = connect(config)
    admin.autocommit = True
    try:
        with admin.cursor() as cursor:
            for name in DATABASES:
                verifier = encrypt_password(database_password(config, name), name, admin, AUTHENTICATION)
                cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (name,))
                verb = "ALTER" if cursor.fetchone() else "CREATE"
                statement = sql.SQL(verb + " ROLE {} LOGIN PASSWORD {}")
                cursor.execute(statement.format(sql.Identifier(name), sql.Literal(verifier)))
                cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,))
                if not cursor.fetchone():
                    cursor.execute(sql.SQL("CREATE DATABASE {0} OWNER {0}").format(sql.Identifier(name)))
                    cursor.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(name)))
    finally:
        admin.close()


def connect(config: StackConfig, database: str = ADMIN, user: str = ADMIN, *, seconds: int = 5) -> connection:
    """
    Open a session in a database, as the administrator or as the owner of a database.

    :param seconds: time after which the attempt fails
    """
    password = secret(config.secrets, "postgres_admin") if user == ADMIN else database_password(config, user)
    return psycopg2.connect(
        host="127.0.0.1",
        port=config.port("postgres"),
        user=user,
        password=password,
        dbname=database,
        connect_timeout=seconds,
        require_auth=AUTHENTICATION,
    )


def database_password(config: StackConfig, name: str) -> str:
    """Return the password of the owner of a database."""
    return secret(config.secrets, f"postgres_{name}")


def refused_password(config: StackConfig, name: str) -> dict[str, str]:
    """Return the log pattern of a refused password and its remedy, for `Service.hopeless`."""
    return {
        rf'password authentication failed for user "{name}"': (
            f"The database in {database_home(config)} was created with other passwords than those in {config.secrets}. "
            "Restore the secrets that it was created with, or remove it and all data of this stack with `make clean`."
        )
    }


def remove_postgres(config: StackConfig) -> None:
    """Remove the database's files if they are outside the stack's folder, which `clean` removes itself."""
    remove_home(config)


def _create_cluster(config: StackConfig, user: str | None) -> None:
    home = database_home(config)
    scratch = home / "data.new"
    shutil.rmtree(scratch, ignore_errors=True)
    initdb = str(binary(config, "initdb"))
    options = [f"--auth={AUTHENTICATION}", "--pwfile=/dev/stdin", "--encoding=UTF8", "--no-locale", "--no-instructions"]
    # A file without a name: the database's folder belongs to its user, who could replace a file there by a link to one of root's.
    with TemporaryFile() as password:
        password.write(secret(config.secrets, "postgres_admin").encode())
        password.seek(0)
        if user:
            shutil.chown(password.fileno(), user, user)
        try:
            subprocess.run(
                [initdb, "-D", str(scratch), "-U", ADMIN, *options],
                check=True,
                stdin=password,
                capture_output=True,
                text=True,
                cwd="/",
                user=user,
                group=user,
                extra_groups=[] if user else None,
            )
        except subprocess.CalledProcessError as error:
            raise StackError(f"PostgreSQL: initdb failed in {home}: {error.stderr.strip()}") from error
    scratch.rename(_data(config))


def _data(config: StackConfig) -> Path:
    return database_home(config) / "data"


def _remove_zombie_lock(data: Path) -> None:
    """
    Remove the lock file of a killed server that is still a zombie. A container without an init process keeps the zombie
    forever, and PostgreSQL takes it for a running server. First wait for its children: they may still write.
    """
    lock = data / "postmaster.pid"
    if not os.path.lexists(lock):
        return
    with os.fdopen(open_regular(lock, os.O_RDONLY), "rb") as file:
        word = file.readline(100).strip()
    if not word.isdigit():
        raise StackError(
            f"PostgreSQL: the lock file {lock} begins with {word[:40]!r}, expected the number of a process. "
            "If no PostgreSQL runs in that folder, remove the file, then run the command again."
        )
    pid = int(word)
    if psutil.pid_exists(pid) and psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
        _, alive = psutil.wait_procs([process for process in psutil.process_iter() if _works_in(process, data)], timeout=10)
        if alive:
            raise StackError(
                f"PostgreSQL: processes of a killed server still use {data}, first pid {alive[0].pid}. Run the command again."
            )
        lock.unlink()


def _works_in(process: psutil.Process, folder: Path) -> bool:
    try:
        return bool(process.cwd() == str(folder))
    except psutil.Error:
        return False  # it has ended, or belongs to another user; the user who started the server can always see its children


def _answers(config: StackConfig) -> bool:
    try:
        connect(config).close()
    except psycopg2.OperationalError:
        return False
    return True
