"""Names of child Jobs: deterministic, so that a repeated start meets its first."""

import hashlib

_NAME_CHARACTERS = 40


def child_job_name(name: str, uid: str, run: int, attempt: int) -> str:
    """The name of the child Job of one attempt, at most 63 characters.

    Readable first, unique by the uid's digest: a BackgroundJob that was deleted
    and created again under the same name never meets its predecessor's Jobs.
    """
    digest = hashlib.sha256(uid.encode()).hexdigest()[:8]
    readable = name.replace(".", "-")[:_NAME_CHARACTERS].rstrip("-")
    return f"{readable}-{digest}-{run}-{attempt}"
