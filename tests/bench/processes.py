"""What processes have used, from /proc."""

import asyncio
import os
import time
from collections.abc import Mapping
from pathlib import Path

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_QUIET_SHARE = 0.15
"""Of one core, over all processes: what they use when nothing is to be done."""
_QUIET_FOR_S = 1.0
_QUIET_WITHIN_S = 120.0


def cpu_seconds(pids: Mapping[str, int]) -> dict[str, float]:
    """User and system time since each one's start."""
    return {name: _cpu_seconds(pid) for name, pid in pids.items()}


def rss_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise AssertionError(f"process {pid} has ended")


async def quiet(pids: Mapping[str, int]) -> None:
    """Waits until they all have nothing left to do."""
    deadline = time.monotonic() + _QUIET_WITHIN_S
    used = sum(cpu_seconds(pids).values())
    while True:
        await asyncio.sleep(_QUIET_FOR_S)
        before, used = used, sum(cpu_seconds(pids).values())
        if used - before < _QUIET_SHARE * _QUIET_FOR_S:
            return
        assert time.monotonic() < deadline, f"still busy after {_QUIET_WITHIN_S:.0f} s"


def _cpu_seconds(pid: int) -> float:
    # The program's name may hold spaces and parentheses: fields count from behind the last one.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND
