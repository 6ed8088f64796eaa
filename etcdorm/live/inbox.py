"""What a hub tells, kept until its consumer asks for it: every change, or only the newest state of each record."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from etcdorm.errors import EtcdormError, FellBehindError
from etcdorm.live.buffer import Buffer
from etcdorm.path import Path
from etcdorm.store import Collection, Event, Record

_log = logging.getLogger("etcdorm.live")


class _Inbox:
    """A subscriber of which a consumer waits for something."""

    def __init__(self, collection: Collection) -> None:
        self.collection: Collection = collection
        self._arrived = asyncio.Event()
        self._error: EtcdormError | None = None
        self._end: BaseException | None = None

    def failed(self, error: EtcdormError) -> None:
        self._error = error
        self._arrived.set()

    def ended(self, error: BaseException | None) -> None:
        self._end = StopAsyncIteration() if error is None else error
        self._arrived.set()

    async def _wait(self) -> None:
        """Wait until there is something new.

        Raises: what the hub failed with, once; and when it has ended, what it ended with, or StopAsyncIteration.
        """
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        if self._end is not None:
            raise self._end
        self._arrived.clear()
        await self._arrived.wait()


class Changes(_Inbox):
    """Every change, as long as the consumer takes them in time; see Buffer.

    A cancelled ``next`` loses nothing.
    """

    def __init__(self, collection: Collection, limit: int, *, strict: bool = False, namespace: str = "") -> None:
        super().__init__(collection)
        self._name = f"{namespace}{collection.prefix}"
        self._buffer = Buffer(limit, strict=strict)
        self._limit = limit
        self.fell_behind: int = 0

    def told(self, events: list[Event], index: int) -> None:
        for event in events:
            if self._buffer.put(event):
                self.fell_behind += 1
                _log.warning(
                    "watch of %s: more than %d changes wait to be taken; until they are, several changes of a record "
                    "become one",
                    self._name,
                    self._limit,
                )
        if events:
            self._arrived.set()

    async def next(self) -> Event:
        """The next change.

        Raises: FellBehindError, behind the last change that came in time; what the hub failed with.
        """
        while (event := self._buffer.take()) is None:
            if self._buffer.over:
                raise FellBehindError(
                    f"watch of {self._name}: its consumer was more than {self._limit} changes behind, and "
                    "is not told what came after them; watch anew, with a larger buffer="
                )
            await self._wait()
        return event


@dataclass(frozen=True, slots=True)
class Batch:
    """The records that changed, as they are at an index of the store; None for one that does not exist any more."""

    records: dict[Path, Record | None]
    index: int


class Newest(_Inbox):
    """The newest state of each record, taken all at once, so that what is taken is of one moment."""

    def __init__(self, collection: Collection) -> None:
        super().__init__(collection)
        self._records: dict[Path, Record | None] = {}
        self._index: int | None = None

    def told(self, events: list[Event], index: int) -> None:
        for event in events:
            self._records[event.path] = event.new
        self._index = index
        self._arrived.set()

    async def next(self) -> Batch:
        """What is new; the first time, all there is.

        Raises: what the hub failed with.
        """
        while self._index is None:
            await self._wait()
        batch = Batch(self._records, self._index)
        self._records, self._index = {}, None
        return batch
