"""How things look: text for people, JSON and YAML for programs."""

import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from time import monotonic
from typing import Any, NamedTuple

import msgspec
import yaml
from rich.console import Console
from rich.text import Text

from bgjobs.cli.explain import Attempts, Explanation, Queue, Use
from bgjobs.domain.policies.changes import clock
from bgjobs.domain.ranking import Limit
from bgjobs.domain.resource import Attempt, BackgroundJob

PHASE_STYLES = {
    "Succeeded": "green",
    "Running": "cyan",
    "Failed": "red",
    "Rejected": "red",
    "Retrying": "yellow",
    "Cancelling": "yellow",
}


_LABEL_WIDTH = 10
_TIME_WIDTH = 8


class Format(StrEnum):
    """What -o takes."""

    JSON = "json"
    YAML = "yaml"
    NAME = "name"


def console(*, stderr: bool = False) -> Console:
    """Where people read: with colours and wrapped text on a terminal, else plain."""
    return Console(stderr=stderr, highlight=False, markup=False, emoji=False)


def dump(value: Any, output: Format) -> str:
    """JSON values as a program reads them."""
    if output is Format.JSON:
        return json.dumps(value, indent=2, ensure_ascii=False)
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True).rstrip()


def dump_objects(objects: Sequence[Any], output: Format) -> str:
    """API objects: one as it is, several as a List; of each its name alone."""
    if output is Format.NAME:
        return "\n".join(reference(each) for each in objects)
    return dump(_bare(objects[0]) if len(objects) == 1 else as_list(objects), output)


def as_list(objects: Iterable[Any]) -> Any:
    return {"apiVersion": "v1", "kind": "List", "items": [_bare(each) for each in objects]}


def reference(raw: Any) -> str:
    """An object as kubectl names it, which its other commands take."""
    group, slash, _ = raw["apiVersion"].rpartition("/")
    return f"{raw['kind'].lower()}{'.' if slash else ''}{group}/{raw['metadata']['name']}"


def _bare(raw: Any) -> Any:
    """Without what the API server keeps for itself, as kubectl shows it."""
    metadata = {name: v for name, v in raw["metadata"].items() if name != "managedFields"}
    return {**raw, "metadata": metadata}


def progress(on: Console) -> Callable[[BackgroundJob], None]:
    """Tells of a job on a line of its own whenever it says something new."""
    began, told = monotonic(), ""

    def tell(job: BackgroundJob) -> None:
        nonlocal told
        status = job.status
        if status.message == told:
            return
        told = status.message
        after = span(timedelta(seconds=monotonic() - began))
        text = Text(f"{job.metadata.name} {status.phase}: {printable(told)}")
        for number, line in enumerate(_wrapped(on, text, on.width - _TIME_WIDTH)):
            on.print(
                Text(("" if number else f"{after:>6}").ljust(_TIME_WIDTH)) + line, soft_wrap=True
            )

    return tell


def printable(text: str) -> str:
    """Text from a job on one line, without what would steer the terminal."""
    return "".join(
        char if char.isprintable() else " " if char.isspace() else _escaped(char) for char in text
    )


def _escaped(char: str) -> str:
    return char.encode("unicode_escape", "surrogatepass").decode()


def span(time: timedelta) -> str:
    """A length of time in its two largest units: 3m20s, 2h5m, 4d."""
    seconds = max(0, int(time.total_seconds()))
    units = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))
    for (large, size), (small, smaller) in itertools.pairwise(units):
        if seconds >= size:
            rest = seconds % size // smaller
            return f"{seconds // size}{large}" + (f"{rest}{small}" if rest else "")
    return f"{seconds}s"


# An explanation.


class Line(NamedTuple):
    label: str
    text: str


