"""Clean-up that must finish, also when the task that does it is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable


async def to_end(work: Awaitable[None]) -> None:
    """Wait until ``work`` has ended; a cancellation that comes meanwhile is kept until then.

    Raises: what ``work`` raises; CancelledError at the end when this task was cancelled.
    """
    task = asyncio.ensure_future(work)
    cancelled = False
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            cancelled = True
    task.result()
    if cancelled:
        raise asyncio.CancelledError
