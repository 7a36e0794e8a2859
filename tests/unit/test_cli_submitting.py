"""What submit makes of a command line."""

import pytest

from bgjobs.cli.errors import UsageError
from bgjobs.cli.submitting import int_or_text, labels, manifest


@pytest.mark.parametrize("pair", ["warehouse", "=7", ""])
def test_a_label_without_a_name_or_a_value_is_refused(pair: str) -> None:
    with pytest.raises(UsageError, match="not of the form name=value"):
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


@pytest.mark.parametrize("given", ["name", "key"])
def test_an_unset_variable_makes_no_job_of_another_name(given: str) -> None:
    with pytest.raises(UsageError, match=f"--{given} is empty"):
        manifest("shop.jobs.SyncStock", "handle", labels={}, **{given: ""})


@pytest.mark.parametrize(("text", "want"), [("90", 90), ("15m", "15m"), ("²", "²"), (None, None)])
def test_a_number_is_sent_as_one(text: str | None, want: int | str | None) -> None:
    assert int_or_text(text) == want
