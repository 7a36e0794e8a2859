"""Watches the operator's two ConfigMaps, each by its name alone."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from bgjobs.kube import paths
from bgjobs.kube.api import REQUEST_ERRORS, Api, in_words

_PAUSE_SECONDS = 1.0

logger = logging.getLogger(__name__)

Seen = Callable[[dict[str, Any] | None], None]


async def follow(api: Api, namespace: str, name: str, seen: Seen) -> None:
    """Calls `seen` with the ConfigMap whenever it may have changed, with None while it is absent.

    Runs for ever; a broken watch begins again with a fresh read.
    """
    selector = f"metadata.name={name}"
    path = paths.config_maps(namespace)
    while True:
        try:
            listing = await api.get_list(path, fieldSelector=selector)
            items = listing["items"]
            seen(items[0] if items else None)
            version = listing["metadata"]["resourceVersion"]
            async for event in api.watch(path, fieldSelector=selector, resourceVersion=version):
                if event["type"] == "BOOKMARK":
                    continue
                seen(None if event["type"] == "DELETED" else event["object"])
        except REQUEST_ERRORS as error:
            logger.warning(
                "the watch of ConfigMap %s/%s begins again: %s", namespace, name, in_words(error)
            )
        await asyncio.sleep(_PAUSE_SECONDS)
