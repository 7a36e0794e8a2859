"""Rows that are hard to show: the longest names, large parameters, three runs, hostile text."""

import hashlib
import json
import math
import random
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from bgjobs.domain.phase import phase_of
from bgjobs.domain.resource import Reason
from bgjobs.mirror.rollups import add_up_hours
from bgjobs.mirror.schema import (
    ACTIONS,
    ATTEMPTS,
    DELETED,
    ERROR_ROLLUPS,
    JOB_DETAILS,
    JOB_LABELS,
    JOBS,
    LOG_TAILS,
    META,
    ROLLUPS,
    RUN_STEPS,
    WAIT_STEPS,
)

LONGEST_NAME = "a-very-long-name." * 14 + "abcdefghijklmno"
HOSTILE = "<script>alert(1)</script>'; DROP TABLE jobs; --"
_LOG = """\
12:02:31 INFO  warehouse 7: 1,204 items in 13 batches
12:02:33 INFO  batch 1: 100 items, 38 changed
12:02:36 WARN  inventory.local:8443 refused the connection, trying again in 2 s (1 of 3)
12:02:48 WARN  inventory.local:8443 refused the connection, trying again in 10 s (3 of 3)
Traceback (most recent call last):
  File "/app/shop/jobs.py", line 61, in handle
    stock = self.inventory.fetch(batch)
  File "/app/shop/clients/inventory.py", line 88, in fetch
    raise ConnectionError(f"{self.host} refused the connection") from error
ConnectionError: inventory.local:8443 refused the connection
"""
_CLASSES = (
    ("shop.jobs.Mail", 6204, 0, 0.8, 0.48),
    ("shop.jobs.Invoice", 2118, 0, 3.1, 0.36),
    ("media.jobs.Thumbnail", 1871, 7, 2.0, 1.0),
    ("shop.jobs.SyncStock", 1026, 6, 3.1, 0.51),
    ("shop.jobs.Export", 612, 0, 21, 0.84),
    ("search.jobs.Reindex", 388, 1, 95, 0.68),
)
_ERRORS = (
    ("ConnectionError", "shop.clients.inventory:88 in fetch", "shop.jobs.SyncStock", 41, 6, 0.2),
    ("OOMKilled", None, "media.jobs.Thumbnail", 23, 5, 20.0),
    ("SMTPServerDisconnected", "shop.mailer:52 in send", "shop.jobs.Mail", 17, 0, 2.4),
    ("DeadlineExceeded", None, "search.jobs.Reindex", 6, 1, 14.0),
    (HOSTILE[:60], "media.jobs:14 in handle", "media.jobs.Thumbnail", 2, 2, 20.0),
)
_MESSAGES = {
    "ConnectionError": "inventory.local:8443 refused the connection",
    "OOMKilled": "The container used more than 256Mi and was killed.",
    "SMTPServerDisconnected": "Connection unexpectedly closed",
    "DeadlineExceeded": "The attempt ran longer than 600 s and was stopped.",
}

Row = dict[str, Any]


def group_of(name: str, place: str | None) -> str:
    return hashlib.sha256(f"{name}\n{place}".encode()).hexdigest()[:12]


SYNC_STOCK = group_of("ConnectionError", "shop.clients.inventory:88 in fetch")


def uid_of(name: str) -> str:
    digest = hashlib.sha256(name.encode()).hexdigest()
    return "-".join((digest[:8], digest[8:12], digest[12:16], digest[16:20], digest[20:32]))


def fill(engine: sa.Engine, now: datetime) -> None:
    """All there is to show, as of `now`."""
    rows: dict[sa.Table, list[Row]] = {
        table: [] for table in (JOBS, JOB_DETAILS, JOB_LABELS, ATTEMPTS, LOG_TAILS, ACTIONS)
    }
    _states(rows, now)
    _three_runs(rows, now)
    _hard(rows, now)
    _older(rows, now)
    rows[ROLLUPS] = _rollups(now)
    rows[ERROR_ROLLUPS] = _error_rollups(rows, now)
    with engine.begin() as connection:
        for table, those in rows.items():
            connection.execute(sa.insert(table), those)
        add_up_hours(connection, {row["bucket_at"].replace(minute=0) for row in rows[ROLLUPS]})
    alive(engine, now)


def alive(engine: sa.Engine, now: datetime, pending: int = 0, behind: float = 0.4) -> None:
    """A sign of life of the mirror."""
    with engine.begin() as connection:
        connection.execute(sa.delete(META))
        connection.execute(
            sa.insert(META).values(
                id=1,
                as_of=now - timedelta(seconds=behind),
                written_at=now,
                pending=pending,
                swept_at=now - timedelta(seconds=71),
            )
        )


