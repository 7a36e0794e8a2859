"""How the parameters' JSON becomes the arguments of a call."""

import functools
from collections.abc import Callable

import pytest

from bgjobs_runner import BadParameters, Context
from bgjobs_runner.parameters import MAX_PARAMETERS_BYTES, bind, parse_parameters

CONTEXT = Context("stock-7", "shop", "uid", 1, 2, "uid-1")


def wrapped(function: Callable[..., object]) -> Callable[..., object]:
    @functools.wraps(function)
    def wrapper(*args: object, **kwargs: object) -> object:
        return function(*args, **kwargs)

    return wrapper


class Jobs:
    def plain(self, warehouse: int, full: bool = False) -> None: ...
    def asking(self, warehouse: int, context: Context) -> None: ...
    def anything(self, **parameters: object) -> None: ...
    def positional(self, warehouse: int, /) -> None: ...
    @wrapped
    def decorated(self, warehouse: int) -> None: ...
    @staticmethod
    def static(warehouse: int) -> None: ...
    @classmethod
    def of_class(cls, warehouse: int) -> None: ...


@pytest.mark.parametrize(
    ("method", "parameters"),
    [
        pytest.param("plain", {"warehouse": 7}, id="the default may be left out"),
        pytest.param("plain", {"warehouse": 7, "full": True}, id="all given"),
        pytest.param("anything", {}, id="none"),
        pytest.param("anything", {"no identifier": 1, "": 2}, id="any name for **parameters"),
        pytest.param("anything", {"context": 1}, id="context is a plain name unless asked for"),
        pytest.param("decorated", {"warehouse": 7}, id="through a decorator"),
        pytest.param("static", {"warehouse": 7}, id="static method"),
        pytest.param("of_class", {"warehouse": 7}, id="class method"),
    ],
)
def test_parameters_that_fit_are_passed_as_they_are(
    method: str, parameters: dict[str, object]
) -> None:
    assert bind(getattr(Jobs(), method), parameters, CONTEXT) == parameters


def test_a_parameter_named_context_gets_the_context() -> None:
    arguments = bind(Jobs().asking, {"warehouse": 7}, CONTEXT)
    assert arguments == {"warehouse": 7, "context": CONTEXT}


@pytest.mark.parametrize(
    ("method", "parameters", "reason"),
    [
        pytest.param("plain", {}, "given no parameters: missing .*'warehouse'", id="missing"),
        pytest.param("plain", {"warehouse": 7, "ful": 1}, "unexpected .*'ful'", id="unknown"),
        pytest.param("positional", {"warehouse": 7}, "positional", id="positional only"),
        pytest.param("asking", {"warehouse": 7, "context": 1}, "leave it out", id="context given"),
        pytest.param("anything", {"self": 1}, "'self'", id="the method's own self"),
        pytest.param("of_class", {"warehouse": 7, "cls": 1}, "'cls'", id="the method's own cls"),
        pytest.param("decorated", {"ful": 1}, "'warehouse'", id="through a decorator"),
    ],
)
def test_parameters_that_do_not_fit_are_named(
    method: str, parameters: dict[str, object], reason: str
) -> None:
    with pytest.raises(BadParameters, match=reason):
        bind(getattr(Jobs(), method), parameters, CONTEXT)


def test_the_signature_is_shown_as_the_submitter_sees_it() -> None:
    with pytest.raises(BadParameters, match=r"Jobs\.plain\(warehouse: int, full: bool = False\)"):
        bind(Jobs().plain, {}, CONTEXT)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param(b"", "not valid JSON", id="empty"),
        pytest.param(b"{", "not valid JSON", id="cut off"),
        pytest.param(b"[1]", "must be a JSON object", id="a list"),
        pytest.param(b"null", "must be a JSON object", id="null"),
        pytest.param(b'{"a":NaN}', "NaN is not JSON", id="NaN"),
        pytest.param(b'{"a":-Infinity}', "-Infinity is not JSON", id="Infinity"),
        pytest.param(b'{"a":"\xff"}', "not valid JSON", id="not UTF-8"),
        pytest.param(
            b'{"a":' + b"[" * 50_000 + b"]" * 10_000, "too deeply", id="nested too deeply"
        ),
        pytest.param(b'{"a":' + b"1" * 5000 + b"}", "not valid JSON", id="a number of 5000 digits"),
        pytest.param(b" " * (MAX_PARAMETERS_BYTES + 1), "the limit is 65536", id="too large"),
    ],
)
def test_text_that_is_no_json_object_is_refused(text: bytes, reason: str) -> None:
    with pytest.raises(BadParameters, match=reason):
        parse_parameters(text)


def test_the_largest_parameters_pass() -> None:
    value = "x" * (MAX_PARAMETERS_BYTES - len('{"a":""}'))
    assert parse_parameters(f'{{"a":"{value}"}}'.encode()) == {"a": value}
