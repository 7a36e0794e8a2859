"""python -m tests.pictures DIRECTORY: a picture of each named state of the dashboard."""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import sqlalchemy as sa
from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize, sync_playwright
from tests import dashboards, mariadb, operating, watching
from tests import server as api
from tests.browsing import CHROMIUM, install_chromium, sign_in
from tests.dashboards import Dashboard
from tests.pictures import data

from bgjobs.dashboard.filters import utc_now
from bgjobs.domain.queue_report import ANNOTATION, LEASE, QueueReport, encode
from bgjobs.mirror.migrate import upgrade
from bgjobs.mirror.schema import ACTIONS, JOB_DETAILS, JOBS
from bgjobs_local.controlplane import control_plane, ensure_binaries

_WIDE: ViewportSize = {"width": 1280, "height": 800}
_PHONE: ViewportSize = {"width": 390, "height": 844}


class Shot(NamedTuple):
    name: str
    path: str
    phone: bool = False
    account: str | None = "bgjobs-admin"


_JOB = f"/jobs/{data.uid_of('stock-778')}"
_SHOTS = [
    Shot("overview", "/"),
    Shot("overview-phone", "/", phone=True),
    Shot("jobs", "/jobs"),
    Shot("jobs-phone", "/jobs", phone=True),
    Shot("jobs-filtered", "/jobs?labels=customer=42"),
    Shot("jobs-all-columns", "/jobs?columns=all"),
    Shot("jobs-failed", "/jobs?state=Failed"),
    Shot("jobs-last-page", "/jobs?state=Held"),
    Shot("jobs-no-match", "/jobs?class=shop.jobs.Nothing&state=Queued"),
    Shot("job-three-runs", _JOB),
    Shot("job-three-runs-phone", _JOB, phone=True),
    Shot("job-earlier-run", f"{_JOB}?attempt=1-2"),
    Shot("job-longest-name", f"/jobs/{data.uid_of(data.LONGEST_NAME)}"),
    Shot("job-longest-name-phone", f"/jobs/{data.uid_of(data.LONGEST_NAME)}", phone=True),
    Shot("job-deleted", f"/jobs/{data.uid_of('deleted-midway')}"),
    Shot("job-rejected", f"/jobs/{data.uid_of('legacy-12')}"),
    Shot("job-running", f"/jobs/{data.uid_of('invoice-6043')}"),
    Shot("job-succeeded", f"/jobs/{data.uid_of('mail-13310')}"),
    Shot("job-cancel", f"/jobs/{data.uid_of('invoice-6043')}/do/cancel"),
    Shot("job-no-right", _JOB, account="bgjobs-looker"),
    Shot("errors", "/errors"),
    Shot("errors-phone", "/errors", phone=True),
    Shot("errors-still-happening", "/errors?show=still"),
    Shot("error-group-phone", f"/errors/{data.SYNC_STOCK}", phone=True),
    Shot("error-group", f"/errors/{data.SYNC_STOCK}"),
    Shot("analytics", "/analytics"),
    Shot("analytics-phone", "/analytics", phone=True),
    Shot("allowlist", "/configuration"),
    Shot("health", "/health"),
    Shot("unknown-filter", "/jobs?colour=red"),
    Shot("not-found", "/jobs/00000000-0000-0000-0000-000000000000"),
    Shot("signed-out", "/jobs", account=None),
    Shot("forbidden", "/", account="bgjobs-viewer"),
]


_ASKED_ABOUT = "export-2233"
"""A job that is in the cluster too, and waits there behind others."""


def main() -> int:
    directory = Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    only = sys.argv[2:]
    with _place() as (server, dashboard, empty, engine), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        for scheme in ("light", "dark"):
            for shot in _SHOTS:
                if only and shot.name not in only:
                    continue
                with _page(browser, scheme, phone=shot.phone) as page:
                    if shot.account:
                        sign_in(page, dashboard.url, dashboards.token(server, shot.account))
                    data.alive(engine, utc_now())
                    _take(page, dashboard.url + shot.path, directory / f"{shot.name}-{scheme}.png")
            if not only:
                _special(browser, scheme, server, dashboard, empty, engine, directory)
        browser.close()
    print(f"{len(list(directory.glob('*.png')))} pictures in {directory}")
    return 0


