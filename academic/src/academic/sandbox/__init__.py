"""Runs a student's program, in a pod that has nothing to steal.

The pod has no secret, no account, no database and no network (academic/deploy). What the program
should print never goes there: `academic.grading.grade_program` compares afterwards, elsewhere.
"""

import bisect
import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from academic.sandbox.confinement import guard_own_process, refusal
from academic.sandbox.outputs import CaseRun
from academic.sandbox.process import run_case
from bgjobs_runner import BadParameters, PermanentFailure, job

MAX_CASES = 20
MAX_SECONDS = 10
# A BackgroundJob carries no more.
_MAX_PARAMETERS_BYTES = 64 * 1024
# The runner leaves out a larger result.
_MAX_RESULT_BYTES = 3 * 1024
_MAX_SHOWN_CHARACTERS = 2000


@job
class RunProgram:
    """Runs one Python program once for each input."""

    def handle(self, source: str, inputs: list[str], seconds: int) -> dict[str, object]:
        """Run `source` with each of `inputs` on its stdin.

        Each may take `seconds` (1 to 10) of CPU time, and three times as long by the clock.

        Returns {"runs": [{"outcome", "exit_code", "output", "digest", "error"}, ...]}, one for
        each input, within 3 KiB: of these every run has the same part, to which its output and
        error are cut. Whatever the program does is such an outcome and no failure of the job.
        """
        if reason := _unfit(inputs, seconds):
            raise BadParameters(reason)
        if reason := refusal():
            raise PermanentFailure(reason)
        guard_own_process()
        runs = [_run_alone(source, each, seconds) for each in inputs]
        for number, run in enumerate(runs, 1):
            print(f"case {number}: {run.outcome}, exit code {run.exit_code}")
        return _cut_to_fit(runs)


def program_parameters(source: str, inputs: Sequence[str], seconds: int) -> dict[str, object]:
    """The parameters of a RunProgram job.

    Raises ValueError with a sentence for whoever submits if there are none: program and inputs
    take more than 64 KiB of JSON together, or there are too many cases.
    """
    parameters: dict[str, object] = {"source": source, "inputs": list(inputs), "seconds": seconds}
    if reason := _unfit(inputs, seconds):
        raise ValueError(reason)
    if (size := _size(parameters)) > _MAX_PARAMETERS_BYTES:
        raise ValueError(
            f"The program and the inputs that it is tried with take {size} bytes,"
            f" at most {_MAX_PARAMETERS_BYTES} are possible: shorten the program."
        )
    return parameters


def _unfit(inputs: Sequence[str], seconds: int) -> str | None:
    if not 1 <= len(inputs) <= MAX_CASES:
        return f"There are {len(inputs)} cases, 1 to {MAX_CASES} are possible."
    if not 1 <= seconds <= MAX_SECONDS:
        return f"A case may take {seconds} seconds, 1 to {MAX_SECONDS} are possible."
    return None


def _run_alone(source: str, text: str, seconds: int) -> CaseRun:
    """Run `source` in a directory of its own: what it did to a file is unknown to the next run."""
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "program.py").write_bytes(source.encode(errors="replace"))
        return run_case(Path(directory), text, seconds)


def _cut_to_fit(runs: Sequence[CaseRun]) -> dict[str, object]:
    """The result, every run with the same part of the room.

    How much is shown of one run tells nothing of another: its case may be hidden.
    """
    room = _MAX_RESULT_BYTES - _size({"runs": []})
    commas = len(runs) - 1
    return {"runs": [_cut(run, (room - commas) // len(runs)) for run in runs]}


def _cut(run: CaseRun, room: int) -> dict[str, object]:
    """The run, with as much of its output and error as fits into so many bytes."""

    def report(shown: int) -> dict[str, object]:
        return {
            **asdict(run),
            "output": run.output[:shown],
            "error": run.error[max(0, len(run.error) - shown) :],
        }

    too_many = bisect.bisect_right(
        range(_MAX_SHOWN_CHARACTERS + 1), room, key=lambda shown: _size(report(shown))
    )
    return report(too_many - 1)


def _size(value: object) -> int:
    """Bytes of it as the runner and the operator count them."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return len(text.encode(errors="surrogatepass"))
