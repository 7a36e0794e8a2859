"""Names of child Jobs."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.builders import UID

from bgjobs.domain.names import child_job_name

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
