"""How a page is made: its template, headers and what every page has."""

import hashlib
import re
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, NamedTuple

from fastapi import Request, Response
from jinja2 import Environment, PackageLoader, StrictUndefined

from bgjobs.dashboard import words
from bgjobs.dashboard.charts import meter
from bgjobs.dashboard.filters import utc_now
from bgjobs.dashboard.states import GROUPS, STATES
from bgjobs.dashboard.view import Freshness

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    # Or a browser would run an older version's scripts on a page of a newer one.
    "Cache-Control": "private, no-cache",
}
_TICKS = re.compile(
    rb'(?P<kept><time class="rel" datetime=[^>]*>)[^<]*'
    rb'|<time class="rel" id="as-of"[^>]*>[^<]*'
    rb'| data-now="[^"]*"'
)
"""What a page counts on by itself, from a time that is kept: not a reason to send it again.

That as of which all of it is comes with every answer.
"""


class Problem(NamedTuple):
    """A page that says what is wrong and what to do."""

    status: HTTPStatus
    title: str
    text: str
    hint: str = ""
    command: str = ""


def environment() -> Environment:
    found = Environment(
        loader=PackageLoader("bgjobs.dashboard"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.globals |= {
        "words": words,
        "STATES": STATES,
        "GROUPS": GROUPS,
        "meter": meter,
        "now_utc": lambda: datetime.now(UTC),
    }
    found.filters |= {
        "pair": lambda value: (value, value),
        "period": lambda item: (item[0], item[1][1]),
    }
    return found


def render(
    templates: Environment,
    request: Request,
    template: str,
    *,
    status: int = HTTPStatus.OK,
    user: str | None = None,
    fresh: Freshness | None = None,
    **values: Any,
) -> Response:
    """The page, or 304 where the browser has it already but for what it counts on itself."""
    page = templates.get_template(template).render(
        path=request.url.path,
        user=user,
        fresh=fresh,
        now=utc_now(),
        **values,
    )
    response = _answer(request, page.encode(), status)
    if fresh and fresh.as_of:
        response.headers["X-As-Of"] = words.iso(fresh.as_of)
    return response


def _answer(request: Request, body: bytes, status: int = HTTPStatus.OK) -> Response:
    digest = hashlib.sha256(_TICKS.sub(rb"\g<kept>", body)).hexdigest()[:32]
    headers = {**HEADERS, "ETag": f'"{digest}"'}
    if status == HTTPStatus.OK and request.headers.get("If-None-Match") == headers["ETag"]:
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(body, status, headers, "text/html; charset=utf-8")
