"""Blocking work for asyncio code that must not be left half done."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


async def run_to_end(work: Callable[[], None], *, when_cancelled: Callable[[], None] | None = None) -> None:
    """Do blocking work in a thread, and return only when it has ended.

    Cancel: ``when_cancelled`` is called, which may tell the work to give up; once that has ended, with or without an
    error, CancelledError goes on its way.
    """
    thread = asyncio.ensure_future(asyncio.to_thread(work))
    cancelled: asyncio.CancelledError | None = None
    while not thread.done():
        try:
            await asyncio.wait([thread])
        except asyncio.CancelledError as error:
            cancelled = error
            if when_cancelled is not None:
                when_cancelled()
    failure = thread.exception()
    if cancelled is not None:
        raise cancelled
    if failure is not None:
        raise failure
