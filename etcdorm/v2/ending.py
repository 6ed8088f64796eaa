"""Ending a task that is one's own, so that it is over when that returns."""

from __future__ import annotations

import asyncio


async def end(task: asyncio.Task[None]) -> None:
    """Cancel a task and wait until it has cleaned up; what it raises is not looked at.

    Cancel: it waits on all the same, and is cancelled then; else the task would outlive its owner.
    """
    task.cancel()
    cancelled = False
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        raise asyncio.CancelledError
