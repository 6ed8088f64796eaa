"""Clean-up that must finish, also when the task that does it is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


async def to_end(work: Awaitable[None]) -> None:
    """Wait until ``work`` has ended; a cancellation that comes meanwhile is kept until then.

    Raises: what ``work`` raises; CancelledError at the end when this task was cancelled.
    """
    task = asyncio.ensure_future(work)
    cancelled = await _over(task)
    task.result()
    if cancelled:
        raise asyncio.CancelledError


async def whole(work: Awaitable[T]) -> T:
    """Do ``work`` to its end, also when this task is cancelled meanwhile.

    Raises: CancelledError at the end when this task was cancelled, whatever came of the work; else what it raises.
    """
    task = asyncio.ensure_future(work)
    if await _over(task):
        if not task.cancelled():
            task.exception()  # it is known, and nobody else will ask
        raise asyncio.CancelledError
    return task.result()


async def end(task: asyncio.Task[T]) -> None:
    """Cancel a task of one's own and wait until it has cleaned up; what it raises is not looked at.

    Cancel: it waits on all the same, and is cancelled then; else the task would outlive its owner.
    """
    task.cancel()
    if await _over(task):
        raise asyncio.CancelledError


async def _over(task: asyncio.Future[T]) -> bool:
    """Wait until a task is done; returns whether this one was cancelled meanwhile."""
    cancelled = False
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            cancelled = True
    return cancelled
