"""What the API server's own metrics say about writes."""

from tests.bench.writes import count

_METRICS = """\
# TYPE apiserver_request_total counter
apiserver_request_total{code="201",resource="jobs",scope="resource",subresource="",verb="POST"} 3
apiserver_request_total{code="409",resource="jobs",scope="resource",subresource="",verb="POST"} 1
apiserver_request_total{code="200",resource="pods",subresource="status",verb="PATCH"} 1.2e+06
apiserver_request_total{code="200",resource="pods",subresource="",verb="LIST"} 9
apiserver_request_total{code="0",resource="pods",subresource="",verb="WATCH"} 9
apiserver_request_duration_seconds_count{resource="jobs",subresource="",verb="POST"} 4
"""


def test_writes_are_counted_by_verb_and_resource_whatever_the_answer() -> None:
    assert count(_METRICS) == {"POST jobs": 4, "PATCH pods/status": 1_200_000}
