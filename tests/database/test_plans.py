"""No page scans: MariaDB's plan of every statement that the dashboard's pages send."""

import itertools
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa
from tests.bench.history import fill
from tests.mariadb import fresh_database

from bgjobs.dashboard import lists, queries
from bgjobs.dashboard.filters import Cursor, Filter
from bgjobs.dashboard.states import STATES
from bgjobs.mirror.migrate import upgrade

_JOBS = 20_000
_NOW = datetime.now(UTC).replace(tzinfo=None)
_DAY_AGO = _NOW - timedelta(days=1)
_STEP = timedelta(minutes=15)
_CLASS = "shop.jobs.Class0"
_GROUP = "0123456789ab"
_UID = "0c9b5f24-3c1a-4e5f-9a06-3a1a2c9d0b11"
_IN_ORDER = "jobs_by_time"
"""A list without any condition reads the end of this index, as the last test shows."""
_A_PAGE_ROWS = 200
_COMBINED: dict[str, Any] = {
    "state": "Failed",
    "reason": "Error",
    "priority": 1,
    "class_": _CLASS,
    "namespace": "team-0",
    "name": "mail-1",
    "labels": (("team", "0"),),
    "error": _GROUP,
    "created": "24h",
    "before": Cursor(_NOW - timedelta(hours=1), _UID),
}
_PAGES: dict[str, Callable[[sa.Connection], object]] = {
    "meta": queries.meta,
    "choices": lists.choices,
    "job": lambda c: queries.job(c, _UID),
    "uid of a name": lambda c: queries.uid_of(c, "team-0", "mail-7"),
    "labels": lambda c: queries.labels(c, _UID),
    "attempts": lambda c: queries.attempts(c, _UID),
    "log": lambda c: queries.log_tail(c, _UID, 1, 1),
    "actions": lambda c: queries.actions(c, _UID),
    "parameters": lambda c: lists.parameters(c, [_UID, _UID[::-1]]),
    "error groups": lambda c: queries.error_groups(c, _DAY_AGO),
    "error groups of a class": lambda c: queries.error_groups(c, _DAY_AGO, _CLASS),
    "errors over time": lambda c: queries.error_steps(c, [_GROUP], _DAY_AGO, _STEP),
    "errors of a class over time": lambda c: queries.error_steps(
        c, [_GROUP], _DAY_AGO, _STEP, _CLASS
    ),
    "latest of a group": lambda c: queries.latest_of_group(c, _GROUP),
    "latest of a group and a class": lambda c: queries.latest_of_group(c, _GROUP, _CLASS),
    "first seen": lambda c: queries.first_seen(c, [_GROUP]),
    "first seen of a class": lambda c: queries.first_seen(c, [_GROUP, _GROUP[::-1]], _CLASS),
    "classes of a group": lambda c: queries.group_classes(c, _GROUP, _DAY_AGO),
    "active": queries.active,
    "slots": queries.slots,
    "queue": lambda c: queries.waiting(c, ["Queued"], 5),
    "held": lambda c: queries.waiting(c, ["Held"], 5),
    "starting": lambda c: queries.waiting(c, ["Starting"], 25),
    "classes": lambda c: queries.rollups(c, _DAY_AGO, _NOW, by=["class"]),
    "classes of a priority": lambda c: queries.rollups(c, _DAY_AGO, _NOW, by=["class"], priority=1),
    "classes over time": lambda c: queries.rollups(
        c, _DAY_AGO, _NOW, by=["class"], step=_STEP, figures=["attempts"]
    ),
    "a class over time": lambda c: queries.rollups(c, _DAY_AGO, _NOW, step=_STEP, class_=_CLASS),
    "priorities": lambda c: queries.rollups(c, _DAY_AGO, _NOW, by=["priority"]),
    "all over time": lambda c: queries.rollups(c, _DAY_AGO, _NOW, step=_STEP),
}


@pytest.fixture(scope="module")
def engine(mariadb: int) -> Iterator[sa.Engine]:
    engine = sa.create_engine(fresh_database(mariadb))
    upgrade(engine)
    fill(engine, _JOBS, rolled_up=timedelta(days=1))
    yield engine
    engine.dispose()


def combinations() -> list[Filter]:
    """Every one of what the list's page offers.

    A reason it offers with its state alone, and an end bounds what a page before bounds, too.
    """
    names = [*_COMBINED]
    return [
        Filter(**{name: _COMBINED[name] for name in chosen})
        for count in range(len(names) + 1)
        for chosen in itertools.combinations(names, count)
        if "reason" not in chosen or "state" in chosen
    ]


