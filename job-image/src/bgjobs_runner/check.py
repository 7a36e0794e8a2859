"""Find what would keep the jobs of a module from running, before an image is built."""

import collections.abc
import importlib
import inspect
import typing
from collections.abc import Iterable, Iterator
from inspect import Parameter
from types import NoneType, UnionType

from bgjobs_runner import Context
from bgjobs_runner.loading import opts_in
from bgjobs_runner.parameters import signature_of
from bgjobs_runner.termination import encode

_PLAIN = {
    str,
    int,
    float,
    bool,
    NoneType,
    None,
    list,
    dict,
    object,
    typing.Any,
    collections.abc.Sequence,
    collections.abc.Collection,
    collections.abc.Iterable,
    collections.abc.Mapping,
}
# Those whose subclasses JSON writes, too.
_WRITTEN = (str, int, float, dict, list, tuple)
_OBJECTS = {dict, collections.abc.Mapping}
_ANY_KEY = {str, object, typing.Any}
_NO_KEYWORD = {Parameter.POSITIONAL_ONLY, Parameter.VAR_POSITIONAL}


def check(module_name: str) -> int:
    """Print each job as a line for the allowlist and what is wrong with it.

    Returns the exit code: 1 if anything is wrong or the module holds no job.
    """
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        print(f"cannot import {module_name}: {error}. Run this where its top-level folder lies")
        return 1
    # A class with `handle` is meant to be one.
    jobs = [
        cls
        for cls in vars(module).values()
        if isinstance(cls, type)
        and cls.__module__ == module_name
        and (opts_in(cls) or "handle" in vars(cls))
    ]
    if not jobs:
        print(f"{module_name} holds no job: put @bgjobs_runner.job above its class")
        return 1
    code = 0
    for cls in jobs:
        print(f"{module_name}.{cls.__qualname__}: {' '.join(_methods(cls))}")
        for problem in problems(cls):
            print(f"  problem: {problem}")
            code = 1
    return code


def problems(cls: type) -> Iterator[str]:
    if not opts_in(cls):
        yield "does not opt in: put @bgjobs_runner.job above it"
    if "." in cls.__qualname__:
        yield "is not at the top level of its module, where the runner looks"
    try:
        signature_of(cls).bind()
    except TypeError as error:
        yield f"its constructor is called without arguments: {error}"
    if not _methods(cls):
        yield "defines no public method"
    for name in _methods(cls):
        for problem in _problems_of_method(cls, name):
            yield f"{name}: {problem}"


def _methods(cls: type) -> list[str]:
    return [
        name
        for name, value in vars(cls).items()
        if not name.startswith("_") and callable(getattr(cls, name)) and not isinstance(value, type)
    ]


def _problems_of_method(cls: type, name: str) -> Iterator[str]:
    function = getattr(cls, name)
    # Only a plain function still shows its self.
    self_too = not isinstance(vars(cls)[name], staticmethod | classmethod)
    hints = _hints(function)
    for parameter in list(signature_of(function).parameters.values())[self_too:]:
        if parameter.kind in _NO_KEYWORD:
            yield f"{parameter} cannot be given: parameters are passed by name"
        else:
            yield from _problems_of_parameter(parameter, hints.get(parameter.name, object))
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        yield "is a generator, whose body never runs: return the result"
    elif not _carried(hints.get("return", object), returned=True):
        yield f"JSON cannot carry the result, {_spell(hints['return'])}"


def _problems_of_parameter(parameter: Parameter, hint: object) -> Iterator[str]:
    if parameter.name == "context":
        if hint not in (Context, object):
            yield "a parameter named context is given the runner's Context: rename this one"
    elif hint is Context:
        yield f"{parameter.name} is never given: name it context"
    elif not _carried(hint):
        yield f"JSON cannot carry {parameter.name}, {_spell(hint)}: convert it in the method"
    elif parameter.default is not Parameter.empty and not _encodes(parameter.default):
        yield f"JSON cannot carry the default of {parameter.name}, {parameter.default!r}"


def _hints(function: object) -> dict[str, object]:
    try:
        return typing.get_type_hints(inspect.unwrap(function))  # type: ignore[arg-type]
    except (NameError, AttributeError, TypeError):
        # Names that exist only for type checkers, objects without annotations: nothing is known.
        return {}


def _carried(
    hint: object, *, returned: bool = False, within: frozenset[object] = frozenset()
) -> bool:
    """Whether a JSON value can be of this type; a tuple can be returned, but arrives as a list.

    `within`: the types around it, for those that hold themselves.
    """
    if hint in _PLAIN or hint in within or isinstance(hint, typing.ForwardRef):
        return True

    def all_carried(hints: Iterable[object]) -> bool:
        return all(_carried(each, returned=returned, within=within | {hint}) for each in hints)

    if meant := _stands_for(hint):
        return all_carried(meant)
    if typing.is_typeddict(hint):
        return all_carried(_hints(hint).values())
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return all(_encodes(value) for value in arguments)
    if origin in _OBJECTS and not returned and arguments and arguments[0] not in _ANY_KEY:
        return False
    if origin in (typing.Union, UnionType) or (origin is not None and origin in _PLAIN):
        return all_carried(arguments)
    kind = origin or hint
    if returned and isinstance(kind, type) and issubclass(kind, _WRITTEN):
        # Of a NamedTuple its fields.
        fields = _hints(kind).values() if issubclass(kind, tuple) else ()
        return all_carried([*fields, *(each for each in arguments if each is not ...)])
    return False


def _stands_for(hint: object) -> tuple[object, ...]:
    """What a NewType, a TypeVar or an alias made by `type` stands for; nothing if it is none."""
    try:
        if isinstance(hint, typing.NewType):
            return (hint.__supertype__,)
        if isinstance(hint, typing.TypeVar):
            return hint.__constraints__ or (hint.__bound__ or object,)
        # Since Python 3.12: typing.TypeAliasType.
        return (hint.__value__,) if hasattr(hint, "__value__") else ()
    except NameError:
        # It exists only for type checkers.
        return (object,)


def _encodes(value: object) -> bool:
    try:
        encode(value)
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def _spell(hint: object) -> str:
    return f"{hint.__module__}.{hint.__qualname__}" if isinstance(hint, type) else str(hint)
