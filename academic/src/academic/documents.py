"""Compares files of text, as a job of its own: it needs neither the service nor its database."""

import itertools
import json
import os
from pathlib import Path

from bgjobs_runner import PermanentFailure, job

_SHOWN = 10
_LOGGED = 100
# The runner leaves out a larger result.
_RESULT_BYTES = 3072


@job
class CompareDocuments:
    """Finds documents that have passages in common."""

    def handle(self, directory: str) -> dict[str, object]:
        """Compare every two documents in `directory`; the most similar pairs come first.

        A document is a file of UTF-8 text directly in `directory`. Symbolic links
        are left out, and what cannot be compared is named under `skipped`.
        `similarity` is the part of the shorter document that is found in the
        other, from 0 to 1. The log has more pairs than the result has room for.
        """
        # Not at the top: it takes most of a second, and whoever dispatches this job imports it.
        from academic.fingerprints import fingerprints, similarity

        documents = {}
        skipped = []
        for path in _files(directory):
            # A file name need not be text.
            name = os.fsencode(path.name).decode(errors="backslashreplace")
            try:
                documents[name] = fingerprints(_text(path))
            except ValueError as error:
                print(f"skipped {name}: {error}")
                skipped.append(f"{name}: {error}")
        if len(documents) < 2:
            raise PermanentFailure(
                f"Comparing needs two documents, and {directory} has {len(documents)};"
                f" skipped: {'; '.join(skipped[:_SHOWN]) or 'nothing'}"
            )
        ranked = sorted(
            (
                (similarity(documents[a], documents[b]), a, b)
                for a, b in itertools.combinations(documents, 2)
            ),
            key=lambda pair: -pair[0],
        )
        for found, a, b in ranked[:_LOGGED]:
            print(f"{found:.3f} {a} {b}")
        pairs = [{"a": a, "b": b, "similarity": round(found, 3)} for found, a, b in ranked]
        counts = {"documents": len(documents), "compared": len(pairs)}
        return _cut_to_fit(counts, pairs[:_SHOWN], skipped[:_SHOWN])


def _files(directory: str) -> list[Path]:
    try:
        return sorted(
            path for path in Path(directory).iterdir() if path.is_file() and not path.is_symlink()
        )
    except OSError as error:
        raise PermanentFailure(
            f"{directory} cannot be read ({error.strerror}): name a directory that is in the image"
            " or that the runtime mounts"
        ) from error


def _text(path: Path) -> str:
    """The text of a document; raises ValueError with the reason if there is none."""
    try:
        text = path.read_bytes().decode()
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise ValueError("is not UTF-8 text") from error
    if "\0" in text:
        raise ValueError("is not text")
    return text


def _cut_to_fit(
    counts: dict[str, int], pairs: list[dict[str, object]], skipped: list[str]
) -> dict[str, object]:
    """The result, with as many pairs and skipped files as long names leave room for."""
    result: dict[str, object] = {**counts, "pairs": pairs, "skipped": skipped}
    while len(json.dumps(result).encode()) > _RESULT_BYTES:
        if len(pairs) > len(skipped):
            pairs.pop()
        else:
            skipped.pop()
    return result
