"""Ending tasks that use redis-py.

redis-py sends through asyncio.wait_for, which on Python 3.11 loses a cancellation that comes just as it completes.
A task that loops would then go on for ever.
"""

import asyncio
from typing import Any

_AGAIN_SECONDS = 0.1


async def end(task: asyncio.Task[Any]) -> None:
    """Cancels the task until it is over. Its own error, if it ends with one, is not raised."""
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=_AGAIN_SECONDS)


def heed_cancellation() -> None:
    """Raises the CancelledError that the current task has been sent, if it was lost on the way."""
    task = asyncio.current_task()
    if task and task.cancelling():
        raise asyncio.CancelledError
