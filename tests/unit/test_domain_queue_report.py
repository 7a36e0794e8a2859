"""The queue's figures, as the operator writes them and the plugin reads them."""

import pytest

from bgjobs.domain.queue_report import QueueReport, decode, encode

REPORT = QueueReport(
    max_concurrent=50,
    running=12,
    waiting=300,
    start_window=60,
    starting=5,
    ageing_seconds=300,
    starts_since_aged=2,
)
TEXT = (
    '{"maxConcurrent":50,"running":12,"waiting":300,"startWindow":60,"starting":5,'
    '"ageingSeconds":300,"startsSinceAged":2}'
)


def test_a_report_is_written_as_json_and_read_back() -> None:
    assert encode(REPORT) == TEXT
    assert decode(TEXT) == REPORT


def test_what_a_newer_operator_adds_is_ignored() -> None:
    assert decode(TEXT.replace("{", '{"new":1,')) == REPORT


@pytest.mark.parametrize("text", ["", "{}", "null", "[]", TEXT.replace("50", '"many"')])
def test_what_is_no_report_raises_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        decode(text)
