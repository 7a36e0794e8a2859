"""What is done once, until it is done, or again and again; a failure is logged and tried again."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from sqlalchemy.exc import SQLAlchemyError

from bgjobs.kube.api import REQUEST_ERRORS, in_words

_SECONDS_BETWEEN_TRIES = 1

logger = logging.getLogger(__name__)


async def try_once(what: str, action: Callable[[], Awaitable[None]]) -> bool:
    """Does it, and returns whether the API server and the database let it.

    `what` names it in the log, as in "the look at slow starts".
    """
    try:
        await action()
    except (*REQUEST_ERRORS, SQLAlchemyError) as error:
        logger.warning("%s failed and is tried again: %s", what, in_words(error))
        return False
    return True


async def until_done(what: str, action: Callable[[], Awaitable[None]]) -> None:
    while True:
        if await try_once(what, action):
            return
        await asyncio.sleep(_SECONDS_BETWEEN_TRIES)


async def repeat(every_seconds: float, what: str, action: Callable[[], Awaitable[None]]) -> None:
    while True:
        await asyncio.sleep(every_seconds)
        await try_once(what, action)
