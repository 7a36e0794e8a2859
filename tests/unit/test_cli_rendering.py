"""What explain prints, to the letter."""

import io
import json
import os
import pty
import subprocess
import sys
from datetime import timedelta
from typing import Any

import pytest
from rich.console import Console
from tests.unit.builders import NOW, attempt, background_job, seconds
from tests.unit.test_cli_explain import explained, other

from bgjobs.cli.rendering import (
    Format,
    dump,
    explanation_data,
    printable,
    progress,
    show_explanation,
    span,
)
from bgjobs.domain.resource import Priority, Status

PLAIN = """\
Job       shop/stock, shop.jobs.SyncStock.handle, Low priority
State     Retrying, Queued
Why       Attempt 2 is queued by Low priority: the operator runs as many jobs as it may, 50 \
(BGJOBS_MAX_CONCURRENT). Raise startRequests by one to go first. 7 jobs are ahead: 7 of High \
priority.
Note      Every fourth start goes to the job that has waited longest, whatever its priority (3 \
starts from now); this job has a claim to them from 2030-01-31T12:04:25Z.
Next      2030-01-31T12:04:25Z (in 4m25s): it has a claim to every fourth start
Place     8 of 8 that wait
Ahead     shop/a (High priority)
          shop/b (High priority)
          shop/c (High priority)
          shop/d (High priority)
          shop/e (High priority)
          and 2 more
Limits    1 running of its runtime (no limit)
          50 of 50 running in all
          5 of 60 starting
Attempts  1 of 3 ended (2 retries = 3 - 1 for Low priority)
          attempt 1 Failed 40s ago, Error: failed with exit code 1
Unknown   You may not see ConfigMap bgjobs-allowlist.

To change that
  let it start before all others that wait
    kubectl bgjob start stock -n shop
    kubectl patch bgjob stock -n shop --type=merge -p '{"spec":{"startRequests":1}}'

  let it go before others
    kubectl patch bgjob stock -n shop --type=merge -p '{"spec":{"priority":"High"}}'

  let more jobs run at once (platform engineers)
    kubectl set env deployment/bgjobs-operator BGJOBS_MAX_CONCURRENT=100 -n bgjobs-system
"""

EXPLANATION = explained(
    background_job(
        Status(
            attempts=(attempt(finish=NOW - seconds(40)),),
            attempts_total=1,
            retries_used=1,
        ),
        priority=Priority.LOW,
    ),
    others=(
        *(other(name, priority=Priority.HIGH) for name in "abcdefg"),
        other("running", under_way=True),
    ),
    unreadable=("You may not see ConfigMap bgjobs-allowlist.",),
)


def shown(*, width: int | None = None) -> str:
    """On a terminal of that width; to a pipe without one."""
    terminal = {"force_terminal": True, "width": width} if width else {"force_terminal": False}
    text = io.StringIO()
    console = Console(file=text, color_system=None, highlight=False, markup=False, **terminal)
    show_explanation(console, EXPLANATION, NOW)
    return text.getvalue()


def test_a_pipe_gets_plain_lines() -> None:
    assert shown() == PLAIN


def test_a_terminal_wraps_text_and_leaves_commands_whole() -> None:
    lines = shown(width=80).splitlines()
    assert lines[2:5] == [
        "Why       Attempt 2 is queued by Low priority: the operator runs as many jobs as",
        "          it may, 50 (BGJOBS_MAX_CONCURRENT). Raise startRequests by one to go",
        "          first. 7 jobs are ahead: 7 of High priority.",
    ]
    start = PLAIN.index("\nTo change that")
    assert "\n".join(lines).endswith(PLAIN[start:].rstrip("\n"))


def test_programs_read_the_same_as_json() -> None:
    data = json.loads(dump(explanation_data(EXPLANATION), Format.JSON))
    assert data["queue"]["place"] == 8
    assert data["next"]["time"] == "2030-01-31T12:04:25.240989Z"
    assert data["remedies"][0]["bgjob"] == "kubectl bgjob start stock -n shop"


def test_an_error_is_wrapped_at_words_on_a_terminal_and_one_line_in_a_pipe() -> None:
    script = "from bgjobs.cli.rendering import show_error; show_error('a sentence ' * 9 + 'ends')"
    command = (sys.executable, "-c", script)
    piped = subprocess.run(command, capture_output=True, text=True, check=True)
    assert piped.stderr == f"error: {'a sentence ' * 9}ends\n"
    ours, theirs = pty.openpty()
    terminal = {**os.environ, "COLUMNS": "40", "TERM": "xterm"}
    subprocess.run(command, stderr=theirs, env=terminal, check=True)
    lines = os.read(ours, 1000).decode().splitlines()
    assert " ".join(lines) == piped.stderr.rstrip()
    assert max(map(len, lines)) <= 40


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("naïve ☃ 数", "naïve ☃ 数"),
        ("two\nlines\tand", "two lines and"),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("\u202eright to left", "\\u202eright to left"),
    ],
)
def test_what_steers_a_terminal_is_escaped(text: str, want: str) -> None:
    assert printable(text) == want


@pytest.mark.parametrize(
    ("seconds", "want"),
    [
        (-5, "0s"),
        (0, "0s"),
        (59, "59s"),
        (60, "1m"),
        (200, "3m20s"),
        (7500, "2h5m"),
        (400000, "4d15h"),
    ],
)
def test_a_span_of_time_has_two_units(seconds: int, want: str) -> None:
    assert span(timedelta(seconds=seconds)) == want


@pytest.mark.parametrize(
    ("terminal", "want"),
    [
        pytest.param(
            {"force_terminal": True, "width": 40},
            [
                "    0s  stock Pending: Attempt 1 of 4 is",
                "        about to start.",
            ],
            id="a terminal",
        ),
        pytest.param(
            {"force_terminal": False, "width": 40},
            ["    0s  stock Pending: Attempt 1 of 4 is about to start."],
            id="a pipe",
        ),
    ],
)
def test_progress_is_wrapped_at_words_and_never_cut(
    terminal: dict[str, Any], want: list[str]
) -> None:
    text = io.StringIO()
    console = Console(file=text, color_system=None, highlight=False, markup=False, **terminal)
    progress(console)(background_job(Status(message="Attempt 1 of 4 is about to start.")))
    assert text.getvalue().splitlines() == want
