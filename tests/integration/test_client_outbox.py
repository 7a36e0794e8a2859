"""Jobs through a table of the application: none is lost, none is made twice."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session
from tests import applications, watching
from tests import server as api
from tests.mariadb import fresh_database
from tests.proxying import NoAnswerError, Request, proxy
from tests.server import Jobs
from tests.watching import CLASS, wait_finished

from bgjobs.client import BadParametersError, Client, outbox
from bgjobs.client.outbox import Drained, Outbox
from bgjobs_local.processes import ENVIRONMENT

_JOBS = 200
_WITHIN_S = 120

_DRAINER = """
import sys
import sqlalchemy as sa
from bgjobs.client import Client, outbox

# What a drainer that was killed had claimed is free again so soon.
outbox._CLAIM_SECONDS = 4.0
url, kubeconfig, namespace = sys.argv[1:]
client = Client(kubeconfig=kubeconfig, namespace=namespace)
outbox.Outbox(sa.MetaData()).drain(sa.create_engine(url), client)
"""


@pytest.fixture(scope="module", autouse=True)
def _application(jobs: Jobs) -> None:
    if api.request(jobs.server, "GET", _account(jobs)).status == 404:
        applications.install(jobs)


def _account(jobs: Jobs) -> str:
    return f"/api/v1/namespaces/{jobs.namespace}/serviceaccounts/{applications.ACCOUNT}"


@dataclass
class Shop:
    """An application's database with its outbox and one table of its own."""

    url: str
    engine: sa.Engine
    metadata: sa.MetaData = field(default_factory=sa.MetaData)

    def __post_init__(self) -> None:
        self.outbox = Outbox(self.metadata)
        self.orders = sa.Table("orders", self.metadata, sa.Column("number", sa.Integer))
        self.metadata.create_all(self.engine)

    def rows(self) -> list[Any]:
        with self.engine.connect() as connection:
            return list(connection.execute(sa.select(self.outbox.table).order_by("id")))

    def dispatch(self, **words: Any) -> str:
        with self.engine.begin() as connection:
            return self.outbox.dispatch(connection, CLASS, **words)

    def make_due(self) -> None:
        """As if the time that a row waits for had passed."""
        table = self.outbox.table
        with self.engine.begin() as connection:
            due = table.update().where(table.c.due_at.is_not(None))
            connection.execute(due.values(due_at=table.c.written_at))


@pytest.fixture(params=["mariadb", "sqlite"])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shop]:
    url = f"sqlite:///{tmp_path}/shop.sqlite"
    if request.param == "mariadb":
        url = fresh_database(request.getfixturevalue("mariadb"))
    engine = sa.create_engine(url)
    yield Shop(url, engine)
    engine.dispose()


@pytest.fixture
def client(jobs: Jobs, tmp_path: Path) -> Client:
    kubeconfig = applications.kubeconfig(jobs, tmp_path)
    return Client(kubeconfig=str(kubeconfig), namespace=jobs.namespace)


def _exists(jobs: Jobs, name: str) -> bool:
    return api.request(jobs.server, "GET", f"{jobs.path}/{name}").status == 200


def test_a_job_is_made_if_its_transaction_commits(shop: Shop, jobs: Jobs, client: Client) -> None:
    with Session(shop.engine) as session:
        session.execute(shop.orders.insert().values(number=1))
        name = shop.outbox.dispatch(session, CLASS, order=1, priority="High")
        assert not _exists(jobs, name)
        session.commit()
    assert shop.outbox.drain_once(shop.engine, client) == Drained(1, 0, 0, is_away=False)
    assert wait_finished(jobs, name)["status"]["result"] == {"order": 1}
    assert shop.rows() == []


def test_no_job_is_made_if_it_rolls_back(shop: Shop, client: Client) -> None:
    with shop.engine.connect() as connection:
        shop.outbox.dispatch(connection, CLASS, order=1)
        connection.rollback()
    assert shop.outbox.drain_once(shop.engine, client) == Drained(0, 0, 0, is_away=False)


def test_what_can_be_found_wrong_at_once_is_not_written(shop: Shop) -> None:
    with shop.engine.begin() as connection, pytest.raises(BadParametersError):
        shop.outbox.dispatch(connection, CLASS, order=object())
    assert shop.rows() == []


def test_the_same_key_twice_makes_one_job(
    shop: Shop, jobs: Jobs, client: Client, name: str
) -> None:
    made = {shop.dispatch(order=1, key=name) for _ in range(2)}
    assert len(made) == 1
    assert shop.outbox.drain_once(shop.engine, client).created == 2
    assert shop.rows() == []
    assert _exists(jobs, made.pop())


