"""One's own place in the queue for a lock: an appended record with a TTL, kept alive, and removed on every way out."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import secrets
import socket
from collections.abc import Awaitable
from datetime import UTC, datetime

from etcdorm.errors import EtcdormError, Holder, LeaseLapsedError, UnconfirmedError
from etcdorm.finish import end
from etcdorm.path import Path
from etcdorm.recipes.keeper import Keeper
from etcdorm.recipes.lease import KeptLease, Moment
from etcdorm.store import Collection, Record, StaleRecord, Store

_log = logging.getLogger("etcdorm.lock")

_SOON = 0.5
"""Seconds, at most, until a new holder writes down that it holds; who holds for less need not write it at all."""


class Contender:
    """A place in the queue at ``directory``. Its record's name gives the order, and its creation the fencing token."""

    def __init__(self, store: Store, keeper: Keeper, directory: Path, ttl: int) -> None:
        self.directory = directory
        self.id = secrets.token_urlsafe(12)
        """Unique, so that a record with it is this contender's, whatever answer was lost."""
        self._store = store
        self._keeper = keeper
        self._ttl = ttl
        self._where = f"{store.namespace}{directory}"
        self._asked = datetime.now(UTC)
        self._appending: asyncio.Task[Record] | None = None
        self._record: Record | None = None
        self._lease: KeptLease | None = None
        self._writing = asyncio.Lock()
        self._marking: asyncio.Task[None] | None = None
        self._tidying: list[asyncio.Future[None]] = []

    @property
    def record(self) -> Record:
        assert self._record is not None
        return self._record

    @property
    def lease(self) -> KeptLease:
        assert self._lease is not None
        return self._lease

    async def join(self) -> None:
        """Get a place at the end of the queue. Whatever becomes of this, ``leave`` is due then."""
        sent = Moment.now()
        self._appending = asyncio.create_task(self._append(), name=f"queue for {self._where}")
        self._record = await asyncio.shield(self._appending)
        self._lease = self._keeper.keep(f"the lock {self._where}", self._ttl, self._touch, sent=sent)

    async def renew(self) -> None:
        """Put the expiry off now.

        Raises: LeaseLapsedError when the place is gone.
        """
        sent = Moment.now()
        await self._touch()
        self.lease.renewed(sent)

    def hold(self, *, awaited: bool) -> None:
        """Write down that this one holds the lock, and since when.

        At once when others wait: the next one learns by that whose place is given up then. Else in a while, as who
        holds for less than that need not write at all.
        """
        since = datetime.now(UTC)
        if awaited:
            self._marking = asyncio.create_task(self._mark_at_once(since), name=f"mark the holder of {self._where}")
        else:
            self._keeper.next(self.lease, lambda: self._mark(since), after=min(_SOON, self._ttl / 10))

    def afterwards(self, work: Awaitable[None]) -> None:
        """Do what has time until the place is given up."""
        self._tidying.append(asyncio.ensure_future(work))

    async def leave(self) -> None:
        """Give the place up; if that can't be done now, its TTL will."""
        left: float = self._ttl
        if self._marking is not None:
            await asyncio.wait([self._marking], timeout=_SOON)
            await end(self._marking)
        if self._lease is not None:
            await self._keeper.stop(self._lease)
            left = max(0.0, self._ttl - self._lease.renewed_at.ago)
        try:
            async with asyncio.timeout(left):
                await self._remove()
        except (EtcdormError, TimeoutError) as error:
            reason = str(error) or "no answer in time"
            _log.warning("the lock %s could not be released, its TTL will do it: %s", self._where, reason)
        finally:
            if self._appending is not None and not self._appending.done():
                await end(self._appending)
            if self._tidying:
                await asyncio.wait(self._tidying)

    async def _append(self) -> Record:
        text = self._text(None)
        try:
            return await self._store.append(self.directory, text, ttl=self._ttl)
        except UnconfirmedError:
            record = await self._find()
            if record is None:
                raise
            return record

    async def _find(self) -> Record | None:
        """The place that was made, if it was."""
        line = await self._store.sequence(queue_at(self.directory), fresh=True)
        return next((record for record in line if self._is_mine(record)), None)

    async def _touch(self) -> None:
        async with self._writing:
            self._record = await self._store.touch(self.record, ttl=self._ttl)

    async def _mark_at_once(self, since: datetime) -> None:
        sent = Moment.now()
        try:
            await self._mark(since)
        except EtcdormError as error:
            _log.debug("the lock %s: its holder could not be written down: %s", self._where, error)
        else:
            self.lease.renewed(sent)

    async def _mark(self, since: datetime) -> None:
        async with self._writing:
            try:
                self._record = await self._store.commit(self.record, {"": self._text(since)}, ttl=self._ttl)
                return
            except StaleRecord as stale:
                if stale.current is None or not self._is_mine(stale.current):
                    raise LeaseLapsedError(f"{self.record.where}: the place in the queue is gone") from None
                self._record = stale.current
        await self._touch()

    async def _remove(self) -> None:
        record = self._record
        if record is None and self._appending is not None:
            # It may have landed already, or be about to: it comes to its end, so that it can be taken back.
            await asyncio.wait([self._appending])
            failed = self._appending.cancelled() or self._appending.exception() is not None
            record = await self._find() if failed else self._appending.result()
        while record is not None and self._is_mine(record):
            try:
                return await self._store.remove(record, owns=lambda name: True, prune=True)
            except StaleRecord as stale:
                record = stale.current
            except UnconfirmedError:
                record = await self._store.read(record.path, fresh=True)  # nobody else takes it away

    def _text(self, since: datetime | None) -> str:
        told = {"id": self.id, "host": socket.gethostname(), "pid": os.getpid(), "asked": self._asked.isoformat()}
        return json.dumps(told if since is None else {**told, "since": since.isoformat()})

    def _is_mine(self, record: Record) -> bool:
        return id_of(record) == self.id


def queue_at(directory: Path) -> Collection:
    """The places in a lock's queue."""
    return Collection(directory, len(directory.segments) + 1, lambda path: True)


def id_of(record: Record) -> str | None:
    """Whose place this is."""
    return _told(record).get("id")


def is_marked(record: Record) -> bool:
    """Whether it is written down that whoever has this place has come to hold the lock."""
    return "since" in _told(record)


def holder_of(record: Record) -> Holder:
    """Who has this place, which is the first."""
    told = _told(record)
    try:
        since = datetime.fromisoformat(told.get("since") or told["asked"])
        pid = int(told["pid"])
    except (KeyError, ValueError):
        return Holder(token=record.created)
    return Holder(record.created, told.get("host", ""), pid, since)


def _told(record: Record) -> dict[str, str]:
    """What a place's text tells; nothing, when another tool has made it."""
    try:
        told: object = json.loads(record.fields.get("", ""))
    except ValueError:
        return {}
    return {str(name): str(value) for name, value in told.items()} if isinstance(told, dict) else {}
