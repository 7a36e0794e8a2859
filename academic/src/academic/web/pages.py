"""How a page is made: its template, headers and what every page has."""

import hashlib
import re
from http import HTTPStatus
from typing import Any, NamedTuple

from fastapi import Request, Response
from jinja2 import Environment, PackageLoader, StrictUndefined

from academic.service import job_words
from academic.service.permissions import Action, allows
from academic.store.schema import Kind, Role, utc_now
from academic.web import words
from academic.web.course_charts import meter

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
_TICKS = re.compile(rb'<time class="rel"[^>]*>[^<]*| data-now="[^"]*"|name="key" value="[^"]*"')
"""What differs each time: not a reason to send a page again."""


class Problem(NamedTuple):
    """A page that says what is wrong and what to do."""

    status: HTTPStatus
    title: str
    text: str


def environment() -> Environment:
    found = Environment(
        loader=PackageLoader("academic.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.globals |= {
        "words": words,
        "meter": meter,
        "job_words": job_words,
        "allows": allows,
        "Action": Action,
        "Kind": Kind,
        "Role": Role,
    }
    return found


def render(
    templates: Environment,
    request: Request,
    template: str,
    *,
    status: int = HTTPStatus.OK,
    **values: Any,
) -> Response:
    """The page, or 304 where the browser has it already but for what it counts on itself."""
    values = {"user": None, "form_key": "", "unread": 0, "dashboard_url": "", **values}
    page = templates.get_template(template).render(path=request.url.path, now=utc_now(), **values)
    body = page.encode()
    digest = hashlib.sha256(_TICKS.sub(b"", body)).hexdigest()[:32]
    headers = {**HEADERS, "ETag": f'"{digest}"'}
    if status == HTTPStatus.OK and request.headers.get("If-None-Match") == headers["ETag"]:
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(body, status, headers, "text/html; charset=utf-8")
