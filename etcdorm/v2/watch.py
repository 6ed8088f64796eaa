"""Watching a collection of records: a replica of its keys, kept by a streamed watch, told record by record."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from types import TracebackType
from typing import Self

from etcdorm.store.types import Collection, Event
from etcdorm.v2.client import Client
from etcdorm.v2.errors import (
    EtcdConnectionFailed,
    EtcdEventIndexCleared,
    EtcdKeyNotFound,
    EtcdMisconfigured,
    EtcdNotDir,
)
from etcdorm.v2.eternal import EternalWatch
from etcdorm.v2.replica import Gap, Replica
from etcdorm.v2.result import Node

_log = logging.getLogger("etcdorm.store")

_PAUSE = 0.5
"""Seconds between two tries when no endpoint answers."""


class Watch:
    """An async iterator of a collection's events; it is entered with the records there are.

    A cancelled ``anext`` loses nothing. Leaving the block ends its task and its connections.
    """

    def __init__(self, client: Client, collection: Collection, *, timeout: float) -> None:
        self._client = client
        self._collection = collection
        self._timeout = timeout
        self._replica = Replica(collection)
        self._ready: deque[Event] = deque()
        self._events: EternalWatch | None = None
        self._closed = False

    async def __aenter__(self) -> Self:
        await self._begin(initial=True)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._closed = True
        await self._end()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        while not self._ready:
            if self._closed:
                raise StopAsyncIteration
            if self._events is None:
                await self._begin_anew()
            else:
                await self._wait(self._events)
        return self._ready.popleft()

    async def _wait(self, events: EternalWatch) -> None:
        """Take in one event of the keys, or find that reading anew is needed."""
        prefix = self._collection.prefix
        try:
            result = await anext(events)
            self._ready.extend(self._replica.apply(result))
        except StopAsyncIteration:
            self._closed = True
        except EtcdEventIndexCleared as error:
            _log.info("watch of %s: %s", prefix, error)
            await self._end()
        except Gap:
            _log.info("watch of %s: events are missing before index %d; reading anew", prefix, result.modifiedIndex)
            await self._end()

    async def _begin_anew(self) -> None:
        try:
            await self._begin()
        except EtcdMisconfigured:
            raise  # what must be mended by hand is not to be waited for
        except EtcdConnectionFailed as error:
            _log.warning("watch of %s: %s; trying on", self._collection.prefix, error)
            await asyncio.sleep(_PAUSE)

    async def _begin(self, *, initial: bool = False) -> None:
        """Read all of the collection, tell what differs from what was known, and watch from there on."""
        prefix = str(self._collection.prefix)
        node: Node | None = None
        try:
            result = await self._client.read(prefix, recursive=True, quorum=True, timeout=self._timeout)
            node, index = result.node, result.etcd_index
        except (EtcdKeyNotFound, EtcdNotDir) as error:
            index = error.index
        self._ready.extend(self._replica.replace(node, initial=initial))
        self._events = await self._client.eternal_watch(prefix, index + 1, recursive=True).__aenter__()

    async def _end(self) -> None:
        events, self._events = self._events, None
        if events is not None:
            await events.aclose()
