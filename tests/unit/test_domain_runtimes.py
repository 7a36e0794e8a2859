"""How the pods of a class run: keys, inheritance, and what is refused."""

import pytest

from bgjobs.domain.errors import ConfigurationError
from bgjobs.domain.runtimes import (
    ResolvedRuntime,
    Runtime,
    namespace_refusal,
    parse_runtimes,
    runtime_for,
)


@pytest.mark.parametrize(
    ("class_", "key"),
    [
        pytest.param("shop.jobs.SyncStock", "shop.jobs.SyncStock", id="its own key first"),
        pytest.param("shop.jobs.Other", "shop.jobs", id="then the longest prefix"),
        pytest.param("shop.mails.Send", "shop", id="then a shorter one"),
        pytest.param("shop.jobsurvey.Count", "shop", id="a prefix ends at a dot"),
        pytest.param("shopping.Cart", "default", id="no prefix: default"),
        pytest.param("shop.jobs.SyncStockTwice", "shop.jobs", id="a longer name is another class"),
    ],
)
def test_the_longest_key_that_fits_is_taken(class_: str, key: str) -> None:
    runtimes = parse_runtimes(
        {"default": "image: a:1", "shop": "", "shop.jobs": "", "shop.jobs.SyncStock": ""}
    )
    assert runtime_for(runtimes, class_).key == key


def test_what_a_key_leaves_out_comes_from_default() -> None:
    runtimes = parse_runtimes(
        {
            "default": "image: a:1\nactiveDeadlineSeconds: 60\npaused: moving house",
            "shop": "activeDeadlineSeconds: 5",
        }
    )
    settings = runtime_for(runtimes, "shop.jobs.SyncStock").settings
    assert settings == Runtime(image="a:1", active_deadline_seconds=5, paused="moving house")


def test_what_a_key_leaves_out_comes_from_the_next_shorter_key_first() -> None:
    runtimes = parse_runtimes(
        {
            "default": "image: a:1\nactiveDeadlineSeconds: 60",
            "shop": "image: b:1",
            "shop.jobs": "paused: x",
        }
    )
    settings = runtime_for(runtimes, "shop.jobs.SyncStock").settings
    assert settings == Runtime(image="b:1", active_deadline_seconds=60, paused="x")


def test_a_list_replaces_the_one_of_default() -> None:
    runtimes = parse_runtimes(
        {"default": "{image: 'a:1', env: [{name: A, value: '1'}]}", "shop": "env: []"}
    )
    assert runtime_for(runtimes, "shop.jobs.SyncStock").settings.env == []


def test_max_concurrent_counts_each_key_by_itself() -> None:
    runtimes = parse_runtimes({"default": "{image: 'a:1', maxConcurrent: 3}", "shop": ""})
    assert runtime_for(runtimes, "shop.jobs.SyncStock").settings.max_concurrent is None


@pytest.mark.parametrize(
    ("data", "says"),
    [
        pytest.param({}, "the key default is missing", id="no default"),
        pytest.param({"default": ""}, "'default': image is missing", id="no image anywhere"),
        pytest.param(
            {"default": "image: a:1\nreplicas: 3"}, "unknown field `replicas`", id="unknown key"
        ),
        pytest.param(
            {"default": "image: a:1\nactive_deadline_seconds: 3"},
            "unknown field `active_deadline_seconds`",
            id="keys are in camel case",
        ),
        pytest.param(
            {"default": "image: a:1\nmaxConcurrent: many"}, "Expected `int", id="wrong type"
        ),
        pytest.param({"default": "just text"}, "'default': Expected `object`", id="no mapping"),
        pytest.param({"default": "image: ["}, "'default' is no valid YAML", id="broken YAML"),
        pytest.param(
            {"default": "image: 2024-13-45"}, "'default' is no valid YAML", id="an impossible date"
        ),
        pytest.param(
            {"default": "image: a:1", "shop": "{env: [{name: BGJOB_CLASS, value: x}]}"},
            "key 'shop': env sets BGJOB_CLASS",
            id="the contract's variables are the operator's",
        ),
        pytest.param(
            {"default": "image: a:1", "shop": "{env: [{name: BGJOB_NEW, value: x}]}"},
            "env sets BGJOB_NEW",
            id="also those that a later contract may add",
        ),
    ],
)
def test_a_broken_config_map_is_refused_by_key(data: dict[str, str], says: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        parse_runtimes(data)
    assert says in str(refused.value)


@pytest.mark.parametrize("name", ["5", "null", "[A]"])
def test_a_variables_name_of_another_type_is_the_api_servers_to_refuse(name: str) -> None:
    runtimes = parse_runtimes({"default": f"{{image: 'a:1', env: [{{name: {name}}}]}}"})
    assert "default" in runtimes


@pytest.mark.parametrize(
    "setting",
    [
        pytest.param("envFrom: [{secretRef: {name: db}}]", id="envFrom"),
        pytest.param("serviceAccountName: shop", id="service account"),
        pytest.param(
            "env: [{name: A, valueFrom: {secretKeyRef: {name: db, key: a}}}]", id="a variable"
        ),
        pytest.param("volumes: [{name: db, secret: {secretName: db}}]", id="secret volume"),
        pytest.param(
            "volumes: [{name: a, emptyDir: {}}, {name: b, projected: {}}]", id="a second volume"
        ),
    ],
)
def test_what_resolves_in_the_jobs_namespace_needs_its_namespaces(setting: str) -> None:
    with pytest.raises(ConfigurationError, match="so it must list the namespaces"):
        parse_runtimes({"default": "image: a:1", "shop": setting})
    parse_runtimes({"default": "image: a:1", "shop": f"{setting}\nnamespaces: [shop]"})


def test_an_inherited_secret_needs_namespaces_too() -> None:
    default = "image: a:1\nserviceAccountName: shop\nnamespaces: [shop]"
    runtimes = parse_runtimes({"default": default, "other": "paused: x"})
    assert runtime_for(runtimes, "other.Job").settings.namespaces == ["shop"]


def test_plain_variables_and_empty_volumes_need_none() -> None:
    text = "{image: 'a:1', env: [{name: A, value: b}], volumes: [{name: c, emptyDir: {}}]}"
    assert parse_runtimes({"default": text})["default"].namespaces is None


@pytest.mark.parametrize(
    ("namespaces", "allowed"),
    [
        pytest.param(None, True, id="no list: everywhere"),
        pytest.param(["shop", "bar"], True, id="listed"),
        pytest.param(["bar"], False, id="not listed"),
        pytest.param([], False, id="an empty list: nowhere"),
    ],
)
def test_a_runtime_is_used_only_in_its_namespaces(
    namespaces: list[str] | None, allowed: bool
) -> None:
    runtime = ResolvedRuntime(key="shop", settings=Runtime(image="a:1", namespaces=namespaces))
    assert (namespace_refusal(runtime, "shop") is None) is allowed


def test_the_refusal_of_a_namespace_names_the_ways_out() -> None:
    runtime = ResolvedRuntime(key="shop", settings=Runtime(image="a:1", namespaces=["bar"]))
    assert namespace_refusal(runtime, "foo") == (
        "Runtime shop may be used in the namespaces bar only, not in foo: create the job there, "
        "or ask a platform engineer to add foo to the runtime in ConfigMap bgjobs-runtimes, then "
        "retry this job."
    )
