"""Names: deterministic where a repeated request must meet its first."""

import hashlib
import re

_NAME_CHARACTERS = 40
_CLASS_CHARACTERS = 24
_KEY_CHARACTERS = 24
_WORD_BEGINS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_OBJECT_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_NOT_IN_NAMES = re.compile(r"[^a-z0-9]+")


def child_job_name(name: str, uid: str, run: int, attempt: int) -> str:
    """The name of the child Job of one attempt, at most 63 characters.

    Readable first, unique by the uid's digest: a BackgroundJob that was deleted
    and created again under the same name never meets its predecessor's Jobs.
    """
    digest = hashlib.sha256(uid.encode()).hexdigest()[:8]
    readable = name.replace(".", "-")[:_NAME_CHARACTERS].rstrip("-")
    return f"{readable}-{digest}-{run}-{attempt}"


def is_object_name(text: str) -> bool:
    """Whether a Kubernetes object may be called so: of a path, such a text is one part."""
    return _OBJECT_NAME.fullmatch(text) is not None


def name_prefix(class_: str) -> str:
    """What a BackgroundJob's name may begin with: sync-stock- for shop.jobs.SyncStock."""
    words = _WORD_BEGINS.sub("-", class_.rpartition(".")[2])
    return f"{_slug(words, _NAME_CHARACTERS) or 'job'}-"


def name_for_key(class_: str, method: str, key: str) -> str:
    """The name of the one BackgroundJob that a method has of this key in a namespace.

    Readable first, unique by a digest of all three.
    """
    digest = hashlib.sha256(f"{class_}\n{method}\n{key}".encode()).hexdigest()[:12]
    words = (name_prefix(class_)[:_CLASS_CHARACTERS].rstrip("-"), _slug(key, _KEY_CHARACTERS))
    return "-".join(filter(None, (*words, digest)))


def _slug(text: str, characters: int) -> str:
    return _NOT_IN_NAMES.sub("-", text.lower()).strip("-")[:characters].rstrip("-")
