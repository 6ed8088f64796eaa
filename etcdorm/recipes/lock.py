"""A fair lock: a queue of appended records, the first of which holds it."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, suppress
from types import TracebackType

from etcdorm.errors import (
    EtcdormError,
    Holder,
    LeaseLapsedError,
    LockLostError,
    LockTimeoutError,
    NotFoundError,
    UnavailableError,
    UsageError,
)
from etcdorm.finish import to_end
from etcdorm.path import Path
from etcdorm.recipes.contender import Contender, holder_of, id_of, is_marked, queue_at
from etcdorm.recipes.guard import Guard
from etcdorm.recipes.held import Claim, Held, enter, forget_released, holding
from etcdorm.recipes.keeper import Keeper
from etcdorm.store import Collection, Record, Store

_log = logging.getLogger("etcdorm.lock")

_PAUSES = 4
"""How often to look again, after ever longer pauses, whether an append before one's own is done."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.01, 0.5
_TO_TELL = 1.0
"""Seconds, at most, for finding out who holds a lock that could not be had."""


class Lock:
    """An async context manager that holds the lock at ``path`` for the time of its block; it can be entered once.

    First come, first served. Each one watches the place before its own and nothing else, so that one waiter is woken
    when the holder leaves, however many there are. ``prepare`` is done when the lock is had, before the block begins,
    and ``finish`` after it, before the lock is given back.
    """

    def __init__(
        self,
        store: Store,
        keeper: Keeper,
        path: Path,
        *,
        ttl: int,
        timeout: float | None = None,
        blocking: bool = True,
        prepare: Callable[[Claim], Awaitable[None]] | None = None,
        finish: Callable[[Claim], Awaitable[None]] | None = None,
    ) -> None:
        if isinstance(ttl, bool) or not isinstance(ttl, int) or ttl < 1:
            raise UsageError(f"a lock's ttl must be whole seconds from 1 on, not {ttl!r}")
        self._store = store
        self._keeper = keeper
        self._path = path
        self._where = f"{store.namespace}{path}"
        self._ttl = ttl
        self._timeout = timeout
        self._blocking = blocking
        self._prepare = prepare
        self._finish = finish
        self._contender: Contender | None = None
        self._contended = False
        """Others were seen in the queue."""
        self._guard: Guard | None = None
        self._held: Claim | None = None

    async def __aenter__(self) -> Held:
        try:
            async with asyncio.timeout(self._timeout) as limit:
                contender = await self._acquire()
                origin = await self._store.origin()
            self._held = held = Claim(contender, self._store, origin)
            self._guard = Guard(contender.lease)
            contender.hold(awaited=self._contended)
            enter(held)
            if self._prepare is not None:
                await self._prepare(held)
        except BaseException as error:
            lost = self._guard is not None and self._guard.close(error)
            await to_end(self._leave())
            forget_released()
            if lost:
                raise self._lost() from error
            if limit.expired() and isinstance(error, TimeoutError):
                raise await self._too_late(f"within {self._timeout} s") from None
            raise
        return held

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._guard is not None
        assert self._held is not None
        cancelled = self._guard.close(error)
        lost = not self._held.valid  # also when the loop has stood still, and nobody could say so yet
        await to_end(self._leave())
        forget_released()
        if cancelled or (lost and error is None):
            raise self._lost() from error

    async def _acquire(self) -> Contender:
        """Get a place, and wait for its turn; again, when the place was lost meanwhile."""
        self._check_not_held()
        if not self._blocking and (line := await self._store.sequence(queue_at(self._path), fresh=True)):
            raise self._taken(holder_of(line[0]))
        while True:
            self._contender = contender = Contender(self._store, self._keeper, self._path, self._ttl)
            await contender.join()
            guard = Guard(contender.lease)
            try:
                await self._wait(contender)
                if not contender.lease.valid:
                    await contender.renew()  # it took long to get here
            except BaseException as error:
                if not guard.close(error) and not isinstance(error, LeaseLapsedError):
                    raise
                _log.warning("the place in the queue for the lock %s was lost, and is taken anew", self._where)
                await to_end(contender.leave())
            else:
                if not guard.close(None):
                    return contender
                await to_end(contender.leave())

    async def _wait(self, contender: Contender) -> None:
        """Wait until nobody is before this contender any more."""
        pauses = 0
        fresh = False
        while True:
            try:
                if await self._is_first(contender, fresh=fresh, pauses=pauses):
                    return
            except (UnavailableError, NotFoundError) as error:
                if not self._blocking:
                    raise
                # The place is kept for as long as its lease says; until then there is time.
                _log.warning("waiting for the lock %s: %s; trying on", self._where, error)
                await asyncio.sleep(_pause(pauses))
            fresh = True
            pauses += 1

    async def _is_first(self, contender: Contender, *, fresh: bool, pauses: int) -> bool:
        """Look, and wait for what is before; False when it is to be looked at again."""
        line = await self._store.sequence(queue_at(self._path), fresh=fresh)
        mine = [number for number, record in enumerate(line) if record.path == contender.record.path]
        before = line[: mine[0]] if mine else line
        self._contended = self._contended or len(line) > 1 or not mine
        if mine and not before:
            return True
        self._check_not_held(before)
        if not self._blocking:
            raise self._taken(holder_of(before[0]) if before else None)
        if mine:
            return await self._gone(contender, before[-1], first=len(before) == 1)
        # An append before this one's is under way. If it is not done in a moment, its process may be dead.
        if pauses < _PAUSES:
            await asyncio.sleep(_pause(pauses))
        else:
            await self._settled(contender, after=line[-1].path.segments[-1] if line else "")
        return False

    async def _gone(self, contender: Contender, before: Record, *, first: bool) -> bool:
        """Wait until a place is given up; True when it was that of the holder, so that the next one holds now."""
        first = first or is_marked(before)
        where = Collection(before.path, len(before.path.segments), lambda path: path == before.path)
        watch = self._store.watch(where)
        events = await watch.__aenter__()
        try:
            if await self._store.read(before.path, fresh=True) is None:
                return first
            async for event in events:
                if event.new is None:
                    return first
                first = first or is_marked(event.new)
        finally:
            contender.afterwards(_closed(watch))  # whose turn it is need not wait for that
        raise UnavailableError(f"the lock {self._where}: the session was closed")

    async def _settled(self, contender: Contender, *, after: str) -> None:
        """Wait until all appends before this one's are done, or have evaporated."""
        async with self._store.follow(queue_at(self._path), after=after) as records:
            async for record in records:
                if record.path == contender.record.path:
                    return

    async def _leave(self) -> None:
        try:
            if self._held is not None and self._finish is not None:
                await self._finish(self._held)
        finally:
            if self._held is not None:
                self._held.release()
            if self._contender is not None:
                await self._contender.leave()

    def _check_not_held(self, line: list[Record] | None = None) -> None:
        """Raise UsageError rather than wait for oneself: for a lock of this session, or for one in the queue.

        Through another session, which has no part in it, only a wait that would never end is refused.
        """
        task = asyncio.current_task()
        own = [held for held in holding() if held.task is task]
        if line is None:
            waits = any((held.store, held.path) == (self._store, self._path) for held in own)
        else:
            ids = {held.id for held in own} if self._blocking and self._timeout is None else set()
            waits = any(id_of(record) in ids for record in line)
        if waits:
            raise UsageError(f"this task holds the lock {self._where} already, and would wait for itself for ever")

    def _lost(self) -> LockLostError:
        assert self._held is not None
        return LockLostError(
            f"the lock {self._where} could not be kept until the end of its block ({self._held.lease.reason}); "
            "what was done after held.lost was set was not protected by it"
        )

    async def _too_late(self, when: str) -> LockTimeoutError:
        found = None
        with suppress(EtcdormError, TimeoutError):
            async with asyncio.timeout(_TO_TELL):
                found = await holder(self._store, self._path)
        return self._taken(found, when)

    def _taken(self, found: Holder | None, when: str = "at once") -> LockTimeoutError:
        by = "" if found is None else f": it is held by {found}"
        return LockTimeoutError(f"the lock {self._where} could not be had {when}{by}", holder=found)


async def holder(store: Store, path: Path) -> Holder | None:
    """Who holds the lock at a path now, or None."""
    line = await store.sequence(queue_at(path), fresh=True)
    return holder_of(line[0]) if line else None


async def _closed(watch: AbstractAsyncContextManager[object]) -> None:
    await watch.__aexit__(None, None, None)


def _pause(tries: int) -> float:
    return random.uniform(0.5, 1) * min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0**tries)
