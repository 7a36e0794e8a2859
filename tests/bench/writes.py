"""Writes to the API server, by its own metrics."""

import re
from collections import Counter

from tests.server import Server

_SAMPLE = re.compile(r"^apiserver_request_total\{(.*)\} (\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')
_READS = {"GET", "LIST", "WATCH", "CONNECT"}


def counted(server: Server) -> Counter[str]:
    """How many there were since its start, such as PATCH pods/status, refused ones included."""
    return count(server.pool.request("GET", f"{server.url}/metrics").data.decode())


def count(metrics: str) -> Counter[str]:
    counts: Counter[str] = Counter()
    for labels, value in _SAMPLE.findall(metrics):
        label = dict(_LABEL.findall(labels))
        if label["verb"] not in _READS:
            what = f"{label['verb']} {label['resource']}/{label['subresource']}".rstrip("/")
            counts[what] += int(float(value))
    return counts
