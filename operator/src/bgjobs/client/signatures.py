"""Whether a job's method takes its parameters, as the runner will ask it in the pod."""

import importlib
import inspect
import sys
from collections.abc import Callable, Collection, Mapping
from typing import Any, cast

from bgjobs.client.errors import BadParametersError

_CONTEXT = "context"
"""The parameter that the runner gives (job-image/CONTRACT.md)."""


def dotted_name(job: type | str) -> str:
    """Raises BadParametersError where a class cannot be found by a name."""
    if isinstance(job, str):
        return job
    if job.__module__ == "__main__":
        raise BadParametersError(
            f"{job.__name__} is defined in the program that runs: move it to a module which the"
            " image has too, such as shop.jobs."
        )
    if "." in job.__qualname__:
        raise BadParametersError(
            f"{job.__qualname__} is defined inside something else: jobs are found by module and"
            " class, so put it at the top of its module."
        )
    return f"{job.__module__}.{job.__qualname__}"


def check(
    job: type | str, method: str, parameters: Mapping[str, object], options: Collection[str]
) -> None:
    """Nothing where the class cannot be imported here: the image may have what this program lacks.

    `options` are those that were given. Raises BadParametersError where the method does not take
    the parameters, or has one that is called like one of the options.
    """
    cls = imported(job) if isinstance(job, str) else job
    if cls is None:
        return
    function = inspect.getattr_static(cls, method, None)
    if function is None:
        raise BadParametersError(f"{cls.__qualname__} has no method {method}.")
    if isinstance(function, staticmethod | classmethod):
        fits(getattr(cls, method), (), parameters, options)
    elif callable(function):
        fits(function, (None,), parameters, options)


def imported(class_: str) -> type | None:
    """The class, or None where it cannot be imported, whatever the reason."""
    module, _, name = class_.rpartition(".")
    if not module or module.partition(".")[0] in sys.stdlib_module_names:
        return None
    try:
        found = getattr(importlib.import_module(module), name, None)
    # The module of the jobs may do anything, and need what only the image has.
    except Exception:
        return None
    return found if isinstance(found, type) else None


def fits(
    function: Callable[..., object],
    bound: tuple[object, ...],
    parameters: Mapping[str, object],
    options: Collection[str],
) -> None:
    """Raises BadParametersError unless it can be called so."""
    signature = signature_of(function)
    name = function.__qualname__
    if _CONTEXT in parameters and takes_context(function):
        raise BadParametersError(
            f"The parameter `context` of {name} is the runner's: leave it out."
        )
    ambiguous = sorted((options & signature.parameters.keys()) - parameters.keys())
    if ambiguous:
        raise BadParametersError(
            f"`{ambiguous[0]}` is an option of dispatch and a parameter of {name}: give the"
            f' parameter by parameters={{"{ambiguous[0]}": ...}}.'
        )
    context = {_CONTEXT: None} if takes_context(function) else {}
    try:
        signature.bind(*bound, **parameters, **context)
    except TypeError as error:
        given = ", ".join(parameters) or "no parameters"
        raise BadParametersError(f"{name}{signature} was given {given}: {error}.") from None


def takes_context(function: Callable[..., object]) -> bool:
    return _CONTEXT in signature_of(function).parameters


def show_as_own(function: Callable[..., object], composed_by: Callable[..., object]) -> None:
    """Lets help() show what a function passes on, in place of its *args and **kwargs."""
    own = inspect.signature(function, follow_wrapped=False)
    before = [
        each
        for each in own.parameters.values()
        if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)
    ]
    passed_on = inspect.signature(composed_by).parameters.values()
    cast(Any, function).__signature__ = own.replace(parameters=[*before, *passed_on])


def signature_of(function: Callable[..., object]) -> inspect.Signature:
    if sys.version_info >= (3, 14):
        # Annotations are evaluated lazily there, and may name what exists only for type checkers.
        from annotationlib import Format

        return inspect.signature(function, annotation_format=Format.FORWARDREF)
    return inspect.signature(function)
