"""The allowlist and the runtimes: checked before every start, never trusted blindly."""

from collections.abc import Iterator

import pytest
from tests import operating
from tests import server as api
from tests.operating import Operator
from tests.server import Jobs, Server
from tests.watching import (
    OPERATOR_NAMESPACE,
    allow,
    change,
    child_jobs,
    phase,
    reason,
    set_key,
    submit,
    wait,
    wait_event,
    wait_finished,
)

_BROKEN = {"bgjobs-allowlist": "no-class", "bgjobs-runtimes": "broken"}
"""By ConfigMap, the key that each test breaks it with."""


@pytest.fixture
def mended(server: Server) -> Iterator[None]:
    yield
    for config_map, key in _BROKEN.items():
        set_key(server, config_map, key, None)


def _break(server: Server, config_map: str) -> None:
    set_key(server, config_map, _BROKEN[config_map], "imagee: other:1")


def test_a_class_that_left_the_allowlist_is_rejected_until_it_is_back(
    jobs: Jobs, name: str
) -> None:
    class_ = "leaving.jobs.Job"
    allow(jobs, class_)
    uid = submit(jobs, name, class_=class_, delay=2, adjustment="Disabled")
    set_key(jobs.server, "bgjobs-allowlist", class_, None)
    status = wait_finished(jobs, name)["status"]
    assert (status["phase"], status["reason"]) == ("Rejected", "NotAllowed")
    assert f"Class {class_} is not in the allowlist" in status["message"]
    assert child_jobs(jobs, uid) == []
    wait_event(jobs.server, jobs.namespace, name, "Rejected")

    allow(jobs, class_)
    change(jobs, name, retryRequests=1)
    status = wait(jobs, name, phase("Succeeded"))["status"]
    accepted = [c["status"] for c in status["conditions"] if c["type"] == "Accepted"]
    assert accepted == ["True"]


def test_a_class_that_left_the_allowlist_is_not_retried(jobs: Jobs, name: str) -> None:
    class_ = "leaving.jobs.Other"
    allow(jobs, class_)
    backoff = {"seconds": 2, "factor": 1, "maxSeconds": 2}
    submit(jobs, name, class_=class_, pods=[{"exitCode": 1}], backoff=backoff)
    wait(jobs, name, phase("Retrying"))
    set_key(jobs.server, "bgjobs-allowlist", class_, None)
    status = wait_finished(jobs, name)["status"]
    assert (status["phase"], status["attemptsTotal"]) == ("Rejected", 1)


@pytest.mark.usefixtures("mended")
@pytest.mark.parametrize("config_map", _BROKEN)
def test_a_broken_config_map_is_told_and_the_last_good_one_stays_in_force(
    jobs: Jobs, name: str, config_map: str
) -> None:
    _break(jobs.server, config_map)
    event = wait_event(jobs.server, OPERATOR_NAMESPACE, config_map, "ConfigurationInvalid")
    assert _BROKEN[config_map] in event["message"]
    submit(jobs, name)
    assert wait_finished(jobs, name)["status"]["phase"] == "Succeeded"


@pytest.mark.usefixtures("mended")
@pytest.mark.parametrize("config_map", _BROKEN)
def test_jobs_wait_while_there_is_no_good_configuration_and_go_on_once_there_is(
    jobs: Jobs, name: str, operator: Operator, config_map: str
) -> None:
    operating.kill(operator)
    _break(jobs.server, config_map)
    operating.start(operator)
    submit(jobs, name)
    status = wait(jobs, name, reason("ConfigurationInvalid"))["status"]
    assert config_map in status["message"]
    assert _BROKEN[config_map] in status["message"]
    set_key(jobs.server, config_map, _BROKEN[config_map], None)
    assert wait_finished(jobs, name)["status"]["phase"] == "Succeeded"


def test_the_last_good_runtimes_stay_in_force_while_their_config_map_is_missing(
    jobs: Jobs, name: str
) -> None:
    path = f"/api/v1/namespaces/{OPERATOR_NAMESPACE}/configmaps"
    kept = api.request(jobs.server, "GET", f"{path}/bgjobs-runtimes").body
    api.request(jobs.server, "DELETE", f"{path}/bgjobs-runtimes")
    try:
        submit(jobs, name)
        assert wait_finished(jobs, name)["status"]["phase"] == "Succeeded"
    finally:
        again = {**kept, "metadata": {"name": "bgjobs-runtimes"}}
        assert api.request(jobs.server, "POST", path, again).status == 201


def test_a_runtime_gives_its_pods_their_image_and_labels(jobs: Jobs, name: str) -> None:
    class_ = "dressed.jobs.Job"
    allow(jobs, class_)
    runtime = "image: shop/jobs:2\nlabels: {team: shop}\nactiveDeadlineSeconds: 60"
    set_key(jobs.server, "bgjobs-runtimes", "dressed", runtime)
    uid = submit(jobs, name, class_=class_)
    wait_finished(jobs, name)
    template = child_jobs(jobs, uid)[0]["spec"]["template"]
    assert template["spec"]["containers"][0]["image"] == "shop/jobs:2"
    assert template["metadata"]["labels"]["team"] == "shop"
    assert template["spec"]["activeDeadlineSeconds"] == 60
