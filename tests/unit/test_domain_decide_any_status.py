"""Whatever a status says, whoever wrote it: it is read, and the job goes on from there."""

from datetime import datetime
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit import schema
from tests.unit.builders import NOW, background_job_json, child_job, pod, seconds, see
from tests.unit.test_domain_decide_life import CHILDREN, CONFIGS, PODS

from bgjobs.domain.configuration import Configuration
from bgjobs.domain.decide import decide
from bgjobs.domain.observation import Observation
from bgjobs.domain.resource import parse, render_status

SPECS = st.fixed_dictionaries(
    {
        "retries": st.sampled_from([0, 3, 100]),
        "retryRequests": st.sampled_from([0, 1_000_000]),
        "startRequests": st.sampled_from([0, 0, 1]),
        "cancelled": st.sampled_from([False, False, False, True]),
        "suspend": st.sampled_from([False, False, False, True]),
        "delay": st.sampled_from([0, "8760h"]),
        "backoff": st.sampled_from([{}, {"seconds": 86_400, "factor": 10, "maxSeconds": 86_400}]),
    },
    optional={
        "startAt": st.sampled_from(
            ["2000-01-01T00:00:00+14:00", "2999-12-31T23:59:59.999999999-14:00"]
        )
    },
)


def observation(
    spec: dict[str, Any],
    status: dict[str, Any],
    child: dict[str, Any] | None,
    pod_: dict[str, Any] | None,
) -> Observation:
    """With the child Job and the pod of the attempt that the status says comes next."""
    job = parse({**background_job_json(**spec), "status": status})
    run, number = job.status.run, job.status.next_attempt
    if child is None:
        return see(job)
    return see(
        job,
        child_job(run, number, **child),
        None if pod_ is None else pod(run=run, attempt=number, **pod_),
    )


LOOKS = st.builds(
    observation, SPECS, schema.values(schema.STATUS), st.none() | CHILDREN, st.none() | PODS
)
TIMES = st.sampled_from([NOW, NOW + seconds(2), NOW + seconds(1e9)])
MANY = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@given(LOOKS, CONFIGS, TIMES)
@MANY
def test_every_status_leads_to_one_that_the_api_server_takes(
    seen: Observation, config: Configuration, now: datetime
) -> None:
    decision = decide(seen, config, now)
    assert [*schema.violations(schema.STATUS, render_status(decision.status))] == []


def test_these_looks_reach_what_they_are_about() -> None:
    """A property of jobs that never start or end would hold of nothing."""
    reached = set()

    @given(LOOKS, CONFIGS, TIMES)
    @settings(MANY, database=None, derandomize=True)
    def look(seen: Observation, config: Configuration, now: datetime) -> None:
        decision = decide(seen, config, now)
        reached.add(str(decision.status.phase))
        reached.add("start" if decision.start else "")
        reached.add("stop" if decision.stop else "")
        reached.add("again" if decision.status.run > seen.job.status.run else "")

    look()
    phases = {"Retrying", "Succeeded", "Failed", "Cancelled", "Rejected"}
    assert {*phases, "start", "stop", "again"} - reached == set()
