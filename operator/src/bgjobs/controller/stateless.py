"""Keeps kopf from keeping state.

It would write annotations and a finalizer, and would read back, and try to
remove, those that anybody may have put on an object.
"""

from typing import Any

import kopf

FINALIZER = "no finalizer"
"""A name that the API server lets nobody use."""


class DiffBase(kopf.DiffBaseStorage):
    """What an object was like before: never known."""

    def build(self, **_: Any) -> kopf.BodyEssence:
        return kopf.BodyEssence()

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None:
        """Nothing."""


class Progress(kopf.ProgressStorage):
    """How far the handlers of an object have come: never known."""

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None:
        """Nothing."""

    def purge(self, **_: Any) -> None:
        """Nothing."""

    def touch(self, **_: Any) -> None:
        """Nothing."""

    def clear(self, *, essence: kopf.BodyEssence) -> kopf.BodyEssence:
        return essence