def _job(
    rows: Mapping[sa.Table, list[Row]],
    now: datetime,
    name: str,
    class_: str,
    reason: Reason,
    message: str,
    *,
    ago: float,
    namespace: str = "shop",
    priority: int = 2,
    attempts: int = 0,
    run: int = 1,
    could_start: float | None = None,
    following: float | None = None,
    ran: float | None = None,
    ended: float | None = None,
    parameters: Any = None,
    result: Any = None,
    labels: Mapping[str, str] | None = None,
    by: str = "system:serviceaccount:shop:checkout",
    **more: Any,
) -> Row:
    """`ago`, `could_start` and `ended` are seconds before now, `following` after it."""
    class_, _, method = class_.partition("#")
    deleted = more.pop("deleted", None)
    phase = DELETED if deleted and ended is None else phase_of(reason, attempts + 1)
    uid, created = uid_of(name), now - timedelta(seconds=ago)
    retries = more.pop("retries", 3)

    def before(seconds: float | None) -> datetime | None:
        return None if seconds is None else now - timedelta(seconds=seconds)

    of_run = more.pop("of_run", attempts)
    job = {
        "uid": uid,
        "namespace": namespace,
        "name": name,
        "class": class_,
        "method": method or "handle",
        "priority": priority,
        "delay_seconds": more.pop("delay", 0),
        "effective_delay_seconds": more.pop("effective_delay", 0),
        "retries": retries,
        "effective_retries": max(0, retries + {1: 1, 2: 0, 3: -1}[priority]),
        "phase": str(phase),
        "reason": str(reason),
        "message": message,
        "run": run,
        "attempts_total": attempts,
        "attempts_of_run": of_run,
        "retries_used": max(0, of_run - 1),
        "disruptions": more.pop("disruptions", 0),
        "run_seconds": ran,
        "created_at": created,
        "could_start_at": before(could_start if could_start is not None else ago)
        if ended is None
        else None,
        "next_attempt_at": None if following is None else now + timedelta(seconds=following),
        "started_at": before(more.pop("started", None)),
        "completed_at": before(ended),
        "deleted_at": before(deleted),
        "error_group": more.pop("error_group", None),
        "resource_version": f"{int(1_000_000 - ago):039d}",
        "epoch": 0,
    }
    rows[JOBS].append(job)
    spec = {"class": class_, "method": job["method"], "priority": priority, "retries": retries}
    if job["delay_seconds"]:
        spec["delay"] = job["delay_seconds"]
    rows[JOB_DETAILS].append(
        {
            "uid": uid,
            "spec": json.dumps({**spec, **more}),
            "parameters": json.dumps({"warehouse": 7} if parameters is None else parameters),
            "result": None if result is None else json.dumps(result),
            "resource_version": job["resource_version"],
            "epoch": 0,
        }
    )
    for key, value in (labels or {}).items():
        rows[JOB_LABELS].append(
            {
                "uid": uid,
                "name": key,
                "value": value,
                "created_at": created,
                "resource_version": job["resource_version"],
                "epoch": 0,
            }
        )
    _act(rows, uid, "created", 0, by, created)
    return job


def _act(
    rows: Mapping[sa.Table, list[Row]], uid: str, action: str, number: int, by: str, at: datetime
) -> None:
    rows[ACTIONS].append({"uid": uid, "action": action, "ordinal": number, "by_user": by, "at": at})


