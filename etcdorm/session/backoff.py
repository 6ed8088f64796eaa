"""Pauses between the tries of one call."""

from __future__ import annotations

import asyncio
import random
import time

_FIRST, _LONGEST = 0.02, 0.5


class Backoff:
    """Pauses of random length that grow, until ``timeout`` seconds from now."""

    def __init__(self, timeout: float) -> None:
        self._deadline = time.monotonic() + timeout
        self.tries = 0
        """How often it has paused, or was to."""

    async def pause(self) -> bool:
        """Wait before another try; False, at once, when there is no time for one."""
        seconds = random.uniform(0, min(_LONGEST, _FIRST * 2.0**self.tries))
        self.tries += 1
        if time.monotonic() + seconds >= self._deadline:
            return False
        await asyncio.sleep(seconds)
        return True
