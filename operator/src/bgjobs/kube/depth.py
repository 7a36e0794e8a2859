"""Cuts JSON to a depth that every parser of it bears.

The API server takes objects that are nested ten thousand levels deep: in managedFields, which
whoever creates an object may bring along, or in a status. One of them must not keep us from reading
the others.
"""

import re

_MAX_DEPTH = 500
"""orjson reads 1024 levels, the standard library 1000 together with what is on the stack."""
_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]')


def cut(payload: bytes) -> bytes:
    """The JSON with null for every map and list that is nested deeper than 500 levels."""
    if payload.count(b"{") + payload.count(b"[") <= _MAX_DEPTH:
        return payload
    kept, begin, depth = [], 0, 0
    for token in _TOKEN.finditer(payload):
        if token[0] in b"{[":
            depth += 1
            if depth == _MAX_DEPTH + 1:
                kept += [payload[begin : token.start()], b"null"]
        elif token[0] in b"}]":
            if depth == _MAX_DEPTH + 1:
                begin = token.end()
            depth -= 1
    return b"".join([*kept, payload[begin:]])
