"""When two outputs count as the same."""

import hashlib


def comparable(output: str) -> list[str]:
    """Its lines, without spaces at their ends and empty lines at the end."""
    return "\n".join(line.rstrip() for line in output.splitlines()).rstrip("\n").split("\n")


def digest(output: str) -> str:
    """Stands for the whole of an output, of which a result may only show the beginning."""
    lines = "\n".join(comparable(output))
    return hashlib.sha256(lines.encode(errors="replace")).hexdigest()[:16]