def show_explanation(on: Console, explanation: Explanation, now: datetime) -> None:
    for label, text in explanation_lines(explanation, now):
        style = PHASE_STYLES.get(explanation.phase, "") if label == "State" else ""
        for number, line in enumerate(_wrapped(on, Text(text, style), on.width - _LABEL_WIDTH)):
            on.print(
                Text(("" if number else label).ljust(_LABEL_WIDTH), "bold") + line, soft_wrap=True
            )
    for text in remedy_lines(explanation):
        # Not wrapped, so that a command can be copied as a whole.
        on.print(Text(text, "" if text.startswith("    ") else "bold"), soft_wrap=True)


def show_error(text: str) -> None:
    """On stderr."""
    on = console(stderr=True)
    for line in _wrapped(on, Text(f"error: {text}"), on.width):
        on.print(line, soft_wrap=True)


def _wrapped(on: Console, text: Text, width: int) -> Iterable[Text]:
    """Lines that fit a terminal of any width; a file or a program gets one."""
    if not on.is_terminal:
        return [text]
    lines = text.wrap(on, max(width, 20))
    for line in lines:
        line.rstrip()
    return lines


def explanation_lines(explanation: Explanation, now: datetime) -> Iterator[Line]:
    """What is known, a labelled line each; further lines of a label have an empty one."""
    runs = f"{explanation.class_}.{explanation.method}, {explanation.priority} priority"
    yield Line("Job", f"{explanation.namespace}/{explanation.name}, {runs}")
    reason = f", {explanation.reason}" if explanation.reason != str(explanation.phase) else ""
    yield Line("State", f"{explanation.phase}{reason}")
    yield Line("Why", printable(explanation.cause))
    yield from _lines("Note", map(printable, explanation.notes))
    if upcoming := explanation.next:
        when = f"{clock(upcoming.time)} (in {span(upcoming.time - now)})"
        yield Line("Next", f"{when}: {upcoming.what}")
    if explanation.queue is not None:
        yield from _queue_lines(explanation.queue)
    yield from _attempt_lines(explanation.attempts, now)
    yield from _lines("Unknown", explanation.unreadable)


def _lines(label: str, texts: Iterable[str]) -> Iterator[Line]:
    for number, text in enumerate(texts):
        yield Line("" if number else label, text)


def _queue_lines(queue: Queue) -> Iterator[Line]:
    yield Line("Place", f"{queue.place} of {queue.waiting} that wait")
    yield from _lines("Ahead", (f"{ahead.job} ({ahead.why})" for ahead in queue.ahead))
    if more := queue.place - 1 - len(queue.ahead):
        yield Line("", f"and {more} more")
    yield from _lines("Limits", map(_use, queue.limits))


_USES = {
    Limit.RUNTIME: "running of its runtime",
    Limit.OPERATOR: "running in all",
    Limit.START_WINDOW: "starting",
}


def _use(use: Use) -> str:
    if use.limit:
        return f"{use.used} of {use.limit} {_USES[use.of]}"
    return f"{use.used} {_USES[use.of]} (no limit)"


def _attempt_lines(attempts: Attempts, now: datetime) -> Iterator[Line]:
    count, allowed = attempts.in_this_run, attempts.allowed_in_this_run
    ended = f"{count} of {allowed} ended" if allowed else str(count)
    run = f" in run {attempts.run}" if attempts.run > 1 else ""
    yield Line("Attempts", f"{ended}{run} ({attempts.retries})")
    for attempt in attempts.latest:
        run = f"run {attempt.run}, " if attempts.run > 1 else ""
        yield Line("", f"{run}attempt {attempt.attempt} {_outcome(attempt, now)}")


def _outcome(attempt: Attempt, now: datetime) -> str:
    ago = f"{span(now - attempt.finish)} ago"
    return f"{attempt.outcome} {ago}, {attempt.reason}: {printable(attempt.message)}"


def remedy_lines(explanation: Explanation) -> Iterator[str]:
    for number, remedy in enumerate(explanation.remedies):
        yield "" if number else "\nTo change that"
        yield f"  {remedy.what}"
        for command in filter(None, (remedy.bgjob, remedy.kubectl)):
            yield f"    {command}"


def explanation_data(explanation: Explanation) -> Any:
    """The explanation as JSON values."""
    return msgspec.to_builtins(explanation)