def variants() -> list[Filter]:
    """Each state, several labels, an end: alone, and with each of the other filters."""
    labels = [tuple((f"label-{number}", "0") for number in range(count)) for count in (2, 4)]
    chosen = [
        *(("state", state) for state in STATES),
        *(("labels", several) for several in labels),
        ("until", _DAY_AGO),
    ]
    others = [{}, *({name: value} for name, value in _COMBINED.items() if name != "reason")]
    return [Filter(**{**other, name: value}) for name, value in chosen for other in others]


def scans(engine: sa.Engine, *pages: Callable[[sa.Connection], object]) -> list[tuple[str, str]]:
    """How the pages' statements read tables from end to end, and which ones."""
    sent: dict[tuple[str, str], Any] = {}

    def note(_: Any, __: Any, statement: str, values: Any, ___: Any, ____: Any) -> None:
        sent[statement, repr(values)] = values

    sa.event.listen(engine, "before_cursor_execute", note)
    with engine.connect() as connection:
        for page in pages:
            page(connection)
    sa.event.remove(engine, "before_cursor_execute", note)
    assert sent
    found = []
    with engine.connect() as connection:
        for (statement, _), values in sent.items():
            plan = connection.exec_driver_sql(f"EXPLAIN FORMAT=JSON {statement}", values).scalar()
            found += [(how, statement) for how in _scanned(json.loads(plan or "{}"))]
    return found


def _scanned(plan: Any) -> Iterator[str]:
    if isinstance(plan, list):
        for part in plan:
            yield from _scanned(part)
    if not isinstance(plan, dict):
        return
    table = plan.get("table", {})
    name = str(table.get("table_name", ""))
    is_derived = name.startswith(("<", "anon")) or "materialized" in table
    access, key = table.get("access_type"), table.get("key")
    scanned = access == "ALL" or (access == "index" and key != _IN_ORDER)
    if scanned and name != "meta" and not is_derived:
        yield f"{name}: {access} of {key}"
    for part in plan.values():
        yield from _scanned(part)


@pytest.mark.parametrize("page", _PAGES.values(), ids=_PAGES.keys())
def test_no_page_scans(engine: sa.Engine, page: Callable[[sa.Connection], object]) -> None:
    assert scans(engine, page) == []


@pytest.mark.parametrize("filters", [combinations(), variants()], ids=["combined", "variants"])
def test_no_list_scans_whatever_it_is_filtered_by(engine: sa.Engine, filters: list[Filter]) -> None:
    pages = [partial(lists.page, wanted=wanted, now=_NOW) for wanted in filters]
    # Counts are of whatever state, and of all pages.
    counted = [wanted for wanted in filters if not (wanted.state or wanted.before)]
    counts = [partial(lists.counts, wanted=wanted, now=_NOW) for wanted in counted]
    assert scans(engine, *pages, *counts) == []


@pytest.mark.parametrize(
    "wanted",
    [
        pytest.param(Filter(), id="the first page"),
        pytest.param(Filter(before=_COMBINED["before"]), id="a later page"),
        pytest.param(Filter(created="30d"), id="the first page of a month"),
    ],
)
def test_a_list_in_order_reads_a_page_and_no_more(engine: sa.Engine, wanted: Filter) -> None:
    read, page = _reading(engine, wanted)
    assert len(page.rows) == lists.PAGE_ROWS
    assert read <= _A_PAGE_ROWS


@pytest.mark.parametrize(
    "others",
    [
        pytest.param({"class_": "shop.jobs.Class49"}, id="a rare class"),
        pytest.param({"namespace": "team-19"}, id="a rare namespace"),
        pytest.param({"state": "Queued"}, id="a rare state"),
        pytest.param({"labels": (("customer", "77"),)}, id="a rare label"),
    ],
)
def test_many_jobs_of_a_name_and_few_of_something_else_begin_with_the_few(
    engine: sa.Engine, others: dict[str, Any]
) -> None:
    read, _ = _reading(engine, Filter(name="mail", **others))
    assert read <= _JOBS // 10


def _reading(engine: sa.Engine, wanted: Filter) -> tuple[int, lists.Page]:
    """How many entries of tables and indexes the page read."""
    with engine.connect() as connection:
        connection.exec_driver_sql("FLUSH STATUS")
        page = lists.page(connection, wanted, _NOW)
        read = connection.exec_driver_sql("SHOW SESSION STATUS LIKE 'Handler_read%%'")
        return sum(int(count) for _, count in read), page
