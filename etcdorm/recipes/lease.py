"""A record that is kept alive, and what can be said of it by this machine's own clock."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

MARGIN = 0.1
"""The share of a TTL by which a lease is declared lost early: for two clocks that differ in speed, and for telling."""

Beat = Callable[[], Awaitable[None]]
"""Puts a record's expiry off to its whole TTL from now.

Raises: NotFoundError when it is gone; UsageError when it has no TTL any more; another EtcdormError when that can't be
told, and it can be tried again.
"""


@dataclass(frozen=True, slots=True)
class Moment:
    """A point in time, by the running loop's clock and by the machine's.

    In asyncio's own loops both are CLOCK_MONOTONIC. A loop may have another one, as in tests, or one that stands still
    while the loop is blocked, as uvloop's does; what counts is the one by which more time has passed.
    """

    loop: float
    machine: float

    @classmethod
    def now(cls) -> Moment:
        return cls(asyncio.get_running_loop().time(), time.monotonic())

    @property
    def ago(self) -> float:
        """Seconds since then."""
        now = Moment.now()
        return max(now.loop - self.loop, now.machine - self.machine)


class Lease:
    """A record with a TTL that is kept alive for the time of a block.

    ``lost`` is set, by this machine's monotonic clock, before the TTL can have run out at the server: it is counted
    from when the last request was sent that was answered, less a tenth. A lost lease stays lost.
    """

    def __init__(self, name: str, ttl: int, beat: Beat, *, sent: Moment) -> None:
        self.name: Final[str] = name
        """What is kept, for logs and errors."""
        self.ttl: Final[int] = ttl
        self.lost: Final[asyncio.Event] = asyncio.Event()
        self.reason: str = "it was not put off in time"
        """Why it was lost."""
        self.beat: Final[Beat] = beat
        self.renewed_at: Moment = sent
        self._kept = True  # else it has no TTL any more, and needs no keeping
        self._told: list[Callable[[], None]] = []

    @property
    def valid(self) -> bool:
        """Whether the record exists for certain; right also when the event loop stood still, and ``lost`` is late."""
        return self.left > 0

    @property
    def left(self) -> float:
        """Seconds until it is lost, unless it is put off before."""
        if self.lost.is_set():
            return 0.0
        if not self._kept:
            return float("inf")
        return self.ttl * (1 - MARGIN) - self.renewed_at.ago

    @property
    def over_at(self) -> float:
        """When it is lost, by the loop's clock."""
        return self.renewed_at.loop + self.ttl * (1 - MARGIN)

    def renewed(self, sent: Moment) -> None:
        """A request that was sent then has put the expiry off."""
        self.renewed_at = sent

    def let_go(self) -> None:
        """The record has no TTL any more, and lives on by itself."""
        self._kept = False

    def lose(self, reason: str) -> None:
        """Say that it can't be relied on any more."""
        if not self.lost.is_set():
            self.reason = reason
            self.lost.set()
            for tell in self._told[:]:
                tell()

    def when_lost(self, tell: Callable[[], None]) -> Callable[[], None]:
        """Call ``tell`` when it is lost, soon if it is already; returns how to call that off."""
        if self.lost.is_set():
            return asyncio.get_running_loop().call_soon(tell).cancel
        self._told.append(tell)

        def forget() -> None:
            if tell in self._told:
                self._told.remove(tell)

        return forget
