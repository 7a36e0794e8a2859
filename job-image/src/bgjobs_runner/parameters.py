"""From the parameters' JSON to the arguments of a call."""

import inspect
import json
import sys
from collections.abc import Callable
from types import MethodType

from bgjobs_runner import BadParameters, Context

MAX_PARAMETERS_BYTES = 64 * 1024


def signature_of(function: Callable[..., object]) -> inspect.Signature:
    if sys.version_info >= (3, 14):
        # Annotations are evaluated lazily there, and may name what exists only for type checkers.
        from annotationlib import Format

        return inspect.signature(function, annotation_format=Format.FORWARDREF)
    return inspect.signature(function)


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def strict_json(text: str | bytes) -> object:
    """Parse JSON as its standard has it: without NaN and Infinity. Raises ValueError."""
    try:
        value: object = json.loads(text, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return value


def parse_parameters(text: bytes) -> dict[str, object]:
    """Raises BadParameters unless text is one JSON object within 64 KiB."""
    if len(text) > MAX_PARAMETERS_BYTES:
        raise BadParameters(
            f"the parameters take {len(text)} bytes of JSON, the limit is {MAX_PARAMETERS_BYTES}:"
            " store the data elsewhere and pass where it lies"
        )
    try:
        parameters = strict_json(text)
    except ValueError as error:
        raise BadParameters(f"the parameters are not valid JSON: {error}") from None
    if not isinstance(parameters, dict):
        raise BadParameters('the parameters must be a JSON object such as {"warehouse": 7}')
    return parameters


def bind(
    call: Callable[..., object], parameters: dict[str, object], context: Context
) -> dict[str, object]:
    """The keyword arguments for call: the parameters, and the context if it asks for one.

    Raises BadParameters if they do not fit its signature.
    """
    signature = signature_of(call)
    arguments = parameters
    if "context" in signature.parameters:
        if "context" in parameters:
            raise BadParameters("the parameter `context` is given by the runner: leave it out")
        arguments = {**parameters, "context": context}
    try:
        signature.bind(**arguments)
        if isinstance(call, MethodType):
            # So that a parameter named self is refused here and not by the call.
            signature_of(call.__func__).bind(call.__self__, **arguments)
    except TypeError as error:
        name = getattr(call, "__qualname__", repr(call))
        given = ", ".join(parameters) or "no parameters"
        raise BadParameters(f"{name}{signature} was given {given}: {error}") from None
    return arguments
