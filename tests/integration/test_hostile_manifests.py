"""Whatever somebody applies is refused in words, rejected, or carried as it is.

The tables hold JSON as text, because Python has no value for some of it. It is applied as kubectl
does, with strict field validation.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from tests import operating, watching
from tests import server as api
from tests.operating import Operator
from tests.server import Answer, Jobs
from tests.watching import (
    allow,
    child_jobs,
    pods,
    reason,
    set_key,
    submit,
    wait,
    wait_finished,
    wait_row,
)

_CLASS = f'"class": "{watching.CLASS}"'
_FAULTS = 'controller_runtime_reconcile_total{result="error"}'


@pytest.fixture(autouse=True)
def _no_worker_faults(operator: Operator) -> Iterator[None]:
    before = operating.metric(operator, _FAULTS)
    yield
    assert operating.metric(operator, _FAULTS) == before


def _apply(jobs: Jobs, metadata: str, spec: str = _CLASS, beside: str = "") -> Answer:
    text = (
        '{"apiVersion": "bgjobs.dev/v1alpha1", "kind": "BackgroundJob", '
        f'"metadata": {{{metadata}}}, "spec": {{{spec}}}{beside}}}'
    )
    url = f"{jobs.server.url}{jobs.path}?fieldValidation=Strict"
    headers = {"Content-Type": "application/json"}
    # Half a character, as some programs write it, is no UTF-8.
    body = text.encode(errors="surrogatepass")
    response = jobs.server.pool.request("POST", url, body=body, headers=headers)
    return Answer(response.status, response.json())


def _applied(jobs: Jobs, metadata: str, spec: str = _CLASS, beside: str = "") -> Any:
    answer = _apply(jobs, metadata, spec, beside)
    assert answer.status == 201, answer.message
    return answer.body


def _text(value: object) -> str:
    """Canonical, so that 1, 1.0 and true differ."""
    return json.dumps(value, sort_keys=True)


_NO_CLASS = "class must be the dotted path of a Python class such as shop.jobs.SyncStock"
_NO_METHOD = "method must be the name of a public Python method such as handle"
_NOT_ALLOWED = "is not on the allowlist: check the spelling, or ask your platform engineers"
_NO_PRIORITY = "priority must be the name High, Medium or Low, or the number 1, 2 or 3"
_NO_DELAY = "delay must be whole seconds (90) or a number with s, m or h (90s, 15m, 2h)"
_NO_TIME = "startAt must be a time from the years 2000 to 2999 in RFC 3339 with its zone"
_TOO_LARGE = "bytes and may take 65536 (64 KiB): keep large data in a file, bucket or database"
_TOO_DEEP = "parameters may be nested 16 levels deep and these are deeper: flatten them"


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        pytest.param('"class": "os.system"', _NOT_ALLOWED, id="os.system"),
        pytest.param('"class": "os", "method": "system"', _NO_CLASS, id="system of os"),
        pytest.param('"class": "builtins.__import__"', _NOT_ALLOWED, id="__import__"),
        pytest.param(f'{_CLASS}, "method": "__import__"', _NO_METHOD, id="method __import__"),
        pytest.param(f'{_CLASS}, "method": "_handle"', _NO_METHOD, id="private method"),
        pytest.param(
            f'{_CLASS}, "method": "handle.__globals__"', _NO_METHOD, id="what a method holds"
        ),
        pytest.param(
            f'{_CLASS}, "method": "other"',
            "is not on the allowlist (only handle): check the spelling",
            id="another method",
        ),
        pytest.param(f'{_CLASS}, "method": "handle\\n"', _NO_METHOD, id="method and newline"),
        pytest.param(f'"class": "{watching.CLASS}\\n"', _NO_CLASS, id="class and newline"),
        pytest.param(f'"class": "{watching.CLASS}\\u0000"', _NO_CLASS, id="class and NUL"),
        pytest.param(f'"class": "{watching.CLASS}\\ud800"', _NO_CLASS, id="class and a surrogate"),
        pytest.param('"class": "kwok.jobs.Sсripted"', _NO_CLASS, id="class with a homoglyph"),
        pytest.param('"class": "kwok.jobs.Ｓcripted"', _NO_CLASS, id="class with a wide letter"),
        pytest.param('"class": "kwok.jobs.$(SECRET)"', _NO_CLASS, id="class with a variable"),
        pytest.param('"class": "kwok.jobs.scripted"', _NOT_ALLOWED, id="class in lower case"),
        pytest.param(
            '"class": ["os.system"]', "spec.class in body must be of type string", id="a list"
        ),
        pytest.param('"class": null', "spec.class: Required value", id="no class"),
        pytest.param('"method": "handle"', "spec.class: Required value", id="nothing but a method"),
        pytest.param(
            f'{_CLASS}, "Class": "os.system"', 'unknown field "spec.Class"', id="a second Class"
        ),
        pytest.param(
            f'{_CLASS}, "class": "os.system"', 'duplicate field "spec.class"', id="class twice"
        ),
        pytest.param(f'{_CLASS}, "image": "evil:1"', 'unknown field "spec.image"', id="an image"),
        pytest.param(f'{_CLASS}, "priority": "1"', _NO_PRIORITY, id='priority "1"'),
        pytest.param(f'{_CLASS}, "priority": 0', _NO_PRIORITY, id="priority 0"),
        pytest.param(f'{_CLASS}, "priority": 4', _NO_PRIORITY, id="priority 4"),
        pytest.param(
            f'{_CLASS}, "priority": true', "must be of type integer,string", id="priority true"
        ),
        pytest.param(f'{_CLASS}, "delay": "1d"', _NO_DELAY, id="delay 1d"),
        pytest.param(f'{_CLASS}, "delay": "-1s"', _NO_DELAY, id="delay -1s"),
        pytest.param(f'{_CLASS}, "delay": "٣s"', _NO_DELAY, id="delay in Arabic digits"),
        pytest.param(f'{_CLASS}, "delay": 31536001', _NO_DELAY, id="delay over a year"),
        pytest.param(f'{_CLASS}, "delay": 1.5', "must be of type integer,string", id="delay 1.5"),
        pytest.param(
            f'{_CLASS}, "delay": 99999999999999999999',
            "must be of type integer,string",
            id="delay beyond 64 bits",
        ),
        pytest.param(f'{_CLASS}, "startAt": "9999-12-31T23:59:59Z"', _NO_TIME, id="year 9999"),
        pytest.param(f'{_CLASS}, "startAt": "0001-01-01T00:00:00Z"', _NO_TIME, id="year 1"),
        pytest.param(f'{_CLASS}, "startAt": "2030-06-30T23:59:60Z"', _NO_TIME, id="leap second"),
        pytest.param(f'{_CLASS}, "startAt": "2030-01-31T06:00:00"', _NO_TIME, id="no zone"),
        pytest.param(f'{_CLASS}, "retries": -1', "greater than or equal to 0", id="retries -1"),
        pytest.param(f'{_CLASS}, "retries": 101', "less than or equal to 100", id="retries 101"),
        pytest.param(f'{_CLASS}, "retries": "3"', "must be of type integer", id='retries "3"'),
        pytest.param(f'{_CLASS}, "retries": 1.5', "must be of type int32", id="retries 1.5"),
        pytest.param(f'{_CLASS}, "retries": 1e400', "cannot unmarshal number 1e400", id="1e400"),
        pytest.param(
            f'{_CLASS}, "backoff": {{"factor": 0}}', "greater than or equal to 1", id="factor 0"
        ),
        pytest.param(
            f'{_CLASS}, "backoff": {{"factor": 1e308}}', "less than or equal to 10", id="1e308"
        ),
        pytest.param(f'{_CLASS}, "backoff": {{"factor": NaN}}', "json parse error", id="NaN"),
        pytest.param(
            f'{_CLASS}, "startRequests": -1', "greater than or equal to 0", id="negative counter"
        ),
        pytest.param(
            f'{_CLASS}, "startRequests": 2147483648',
            "less than or equal to 1000000",
            id="counter 2^31",
        ),
        pytest.param(
            f'{_CLASS}, "retryRequests": 9223372036854775808',
            "spec.retryRequests in body must be of type int32",
            id="counter 2^63",
        ),
        pytest.param(
            f'{_CLASS}, "cancelReason": "{"x" * 513}"', "may not be more than 512", id="a novel"
        ),
        pytest.param(
            f'{_CLASS}, "parameters": [1]',
            "spec.parameters in body must be of type object",
            id="parameters that are a list",
        ),
        pytest.param(
            f'{_CLASS}, "parameters": "{{}}"',
            "spec.parameters in body must be of type object",
            id="parameters as text",
        ),
        pytest.param(
            f'{_CLASS}, "parameters": {{"a": "{"x" * (1 << 20)}"}}', _TOO_LARGE, id="1 MiB"
        ),
        pytest.param(
            f'{_CLASS}, "parameters": {{"a": "{"x" * (4 << 20)}"}}',
            "Request entity too large: limit is",
            id="4 MiB",
        ),
        pytest.param(
            f'{_CLASS}, "parameters": {json.dumps({f"k{n}": n for n in range(10_000)})}',
            _TOO_LARGE,
            id="10,000 keys",
        ),
        pytest.param(
            f'{_CLASS}, "parameters": {{"a": {"[" * 16}{"]" * 16}}}', _TOO_DEEP, id="17 levels"
        ),
        pytest.param(
            f'{_CLASS}, "parameters": {{"a": {"[" * 5000}{"]" * 5000}}}',
            _TOO_DEEP,
            id="5,000 levels",
        ),
        pytest.param(
            f'{_CLASS}, "parameters": {{"a": {"[" * 20000}{"]" * 20000}}}',
            "exceeded max depth",
            id="20,000 levels",
        ),
        pytest.param(
            f'{_CLASS}, "parameters": {{"a": 1, "a": 2}}',
            'duplicate field "spec.parameters.a"',
            id="a key twice",
        ),
        pytest.param(
            f'{_CLASS}, "parameters": {{"a": Infinity}}', "json parse error", id="Infinity"
        ),
        pytest.param(
            f'{_CLASS}, "parameters": {{"a": -1e400}}', "cannot unmarshal number", id="-1e400"
        ),
        pytest.param(
            f'{_CLASS}, "parameters": {{"a": {"9" * 5000}}}', "cannot unmarshal number", id="9..."
        ),
        pytest.param(
            f'{_CLASS}, "parameters": {{"a": "\0"}}', "invalid character '\\x00'", id="a raw NUL"
        ),
    ],
)
def test_refused_at_apply_with_a_message(jobs: Jobs, name: str, spec: str, words: str) -> None:
    answer = _apply(jobs, f'"name": "{name}"', spec)
    assert 400 <= answer.status < 500
    assert words in answer.message


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        pytest.param('"name": ""', "name or generateName is required", id="no name"),
        pytest.param('"name": "../../etc"', "a lowercase RFC 1123 subdomain", id="a path"),
        pytest.param('"name": "a..b"', "a lowercase RFC 1123 subdomain", id="an empty part"),
        pytest.param('"name": "hello\\n"', "a lowercase RFC 1123 subdomain", id="a newline"),
        pytest.param('"name": "😀"', "a lowercase RFC 1123 subdomain", id="emoji"),
        pytest.param('"name": "$(SECRET)"', "a lowercase RFC 1123 subdomain", id="a variable"),
        pytest.param(f'"name": "{"a" * 254}"', "must be no more than 253", id="254 characters"),
        pytest.param(
            '"name": "a", "labels": {"bgjobs.dev/run": "-1"}', "a valid label", id="a wrong label"
        ),
        pytest.param(
            f'"name": "a", "annotations": {{"a": "{"x" * (256 << 10)}"}}',
            "Too long: may not be more than 262144 bytes",
            id="annotations of 256 KiB",
        ),
        pytest.param(
            '"name": "a", "namespace": "kube-system"',
            "does not match the namespace",
            id="another namespace",
        ),
    ],
)
def test_metadata_refused_at_apply_with_a_message(jobs: Jobs, metadata: str, words: str) -> None:
    answer = _apply(jobs, metadata)
    assert 400 <= answer.status < 500
    assert words in answer.message


_AS_WRITTEN = object()
"""Those that the pretended node cannot return say `pods`, so that it returns nothing."""


@pytest.mark.parametrize(
    ("parameters", "carried"),
    [
        pytest.param('{"a": "b\\u0000c"}', _AS_WRITTEN, id="NUL"),
        pytest.param('{"a": "\\ud83d\\ude00 👩‍💻", "😀": 1}', _AS_WRITTEN, id="emoji"),
        pytest.param('{"аdmin": true, "admin": false}', _AS_WRITTEN, id="homoglyphs"),
        pytest.param(
            '{"a": "\\u202egnp.exe\\u2028\\u2029\\ufeff\\uffff", "pods": [{"message": ""}]}',
            _AS_WRITTEN,
            id="bidi",
        ),
        pytest.param('{"a": "$(SECRET) ${SECRET} $SECRET"}', _AS_WRITTEN, id="variables"),
        pytest.param('{"a": "$$", "$(BGJOB_UID)": "$$$(A)$"}', _AS_WRITTEN, id="dollars"),
        pytest.param('{"a": "\'; DROP TABLE jobs; --\\"\\\\"}', _AS_WRITTEN, id="quotes"),
        pytest.param('{"a": "{{ .Env }} {% x %} <script>"}', _AS_WRITTEN, id="templates"),
        pytest.param(
            '{"a": "b\\r\\n\\tc \\u001b[31m\\u007f", "pods": [{"message": ""}]}',
            _AS_WRITTEN,
            id="control characters",
        ),
        pytest.param(
            '{"__proto__": {"a": 1}, "constructor": {"prototype": 1}, "__class__": "os.system"}',
            _AS_WRITTEN,
            id="keys that mean something elsewhere",
        ),
        pytest.param(
            '{"self": 1, "class": 2, "ctx": 3, "a b": 4, "1": 5}', _AS_WRITTEN, id="names"
        ),
        pytest.param('{"": {"": [""]}, " ": null}', _AS_WRITTEN, id="empty keys"),
        pytest.param(f'{{"a": {"[" * 15}{"]" * 15}}}', _AS_WRITTEN, id="16 levels"),
        pytest.param(json.dumps({f"k{n}": n for n in range(5_000)}), _AS_WRITTEN, id="5,000 keys"),
        pytest.param(json.dumps({"a": "$" * 65_000}), _AS_WRITTEN, id="64 KiB of dollars"),
        pytest.param(
            json.dumps({"a": "😀" * 16_000}, ensure_ascii=False), _AS_WRITTEN, id="64 KiB"
        ),
        pytest.param("{}", _AS_WRITTEN, id="nothing"),
        pytest.param("null", {}, id="null"),
        pytest.param(
            '{"a": 9223372036854775807, "b": -9223372036854775808}', _AS_WRITTEN, id="64 bits"
        ),
        pytest.param('{"a": 1.5e300, "b": 1e-300, "c": 0.1}', _AS_WRITTEN, id="fractions"),
        pytest.param('{"a": "12", "b": 12, "c": true, "d": "true"}', _AS_WRITTEN, id="types"),
        # What follows, the API server itself changes before anybody sees it: the schema says so.
        pytest.param('{"a": 1.0, "b": 1e2, "c": -0.0}', {"a": 1, "b": 100, "c": 0}, id="whole"),
        pytest.param('{"a": 9223372036854775808}', {"a": 9223372036854776000}, id="beyond 64 bits"),
        pytest.param('{"a": "\\ud800b", "\\udc00": 1}', {"a": "\ufffdb", "\ufffd": 1}, id="half"),
        pytest.param('{"a": "\ud800b"}', {"a": "\ufffd\ufffd\ufffdb"}, id="a raw half"),
    ],
)
def test_parameters_are_carried_as_equal_json(
    jobs: Jobs, name: str, parameters: str, carried: object
) -> None:
    job = _applied(jobs, f'"name": "{name}"', f'{_CLASS}, "parameters": {parameters}')
    assert wait_finished(jobs, name)["status"]["phase"] == "Succeeded"
    [pod] = pods(jobs, job["metadata"]["uid"])
    environment = {e["name"]: e["value"] for e in pod["spec"]["containers"][0]["env"]}
    sent = environment["BGJOB_PARAMETERS"].replace("$$", "\0").replace("$", "").replace("\0", "$")
    expected = json.loads(parameters) if carried is _AS_WRITTEN else carried
    assert _text(json.loads(sent)) == _text(expected)


def _owner(jobs: Jobs) -> str:
    """Something else's reference that says it controls the job."""
    path = f"/api/v1/namespaces/{jobs.namespace}/configmaps/kube-root-ca.crt"
    reference = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "name": "kube-root-ca.crt",
        "uid": api.request(jobs.server, "GET", path).body["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
    return f'"ownerReferences": [{json.dumps(reference)}]'


@pytest.mark.parametrize(
    "metadata",
    [
        pytest.param(
            '"labels": {"bgjobs.dev/uid": "1", "bgjobs.dev/run": "7", "bgjobs.dev/attempt": "x"}',
            id="labels of ours",
        ),
        pytest.param(
            '"annotations": {"bgjobs.dev/name": "x", "bgjobs.dev/class": "os.system"}',
            id="annotations of ours",
        ),
        pytest.param(
            '"annotations": {"kopf.zalando.org/last-handled-configuration": "{broken",'
            ' "kopf.zalando.org/touch-dummy": "now", "kopf.dev/x": "{}"}',
            id="annotations of the watcher",
        ),
        pytest.param(f'"annotations": {{"a": "{"x" * (200 << 10)}"}}', id="200 KiB of annotations"),
        pytest.param(
            '"deletionTimestamp": "2020-01-01T00:00:00Z", "creationTimestamp":'
            ' "2099-01-01T00:00:00Z", "uid": "../x", "generation": 9, "selfLink": "/x"',
            id="what the API server writes",
        ),
    ],
)
def test_strange_metadata_changes_nothing(jobs: Jobs, name: str, metadata: str) -> None:
    job = _applied(jobs, f'"name": "{name}", {metadata}')
    assert wait_finished(jobs, name)["status"]["phase"] == "Succeeded"
    assert len(child_jobs(jobs, job["metadata"]["uid"])) == 1


def test_a_foreign_owner_changes_nothing(jobs: Jobs, name: str) -> None:
    job = _applied(jobs, f'"name": "{name}", {_owner(jobs)}')
    assert wait_finished(jobs, name)["status"]["phase"] == "Succeeded"
    [child] = child_jobs(jobs, job["metadata"]["uid"])
    assert [o["uid"] for o in child["metadata"]["ownerReferences"]] == [job["metadata"]["uid"]]


@pytest.mark.parametrize(
    "finalizer", ["example.com/held", "kopf.zalando.org/KopfFinalizerMarker", "foregroundDeletion"]
)
def test_a_finalizer_is_its_owners_to_remove(jobs: Jobs, name: str, finalizer: str) -> None:
    _applied(jobs, f'"name": "{name}", "finalizers": ["{finalizer}"]')
    done = wait_finished(jobs, name)
    assert done["status"]["phase"] == "Succeeded"
    assert done["metadata"]["finalizers"] == [finalizer]
    assert api.patch(jobs, name, {"metadata": {"finalizers": None}}).status == 200


def test_a_forged_author_is_replaced_by_the_true_one(jobs: Jobs, name: str) -> None:
    _applied(jobs, f'"name": "{name}", "annotations": {{"bgjobs.dev/created-by": "root"}}')
    done = wait_finished(jobs, name)
    assert done["metadata"]["annotations"]["bgjobs.dev/created-by"] != "root"


def test_a_forged_time_of_a_change_changes_nothing(jobs: Jobs, name: str) -> None:
    _applied(jobs, f'"name": "{name}"', f'{_CLASS}, "suspend": true')
    wait(jobs, name, reason("Suspended"))
    forged = {
        "manager": "x",
        "operation": "Update",
        "apiVersion": "bgjobs.dev/v1alpha1",
        "time": "0000-01-01T00:00:00Z",
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:spec": {"f:retries": {}}},
    }
    change = {"metadata": {"managedFields": [forged]}, "spec": {"suspend": False}}
    changed = api.patch(jobs, name, change)
    assert forged in changed.body["metadata"]["managedFields"], changed.message
    assert wait_finished(jobs, name)["status"]["phase"] == "Succeeded"


def test_a_status_of_its_own_is_ignored(jobs: Jobs, name: str) -> None:
    forged = '"phase": "Succeeded", "reason": "Succeeded", "result": "forged", "run": 9'
    _applied(jobs, f'"name": "{name}"', beside=f', "status": {{{forged}}}')
    status = wait_finished(jobs, name)["status"]
    assert (status["run"], status["result"], len(status["attempts"])) == (1, {}, 1)


def test_names_are_generated(jobs: Jobs) -> None:
    job = _applied(jobs, '"generateName": "hostile-"')
    done = wait_finished(jobs, job["metadata"]["name"])
    assert done["status"]["phase"] == "Succeeded"


def test_names_that_are_alike_for_long_are_told_apart(jobs: Jobs) -> None:
    alike = "a.b-" * 62
    names = [f"{alike}1.x", f"{alike}2.x", f"{'c' * 39}-d", f"{'c' * 39}.d", "0"]
    uids = {each: _applied(jobs, f'"name": "{each}"')["metadata"]["uid"] for each in names}
    made = set()
    for each, uid in uids.items():
        assert wait_finished(jobs, each)["status"]["phase"] == "Succeeded"
        [child] = child_jobs(jobs, uid)
        made.add(child["metadata"]["name"])
    assert len(made) == len(names)


def test_a_hostile_reason_to_cancel_is_told_and_mirrored(
    jobs: Jobs, name: str, database: sa.Engine
) -> None:
    why = "\\u0000\\u202e😀\\ud800'\\\"; DROP TABLE jobs; --" + "💥" * 400
    spec = f'{_CLASS}, "delay": "1h", "cancelled": true, "cancelReason": "{why}"'
    _applied(jobs, f'"name": "{name}"', spec)
    job = wait_finished(jobs, name)
    assert job["status"]["phase"] == "Cancelled"
    assert "\0\u202e😀\ufffd'\"; DROP TABLE jobs; --💥" in job["status"]["message"]
    assert wait_row(database, job)["message"] == job["status"]["message"]


def test_parameters_that_only_the_operator_can_measure_are_rejected(jobs: Jobs, name: str) -> None:
    """The admission policy counts a comma with a space as one character."""
    spec = f'{_CLASS}, "parameters": {{"a": "{", " * 32_800}"}}'
    job = _applied(jobs, f'"name": "{name}"', spec)
    status = wait_finished(jobs, name)["status"]
    assert (status["phase"], status["reason"]) == ("Rejected", "ParametersTooLarge")
    assert "The parameters are 65608 bytes of JSON, more than 65536" in status["message"]
    assert child_jobs(jobs, job["metadata"]["uid"]) == []


def test_a_class_of_other_namespaces_is_rejected(jobs: Jobs, name: str) -> None:
    class_ = "elsewhere.jobs.Job"
    allow(jobs, class_)
    set_key(jobs.server, "bgjobs-runtimes", class_, "serviceAccountName: shop\nnamespaces: [shop]")
    try:
        uid = submit(jobs, name, class_=class_)
        status = wait_finished(jobs, name)["status"]
    finally:
        set_key(jobs.server, "bgjobs-runtimes", class_, None)
    assert (status["phase"], status["reason"]) == ("Rejected", "NamespaceNotAllowed")
    assert f"may be used in the namespaces shop only, not in {jobs.namespace}" in status["message"]
    assert child_jobs(jobs, uid) == []


def test_a_plain_job_still_finishes(jobs: Jobs, name: str) -> None:
    submit(jobs, name)
    assert wait_finished(jobs, name, within_s=5)["status"]["phase"] == "Succeeded"


def _send(jobs: Jobs, method: str, path: str, body: str = "", kind: str = "json") -> None:
    """Does not read the answer: it may be too deep for Python."""
    url = jobs.server.url + path
    headers = {"Content-Type": f"application/{kind}"}
    response = jobs.server.pool.request(method, url, body=body, headers=headers)
    assert response.status < 300, response.data[:1_000]


@pytest.fixture
def too_deep(jobs: Jobs) -> Iterator[None]:
    """A BackgroundJob, a Job and a pod that no parser of Python's reads."""
    levels, place = 2_000, watching.new_namespace(jobs.server, "too-deep")
    fields = '{"f:a": ' * levels + "{}" + "}" * levels
    entry = (
        f'{{"manager": "x", "operation": "Update", "fieldsType": "FieldsV1", "fieldsV1": {fields}'
    )
    labels = '{"bgjobs.dev/uid": "x", "bgjobs.dev/run": "1", "bgjobs.dev/attempt": "1"}'
    pod = '{"restartPolicy": "Never", "containers": [{"name": "job", "image": "x:1"}]}'

    def manifest(api_version: str, kind: str, spec: str) -> str:
        fields = f'{entry}, "apiVersion": "{api_version}"}}'
        metadata = f'{{"name": "deep", "labels": {labels}, "managedFields": [{fields}]}}'
        head = f'"apiVersion": "{api_version}", "kind": "{kind}"'
        return f'{{{head}, "metadata": {metadata}, "spec": {spec}}}'

    template = f'{{"suspend": true, "template": {{"spec": {pod}}}}}'
    _send(place, "POST", watching.pods_path(place), manifest("v1", "Pod", pod))
    _send(place, "POST", watching.jobs_path(place), manifest("batch/v1", "Job", template))
    submit(place, "deep", suspend=True)
    result = f'{{"status": {{"result": {"[" * levels}{"]" * levels}}}}}'
    _send(place, "PATCH", f"{place.path}/deep/status", result, "merge-patch+json")
    yield
    _send(place, "DELETE", f"{place.path}/deep")
    _send(place, "DELETE", f"{watching.jobs_path(place)}/deep")
    _send(place, "DELETE", f"{watching.pods_path(place)}/deep?gracePeriodSeconds=0")


@pytest.mark.usefixtures("too_deep")
def test_what_is_too_deep_for_every_parser_stops_no_other_job(
    jobs: Jobs, name: str, operator: Operator
) -> None:
    submit(jobs, f"{name}-watched")
    assert wait_finished(jobs, f"{name}-watched")["status"]["phase"] == "Succeeded"
    operating.kill(operator)
    operating.start(operator)
    submit(jobs, f"{name}-listed")
    assert wait_finished(jobs, f"{name}-listed")["status"]["phase"] == "Succeeded"


_NUMBER_5 = {"name": "a", "uid": "b", "run": 1, "attempt": 5}
_ENDED = {
    "run": 1_000_001,
    "attempt": 1_000,
    "jobName": "a",
    "finish": "2001-01-31T06:00:00Z",
    "outcome": "Suspended",
    "reason": "Suspended",
}


@pytest.mark.parametrize(
    "status",
    [
        pytest.param({"retriesUsed": 99}, id="retries without an attempt"),
        pytest.param({"run": 2}, id="a second run without a first one's end"),
        pytest.param({"jobRef": _NUMBER_5}, id="a Job that was never there"),
        pytest.param(
            {
                "run": 1_000_001,
                "attemptsTotal": 2**31 - 1,
                "suspensions": 2**31 - 1,
                "attempts": [_ENDED],
            },
            id="the largest numbers",
        ),
    ],
)
def test_a_job_goes_on_from_whatever_status_it_was_given_by_hand(
    jobs: Jobs, name: str, status: dict[str, Any]
) -> None:
    _applied(jobs, f'"name": "{name}"', f'{_CLASS}, "suspend": true')
    wait(jobs, name, reason("Suspended"))
    answer = api.patch_status(jobs, name, status)
    assert answer.status == 200, answer.message
    watching.change(jobs, name, suspend=False)
    assert wait_finished(jobs, name)["status"]["phase"] == "Succeeded"
