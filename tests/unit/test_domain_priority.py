"""How priority adjusts retries and delay."""

import pytest
from tests.unit.builders import CLASS

from bgjobs.domain.priority import (
    effective_delay_seconds,
    effective_retries,
    explain_delay,
    explain_retries,
)
from bgjobs.domain.resource import Adjustment, Priority, Spec

HIGH, MEDIUM, LOW = Priority.HIGH, Priority.MEDIUM, Priority.LOW
ENABLED, DISABLED = Adjustment.ENABLED, Adjustment.DISABLED


@pytest.mark.parametrize(
    ("priority", "adjustment", "retries", "delay", "want_retries", "want_delay"),
    [
        pytest.param(HIGH, ENABLED, 3, 0, 4, 0, id="high gains a retry, no delay stays none"),
        pytest.param(MEDIUM, ENABLED, 3, 60, 3, 57, id="medium keeps its retries"),
        pytest.param(LOW, ENABLED, 2, 15, 1, 13, id="low loses a retry, delay is |15-2|"),
        pytest.param(LOW, ENABLED, 0, 0, 0, 0, id="never below zero"),
        pytest.param(HIGH, ENABLED, 100, 0, 101, 0, id="high gains one even at the most"),
        pytest.param(MEDIUM, ENABLED, 10, 4, 10, 6, id="more retries than delay: |4-10|"),
        pytest.param(MEDIUM, ENABLED, 5, 5, 5, 0, id="as many retries as seconds: no delay left"),
        pytest.param(HIGH, ENABLED, 2, 15, 3, 13, id="delay goes by the retries as written"),
        pytest.param(HIGH, DISABLED, 3, 15, 3, 15, id="disabled: high as written"),
        pytest.param(LOW, DISABLED, 2, 15, 2, 15, id="disabled: low as written"),
    ],
)
def test_priority_adjusts_retries_and_delay(
    priority: Priority,
    adjustment: Adjustment,
    retries: int,
    delay: int,
    want_retries: int,
    want_delay: int,
) -> None:
    spec = Spec(
        class_=CLASS,
        priority=priority,
        adjustment=adjustment,
        retries=retries,
        delay_seconds=delay,
    )
    assert (effective_retries(spec), effective_delay_seconds(spec)) == (want_retries, want_delay)


@pytest.mark.parametrize(
    ("priority", "adjustment", "retries", "text"),
    [
        (HIGH, ENABLED, 3, "4 retries = 3 + 1 for High priority"),
        (MEDIUM, ENABLED, 3, "3 retries"),
        (LOW, ENABLED, 3, "2 retries = 3 - 1 for Low priority"),
        (LOW, ENABLED, 0, "0 retries = 0 - 1 for Low priority, never below 0"),
        (HIGH, DISABLED, 3, "3 retries as written"),
    ],
)
def test_the_arithmetic_of_retries_is_explained(
    priority: Priority, adjustment: Adjustment, retries: int, text: str
) -> None:
    spec = Spec(class_=CLASS, priority=priority, adjustment=adjustment, retries=retries)
    assert explain_retries(spec) == text


@pytest.mark.parametrize(
    ("adjustment", "delay", "text"),
    [
        (ENABLED, 15, "12 s delay = |15 s - 3 retries|"),
        (ENABLED, 0, "0 s delay as written"),
        (DISABLED, 15, "15 s delay as written"),
    ],
)
def test_the_arithmetic_of_the_delay_is_explained(
    adjustment: Adjustment, delay: int, text: str
) -> None:
    spec = Spec(class_=CLASS, adjustment=adjustment, retries=3, delay_seconds=delay)
    assert explain_delay(spec) == text
