"""A list leaves out no job that its filters hold for, however it is found."""

import random
import string
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.dialects import mysql
from tests.mariadb import fresh_database

from bgjobs.dashboard import lists, sql
from bgjobs.dashboard.filters import PERIODS, Filter
from bgjobs.dashboard.states import STATES
from bgjobs.mirror.migrate import upgrade
from bgjobs.mirror.schema import ATTEMPTS, JOB_LABELS, JOBS

_NOW = datetime(2030, 1, 31, 12)
_JOBS = 400
_MOST_PAGES = 2 * _JOBS
_GROUPS = ("0123456789ab", "ba9876543210")
_SOME_STATES = ("Succeeded", "Failed", "Queued", "Held")
_PAIRS = [pair for name in _SOME_STATES for pair in STATES[name].pairs]

Job = dict[str, Any]
"""A row of jobs, its labels and the error groups of its attempts."""


def _job(number: int, rng: random.Random) -> Job:
    phase, reason = rng.choices(_PAIRS, [9, *[1] * (len(_PAIRS) - 1)])[0]
    return {
        "uid": "".join(rng.choices(string.hexdigits[:16], k=36)),
        # Many were created within the same second.
        "created_at": _NOW - timedelta(hours=number // 3),
        "name": rng.choice(["mail", "mailing", "scan_1", "scan%2", "Ärger"]),
        "namespace": rng.choice(["shop", "shop", "team"]),
        "class": rng.choice(["shop.Mail", "shop.Mail", "shop.Sync"]),
        "priority": rng.choice([1, 2, 2, 3]),
        "phase": str(phase),
        "reason": str(reason),
        "labels": {"team": rng.choice("aab"), **({"rare": "x"} if rng.random() < 0.03 else {})},
        "groups": rng.choices(_GROUPS, [3, 1], k=rng.choice([0, 0, 1, 2, 3])),
    }


ALL = [_job(number, random.Random(number)) for number in range(_JOBS)]


@pytest.fixture(scope="module", params=["mariadb", "sqlite"])
def engine(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[sa.Engine]:
    url = f"sqlite:///{tmp_path_factory.mktemp('lists')}/mirror.db"
    if request.param == "mariadb":
        url = fresh_database(request.getfixturevalue("mariadb"))
    engine = sa.create_engine(url)
    upgrade(engine)
    with engine.begin() as connection:
        for job in ALL:
            _insert(connection, job)
    yield engine
    engine.dispose()


def _insert(connection: sa.Connection, job: Job) -> None:
    same = {"uid": job["uid"], "created_at": job["created_at"], "resource_version": "1"}
    row = {name: value for name, value in job.items() if name in JOBS.c}
    left = {"method": "handle", "delay_seconds": 0, "retries": 3, "message": "", "run": 1}
    connection.execute(
        sa.insert(JOBS).values(**row, **left, resource_version="1", attempts_total=0)
    )
    for name, value in job["labels"].items():
        connection.execute(sa.insert(JOB_LABELS).values(**same, name=name, value=value))
    for number, group in enumerate(job["groups"], start=1):
        attempt = {"run": 1, "attempt": number, "error_group": group, "finished_at": _NOW}
        text = {"job_name": "x", "outcome": "Failed", "reason": "Error", "message": ""}
        its = {"class": job["class"], "priority": job["priority"]}
        connection.execute(sa.insert(ATTEMPTS).values(**same, **attempt, **text, **its))


FILTERS = st.builds(
    Filter,
    state=st.none() | st.sampled_from(_SOME_STATES),
    reason=st.none() | st.sampled_from(["Error", "Queued", "Paused"]),
    priority=st.none() | st.sampled_from([1, 2, 3]),
    class_=st.none() | st.sampled_from(["shop.Mail", "shop.Sync", "shop.None"]),
    namespace=st.none() | st.sampled_from(["shop", "team"]),
    name=st.none() | st.sampled_from(["m", "mail", "Mail", "scan_", "scan%", "Ä", "ä", "x"]),
    labels=st.lists(
        st.sampled_from([("team", "a"), ("team", "b"), ("rare", "x"), ("none", "")]),
        max_size=3,
        unique=True,
    ).map(tuple),
    error=st.none() | st.sampled_from([*_GROUPS, "000000000000"]),
    created=st.none() | st.sampled_from([*PERIODS]),
    until=st.none() | st.sampled_from([_NOW - timedelta(days=days) for days in (0, 1, 3, 99)]),
).filter(
    lambda chosen: (
        not (chosen.state and chosen.reason) or chosen.reason in STATES[chosen.state].reasons
    )
)


def _wanted_of(wanted: Filter, jobs: Sequence[Job]) -> list[Job]:
    """By the words of each filter, without a database; in the list's order."""
    since = wanted.since(_NOW)
    pairs = STATES[wanted.state].pairs if wanted.state else None
    found = [
        job
        for job in jobs
        if (pairs is None or (job["phase"], job["reason"]) in pairs)
        and wanted.reason in (None, job["reason"])
        and wanted.priority in (None, job["priority"])
        and wanted.class_ in (None, job["class"])
        and wanted.namespace in (None, job["namespace"])
        and job["name"].startswith(wanted.name or "")
        and all(job["labels"].get(name) == value for name, value in wanted.labels)
        and (wanted.error is None or wanted.error in job["groups"])
        and (since is None or job["created_at"] >= since)
        and (wanted.until is None or job["created_at"] < wanted.until)
    ]
    return sorted(found, key=lambda job: (job["created_at"], job["uid"]), reverse=True)


def _walked(connection: sa.Connection, wanted: Filter) -> list[str]:
    """The uids of all pages."""
    uids: list[str] = []
    for _ in range(_MOST_PAGES):
        page = lists.page(connection, wanted, _NOW)
        assert len(page.rows) == lists.PAGE_ROWS or page.older is None or page.searched_to
        uids += [row["uid"] for row in page.rows]
        if page.older is None:
            return uids
        wanted = msgspec.structs.replace(wanted, before=page.older)
    raise AssertionError(f"the list does not end: {wanted.query()}")


_SETTINGS = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.mark.parametrize(
    "looked_at",
    [
        pytest.param((250, 5_000, 50_000), id="every way is short"),
        pytest.param((2, 7, 30), id="every way is long"),
    ],
)
@_SETTINGS
@given(wanted=FILTERS)
def test_all_pages_together_have_what_is_wanted(
    engine: sa.Engine,
    monkeypatch: pytest.MonkeyPatch,
    looked_at: tuple[int, ...],
    wanted: Filter,
) -> None:
    monkeypatch.setattr(lists, "_LOOKED_AT", looked_at)
    with engine.connect() as connection:
        assert _walked(connection, wanted) == [job["uid"] for job in _wanted_of(wanted, ALL)]


@pytest.mark.parametrize("looked_at", [(250, 5_000, 50_000), (2, 7, 30)])
@_SETTINGS
@given(wanted=FILTERS)
def test_counts_are_exact_or_say_that_there_may_be_more(
    engine: sa.Engine,
    monkeypatch: pytest.MonkeyPatch,
    looked_at: tuple[int, ...],
    wanted: Filter,
) -> None:
    monkeypatch.setattr(lists, "_LOOKED_AT", looked_at)
    with engine.connect() as connection:
        counts = lists.counts(connection, wanted, _NOW)
    whatever = msgspec.structs.replace(wanted, state=None, reason=None)
    want: dict[tuple[str, str], int] = {}
    for job in _wanted_of(whatever, ALL):
        pair = (job["phase"], job["reason"])
        want[pair] = want.get(pair, 0) + 1
    if counts.is_exact:
        assert counts.by_pair == want
    else:
        assert all(count <= want[pair] for pair, count in counts.by_pair.items())
        assert sum(want.values()) or looked_at[1] < _JOBS


def test_a_search_that_stops_says_so_and_goes_on(
    engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "_LOOKED_AT", (2, 7, 30))
    wanted = Filter(labels=(("team", "a"),), name="Ärger", class_="shop.Sync")
    with engine.connect() as connection:
        page = lists.page(connection, wanted, _NOW)
        counts = lists.counts(connection, wanted, _NOW)
    assert page.searched_to is not None
    assert page.older is not None
    assert page.older.created_at == page.searched_to
    assert len(page.rows) < lists.PAGE_ROWS
    assert not counts.is_exact


def test_mysql_takes_the_statements(engine: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """No such server is at hand: they compile for it, with what its optimizer is told."""
    sent: list[str] = []
    text = sql.text

    def note(dialect: sa.Dialect, *of: Any) -> sa.TextualSelect:
        sent.append(str(text(mysql.dialect(), *of)))
        return text(dialect, *of)

    everything = Filter(
        state="Failed",
        priority=2,
        class_="shop.Mail",
        namespace="shop",
        name="m",
        labels=(("team", "a"), ("team", "b")),
        error=_GROUPS[0],
        created="30d",
        until=_NOW,
    )
    monkeypatch.setattr(sql, "text", note)
    with engine.connect() as connection:
        for wanted in (Filter(), Filter(name="m"), everything):
            _walked(connection, wanted)
            lists.counts(connection, wanted, _NOW)
    assert any("FROM jobs FORCE INDEX (jobs_by_name)" in statement for statement in sent)
    assert any(statement.startswith("SELECT STRAIGHT_JOIN ") for statement in sent)