def _states(rows: Mapping[sa.Table, list[Row]], now: datetime) -> None:
    """At least one job of every state."""

    def job(*arguments: Any, **more: Any) -> Row:
        return _job(rows, now, *arguments, **more)

    full = "It waits for a slot: all 50 are taken."
    customer = {"customer": "42"}
    job("invoice-6045", "shop.jobs.Invoice", Reason.QUEUED, full, ago=3, priority=1)
    job(
        *("export-2234", "shop.jobs.Export", Reason.DELAYED),
        f"Delayed until {now + timedelta(seconds=8):%H:%M:%S}: 13 s delay = |15 s - 2 retries|.",
        ago=5,
        priority=3,
        retries=2,
        following=8,
        delay=15,
    )
    job("invoice-6044", "shop.jobs.Invoice", Reason.QUEUED, full, ago=8, priority=1)
    running = "Attempt 1 of 5 runs on node-2."
    job(
        *("invoice-6043", "shop.jobs.Invoice", Reason.RUNNING, running),
        ago=13,
        priority=1,
        started=7,
        labels=customer,
    )
    job("mail-13311", "shop.jobs.Mail#send", Reason.STARTING, "Its pod starts.", ago=15, priority=1)
    job(
        *("report-2231", "shop.jobs.Report", Reason.PAUSED),
        "Class shop.jobs.Report is paused: database migration.",
        ago=34,
        priority=3,
        retries=2,
        labels=customer,
    )
    job("export-2233", "shop.jobs.Export", Reason.QUEUED, full, ago=49, priority=3, could_start=36)
    sent = job(
        *("mail-13310", "shop.jobs.Mail#send", Reason.SUCCEEDED, "Attempt 1 of 5 succeeded."),
        ago=53,
        priority=1,
        attempts=1,
        ran=0.8,
        ended=50,
        started=51,
        result={"sent": 1},
    )
    _ended(rows, now, sent, 50, 0.8, "Succeeded")
    replaced = job(
        *("mail-13309", "shop.jobs.Mail#send", Reason.SUCCEEDED, "Attempt 2 of 5 succeeded."),
        ago=80,
        priority=1,
        attempts=2,
        of_run=2,
        ran=0.9,
        ended=58,
        disruptions=1,
        labels=customer,
    )
    _ended(rows, now, replaced, 58, 0.9, "Disrupted", "Succeeded")
    job(
        *("index-9", "search.jobs.Reindex#rebuild", Reason.CANCELLING),
        "It is being stopped: wrong shard.",
        ago=146,
        namespace="search",
        started=120,
    )
    killed = job(
        *("thumb-5521", "media.jobs.Thumbnail", Reason.OOM_KILLED),
        "All 4 attempts failed; the last was killed at its memory limit (OOMKilled).",
        ago=184,
        namespace="media",
        attempts=4,
        ran=12,
        ended=85,
        started=170,
    )
    oom = ("OOMKilled", "OOMKilled", "The container used more than 256Mi and was killed.")
    _ended(rows, now, killed, 85, 12, *["Failed"] * 4, error=oom)
    unfit = job(
        *("thumb-5519", "media.jobs.Thumbnail", Reason.BAD_PARAMETERS),
        "Attempt 1 failed for good: missing a required argument: 'width' (exit code 65).",
        ago=216,
        namespace="media",
        attempts=1,
        ran=0.2,
        ended=197,
    )
    text = "missing a required argument: 'width'"
    _ended(rows, now, unfit, 197, 0.2, "Failed", error=("TypeError", "BadParameters", text))
    job(
        *("import-88", "data.jobs.Import#load", Reason.UNSCHEDULABLE),
        "0/3 nodes are available: 2 Insufficient memory, 1 node(s) were unschedulable.",
        ago=295,
        namespace="data",
        could_start=288,
    )
    cancelled = job(
        *("index-8", "search.jobs.Reindex#rebuild", Reason.CANCELLED),
        "Cancelled: superseded. It took 4 s to stop.",
        ago=309,
        namespace="search",
        attempts=1,
        ran=184,
        ended=107,
        cancelReason="superseded",
    )
    _ended(rows, now, cancelled, 107, 184, "Cancelled")
    _act(rows, cancelled["uid"], "cancelled", 0, "ben@example.org", now - timedelta(seconds=111))
    job(
        *("legacy-12", "shop.jobs.LegacySync", Reason.NOT_ALLOWED),
        "Class shop.jobs.LegacySync is not in the allowlist: ask a platform engineer to add it to "
        "ConfigMap bgjobs-allowlist, then retry this job.",
        ago=337,
        ended=187,
    )
    job(
        *("feed-31", "data.jobs.Feed", Reason.CONFIGURATION_INVALID),
        "Runtime data.jobs.Feed is not valid: unknown key imagePulPolicy.",
        ago=467,
        namespace="data",
    )
    job(
        *("backup-5", "data.jobs.Import#load", Reason.SUSPENDED),
        "Suspended: kubectl bgjob resume lets it go on.",
        ago=63_480,
        namespace="data",
    )


