"""What is counted, and under which labels."""

from prometheus_client import REGISTRY
from tests.unit.builders import background_job

from bgjobs import metrics
from bgjobs.domain.resource import Phase, Reason, Status


def finished(class_: str, phase: Phase, reason: Reason) -> float:
    """How many more are counted under this class when shop.jobs.Counted finishes so."""
    labels = {"class": class_, "result": str(phase), "reason": str(reason)}
    before = REGISTRY.get_sample_value("bgjobs_finished_total", labels) or 0
    job = background_job(Status(phase=phase, reason=reason), class_="shop.jobs.Counted")
    metrics.count_transition(background_job(), job)
    return (REGISTRY.get_sample_value("bgjobs_finished_total", labels) or 0) - before


def test_a_job_that_finished_is_counted_by_its_class() -> None:
    assert finished("shop.jobs.Counted", Phase.FAILED, Reason.ERROR) == 1


def test_a_class_that_is_not_allowed_gives_no_label() -> None:
    """Whoever may submit could fill the memory with names."""
    assert finished("(not allowed)", Phase.REJECTED, Reason.NOT_ALLOWED) == 1
    assert finished("shop.jobs.Counted", Phase.REJECTED, Reason.NOT_ALLOWED) == 0
