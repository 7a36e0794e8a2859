"""An operator that runs as a process against a real API server, kwok's pods and MariaDB."""

import hashlib
from collections.abc import Generator, Iterator

import pytest
import sqlalchemy as sa
from tests import operating, watching
from tests import server as api
from tests.mariadb import fresh_database, limited_user
from tests.operating import Operator
from tests.server import Jobs, Server

from bgjobs_local.controlplane import ControlPlane

_OPERATOR = pytest.StashKey[Operator]()


@pytest.fixture(scope="session")
def server(control_plane: ControlPlane) -> Server:
    """The API server with all that the operator needs."""
    server = api.connect(control_plane)
    api.install(server)
    operating.install(server)
    return server


@pytest.fixture(scope="package")
def database(mariadb: int) -> Iterator[sa.Engine]:
    """The operator's database, as the administrator."""
    engine = sa.create_engine(fresh_database(mariadb), isolation_level="AUTOCOMMIT")
    yield engine
    engine.dispose()


@pytest.fixture(scope="package")
def operator(
    server: Server,
    database: sa.Engine,
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
) -> Iterator[Operator]:
    """The operator under its own RBAC, with its own database user."""
    operating.delete_leftovers(server)
    url = limited_user(database, operating.DATABASE_USER, "ALL")
    with operating.running(server, url, tmp_path_factory.mktemp("operator")) as operator:
        request.session.stash[_OPERATOR] = operator
        yield operator


@pytest.fixture(scope="package")
def jobs(server: Server, operator: Operator) -> Jobs:
    """A namespace whose BackgroundJobs a running operator takes care of."""
    assert operator.process is not None
    jobs = watching.new_namespace(server, "integration")
    watching.allow(jobs, watching.CLASS)
    return jobs


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A name for a BackgroundJob that no other test uses."""
    digest = hashlib.sha256(request.node.nodeid.encode()).hexdigest()
    return f"job-{digest[:12]}"


@pytest.fixture(scope="module", autouse=True)
def _nothing_is_left_under_way(server: Server) -> Iterator[None]:
    yield
    operating.delete_unfinished(server)


@pytest.fixture(autouse=True)
def _operator_survives(operator: Operator) -> Iterator[None]:
    yield
    ended = operating.ended(operator)
    if ended:
        operating.start(operator)
    assert not ended, "the operator ended while the test ran; its log says why"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Shows the end of the operator's log beside a failure."""
    report = yield
    operator = item.session.stash.get(_OPERATOR, None)
    if report.failed and operator is not None:
        report.sections.append(("The end of the operator's log", operating.log_tail(operator)))
    return report
