"""The operator's Prometheus metrics. Labels are bounded by the allowlist's classes."""

from prometheus_client import Counter, Gauge, Histogram

from bgjobs.domain.resource import BackgroundJob, Reason

_NOT_ALLOWED = "(not allowed)"
"""For a class that is not allowed: anybody may make names up."""

FINISHED = Counter(
    "bgjobs_finished_total", "Finished runs of BackgroundJobs", ["class", "result", "reason"]
)
ATTEMPTS = Counter("bgjobs_attempts_total", "Finished attempts", ["class", "outcome"])
RUN_SECONDS = Histogram(
    "bgjobs_run_seconds",
    "How long attempts ran",
    ["class"],
    buckets=(0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600),
)
RECONCILES = Counter("controller_runtime_reconcile_total", "Reconciliations", ["result"])
RECONCILE_SECONDS = Histogram(
    "controller_runtime_reconcile_time_seconds",
    "How long a reconciliation took",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5),
)
LEADER = Gauge("bgjobs_leader", "1 while this process leads, 0 while it stands by")
QUEUE_DEPTH = Gauge("workqueue_depth", "BackgroundJobs that wait for a worker")
WAITING = Gauge("bgjobs_waiting", "BackgroundJobs that could start and wait for a slot")
RUNNING = Gauge("bgjobs_running", "BackgroundJobs that hold a slot")
START_WINDOW = Gauge(
    "bgjobs_start_window", "Child Jobs in the start window: their pod does not run yet"
)
START_WINDOW_SIZE = Gauge(
    "bgjobs_start_window_size", "How many child Jobs the start window holds; 0 is no limit"
)
EVENTS_DROPPED = Counter(
    "bgjobs_events_dropped_total", "Kubernetes Events dropped because too many waited to be posted"
)
DELETED_ABOVE_LIMIT = Counter(
    "bgjobs_deleted_above_limit_total",
    "Finished BackgroundJobs deleted because too many stayed, mirrored or not",
)
MIRROR_PENDING = Gauge("bgjobs_mirror_pending", "BackgroundJobs whose row is to be written")
MIRROR_LAG_SECONDS = Gauge(
    "bgjobs_mirror_lag_seconds", "How long the oldest unwritten row has waited, or has been missing"
)


def count_transition(before: BackgroundJob, after: BackgroundJob) -> None:
    """Counts what a status write has recorded."""
    class_ = after.spec.class_
    if after.status.attempts_total > before.status.attempts_total:
        ATTEMPTS.labels(class_, str(after.status.attempts[-1].outcome)).inc()
        if after.status.run_seconds is not None:
            RUN_SECONDS.labels(class_).observe(after.status.run_seconds)
    if after.status.finished and not before.status.finished:
        reason = after.status.reason
        class_ = _NOT_ALLOWED if reason is Reason.NOT_ALLOWED else class_
        FINISHED.labels(class_, str(after.status.phase), str(reason)).inc()
