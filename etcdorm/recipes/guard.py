"""Ends a block when what it relies on is lost."""

from __future__ import annotations

import asyncio

from etcdorm.recipes.lease import Lease


class Guard:
    """Cancels the task that has opened it when one of the leases is lost, in the manner of ``asyncio.timeout``.

    ::

        guard = Guard(lease)
        try: ...
        except BaseException as error:
            if guard.close(error): raise LockLostError from error    # cancelled by the guard, and by nobody else
            raise
    """

    def __init__(self, *leases: Lease) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("what is kept for a block needs a task that the block runs in")
        self._task = task
        self._cancelling = task.cancelling()
        self._cancelled = False
        self._closed = False
        self._forget = [lease.when_lost(self._lost) for lease in leases]

    def close(self, error: BaseException | None) -> bool:
        """The block has ended, with this error; True when it has ended by the guard's cancellation alone.

        Also when the block has swallowed it and has ended without an error. A cancellation from elsewhere that came
        at the same time is not to be swallowed: then it is False.
        """
        if self._closed:
            return False
        self._closed = True
        for forget in self._forget:
            forget()
        if not self._cancelled:
            return False
        alone = self._task.uncancel() <= self._cancelling
        return alone and (error is None or isinstance(error, asyncio.CancelledError))

    def _lost(self) -> None:
        if self._cancelled or self._closed or self._task is asyncio.current_task():
            return  # the last: the block itself has ended the keeping, and goes on until its end
        self._cancelled = True
        self._task.cancel()
