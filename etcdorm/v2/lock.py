"""The lock of python-etcd: fair, by in-order keys under one directory, so that old and new clients exclude each other.

Each who wants the lock appends an entry with a uuid of its own; the first entry's owner holds the lock, and everyone
else waits for the entry right before its own to go. An entry that waits has a short TTL that its owner keeps alive, so
whatever a dead owner, or a request that lands late, leaves behind evaporates. Every other write of an entry names the
index it replaces, so no lock is brought back that has run out.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
import uuid
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Protocol, Self

from etcdorm.errors import UsageError
from etcdorm.finish import to_end
from etcdorm.v2.errors import (
    EtcdCompareFailed,
    EtcdEventIndexCleared,
    EtcdException,
    EtcdKeyNotFound,
    EtcdLockExpired,
    EtcdUnconfirmed,
    EtcdWatcherCleared,
    EtcdWatchTimedOut,
)
from etcdorm.v2.request import Value, key_path
from etcdorm.v2.result import EtcdResult

_log = logging.getLogger("etcdorm.v2")

_WAITER_TTL = 20
"""Seconds that an entry which waits lives on when its owner does not keep it alive."""

_BLOCK_TTL = 60
"""Seconds of the TTL of a lock that is held by ``async with``."""

_CLEAN_UP = 5.0
"""Seconds that removing an entry may take on the way out; after that its TTL does it."""

_NAME = re.compile(r"\d{20}")


class LockClient(Protocol):
    """What a lock needs of a client."""

    @property
    def lock_prefix(self) -> str: ...

    async def read(self, key: str, *, sorted: bool = False, quorum: bool = False) -> EtcdResult: ...

    async def watch(self, key: str, index: int | None = None, *, timeout: float | None = None) -> EtcdResult: ...

    def write(
        self,
        key: str,
        value: Value | None = None,
        ttl: int | None = None,
        dir: bool = False,
        append: bool = False,
        *,
        prevIndex: int | None = None,
        unique: bool = False,
    ) -> Coroutine[object, object, EtcdResult]: ...

    async def refresh(self, key: str, ttl: int, *, prevIndex: int | None = None) -> EtcdResult: ...

    async def delete(self, key: str, *, prevIndex: int | None = None, unique: bool = False) -> EtcdResult: ...


@dataclass(frozen=True, slots=True)
class _Entry:
    """An entry of one's own: where it is, the index of its last write, and when it can have run out at the earliest."""

    key: str
    index: int
    token: int
    until: float


@dataclass(frozen=True, slots=True)
class _Block:
    """An ``async with``: what cancels its body, and the task that keeps the lock alive for it."""

    limit: asyncio.Timeout
    keeper: asyncio.Task[None]


