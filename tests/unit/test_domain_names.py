"""Names of child Jobs, and of BackgroundJobs that name themselves."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.builders import UID

from bgjobs.domain.names import child_job_name, name_for_key, name_prefix

LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
SUBDOMAIN = st.from_regex(r"[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?", fullmatch=True)


@pytest.mark.parametrize(
    ("name", "readable"),
    [
        pytest.param("stock", "stock", id="as it is"),
        pytest.param("shop.stock", "shop-stock", id="a dot is no part of a label"),
        pytest.param("a" * 253, "a" * 40, id="cut"),
        pytest.param("a" * 39 + "-b", "a" * 39, id="no dash at the cut"),
        pytest.param("a" * 37 + ".-.b", "a" * 37, id="no dots and dashes at the cut"),
    ],
)
def test_begins_with_the_readable_name(name: str, readable: str) -> None:
    assert re.fullmatch(readable + "-[0-9a-f]{8}-2-3", child_job_name(name, UID, 2, 3))


@given(name=SUBDOMAIN, run=st.integers(1, 1_000_001), attempt=st.integers(1, 99_999))
def test_is_always_a_valid_label(name: str, run: int, attempt: int) -> None:
    child = child_job_name(name, UID, run, attempt)
    assert len(child) <= 63
    assert LABEL.fullmatch(child)


def test_is_the_same_each_time() -> None:
    assert child_job_name("stock", UID, 1, 1) == child_job_name("stock", UID, 1, 1)


def test_differs_by_uid_run_and_attempt() -> None:
    names = {
        child_job_name("stock", uid, run, attempt)
        for uid in ("a", "b")
        for run in (1, 2)
        for attempt in (1, 2)
    }
    assert len(names) == 8


@pytest.mark.parametrize(
    ("class_", "want"),
    [
        ("shop.jobs.SyncStock", "sync-stock-"),
        ("shop.jobs.HTTPFetch", "http-fetch-"),
        ("shop.jobs.sync_stock", "sync-stock-"),
        ("shop.jobs.Sync2Stock", "sync2-stock-"),
        ("shop.jobs.___", "job-"),
        (f"shop.{'Long' * 60}", f"{'long-' * 8}"),
    ],
)
def test_a_name_begins_like_its_class(class_: str, want: str) -> None:
    assert name_prefix(class_) == want


def test_a_key_makes_one_name_for_a_method() -> None:
    name = name_for_key("shop.jobs.SyncStock", "handle", "Stock 7")
    assert name == name_for_key("shop.jobs.SyncStock", "handle", "Stock 7")
    assert name.startswith("sync-stock-stock-7-")
    others = [
        name_for_key("shop.jobs.SyncStock", "handle", "stock-7"),
        name_for_key("shop.jobs.SyncStock", "daily", "Stock 7"),
        name_for_key("shop.other.SyncStock", "handle", "Stock 7"),
    ]
    assert len({name, *others}) == 4


@given(st.text(min_size=1, max_size=300), st.text(max_size=300))
def test_any_key_makes_a_name_that_the_api_server_takes(class_: str, key: str) -> None:
    name = name_for_key(class_, "handle", key)
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", name)
