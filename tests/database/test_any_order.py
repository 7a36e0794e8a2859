"""Whatever way the states of BackgroundJobs reach the mirror, its rows end the same."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.mariadb import fresh_database
from tests.unit.builders import NOW, attempt, background_job, seconds

from bgjobs.domain.resource import AttemptOutcome, BackgroundJob, Phase, Reason, Status, Who
from bgjobs.mirror.migrate import upgrade
from bgjobs.mirror.schema import META, METADATA, STALE_BUCKETS
from bgjobs.mirror.writer import MirrorWriter

_UIDS = ("a", "b", "c")
_COMPARED = [
    table for table in METADATA.sorted_tables if table is not META and table is not STALE_BUCKETS
]
_EXAMPLES = 20
_KEPT = 2
"""Attempts, of which a status drops the others."""


def lives() -> list[BackgroundJob]:
    """Every state of three jobs, in the order in which the API server had them."""
    states = []
    for version, number in enumerate(range(1, 5), start=1):
        for place, uid in enumerate(_UIDS):
            attempts = tuple(
                attempt(
                    AttemptOutcome.SUCCEEDED if n == 3 + place else AttemptOutcome.FAILED,
                    number=n,
                    finish=NOW + seconds(200 * n),
                )
                for n in range(1, number + 1)
            )[: 3 + place]
            total = len(attempts)
            done = total == 3 + place
            status = Status(
                phase=Phase.SUCCEEDED if done else Phase.RETRYING,
                reason=Reason.SUCCEEDED if done else Reason.BACKING_OFF,
                attempts=attempts[-_KEPT:],
                attempts_total=total,
                result={"version": version},
            )
            job = background_job(
                status,
                uid=uid,
                resource_version=str(100 * version + place),
                who=Who(created_by="ann", started_by="bob"),
                start_requests=1,
            )
            labels = {"version": str(version), f"only-{version}": "yes"}
            metadata = msgspec.structs.replace(job.metadata, labels=labels)
            states.append(msgspec.structs.replace(job, metadata=metadata))
    return states


@pytest.fixture(scope="module", params=["mariadb", "sqlite"])
def engine(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[sa.Engine]:
    directory: Path = tmp_path_factory.mktemp("any-order")
    url = f"sqlite:///{directory}/mirror.db"
    if request.param == "mariadb":
        url = fresh_database(request.getfixturevalue("mariadb"))
    engine = sa.create_engine(url)
    upgrade(engine)
    yield engine
    engine.dispose()


def rows_after(engine: sa.Engine, states: list[BackgroundJob], batches: random.Random) -> Any:
    """All rows once these states were written, some together and some alone."""
    with engine.begin() as connection:
        for table in METADATA.sorted_tables:
            connection.execute(table.delete())
    writer = MirrorWriter(engine)
    for state in states:
        writer.put(state, NOW)
        if batches.random() < 0.5:
            writer.write_oldest()
    writer.write_oldest()
    writer.tend()
    with engine.connect() as connection:
        return {
            table.name: [
                tuple(row)
                for row in connection.execute(sa.select(table).order_by(*table.primary_key))
            ]
            for table in _COMPARED
        }


@pytest.fixture(scope="module")
def in_order(engine: sa.Engine) -> Any:
    return rows_after(engine, lives(), random.Random(0))


@settings(
    max_examples=_EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_states_duplicated_reordered_and_replayed_end_in_the_rows_of_those_in_order(
    engine: sa.Engine, in_order: Any, data: st.DataObject
) -> None:
    states = lives()
    again = data.draw(st.lists(st.sampled_from(states), max_size=12))
    told = data.draw(st.permutations(states + again))
    batches = data.draw(st.randoms(use_true_random=False))
    assert rows_after(engine, told, batches) == in_order
    assert len(in_order["attempts"]) == 3 + 4 + 4
    assert len(in_order["job_labels"]) == 6
