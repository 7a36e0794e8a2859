"""Runs a student's program, in a pod that has nothing to steal.

The pod has no secret, no account, no database and no network (academic/deploy). What the program
should print never goes there: `academic.grading.grade_program` compares afterwards, elsewhere.
"""

import json
from collections.abc import Sequence

from bgjobs_runner import job

MAX_CASES = 20
MAX_SECONDS = 10
_MAX_PARAMETERS_BYTES = 64 * 1024


@job
class RunProgram:
    """Runs one Python program once for each input."""

    def handle(self, source: str, inputs: list[str], seconds: int) -> dict[str, object]:
        """Run `source` with each of `inputs` on its stdin, `seconds` (1 to 10) at most each.

        Returns {"runs": [{"outcome", "exit_code", "output", "digest", "error"}, ...]}, one for
        each input, within 3 KiB: outputs and errors are cut alike until they fit. Whatever the
        program does is such an outcome and no failure of the job.
        """
        raise NotImplementedError


def program_parameters(source: str, inputs: Sequence[str], seconds: int) -> dict[str, object]:
    """The parameters of a RunProgram job.

    Raises ValueError with a sentence for the student or instructor if they are not to be had:
    program and inputs together take more than 64 KiB as JSON, which is the limit of a
    BackgroundJob's parameters, or there are too many cases.
    """
    parameters: dict[str, object] = {"source": source, "inputs": list(inputs), "seconds": seconds}
    if len(json.dumps(parameters).encode()) > _MAX_PARAMETERS_BYTES:
        raise ValueError("too large")
    return parameters
