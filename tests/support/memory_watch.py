"""Watching a MemoryEtcd: changes of records, and appended records in their turn."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar

from etcdorm.errors import NotFoundError
from etcdorm.path import Path
from etcdorm.store import Collection, Event, Record, Step
from tests.support.memory_etcd import MemoryEtcd, within

T = TypeVar("T")


class Follower(Protocol[T]):
    """What a watch tells of."""

    def begin(self) -> list[T]: ...

    def changed(self, path: Path, *, expired: bool) -> list[T]: ...

    def anew(self) -> list[T]:
        """What differs from what was told."""
        ...

    def forget(self, told: Iterable[T], /) -> None:
        """These were not handed out, and never will be."""
        ...


class Changes:
    """Each change of a record in a collection."""

    def __init__(self, etcd: MemoryEtcd, collection: Collection) -> None:
        self._etcd = etcd
        self._collection = collection
        self._told: dict[Path, Record] = {}

    def begin(self) -> list[Event]:
        found = list(self._etcd.records(self._collection))
        self._told = {record.path: record for record in found}
        return [Event(record.path, None, record, initial=True) for record in found]

    def changed(self, path: Path, *, expired: bool) -> list[Event]:
        return self._differing([path], expired=expired) if within(self._collection, path) else []

    def anew(self) -> list[Event]:
        paths = {record.path for record in self._etcd.records(self._collection)} | self._told.keys()
        return self._differing(sorted(paths, key=lambda path: path.segments), gap=True)

    def forget(self, told: Iterable[Event], /) -> None:
        for event in reversed(list(told)):
            if event.old is None:
                self._told.pop(event.path, None)
            else:
                self._told[event.path] = event.old

    def _differing(self, paths: Iterable[Path], *, gap: bool = False, expired: bool = False) -> list[Event]:
        events = []
        for path in paths:
            old, new = self._told.pop(path, None), self._etcd.record(path)
            if new is not None:
                self._told[path] = new
            if (old is None) != (new is None) or (old is not None and new is not None and old.fields != new.fields):
                events.append(Event(path, old, new, gap=gap, expired=expired and new is None))
        return events


class Stepwise:
    """What ``Changes`` tells, with the index of the store at which it does."""

    def __init__(self, etcd: MemoryEtcd, changes: Changes) -> None:
        self._etcd = etcd
        self._changes = changes

    def begin(self) -> list[Step]:
        return [self._step(self._changes.begin())]

    def changed(self, path: Path, *, expired: bool) -> list[Step]:
        return [self._step(self._changes.changed(path, expired=expired))]

    def anew(self) -> list[Step]:
        return [self._step(self._changes.anew())]

    def forget(self, told: Iterable[Step], /) -> None:
        self._changes.forget([event for step in told for event in step.events])

    def _step(self, events: list[Event]) -> Step:
        return Step(tuple(events), self._etcd.index)


class Line:
    """Each appended record of a collection in its turn; ``after`` as in the port's ``follow``."""

    def __init__(self, etcd: MemoryEtcd, collection: Collection, after: str | None) -> None:
        self._etcd = etcd
        self._collection = collection
        self._after = after

    def begin(self) -> list[Record]:
        if self._after is None:
            self._after = ""
            self.anew()
            return []
        if self._after > f"{self._etcd.index:020}":
            raise NotFoundError(f"there is no place after {self._after}")
        return self.anew()

    def changed(self, path: Path, *, expired: bool) -> list[Record]:
        return self.anew() if within(self._collection, path) else []

    def anew(self) -> list[Record]:
        records = list(self._etcd.line(self._collection, self._after or ""))
        if records:
            self._after = records[-1].path.segments[-1]
        return records

    def forget(self, told: Iterable[Record], /) -> None:
        """They are remembered: a record comes once, and what was not handed out is still to come."""
        names = [record.path.segments[-1] for record in told]
        if names:
            self._after = f"{int(min(names)) - 1:020}"


class Client(Protocol):
    """Whose watch it is."""

    @property
    def etcd(self) -> MemoryEtcd: ...

    @property
    def connected(self) -> bool: ...

    @property
    def closed(self) -> bool: ...

    async def enter(self, prefix: Path, effect: Callable[[], None]) -> None: ...

    def check(self) -> None:
        """Raise what watches are refused with."""
        ...


class Watch(Generic[T]):
    """An async context manager and iterator of what a follower tells."""

    def __init__(self, client: Client, prefix: Path, follower: Follower[T]) -> None:
        self._client = client
        self._prefix = prefix
        self._follower = follower
        self._ready: deque[T] = deque()
        self._woken = asyncio.Event()
        self._closed = False

    @property
    def connected(self) -> bool:
        return self._client.connected

    async def __aenter__(self) -> Self:
        try:
            await self._client.enter(self._prefix, self._enter)
        except BaseException:
            self._client.etcd.listeners.discard(self)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._closed = True
        self._client.etcd.listeners.discard(self)
        self.wake()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        self._client.check()
        while not self._ready or not self._client.connected:
            if self._closed or self._client.closed:
                raise StopAsyncIteration
            self._woken.clear()
            await self._woken.wait()
            self._client.check()
        return self._ready.popleft()

    def changed(self, path: Path, *, expired: bool) -> None:
        self._ready.extend(self._follower.changed(path, expired=expired))
        self.wake()

    def missed(self) -> None:
        self._follower.forget(self._ready)
        self._ready.clear()
        self._ready.extend(self._follower.anew())
        self.wake()

    def wake(self) -> None:
        self._woken.set()

    def _enter(self) -> None:
        self._ready.extend(self._follower.begin())
        self._client.etcd.listeners.add(self)
