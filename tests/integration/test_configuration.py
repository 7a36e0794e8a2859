"""The allowlist and the runtimes: checked before every start, never trusted blindly."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests import operating
from tests import server as api
from tests.operating import Operator
from tests.server import Jobs, Server
from tests.watching import (
    CLASS,
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
    watch,
)

_FAULTS = 'controller_runtime_reconcile_total{result="error"}'
_CONFIG_MAPS = f"/api/v1/namespaces/{OPERATOR_NAMESPACE}/configmaps"
_BROKEN = {"bgjobs-allowlist": "no-class", "bgjobs-runtimes": "broken"}
"""By ConfigMap, the key that each test breaks it with."""


@pytest.fixture
def mended(server: Server) -> Iterator[None]:
    yield
    for config_map, key in _BROKEN.items():
        set_key(server, config_map, key, None)


def _break(server: Server, config_map: str) -> None:
    set_key(server, config_map, _BROKEN[config_map], "imagee: other:1")


def _wait_told(server: Server, config_map: str, words: str) -> None:
    """Until an Event on the ConfigMap says these words."""
    told = []
    path = f"/api/v1/namespaces/{OPERATOR_NAMESPACE}/events"
    selector = f"involvedObject.name={config_map},reason=ConfigurationInvalid"
    for event in watch(server, path, selector, within_s=20):
        told.append(event["object"]["message"])
        if words in told[-1]:
            return
    raise AssertionError(f"no Event on {config_map} says {words!r} but {told}")


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


_ALIASES = "image: a:1\nenv:\n- &a0 {name: A}\n" + "\n".join(
    f"- {{name: A, value: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, 10)
)
_MERGES = "image: a:1\nenv:\n- &a0 {name: A}\n" + "\n".join(
    f"- &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, 10)
)


@contextmanager
def _set(server: Server, config_map: str, key: str, value: str) -> Iterator[None]:
    """The key has this value until the block ends, and is not there afterwards."""
    set_key(server, config_map, key, value)
    try:
        yield
    finally:
        set_key(server, config_map, key, None)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        pytest.param(_ALIASES, "more than 8 YAML aliases", id="aliases that multiply"),
        pytest.param(_MERGES, "more than 8 YAML aliases", id="merges that multiply"),
        pytest.param("[" * 100_000, "has 100000 characters, at most 16384", id="brackets"),
        pytest.param("x" * (512 << 10), "has 524288 characters, at most 16384", id="512 KiB"),
        pytest.param("env: " + "[" * 5_000 + "]" * 5_000, "maximum recursion depth", id="depth"),
        pytest.param("env: [{name: A, value: 2030-01-31}]", "Object of type date", id="date"),
        pytest.param("env: [{name: A, value: !!binary aGk=}]", "Object of type bytes", id="bytes"),
        pytest.param("env: [{name: A, value: !!set {a, b}}]", "Object of type set", id="set"),
        pytest.param("env: [&a {name: A, value: *a}]", "Circular reference", id="cycle"),
        pytest.param("resources: {limits: {cpu: .nan}}", "JSON has not", id="NaN"),
        pytest.param("env: [{? [a, b] : c}]", "unhashable key", id="list as a key"),
        pytest.param(
            "image: !!python/object/apply:os.system [x]", "could not determine", id="object"
        ),
        pytest.param("paused: !!bool maybe", "no valid YAML: KeyError: 'maybe'", id="tag"),
        pytest.param("image: [", "is no valid YAML", id="no YAML"),
        pytest.param("image: a:1\n---\nimage: b:1", "expected a single document", id="two texts"),
        pytest.param("[image]", "Expected `object`, got `array`", id="list"),
        pytest.param("maxConcurrent: many", "Expected `int | null`, got `str`", id="type"),
        pytest.param("labels: {version: 2}", "`$.labels[...]`: put it in quotes", id="number"),
        pytest.param("paused: true", "`$.paused`: write why, in quotes", id="paused"),
        pytest.param("serviceAccountName: shop", "it must list the namespaces", id="no list"),
    ],
)
def test_whatever_is_in_the_runtimes_stalls_nothing(
    jobs: Jobs, name: str, operator: Operator, value: str, words: str
) -> None:
    with _set(jobs.server, "bgjobs-runtimes", "broken", value):
        _assert_all_goes_on(jobs, name, operator, "bgjobs-runtimes", words)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        pytest.param("no-class", "handle", "'no-class' is no dotted Python class", id="key"),
        pytest.param("broken.Job", "os.system", "lists 'os.system', which is no", id="function"),
        pytest.param("broken.Job", "__init__", "lists '__init__', which is no", id="private"),
        pytest.param("broken.Job", "a\u00a0b", "lists 'a\\xa0b', which is no", id="space"),
        pytest.param("broken.Job", "-" * (512 << 10), "…', which is no", id="512 KiB"),
    ],
)
def test_whatever_is_in_the_allowlist_stalls_nothing(
    jobs: Jobs, name: str, operator: Operator, key: str, value: str, words: str
) -> None:
    with _set(jobs.server, "bgjobs-allowlist", key, value):
        _assert_all_goes_on(jobs, name, operator, "bgjobs-allowlist", words)


def _assert_all_goes_on(
    jobs: Jobs, name: str, operator: Operator, config_map: str, words: str
) -> None:
    """It is told, and jobs start and end."""
    faults = operating.metric(operator, _FAULTS)
    _wait_told(jobs.server, config_map, words)
    submit(jobs, name)
    assert wait_finished(jobs, name)["status"]["phase"] == "Succeeded"
    assert operating.metric(operator, _FAULTS) == faults


def test_a_class_waits_that_only_a_broken_allowlist_names(jobs: Jobs, name: str) -> None:
    """It can be submitted: the API server reads the allowlist key by key."""
    class_ = "newer.jobs.Job"
    with _set(jobs.server, "bgjobs-allowlist", "no-class", "handle"):
        allow(jobs, class_)
        submit(jobs, name, class_=class_)
        message = wait(jobs, name, reason("ConfigurationInvalid"))["status"]["message"]
    assert f"Class {class_} is not in the allowlist" in message
    assert "It may be in the newest version, which cannot be read: key 'no-class'" in message
    assert wait_finished(jobs, name)["status"]["phase"] == "Succeeded"


def test_what_the_api_server_refuses_of_a_runtime_holds_its_jobs_until_it_is_mended(
    jobs: Jobs, name: str
) -> None:
    class_ = "refused.jobs.Job"
    allow(jobs, class_)
    with _set(jobs.server, "bgjobs-runtimes", "refused", 'labels: {"no label": ""}'):
        submit(jobs, name, class_=class_)
        message = wait(jobs, name, reason("ConfigurationInvalid"))["status"]["message"]
        submit(jobs, f"{name}-other")
        assert wait_finished(jobs, f"{name}-other")["status"]["phase"] == "Succeeded"
    assert "The API server refuses the Job of runtime refused" in message
    assert 'Invalid value: "no label"' in message
    assert wait_finished(jobs, name, within_s=10)["status"]["phase"] == "Succeeded"


@pytest.mark.parametrize("config_map", _BROKEN)
def test_the_last_good_version_stays_in_force_while_a_config_map_is_missing(
    jobs: Jobs, name: str, config_map: str
) -> None:
    submit(jobs, f"{name}-runs", pods=[{"lasts": "2s"}])
    submit(jobs, f"{name}-waits", delay=2, adjustment="Disabled")
    kept = api.request(jobs.server, "GET", f"{_CONFIG_MAPS}/{config_map}").body
    api.request(jobs.server, "DELETE", f"{_CONFIG_MAPS}/{config_map}")
    try:
        _wait_told(jobs.server, config_map, "it does not exist: apply it. The last good")
        for each in ("runs", "waits"):
            job = wait_finished(jobs, f"{name}-{each}")
            assert job["status"]["phase"] == "Succeeded"
    finally:
        again = {**kept, "metadata": {"name": config_map}}
        assert api.request(jobs.server, "POST", _CONFIG_MAPS, again).status == 201
    allow(jobs, CLASS)
    submit(jobs, name)
    assert wait_finished(jobs, name)["status"]["phase"] == "Succeeded"


def test_a_runtime_gives_its_pods_what_it_says(jobs: Jobs, name: str) -> None:
    class_ = "dressed.jobs.Job"
    allow(jobs, class_)
    runtime = f"""
        image: shop/jobs:2
        imagePullSecrets: [{{name: registry}}]
        labels: {{team: shop}}
        activeDeadlineSeconds: 60
        env: [{{name: SHOP, value: north}}]
        volumes: [{{name: stock, configMap: {{name: stock}}}}]
        volumeMounts: [{{name: stock, mountPath: /stock}}]
        tolerations: [{{key: shop, operator: Exists, effect: NoSchedule}}]
        namespaces: [{jobs.namespace}]
    """
    set_key(jobs.server, "bgjobs-runtimes", "dressed", runtime)
    uid = submit(jobs, name, class_=class_)
    wait_finished(jobs, name)
    template = child_jobs(jobs, uid)[0]["spec"]["template"]
    [container] = template["spec"]["containers"]
    assert container["image"] == "shop/jobs:2"
    assert {"name": "SHOP", "value": "north"} in container["env"]
    assert {"name": "stock", "mountPath": "/stock"} in container["volumeMounts"]
    assert {"name": "stock", "configMap": {"name": "stock", "defaultMode": 420}} in (
        template["spec"]["volumes"]
    )
    assert template["spec"]["imagePullSecrets"] == [{"name": "registry"}]
    assert template["spec"]["tolerations"] == [
        {"key": "shop", "operator": "Exists", "effect": "NoSchedule"}
    ]
    assert template["metadata"]["labels"]["team"] == "shop"
    assert template["spec"]["activeDeadlineSeconds"] == 60