class Lock:
    """A lock named ``name``: ``async with Lock(client, "name")``, or ``acquire`` and ``release``.

    Two Lock objects are strangers to each other, in one task too. One object is for one task at a time. Held by
    ``async with`` it has a TTL of 60 seconds that is kept alive; when it can't be kept, the block is cancelled before
    the TTL can have run out, and ends with EtcdLockExpired.
    """

    def __init__(self, client: LockClient, name: str) -> None:
        if not name or name.startswith("/"):
            raise UsageError(f"a lock's name is a relative path, as in 'customer1', not {name!r}")
        self.client = client
        self.name = name
        self.path: str = str(key_path(f"{client.lock_prefix}/{name}"))
        self._uuid = uuid.uuid4().hex
        self._entry: _Entry | None = None
        self._taken = False
        self._ttl: int | None = None
        self._asking: asyncio.Task[EtcdResult] | None = None
        """The request for an entry of this uuid; when it has no answer, the entry may be there all the same."""
        self._strays: set[str] = set()
        self._acquiring = False
        self._writing = asyncio.Lock()
        self._changed = asyncio.Event()
        self._block: _Block | None = None

    def __repr__(self) -> str:
        return f"<Lock {self.path} {'held' if self.is_acquired else 'not held'}>"

    # -- what it is ---------------------------------------------------------------------------------------------------

    @property
    def is_acquired(self) -> bool:
        """Whether the lock is held, as far as this side knows; False before its TTL can have run out at the server."""
        return self._taken and self._entry is not None and time.monotonic() < self._entry.until

    async def check(self) -> bool:
        """Whether the lock is held, asked of etcd with quorum."""
        if self._entry is None or not self._taken:
            return False
        try:
            found = await self.client.read(self._entry.key, quorum=True)
        except EtcdKeyNotFound:
            return False
        return found.value == self._uuid

    @property
    def uuid(self) -> str:
        """The value of the own entry; a new one for each time that the lock is asked for."""
        return self._uuid

    async def set_uuid(self, value: str) -> None:
        """Take over an entry that is there, by its uuid; ``acquire`` then goes on with it.

        Raises: ValueError when there is no such entry.
        """
        for entry in await self._entries():
            if entry.value == value:
                self._uuid = value
                until = float("inf") if entry.expiration is None else time.monotonic() + (entry.ttl or 0) - 1
                self._entry = _Entry(entry.key, entry.modifiedIndex, entry.createdIndex, until)
                self._taken = False
                return
        raise UsageError(f"the lock {self.path} has no entry with this uuid")

    @property
    def lock_key(self) -> str:
        """The key of the own entry.

        Raises: ValueError when there is none.
        """
        if self._entry is None:
            raise UsageError(f"the lock {self.path} has not been asked for, so it has no key yet")
        return self._entry.key

    @property
    def token(self) -> int:
        """A fencing token: the createdIndex of the own entry, which grows with every holder.

        Raises: ValueError when there is no entry.
        """
        if self._entry is None:
            raise UsageError(f"the lock {self.path} has not been asked for, so it has no token yet")
        return self._entry.token

    # -- acquire and release ------------------------------------------------------------------------------------------

    async def acquire(self, blocking: bool = True, lock_ttl: int | None = 3600, timeout: float | None = None) -> bool:
        """Get the lock, or, when it is held already, give it another TTL.

        Returns whether it is held: False only when it was not free at once (``blocking=False``) or in time.
        Units: ``lock_ttl`` in whole seconds, None (or 0, as in python-etcd) for no end; ``timeout`` in seconds, None
            or 0 for no end.
        Cancel: no entry is left behind; if etcd does not answer, it goes with its TTL.
        Raises: EtcdLockExpired when it was held and has run out; EtcdConnectionFailed; UsageError when another task
            is in the middle of it.
        """
        if self._acquiring:
            raise UsageError(f"another task is acquiring this Lock of {self.path}; give each task its own")
        lock_ttl = lock_ttl or None
        self._acquiring = True
        try:
            if self._taken:
                await self._renew(lock_ttl)
                return True
            try:
                if await self._wait_for_turn(lock_ttl, blocking, timeout or None):
                    return True
            except BaseException:
                await to_end(self._withdraw())
                raise
            await to_end(self._withdraw())
            return False
        finally:
            self._acquiring = False
            self._changed.set()

    async def release(self) -> None:
        """Give the lock back; nothing happens when it is not held.

        Raises: EtcdConnectionFailed when etcd does not answer; then its TTL ends it.
        """
        async with self._writing:
            entry, mine = self._entry, self._uuid
            self._forget()
            if entry is not None:
                await self._remove(entry.key, entry.index, mine)

    async def __aenter__(self) -> Self:
        if self._block is not None:
            raise UsageError(f"this Lock of {self.path} is entered already")
        await self.acquire(lock_ttl=_BLOCK_TTL)
        limit = asyncio.timeout(None)
        await limit.__aenter__()
        keeper = asyncio.create_task(self._keep(limit), name=f"etcdorm lock {self.path}")
        self._block = _Block(limit, keeper)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        block, self._block = self._block, None
        assert block is not None
        cancelled: asyncio.CancelledError | None = None
        try:
            await to_end(self._leave(block.keeper))
        except asyncio.CancelledError as late:
            cancelled = late
        try:
            if kind is None and cancelled is not None:
                await block.limit.__aexit__(type(cancelled), cancelled, cancelled.__traceback__)
            else:
                await block.limit.__aexit__(kind, error, traceback)
        except TimeoutError:
            raise self._expired() from error
        if cancelled is not None:
            raise cancelled
        if block.limit.expired() and error is None:
            raise self._expired()

    # -- the parts of it ----------------------------------------------------------------------------------------------

    async def _wait_for_turn(self, lock_ttl: int | None, blocking: bool, timeout: float | None) -> bool:
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            entry = self._entry or await self._enqueue()
            entries = await self._entries()
            place = next((place for place, each in enumerate(entries) if each.key == entry.key), None)
            if place is None:
                self._entry = None  # it ran out, while this process stood still
            elif place == 0:
                if await self._write(entry, lock_ttl):
                    self._taken, self._ttl = True, lock_ttl
                    return True
            elif not blocking or not await self._wait_for(entries[place - 1], deadline):
                return False

    async def _enqueue(self) -> _Entry:
        """Append an entry of one's own. One whose answer is lost for good is followed by one with another uuid."""
        while True:
            sent = time.monotonic()
            self._asking = asyncio.create_task(
                self.client.write(self.path, self._uuid, _WAITER_TTL, append=True, unique=True)
            )
            try:
                # Never broken off half way: the entry could be made after the queue was left.
                made = await asyncio.shield(self._asking)
            except EtcdUnconfirmed as error:
                _log.warning("lock %s: %s; asking for it again, under another uuid", self.path, error)
                self._strays.add(self._uuid)
                self._uuid = uuid.uuid4().hex
            else:
                self._entry = _Entry(made.key, made.modifiedIndex, made.createdIndex, sent + _WAITER_TTL)
                return self._entry

    async def _entries(self) -> list[EtcdResult]:
        """The entries in the order in which they were made; what else lies in the directory is left out."""
        try:
            found = await self.client.read(self.path, sorted=True, quorum=True)
        except EtcdKeyNotFound:
            return []
        nodes = [each for each in found.children if not each.dir and _NAME.fullmatch(each.key.rpartition("/")[2])]
        for stray in [each for each in nodes if each.value in self._strays]:
            nodes.remove(stray)
            await self._remove(stray.key, stray.modifiedIndex, stray.value)
        return sorted(nodes, key=lambda entry: entry.key)

    async def _wait_for(self, before: EtcdResult, deadline: float | None) -> bool:
        """Wait until the entry before one's own is gone, and keep one's own alive; False when the time is up."""
        index = before.modifiedIndex + 1
        while (entry := self._entry) is not None:
            now = time.monotonic()
            limit = entry.until - _WAITER_TTL * 0.7 - now
            if deadline is not None:
                limit = min(limit, deadline - now)
                if deadline <= now:
                    return False
            if limit <= 0:
                await self._extend(entry, _WAITER_TTL)
                continue
            try:
                event = await self.client.watch(before.key, index, timeout=limit)
            except EtcdWatchTimedOut as error:
                index = max(index, error.index + 1)
            except (EtcdEventIndexCleared, EtcdWatcherCleared):
                return True
            else:
                if event.action in ("delete", "expire", "compareAndDelete"):
                    return True
                index = event.modifiedIndex + 1
        return True  # one's own has run out: look again

    async def _renew(self, ttl: int | None) -> None:
        async with self._writing:
            while (entry := self._entry) is not None:
                if await self._write(entry, ttl):
                    self._ttl = ttl
                    return
        self._forget()
        raise self._expired()

    async def _write(self, entry: _Entry, ttl: int | None) -> bool:
        """Give one's own entry another TTL; False when it was not as it was known to be."""
        sent = time.monotonic()
        try:
            written = await self.client.write(entry.key, self._uuid, ttl, prevIndex=entry.index, unique=True)
        except (EtcdCompareFailed, EtcdKeyNotFound):
            await self._look(entry)
            return False
        self._entry = replace(entry, index=written.modifiedIndex, until=float("inf") if ttl is None else sent + ttl)
        return True

    async def _extend(self, entry: _Entry, ttl: int) -> None:
        """Put off the expiry of one's own entry, which wakes nobody."""
        sent = time.monotonic()
        try:
            moved = await self.client.refresh(entry.key, ttl, prevIndex=entry.index)
        except (EtcdCompareFailed, EtcdKeyNotFound, EtcdUnconfirmed):
            await self._look(entry)
        else:
            self._entry = replace(entry, index=moved.modifiedIndex, until=sent + ttl)

    async def _look(self, entry: _Entry) -> None:
        """Find one's own entry again, which a write of one's own may have moved whose answer did not come."""
        try:
            found = await self.client.read(entry.key, quorum=True)
        except EtcdKeyNotFound:
            self._entry = None
        else:
            self._entry = replace(entry, index=found.modifiedIndex) if found.value == self._uuid else None

    async def _withdraw(self) -> None:
        """Leave the queue; if etcd does not answer, the entry's TTL does it."""
        entry, mine, asking = self._entry, self._uuid, self._asking
        self._forget()
        try:
            async with asyncio.timeout(_CLEAN_UP):
                if asking is not None:
                    await asyncio.wait([asking])
                if entry is not None:
                    await self._remove(entry.key, entry.index, mine)
                elif asking is not None:
                    for each in await self._entries():
                        if each.value == mine:
                            await self._remove(each.key, each.modifiedIndex, mine)
        except (EtcdException, TimeoutError) as error:
            reason = str(error) or "no answer in time"
            _log.warning("lock %s: an entry could not be removed, its TTL will do it: %s", self.path, reason)
        finally:
            if asking is not None and not asking.done():
                asking.cancel()
                await asyncio.wait([asking])
            elif asking is not None and not asking.cancelled():
                asking.exception()  # told by whoever waited for it, if anybody did

    async def _remove(self, key: str, index: int, mine: str | None) -> None:
        """Delete an entry, unless it is somebody else's."""
        while True:
            try:
                await self.client.delete(key, prevIndex=index, unique=True)
            except EtcdKeyNotFound:
                return
            except EtcdCompareFailed:
                try:
                    found = await self.client.read(key, quorum=True)
                except EtcdKeyNotFound:
                    return
                if found.value != mine:
                    return
                index = found.modifiedIndex
            else:
                return

    def _forget(self) -> None:
        self._entry, self._taken, self._asking = None, False, None
        self._uuid = uuid.uuid4().hex
        self._changed.set()

    # -- kept alive ---------------------------------------------------------------------------------------------------

    async def _keep(self, limit: asyncio.Timeout) -> None:
        """Renew the lock three times as often as needed; when that can't be done, end the block."""
        while True:
            self._changed.clear()
            entry, ttl = self._entry, self._ttl
            if not self._taken or entry is None or ttl is None:
                await self._changed.wait()  # released in the block, or without an end, and perhaps not for long
                continue
            # The server counts from when a request reached it, so from sending it is the earlier end. A tenth is for
            # the difference in speed of two clocks, and for telling.
            left = entry.until - ttl * 0.1 - time.monotonic()
            if left < ttl * 0.01:
                break
            with suppress(TimeoutError):
                async with asyncio.timeout(min(ttl / 3, left / 2)):
                    await self._changed.wait()
                continue
            try:
                async with asyncio.timeout(left / 4), self._writing:
                    if self._entry is entry:
                        await self._extend(entry, ttl)
                if self._entry is None and self._taken:
                    break
            except (EtcdException, TimeoutError) as error:
                reason = str(error) or "no answer in time"
                _log.warning("the lock %s could not be kept alive, trying again: %s", self.path, reason)
        _log.warning("the lock %s is lost", self.path)
        self._taken = False
        limit.reschedule(asyncio.get_running_loop().time())

    async def _leave(self, keeper: asyncio.Task[None]) -> None:
        keeper.cancel()
        await asyncio.wait([keeper])
        await self._withdraw()

    def _expired(self) -> EtcdLockExpired:
        return EtcdLockExpired(f"the lock {self.path} ran out before it was released; nothing done since was protected")
