"""Records what somebody asks of the API server, as its access rules see it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

from tests.proxying import Request, proxy
from tests.server import Server


class Call(NamedTuple):
    """What RBAC decides on."""

    verb: str
    group: str
    resource: str


class Answered(NamedTuple):
    call: Call
    status: int


_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch"}


def _call(method: str, target: str) -> Call | None:
    """None for what is about no resource, such as discovery."""
    url = urlsplit(target)
    match url.path.strip("/").split("/"):
        case ["api", _, "namespaces", _, *rest] | ["api", _, *rest] if rest:
            group = ""
        case ["apis", group, _, "namespaces", _, *rest] | ["apis", group, _, *rest] if rest:
            pass
        case _:
            return None
    resource, name, *sub = [*rest, ""]
    if method == "GET":
        watches = parse_qs(url.query).get("watch") == ["true"]
        verb = "watch" if watches else "get" if name else "list"
    elif method == "DELETE":
        verb = "delete" if name else "deletecollection"
    else:
        verb = _VERBS[method]
    return Call(verb, group, "/".join(filter(None, [resource, *sub])))


@contextmanager
def recorder(server: Server) -> Iterator[tuple[str, set[Answered]]]:
    """A way to the API server that records what it is asked: its address and its record."""
    record: set[Answered] = set()

    def answered(request: Request, status: int) -> None:
        if call := _call(request.method, request.target):
            record.add(Answered(call, status))

    with proxy(server, answered=answered) as url:
        yield url, record
