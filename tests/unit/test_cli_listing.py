"""What list prints: all of it to a pipe, what fits to a terminal."""

import io
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console
from tests.unit.builders import NOW, background_job_json

from bgjobs.cli.listing import show_jobs


def job(name: str, phase: str, reason: str, message: str, **spec: Any) -> dict[str, Any]:
    raw = background_job_json(name, method="handle", **{"priority": "Medium", **spec})
    raw["status"] = {"phase": phase, "reason": reason, "message": message, "attemptsTotal": 2}
    return raw


JOBS = [
    job("stock-7", "Running", "Running", "Attempt 3 of 4 runs on node-1."),
    job(
        f"{'a-very-long-name-' * 14}end1",
        "Failed",
        "PendingDeadlineExceeded",
        "did not start\nwithin 600 s: \x1b[31mno such image",
        priority=1,
        **{"class": "warehouse.batch.jobs.stock.SynchroniseStockOfAllArticles"},
    ),
]


def shown(
    width: int | None, jobs: Sequence[Any] = JOBS, *, with_namespace: bool = False
) -> list[str]:
    text = io.StringIO()
    terminal = {"force_terminal": True, "width": width} if width else {"force_terminal": False}
    console = Console(file=text, color_system=None, highlight=False, markup=False, **terminal)
    show_jobs(console, jobs, NOW + timedelta(minutes=5), with_namespace=with_namespace)
    return text.getvalue().splitlines()


def test_a_pipe_gets_every_column_in_full() -> None:
    header, first, second = shown(None, with_namespace=True)
    assert header.split() == [
        *("NAMESPACE", "NAME", "CLASS", "METHOD", "PRIORITY", "PHASE", "REASON", "ATTEMPTS"),
        *("AGE", "MESSAGE"),
    ]
    assert first.split(maxsplit=9) == [
        *("shop", "stock-7", "shop.jobs.SyncStock", "handle", "Medium", "Running", "Running"),
        *("2", "5m", "Attempt 3 of 4 runs on node-1."),
    ]
    name, class_ = JOBS[1]["metadata"]["name"], JOBS[1]["spec"]["class"]
    assert second.split(maxsplit=9) == [
        *("shop", name, class_, "handle", "High", "Failed", "PendingDeadlineExceeded"),
        *("2", "5m", "did not start within 600 s: \\x1b[31mno such image"),
    ]
    assert header.index("PHASE") == first.index("Running") == second.index("Failed")


def test_a_narrow_terminal_gets_what_fits() -> None:
    assert shown(80) == [
        "NAME                   CLASS               PHASE    REASON                   AGE",
        "stock-7                …jobs.SyncStock     Running  Running                  5m",
        "a-very-lon…-name-end1  Synchroni…Articles  Failed   PendingDeadlineExceeded  5m",
    ]


@pytest.mark.parametrize("width", [1, 20, 40, 60, 80, 100, 120, 160, 240])
def test_no_line_is_longer_than_the_terminal_is_wide(width: int) -> None:
    lines = shown(width, with_namespace=True)
    assert max(len(line) for line in lines) <= max(width, 48)


def test_a_wide_terminal_shows_the_message_beside_cut_names() -> None:
    header, first, second = shown(160)
    assert header.split()[-1] == "MESSAGE"
    assert first.endswith("Attempt 3 of 4 runs on node-1.")
    assert "a-very-long-name…-long-name-end1" in second
    assert second.endswith("did not start within 600 s: \\x1b…")


def test_a_message_is_cut_by_the_columns_that_it_takes() -> None:
    [_, line] = shown(120, [job("stock-7", "Failed", "Error", "在庫を同期できませんでした" * 9)])
    assert line.endswith("…")
    assert cell_len(line) in (119, 120)
