"""What submit makes of a command line."""

from typing import Any

import pytest

from bgjobs.cli.errors import CommandError
from bgjobs.cli.submitting import int_or_text, labels, manifest, parameters


@pytest.mark.parametrize(
    ("pair", "want"),
    [
        ("warehouse=7", {"warehouse": 7}),
        ("name=main hall", {"name": "main hall"}),
        ('name="7"', {"name": "7"}),
        ("on=true", {"on": True}),
        ("rest=null", {"rest": None}),
        ('list=[1, "a"]', {"list": [1, "a"]}),
        ("sum=a=b", {"sum": "a=b"}),
        ("empty=", {"empty": ""}),
        ("number=NaN", {"number": "NaN"}),
        ("broken={", {"broken": "{"}),
    ],
)
def test_a_parameter_is_json_where_it_is_json_and_else_text(
    pair: str, want: dict[str, Any]
) -> None:
    assert parameters([pair], None) == want


@pytest.mark.parametrize("text", ['{"warehouse": 7, "deep": [1]}', "warehouse: 7\ndeep: [1]\n"])
def test_a_file_holds_parameters_as_json_or_yaml(text: str) -> None:
    assert parameters(["warehouse=8"], text) == {"warehouse": 8, "deep": [1]}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[1]", "must hold one object of JSON values"),
        ("day: 2030-01-31", "is no JSON or YAML: Object of type date is not JSON serializable"),
        ("1: one", "must hold one object of JSON values"),
        ("a: .nan", "is no JSON or YAML"),
        ("a: [", "is no JSON or YAML"),
        ("a: !!python/name:os.system ''", "is no JSON or YAML"),
    ],
)
def test_a_file_of_anything_else_is_refused(text: str, says: str) -> None:
    with pytest.raises(CommandError, match=says):
        parameters([], text)


@pytest.mark.parametrize("pair", ["warehouse", "=7", ""])
def test_a_pair_without_a_name_or_a_value_is_refused(pair: str) -> None:
    with pytest.raises(CommandError, match="not of the form name=value"):
        parameters([pair], None)
    with pytest.raises(CommandError, match="not of the form name=value"):
        labels([pair])


def test_a_manifest_says_only_what_was_said() -> None:
    job = manifest(
        "shop.jobs.SyncStock", "handle", labels={}, parameters={"a": 1}, priority=None, retries=0
    )
    assert job == {
        "apiVersion": "bgjobs.dev/v1alpha1",
        "kind": "BackgroundJob",
        "metadata": {"generateName": "sync-stock-"},
        "spec": {
            "class": "shop.jobs.SyncStock",
            "method": "handle",
            "parameters": {"a": 1},
            "retries": 0,
        },
    }


def test_a_manifest_is_named_by_its_key() -> None:
    job = manifest("shop.jobs.SyncStock", "handle", key="7", labels={"team": "shop"})
    assert job["metadata"] == {"name": "sync-stock-7-1d7e1daafc66", "labels": {"team": "shop"}}


@pytest.mark.parametrize(("text", "want"), [("90", 90), ("15m", "15m"), ("²", "²"), (None, None)])
def test_a_number_is_sent_as_one(text: str | None, want: int | str | None) -> None:
    assert int_or_text(text) == want
