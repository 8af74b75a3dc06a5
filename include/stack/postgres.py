"""PostgreSQL of the embedded stack: the binaries of a wheel, TCP on 127.0.0.1, passwords only."""

from __future__ import annotations

import pwd
import shutil
import signal
import subprocess
from pathlib import Path

import psutil
import psycopg2
from psycopg2 import sql
from psycopg2.extensions import connection, encrypt_password

from stack.config import StackConfig
from stack.errors import StackError
from stack.postgres_home import HOME, binary, database_home, prepare_home, remove_home, system_user
from stack.process import Service, stop
from stack.secrets import secret, write_private

DATABASES = ("airflow", "metastore")
"""Each is a database and the name of the user that owns it."""

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "100",
    "shared_buffers": "64MB",
    "io_method": "sync",  # no processes that read ahead: all of it fits into memory
    "max_logical_replication_workers": "0",
    "jit": "off",  # the queries here are small: compiling them costs more than running them
    # A client that died must not hold its locks. Its kernel says so at once; these are for one that hangs or that the network lost.
    "idle_in_transaction_session_timeout": "120s",
    "client_connection_check_interval": "5s",
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "60s",
}


def postgres_service(config: StackConfig) -> Service:
    """Return the database server as a service; `prepare_postgres` comes before, `create_databases` after its start."""
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
        stop_signal=signal.SIGINT,  # "fast": ends the clients' sessions and writes a checkpoint
    )


def prepare_postgres(config: StackConfig) -> str:
    """
    Create the database cluster once; a creation that was interrupted is done again from the start.

    :return: what the user should know, empty when that is nothing
    """
    user = system_user()
    if user:
        _create_user(user)
    note = prepare_home(config, lambda: stop(config, postgres_service(config)))
    if _data(config).exists():
        _forget_the_dead(_data(config))
    else:
        _create_cluster(config, user)
    return note


def create_databases(config: StackConfig) -> None:
    """Create the databases and their users, or bring the users' passwords in line with var/secrets."""
    admin = _connect(config)
    admin.autocommit = True
    try:
        with admin.cursor() as cursor:
            for name in DATABASES:
                verifier = encrypt_password(database_password(config, name), name, admin, "scram-sha-256")
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


def database_password(config: StackConfig, name: str) -> str:
    """Return the password of a database's user."""
    return secret(config.secrets, f"postgres_{name}")


def refused_password(config: StackConfig, name: str) -> dict[str, str]:
    """Return the line that says that the database refuses a user's password, and the remedy, for `Service.hopeless`."""
    return {
        rf'password authentication failed for user "{name}"': (
            f"The database in {database_home(config)} was made with other passwords than those in {config.secrets}. "
            "Put the secrets back that it was made with, or remove it and all data of this stack by `make clean`."
        )
    }


def remove_postgres(config: StackConfig) -> None:
    """Remove the database's files when they lie outside the stack's folder; `clean` removes that one itself."""
    remove_home(config)


def _create_cluster(config: StackConfig, user: str | None) -> None:
    home = database_home(config)
    scratch, password_file = home / "data.new", home / "password"
    shutil.rmtree(scratch, ignore_errors=True)
    write_private(password_file, secret(config.secrets, "postgres_admin"))
    if user:
        shutil.chown(password_file, user, user)
    initdb = str(binary(config, "initdb"))
    options = ["--auth=scram-sha-256", f"--pwfile={password_file}", "--encoding=UTF8", "--no-locale", "--no-instructions"]
    try:
        subprocess.run(
            [initdb, "-D", str(scratch), "-U", "postgres", *options],
            check=True,
            capture_output=True,
            text=True,
            cwd="/",
            user=user,
            group=user,
            extra_groups=[] if user else None,
        )
    except subprocess.CalledProcessError as error:
        raise StackError(f"PostgreSQL: initdb failed in {home}: {error.stderr.strip()}") from error
    finally:
        password_file.unlink(missing_ok=True)
    scratch.rename(_data(config))


def _create_user(user: str) -> None:
    try:
        pwd.getpwnam(user)
    except KeyError:
        try:
            subprocess.run(
                [
                    "useradd",
                    "--system",
                    "--user-group",
                    "--no-create-home",
                    "--home-dir",
                    HOME,
                    "--shell",
                    "/usr/sbin/nologin",
                    user,
                ],
                check=True,
                capture_output=True,
                text=True,
            )
        except (OSError, subprocess.CalledProcessError) as error:
            raise StackError(
                f"PostgreSQL does not run as root, and the system user {user!r} could not be created: {error}. "
                f"Create it (useradd --system {user}), or run the stack as an ordinary user."
            ) from error


def _data(config: StackConfig) -> Path:
    return database_home(config) / "data"


def _forget_the_dead(data: Path) -> None:
    """
    Remove the lock file of a killed server that nobody has reaped: a container without an init process keeps such a
    zombie for ever, and PostgreSQL takes it for another server. Its children must be gone first: they may still write.
    """
    lock = data / "postmaster.pid"
    if not lock.exists():
        return
    pid = int(lock.read_text(encoding="ascii").split(maxsplit=1)[0])
    if psutil.pid_exists(pid) and psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
        _, alive = psutil.wait_procs([process for process in psutil.process_iter() if _works_in(process, data)], timeout=10)
        if alive:
            raise StackError(f"PostgreSQL: processes of a killed server still use {data}, first pid {alive[0].pid}. Try again.")
        lock.unlink()


def _works_in(process: psutil.Process, folder: Path) -> bool:
    try:
        return bool(process.cwd() == str(folder))
    except psutil.Error:
        return False  # ended, or of another user: the server's own children are always visible to who started them


def _connect(config: StackConfig) -> connection:
    password = secret(config.secrets, "postgres_admin")
    port = config.port("postgres")
    return psycopg2.connect(host="127.0.0.1", port=port, user="postgres", password=password, dbname="postgres", connect_timeout=5)


def _answers(config: StackConfig) -> bool:
    try:
        _connect(config).close()
    except psycopg2.OperationalError:
        return False
    return True
