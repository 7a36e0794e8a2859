"""The pages, a module each: what it reads, and what its template of the same name shows."""

from fastapi import APIRouter

from bgjobs.dashboard.pages import (
    actions,
    analytics,
    configuration,
    errors,
    health,
    job,
    jobs,
    overview,
    why,
)

router = APIRouter(include_in_schema=False)
for page in (overview, jobs, job, why, actions, errors, analytics, configuration, health):
    router.include_router(page.router)
