"""The deadlines of all requests under way, behind one timer.

A timer for each request would be a tenth of what the request costs, and hardly one of them ever fires. Here a request
only notes its end: as long as all of them have about the same time, the one timer is set already.
"""

from __future__ import annotations

import asyncio
from math import inf
from types import TracebackType
from typing import Self


class Deadlines:
    """The blocks that are open, and when each is to end by TimeoutError. Of one loop."""

    def __init__(self) -> None:
        self._ends: dict[Deadline, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def within(self, seconds: float | None) -> Deadline:
        """A block of so many seconds: ``with deadlines.within(2.0):``; None leaves its end to ``end_all``.

        As ``asyncio.timeout``, which it costs less than: what is awaited in it is cancelled when the time is up, and
        the block raises TimeoutError; a cancellation of the task by others stays one.
        """
        return Deadline(self, seconds)

    def end_all(self) -> None:
        """End all blocks now."""
        for deadline in self._ends:
            deadline.come()
        self._ends.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def note(self, deadline: Deadline, seconds: float | None) -> None:
        if seconds is None:
            self._ends[deadline] = inf
            return
        loop = asyncio.get_running_loop()
        self._ends[deadline] = end = loop.time() + seconds
        if self._timer is None or end < self._timer.when():
            self._set(loop, end)

    def is_open(self, deadline: Deadline) -> bool:
        return deadline in self._ends

    def forget(self, deadline: Deadline) -> None:
        self._ends.pop(deadline, None)

    def _set(self, loop: asyncio.AbstractEventLoop, end: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = loop.call_at(end, self._fire, loop)

    def _fire(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        now = loop.time()
        for deadline in [deadline for deadline, end in self._ends.items() if end <= now]:
            del self._ends[deadline]
            deadline.come()
        nearest = min(self._ends.values(), default=inf)
        if nearest < inf:
            self._set(loop, nearest)


class Deadline:
    """One block; see ``Deadlines.within``."""

    __slots__ = ("_cancelling", "_deadlines", "_has_come", "_seconds", "_task")

    _task: asyncio.Task[object]
    _cancelling: int

    def __init__(self, deadlines: Deadlines, seconds: float | None) -> None:
        self._deadlines = deadlines
        self._seconds = seconds
        self._has_come = False

    def move(self, seconds: float) -> None:
        """Put the end off, to so many seconds from now, unless it has come already."""
        if self._deadlines.is_open(self):
            self._deadlines.note(self, seconds)

    def come(self) -> None:
        """End the block."""
        self._has_come = True
        self._task.cancel()

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a deadline is for a task")
        self._task = task
        self._cancelling = task.cancelling()
        self._deadlines.note(self, self._seconds)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._deadlines.forget(self)
        # Only if nobody else has cancelled the task too.
        if self._has_come and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error
