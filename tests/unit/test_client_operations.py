"""What the client asks of an API server, request by request, whatever that answers."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from bgjobs.client import (
    NameTakenError,
    NoSuchJobError,
    NotFinishedError,
    Phase,
    RefusedError,
    UnreachableError,
    operations,
    submission,
)
from bgjobs.client.operations import Answer, Operation, Request, Target

_NAME = "stock-7"
_TARGET = Target(name=_NAME)
_JOB = submission("shop.jobs.SyncStock", warehouse=7, name=_NAME)


class _Silence:
    """No answer."""


NO_ANSWER = _Silence()


class Script:
    """Answers one after the other, and remembers what was asked. Each answer takes a second."""

    def __init__(self, *answers: Answer | _Silence) -> None:
        self._answers: Iterator[Answer | _Silence] = iter(answers)
        self.asked: list[Request] = []
        self._seconds = 0.0

    def now(self) -> float:
        return self._seconds

    def answer(self, request: Request) -> Answer:
        self.asked.append(request)
        self._seconds += 1 + request.after_seconds
        answer = next(self._answers, NO_ANSWER)
        if isinstance(answer, _Silence):
            raise UnreachableError("Connection refused")
        return answer

    def run(self, operation: Operation[Any]) -> Any:
        return operations.run(operation, self.answer)

    @property
    def methods(self) -> str:
        return " ".join(
            "WATCH" if each.watch_seconds else "LIST" if is_list(each) else each.method
            for each in self.asked
        )


def is_list(request: Request) -> bool:
    return request.method == "GET" and request.name is None


def said(status: int, body: Any) -> Answer:
    return Answer(status, json.dumps(body).encode())


def refused(status: int, message: str = "no", **details: Any) -> Answer:
    return said(status, {"kind": "Status", "message": message, "details": details})


def job(phase: str = "Pending", uid: str = "u1", version: str = "1", **spec: object) -> Any:
    return {
        "metadata": {"name": _NAME, "uid": uid, "resourceVersion": version},
        "spec": {**_JOB.manifest["spec"], **spec},
        "status": {"phase": phase, "reason": "Queued", "message": "Waiting"},
    }


def listed(*jobs: Any, version: str = "9") -> Answer:
    return said(200, {"metadata": {"resourceVersion": version}, "items": jobs})


def event(kind: str, body: Any) -> Answer:
    return said(200, {"type": kind, "object": body})


def test_a_job_is_created_by_one_request() -> None:
    script = Script(said(201, job()))
    assert script.run(operations.create(_JOB))["metadata"]["uid"] == "u1"
    assert script.methods == "POST"


def test_what_was_created_though_its_answer_was_lost_is_found() -> None:
    script = Script(NO_ANSWER, refused(409), said(200, job()))
    assert script.run(operations.create(_JOB))["metadata"]["uid"] == "u1"
    assert script.methods == "POST POST GET"


def test_a_job_that_was_changed_since_is_still_the_same() -> None:
    script = Script(refused(409), said(200, job("Running", priority="Low", suspend=True)))
    assert script.run(operations.create(_JOB))["status"]["phase"] == "Running"


@pytest.mark.parametrize(
    "other", [{"parameters": {"warehouse": 8}}, {"method": "count"}, {"class": "shop.jobs.Other"}]
)
def test_another_job_of_that_name_is_an_error(other: Any) -> None:
    script = Script(refused(409), said(200, job(**other)))
    with pytest.raises(NameTakenError, match=f"its {next(iter(other))} differ") as error:
        script.run(operations.create(_JOB))
    assert error.value.is_final


def test_a_job_that_vanishes_while_it_is_compared_is_created() -> None:
    script = Script(refused(409), refused(404), said(201, job(uid="u2")))
    assert script.run(operations.create(_JOB))["metadata"]["uid"] == "u2"


def test_no_answer_is_an_error_after_three_tries() -> None:
    script = Script()
    with pytest.raises(UnreachableError, match="Connection refused"):
        script.run(operations.create(_JOB))
    assert [each.after_seconds for each in script.asked] == [0.0, 0.2, 0.4]


@pytest.mark.parametrize(
    ("retry_after", "want"), [("2", 2.0), ("3600", 5.0), (None, 0.2), ("soon", 0.2)]
)
def test_a_busy_server_says_when_to_ask_again(retry_after: str | None, want: float) -> None:
    script = Script(Answer(429, b"busy", retry_after), said(201, job()))
    script.run(operations.create(_JOB))
    assert script.asked[1].after_seconds == want


@pytest.mark.parametrize(
    ("answer", "says", "is_final"),
    [
        pytest.param(
            refused(422, "x", causes=[{"field": "spec.retries", "message": "must be <= 100"}]),
            "spec.retries: must be <= 100",
            True,
            id="a field",
        ),
        pytest.param(
            refused(403, "x", causes=[{"message": "class x is not on the allowlist"}]),
            "class x is not on the allowlist",
            True,
            id="a policy",
        ),
        pytest.param(
            refused(
                403,
                "x",
                causes=[
                    {
                        "reason": "NamespaceTerminating",
                        "message": "namespace shop is being terminated",
                        "field": "metadata.namespace",
                    }
                ],
            ),
            "namespace shop is being terminated",
            False,
            id="a namespace that ends",
        ),
        pytest.param(refused(403, "may not create"), "may not create", False, id="a right"),
        pytest.param(Answer(404, b"404 page not found\n"), "install bgjobs", False, id="no CRD"),
        pytest.param(Answer(500, b""), "HTTP 500", False, id="silent"),
        pytest.param(refused(401, "Unauthorized"), "Unauthorized", False, id="unknown"),
    ],
)
def test_a_refusal_is_told_in_the_servers_words(answer: Answer, says: str, is_final: bool) -> None:
    with pytest.raises(RefusedError, match=says) as error:
        Script(answer).run(operations.create(_JOB))
    assert error.value.is_final is is_final


@pytest.mark.parametrize("body", [b"<html>", b"[1]", b"[" * 100_000])
def test_what_is_no_api_server_is_found_out(body: bytes) -> None:
    with pytest.raises(UnreachableError, match="no API server"):
        Script(*[Answer(200, body)] * 3).run(operations.get(_TARGET))


def wait(script: Script, timeout_seconds: float | None = None) -> Any:
    return script.run(operations.wait(_TARGET, timeout_seconds, script.now))


def test_waiting_follows_the_changes_of_the_job() -> None:
    script = Script(
        listed(job()),
        event("MODIFIED", job("Running", version="2")),
        event("MODIFIED", job("Succeeded", version="3")),
    )
    assert wait(script).phase is Phase.SUCCEEDED
    assert script.methods == "LIST WATCH WATCH"
    assert [each.query.get("resourceVersion") for each in script.asked] == [None, "9", "2"]


def test_a_retry_that_no_operator_has_seen_yet_is_waited_for() -> None:
    again = job("Failed", retryRequests=1)
    done = job("Failed", retryRequests=1)
    done["status"]["observedRetryRequests"] = 1
    assert wait(Script(listed(again), event("MODIFIED", done))).phase is Phase.FAILED


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(Answer(200, b""), id="ended"),
        pytest.param(refused(410), id="expired"),
        pytest.param(event("ERROR", {"kind": "Status", "code": 410}), id="told to look again"),
        pytest.param(Answer(429, b"", "1"), id="busy"),
        pytest.param(Answer(200, b'{"type": "MODI'), id="broken off"),
        pytest.param(NO_ANSWER, id="no answer"),
    ],
)
def test_when_a_watch_breaks_the_job_is_looked_up(broken: Answer | _Silence) -> None:
    script = Script(listed(job()), broken, listed(job("Succeeded")))
    assert wait(script).phase is Phase.SUCCEEDED
    assert script.methods == "LIST WATCH LIST"
    assert script.asked[2].after_seconds > 0, "a watch that fails at once would be a tight loop"


def test_a_watch_begins_at_what_the_server_has_not_at_the_last_change_of_the_job() -> None:
    lost = event("ERROR", {"kind": "Status", "code": 410})
    script = Script(
        listed(job(version="1"), version="50"),
        lost,
        listed(job(version="1"), version="51"),
        event("MODIFIED", job("Succeeded", version="52")),
    )
    assert wait(script).phase is Phase.SUCCEEDED
    assert script.methods == "LIST WATCH LIST WATCH"
    assert [each.query.get("resourceVersion") for each in script.asked] == [None, "50", None, "51"]
    assert {each.query["fieldSelector"] for each in script.asked} == {f"metadata.name={_NAME}"}


def test_a_job_deleted_as_it_finished_shows_its_last_state() -> None:
    script = Script(listed(job("Running")), event("DELETED", job("Succeeded")))
    assert wait(script).phase is Phase.SUCCEEDED


@pytest.mark.parametrize("there", [listed(), listed(job(uid="u2"))])
def test_a_job_deleted_unfinished_is_gone(there: Answer) -> None:
    script = Script(listed(job()), event("DELETED", job("Running")), there)
    with pytest.raises(NoSuchJobError):
        wait(script)


def test_the_time_to_wait_ends() -> None:
    script = Script(listed(job()), Answer(200, b""), listed(job("Running")))
    with pytest.raises(NotFinishedError, match="still Running: Waiting"):
        wait(script, timeout_seconds=3)
    assert script.asked[1].watch_seconds == 2


def test_the_time_to_wait_ends_while_the_server_is_away() -> None:
    script = Script()
    with pytest.raises(NotFinishedError, match="cannot be seen just now: Connection refused"):
        wait(script, timeout_seconds=5)
    assert [each.within_seconds for each in script.asked][:2] == [5, 4]
    assert all(each.after_seconds > 0 for each in script.asked[1:]), "that is a tight loop"


def test_a_server_that_is_away_is_waited_for_a_minute_and_not_for_ever() -> None:
    script = Script(listed(job()), *[NO_ANSWER] * 8, listed(job("Succeeded")))
    assert wait(script).phase is Phase.SUCCEEDED
    script = Script(listed(job()))
    with pytest.raises(UnreachableError):
        wait(script)
    assert 60 < script.now() < 70


def test_a_cancel_changes_only_what_was_seen() -> None:
    script = Script(said(200, job()), said(200, job(cancelled=True)))
    script.run(operations.cancel(_TARGET, "typo"))
    assert script.asked[1].body == {
        "metadata": {"uid": "u1", "resourceVersion": "1"},
        "spec": {"cancelled": True, "cancelReason": "typo"},
    }


def test_a_change_in_between_is_looked_at_again() -> None:
    script = Script(said(200, job()), refused(409), said(200, job(version="2")), said(200, job()))
    script.run(operations.start(_TARGET))
    assert script.methods == "GET PATCH GET PATCH"
    assert script.asked[3].body == {
        "metadata": {"uid": "u1", "resourceVersion": "2"},
        "spec": {"startRequests": 1},
    }


@pytest.mark.parametrize(
    ("operation", "counter"),
    [(operations.start, "startRequests"), (operations.retry, "retryRequests")],
)
def test_a_request_whose_answer_was_lost_is_not_made_twice(operation: Any, counter: str) -> None:
    before, after = job(), job()
    before["spec"][counter], after["spec"][counter] = 4, 5
    script = Script(said(200, before), NO_ANSWER, refused(409), said(200, after))
    script.run(operation(_TARGET))
    assert script.methods == "GET PATCH PATCH GET"


def test_another_job_of_that_name_is_not_changed() -> None:
    with pytest.raises(NoSuchJobError, match="another one has its name"):
        Script(said(200, job(uid="u2"))).run(operations.cancel(replace(_TARGET, uid="u1"), ""))


def test_a_job_that_never_keeps_still_is_given_up() -> None:
    answers = [said(200, job()), refused(409)] * 8
    with pytest.raises(UnreachableError, match="changes faster"):
        Script(*answers).run(operations.start(_TARGET))
