"""Where a benchmark runs: a control plane, a database and the operator, all of its own."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from tests import mariadb, operating, watching
from tests import server as api
from tests.operating import Operator
from tests.server import Jobs, Server

from bgjobs_local.controlplane import control_plane

HERE = Path(__file__).parent
INSTANT = "bench.jobs.Instant"
SECOND = "bench.jobs.Second"
"""Classes whose pods run for no time at all, and for a second (pod-lasts.yaml)."""

# Plain Jobs start as soon as they are there: so must BackgroundJobs, beside them.
NO_LIMIT = {"BGJOBS_MAX_CONCURRENT": "0"}


@dataclass(frozen=True)
class Place:
    server: Server
    jobs: Jobs
    operator: Operator
    database: sa.Engine
    other_pids: Mapping[str, int]

    @property
    def pids(self) -> dict[str, int]:
        """Every process but the client's, by name."""
        assert self.operator.process is not None
        return {**self.other_pids, "operator": self.operator.process.pid}


@contextlib.contextmanager
def place(directory: Path) -> Iterator[Place]:
    """Until the block ends; everything is written below the directory."""
    stages, audit_policy = [HERE / "pod-lasts.yaml"], HERE.parent / "audit-policy.yaml"
    (directory / "mariadb").mkdir()
    with (
        control_plane(directory / "kubernetes", stages, audit_policy) as running,
        mariadb.running(directory / "mariadb") as database_server,
    ):
        server = api.connect(running)
        api.install(server)
        operating.install(server)
        operating.delete_leftovers(server)
        engine = sa.create_engine(
            mariadb.fresh_database(database_server.port), isolation_level="AUTOCOMMIT"
        )
        url = mariadb.limited_user(engine, operating.DATABASE_USER, "ALL")
        with operating.running(server, url, directory, **NO_LIMIT) as operator:
            jobs = watching.new_namespace(server, "bench")
            for class_ in (INSTANT, SECOND):
                watching.allow(jobs, class_)
            database_pid = int((directory / "mariadb" / "pid").read_text())
            others = {**running.pids, "mariadbd": database_pid}
            yield Place(server, jobs, operator, engine, others)
        engine.dispose()
