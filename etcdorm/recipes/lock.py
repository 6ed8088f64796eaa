"""A lock: one record with a TTL, made by the holder, kept alive, and removed on every way out."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
import time
from dataclasses import dataclass, field
from types import TracebackType

from etcdorm.errors import EtcdormError, LockLostError, LockTimeoutError, RefusedError, UnconfirmedError, UsageError
from etcdorm.finish import to_end
from etcdorm.path import Path
from etcdorm.store import Collection, Record, StaleRecord, Store

_log = logging.getLogger("etcdorm.lock")


@dataclass(frozen=True, slots=True)
class Held:
    """A lock that is held.

    ``token`` is its fencing token: it grows with every holder. ``lost`` is set, by this machine's monotonic clock,
    before the lock's TTL can have run out at the server.
    """

    token: int
    lost: asyncio.Event = field(default_factory=asyncio.Event)


class Lock:
    """An async context manager that holds the lock at ``path`` for the time of its block; it can be entered once.

    Whoever waits is woken when the holder's record goes, and tries again; the order of waiters is not kept.
    """

    def __init__(self, store: Store, path: Path, *, ttl: int, timeout: float | None = None) -> None:
        if isinstance(ttl, bool) or not isinstance(ttl, int) or ttl < 1:
            raise UsageError(f"a lock's ttl must be whole seconds from 1 on, not {ttl!r}")
        self._store = store
        self._path = path
        self._where = f"{store.namespace}{path}"
        self._ttl = ttl
        self._timeout = timeout
        # Unique to this holder, so that a record with this text in it is its own, whatever answer was lost.
        self._text = f"{socket.gethostname()} {os.getpid()} {secrets.token_urlsafe(12)}"
        self._record: Record | None = None
        self._asking = False  # for the record, and not been answered
        self._deadline = 0.0
        self._held: Held | None = None
        self._keeper: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Held:
        try:
            async with asyncio.timeout(self._timeout) as limit:
                record = await self._acquire()
        except BaseException as error:
            await to_end(self._withdraw())
            if limit.expired() and isinstance(error, TimeoutError):
                raise LockTimeoutError(f"the lock {self._where} could not be had within {self._timeout} s") from None
            raise
        self._record = record
        self._held = Held(int(record.version))
        self._keeper = asyncio.create_task(self._keep(self._held), name=f"keep lock {self._where}")
        return self._held

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._keeper is not None
        assert self._held is not None
        await to_end(self._release(self._keeper, self._held))
        if self._held.lost.is_set() and error is None:
            raise LockLostError(
                f"the lock {self._where} could not be kept until the end of its block; "
                "what was done after held.lost was set was not protected by it"
            )

    async def _acquire(self) -> Record:
        while True:
            sent = time.monotonic()
            self._asking = True
            try:
                record = await self._store.create(self._path, {"": self._text}, owns=_everything, ttl=self._ttl)
            except StaleRecord:
                self._asking = False
                await self._wait_until_free()
                continue
            except UnconfirmedError:
                found = await self._store.read(self._path, fresh=True)
                if found is None or found.fields.get("") != self._text:
                    raise
                record = found  # nobody else writes this text
            self._asking = False
            self._deadline = sent + self._ttl
            return record

    async def _wait_until_free(self) -> None:
        where = Collection(self._path, len(self._path.segments), lambda path: path == self._path)
        async with self._store.watch(where) as events:
            present = await self._store.read(self._path, fresh=True) is not None
            while present:
                event = await anext(events)
                present = event.new is not None

    async def _keep(self, held: Held) -> None:
        """Put the expiry off, three times as often as needed, until that fails for good; then say that it is lost."""
        assert self._record is not None
        # The server counts from when a request reached it, so from sending it is the earlier end. A tenth is for
        # the difference in speed of two clocks, and for telling.
        margin = self._ttl * 0.1
        pause = self._ttl / 3
        while True:
            now = time.monotonic()
            left = self._deadline - margin - now
            if left < self._ttl * 0.01:
                break
            # Never all that is left, neither for waiting (making the record may have taken long) nor for one try: a
            # connection that has gone silent must leave time for another.
            await asyncio.sleep(min(pause, left / 2))
            sent = time.monotonic()
            try:
                async with asyncio.timeout(max(0.0, self._deadline - margin - sent) / 2):
                    self._record = await self._store.touch(self._record, ttl=self._ttl)
            except RefusedError as error:
                _log.warning("the lock %s is lost: %s", self._where, error)
                break
            except (EtcdormError, TimeoutError) as error:
                reason = str(error) or "no answer in time"
                _log.warning("the lock %s could not be kept alive, trying again: %s", self._where, reason)
                pause = min(self._ttl / 10, 1.0)
            else:
                self._deadline = sent + self._ttl
                pause = self._ttl / 3
        held.lost.set()

    async def _release(self, keeper: asyncio.Task[None], held: Held) -> None:
        keeper.cancel()
        await asyncio.wait([keeper])
        if not held.lost.is_set():
            await self._withdraw()

    async def _withdraw(self) -> None:
        """Remove the record if it is ours; if that can't be done now, its TTL will."""
        try:
            async with asyncio.timeout(self._ttl):
                record = await self._store.read(self._path, fresh=True)
                if record is None and self._asking:
                    record = await self._overtake()
                if record is not None and record.fields.get("") == self._text:
                    await self._store.remove(record, owns=_everything)
        except (EtcdormError, StaleRecord, TimeoutError) as error:
            reason = str(error) or "no answer in time"
            _log.warning("the lock %s could not be released, its TTL will do it: %s", self._where, reason)

    async def _overtake(self) -> Record | None:
        """Make the record, or find that it was made: what was given up while it was sent may still land until then."""
        try:
            return await self._store.create(self._path, {"": self._text}, owns=_everything, ttl=self._ttl)
        except StaleRecord as stale:
            return stale.current


def _everything(name: str) -> bool:
    return True