def _three_runs(rows: Mapping[sa.Table, list[Row]], now: datetime) -> None:
    job = _job(
        rows,
        now,
        "stock-778",
        "shop.jobs.SyncStock",
        Reason.BACKING_OFF,
        "Attempt 3 of 4 failed (ConnectionError: inventory.local:8443 refused the connection); "
        "the last one starts after a backoff of 20.8 s.",
        ago=425,
        attempts=6,
        of_run=3,
        run=3,
        following=12,
        could_start=-12,
        started=418,
        delay=8,
        effective_delay=5,
        labels={"customer": "42", "team": "inventory"},
        parameters={"warehouse": 7, "api_token": "s3cret", "items": {"db_password": "x", "n": 3}},
        error_group=SYNC_STOCK,
        cancelReason="wrong warehouse, see INC-412",
    )
    begins = ((1, 1, 418, 2.2, 12, 1), (1, 2, 402, 1.8, 31, 143), (2, 1, 300, 2.0, 8.4, 1))
    latest = ((3, 1, 92, 2.5, 12.1, 1), (3, 2, 72, 2.9, 13.8, 1), (3, 3, 40, 4.1, 27.1, 1))
    for run, attempt, ago, waited, ran, code in (*begins, *latest):
        outcome = "Cancelled" if code == 143 else "Failed"
        _attempt(rows, now, job, run, attempt, ago, waited, ran, outcome, code)
    _act(rows, job["uid"], "cancelled", 0, "ana@example.org", now - timedelta(seconds=372))
    _act(rows, job["uid"], "retried", 1, "ben@example.org", now - timedelta(seconds=303))
    _act(rows, job["uid"], "retried", 2, "ben@example.org", now - timedelta(seconds=95))


def _ended(
    rows: Mapping[sa.Table, list[Row]],
    now: datetime,
    job: Row,
    ended: float,
    ran: float,
    *outcomes: str,
    error: tuple[str, str, str] | None = None,
) -> None:
    """The attempts of a job, of which the last one has `ended` so many seconds ago."""
    codes = {"Succeeded": 0, "Cancelled": 143, "Disrupted": 137}
    for number, outcome in enumerate(outcomes, 1):
        ago = ended + ran + (len(outcomes) - number) * (ran + 7)
        _attempt(rows, now, job, 1, number, ago, 0.7, ran, outcome, codes.get(outcome, 1))
        if error:
            kind, reason, message = error
            more = {"error_type": kind, "reason": reason, "message": message}
            rows[ATTEMPTS][-1] |= {**more, "error_place": None, "error_group": None}


def _attempt(
    rows: Mapping[sa.Table, list[Row]],
    now: datetime,
    job: Row,
    run: int,
    attempt: int,
    ago: float,
    waited: float,
    ran: float,
    outcome: str,
    code: int,
    log: str = _LOG,
) -> None:
    started = now - timedelta(seconds=ago)
    failed = outcome == "Failed"
    rows[ATTEMPTS].append(
        {
            "uid": job["uid"],
            "run": run,
            "attempt": attempt,
            "job_name": f"{job['name'][:40]}-{job['uid'][:8]}-{run}-{attempt}",
            "node_name": f"node-{1 + attempt % 3}",
            "outcome": outcome,
            "reason": "Error" if failed else outcome,
            "message": "inventory.local:8443 refused the connection" if failed else "",
            "exit_code": code,
            "could_start_at": started - timedelta(seconds=waited),
            "started_at": started,
            "finished_at": started + timedelta(seconds=ran),
            "peak_memory_bytes": (112 + attempt) * 2**20,
            "memory_limit_bytes": 256 * 2**20,
            "cpu_seconds": ran / 8,
            "error_group": SYNC_STOCK if failed else None,
            "error_type": "ConnectionError" if failed else None,
            "error_place": "shop.clients.inventory:88 in fetch" if failed else None,
            "ended_as": "Cancelled" if outcome == "Cancelled" else None,
            "class": job["class"],
            "priority": job["priority"],
            "created_at": job["created_at"],
            "resource_version": job["resource_version"],
            "epoch": 0,
        }
    )
    if outcome != "Succeeded":
        rows[LOG_TAILS].append({"uid": job["uid"], "run": run, "attempt": attempt, "text": log})


def _hard(rows: Mapping[sa.Table, list[Row]], now: datetime) -> None:
    """The longest name and class, 64 KiB of parameters, text that wants to be markup."""
    large = {"items": [{"sku": f"{n:06d}", "note": "ünïcödé 👋"} for n in range(1300)]}
    job = _job(
        rows,
        now,
        LONGEST_NAME,
        "a_package." * 24 + "AClassName" + "#a_method_" + "m" * 200,
        Reason.ERROR,
        f"Attempt 4 of 4 failed: {HOSTILE} " + "x" * 500,
        ago=600,
        attempts=4,
        ran=3661,
        ended=20,
        started=590,
        namespace="n" * 63,
        parameters=large,
        labels={"example.org/" + "k" * 63: "v" * 63, "team": "inventory"},
        by=HOSTILE,
    )
    for attempt in range(1, 5):
        log = _LOG if attempt < 4 else f"{HOSTILE}\n" + "y" * 16_000
        _attempt(rows, now, job, 1, attempt, 600 - 100 * attempt, 1, 60, "Failed", 1, log)
    _job(
        rows,
        now,
        "deleted-midway",
        "shop.jobs.Export",
        Reason.RUNNING,
        "Attempt 1 of 4 runs.",
        ago=700,
        started=690,
        deleted=400,
    )


