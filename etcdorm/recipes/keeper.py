"""Keeps any number of records alive, by one schedule for all of them."""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import itertools
import logging
import random
from dataclasses import dataclass, field

from etcdorm.errors import EtcdormError, NotFoundError, UsageError
from etcdorm.finish import end
from etcdorm.recipes.lease import Beat, Lease, Moment

_log = logging.getLogger("etcdorm.lease")

_SHARE = 1 / 3
"""Of a TTL: how often an expiry is put off."""
_LATE = 0.1
"""Of that: who is later than this has come into step with others, and gets a new place in the schedule."""
_RETRY, _SHORTEST_RETRY, _LONGEST_RETRY = 0.1, 0.02, 1.0
"""Of a TTL, and in seconds: how soon after a failure it is tried again; sooner when there is little time left."""


@dataclass(slots=True)
class _Kept:
    lease: Lease
    due: float
    """When to put the expiry off next."""
    since: float = 0.0
    """When it was due first, if it has failed since."""
    turn: int = 0
    """Which of its entries in the schedule is the one that counts."""
    waiting: bool = False
    """It is due, and waits for others to be done."""
    first: Beat | None = None
    """What to do instead of the usual, once."""
    task: asyncio.Task[None] | None = field(default=None, repr=False)
    over: bool = False
    """It is lost, or is to be kept no longer."""

    @property
    def busy(self) -> bool:
        return self.task is not None or self.waiting


class Keeper:
    """Puts the expiry of each record off, three times as often as needed, ``at_once`` of them at the same time at most.

    One timer serves all, and there is none when there is nothing to keep. The first time of each is put off by a random
    part of its interval, so that many that came together don't go on in bursts; and so it is again after all have had
    to wait, as when etcd was away. Who can't wait longest goes first.
    """

    def __init__(self, *, at_once: int = 32) -> None:
        self._at_once = at_once
        self._kept: dict[Lease, _Kept] = {}
        self._schedule: list[tuple[float, int, _Kept]] = []
        self._waiting: list[tuple[float, int, _Kept]] = []
        self._count = itertools.count()
        self._running = 0
        self._timer: asyncio.TimerHandle | None = None
        self._failing = False
        self._closed = False

    @property
    def closed(self) -> bool:
        return self._closed

    def keep(self, name: str, ttl: int, beat: Beat, *, sent: Moment) -> Lease:
        """Keep a record alive whose TTL was last put off by a request that was sent at that moment.

        Until ``stop``, which its caller owes it.
        """
        if self._closed:
            raise UsageError(f"{name} can't be kept alive: the session is closed")
        lease = Lease(name, ttl, beat, sent=sent)
        due = sent.loop + min(random.random() * ttl * _SHARE, max(0.0, lease.left) / 2)
        self._kept[lease] = kept = _Kept(lease, due)
        self._plan(kept)
        return lease

    def next(self, lease: Lease, beat: Beat, *, after: float) -> None:
        """Let the next beat be another one, after so many seconds; sooner when there is little time left."""
        kept = self._kept.get(lease)
        if kept is not None:
            kept.first = beat
            kept.due = asyncio.get_running_loop().time() + min(after, lease.left / 4)
            if not kept.over:
                self._plan(kept)

    async def stop(self, lease: Lease) -> None:
        """Keep it no longer; a request that is under way for it may still happen."""
        kept = self._kept.pop(lease, None)
        if kept is None:
            return
        kept.over = True
        if not self._kept:
            self._rest()
        if kept.task is not None:
            await end(kept.task)

    async def close(self) -> None:
        """Keep nothing any longer. What is still kept counts as lost."""
        self._closed = True
        for lease in list(self._kept):
            lease.lose("the session was closed")
            await self.stop(lease)

    def _plan(self, kept: _Kept) -> None:
        """Enter into the schedule when this one has to be looked at next: when it is due, or lost."""
        when = kept.lease.over_at if kept.busy else min(kept.due, kept.lease.over_at)
        kept.turn = next(self._count)
        heapq.heappush(self._schedule, (when, kept.turn, kept))
        if self._schedule[0][1] == kept.turn:
            self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(self._schedule[0][0], self._look)

    def _rest(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._schedule.clear()
        self._waiting.clear()

    def _look(self) -> None:
        """Do what is due."""
        self._timer = None
        now = asyncio.get_running_loop().time()
        while self._schedule and self._schedule[0][0] <= now:
            _, turn, kept = heapq.heappop(self._schedule)
            if turn != kept.turn or kept.over:
                continue
            if now >= kept.lease.over_at:
                self._lose(kept, kept.lease.reason)
                continue
            if not kept.busy:
                kept.waiting = True
                heapq.heappush(self._waiting, (kept.lease.over_at, next(self._count), kept))
            self._plan(kept)
        self._start()
        if self._schedule:
            self._set_timer()

    def _start(self) -> None:
        while self._waiting and self._running < self._at_once:
            _, _, kept = heapq.heappop(self._waiting)
            kept.waiting = False
            if not kept.over:
                self._running += 1
                kept.task = asyncio.create_task(
                    self._beat(kept), name=f"keep {kept.lease.name}", context=contextvars.Context()
                )
                kept.task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running -= 1
        self._start()

    async def _beat(self, kept: _Kept) -> None:
        lease, beat = kept.lease, kept.first or kept.lease.beat
        kept.first = None
        sent = Moment.now()
        try:
            # Never all that is left for one try: a connection that has gone silent must leave time for another.
            async with asyncio.timeout(max(0.0, lease.left) / 2):
                await beat()
        except NotFoundError as error:
            self._lose(kept, str(error))
        except UsageError as error:
            _log.info("%s is not kept alive any longer: %s", lease.name, error)
            kept.over = True
            lease.let_go()
        except (EtcdormError, TimeoutError) as error:
            lease.reason = str(error) or "no answer in time"
            # Where one fails, mostly all do; one warning must do for them.
            level = logging.DEBUG if self._failing else logging.WARNING
            self._failing = True
            _log.log(level, "%s could not be kept alive, trying again: %s", lease.name, lease.reason)
            kept.since = kept.since or kept.due
            pause = max(_SHORTEST_RETRY, min(lease.ttl * _RETRY, _LONGEST_RETRY, lease.left / 4))
            kept.due = asyncio.get_running_loop().time() + pause
        else:
            self._failing = False
            lease.renewed(sent)
            interval = lease.ttl * _SHARE
            late = sent.loop - (kept.since or kept.due) > interval * _LATE
            kept.since = 0.0
            kept.due = sent.loop + (interval * random.random() if late else interval)
            if kept.first is not None:
                kept.due = sent.loop
        kept.task = None
        if not kept.over:
            self._plan(kept)

    def _lose(self, kept: _Kept, reason: str) -> None:
        if kept.over:
            return
        kept.over = True
        if kept.task is not None and kept.task is not asyncio.current_task():
            kept.task.cancel()
        _log.warning("%s is lost: %s", kept.lease.name, reason)
        kept.lease.lose(reason)
