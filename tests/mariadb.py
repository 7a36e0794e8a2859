"""A real MariaDB server for the tests, on loopback, in a directory of its own."""

import itertools
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pymysql
import sqlalchemy as sa
from tests.server import wait_until

from bgjobs_local import packages

_START_SECONDS = 30
_database_numbers = itertools.count(1)

# A test database need not survive a power cut: no fsync, a small log.
_FAST = (
    "--skip-name-resolve",
    "--innodb-log-file-size=16M",
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-doublewrite=0",
)


@dataclass
class Server:
    """Keeps its data in a directory and listens on 127.0.0.1. User root has no password."""

    directory: Path
    port: int
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def start(self) -> None:
        """Returns once it answers. The kernel ends it if pytest is killed."""
        log, here = self.directory / "mariadbd.log", self.directory
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [
                    *("setpriv", "--pdeathsig", "KILL"),
                    *("/usr/sbin/mariadbd", "--no-defaults", "--user=root"),
                    *(f"--datadir={here}/data", f"--port={self.port}", "--bind-address=127.0.0.1"),
                    *(f"--socket={here}/socket", f"--pid-file={here}/pid"),
                    *("--character-set-server=utf8mb4", "--innodb-buffer-pool-size=256M"),
                    *_FAST,
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        _wait_until_it_answers(self.process, self.port, log)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def copy_to(self, directory: Path) -> None:
        """What is committed by now, as files of another server."""
        directory.mkdir()
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        try:
            shutil.copytree(self.directory / "data", directory / "data")
        finally:
            self.process.send_signal(signal.SIGCONT)

    def execute(self, statement: str) -> None:
        with _connect(self.port) as connection:
            connection.cursor().execute(statement)


@contextmanager
def running(directory: Path) -> Iterator[Server]:
    """A server that ends with the block, or with this process, whichever ends first."""
    packages.ensure(
        {
            "mariadb-server-core": "is the database that the tests mirror jobs into",
            "mariadb-client-core": "has a tool that makes a database's first files",
        }
    )
    _install(directory / "data")
    server = Server(directory, _free_port())
    server.start()
    try:
        yield server
    finally:
        # Nothing is kept, so it need not shut down in order.
        server.kill()


def fresh_database(port: int) -> str:
    """Create an empty database and return its SQLAlchemy URL."""
    name = f"test_{next(_database_numbers)}"
    with _connect(port) as connection:
        connection.cursor().execute(f"CREATE DATABASE {name}")
    return f"mysql+pymysql://root@127.0.0.1:{port}/{name}?charset=utf8mb4"


def limited_user(admin: sa.Engine, name: str, rights: str) -> str:
    """The URL by which a user with these rights, on this database alone, gets to it."""
    with admin.connect() as connection:
        connection.exec_driver_sql(f"CREATE OR REPLACE USER {name}")
        connection.exec_driver_sql(f"GRANT {rights} ON {admin.url.database}.* TO {name}")
    return admin.url.set(username=name).render_as_string(hide_password=False)


@contextmanager
def refusing(admin: sa.Engine, user: str) -> Iterator[None]:
    """Refuses a user and breaks its connections until the block ends."""
    with admin.connect() as connection:
        connection.exec_driver_sql(f"ALTER USER {user} ACCOUNT LOCK")
        connection.exec_driver_sql(f"KILL CONNECTION USER {user}")
    try:
        yield
    finally:
        with admin.connect() as connection:
            connection.exec_driver_sql(f"ALTER USER {user} ACCOUNT UNLOCK")


@contextmanager
def locked(admin: sa.Engine, table: str) -> Iterator[None]:
    """Makes the database slow: who else reads or writes the table waits until the block ends."""
    with admin.connect() as connection:
        connection.exec_driver_sql(f"LOCK TABLES {table} WRITE")
        try:
            yield
        finally:
            connection.exec_driver_sql("UNLOCK TABLES")


def _install(data: Path) -> None:
    done = subprocess.run(
        [
            *("mariadb-install-db", "--no-defaults", "--user=root", f"--datadir={data}"),
            *("--auth-root-authentication-method=normal", "--skip-test-db"),
            *_FAST,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"mariadb-install-db failed:\n{done.stdout}{done.stderr}")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _connect(port: int) -> "pymysql.Connection[pymysql.cursors.Cursor]":
    return pymysql.connect(host="127.0.0.1", port=port, user="root", autocommit=True)


def _wait_until_it_answers(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    wait_until(
        lambda: process.poll() is not None or _answers(port),
        lambda: f"MariaDB has not started:\n{log.read_text()}",
        _START_SECONDS,
    )
    assert process.poll() is None, f"MariaDB has ended:\n{log.read_text()}"


def _answers(port: int) -> bool:
    try:
        _connect(port).close()
    except pymysql.OperationalError:
        return False
    return True
