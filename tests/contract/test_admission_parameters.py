"""Parameters are bounded when a BackgroundJob is created, and never change."""

import json

import pytest
from tests.server import Jobs, create, created, patch_spec, request

LIMIT = 65536


def _text(size: int, character: str = "x") -> dict[str, object]:
    """Parameters that are `size` bytes of compact JSON, padded where characters are longer."""
    room = size - len('{"text":""}')
    width = len(character.encode())
    return {"text": character * (room // width) + "x" * (room % width)}


def _bytes(parameters: object) -> int:
    return len(json.dumps(parameters, ensure_ascii=False, separators=(",", ":")).encode())


@pytest.mark.parametrize(
    "parameters",
    [
        pytest.param(_text(LIMIT), id="ascii"),
        pytest.param(_text(LIMIT, "é"), id="two bytes a character"),
        pytest.param(_text(LIMIT, "漢"), id="three bytes a character"),
        pytest.param(_text(LIMIT, "😀"), id="four bytes a character"),
        pytest.param({"list": [*range(10)] * 3276}, id="many small items"),
        pytest.param({"list": [[]] * 21841}, id="many empty lists"),
        pytest.param({"list": [""] * 21841}, id="many empty texts"),
        pytest.param(
            {f"k{n:05}": [None, {"a": True}] for n in range(2427)}, id="many nested items"
        ),
    ],
)
def test_64_kib_are_accepted(jobs: Jobs, name: str, parameters: dict[str, object]) -> None:
    assert LIMIT - 64 <= _bytes(parameters) <= LIMIT
    answer = create(jobs, name, parameters=parameters)
    assert answer.status == 201, answer.message


@pytest.mark.parametrize(
    "parameters",
    [
        pytest.param(_text(LIMIT + 1), id="ascii"),
        pytest.param(_text(LIMIT + 1, "é"), id="two bytes a character"),
        pytest.param(_text(LIMIT + 1, "漢"), id="three bytes a character"),
        pytest.param(_text(LIMIT + 1, "😀"), id="four bytes a character"),
        pytest.param({"list": [*range(10)] * 3277}, id="many small items"),
        pytest.param(_text(1 << 20), id="a mebibyte"),
    ],
)
def test_more_than_64_kib_are_refused(jobs: Jobs, name: str, parameters: dict[str, object]) -> None:
    answer = create(jobs, name, parameters=parameters)
    assert answer.status == 413
    assert answer.message.endswith(
        f"parameters take {_bytes(parameters)} bytes and may take 65536 (64 KiB): keep large data "
        "in a file, bucket or database and pass where it is"
    )


def _nested(levels: int) -> dict[str, object]:
    """Lists and maps in turn, so many levels deep, with company on each level."""
    inner: object = ['[[[{{{ " ]]] \\ text is no nesting']
    for level in range(levels - 2):
        inner = {"before": 1, "inner": inner, "then": []} if level % 2 else [0, [], inner, {}]
    return {"inner": inner, "then": 1}


@pytest.mark.parametrize("levels", [2, 3, 15, 16])
def test_16_levels_are_accepted(jobs: Jobs, name: str, levels: int) -> None:
    answer = create(jobs, name, parameters=_nested(levels))
    assert answer.status == 201, answer.message


@pytest.mark.parametrize(
    ("one_more", "status"), [pytest.param(14, 201, id="16"), pytest.param(15, 422, id="17")]
)
def test_depth_is_found_in_large_parameters(
    jobs: Jobs, name: str, one_more: int, status: int
) -> None:
    """Finding it stays within what the API server lets a policy cost."""
    parameters = {"many": [_nested(14)] * 212 + [_nested(one_more)]}
    assert LIMIT - 1024 < _bytes(parameters) <= LIMIT
    answer = create(jobs, name, parameters=parameters)
    assert answer.status == status, answer.message


@pytest.mark.parametrize("levels", [17, 18, 64, 300])
def test_deeper_parameters_are_refused(jobs: Jobs, name: str, levels: int) -> None:
    answer = create(jobs, name, parameters=_nested(levels))
    assert answer.status == 422
    assert answer.message.endswith(
        "parameters may be nested 16 levels deep and these are deeper: flatten them, or pass the "
        "deep part as text"
    )


_BEFORE = {
    "number": 1,
    "list": [1, 2, {"deep": "text"}],
    "map": {"a": 1, "b": {"c": None}},
}


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"number": 2}, id="a value"),
        pytest.param({"number": "1"}, id="a value's type"),
        pytest.param({"number": None}, id="an entry taken out"),
        pytest.param({"more": 1}, id="an entry added"),
        pytest.param({"more": False}, id="an entry added that is false"),
        pytest.param({"map": {"b": {"c": 0}}}, id="null for 0, nested"),
        pytest.param({"list": [1, 2, {"deep": "other"}]}, id="a value nested in a list"),
        pytest.param({"list": [2, 1, {"deep": "text"}]}, id="the order of a list"),
        pytest.param({"map": {"a": {"c": None}, "b": 1}}, id="values swapped"),
    ],
)
def test_parameters_cannot_be_changed(jobs: Jobs, name: str, change: dict[str, object]) -> None:
    created(jobs, name, parameters=_BEFORE)
    answer = patch_spec(jobs, name, parameters=change)
    assert answer.status == 403
    assert answer.message.endswith(
        "parameters cannot be changed, create a new BackgroundJob instead"
    )


@pytest.mark.parametrize(
    "same",
    [
        pytest.param(_BEFORE, id="as they were"),
        pytest.param(
            {
                "map": {"b": {"c": None}, "a": 1},
                "list": [1, 2, {"deep": "text"}],
                "number": 1,
            },
            id="keys in another order",
        ),
        pytest.param({**_BEFORE, "number": 1.0}, id="a whole number with a point"),
    ],
)
def test_equal_parameters_are_no_change(jobs: Jobs, name: str, same: dict[str, object]) -> None:
    """`kubectl replace` of the same manifest, however its author's tool wrote it."""
    seen = created(jobs, name, parameters=_BEFORE)
    body = {**seen, "spec": {**seen["spec"], "parameters": same, "priority": "High"}}
    answer = request(jobs.server, "PUT", f"{jobs.path}/{name}", body)
    assert answer.body["spec"]["priority"] == "High", answer.message


@pytest.mark.parametrize(
    "parameters",
    [
        pytest.param(_text(LIMIT, "😀"), id="one long text"),
        pytest.param({"list": [0] * 32760}, id="the most items"),
        pytest.param({f"k{n:05}": [None, {"a": True}] for n in range(2427)}, id="nested items"),
    ],
)
def test_the_largest_parameters_leave_other_fields_changeable(
    jobs: Jobs, name: str, parameters: dict[str, object]
) -> None:
    """Comparing them stays within what the API server lets a policy cost."""
    created(jobs, name, parameters=parameters)
    answer = patch_spec(jobs, name, cancelled=True)
    assert answer.status == 200, answer.message