def _special(
    browser: Browser,
    scheme: str,
    server: api.Server,
    dashboard: Dashboard,
    empty: Dashboard,
    engine: sa.Engine,
    directory: Path,
) -> None:
    """What no address alone brings about."""
    admin = dashboards.token(server, "bgjobs-admin")
    with _page(browser, scheme) as page:
        sign_in(page, dashboard.url, admin)
        data.alive(engine, utc_now() - timedelta(minutes=5), pending=1204)
        _take(page, f"{dashboard.url}/", directory / f"stale-{scheme}.png")
        with mariadb.refusing(engine, dashboards.DATABASE_USER):
            _take(page, f"{dashboard.url}/jobs", directory / f"database-down-{scheme}.png")
    for phone in ("", "-phone"):
        with _page(browser, scheme, phone=bool(phone)) as page:
            sign_in(page, dashboard.url, admin)
            data.alive(engine, utc_now())
            page.goto(f"{dashboard.url}/jobs/shop/{_ASKED_ABOUT}")
            why = page.get_by_role("link", name="Ask the cluster why").get_attribute("href")
            _take(page, f"{dashboard.url}{why}", directory / f"job-why{phone}-{scheme}.png")
    with _page(browser, scheme) as page:
        sign_in(page, empty.url, admin)
        _take(page, f"{empty.url}/jobs", directory / f"empty-{scheme}.png")
        _take(page, f"{empty.url}/", directory / f"empty-overview-{scheme}.png")
        _take(page, f"{empty.url}/analytics", directory / f"empty-analytics-{scheme}.png")


def _take(page: Page, url: str, picture: Path) -> None:
    answer = page.goto(url)
    assert answer is not None
    assert answer.status < 500 or "down" in picture.name, f"{url}: {answer.status}"
    # What is said at the bottom of the window would lie across a picture of the whole page.
    is_whole = not picture.name.startswith(("stale", "empty"))
    page.screenshot(path=picture, full_page=is_whole, animations="disabled")


@contextmanager
def _page(browser: Browser, scheme: str, *, phone: bool = False) -> Iterator[Page]:
    context: BrowserContext = browser.new_context(
        viewport=_PHONE if phone else _WIDE,
        color_scheme="dark" if scheme == "dark" else "light",
    )
    yield context.new_page()
    context.close()


@contextmanager
def _place() -> Iterator[tuple[api.Server, Dashboard, Dashboard, sa.Engine]]:
    """An API server, a database, a dashboard on it, and one on an empty database."""
    install_chromium()
    ensure_binaries()
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bgjobs-")))
        (directory / "control-plane").mkdir()
        here = Path(__file__).parents[1]
        server = api.connect(
            stack.enter_context(
                control_plane(directory / "control-plane", [], here / "audit-policy.yaml")
            )
        )
        api.install(server)
        operating.install(server)
        dashboards.install(server)
        port = stack.enter_context(mariadb.running(directory)).port
        found = []
        for name in ("full", "empty"):
            (directory / name).mkdir()
            url = mariadb.fresh_database(port)
            engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
            upgrade(sa.create_engine(url))
            reader = mariadb.limited_user(engine, dashboards.DATABASE_USER, "SELECT")
            if name == "full":
                data.fill(engine, utc_now())
                _queue_in_the_cluster(server, engine)
            running = dashboards.running(
                server,
                reader,
                directory / name,
                BGJOBS_ACTIONS="true" if name == "full" else "false",
            )
            found.append((engine, stack.enter_context(running)))
        (engine, dashboard), (_, empty) = found
        # The user's rights on the first database were replaced by those on the second.
        with engine.connect() as connection:
            connection.exec_driver_sql(f"GRANT SELECT ON {engine.url.database}.* TO dashboard")
        yield server, dashboard, empty, engine


def _queue_in_the_cluster(server: api.Server, engine: sa.Engine) -> None:
    """Some of the jobs that wait, and an operator that says it has no place for them."""
    operating.delete_leftovers(server)
    shop = watching.new_namespace(server, "shop")
    for class_ in ("shop.jobs.Invoice", "shop.jobs.Export"):
        watching.allow(shop, class_)
    for name in ("invoice-6044", "invoice-6045"):
        watching.submit(shop, name, class_="shop.jobs.Invoice", priority="High")
    uid = watching.submit(shop, _ASKED_ABOUT, class_="shop.jobs.Export", priority="Low")
    with engine.connect() as connection:
        for table in (JOBS, JOB_DETAILS, ACTIONS):
            of_job = table.c.uid == data.uid_of(_ASKED_ABOUT)
            connection.execute(sa.update(table).where(of_job).values(uid=uid))
    report = QueueReport(
        max_concurrent=50,
        running=50,
        waiting=3,
        start_window=16,
        starting=2,
        ageing_seconds=600,
        starts_since_aged=1,
    )
    lease = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": LEASE, "annotations": {ANNOTATION: encode(report)}},
        "spec": {
            "holderIdentity": "bgjobs-operator-0",
            "leaseDurationSeconds": 3600,
            "renewTime": f"{utc_now().isoformat(timespec='microseconds')}Z",
        },
    }
    path = "/apis/coordination.k8s.io/v1/namespaces/bgjobs-system/leases"
    answer = api.request(server, "POST", path, lease)
    assert answer.status == 201, answer.message


if __name__ == "__main__":
    sys.exit(main())
