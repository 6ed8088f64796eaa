"""The deadlines of all requests under way, behind one timer.

A timer for each request would be a tenth of what the request costs, and hardly one of them ever fires. Here a request
only notes its end: as long as all of them have about the same time, the one timer is set already.
"""

from __future__ import annotations

import asyncio
from math import inf


class Deadlines:
    """Which ``asyncio.timeout(None)`` blocks are open, and when to end them by TimeoutError. Of one loop."""

    def __init__(self) -> None:
        self._ends: dict[asyncio.Timeout, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def start(self, limit: asyncio.Timeout, seconds: float | None) -> None:
        """End this block after so many seconds; None leaves that to ``end_all``. To be followed by ``stop``."""
        if seconds is None:
            self._ends[limit] = inf
            return
        loop = asyncio.get_running_loop()
        self._ends[limit] = end = loop.time() + seconds
        if self._timer is None or end < self._timer.when():
            self._set(loop, end)

    def move(self, limit: asyncio.Timeout, seconds: float) -> None:
        """Put the end of a block off, to so many seconds from now, unless it has come already."""
        if limit in self._ends:
            self.start(limit, seconds)

    def stop(self, limit: asyncio.Timeout) -> None:
        self._ends.pop(limit, None)

    def end_all(self) -> None:
        """End all blocks now."""
        for limit in self._ends:
            limit.reschedule(0)
        self._ends.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set(self, loop: asyncio.AbstractEventLoop, end: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = loop.call_at(end, self._fire, loop)

    def _fire(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        now = loop.time()
        for limit in [limit for limit, end in self._ends.items() if end <= now]:
            del self._ends[limit]
            limit.reschedule(0)
        nearest = min(self._ends.values(), default=inf)
        if nearest < inf:
            self._set(loop, nearest)
