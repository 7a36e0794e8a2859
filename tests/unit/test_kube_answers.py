"""Answers of any depth can be read."""

import json
from typing import Any

import pytest

from bgjobs.kube.answers import loads
from bgjobs.kube.depth import cut


def _nested(levels: int) -> bytes:
    """Maps and lists in turn, with brackets in texts and company on each level."""
    opened, closed = rb'{"\"}{": {}, "a": ', rb', "]": "\\"}'
    half = levels // 2
    return (opened + b"[[], ") * half + b"1" + (b', "[{"]' + closed) * half


def _levels(value: Any) -> int:
    levels = 0
    while isinstance(value, dict | list):
        value = value["a"] if isinstance(value, dict) else value[1]
        levels += 1
    return levels


@pytest.mark.parametrize("levels", [2, 100, 500, 502, 1_000])
def test_what_can_be_read_is_read_whole(levels: int) -> None:
    assert _levels(loads(_nested(levels))) == levels


@pytest.mark.parametrize("levels", [2_000, 10_000])
def test_what_is_nested_beyond_every_parser_is_read_without_its_depths(levels: int) -> None:
    beside = b'[{"before": 1}, %s, {"after": [2]}]' % _nested(levels)
    before, nested, after = loads(beside)
    assert (before, after) == ({"before": 1}, {"after": [2]})
    assert _levels(nested) == 499


@pytest.mark.parametrize("levels", [502, 10_000])
def test_the_standard_library_reads_what_was_cut(levels: int) -> None:
    assert _levels(json.loads(cut(_nested(levels)))) == 500


def test_many_shallow_values_stay_as_they_are() -> None:
    answer = b"[" + b",".join([_nested(100)] * 100) + b"]"
    assert cut(answer) == answer


def test_what_is_no_json_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        loads(b"<html>")