def test_what_is_refused_for_good_is_kept_and_stalls_nothing(
    shop: Shop, jobs: Jobs, client: Client, name: str
) -> None:
    class_ = f"shop.jobs.{name.title().replace('-', '')}"
    with shop.engine.begin() as connection:
        refused = shop.outbox.dispatch(connection, class_, order=1)
    accepted = shop.dispatch(order=2)
    assert shop.outbox.drain_once(shop.engine, client) == Drained(1, 1, 0, is_away=False)
    assert _exists(jobs, accepted)
    [row] = shop.rows()
    assert (row.name, row.due_at) == (refused, None)
    assert row.refusal.startswith(f"class {class_} (method handle) is not on the allowlist")
    assert shop.outbox.drain_once(shop.engine, client) == Drained(0, 0, 0, is_away=False)

    watching.allow(jobs, class_)
    with shop.engine.begin() as connection:
        assert shop.outbox.retry_refused(connection, "another") == 0
        assert shop.outbox.retry_refused(connection, refused) == 1
    assert shop.outbox.drain_once(shop.engine, client).created == 1
    assert shop.rows() == []


def test_what_is_refused_for_now_is_tried_again_later(
    shop: Shop, jobs: Jobs, client: Client, tmp_path: Path
) -> None:
    nobody = applications.kubeconfig(jobs, tmp_path, account="default")
    without_right = Client(kubeconfig=str(nobody), namespace=jobs.namespace)
    name = shop.dispatch(order=1)
    assert shop.outbox.drain_once(shop.engine, without_right) == Drained(0, 0, 1, is_away=False)
    [row] = shop.rows()
    assert "cannot create resource" in row.refusal
    assert row.due_at > row.written_at
    assert shop.outbox.drain_once(shop.engine, client) == Drained(0, 0, 0, is_away=False)
    shop.make_due()
    assert shop.outbox.drain_once(shop.engine, client).created == 1
    assert _exists(jobs, name)


def test_jobs_dispatched_while_the_api_server_is_away_are_made_when_it_is_back(
    shop: Shop, jobs: Jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "_LONGEST_PAUSE_SECONDS", 0.5)
    is_away, missed, stop = threading.Event(), threading.Event(), threading.Event()
    is_away.set()

    def refuse(_: Request) -> None:
        if is_away.is_set():
            missed.set()
            raise NoAnswerError

    names = [shop.dispatch(order=number) for number in range(3)]
    with proxy(jobs.server, asked=refuse) as url:
        kubeconfig = applications.kubeconfig(jobs, tmp_path, url)
        client = Client(kubeconfig=str(kubeconfig), namespace=jobs.namespace)
        drainer = threading.Thread(target=shop.outbox.drain, args=(shop.engine, client, stop))
        drainer.start()
        try:
            assert missed.wait(_WITHIN_S)
            assert len(shop.rows()) == 3
            is_away.clear()
            api.wait_until(lambda: not shop.rows(), lambda: f"left: {shop.rows()}", _WITHIN_S)
        finally:
            stop.set()
            drainer.join()
    assert all(_exists(jobs, name) for name in names)


@contextmanager
def _drainer(shop: Shop, jobs: Jobs, kubeconfig: Path) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        [
            *("setpriv", "--pdeathsig", "KILL", sys.executable, "-c", _DRAINER),
            *(shop.url, str(kubeconfig), jobs.namespace),
        ],
        env=dict(ENVIRONMENT),
        stdin=subprocess.DEVNULL,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_two_drainers_of_which_one_is_killed_make_each_job_once(
    shop: Shop, jobs: Jobs, tmp_path: Path, name: str
) -> None:
    labels = {"test": name}
    names = {
        shop.dispatch(order=number, labels=labels, suspend=True, key=f"{name}-{number}")
        for number in range(_JOBS)
    }
    killed: list[subprocess.Popen[bytes]] = []
    statuses: dict[str, list[int]] = {"killed": [], "survivor": []}

    def kill_after_the_fifth(request: Request, status: int) -> None:
        if request.method == "POST":
            statuses["killed"].append(status)
            if len(statuses["killed"]) == 5:
                killed[0].kill()
                raise NoAnswerError

    def count(request: Request, status: int) -> None:
        if request.method == "POST":
            statuses["survivor"].append(status)

    with (
        proxy(jobs.server, answered=kill_after_the_fifth) as one,
        proxy(jobs.server, answered=count) as other,
    ):
        with _drainer(shop, jobs, applications.kubeconfig(jobs, tmp_path, one)) as process:
            killed.append(process)
            with _drainer(shop, jobs, applications.kubeconfig(jobs, tmp_path, other)):
                api.wait_until(
                    lambda: not shop.rows(), lambda: f"{len(shop.rows())} rows left", _WITHIN_S
                )
        assert process.returncode == -9
    assert statuses["killed"] == [201] * 5
    assert sorted(statuses["survivor"]) == [201] * (_JOBS - 5) + [409]
    answer = api.request(jobs.server, "GET", f"{jobs.path}?labelSelector=test={name}")
    assert {job["metadata"]["name"] for job in answer.body["items"]} == names
