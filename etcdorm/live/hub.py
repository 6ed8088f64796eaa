"""One watch of the store for all in a session who want to know about the same records."""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from etcdorm.errors import EtcdormError, UnavailableError, UsageError
from etcdorm.finish import end
from etcdorm.path import Path
from etcdorm.store import Collection, Event, Observation, Record, Step, Store

_log = logging.getLogger("etcdorm.live")

_PAUSE = 1.0
"""Seconds before another try when the store refuses a watch that was going on."""


class Subscriber(Protocol):
    """Who wants to know about the records of a collection. None of the methods may wait, or fail."""

    @property
    def collection(self) -> Collection: ...

    def told(self, events: list[Event], index: int) -> None:
        """All that happened to its records up to an index of the store; the first time, the records there are."""
        ...

    def failed(self, error: EtcdormError) -> None:
        """Nothing can be told at the moment; the hub tries on."""
        ...

    def ended(self, error: BaseException | None) -> None:
        """Nothing will be told any more: the session was closed, or the hub has ended by an error of its own."""
        ...


class Hub:
    """A copy of some records, kept current by a task that has the one watch of them, and those who are told of it."""

    def __init__(self, store: Store, collection: Collection) -> None:
        self.collection: Collection = collection
        self.name: str = f"{store.namespace}{collection.prefix}"
        self.users: int = 0
        self._store = store
        self._records: dict[Path, Record] = {}
        self._index = 0
        self._subscribers: list[Subscriber] = []
        self._observed: Observation | None = None
        self._task = asyncio.create_task(self._run(), name=f"etcdorm hub {self.name}")
        self._opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task.add_done_callback(self._ended)

    @property
    def connected(self) -> bool:
        return self._observed is not None and self._observed.connected

    @property
    def has_ended(self) -> bool:
        return self._task.done()

    def covers(self, collection: Collection) -> bool:
        """Whether the records of a collection are among those of this hub."""
        mine, theirs = self.collection, collection
        return (
            mine.depth == theirs.depth
            and mine.prefix.contains(theirs.prefix)
            and not Path(theirs.prefix.segments[len(mine.prefix.segments) :]).hidden
            and all(one in (None, other) for one, other in zip(mine.shape, theirs.shape, strict=True))
        )

    async def opened(self) -> None:
        """Wait for the first reading.

        Raises: what the store raised when the watch was opened.
        """
        await asyncio.wait([self._opened])
        self._opened.result()

    def add(self, subscriber: Subscriber) -> None:
        """Tell a subscriber the records there are, and from here on what happens to them."""
        there = sorted((path for path in self._records if _concerns(subscriber, path)), key=_order)
        initial = [Event(path, None, self._records[path], initial=True) for path in there]
        subscriber.told(initial, self._index)
        if self.has_ended:
            subscriber.ended(None)
        self._subscribers.append(subscriber)

    def remove(self, subscriber: Subscriber) -> None:
        if subscriber in self._subscribers:
            self._subscribers.remove(subscriber)

    async def close(self) -> None:
        await end(self._task)

    async def _run(self) -> None:
        async with self._store.observe(self.collection) as observed:
            self._observed = observed
            while True:
                try:
                    step = await anext(observed)
                except StopAsyncIteration:
                    return
                except EtcdormError as error:
                    if not self._opened.done():
                        raise
                    _log.warning("watch of %s: %s; trying on", self.name, error)
                    for subscriber in self._subscribers:
                        subscriber.failed(error)
                    await asyncio.sleep(_PAUSE)
                else:
                    self._take(step)

    def _take(self, step: Step) -> None:
        for event in step.events:
            if event.new is None:
                self._records.pop(event.path, None)
            else:
                self._records[event.path] = event.new
        self._index = step.index
        for subscriber in self._subscribers:
            events = [event for event in step.events if _concerns(subscriber, event.path)]
            subscriber.told(events, step.index)
        if not self._opened.done():
            self._opened.set_result(None)

    def _ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if not self._opened.done():
            closed = UnavailableError(f"watch of {self.name}: the session was closed")
            self._opened.set_exception(error or closed)
            self._opened.exception()  # maybe nobody waits any more who would look at it
        for subscriber in self._subscribers:
            subscriber.ended(error)


class Hubs:
    """The hubs of a session: each opened by the first who wants it, and closed when the last one leaves."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._open: list[Hub] = []
        self._closed = False

    @property
    def namespace(self) -> str:
        """What stands before each path in texts that people read."""
        return self._store.namespace

    async def join(self, subscriber: Subscriber) -> Hub:
        """Have a subscriber told, first of the records there are, of one moment.

        Cancel: it has not joined.
        Raises: what the store raises when it can't be asked; UsageError when the session was closed.
        """
        if self._closed:
            raise UsageError("this session was closed, and tells of no changes any more")
        hub = self._hub_for(subscriber.collection)
        hub.users += 1
        try:
            await hub.opened()
        except BaseException:
            await self._left(hub)
            raise
        hub.add(subscriber)
        return hub

    async def leave(self, hub: Hub, subscriber: Subscriber) -> None:
        """Tell a subscriber nothing more."""
        hub.remove(subscriber)
        await self._left(hub)

    async def close(self) -> None:
        """End all hubs, and so what their subscribers are told."""
        self._closed = True
        while self._open:
            await self._open.pop().close()

    def _hub_for(self, collection: Collection) -> Hub:
        for hub in self._open:
            if not hub.has_ended and hub.covers(collection):
                return hub
        hub = Hub(self._store, _all_of(collection))
        self._open.append(hub)
        return hub

    async def _left(self, hub: Hub) -> None:
        hub.users -= 1
        if hub.users == 0:
            if hub in self._open:
                self._open.remove(hub)
            await hub.close()


def _all_of(collection: Collection) -> Collection:
    """The records of whom several may want to know different ones."""
    shape = collection.shape

    def matches(path: Path) -> bool:
        return len(path.segments) == len(shape) and all(
            wanted in (None, segment) for wanted, segment in zip(shape, path.segments, strict=True)
        )

    return Collection(collection.prefix, collection.depth, matches, collection.fixed)


def _concerns(subscriber: Subscriber, path: Path) -> bool:
    collection = subscriber.collection
    return collection.prefix.contains(path) and collection.matches(path)


def _order(path: Path) -> tuple[str, ...]:
    return path.segments
