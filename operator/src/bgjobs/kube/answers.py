"""What the API server answers, cut to a depth that every parser of JSON bears."""

from collections.abc import AsyncIterator
from typing import Any, Self, cast

import aiohttp
import orjson

from bgjobs.kube.depth import cut


def loads(payload: bytes) -> Any:
    """Raises orjson.JSONDecodeError where it is no JSON."""
    try:
        return orjson.loads(payload)
    except orjson.JSONDecodeError:
        return orjson.loads(cut(payload))


class Response(aiohttp.ClientResponse):
    """Answers that kopf can read, too: a list as JSON, a watch in chunks of lines."""

    async def start(self, connection: Any) -> Self:
        await super().start(connection)
        self.content = cast(aiohttp.StreamReader, _Lines(self.content))
        return self

    async def json(self, **_: Any) -> Any:
        return loads(await self.read())


class _Lines:
    def __init__(self, content: aiohttp.StreamReader) -> None:
        self._content = content

    def __getattr__(self, name: str) -> Any:
        return getattr(self._content, name)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Lines of any length: of an object that the API server takes, JSON may be six times it."""
        begun: list[bytes] = []
        async for chunk in self._content.iter_any():
            *lines, rest = chunk.split(b"\n")
            for line in lines:
                yield b"".join([*begun, line])
                begun = []
            begun.append(rest)
        if last := b"".join(begun):
            yield last

    async def iter_chunked(self, _: int) -> AsyncIterator[bytes]:
        async for line in self:
            yield cut(line) + b"\n"
