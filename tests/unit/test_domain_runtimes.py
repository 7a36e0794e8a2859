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
            "default": "image: a:1\nactiveDeadlineSeconds: 60\nnodeSelector: {team: shop}",
            "shop": "activeDeadlineSeconds: 5",
        }
    )
    settings = runtime_for(runtimes, "shop.jobs.SyncStock").settings
    assert settings == Runtime(
        image="a:1", active_deadline_seconds=5, node_selector={"team": "shop"}
    )


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
    ("own", "counted_by", "limit"),
    [
        pytest.param("paused: stocktaking", "shop", 1, id="paused"),
        pytest.param("paused: ''", "shop", 1, id="not paused with the others"),
        pytest.param("{paused: stocktaking, maxConcurrent: 0}", "shop.jobs.A", 0, id="limit"),
        pytest.param("{paused: stocktaking, image: 'b:1'}", "shop.jobs.A", None, id="image"),
    ],
)
def test_what_a_key_only_pauses_stays_counted_where_it_was(
    own: str, counted_by: str, limit: int | None
) -> None:
    """Or pausing a class would let others start beside its job that still runs."""
    runtimes = parse_runtimes(
        {"default": "image: a:1", "shop": "maxConcurrent: 1", "shop.jobs.A": own}
    )
    runtime = runtime_for(runtimes, "shop.jobs.A")
    assert (runtime.key, runtime.settings.max_concurrent) == (counted_by, limit)
    assert runtime.settings.image
    assert runtime_for(runtimes, "shop.jobs.B").key == "shop"


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
            {"default": "image: a:1\npaused: true"},
            """at `$.paused`: write why, in quotes (paused: "the warehouse is being moved"), or""",
            id="paused without a reason",
        ),
        pytest.param(
            {"default": "image: a:1\nlabels: {version: 2}"},
            "got `int` - at `$.labels[...]`: put it in quotes",
            id="a number for text",
        ),
        pytest.param(
            {"default": "image: a:1\nnodeSelector: {on: fast}"},
            "got `bool` - at `key` in `$.nodeSelector`: put it in quotes",
            id="a key that YAML takes for true",
        ),
        pytest.param(
            {
                "default": "image: a:1",
                "shop": "volumes: [{name: v, csi: {driver: d, volumeAttributes: {on: x}}}]",
            },
            "key 'shop' has a name that is no text, True: put it in quotes",
            id="such a key where anything may stand",
        ),
        pytest.param(
            {"default": "{image: 'a:1', volumes: [{name: v, emptyDir: {null: x}}]}"},
            "a name that is no text, None: put it in quotes",
            id="a key that YAML takes for null",
        ),
        pytest.param(
            {"default": "image: ''"}, "length >= 1 - at `$.image`", id="an image of no name"
        ),
        pytest.param(
            {"default": "image: a:1\nactiveDeadlineSeconds: 0"}, "`int` >= 1", id="no time to run"
        ),
        pytest.param(
            {"default": f"image: a:1\nactiveDeadlineSeconds: {'9' * 30}"},
            "`int` <= 2147483647",
            id="a time beyond 32 bits",
        ),
        pytest.param(
            {"default": f"image: a:1\nmaxConcurrent: {'9' * 5000}"},
            "is no valid YAML: ValueError: Exceeds the limit",
            id="a number beyond Python",
        ),
        pytest.param(
            {"default": f"{'x' * 1_000}: 1"}, "unknown field `xxx", id="a key of 1,000 letters"
        ),
        pytest.param(
            {"default": "image: a:1", "shop": f"env: [{{name: A, value: {'x' * 20_000}}}]"},
            "'shop' has 20025 characters, at most 16384 are read",
            id="too long",
        ),
        pytest.param({"default": "[" * 200_000}, "at most 16384 are read", id="endless nesting"),
        pytest.param(
            {"default": "env: " + "[" * 5_000 + "]" * 5_000},
            "maximum recursion depth",
            id="deep nesting",
        ),
        pytest.param(
            {"default": "image: !!python/object/apply:os.system ['true']"},
            "could not determine a constructor",
            id="an object of Python's",
        ),
        pytest.param({"default": "paused: !!bool maybe"}, "KeyError: 'maybe'", id="no boolean"),
        pytest.param({"default": "image: !!timestamp x"}, "no valid YAML", id="no time"),
        pytest.param({"default": "maxConcurrent: !!int ''"}, "no valid YAML", id="no number"),
        pytest.param({"default": "image: a:1\n---\nimage: b:1"}, "no valid YAML", id="two texts"),
        pytest.param({"default": "env: [{? [a, b] : c}]"}, "unhashable key", id="a list as a key"),
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
    assert len(str(refused.value)) < 1_000


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("2030-01-31", id="date"),
        pytest.param("2030-01-31T06:00:00Z", id="time"),
        pytest.param(".nan", id="no number"),
        pytest.param("-.inf", id="infinity"),
        pytest.param("!!binary aGVsbG8=", id="bytes"),
        pytest.param("!!set {a, b}", id="set"),
        pytest.param("{2030-01-31: a}", id="date as a key"),
        pytest.param("&a [*a]", id="a list that is in itself"),
    ],
)
def test_a_value_that_json_has_not_is_refused_by_key(value: str) -> None:
    with pytest.raises(ConfigurationError, match="key 'shop' has a value that JSON has not"):
        parse_runtimes({"default": "image: a:1", "shop": f"env: [{{name: A, value: {value}}}]"})


def _bomb(begin: str, level: str, times: int) -> str:
    """Nine levels, each with so many aliases of the one before."""
    lines = [begin]
    for number in range(1, 10):
        aliases = ", ".join([f"*a{number - 1}"] * times)
        lines.append(level.format(number=number, aliases=aliases))
    return "\n".join(lines)


@pytest.mark.parametrize(
    "bomb",
    [
        pytest.param(
            _bomb("env:\n- &a0 {name: A}", "- {{name: A, value: &a{number} [{aliases}]}}", 9),
            id="lists",
        ),
        pytest.param(
            _bomb("env:\n- &a0 {name: A}", "- &a{number} {{<<: [{aliases}]}}", 9), id="maps"
        ),
        pytest.param(
            _bomb("env: [&a0 {name: A}", ",&a{number} {{<<:[{aliases}]}}", 2) + "]", id="2"
        ),
    ],
)
def test_aliases_that_multiply_are_refused(bomb: str) -> None:
    with pytest.raises(ConfigurationError, match="'shop' has more than 8 YAML aliases"):
        parse_runtimes({"default": "image: a:1", "shop": bomb})


def test_a_few_aliases_are_taken() -> None:
    text = "image: a:1\nlabels: &labels {team: shop}\nnodeSelector: *labels"
    assert parse_runtimes({"default": text})["default"].settings.node_selector == {"team": "shop"}


def test_asterisks_in_text_are_no_aliases() -> None:
    args = " ".join(["*.py", "*/5", "2*3", "**", "a*b"] * 3)
    text = f'{{image: "a:1", env: [{{name: A, value: "{args}"}}]}}'
    assert parse_runtimes({"default": text})["default"].settings.env == [
        {"name": "A", "value": args}
    ]


@pytest.mark.parametrize("nothing", ["", "# to do", "null", "{}"])
def test_an_empty_text_says_nothing(nothing: str) -> None:
    runtimes = parse_runtimes({"default": "image: a:1", "shop": nothing})
    assert runtime_for(runtimes, "shop.jobs.SyncStock").settings == Runtime(image="a:1")


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
    assert parse_runtimes({"default": text})["default"].settings.namespaces is None


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
