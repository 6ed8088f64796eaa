"""Watching a collection of records: a replica of its keys, kept by long polls, told record by record.

Long polls with an exact waitIndex, not ``stream=true``, which can end without a sign (facts, §6).
"""

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
    EtcdWatcherCleared,
    EtcdWatchTimedOut,
)
from etcdorm.v2.replica import Gap, Replica
from etcdorm.v2.result import Node

_log = logging.getLogger("etcdorm.store")

_POLL = 45.0
"""Seconds that one poll waits. A silent connection may be dead, or its member cut off, so no poll waits for ever."""

_PAUSE = 0.5
"""Seconds between two tries when no endpoint answers."""


class Watch:
    """An async iterator of a collection's events; it is entered with the records there are.

    It holds no task and no connection while nobody asks for the next event. A cancelled ``anext`` loses nothing.
    """

    def __init__(self, client: Client, collection: Collection, *, timeout: float, poll: float = _POLL) -> None:
        self._client = client
        self._collection = collection
        self._timeout = timeout
        self._poll = poll
        self._replica = Replica(collection)
        self._ready: deque[Event] = deque()
        self._next = 0
        self._behind = False
        self._closed = False

    async def __aenter__(self) -> Self:
        await self._read(initial=True)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._closed = True

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        while not self._ready:
            if self._closed:
                raise StopAsyncIteration
            await self._wait()
        return self._ready.popleft()

    async def _wait(self) -> None:
        """One poll, or a new reading when a poll can't go on from where we are."""
        prefix = str(self._collection.prefix)
        try:
            if self._behind:
                await self._read()
                self._behind = False
                return
            result = await self._client.read(
                prefix, recursive=True, wait=True, waitIndex=self._next, timeout=self._poll
            )
        except EtcdWatchTimedOut as error:
            if error.index + 1 < self._next:
                _log.warning("watch of %s: the store went back to index %d; reading anew", prefix, error.index)
                self._behind = True
            # Nothing came up to the index at which the wait began, so the next one need not begin in a history that
            # other keys are filling up.
            self._next = max(self._next, error.index + 1)
        except (EtcdEventIndexCleared, EtcdWatcherCleared):
            _log.info("watch of %s: the history from index %d on is gone; reading anew", prefix, self._next)
            self._behind = True
        except EtcdMisconfigured:
            raise  # what must be mended by hand is not to be waited for
        except EtcdConnectionFailed as error:
            _log.warning("watch of %s: %s; trying on", prefix, error)
            await asyncio.sleep(_PAUSE)
        else:
            try:
                self._ready.extend(self._replica.apply(result))
            except Gap:
                _log.info("watch of %s: events are missing before index %d; reading anew", prefix, result.modifiedIndex)
                self._behind = True
            else:
                self._next = result.modifiedIndex + 1

    async def _read(self, *, initial: bool = False) -> None:
        """Read all of the collection, and tell what differs from what was known."""
        node: Node | None = None
        try:
            result = await self._client.read(
                str(self._collection.prefix), recursive=True, quorum=True, timeout=self._timeout
            )
            node, index = result.node, result.etcd_index
        except (EtcdKeyNotFound, EtcdNotDir) as error:
            index = error.index
        self._ready.extend(self._replica.replace(node, initial=initial))
        self._next = index + 1