def _older(rows: Mapping[sa.Table, list[Row]], now: datetime) -> None:
    """Enough for several pages."""
    drawn = random.Random(7)
    for number in range(120):
        class_, _, _, ran, _ = _CLASSES[number % len(_CLASSES)]
        failed = number % 17 == 3
        ago = 900 + number * 211
        job = _job(
            rows,
            now,
            f"{class_.rpartition('.')[2].lower()}-{4000 - number}",
            class_,
            Reason.ERROR if failed else Reason.SUCCEEDED,
            "All 4 attempts failed: ConnectionError." if failed else "Attempt 1 of 4 succeeded.",
            ago=ago,
            namespace=class_.partition(".")[0],
            priority=1 + number % 3,
            attempts=4 if failed else 1,
            ran=ran * drawn.uniform(0.5, 2),
            ended=ago - 90,
            started=ago - 5,
            result=None if failed else {"done": number},
            error_group=SYNC_STOCK if failed else None,
        )
        outcome, code = ("Failed", 1) if failed else ("Succeeded", 0)
        _attempt(rows, now, job, 1, 1, ago - 5, 2, ran, outcome, code)


def _bucket(now: datetime, number: int) -> datetime:
    """The start of the bucket so many before the current one."""
    current = now.replace(minute=now.minute // 5 * 5, second=0, microsecond=0)
    return current - timedelta(minutes=5 * number)


def _rollups(now: datetime) -> list[Row]:
    drawn = random.Random(11)
    found = []
    for class_, succeeded, failed, ran, memory in _CLASSES:
        for number in range(2 * 288):
            wave = 0.4 + math.sin(number / 288 * 2 * math.pi + len(class_)) ** 2
            count = round(succeeded / 288 * wave * drawn.uniform(0.7, 1.3))
            broken = failed if number == 2 else 0
            if not count and not broken:
                continue
            attempts = count + 4 * broken
            steps = dict.fromkeys((*WAIT_STEPS, *RUN_STEPS), 0)
            for _ in range(attempts):
                steps[WAIT_STEPS[min(8, int(drawn.expovariate(0.7)))]] += 1
                steps[RUN_STEPS[min(12, int(math.log2(ran + 1) + drawn.uniform(0, 2.4)))]] += 1
            found.append(
                {
                    "bucket_at": _bucket(now, number),
                    "class": class_,
                    "priority": 1 + len(class_) % 3,
                    "attempts": attempts,
                    "failed_attempts": 4 * broken,
                    "disrupted_attempts": 0,
                    "succeeded": count,
                    "failed": broken,
                    "cancelled": 0,
                    "run_seconds": attempts * ran,
                    "cpu_seconds": attempts * ran / 7,
                    "peak_memory_bytes": int(memory * 2**28 * drawn.uniform(0.85, 1)),
                    "memory_limit_bytes": 2**28,
                    "memory_share": memory,
                    **steps,
                }
            )
    return found


def _error_rollups(rows: Mapping[sa.Table, list[Row]], now: datetime) -> list[Row]:
    found: list[Row] = []
    template = rows[ATTEMPTS][0]
    for name, place, class_, attempts, failed, hours in _ERRORS:
        group = group_of(name, place)
        buckets = max(1, round(hours * 12))
        count = min(6, attempts, buckets)
        parts: Sequence[int] = [attempts // count] * count
        for number, part in enumerate(parts):
            found.append(
                {
                    "bucket_at": _bucket(now, number * buckets // len(parts)),
                    "error_group": group,
                    "class": class_,
                    "attempts": part,
                    "failed": failed if number == 0 else 0,
                }
            )
        if group != SYNC_STOCK:
            job = rows[JOBS][10]
            rows[ATTEMPTS].append(
                {
                    **template,
                    "uid": job["uid"],
                    "run": 1,
                    "attempt": 1 + len(found),
                    "class": class_,
                    "error_group": group,
                    "error_type": name,
                    "error_place": place,
                    "message": _MESSAGES.get(name, "missing a required argument: 'width'"),
                    "finished_at": now - timedelta(hours=hours / 6),
                    "created_at": job["created_at"],
                }
            )
    return found
